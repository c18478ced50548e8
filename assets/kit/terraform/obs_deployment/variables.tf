variable "rancher_hostname" {
  description = "Where Rancher answers"
  type        = string
}

variable "kubeconfig_path" {
  description = "The observation cluster's kubeconfig"
  type        = string
}

variable "rancher_version" {
  type    = string
  default = "2.8.3"
}

variable "ingress_nginx_version" {
  type    = string
  default = "4.10.0"
}

variable "longhorn_version" {
  type    = string
  default = "1.5.1"
}

variable "rancher_bootstrap_password" {
  description = "The first password of Rancher's administrator"
  type        = string
  default     = "admin"
}

variable "rancher_replicas" {
  type    = number
  default = 2
}

variable "filesystem_pv_size" {
  type    = string
  default = "20Gi"
}
