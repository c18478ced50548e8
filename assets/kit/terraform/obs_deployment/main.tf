# Releases are marks in this miniature: `terraform_data` needs no provider and no cluster.
terraform {
  required_version = ">= 1.9"
}

locals {
  step = "test -s '${var.kubeconfig_path}' || { echo 'no cluster: kubeconfig not found' >&2; exit 1; }; m=/var/lib/mosip-lab/fail-once"
}

resource "terraform_data" "longhorn" {
  input = var.longhorn_version
  provisioner "local-exec" {
    command = "${local.step}-longhorn; if [ -e $m ]; then rm -f $m; echo 'context deadline exceeded' >&2; exit 1; fi; sleep 0.2"
  }
}

resource "terraform_data" "filesystem_pv" {
  input      = var.filesystem_pv_size
  depends_on = [terraform_data.longhorn]
}

resource "terraform_data" "filesystem_pvc" {
  input = terraform_data.filesystem_pv.output
}

resource "terraform_data" "ingress_nginx" {
  input      = var.ingress_nginx_version
  depends_on = [terraform_data.longhorn]
  provisioner "local-exec" {
    command = "${local.step}-ingress-nginx; if [ -e $m ]; then rm -f $m; echo 'context deadline exceeded' >&2; exit 1; fi; sleep 0.2"
  }
}

resource "terraform_data" "rancher" {
  input = {
    version  = var.rancher_version
    hostname = var.rancher_hostname
    replicas = var.rancher_replicas
    password = var.rancher_bootstrap_password
  }
  depends_on = [terraform_data.ingress_nginx]
  provisioner "local-exec" {
    command = "${local.step}-rancher; if [ -e $m ]; then rm -f $m; echo 'context deadline exceeded' >&2; exit 1; fi; sleep 0.3"
  }
}

output "rancher_url" {
  value = "https://${var.rancher_hostname}"
}

output "rancher_bootstrap_password" {
  value     = var.rancher_bootstrap_password
  sensitive = true
}
