#!/bin/bash
# A lab: hosts as network namespaces, each with its own root overlay, address, hostname, process tree and sshd.
#
#   lab.sh run DIR [options]            stand a lab up, say "ready" on stdout, stay until stdin ends
#   lab.sh up DIR [options]             the same in the background, until `lab.sh down DIR`
#   lab.sh exec DIR HOST [--root] [--dir D] [--env K=V]… -- COMMAND…   run a command there, as `ubuntu` unless --root
#   lab.sh fault DIR NAME ARGUMENTS…    switch a fault on or off (`lab.sh faults` lists them)
#   lab.sh down DIR                     end it; nothing remains but DIR, which is removed too
#   lab.sh clean                        remove what killed labs have left in $TMPDIR
#
# Options: --hosts FILE   lines `name address [disk]`; default: the eleven of the sample site, see `default_hosts`
#          --bind SRC[:DST]  make a file or folder of this machine visible (read only) on every host; may be repeated
#          --bind-rw SRC[:DST]  the same, writable, for results
#          --delay MS   the deployment node is this far away: the round trip from it to every other host, in milliseconds
#
# All of it lives in mount, process and network namespaces of its own, under one process. When that process ends, for
# whatever reason, the kernel takes away hosts, mounts and links. So two labs never meet, not even with the same
# addresses, and nothing is written outside DIR. Needs root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gateway=10.77.0.1

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# name, address, size of the disk
default_hosts() {
  cat <<'HOSTS'
deployment-node 10.77.0.5 64G
wg-bastion 10.77.0.10 16G
mosip-nginx 10.77.0.20 32G
obs-node 10.77.0.30 64G
nginx-obs 10.77.0.31 32G
vm1 10.77.0.41 160G
vm2 10.77.0.42 160G
vm3 10.77.0.43 160G
vm4 10.77.0.44 160G
vm5 10.77.0.45 160G
vm6 10.77.0.46 160G
HOSTS
}

# The records the sample site needs; `lab.sh fault … dns` changes them.
default_records() {
  cat <<'RECORDS'
rancher.sandbox.example.org A 10.77.0.31
api-internal.sandbox.example.org A 10.77.0.20
api.sandbox.example.org A 192.0.2.10
RECORDS
  local name
  for name in prereg resident idp; do echo "$name.sandbox.example.org CNAME api.sandbox.example.org"; done
  echo "sandbox.example.org CNAME api-internal.sandbox.example.org"
  for name in activemq admin iam kafka minio object-store onboarder pmp pmp-revamp postgres regclient smtp kibana; do
    echo "$name.sandbox.example.org CNAME api-internal.sandbox.example.org"
  done
}

