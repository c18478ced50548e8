#!/bin/bash
# Says as JSON whether the main cluster can be reached with the kubeconfig given.
no() {
  printf '{"ready": "false", "message": "%s"}\n' "$1"
  exit 1
}
command -v kubectl >/dev/null || no "there is no kubectl"
kubectl --kubeconfig="$1" cluster-info >/dev/null 2>&1 || no "the cluster does not answer"
echo '{"ready": "true", "message": "the cluster answers"}'
