#!/bin/bash
# Faults of a host, run on it by `lab.sh fault DIR NAME [HOST] ARGUMENTS…`:
#
#   host-down HOST | host-up HOST               its cable is pulled or plugged
#   port-closed HOST PORT [tcp|udp]             packets to this port are dropped, as by a firewall
#   port-open HOST PORT [tcp|udp]               the same, undone
#   path-closed HOST FROM PORT [tcp|udp]        the same for what comes from one address or network alone
#   path-open HOST FROM PORT [tcp|udp]          the same, undone
#   busy-port HOST PORT | free-port HOST PORT   something listens there already
#   no-sudo HOST | sudo HOST                    sudo asks for a password, or does not
#   no-login HOST | login HOST                  the key is refused, or accepted
#   disk HOST SIZE                              the size of its disk, as 4G
#   cpus HOST N                                 what nproc says (claim)
#   memory HOST GIB                             what /proc/meminfo says (claim)
#   swap HOST on|off                            what /proc/swaps and /etc/fstab say (claim)
#   clock HOST SECONDS yes|no                   how far its clock is off, whether it is synchronised (claim)
#   sudo-tty HOST on|off                        sudo wants a terminal, or does not
#   firewall HOST on|off                        ufw says that it is active (claim)
#   leftover HOST on|off                        the data of an earlier k3s
#   twin HOST OTHER|off                         the machine id of the host called OTHER, or its own
#   hosts-file HOST on|off                      /etc/hosts leads a name of the site elsewhere
#   resolver HOST on|off                        /etc/resolv.conf names the host itself alone
#   multipath HOST on|off                       a multipathd runs (claim: a process of that name)
#   inotify HOST NUMBER                         how many file watchers the kernel says it gives (claim; 8192 is right)
#   mtu HOST BYTES                              the MTU of its network card (1500 is right)
#   route HOST on|off                           a route into the pods' network
#   shut-in HOST on|off                         nothing gets out (claim: what curl says)
#   package-lock HOST on|off                    dpkg's lock is held by another process
#   packages HOST real|recorded                whether apt-get is the real one (which finds no mirror)
#   fail-once HOST NAME                         the mini kit's task or release NAME fails once there
#   reboot-pending HOST on|off                  an update waits for a reboot
#   system HOST debian|ubuntu                   what /etc/os-release says (claim)
#   host-key HOST new|old                       its sshd presents another key, or the first one again
#   slow HOST on|off                            its link takes 128 kbit/s
#   dns set NAME TYPE VALUE | dns add NAME TYPE VALUE | dns del NAME | dns mode answer|servfail|silent|lie
#   answer HOST TOOL FILE-OR-TEXT               what a recorder says instead of its usual answer; empty: usual
set -euo pipefail
table=/usr/local/lib/lab/dns.table
name=$1
shift
case $name in
  port-closed) ip rule add pref 10 ipproto "${2:-tcp}" dport "$1" blackhole ;;
  port-open) ip rule del pref 10 ipproto "${2:-tcp}" dport "$1" blackhole ;;
  path-closed) ip rule add pref 10 iif eth0 from "$1" ipproto "${3:-tcp}" dport "$2" blackhole ;;
  path-open) ip rule del pref 10 iif eth0 from "$1" ipproto "${3:-tcp}" dport "$2" blackhole ;;
  busy-port)
    # Says a line once it listens, so that the caller goes on when it is true.
    exec 4< <(exec setsid /usr/bin/python3 -c '
import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", int(sys.argv[1]))); s.listen()
open("/run/busy-port-" + sys.argv[1], "w").write(str(os.getpid()))
print("listening", flush=True); os.close(1)
while True: s.accept()[0].close()' "$1" 2>/dev/null)
    IFS= read -r _ <&4
    ;;
  free-port) kill "$(cat "/run/busy-port-$1")" ;;
  no-sudo) printf 'Defaults !fqdn\nubuntu ALL=(ALL) ALL\n' >/etc/sudoers.d/ubuntu; printf 'auth required pam_deny.so\naccount sufficient pam_permit.so\n' >/etc/pam.d/sudo ;;
  sudo) printf 'Defaults !fqdn\nubuntu ALL=(ALL) NOPASSWD:ALL\n' >/etc/sudoers.d/ubuntu ;;
  no-login) mv /home/ubuntu/.ssh/authorized_keys /home/ubuntu/.ssh/refused_keys ;;
  login) mv /home/ubuntu/.ssh/refused_keys /home/ubuntu/.ssh/authorized_keys ;;
  disk) mount -o "remount,size=$1" /.lab ;;
  cpus) echo "$1" >/.lab/claims/cpus ;;
  memory)
    # Written into the file that is mounted, not beside it.
    kib=$(($1 * 1024 * 1024))
    text=$(awk -v total=$kib '/^MemTotal:/ { $2 = total } /^Mem(Free|Available):/ { $2 = int(total * 0.9) } { print $1, $2, $3 }' /.lab/claims/meminfo)
    printf '%s\n' "$text" >/.lab/claims/meminfo
    ;;
  swap)
    printf 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' >/.lab/claims/swaps
    sed -i '/ swap /d' /etc/fstab
    if [ "$1" = on ]; then
      printf '/swap.img                               file\t\t2097148\t\t0\t\t-2\n' >>/.lab/claims/swaps
      echo '/swap.img none swap sw 0 0' >>/etc/fstab
    fi
    ;;
  clock) echo "$1" >/.lab/claims/clock-offset; echo "${2:-yes}" >/.lab/claims/clock-synchronized ;;
  sudo-tty)
    printf 'Defaults %srequiretty, !fqdn\nubuntu ALL=(ALL) NOPASSWD:ALL\n' "$([ "$1" = on ] || printf '!')" >/etc/sudoers.d/ubuntu
    ;;
  leftover) if [ "$1" = on ]; then mkdir -p /var/lib/rancher/k3s/server; else rm -rf /var/lib/rancher/k3s; fi ;;
  twin)
    if [ "$1" = off ]; then who=$(hostname); else who=$1; fi
    printf '%s' "$who" | md5sum | cut -d ' ' -f 1 >/etc/machine-id
    ;;
  hosts-file)
    sed -i '/10\.99\.99\.99/d' /etc/hosts
    if [ "$1" = on ]; then echo '10.99.99.99 api-internal.sandbox.example.org' >>/etc/hosts; fi
    ;;
  resolver)
    if [ "$1" = on ]; then server=127.0.0.1; else server=10.77.0.5; fi
    printf 'nameserver %s\noptions timeout:1 attempts:1\n' "$server" >/etc/resolv.conf
    ;;
  multipath)
    if [ "$1" = on ]; then
      cp "$(readlink -f /usr/bin/sleep)" /run/multipathd
      exec 4< <(exec setsid sh -c 'echo $$ >/run/multipathd.pid; echo runs; exec /run/multipathd infinity >/dev/null 2>&1')
      IFS= read -r _ <&4
      # The shell has said so a moment before it becomes what it is to be.
      until [ "$(cat "/proc/$(cat /run/multipathd.pid)/comm")" = multipathd ]; do :; done
    else
      kill "$(cat /run/multipathd.pid)"
    fi
    ;;
  inotify) echo "$1" >/.lab/claims/inotify ;;
  mtu) ip link set eth0 mtu "$1" ;;
  route) if [ "$1" = on ]; then ip route add 10.42.0.0/16 via 10.77.0.1; else ip route del 10.42.0.0/16; fi ;;
  shut-in) if [ "$1" = on ]; then echo 'exit 28' >/var/log/lab/answer-curl; else rm -f /var/log/lab/answer-curl; fi ;;
  package-lock)
    if [ "$1" = on ]; then
      exec 4< <(exec setsid /usr/bin/python3 -c '
import fcntl, os, signal
f = open("/var/lib/dpkg/lock-frontend", "a"); fcntl.lockf(f, fcntl.LOCK_EX)
open("/run/package-lock", "w").write(str(os.getpid()))
print("held", flush=True); os.close(1)
signal.pause()' 2>/dev/null)
      IFS= read -r _ <&4
    else
      kill "$(cat /run/package-lock)"
    fi
    ;;
  firewall)
    if [ "$1" = on ]; then
      mkdir -p /etc/ufw
      echo 'ENABLED=yes' >/etc/ufw/ufw.conf
      ln -sf /usr/local/lib/lab/recorder /usr/local/bin/ufw
    else
      rm -f /etc/ufw/ufw.conf /usr/local/bin/ufw
    fi
    ;;
  reboot-pending) if [ "$1" = on ]; then : >/run/reboot-required; else rm -f /run/reboot-required; fi ;;
  system)
    [ -e /etc/os-release.ubuntu ] || cp /etc/os-release /etc/os-release.ubuntu
    if [ "$1" = debian ]; then
      printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (lab claim)"\n' >/etc/os-release
    else
      cp /etc/os-release.ubuntu /etc/os-release
    fi
    ;;
  host-key)
    key=/etc/ssh/lab_host_ed25519
    [ -e "$key.old" ] || cp -p "$key" "$key.old"
    rm -f "$key" "$key.pub"
    if [ "$1" = new ]; then ssh-keygen -q -t ed25519 -N '' -f "$key"; else cp -p "$key.old" "$key"; fi
    # sshd reads its keys when it starts; the old one goes, the new one listens before this returns.
    kill "$(pgrep -o -x sshd)"
    while pgrep -x sshd -a | grep -q listener; do :; done
    /usr/sbin/sshd -E /var/log/lab/sshd.log
    ;;
  slow) if [ "$1" = on ]; then tc qdisc add dev eth0 root tbf rate 128kbit burst 1600 latency 800ms; else tc qdisc del dev eth0 root; fi ;;
  packages) if [ "$1" = real ]; then rm -f /usr/local/bin/apt-get; else ln -sf /usr/local/lib/lab/recorder /usr/local/bin/apt-get; fi ;;
  fail-once) : >"/var/lib/mosip-lab/fail-once-$1"; chown 1000:1000 "/var/lib/mosip-lab/fail-once-$1" ;;
  answer) if [ -n "${2:-}" ]; then printf '%s\n' "$2" >"/var/log/lab/answer-$1"; else rm -f "/var/log/lab/answer-$1"; fi ;;
  dns)
    action=$1
    shift
    cp "$table" "$table.new"
    case $action in
      set) awk -v name="$1" -v type="$2" '!($1 == name && ($2 == type || $2 == "CNAME" || type == "CNAME"))' "$table" >"$table.new"; echo "$*" >>"$table.new" ;;
      add) echo "$*" >>"$table.new" ;;
      del) awk -v name="$1" '$1 != name' "$table" >"$table.new" ;;
      mode) awk '$1 != "!mode"' "$table" >"$table.new"; echo "!mode $1" >>"$table.new" ;;
      *) echo "dns set|add|del|mode" >&2; exit 1 ;;
    esac
    # Replaced as a whole, so that no question sees half a table.
    mv "$table.new" "$table"
    ;;
  *) echo "unknown fault $name" >&2; exit 1 ;;
esac
