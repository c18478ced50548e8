# The machine probe of mosip-setup: POSIX sh, reads only, leaves nothing behind.
# Set before it: marker (random), use_sudo (1 or 0), paths, modules (words), and a function commands() that calls remote().
# Every line of an answer is "MARKER KEY=VALUE" or "MARKER KEY|LINE"; whatever else the login shell prints is not ours.

LC_ALL=C
export LC_ALL
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/snap/bin"
export PATH

put() { printf '%s %s=%s\n' "$marker" "$1" "$2"; }
block() { sed "s/^/$marker $1|/" | head -c "${2:-65536}"; echo; }
have() { command -v "$1" >/dev/null 2>&1; }
root() { if [ "$elevate" = yes ]; then sudo -n "$@"; else "$@"; fi; }
limited() { if have timeout; then timeout "$@"; else shift; "$@"; fi; }

remote() { # CHECK SUDO COMMAND
  if [ "$2" = 1 ] && [ "$elevate" != yes ] && [ "$(id -u)" != 0 ]; then
    put "command.$1.exit" no-sudo
    return
  fi
  if [ "$2" = 1 ] && [ "$(id -u)" != 0 ]; then
    set -- "$1" sudo -n sh -c "$3"
  else
    set -- "$1" sh -c "$3"
  fi
  check=$1
  shift
  {
    code=$(
      {
        {
          limited 20 "$@" 2>&1
          echo "$?" >&3
        } | head -c 8192 | sed "s/^/$marker command.$check.output|/" >&4
      } 3>&1
    )
  } 4>&1
  echo
  put "command.$check.exit" "$code"
}

