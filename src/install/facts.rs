//! Facts: what the adapters saw, as plain data. Checks are judged from these alone; the rehearsal replays recorded ones.
//!
//! `None` always means *could not be told*, never *no*.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ids::CheckId;

/// What one SSH session told about a machine, or why it told nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineAnswer {
    /// The probe ran.
    Facts(Box<MachineFacts>),
    /// It did not.
    Failed(LoginFailure),
}

/// Why a machine could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFailure {
    /// The cause.
    pub kind: LoginFailureKind,
    /// The cause in words, with the values seen.
    pub detail: String,
}

/// The causes that are told apart, from the outside inwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailureKind {
    /// Nothing answers at the address, or nothing listens on the SSH port.
    NotReachable,
    /// Something accepts the connection and never speaks, or is cut off by a deadline.
    Timeout,
    /// What answers is not a usable SSH server.
    NotSsh,
    /// The host key is not in the site's known hosts yet.
    UnknownHostKey {
        /// Its SHA-256 fingerprint.
        fingerprint: String,
    },
    /// The host key differs from the one recorded.
    ChangedHostKey {
        /// Fingerprints recorded.
        recorded: Vec<String>,
        /// The fingerprint presented now.
        presented: String,
    },
    /// The host key is marked as revoked.
    RevokedHostKey {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// The private key file cannot be used: absent, unreadable, with passphrase.
    KeyFile,
    /// The machine refused user and key.
    Refused,
    /// Logged in, but the probe script did not come to its end.
    Probe,
}

/// What the probe script found on one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFacts {
    /// The login's user name.
    pub user: Option<String>,
    /// Whether `sudo -n` works; with what it said when not.
    pub sudo: Option<Result<(), String>>,
    /// `ID` of os-release, as `ubuntu`.
    pub os_id: Option<String>,
    /// `VERSION_ID` of os-release, as `24.04`.
    pub os_version: Option<String>,
    /// `PRETTY_NAME` of os-release.
    pub os_name: Option<String>,
    /// `uname -m`.
    pub architecture: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// Processors online.
    pub processors: Option<u32>,
    /// Memory, KiB.
    pub memory_kib: Option<u64>,
    /// Filesystems asked about, by the path asked.
    pub disks: BTreeMap<String, DiskFacts>,
    /// Space of LVM volume groups that belongs to no volume yet: group → KiB.
    pub unused_lvm_kib: BTreeMap<String, u64>,
    /// Swap in use now.
    pub swap_active: Option<Vec<String>>,
    /// What would bring swap back after a reboot.
    pub swap_configured: Option<Vec<String>>,
    /// Sockets that listen.
    pub listeners: Option<Vec<Listener>>,
    /// Whether the machine says that its clock is synchronised.
    pub clock_synchronised: Option<bool>,
    /// Its clock minus ours, seconds.
    pub clock_skew_seconds: Option<f64>,
    /// How exact that difference is, seconds: half the time the answer took.
    pub clock_uncertainty_seconds: f64,
    /// Version of `python3`; `Some("")` where there is none.
    pub python: Option<String>,
    /// Whether systemd runs the machine.
    pub systemd: Option<bool>,
    /// State of the kernel modules asked about.
    pub modules: BTreeMap<String, ModuleState>,
    /// Whether a package manager's lock is held.
    pub package_lock: Option<PackageLock>,
    /// Whether a reboot is pending.
    pub reboot_pending: Option<bool>,
    /// The interface of the default route.
    pub default_interface: Option<String>,
    /// Its MTU.
    pub mtu: Option<u32>,
    /// Interfaces with an IPv4 address, loopback and container bridges left out.
    pub interfaces: Option<Vec<String>>,
    /// What virtualises it, as `kvm`; `none` on bare metal.
    pub virtualization: Option<String>,
    /// Traces of an earlier cluster, as `/var/lib/rancher/rke2`.
    pub leftovers: Option<Vec<String>>,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The first line of `sudo --version`.
    pub sudo_version: Option<String>,
    /// Kernel settings asked about.
    pub settings: BTreeMap<String, u64>,
    /// Whether multipathd runs, and whether its configuration leaves plain disks alone.
    pub multipath: Option<Multipath>,
    /// Whether open-iscsi is installed, and whether its service is there.
    pub iscsi: Option<Iscsi>,
    /// Firewalls of its own that are on.
    pub firewalls: Option<Vec<String>>,
    /// Lines of `/etc/hosts`: address and names.
    pub hosts_file: Option<Vec<String>>,
    /// `nameserver`, `search` and `options` lines of `/etc/resolv.conf`.
    pub resolver: Option<Vec<String>>,
    /// The same of systemd-resolved's own servers, which RKE2 gives to pods.
    pub resolver_behind: Option<Vec<String>>,
    /// Driver of the default route's interface.
    pub driver: Option<String>,
    /// Destinations of its IPv4 routes.
    pub routes: Option<Vec<String>>,
    /// Version of the control group hierarchy: 1 or 2.
    pub cgroup: Option<u8>,
    /// What keeps the package manager from working although nobody holds its lock.
    pub package_trouble: Option<String>,
    /// Whether unattended upgrades are switched on.
    pub unattended_upgrades: Option<bool>,
    /// What the machine's own resolver says about the names asked for.
    pub names: BTreeMap<String, NameAnswer>,
    /// What the addresses asked for answered.
    pub ways_out: BTreeMap<String, WayOut>,
    /// Results of the commands asked for, by check.
    pub commands: BTreeMap<CheckId, CommandFacts>,
}

