# The parts of MOSIP in eleven groups, each waiting for the one before.

terraform {
  required_version = ">= 1.9"
}

module "httpbin" {
  count    = var.httpbin_enable ? 1 : 0
  source   = "../modules/release"
  name     = "httpbin"
  releases = []
}

module "postgres" {
  count    = var.postgres_enable ? 1 : 0
  source   = "../modules/release"
  name     = "postgres"
  releases = ["postgres", "postgres-init"]
}

module "iam" {
  count      = var.iam_enable ? 1 : 0
  source     = "../modules/release"
  name       = "keycloak"
  releases   = ["keycloak", "keycloak-init"]
  depends_on = [module.postgres]
}

resource "terraform_data" "phase_1_complete" {
  input      = 1
  depends_on = [module.httpbin, module.postgres, module.iam]
}

module "softhsm" {
  source     = "../modules/release"
  name       = "softhsm"
  releases   = ["softhsm-kernel", "softhsm-ida"]
  depends_on = [terraform_data.phase_1_complete]
}

module "minio" {
  source     = "../modules/release"
  name       = "minio"
  releases   = ["minio"]
  depends_on = [terraform_data.phase_1_complete]
}

module "activemq" {
  count      = var.enable_activemq ? 1 : 0
  source     = "../modules/release"
  name       = "activemq"
  releases   = ["activemq"]
  depends_on = [terraform_data.phase_1_complete]
}

module "kafka" {
  count      = var.enable_kafka ? 1 : 0
  source     = "../modules/release"
  name       = "kafka"
  releases   = ["kafka", "kafka-ui"]
  depends_on = [terraform_data.phase_1_complete]
}

module "clamav" {
  count      = var.enable_clamav ? 1 : 0
  source     = "../modules/release"
  name       = "clamav"
  releases   = ["clamav"]
  depends_on = [terraform_data.phase_1_complete]
}

module "msg_gateway" {
  count      = var.msg_gateway_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "msg-gateways"
  releases   = []
  depends_on = [terraform_data.phase_1_complete]
}

module "conf_secrets" {
  count      = var.conf_secrets_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "conf-secrets"
  releases   = ["conf-secrets"]
  depends_on = [terraform_data.phase_1_complete]
}

module "landing_page" {
  count      = var.enable_landing_page ? 1 : 0
  source     = "../modules/release"
  name       = "landing-page"
  releases   = ["landing-page"]
  depends_on = [terraform_data.phase_1_complete]
}

module "captcha" {
  count      = var.enable_captcha ? 1 : 0
  source     = "../modules/release"
  name       = "captcha"
  releases   = ["captcha"]
  depends_on = [terraform_data.phase_1_complete]
}

resource "terraform_data" "phase_2_complete" {
  input      = 2
  depends_on = [module.softhsm, module.minio, module.activemq, module.kafka, module.clamav, module.msg_gateway, module.conf_secrets, module.landing_page, module.captcha]
}

module "config_server" {
  count      = var.config_server_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "config-server"
  releases   = ["config-server"]
  depends_on = [terraform_data.phase_2_complete]
}

module "artifactory" {
  count      = var.artifactory_enable ? 1 : 0
  source     = "../modules/release"
  name       = "artifactory"
  releases   = ["artifactory"]
  depends_on = [module.config_server]
}

resource "terraform_data" "phase_3_complete" {
  input      = 3
  depends_on = [module.config_server, module.artifactory]
}

module "keymanager" {
  count      = var.enable_keymanager ? 1 : 0
  source     = "../modules/release"
  name       = "keymanager"
  releases   = ["kernel-keygen", "keymanager"]
  depends_on = [terraform_data.phase_3_complete]
}

module "websub" {
  count      = var.websub_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "websub"
  releases   = ["websub-consolidator", "websub"]
  depends_on = [module.keymanager]
}

module "mock_smtp" {
  count      = var.mock_smtp_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "mock-smtp"
  releases   = ["mock-smtp"]
  depends_on = [terraform_data.phase_3_complete]
}

resource "terraform_data" "phase_4_complete" {
  input      = 4
  depends_on = [module.keymanager, module.websub, module.mock_smtp]
}

