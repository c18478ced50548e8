#!/bin/bash
# One host of a lab, from empty namespaces to a running sshd. Started by lab.sh; its log is DIR/hosts/NAME.log.
set -euo pipefail
dir=$1 name=$2 address=$3 disk=$4
run=$dir/run

trap 'echo "$name: did not come up" >"$run/ready"' ERR

# /proc is still the one of the machine: this is our number outside.
read -r outer _ </proc/self/stat
echo "$outer" >"$dir/hosts/$name.pid"
exec 5>"$run/ready"

if [ -n "${LAB_DELAY:-}" ] && [ "$name" = deployment-node ]; then
  exec 4< <(exec nsenter --net="/proc/$LAB_KEEPER/ns/net" python3 -B "$(dirname "$0")/delay.py" "h$LAB_INDEX" "/proc/$outer/ns/net" "$LAB_DELAY" 5>&-)
  IFS= read -r _ <&4
else
  nsenter --net="/proc/$LAB_KEEPER/ns/net" ip link add "h$LAB_INDEX" type veth peer name eth0 netns "/proc/$outer/ns/net"
fi
nsenter --net="/proc/$LAB_KEEPER/ns/net" ip link set "h$LAB_INDEX" master br0 up
ip link set lo up
ip addr add "$address/24" dev eth0
ip link set eth0 up
ip route add default via 10.77.0.1
# The table of local addresses comes first by default, and nothing can be refused before it. Faults need a place there.
ip rule add pref 100 lookup local
ip rule del pref 0
hostname "$name"

# The size of this file system is the size of the host's disk; only what is written takes memory.
mkdir "$run/$name"
mount -t tmpfs -o "mode=755,size=$disk" "disk-$name" "$run/$name"
mkdir "$run/$name"/{upper,work,root}
root=$run/$name/root
mount -t overlay -o "lowerdir=$run/common:/,upperdir=$run/$name/upper,workdir=$run/$name/work" overlay "$root"

mkdir -p "$root/.lab" "$root/.old"
mount --bind "$run/$name" "$root/.lab"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
# Homes of this machine stay out of sight.
mount -t tmpfs -o "mode=755,size=$disk" home "$root/home"
mount -t tmpfs -o mode=700 root "$root/root"
# A claim: the recorder of systemctl stands for systemd.
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/run/systemd/system"

while read -r how from to; do
  if [ -d "$from" ]; then mkdir -p "$root$to"; else mkdir -p "$(dirname "$root$to")" && : >>"$root$to"; fi
  mount --bind "$from" "$root$to"
  if [ "$how" = ro ]; then mount -o remount,bind,ro "$root$to"; fi
done <"$dir/binds"

install -d -o 1000 -g 1000 -m 755 "$root/home/ubuntu"
install -d -o 1000 -g 1000 -m 700 "$root/home/ubuntu/.ssh"
install -o 1000 -g 1000 -m 600 "$dir/id_ed25519.pub" "$root/home/ubuntu/.ssh/authorized_keys"
if [ "$name" = deployment-node ]; then
  install -o 1000 -g 1000 -m 600 "$dir/id_ed25519" "$root/home/ubuntu/.ssh/id_ed25519"
  install -o 1000 -g 1000 -m 644 "$dir/id_ed25519.pub" "$root/home/ubuntu/.ssh/id_ed25519.pub"
  install -d -o 1000 -g 1000 -m 755 "$root/home/ubuntu/certificates"
  install -o 1000 -g 1000 -m 600 "$dir"/certificates/*.pem "$dir"/certificates/*.key "$root/home/ubuntu/certificates/"
fi
echo "$name" >"$root/etc/hostname"
printf '%s' "$name" | md5sum | cut -d ' ' -f 1 >"$root/etc/machine-id"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$root/etc/hosts"

# Claims about the kernel's own state: a file in place of the real one. `lab.sh fault HOST …` changes them.
mkdir -p "$root/.lab/claims"
case $name in
  vm*) cpus=12 memory_gib=32 ;;
  *) cpus=4 memory_gib=16 ;;
esac
echo "$cpus" >"$root/.lab/claims/cpus"
echo 0 >"$root/.lab/claims/clock-offset"
echo yes >"$root/.lab/claims/clock-synchronized"
printf 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' >"$root/.lab/claims/swaps"
awk -v total=$((memory_gib * 1024 * 1024)) '/^MemTotal:/ { $2 = total } /^Mem(Free|Available):/ { $2 = int(total * 0.9) } { print $1, $2, $3 }' \
  /proc/meminfo >"$root/.lab/claims/meminfo"
mount --bind "$root/.lab/claims/swaps" "$root/proc/swaps"
mount --bind "$root/.lab/claims/meminfo" "$root/proc/meminfo"
echo 8192 >"$root/.lab/claims/inotify"
echo 524288 >"$root/.lab/claims/inotify-watches"
mount --bind "$root/.lab/claims/inotify" "$root/proc/sys/fs/inotify/max_user_instances"
mount --bind "$root/.lab/claims/inotify-watches" "$root/proc/sys/fs/inotify/max_user_watches"
chmod -R a+rX "$root/.lab/claims"

cd "$root"
pivot_root . .old
umount -l /.old
rmdir /.old
ssh-keygen -q -t ed25519 -N '' -C "$name" -f /etc/ssh/lab_host_ed25519
/usr/sbin/sshd -E /var/log/lab/sshd.log
if [ "$name" = deployment-node ]; then
  # The table is written through `faults.sh dns`; the server reads it for every question.
  exec 4< <(exec /usr/bin/python3 -B /usr/local/lib/lab/dns.py /usr/local/lib/lab/dns.table 2>>/var/log/lab/dns.log 5>&-)
  IFS= read -r _ <&4
fi
trap - ERR
echo "ready $name" >&5
exec 5>&-
# Process number 1 of the host collects orphans; bash does that while it reads.
mkfifo -m 600 /run/forever
exec 8<>/run/forever
while :; do read -r -u 8 _ || :; done