/// The multipath daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipath {
    /// It runs.
    pub runs: bool,
    /// Its configuration excludes plain disks.
    pub spares_disks: bool,
}

/// open-iscsi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iscsi {
    /// `iscsiadm` is there.
    pub installed: bool,
    /// Its service runs, or starts when asked.
    pub service: bool,
}

/// What a machine's own resolver says about a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameAnswer {
    /// IPv4 addresses, in order.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or no address for it.
    NotFound,
    /// No server answered.
    NoServer,
    /// It failed, and why could not be told.
    Failed,
}

/// What came of a request to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayOut {
    /// The outcome.
    pub outcome: WayOutcome,
    /// The proxy it went through, without user and password.
    pub proxy: Option<String>,
}

/// The outcome of a request to the outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOutcome {
    /// An HTTP answer with this status: there is a way.
    Answered(u16),
    /// The name, or the proxy's, is not resolved.
    Name,
    /// Refused, or no route.
    Connect,
    /// No answer in time.
    Timeout,
    /// The certificate is not accepted: something in between breaks the encryption open.
    Certificate,
    /// The proxy refuses, with what it said.
    Proxy(String),
    /// Nothing to ask with: no curl, wget or python3.
    NoTool,
    /// Something else.
    Failed(String),
}

/// One filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// The device or source.
    pub device: String,
    /// Where it is mounted.
    pub mount: String,
    /// Its size, KiB.
    pub size_kib: u64,
    /// Free for ordinary users, KiB.
    pub free_kib: u64,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// The local address as shown.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The program, where it could be told.
    pub process: Option<String>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A kernel module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// In the kernel, loaded or built in.
    Loaded,
    /// Can be loaded.
    Loadable,
    /// Not found for this kernel.
    Missing,
    /// Neither `modprobe` nor a module list could be asked.
    Unknown,
}

/// Whether a package manager is at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageLock {
    /// Nobody holds a lock.
    Free,
    /// Somebody does: lock file and process, in words.
    Held(String),
}

/// The result of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandFacts {
    /// Exit code; none where a signal ended it or it never started.
    pub exit: Option<i32>,
    /// What it printed, its beginning.
    pub stdout: String,
    /// What it printed on stderr, its beginning; on machines this is part of `stdout`.
    pub stderr: String,
    /// Why it could not be started.
    pub problem: Option<String>,
    /// Whether it was cut off by its deadline.
    pub timed_out: bool,
}

/// The result of a script that changed something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MendFacts {
    /// Exit code; none where it did not come to its end, or never began.
    pub exit: Option<i32>,
    /// What it printed, both streams in one, its beginning.
    pub output: String,
    /// Why it did not begin, or did not come to its end.
    pub problem: Option<String>,
}

/// A program of the deployment node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolFacts {
    /// Where it was found on PATH.
    pub path: Option<String>,
    /// What its version command did; none where none was asked for.
    pub version: Option<CommandFacts>,
}

/// The deployment node's user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserFacts {
    /// User id.
    pub uid: u32,
    /// User name.
    pub name: String,
    /// Folders tried, with what went wrong; none: writable.
    pub folders: BTreeMap<String, Option<String>>,
}

