//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.

pub mod ansible;
pub mod certificates;
pub mod host;
pub mod ignores;
pub mod journal;
pub mod known_hosts;
pub mod layout;
pub mod net;
pub mod process;
pub mod ssh;
pub mod terraform;
pub mod tools;
pub mod user;
//! One room for each thing outside.
pub mod files;
pub mod paths;
pub mod profiles;
pub mod secrets;
pub mod sites;
pub mod sources;
