#!/bin/bash
# Stands for helm, kubectl and ansible-playbook in a rehearsal: a cluster is a folder with a file for each release and object.
cluster=$REHEARSAL_CLUSTER/$(basename "${KUBECONFIG:-none}")
mkdir -p "$cluster"
namespace=default words=()
asked=${*: -1}
while [ $# -gt 0 ]; do
  case $1 in
    -n | --namespace) namespace=$2; shift ;;
    --version | --set | -f | --values | --timeout | -o | --kubeconfig | --create-namespace=*) [ "$1" = -f ] && file=$2; [ "$1" = -o ] && form=$2; shift ;;
    -*) ;;
    *) words+=("$1") ;;
  esac
  shift
done
release=$cluster/$namespace.release.${words[1]}
case $(basename "$0")\ ${words[0]} in
  "helm install")
    if [ -e "$release" ]; then echo "Error: INSTALLATION FAILED: cannot re-use a name that is still in use" >&2; exit 1; fi
    sleep "${REHEARSAL_PAUSE:-0}"
    fails=$REHEARSAL_CLUSTER/fails.$namespace.${words[1]}
    if [ -e "$fails" ]; then
      rm "$fails"
      echo failed >"$release"
      echo "Error: INSTALLATION FAILED: timed out waiting for the condition" >&2
      exit 1
    fi
    echo deployed >"$release"
    printf 'NAME: %s\nNAMESPACE: %s\nSTATUS: deployed\nREVISION: 1\n' "${words[1]}" "$namespace" ;;
  "helm status")
    if [ ! -e "$release" ]; then echo "Error: release: not found" >&2; exit 1; fi
    printf '{"version":1,"info":{"status":"%s","description":"rehearsed"}}\n' "$(cat "$release")" ;;
  "helm uninstall") rm -f "$release"; echo "release \"${words[1]}\" uninstalled" ;;
  "kubectl create") : >"$cluster/$namespace.${words[1]}.${words[2]}"; echo "${words[1]}/${words[2]} created" ;;
  "kubectl apply") [ -f "$file" ] && cp "$file" "$cluster/applied"; echo "configured (rehearsal)" ;;
  "kubectl get")
    case $form in
      jsonpath=*) key=${form#jsonpath=\{.data.}; key=${key%\}}; sed -n "s/^ *$key: *\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$cluster/applied" | head -n 1 | tr -d '\n' ;;
      json) echo '{"items":[]}' ;;
    esac ;;
  # What would ask on a machine asks here: the script of that name in the checkout.
  ssh*) exec "./$(printf '%s' "$asked" | grep -o '[a-z-]*[.]sh' | head -n 1)" ;;
  ansible-playbook*) echo "(rehearsal) the playbook for the NFS machine was not run" ;;
  *) echo "(rehearsal) $(basename "$0") ${words[0]} was not run" ;;
esac