/// An SSH private key file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyFacts {
    /// The path looked at.
    pub path: String,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// Its owner's user id.
    pub owner: u32,
    /// Our user id.
    pub uid: u32,
    /// `OpenSSH`, `PEM`, `PKCS#8`, `PuTTY`; none: not a private key.
    pub format: Option<String>,
    /// Whether it asks for a passphrase.
    pub passphrase: Option<bool>,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateFacts {
    /// Why the chain could not be read; the rest is then empty.
    pub chain_problem: Option<String>,
    /// Why the key could not be read.
    pub key_problem: Option<String>,
    /// Whether the key asks for a passphrase.
    pub key_encrypted: bool,
    /// Whether key and first certificate belong together.
    pub key_matches: Option<bool>,
    /// Certificates in the file, in their order.
    pub certificates: Vec<OneCertificate>,
    /// Where the order breaks: `certificate 2 did not issue certificate 1`.
    pub order_problem: Option<String>,
    /// Names of the first certificate.
    pub names: Vec<String>,
    /// When this was looked at, seconds since 1970.
    pub looked_at: i64,
}

/// One certificate of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OneCertificate {
    /// Whom it is for.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Whether it issued itself.
    pub self_signed: bool,
    /// Seconds since 1970 from which it is valid.
    pub not_before: i64,
    /// Seconds since 1970 at which it expires.
    pub not_after: i64,
}

/// A source's checkout, or the fetched copy while there is no checkout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayoutFacts {
    /// The folder looked at; none: neither checkout nor fetched copy exists.
    pub folder: Option<String>,
    /// Whether it is the working checkout.
    pub is_checkout: bool,
    /// The commit checked out, where git could tell.
    pub commit: Option<String>,
    /// Paths that should be there and are not.
    pub missing: Vec<String>,
    /// Messages of refused layouts that were recognised.
    pub refused: Vec<String>,
    /// Keys a template lacks: template → keys.
    pub incomplete: BTreeMap<String, Vec<String>>,
}

/// What DNS said about a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// What the configured servers said.
    pub outcome: DnsOutcome,
    /// Addresses `/etc/hosts` gives, which win over DNS on this machine.
    pub hosts_file: Vec<IpAddr>,
    /// The servers asked.
    pub servers: Vec<String>,
    /// Where a CNAME record leads that no address came of.
    #[serde(default)]
    pub alias: Option<String>,
    /// What others say, asked where the answer was not the one expected.
    #[serde(default)]
    pub elsewhere: Option<Elsewhere>,
    /// The addresses that the servers give for a name which cannot exist: they answer every name alike.
    #[serde(default)]
    pub invented: Vec<IpAddr>,
}

/// What others than the configured servers say about a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Whether they are the zone's own servers; else public resolvers.
    pub zone: bool,
    /// Who was asked.
    pub servers: Vec<String>,
    /// What they said.
    pub outcome: DnsOutcome,
}

/// One answer of DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsOutcome {
    /// Addresses, and the names passed through on the way.
    Addresses {
        /// IPv4 addresses.
        addresses: Vec<IpAddr>,
        /// Targets of CNAME records, in order.
        through: Vec<String>,
    },
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists and has no IPv4 address.
    NoAddress,
    /// No answer in time.
    Timeout,
    /// The server answered with an error, as SERVFAIL or REFUSED.
    ServerError(String),
    /// No server could be asked.
    Failed(String),
}

/// What a TCP port did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpAnswer {
    /// Something accepted the connection; with its first line where one was waited for.
    Open {
        /// The first line, as an SSH banner; empty where it stayed silent; none where it was not waited for.
        banner: Option<String>,
    },
    /// The machine answered that nothing listens.
    Refused,
    /// Nothing came back within this many milliseconds.
    Silent(u64),
    /// The network said that there is no way there.
    Unreachable(String),
    /// Could not be tried.
    Failed(String),
}

/// What an HTTP request gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpAnswer {
    /// An answer.
    Answer {
        /// Status code.
        status: u16,
        /// The body's beginning, up to 64 KiB.
        body: String,
        /// Where it redirects to.
        location: Option<String>,
    },
    /// No answer in time.
    Timeout,
    /// The connection failed, for this reason.
    Connect(String),
    /// The certificate was not accepted.
    Certificate(String),
    /// Something else.
    Failed(String),
}

/// A host key as a server presents it or known hosts record it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// The key type, as `ssh-ed25519`.
    pub kind: String,
    /// The key, base64.
    pub base64: String,
    /// `SHA256:…`, as OpenSSH shows it.
    pub fingerprint: String,
}

/// What is known about a machine's host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostKeyAnswer {
    /// The key recorded is the one presented.
    Known(HostKey),
    /// First contact: nothing is recorded.
    Unknown(HostKey),
    /// Another key is recorded: strict.
    Changed {
        /// Fingerprints recorded.
        recorded: Vec<String>,
        /// What is presented now.
        presented: HostKey,
    },
    /// The key presented is marked as revoked: strict.
    Revoked(HostKey),
    /// It could not be fetched.
    Failed(LoginFailure),
}
