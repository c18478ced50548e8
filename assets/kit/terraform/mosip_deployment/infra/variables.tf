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

variable "longhorn_enable" {
  type    = bool
  default = true
}

variable "longhorn_version" {
  type    = string
  default = "1.5.0"
}
