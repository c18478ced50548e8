//! The jump host: the way to machines that the deployment node does not reach by itself.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::plan::{FileContent, PlanFile, PlanMachine};
use super::planner::{shell_quote, ssh_options};
use super::site::Machine;

/// A jump host; it listens on port 22 and lets the SSH key in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Jump {
    /// Its address.
    pub address: Ipv4Addr,
    /// The SSH user there; none: the machine's own.
    pub user: Option<String>,
    /// The path of the SSH key there.
    #[serde(default)]
    pub key: String,
}

impl Jump {
    /// Reads `NAME` of a machine of the site, `10.0.0.1` or `user@10.0.0.1`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str, address_of: &dyn Fn(&str) -> Option<Ipv4Addr>) -> Result<Self, String> {
        let (user, host) = text.split_once('@').map_or((None, text), |(user, host)| (Some(user), host));
        let is_user = |user: &str| {
            !user.is_empty()
                && user.len() <= 32
                && !user.starts_with('-')
                && user.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let address = host.parse().ok().or_else(|| address_of(host));
        match (address, user) {
            (Some(address), None) => Ok(Self { address, user: None, key: String::new() }),
            (Some(address), Some(user)) if is_user(user) => Ok(Self { address, user: Some(user.to_owned()), key: String::new() }),
            _ => Err(format!("'{text}' is no jump host: write the name of a machine, an IPv4 address, or user@10.0.0.1")),
        }
    }

    /// The same among the machines of a site.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn among(text: &str, machines: &[Machine]) -> Result<Self, String> {
        Self::parse(text, &|name| machines.iter().find(|machine| machine.name == *name).map(|machine| machine.address))
    }

    /// The jump host to a machine: its own, else the site's, which leads to all machines but itself. It takes the machine's user, where
    /// none is named, and its key.
    #[must_use]
    pub fn to(machine: &Machine, site: Option<&str>, machines: &[Machine], user: &str, key: &str) -> Option<Self> {
        let text = machine.jump.as_deref().or(site.filter(|jump| !jump.is_empty()))?;
        let jump = Self::among(text, machines).ok().filter(|jump| jump.address != machine.address)?;
        Some(Self { user: jump.user.or_else(|| Some(user.to_owned())), key: key.to_owned(), ..jump })
    }

    /// The arguments of the `ssh` that leads through it, without the place it leads to: known hosts, key and user as everywhere.
    #[must_use]
    pub fn arguments(&self, known_hosts: &str) -> Vec<String> {
        let mut words = ssh_options(known_hosts);
        words.extend(["-F".into(), "none".into(), "-i".into(), self.key.clone()]);
        words.push(self.place());
        words
    }

    /// `user@address`.
    #[must_use]
    pub fn place(&self) -> String {
        self.user.as_ref().map_or_else(|| self.address.to_string(), |user| format!("{user}@{}", self.address))
    }

    /// The command line for OpenSSH's `ProxyCommand`. A `ProxyJump` would ask the user's own known hosts instead of the site's.
    #[must_use]
    pub fn proxy_command(&self, known_hosts: &str) -> String {
        let words: Vec<String> = self.arguments(known_hosts).iter().map(|word| shell_quote(word)).collect();
        format!("ssh -W %h:%p {}", words.join(" "))
    }

    /// The words for a machine's line in an Ansible inventory. They name a file, since such a line takes neither spaces nor quotes.
    #[must_use]
    pub fn for_inventory(known_hosts: &str) -> String {
        format!("ansible_ssh_common_args=-F{}", config_path(known_hosts))
    }
}

/// Where the site's own configuration of `ssh` lies: beside its known hosts.
#[must_use]
pub fn config_path(known_hosts: &str) -> String {
    format!("{}ssh_config", known_hosts.strip_suffix("known_hosts").unwrap_or(known_hosts))
}

/// The site's own configuration of `ssh`, with the way to each machine that a jump host leads to; none where there is no such machine.
#[must_use]
pub fn config(machines: &[PlanMachine], known_hosts: &str) -> Option<PlanFile> {
    let through = machines.iter().filter_map(|machine| Some((machine, machine.jump.as_ref()?)));
    let ways: String = through
        .map(|(machine, jump)| format!("\nHost {}\n  ProxyCommand {}\n", machine.address, jump.proxy_command(known_hosts)))
        .collect();
    let text = format!("# Written by mosip-setup: the ways through jump hosts, for Ansible.\n{ways}");
    let content = FileContent::Create { text };
    (!ways.is_empty()).then(|| PlanFile { path: config_path(known_hosts), secret: false, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_host_is_a_machine_or_an_address() {
        let machines = |name: &str| (name == "bastion").then_some(Ipv4Addr::new(10, 0, 0, 9));
        let place = |text: &str| Jump::parse(text, &machines).map(|jump| jump.place());
        assert_eq!(place("bastion").unwrap(), "10.0.0.9");
        assert_eq!(place("ops@bastion").unwrap(), "ops@10.0.0.9");
        assert_eq!(place("ops@10.1.1.1").unwrap(), "ops@10.1.1.1");
        for wrong in ["", "nowhere", "@10.1.1.1", "-oProxyCommand=x@10.1.1.1", "a b@10.1.1.1", "10.1.1", "10.1.1.1:22"] {
            assert!(place(wrong).unwrap_err().contains("is no jump host"), "{wrong}");
        }
    }

    #[test]
    fn ansible_and_ssh_are_told_the_same_way_with_the_same_known_hosts() {
        let jump = Jump { address: Ipv4Addr::new(10, 0, 0, 9), user: Some("ops".into()), key: "/home/op/.ssh/id".into() };
        let line = jump.proxy_command("/state/known_hosts");
        assert!(line.starts_with("ssh -W %h:%p -o UserKnownHostsFile=/state/known_hosts -o "), "{line}");
        assert!(line.ends_with(" -i /home/op/.ssh/id ops@10.0.0.9") && line.contains("StrictHostKeyChecking=yes"), "{line}");
        assert_eq!(Jump::for_inventory("/state/known_hosts"), "ansible_ssh_common_args=-F/state/ssh_config");
    }
}
