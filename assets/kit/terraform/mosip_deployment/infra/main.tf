terraform {
  required_version = ">= 1.9"
}

resource "terraform_data" "prerequisites" {
  input = var.kubeconfig_path
  provisioner "local-exec" {
    command = "bash ${path.module}/../modules/scripts/check_prerequisites.sh ${var.kubeconfig_path}"
  }
}

module "longhorn" {
  count           = var.longhorn_enable ? 1 : 0
  source          = "../modules/release"
  name            = "longhorn-system"
  releases        = ["longhorn"]
  release_version = var.longhorn_version
  depends_on      = [terraform_data.prerequisites]
}

module "monitoring" {
  source     = "../modules/release"
  name       = "cattle-monitoring-system"
  releases   = ["rancher-monitoring-crd", "rancher-monitoring"]
  depends_on = [module.longhorn]
}

resource "terraform_data" "global" {
  input = {
    installation_name   = var.installation_name
    installation_domain = var.installation_domain
    mosip_version       = var.mosip_version
  }
  depends_on = [module.longhorn]
}

module "istio" {
  source     = "../modules/release"
  name       = "istio-system"
  releases   = ["istio-addons"]
  depends_on = [terraform_data.global, module.monitoring]
}
