#!/bin/bash
# A miniature of our own for the rehearsal, with the prompts and releases of the published script.
set -e
ask() { read -rp "$1" answer; }
line() { echo "$1"; }
ssl() {
  line "Do you have public domain & valid SSL? (Y/n) "
  line "Y: if you have public domain & valid ssl certificate"
  local last="n: If you don't have a public domain and a valid SSL certificate. Note: It is recommended to use this option only in development environments."
  line "${1:-$last}"
  read -r flag
  [ -n "$flag" ] || exit 1
}
release() {
  echo "Installing $2"
  helm -n "$1" install "$2" "mosip/$2" --wait
}
object() { kubectl -n "$1" create "${2%%/*}" "${2#*/}"; }
setting() { kubectl get cm global -o "jsonpath={.data.$1}"; }
playbook() { ansible-playbook -i hosts.ini nfs-server.yaml; }
