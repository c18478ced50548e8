//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.

pub mod ansible;
pub mod journal;
pub mod process;
pub mod terraform;
