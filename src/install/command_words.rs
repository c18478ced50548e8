//! Words of commands: paths, quoting, options of `ssh`, Ansible's environment, and what a machine is called in them.

use super::profile::Profile;
use super::site::{Machine, Site};

/// `~` and `~/…` with the operator's home folder.
pub(super) fn absolute(text: &str, home: &str) -> String {
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    }
}

pub(super) fn machine_values(profile: &Profile, site: &Site, machine: &Machine) -> Vec<(&'static str, String)> {
    let answer = |field: &str| site.answers.get(field).map(ToString::to_string).filter(|text| !text.is_empty());
    let role_user =
        machine.roles.iter().find_map(|role| profile.role(role.as_str())?.user_field.as_ref().and_then(|field| answer(field.as_str())));
    let user = machine.user.clone().or(role_user).or_else(|| answer("ssh_user")).unwrap_or_else(|| "ubuntu".into());
    vec![
        ("name", machine.name.to_string()),
        ("address", machine.address.to_string()),
        ("public_address", machine.public_address.clone().unwrap_or_else(|| machine.address.to_string())),
        ("user", user),
    ]
}

/// `NAME ansible_host=ADDRESS …` → (name, address).
pub(super) fn host_line(line: &str) -> Option<(String, Option<String>)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    Some((name, words.find_map(|word| word.strip_prefix("ansible_host=")).map(str::to_owned)))
}

/// Options of every `ssh` this program or Ansible starts: the site's own known hosts, never a question, dead links noticed.
#[must_use]
pub fn ssh_options(known_hosts: &str) -> Vec<String> {
    let options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=8"];
    let mut words: Vec<String> = vec!["-o".into(), format!("UserKnownHostsFile={known_hosts}")];
    words.extend(options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
    words
}

/// The environment of every Ansible command. Host key checking is on, against the site's own known hosts.
pub(super) fn ansible_environment(known_hosts: &str) -> Vec<(String, String)> {
    let ssh = format!("-o ControlMaster=auto -o ControlPersist=60s {}", ssh_options(known_hosts).join(" "));
    [
        ("ANSIBLE_NOCOLOR", "1"),
        ("ANSIBLE_RETRY_FILES_ENABLED", "0"),
        ("ANSIBLE_HOST_KEY_CHECKING", "True"),
        ("ANSIBLE_SSH_ARGS", ssh.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Quotes a text for a POSIX shell.
#[must_use]
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
