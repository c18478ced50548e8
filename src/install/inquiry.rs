//! What is asked of the world, as plain data: the counterpart of `install::facts`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::check::{CheckKind, CheckSpec};
use super::ids::{CheckId, MachineName};
use super::jump::Jump;

/// Where and how to log in to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshLogin {
    /// The machine's name, for messages.
    pub name: MachineName,
    /// Its address.
    pub address: IpAddr,
    /// The SSH user.
    pub user: String,
    /// The path of the private key.
    pub key: String,
    /// The site's own known hosts.
    pub known_hosts: String,
    /// The jump host that leads there.
    #[serde(default)]
    pub jump: Option<Jump>,
}

/// What the probe script is asked to look at besides what it always tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineWants {
    /// Paths whose filesystems matter.
    pub paths: Vec<String>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Kernel settings, as `fs.inotify.max_user_instances`.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Names to resolve there.
    #[serde(default)]
    pub names: Vec<String>,
    /// Web addresses to ask from there.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Commands to run.
    pub commands: Vec<RemoteCommand>,
}

impl MachineWants {
    /// What these checks of one machine want, each thing once.
    #[must_use]
    pub fn of<'a>(checks: impl IntoIterator<Item = &'a CheckSpec>) -> Self {
        let mut wants = Self::default();
        for check in checks {
            match &check.kind {
                CheckKind::KernelModules { modules } => wants.modules.extend(modules.iter().cloned()),
                CheckKind::RemoteCommand { command, sudo, .. } => {
                    wants.commands.push(RemoteCommand { check: check.id.clone(), command: command.clone(), sudo: *sudo });
                }
                CheckKind::KernelSettings { min } => wants.settings.extend(min.keys().cloned()),
                CheckKind::DnsFromMachines { records } => wants.names.extend(records.iter().map(|record| record.name.clone())),
                CheckKind::EgressFromMachines { urls } => wants.urls.extend(urls.iter().cloned()),
                _ => {}
            }
        }
        for list in [&mut wants.modules, &mut wants.settings, &mut wants.names, &mut wants.urls] {
            list.sort();
            list.dedup();
        }
        wants
    }
}

/// A command for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteCommand {
    /// The check that wants it.
    pub check: CheckId,
    /// A POSIX shell command.
    pub command: String,
    /// Whether it runs with sudo.
    pub sudo: bool,
}

/// A script to run with the operator's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MendOrder {
    /// The machine; none: the deployment node.
    pub login: Option<SshLogin>,
    /// The script, exactly as shown.
    pub script: String,
    /// Whether it runs as root.
    pub sudo: bool,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The address.
    pub url: String,
    /// Connect here instead of where the name leads.
    pub address: Option<String>,
    /// Accept any certificate.
    pub insecure: bool,
}

/// What to look for in a checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRequest {
    /// The working checkout.
    pub checkout: String,
    /// The fetched copy, looked at while there is no checkout.
    pub fetched: String,
    /// Paths that must exist.
    pub markers: Vec<String>,
    /// Paths that must not, with the message for each.
    pub refuse: Vec<(String, String)>,
    /// Templates relative to the folder, with what each must have.
    pub templates: Vec<TemplateRequest>,
}

/// What a template must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRequest {
    /// Its path below the folder.
    pub path: String,
    /// Keys that are set in it.
    pub keys: Vec<String>,
    /// Inventory groups whose lines are replaced.
    pub groups: Vec<String>,
}