system_facts() {
  put user "$(id -un 2>/dev/null)"
  put uid "$(id -u)"
  if [ -r /etc/os-release ]; then block os </etc/os-release; elif [ -r /usr/lib/os-release ]; then block os </usr/lib/os-release; fi
  put arch "$(uname -m)"
  put kernel "$(uname -r)"
  put cpus "$( (nproc || getconf _NPROCESSORS_ONLN || grep -c '^processor' /proc/cpuinfo) 2>/dev/null | head -n 1)"
  put memory "$(sed -n 's/^MemTotal: *\([0-9]*\) kB.*/\1/p' /proc/meminfo 2>/dev/null)"
  if [ -d /run/systemd/system ]; then put systemd yes; else put systemd no; fi
  if have systemd-detect-virt; then put virtualization "$(systemd-detect-virt 2>/dev/null)"; fi
  python=""
  for candidate in /usr/bin/python3 python3; do
    if have "$candidate"; then
      python=$(limited 10 "$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) && break
      python=""
    fi
  done
  put python "$python"
  if [ -e /var/run/reboot-required ] || [ -e /run/reboot-required ]; then put reboot yes; else put reboot no; fi
}

sudo_facts() {
  elevate=no
  if [ "$use_sudo" != 1 ]; then return; fi
  if [ "$(id -u)" = 0 ]; then
    put sudo root
  elif ! have sudo; then
    put sudo "no: sudo is not installed"
  elif said=$(limited 10 sudo -n true 2>&1); then
    elevate=yes
    put sudo yes
  else
    put sudo "no: $(printf '%s' "$said" | tail -n 1)"
  fi
}

disk_facts() {
  for path in $paths; do
    existing=$path
    while [ ! -e "$existing" ] && [ "$existing" != / ] && [ "$existing" != . ]; do existing=$(dirname "$existing"); done
    line=$(limited 10 df -Pk "$existing" 2>/dev/null | tail -n 1)
    if [ -n "$line" ]; then put "disk" "$path $line"; fi
  done
  if [ "$elevate" = yes ] || [ "$(id -u)" = 0 ]; then
    if have vgs; then root vgs --noheadings --nosuffix --units k -o vg_name,vg_free 2>/dev/null </dev/null | block lvm 4096; fi
  fi
}

swap_facts() {
  if [ -r /proc/swaps ]; then
    put swaps read
    sed 1d /proc/swaps | block swap 4096
  fi
  put swapconf read
  if [ -r /etc/fstab ]; then
    awk '$1 !~ /^#/ && $3 == "swap" && $4 !~ /noauto/ { print "/etc/fstab: " $1 }' /etc/fstab | block swapconf 4096
  fi
  for unit in /etc/systemd/system/*.swap /usr/lib/systemd/system/*.swap /lib/systemd/system/*.swap; do
    # A unit that is masked is a link to /dev/null, and so not a file; one of a package is masked in /etc.
    if [ -f "$unit" ] && [ ! -c "/etc/systemd/system/${unit##*/}" ]; then echo "systemd unit ${unit##*/}"; fi
  done | sort -u | block swapconf 4096
  for file in /etc/systemd/zram-generator.conf /etc/systemd/zram-generator.conf.d/*.conf /etc/default/zramswap; do
    if [ -s "$file" ]; then echo "zram, set up in $file"; fi
  done | block swapconf 4096
}

listener_facts() {
  listing=""
  if have ss; then
    listing=$(root ss -Hlntup 2>/dev/null </dev/null) || listing=$(ss -Hlntu 2>/dev/null </dev/null) || listing=""
    if [ -n "$listing" ]; then
      put listeners ss
      printf '%s\n' "$listing" | block ss 131072
      return
    fi
  fi
  if [ -r /proc/net/tcp ]; then
    put listeners proc
    for table in tcp tcp6 udp udp6; do
      if [ -r "/proc/net/$table" ]; then
        case $table in
        tcp*) awk 'NR > 1 && $4 == "0A" { print $2 }' "/proc/net/$table" ;;
        *) awk 'NR > 1 && $4 == "07" { print $2 }' "/proc/net/$table" ;;
        esac | sort -u | block "net.$table" 131072
      fi
    done
  fi
}

clock_facts() {
  if have timedatectl; then put ntp "$(limited 5 timedatectl show -p NTPSynchronized --value 2>/dev/null)"; fi
}

module_facts() {
  for module in $modules; do
    plain=$(printf '%s' "$module" | tr - _)
    if [ -d "/sys/module/$plain" ]; then
      state=loaded
    elif have modprobe; then
      if modprobe -n -q "$module" 2>/dev/null; then state=loadable; else state=missing; fi
    else
      state=unknown
    fi
    put module "$module $state"
  done
}

lock_facts() {
  if [ ! -r /proc/locks ]; then return; fi
  put locks read
  for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    inode=$(stat -c %i "$file" 2>/dev/null) || continue
    holder=$(awk -v inode="$inode" '{ split($6, where, ":"); if (where[3] == inode && $2 != "->") { print $5; exit } }' /proc/locks)
    if [ -n "$holder" ]; then put lock "$file is held by process $holder ($(cat "/proc/$holder/comm" 2>/dev/null))"; fi
  done
}

network_facts() {
  device=$(awk '$2 == "00000000" && $8 == "00000000" { print $1; exit }' /proc/net/route 2>/dev/null)
  put route "$device"
  if [ -n "$device" ] && [ -r "/sys/class/net/$device/mtu" ]; then put mtu "$(cat "/sys/class/net/$device/mtu")"; fi
  if have ip; then
    put interfaces read
    ip -o -4 addr show 2>/dev/null | awk '{ print $2 " " $4 }' | block interface 8192
  fi
}

leftover_facts() {
  put leftovers read
  for path in /var/lib/rancher/rke2 /var/lib/rancher/k3s /etc/rancher/rke2 /etc/rancher/k3s /var/lib/kubelet /etc/kubernetes /var/lib/etcd /opt/rke; do
    if [ -e "$path" ]; then echo "$path"; fi
  done | block leftover 4096
  for program in dockerd k3s rke2 kubelet; do
    if have "$program"; then echo "program $program"; fi
  done | block leftover 4096
}

probe() {
  echo
  put begin 1
  put now "$(date +%s.%N)"
  sudo_facts
  system_facts
  disk_facts
  swap_facts
  listener_facts
  clock_facts
  module_facts
  lock_facts
  network_facts
  leftover_facts
  put facts 1
  commands
  put end 1
}

probe </dev/null
