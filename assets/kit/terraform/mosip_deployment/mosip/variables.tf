variable "kubeconfig_path" {
  type = string
}

variable "installation_name" {
  type = string
}

variable "installation_domain" {
  type = string
}

variable "mosip_version" {
  type = string
}

variable "iam_smtp_host" {
  type = string
}

variable "iam_smtp_port" {
  type = string
}

variable "iam_smtp_from" {
  type = string
}

variable "iam_smtp_password" {
  type      = string
  sensitive = true
  default   = ""
}

variable "module_wait_seconds" {
  type    = number
  default = 0
}

variable "global_helm_timeout_seconds" {
  type    = number
  default = 1800
}

variable "httpbin_enable" {
  type    = bool
  default = true
}

variable "postgres_enable" {
  type    = bool
  default = true
}

variable "iam_enable" {
  type    = bool
  default = true
}

variable "enable_activemq" {
  type    = bool
  default = true
}

variable "enable_kafka" {
  type    = bool
  default = true
}

variable "enable_clamav" {
  type    = bool
  default = true
}

variable "msg_gateway_enabled" {
  type    = bool
  default = true
}

variable "conf_secrets_enabled" {
  type    = bool
  default = true
}

variable "enable_landing_page" {
  type    = bool
  default = true
}

variable "enable_captcha" {
  type    = bool
  default = true
}

variable "config_server_enabled" {
  type    = bool
  default = true
}

variable "artifactory_enable" {
  type    = bool
  default = true
}

variable "enable_keymanager" {
  type    = bool
  default = true
}

variable "websub_enabled" {
  type    = bool
  default = true
}

variable "mock_smtp_enabled" {
  type    = bool
  default = true
}

variable "kernel_enabled" {
  type    = bool
  default = true
}

variable "masterdata_loader_enabled" {
  type    = bool
  default = true
}

variable "biosdk_enabled" {
  type    = bool
  default = true
}

variable "packetmanager_enabled" {
  type    = bool
  default = true
}

variable "datashare_enabled" {
  type    = bool
  default = true
}

variable "prereg_enabled" {
  type    = bool
  default = true
}

variable "idrepo_enabled" {
  type    = bool
  default = true
}

variable "pms_enabled" {
  type    = bool
  default = true
}

variable "mock_abis_enabled" {
  type    = bool
  default = true
}

variable "regproc_enabled" {
  type    = bool
  default = true
}

variable "admin_enabled" {
  type    = bool
  default = true
}

variable "ida_enabled" {
  type    = bool
  default = true
}

variable "print_enabled" {
  type    = bool
  default = true
}

variable "resident_enabled" {
  type    = bool
  default = true
}

variable "regclient_enabled" {
  type    = bool
  default = true
}

variable "mosip_file_server_enabled" {
  type    = bool
  default = true
}

variable "partner_onboarder_enabled" {
  type    = bool
  default = true
}
