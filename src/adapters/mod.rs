//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.
