//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.

pub mod certificates;
pub mod host;
pub mod ignores;
pub mod known_hosts;
pub mod layout;
pub mod net;
pub mod ssh;
pub mod tools;
pub mod user;
