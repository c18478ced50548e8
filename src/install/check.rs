//! Checks: what a profile asks of the deployment node, the machines, the network and the running clusters, and what was found.
//!
//! A check is data; judging is a pure function of facts (`install::judge`), collecting facts is the adapters' work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::field::Condition;
use super::fix::Fix;
use super::ids::{CheckId, FieldId, MachineName, PhaseId, RoleId, SourceId};
use super::reach::PortUse;

/// What a finding that is not green means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Reported; blocks nothing.
    Warn,
    /// Blocks the phases it guards; the operator may ignore it on one target, with a reason.
    Fail,
    /// Blocks, and cannot be ignored.
    Strict,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected, on a check of level `warn`.
    Warn,
    /// Not as expected, on a check of level `fail` or `strict`.
    Fail,
    /// Not judged, with the reason in `observed`.
    Skipped,
    /// Could not be told (timeout, unreadable answer): never counts as pass.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        })
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The deployment node itself.
    Local,
    /// One machine.
    Machine(MachineName),
    /// A DNS name.
    Name(String),
    /// A path through the network, `A→B:port/proto`.
    Path(String),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => formatter.write_str("local"),
            Self::Machine(name) => write!(formatter, "machine:{name}"),
            Self::Name(name) => write!(formatter, "name:{name}"),
            Self::Path(path) => formatter.write_str(path),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = super::ids::InvalidId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "local" {
            Ok(Self::Local)
        } else if let Some(name) = text.strip_prefix("machine:") {
            name.parse().map(Self::Machine)
        } else if let Some(name) = text.strip_prefix("name:") {
            Ok(Self::Name(name.to_owned()))
        } else {
            Ok(Self::Path(text))
        }
    }
}

/// One check of one target, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: CheckId,
    /// Where.
    pub target: Target,
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub verdict: Verdict,
    /// What was seen, in words; for a skipped check the reason.
    pub observed: String,
    /// What would be right.
    pub expected: String,
    /// What to do.
    pub remedy: String,
    /// The phases it guards; empty: the whole run.
    pub guards: Vec<PhaseId>,
    /// The operator's reason for ignoring it, where there is one.
    pub ignored: Option<String>,
    /// The kind of cause, where a front end can do something about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// Causes that front ends recognise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A machine's host key is not known yet.
    HostKeyUnknown,
    /// A machine presents another host key than the one recorded.
    HostKeyChanged,
    /// A machine presents a host key that is marked as revoked.
    HostKeyRevoked,
}

impl Cause {
    /// Whether it is about a machine's host key.
    #[must_use]
    pub fn is_host_key(self) -> bool {
        matches!(self, Self::HostKeyUnknown | Self::HostKeyChanged | Self::HostKeyRevoked)
    }
}

impl Finding {
    /// Whether another finding of the same check and target says the same. Measured values that never stand still (seconds,
    /// gigabytes) are no news.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        static MEASURED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\d+(\.\d+)? (ms|s|GiB|MiB)\b").ok());
        let still = |text: &str| MEASURED.as_ref().map_or_else(|| text.to_owned(), |measured| measured.replace_all(text, "#").into_owned());
        (self.verdict, self.level, &self.ignored) == (other.verdict, other.level, &other.ignored)
            && (self.observed == other.observed || still(&self.observed) == still(&other.observed))
    }

    /// Whether it stands in the way: a failure or an unknown that nobody ignored.
    #[must_use]
    pub fn blocks(&self) -> bool {
        match self.verdict {
            Verdict::Fail => self.ignored.is_none() || self.level == Level::Strict,
            Verdict::Unknown => self.level != Level::Warn && (self.ignored.is_none() || self.level == Level::Strict),
            Verdict::Pass | Verdict::Warn | Verdict::Skipped => false,
        }
    }
}

/// How many findings there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// As expected.
    pub pass: usize,
    /// Not blocking.
    pub warn: usize,
    /// Blocking, unless ignored.
    pub fail: usize,
    /// Not judged.
    pub skipped: usize,
    /// Could not be told.
    pub unknown: usize,
}

impl Summary {
    /// Counts findings.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            match finding.verdict {
                Verdict::Pass => summary.pass += 1,
                Verdict::Warn => summary.warn += 1,
                Verdict::Fail => summary.fail += 1,
                Verdict::Skipped => summary.skipped += 1,
                Verdict::Unknown => summary.unknown += 1,
            }
        }
        summary
    }
}

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

/// One rule of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Its name.
    pub id: CheckId,
    /// What it is about, in a few words.
    pub title: String,
    /// How much it matters.
    pub level: Level,
    /// The machines it looks at, by role; empty: all machines (for the kinds that look at machines).
    pub roles: Vec<RoleId>,
    /// The phases it guards: judged before the wizard's run and again just before each; empty: the whole run.
    pub guards: Vec<PhaseId>,
    /// The phase that provides the thing: before it is done the check is skipped.
    pub provided_by: Option<PhaseId>,
    /// Whether only phases use it (`verify`, `unless`, `wait`, gates), never the preflight.
    pub on_demand: bool,
    /// Applies only when this holds.
    pub when: Option<Condition>,
    /// What to do when it is not green.
    pub remedy: String,
    /// The remedy as a script, where it is one.
    #[serde(default)]
    pub fix: Option<Fix>,
    /// What it looks at.
    pub kind: CheckKind,
}

/// Whether a run or a phase may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What stands in the way.
    pub blocking: Vec<Finding>,
    /// What would stand in the way, had the operator not ignored it.
    pub ignored: Vec<Finding>,
}

impl Gate {
    /// Sorts findings into those that block and those ignored.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut gate = Self { blocking: Vec::new(), ignored: Vec::new() };
        for finding in findings {
            if finding.blocks() {
                gate.blocking.push(finding.clone());
            } else if finding.ignored.is_some() && matches!(finding.verdict, Verdict::Fail | Verdict::Unknown) {
                gate.ignored.push(finding.clone());
            }
        }
        gate
    }

    /// Whether nothing blocks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.blocking.is_empty()
    }
}

/// What the operator has said about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// It does not count; why, until when and who.
    Holds(String),
    /// It did not count for a time that is over; why, until when and who.
    Over(String),
}

/// What is ignored, or was: (check, target) → reason.
pub type Ignores = BTreeMap<(CheckId, Target), Ignored>;