# Leaf, intermediate and root for the sample site. `serve` is what nginx gets.
make_certificates() {
  local out=$1
  mkdir -p "$out"
  (
    cd "$out"
    quiet() { "$@" >>openssl.log 2>&1 || { cat openssl.log >&2; exit 1; }; }
    local name
    for name in root intermediate leaf; do quiet openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"; done
    quiet openssl req -x509 -new -key root.key -subj "/CN=Lab Root" -days 3650 -out root.pem
    quiet openssl req -new -key intermediate.key -subj "/CN=Lab Intermediate" -out intermediate.csr
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n' >intermediate.ext
    quiet openssl x509 -req -in intermediate.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1800 \
      -extfile intermediate.ext -out intermediate.pem
    quiet openssl req -new -key leaf.key -subj "/CN=sandbox.example.org" -out leaf.csr
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:sandbox.example.org,DNS:*.sandbox.example.org\n' >leaf.ext
    quiet openssl x509 -req -in leaf.csr -CA intermediate.pem -CAkey intermediate.key -CAcreateserial -days 90 \
      -extfile leaf.ext -out leaf.pem
    # The same names, expired long ago: `openssl x509 -req` takes no dates, `openssl ca` does.
    : >index.txt
    echo 01 >serial
    printf '[ca]\ndefault_ca=lab\n[lab]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n' >ca.conf
    quiet openssl ca -batch -config ca.conf -cert intermediate.pem -keyfile intermediate.key -in leaf.csr -extfile leaf.ext \
      -startdate 20240101000000Z -enddate 20240401000000Z -notext -out expired.pem
    cat leaf.pem intermediate.pem >fullchain.pem
    cat expired.pem intermediate.pem >expired-fullchain.pem
    cp leaf.key privkey.pem
    quiet openssl ecparam -name prime256v1 -genkey -noout -out other.key
    rm -f ./*.csr ./*.ext ./*.srl ./*.conf ./index.txt* ./serial* ./01.pem openssl.log
    chmod 600 ./*.key privkey.pem
  )
}

# What every host has over the machine's own root: a second lower layer.
make_common_layer() {
  local common=$1 dir=$2
  mkdir -p "$common"/{etc/sudoers.d,etc/ssh,usr/local/bin,usr/local/lib/lab,var/log/lab,var/lib/mosip-lab}
  chmod 755 "$common" "$common"/{etc,usr,usr/local,usr/local/bin,usr/local/lib,usr/local/lib/lab,var,var/lib}
  chmod 1777 "$common"/var/log/lab "$common"/var/lib/mosip-lab
  # User 1000 is `ubuntu` here, whoever it is on this machine. `*`: no password, not locked.
  { awk -F: '$3 != 1000 && $1 != "ubuntu"' /etc/passwd; echo 'ubuntu:x:1000:1000::/home/ubuntu:/bin/bash'; } >"$common/etc/passwd"
  { awk -F: '$3 != 1000 && $1 != "ubuntu"' /etc/group; echo 'ubuntu:x:1000:'; } >"$common/etc/group"
  printf 'root:*:19000:0:99999:7:::\nubuntu:*:19000:0:99999:7:::\nsshd:!:19000::::::\n' >"$common/etc/shadow"
  chmod 640 "$common/etc/shadow"
  printf 'Defaults !requiretty, !fqdn\nubuntu ALL=(ALL) NOPASSWD:ALL\n' >"$common/etc/sudoers.d/ubuntu"
  chmod 440 "$common/etc/sudoers.d/ubuntu"
  # PAM modules of this machine (systemd, limits) have no place in a lab.
  mkdir -p "$common/etc/pam.d"
  printf 'auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n' | tee "$common/etc/pam.d/sudo" >"$common/etc/pam.d/sudo-i"
  # A claim: the kit is made for Ubuntu, and what it asks of it is in this file alone.
  printf 'NAME="Ubuntu"\nVERSION_ID="24.04"\nVERSION="24.04 LTS (lab claim)"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04 (lab claim)"\nVERSION_CODENAME=noble\n' >"$common/etc/os-release"
  printf 'nameserver 10.77.0.5\noptions timeout:3 attempts:2\n' >"$common/etc/resolv.conf"
  printf 'hosts: files dns\npasswd: files\ngroup: files\nshadow: files\nservices: files\nprotocols: files\n' >"$common/etc/nsswitch.conf"
  cat >"$common/etc/ssh/sshd_config" <<'SSHD'
HostKey /etc/ssh/lab_host_ed25519
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
MaxStartups 100:30:200
Subsystem sftp internal-sftp
SSHD
  cp "$here/recorders/recorder" "$common/usr/local/lib/lab/recorder"
  cp "$here/dns.py" "$here/faults.sh" "$common/usr/local/lib/lab/"
  chmod 755 "$common"/usr/local/lib/lab/*
  local tool
  # A claim: the recorder says that each host is a virtual machine, and that open-iscsi is there.
  mkdir -p "$common/etc/systemd/system/sockets.target.wants"
  : >"$common/etc/systemd/system/sockets.target.wants/iscsid.socket"
  for tool in kubectl helm istioctl snap systemctl curl timedatectl certbot modprobe sysctl swapoff apt-get systemd-detect-virt iscsiadm; do
    ln -s /usr/local/lib/lab/recorder "$common/usr/local/bin/$tool"
  done
  for tool in nproc date; do ln -s /usr/local/lib/lab/recorder "$common/usr/local/bin/$tool"; done
  # Small tools that nothing here uses in earnest, but that a deployment node must have.
  for tool in jq wget unzip; do
    type -P "$tool" >/dev/null || ln -s /usr/local/lib/lab/recorder "$common/usr/local/bin/$tool"
  done
  # A real Terraform, wherever this machine has it, unless its folder is already searched on the hosts.
  local terraform
  if terraform=$(type -P terraform); then cp --reflink=auto "$(readlink -f "$terraform")" "$common/usr/local/bin/terraform"; fi
  cp "$dir/dns.table" "$common/usr/local/lib/lab/dns.table"
}

clean() {
  local dir
  for dir in "${TMPDIR:-/tmp}"/mosip-lab-*/; do
    [ -e "$dir/lock" ] || continue
    # The lock is held by the lab's own process for as long as it lives.
    if (exec 7<"$dir/lock" && flock -n 7); then rm -rf --one-file-system "$dir"; fi
  done
}

# The lab's process number 1, in namespaces of its own.
keeper() {
  local dir=$1 mode=$2 outer
  # The lock on descriptor 7 comes from `lab.sh run`, and is held for as long as this process lives.
  # /proc is still the one of the machine: this is our number outside.
  read -r outer _ </proc/self/stat
  echo "$outer" >"$dir/keeper.pid"
  mount --make-rprivate /
  mkdir -p "$dir/run" "$dir/hosts"
  mount -t tmpfs -o mode=755,size=90% lab "$dir/run"
  make_common_layer "$dir/run/common" "$dir"
  ip link set lo up
  ip link add br0 type bridge
  ip addr add "$gateway/24" dev br0
  ip link set br0 up
  mkfifo "$dir/run/ready"
  exec 6<>"$dir/run/ready"
  local name address disk count=0
  while read -r name address disk; do
    [ -n "$name" ] || continue
    count=$((count + 1))
    LAB_KEEPER=$outer LAB_INDEX=$count unshare --net --mount --uts --ipc --pid --fork --kill-child \
      bash "$here/host.sh" "$dir" "$name" "$address" "${disk:-32G}" </dev/null >"$dir/hosts/$name.log" 2>&1 7<&- &
  done <"$dir/hosts.table"
  local line failed=0
  for ((; count > 0; count--)); do
    IFS= read -r -t 60 -u 6 line || { say "a host did not come up within a minute"; failed=1; break; }
    case $line in ready\ *) ;; *) say "$line"; failed=1 ;; esac
  done
  if [ "$failed" = 1 ]; then tail -n 5 "$dir"/hosts/*.log >&2; exit 1; fi
  echo ready
  exec >/dev/null
  # `run` ends with its owner: the pipe on stdin closes even when the owner is killed.
  # Process number 1 also collects what is left behind; bash does that while it reads.
  if [ "$mode" = run ]; then cat >/dev/null; else while :; do read -r -u 6 _ || :; done; fi
  exit 0
}

prepare() {
  local dir=$1
  shift
  unset LAB_DELAY
  [ "$(id -u)" = 0 ] || die "needs root"
  # Another lab that cleans up may take the folder away between these lines: then once more.
  while :; do
    mkdir -p "$dir"
    exec 7>>"$dir/lock"
    flock -n 7 || die "$dir is in use"
    if [ "$dir/lock" -ef /proc/self/fd/7 ]; then break; fi
  done
  local hosts=""
  : >"$dir/binds"
  while [ $# -gt 0 ]; do
    case $1 in
      --hosts) hosts=$2; shift 2 ;;
      --bind) echo "ro ${2%%:*} ${2#*:}" >>"$dir/binds"; shift 2 ;;
      --bind-rw) echo "rw ${2%%:*} ${2#*:}" >>"$dir/binds"; shift 2 ;;
      --delay) export LAB_DELAY=$2; shift 2 ;;
      *) die "unknown option $1" ;;
    esac
  done
  if [ -n "$hosts" ]; then cp "$hosts" "$dir/hosts.table"; else default_hosts >"$dir/hosts.table"; fi
  default_records >"$dir/dns.table"
  [ -e "$dir/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$dir/id_ed25519"
  [ -e "$dir/certificates/fullchain.pem" ] || make_certificates "$dir/certificates"
}

host_pid() { cat "$1/hosts/$2.pid" 2>/dev/null || die "no host $2 in $1"; }

case ${1:-help} in
  run | up)
    mode=$1 dir=$(realpath -m "$2")
    shift 2
    clean
    prepare "$dir" "$@"
    start=(unshare --mount --net --pid --ipc --fork --kill-child bash "$here/lab.sh" __keeper "$dir" "$mode")
    if [ "$mode" = run ]; then exec "${start[@]}"; fi
    mkfifo "$dir/said"
    setsid "${start[@]}" </dev/null >"$dir/said" 2>"$dir/lab.log" &
    IFS= read -r answer <"$dir/said" || answer=""
    rm -f "$dir/said"
    [ "$answer" = ready ] || { cat "$dir/lab.log" >&2; die "the lab did not come up"; }
    echo ready
    ;;
  __keeper) keeper "$2" "$3" ;;
  exec)
    dir=$(realpath "$2") host=$3
    shift 3
    as=(setpriv --reuid=1000 --regid=1000 --init-groups) home=/home/ubuntu user=ubuntu folder="" variables=()
    while [ "${1:-}" != -- ]; do
      case ${1:-} in
        --root) as=() home=/root user=root; shift ;;
        --dir) folder=$2; shift 2 ;;
        --env) variables+=("$2"); shift 2 ;;
        *) die "exec DIR HOST [--root] [--dir D] [--env K=V]… -- COMMAND…" ;;
      esac
    done
    shift
    exec nsenter -t "$(host_pid "$dir" "$host")" --mount --net --uts --ipc --pid --wdns=/ -- \
      env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 TERM="${TERM:-xterm-256color}" \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" "${as[@]}" \
      sh -c "cd \"\$1\" && shift && exec \"\$@\"" lab "${folder:-$home}" "$@"
    ;;
  fault)
    dir=$(realpath "$2") name=$3
    shift 3
    case $name in
      host-down | host-up)
        # The cable is pulled at the bridge, in the lab's own network.
        index=$(awk -v host="$1" '$1 == host { print NR }' "$dir/hosts.table")
        [ -n "$index" ] || die "no host $1"
        if [ "$name" = host-down ]; then state=down; else state=up; fi
        nsenter -t "$(cat "$dir/keeper.pid")" --net ip link set "h$index" "$state"
        ;;
      dns) nsenter -t "$(host_pid "$dir" deployment-node)" --mount --net --pid -- /usr/local/lib/lab/faults.sh dns "$@" ;;
      *) host=$1; shift; nsenter -t "$(host_pid "$dir" "$host")" --mount --net --uts --pid -- /usr/local/lib/lab/faults.sh "$name" "$@" ;;
    esac
    ;;
  faults) sed -n 's/^#   //p' "$here/faults.sh" ;;
  down)
    dir=$(realpath "$2")
    if pid=$(cat "$dir/keeper.pid" 2>/dev/null) && ! (exec 7<"$dir/lock" && flock -n 7); then
      kill -KILL "$pid" 2>/dev/null || :
      # The lock is free when the last of the lab's processes is gone.
      flock -w 10 "$dir/lock" true || die "the lab in $dir does not end"
    fi
    rm -rf --one-file-system "$dir"
    ;;
  clean) clean ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$here/lab.sh" ;;
esac