module "kernel" {
  count      = var.kernel_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "kernel"
  releases   = ["idgenerator", "authmanager", "auditmanager", "masterdata", "otpmanager", "pridgenerator", "ridgenerator", "syncdata", "notifier"]
  depends_on = [terraform_data.phase_4_complete]
}

module "masterdata_loader" {
  count      = var.masterdata_loader_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "masterdata-loader"
  releases   = ["masterdata-loader"]
  depends_on = [module.kernel]
}

resource "terraform_data" "phase_5_complete" {
  input      = 5
  depends_on = [module.kernel, module.masterdata_loader]
}

module "biosdk" {
  count      = var.biosdk_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "biosdk"
  releases   = ["biosdk-service"]
  depends_on = [terraform_data.phase_5_complete]
}

module "packetmanager" {
  count      = var.packetmanager_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "packetmanager"
  releases   = ["packetmanager"]
  depends_on = [module.biosdk]
}

module "datashare" {
  count      = var.datashare_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "datashare"
  releases   = ["datashare"]
  depends_on = [module.packetmanager]
}

module "prereg" {
  count      = var.prereg_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "prereg"
  releases   = ["prereg-gateway", "prereg-application", "prereg-booking", "prereg-datasync", "prereg-batchjob", "prereg-ui"]
  depends_on = [module.datashare]
}

resource "terraform_data" "phase_6_complete" {
  input      = 6
  depends_on = [module.biosdk, module.packetmanager, module.datashare, module.prereg]
}

module "idrepo" {
  count      = var.idrepo_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "idrepo"
  releases   = ["idrepo-saltgen", "credential", "credentialrequest", "identity", "vid"]
  depends_on = [terraform_data.phase_6_complete]
}

module "pms" {
  count      = var.pms_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "pms"
  releases   = ["pms-partner", "pms-policy", "pmp-ui", "pmp-revamp-ui"]
  depends_on = [module.idrepo]
}

module "mock_abis" {
  count      = var.mock_abis_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "abis"
  releases   = ["mock-abis", "mock-mv"]
  depends_on = [module.pms]
}

resource "terraform_data" "phase_7_complete" {
  input      = 7
  depends_on = [module.idrepo, module.pms, module.mock_abis]
}

module "regproc" {
  count      = var.regproc_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "regproc"
  releases   = ["regproc-salt", "regproc-group1", "regproc-group2", "regproc-group3", "regproc-group4", "regproc-group5", "regproc-group6", "regproc-group7", "regproc-workflow", "regproc-status", "regproc-camel", "regproc-pktserver", "regproc-trans", "regproc-notifier", "regproc-reprocess", "regproc-landingzone"]
  depends_on = [terraform_data.phase_7_complete]
}

module "admin" {
  count      = var.admin_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "admin"
  releases   = ["admin-hotlist", "admin-service", "admin-ui"]
  depends_on = [module.regproc]
}

resource "terraform_data" "phase_8_complete" {
  input      = 8
  depends_on = [module.regproc, module.admin]
}

module "ida" {
  count      = var.ida_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "ida"
  releases   = ["ida-keygen", "ida-auth", "ida-internal", "ida-otp"]
  depends_on = [terraform_data.phase_8_complete]
}

module "print" {
  count      = var.print_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "print"
  releases   = ["print-service"]
  depends_on = [module.ida]
}

resource "terraform_data" "phase_9_complete" {
  input      = 9
  depends_on = [module.ida, module.print]
}

module "resident" {
  count      = var.resident_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "resident"
  releases   = ["resident", "resident-ui"]
  depends_on = [terraform_data.phase_9_complete]
}

module "regclient" {
  count      = var.regclient_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "regclient"
  releases   = ["regclient"]
  depends_on = [terraform_data.phase_9_complete]
}

module "mosip_file_server" {
  count      = var.mosip_file_server_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "mosip-file-server"
  releases   = ["mosip-file-server"]
  depends_on = [terraform_data.phase_9_complete]
}

resource "terraform_data" "phase_10_complete" {
  input      = 10
  depends_on = [module.resident, module.regclient, module.mosip_file_server]
}

module "partner_onboarder" {
  count      = var.partner_onboarder_enabled ? 1 : 0
  source     = "../modules/release"
  name       = "onboarder"
  releases   = ["partner-onboarder"]
  depends_on = [terraform_data.phase_10_complete]
}
