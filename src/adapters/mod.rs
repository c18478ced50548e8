//! One room for each thing outside: files, processes, SSH, DNS, Ansible, Terraform, Kubernetes.

pub mod ansible;
pub mod ansible_callback;
pub mod certificates;
pub mod files;
pub mod host;
pub mod ignores;
pub mod import;
pub mod issue;
pub mod journal;
pub mod known_hosts;
pub mod layout;
pub mod net;
pub mod paths;
pub mod preflight_log;
pub mod process;
pub mod profiles;
pub mod project;
pub mod reach;
pub mod secrets;
pub mod session;
pub mod sites;
pub mod sources;
pub mod ssh;
pub mod terraform;
pub mod tools;
mod tunnel;
pub mod user;
