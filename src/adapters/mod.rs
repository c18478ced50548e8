//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.

pub mod ansible;
pub mod ansible_callback;
pub mod certificates;
pub mod files;
pub mod history;
pub mod host;
pub mod ignores;
pub mod import;
pub mod issue;
pub mod journal;
pub mod known_hosts;
pub mod kubectl;
pub mod layout;
pub mod net;
pub mod paths;
pub mod process;
pub mod profiles;
pub mod project;
pub mod secrets;
pub mod sites;
pub mod sources;
pub mod ssh;
pub mod terraform;
pub mod tools;
pub mod user;
