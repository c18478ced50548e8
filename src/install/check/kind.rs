//! The kinds of checks a profile may have, each with what it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::install::ids::{FieldId, RoleId, SourceId};
use crate::install::reach::PortUse;

/// A DNS record that must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsRecord {
    /// The full name; interpolated.
    pub name: String,
    /// The address it must lead to, directly or through CNAMEs; interpolated.
    pub address: String,
    /// The name a CNAME is expected to point to; only shown in requirements and remedies.
    #[serde(default)]
    pub alias_of: Option<String>,
}

/// What a check looks at. Texts are interpolated with the site's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CheckKind {
    // --- the deployment node ---
    /// A program on PATH, and its version. `pattern` has one group, the version, in the output of `arguments`.
    Tool {
        /// The program's name.
        command: String,
        /// What makes it print its version.
        #[serde(default)]
        arguments: Vec<String>,
        /// A regular expression whose first group is the version.
        #[serde(default)]
        pattern: Option<String>,
        /// The least version that will do.
        #[serde(default)]
        min: Option<String>,
        /// The only version that will do.
        #[serde(default)]
        exact: Option<String>,
        /// The first version that is too new.
        #[serde(default)]
        below: Option<String>,
        /// Older ones will do, and are worth a word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        better: Option<String>,
    },
    /// Processors, memory and free disk of the deployment node.
    LocalSize {
        /// Least number of processors.
        cpu: u32,
        /// Least memory, GiB.
        ram_gib: u32,
        /// Least free disk at the checkout, GiB.
        disk_gib: u32,
        /// Less memory is worth a word, GiB.
        #[serde(default, skip_serializing_if = "is_zero")]
        better_ram_gib: u32,
    },
    /// The deployment node's user: not root, and able to write these folders (created when absent, then removed again).
    LocalUser {
        /// Folders that must be writable, interpolated.
        writable: Vec<String>,
    },
    /// An SSH private key: present, readable by its owner alone, without passphrase.
    SshKey {
        /// The field with its path.
        field: FieldId,
    },
    /// A certificate chain and its key: parse, match, names, expiry, intermediates.
    Certificate {
        /// Path of the chain, leaf first; interpolated.
        chain: String,
        /// Path of the private key; interpolated.
        key: String,
        /// Names it must cover; `*.D` asks for the wildcard itself.
        names: Vec<String>,
        /// Least days until it expires.
        days: u32,
    },
    /// A source's checkout: the commit tested, the layout expected, the templates complete.
    Layout {
        /// The source.
        source: SourceId,
    },
    /// A helm repository alias of the current user.
    HelmRepository {
        /// The alias.
        name: String,
    },
    /// Networks given in fields that must not overlap others.
    CidrOverlap {
        /// Fields of kind `cidr` or `cidr_list`.
        #[serde(default)]
        fields: Vec<FieldId>,
        /// Networks the clusters or tunnels use.
        with: Vec<String>,
    },
    /// A local command: exit code and output.
    Command {
        /// Program and arguments, interpolated.
        argv: Vec<String>,
        /// Working folder, as `kit:terraform/x`.
        #[serde(default)]
        dir: Option<String>,
        /// KUBECONFIG of the command.
        #[serde(default)]
        kubeconfig: Option<String>,
        /// A regular expression its stdout must match.
        #[serde(default)]
        stdout: Option<String>,
        /// A regular expression its stdout must not match.
        #[serde(default)]
        stdout_not: Option<String>,
        /// Seconds until it counts as unknown.
        #[serde(default)]
        timeout_seconds: Option<u32>,
        /// The exit code with which it says that it cannot tell, for a reason that another check is about; printed on stderr.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        skip_exit: Option<i32>,
    },
    // --- names and addresses, from the deployment node ---
    /// DNS records; one finding for each name.
    Dns {
        /// The records.
        records: Vec<DnsRecord>,
    },
    /// TCP ports of machines that must be reachable: an answer or a refusal proves the path, silence does not.
    TcpReachable {
        /// The ports.
        tcp: Vec<u16>,
        /// Whether something must listen there already.
        #[serde(default)]
        listening: bool,
    },
    /// An HTTP or HTTPS answer.
    Http {
        /// The address, interpolated.
        url: String,
        /// Status codes that are right.
        status: Vec<u16>,
        /// Text the body must contain.
        #[serde(default)]
        contains: Option<String>,
        /// Connect to this address instead of the name's own; interpolated.
        #[serde(default)]
        address: Option<String>,
        /// Accept any certificate.
        #[serde(default)]
        insecure: bool,
    },
    // --- from machine to machine ---
    /// Ports that must be open from machines to machines; one finding for each path.
    PortsBetween {
        /// Roles of the machines that connect; `local` is the deployment node.
        from: Vec<RoleId>,
        /// Roles of the machines they connect to.
        to: Vec<RoleId>,
        /// The ports, and what they are for.
        ports: Vec<PortUse>,
    },
    /// Large packets pass from machines to machines; one finding for each pair.
    PathMtu {
        /// Roles of the machines that send; `local` is the deployment node.
        from: Vec<RoleId>,
        /// Roles of the machines they send to.
        to: Vec<RoleId>,
        /// Least size of a packet that must pass, bytes.
        min: u32,
    },
    // --- machines, over SSH ---
    /// SSH login with the site's user and key.
    Login {},
    /// `sudo` without a password.
    Sudo {},
    /// Distribution and release, as `ubuntu 24.04`.
    OperatingSystem {
        /// What will do.
        accept: Vec<String>,
    },
    /// Processor architecture, as `x86_64`.
    Architecture {
        /// What will do.
        accept: Vec<String>,
    },
    /// Processors, memory and disk against the machine's roles (the sum where it has several).
    Size {},
    /// No active swap, and none that returns after a reboot.
    SwapOff {},
    /// Ports nothing else may listen on.
    PortsFree {
        /// TCP ports.
        #[serde(default)]
        tcp: Vec<u16>,
        /// UDP ports.
        #[serde(default)]
        udp: Vec<u16>,
        /// Fields of kind `port`: UDP ports that the site chooses.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        udp_fields: Vec<FieldId>,
    },
    /// The clock is synchronised, and differs little from the deployment node's.
    TimeSync {
        /// Greatest difference, seconds.
        max_skew_seconds: u32,
    },
    /// Python 3 for Ansible's modules.
    Python {
        /// Least version, as `3.8`.
        #[serde(default)]
        min: Option<String>,
    },
    /// systemd runs the machine.
    Systemd {},
    /// Kernel modules are loaded or can be.
    KernelModules {
        /// Their names.
        modules: Vec<String>,
    },
    /// No package manager holds the lock.
    PackageLock {},
    /// No reboot is pending.
    RebootPending {},
    /// Kernel settings (sysctl) that must not be lower.
    KernelSettings {
        /// Name → least value.
        min: BTreeMap<String, u64>,
    },
    /// multipathd leaves the disks of storage clusters alone: off, or told so.
    Multipath {},
    /// open-iscsi is installed and its service is there.
    Iscsi {},
    /// No traces of another cluster or container engine.
    NoLeftovers {
        /// The kind of cluster, as `rke2`, that the installation takes over where it runs already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<String>,
    },
    /// No local firewall.
    FirewallOff {},
    /// `/etc/hosts` knows localhost, and contradicts none of the records that `dns` checks ask for.
    HostsFile {},
    /// The resolver's configuration: servers that pods can use too, no more than Kubernetes takes.
    Resolver {},
    /// The network card of the default route.
    Uplink {
        /// Least MTU, bytes.
        min_mtu: u32,
    },
    /// What virtualises the machine.
    Virtualization {
        /// Kinds that will not do, as `systemd-detect-virt` names them.
        refuse: Vec<String>,
    },
    /// No route of the machine leads into these networks.
    RoutesFree {
        /// The networks.
        networks: Vec<String>,
    },
    // --- several machines together ---
    /// Host names and machine ids differ, and host names can be names of nodes.
    UniqueHosts {},
    /// What the machines have together.
    TotalSize {
        /// Processors in all.
        cpu: u32,
        /// Memory in all, GiB.
        ram_gib: u32,
        /// Fewer processors are worth a word.
        #[serde(default)]
        better_cpu: u32,
        /// Less memory is worth a word, GiB.
        #[serde(default)]
        better_ram_gib: u32,
    },
    /// DNS records as the machines see them; one finding for each name.
    DnsFromMachines {
        /// The records.
        records: Vec<DnsRecord>,
    },
    /// The way out of the machines; one finding for each host.
    EgressFromMachines {
        /// Addresses that must answer, with whatever status.
        urls: Vec<String>,
    },
    // --- the way out of the deployment node ---
    /// The way out, through the proxy where there is one; one finding for each host.
    Egress {
        /// Addresses that must answer, with whatever status.
        urls: Vec<String>,
    },
    /// Charts whose versions are pinned, in a tfvars file or here, in the index of a Helm repository.
    Charts {
        /// The address of its `index.yaml`.
        index: String,
        /// The file with the versions, a target of the profile; without it the versions stand in `charts`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Chart and the key of its version in that file; without a file chart and version, an empty one where any will do.
        charts: Vec<(String, String)>,
    },
    /// How many images Docker Hub still gives to this address.
    PullLimit {
        /// Fewer are worth a word.
        min: u32,
    },
    /// A command on the machine: exit 0 and, where given, its output.
    RemoteCommand {
        /// A POSIX shell command, interpolated.
        command: String,
        /// Run it with sudo.
        #[serde(default)]
        sudo: bool,
        /// A regular expression its stdout must match.
        #[serde(default)]
        stdout: Option<String>,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl CheckKind {
    /// Whether it looks at machines over SSH or from the deployment node, one finding for each machine.
    #[must_use]
    pub fn is_per_machine(&self) -> bool {
        matches!(
            self,
            Self::Login {}
                | Self::Sudo {}
                | Self::OperatingSystem { .. }
                | Self::Architecture { .. }
                | Self::Size {}
                | Self::SwapOff {}
                | Self::PortsFree { .. }
                | Self::TimeSync { .. }
                | Self::Python { .. }
                | Self::Systemd {}
                | Self::KernelModules { .. }
                | Self::PackageLock {}
                | Self::RebootPending {}
                | Self::KernelSettings { .. }
                | Self::Multipath {}
                | Self::Iscsi {}
                | Self::NoLeftovers { .. }
                | Self::FirewallOff {}
                | Self::HostsFile {}
                | Self::Resolver {}
                | Self::Uplink { .. }
                | Self::Virtualization { .. }
                | Self::RoutesFree { .. }
                | Self::RemoteCommand { .. }
                | Self::TcpReachable { .. }
        )
    }

    /// Whether it looks at paths from machine to machine.
    #[must_use]
    pub fn is_about_paths(&self) -> bool {
        matches!(self, Self::PortsBetween { .. } | Self::PathMtu { .. })
    }

    /// Whether it compares what several machines say.
    #[must_use]
    pub fn is_across_machines(&self) -> bool {
        matches!(self, Self::UniqueHosts {} | Self::TotalSize { .. } | Self::DnsFromMachines { .. } | Self::EgressFromMachines { .. })
    }

    /// The DNS records it asks for.
    #[must_use]
    pub fn records(&self) -> &[DnsRecord] {
        match self {
            Self::Dns { records } | Self::DnsFromMachines { records } => records,
            _ => &[],
        }
    }

    /// The name as a profile writes it.
    #[must_use]
    pub fn name(&self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.get("kind")?.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
