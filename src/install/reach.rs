//! Paths between machines: what a profile wants open, the single paths that follow from it for a plan, what is asked and what came back.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::check::{CheckKind, CheckSpec, Target};
use super::facts::{LoginFailure, Protocol};
use super::ids::{MachineName, RoleId};
use super::inquiry::SshLogin;
use super::plan::{Plan, PlanMachine};

/// What stands for the deployment node among the roles of `from`.
pub const LOCAL: &str = "local";

/// Above this many pairs of machines a matrix is tried by sample.
pub const PAIRS_LIMIT: usize = 1000;

/// How many machines each machine tries then, in each check.
pub const SAMPLE: usize = 3;

/// A range with more ports than this is tried at its first, middle and last one.
pub const RANGE_LIMIT: u16 = 16;

/// One port, or a range of them. Written as a number or as `"2379-2380"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PortText", into = "PortText")]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last one; the same for a single port.
    pub last: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PortText {
    One(u16),
    Range(String),
}

impl TryFrom<PortText> for PortRange {
    type Error = String;
    fn try_from(text: PortText) -> Result<Self, String> {
        let range = match &text {
            PortText::One(port) => Some(Self { first: *port, last: *port }),
            PortText::Range(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                first.trim().parse().ok().zip(last.trim().parse().ok()).map(|(first, last)| Self { first, last })
            }
        };
        range
            .filter(|range| range.first > 0 && range.first <= range.last)
            .ok_or_else(|| "write a port as 6443, or a range as \"2379-2380\"".to_owned())
    }
}

impl From<PortRange> for PortText {
    fn from(range: PortRange) -> Self {
        if range.first == range.last { Self::One(range.first) } else { Self::Range(range.to_string()) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(formatter, "{}", self.first) } else { write!(formatter, "{}-{}", self.first, self.last) }
    }
}

impl PortRange {
    /// The ports that are tried: all of a short range, else first, middle and last.
    #[must_use]
    pub fn tried(self) -> Vec<u16> {
        if self.last - self.first < RANGE_LIMIT {
            (self.first..=self.last).collect()
        } else {
            vec![self.first, self.first.midpoint(self.last), self.last]
        }
    }
}

/// A line of a role table: ports, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortUse {
    /// TCP port or range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<PortRange>,
    /// UDP port or range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<PortRange>,
    /// What for, in a few words, as `etcd`; firewall requests name it.
    #[serde(rename = "for")]
    pub purpose: String,
}

impl PortUse {
    /// The single ports tried.
    fn ports(&self) -> impl Iterator<Item = (Protocol, u16)> {
        let of = |protocol, range: Option<PortRange>| range.into_iter().flat_map(PortRange::tried).map(move |port| (protocol, port));
        of(Protocol::Tcp, self.tcp).chain(of(Protocol::Udp, self.udp))
    }
}

/// What is tried on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Whether a port answers.
    Port(Protocol, u16),
    /// How large a packet may be; tried through a listener on this TCP port.
    Mtu(u16),
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(Protocol::Tcp, port) => write!(formatter, "{port}/tcp"),
            Self::Port(Protocol::Udp, port) => write!(formatter, "{port}/udp"),
            Self::Mtu(_) => formatter.write_str("mtu/ip"),
        }
    }
}

/// One path: from a machine (none: the deployment node) to a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path {
    /// Where it begins.
    pub from: Option<MachineName>,
    /// Where it ends.
    pub to: MachineName,
    /// What is tried.
    pub what: What,
}

impl Path {
    /// The name of its beginning: a machine's, or `local`.
    #[must_use]
    pub fn source(&self) -> &str {
        self.from.as_ref().map_or(LOCAL, MachineName::as_str)
    }

    /// As findings name it: `A→B:port/proto`.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::Path(format!("{}→{}:{}", self.source(), self.to, self.what))
    }
}

/// Reads `A→B:port/proto` into its parts; none: another kind of path.
#[must_use]
pub fn parts(target: &Target) -> Option<(&str, &str, &str)> {
    let Target::Path(text) = target else { return None };
    let (from, rest) = text.split_once('→')?;
    let (to, what) = rest.split_once(':')?;
    Some((from, to, what))
}

/// From which roles, to which roles a check looks; none: it does not look at paths.
#[must_use]
pub fn ends(kind: &CheckKind) -> Option<(&[RoleId], &[RoleId])> {
    match kind {
        CheckKind::PortsBetween { from, to, .. } | CheckKind::PathMtu { from, to, .. } => Some((from, to)),
        _ => None,
    }
}

/// The machines with one of these roles.
pub fn with_roles<'a>(plan: &'a Plan, roles: &'a [RoleId]) -> impl Iterator<Item = &'a PlanMachine> {
    plan.machines.iter().filter(move |machine| machine.roles.iter().any(|role| roles.contains(role)))
}

type Pair<'a> = (Option<&'a PlanMachine>, &'a PlanMachine);

fn all_pairs<'a>(kind: &'a CheckKind, plan: &'a Plan) -> Vec<Pair<'a>> {
    let Some((from, to)) = ends(kind) else { return Vec::new() };
    let local = from.iter().any(|role| role.as_str() == LOCAL).then_some(None);
    let sources: Vec<Option<&PlanMachine>> = local.into_iter().chain(with_roles(plan, from).map(Some)).collect();
    let targets: Vec<&PlanMachine> = with_roles(plan, to).collect();
    let apart = |pair: &Pair<'_>| pair.0.is_none_or(|source| source.name != pair.1.name);
    sources.into_iter().flat_map(|source| targets.iter().map(move |target| (source, *target))).filter(apart).collect()
}

/// A sample: every machine tries a few others, and every machine is tried, since each begins one further on.
fn sample(pairs: Vec<Pair<'_>>) -> Vec<Pair<'_>> {
    let mut kept = Vec::new();
    let rows = pairs.chunk_by(|one, other| one.0.map(|machine| &machine.name) == other.0.map(|machine| &machine.name));
    for (turn, row) in rows.enumerate() {
        // The deployment node is one machine: it tries all.
        let count = if row.first().is_some_and(|pair| pair.0.is_none()) { row.len() } else { SAMPLE.min(row.len()) };
        let mut taken: Vec<usize> = (0..count).map(|step| (turn + step) % row.len()).collect();
        taken.sort_unstable();
        kept.extend(taken.into_iter().map(|at| row[at]));
    }
    kept
}

/// Whether all checks of a plan together look at more pairs of machines than are tried one by one.
#[must_use]
pub fn too_many(plan: &Plan) -> bool {
    let mut all = BTreeSet::new();
    for check in &plan.checks {
        for (from, to) in all_pairs(&check.kind, plan) {
            all.insert((from.map(|machine| &machine.name), &to.name));
            if all.len() > PAIRS_LIMIT {
                return true;
            }
        }
    }
    false
}

/// What of a check is tried where there are too many pairs for all: how many pairs, of how many; none: all are.
#[must_use]
pub fn sampled(check: &CheckSpec, plan: &Plan) -> Option<(usize, usize)> {
    ends(&check.kind)?;
    if !too_many(plan) {
        return None;
    }
    let all = all_pairs(&check.kind, plan);
    let count = all.len();
    Some((sample(all).len(), count)).filter(|(tried, all)| tried < all)
}

/// The paths of a check, in the order of the plan's machines and the profile's ports; above [`PAIRS_LIMIT`] a sample.
#[must_use]
pub fn paths(check: &CheckSpec, plan: &Plan) -> Vec<Path> {
    let mut pairs = all_pairs(&check.kind, plan);
    if sampled(check, plan).is_some() {
        pairs = sample(pairs);
    }
    let mut found = Vec::new();
    for (from, to) in pairs {
        let name = from.map(|machine| machine.name.clone());
        let path = |what| Path { from: name.clone(), to: to.name.clone(), what };
        match &check.kind {
            CheckKind::PortsBetween { ports, .. } => {
                let mut seen = BTreeSet::new();
                let each = ports.iter().flat_map(PortUse::ports).filter(|port| seen.insert(*port));
                found.extend(each.map(|(protocol, port)| path(What::Port(protocol, port))));
            }
            CheckKind::PathMtu { .. } => found.push(path(What::Mtu(door(plan, from, to)))),
            _ => {}
        }
    }
    found
}

/// A TCP port that the role table opens on a path anyway, from 1024 on where there is one; 0: there is none.
fn door(plan: &Plan, from: Option<&PlanMachine>, to: &PlanMachine) -> u16 {
    let mut low = 0;
    for check in &plan.checks {
        let CheckKind::PortsBetween { from: sources, to: targets, ports } = &check.kind else { continue };
        let begins = match from {
            None => sources.iter().any(|role| role.as_str() == LOCAL),
            Some(machine) => machine.roles.iter().any(|role| sources.contains(role)),
        };
        if begins && to.roles.iter().any(|role| targets.contains(role)) {
            for port in ports.iter().filter_map(|port| port.tcp) {
                if port.first >= 1024 {
                    return port.first;
                }
                low = port.first;
            }
        }
    }
    low
}

/// What a port of a path is for, as the profile says.
#[must_use]
pub fn purpose(check: &CheckSpec, what: What) -> Option<&str> {
    let (CheckKind::PortsBetween { ports, .. }, What::Port(protocol, port)) = (&check.kind, what) else { return None };
    ports.iter().find(|one| one.ports().any(|tried| tried == (protocol, port))).map(|one| one.purpose.as_str())
}

// --- what is asked ---

/// A matrix to try: every machine listens, then tries its targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachRequest {
    /// The machines that listen, try, or both.
    pub machines: Vec<ReachMachine>,
    /// What the deployment node tries.
    pub local: Vec<ReachTarget>,
}

/// One machine's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachMachine {
    /// Where and how to log in.
    pub login: SshLogin,
    /// The address to listen on.
    pub address: Ipv4Addr,
    /// The ports to listen on.
    pub listen: Vec<(Protocol, u16)>,
    /// What to try.
    pub targets: Vec<ReachTarget>,
}

/// One thing to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachTarget {
    /// The machine.
    pub to: MachineName,
    /// Its address.
    pub address: Ipv4Addr,
    /// What.
    pub what: What,
}

// --- what came back ---

/// What a matrix gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachAnswer {
    /// The machines that took part, or why they did not.
    pub hosts: Vec<(MachineName, Result<ReachHost, LoginFailure>)>,
    /// What the paths gave that were tried.
    pub paths: Vec<(Path, PathAnswer)>,
}

/// What a machine listened with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachHost {
    /// `python3`, `perl` or `nc`; none: the machine has none of them.
    pub tool: Option<String>,
    /// What became of the ports it was to listen on.
    pub listens: Vec<(Protocol, u16, ListenState)>,
    /// Whether its listeners were there until all paths had been tried.
    pub stayed: bool,
}

/// What became of a port to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenState {
    /// Ours listened there.
    Bound,
    /// Something listens there already; its name, where it could be told.
    Busy(Option<String>),
    /// Ports below 1024 need sudo, which does not work there.
    NoSudo,
    /// It did not work, for this reason.
    Failed(String),
}

/// What a path gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathAnswer {
    /// It answered, after this many milliseconds.
    Open(u32),
    /// It was refused: a packet came back that says so.
    Refused,
    /// Nothing came back.
    Silent,
    /// The network, or the machine itself, said that there is no way there.
    Unreachable(String),
    /// Large packets pass; the largest in bytes that the path is known to take.
    Mtu(u32),
    /// The connection is there, and large packets are lost; the size in bytes that was tried.
    Stalled(u32),
    /// It could not be tried; why.
    Untried(String),
}

/// The matrix that checks ask for, as far as it is wanted.
#[must_use]
pub fn request(
    checks: &[&CheckSpec],
    plan: &Plan,
    wanted: &dyn Fn(&CheckSpec, &Target) -> bool,
    login: impl Fn(&PlanMachine) -> SshLogin,
) -> ReachRequest {
    let mut all = BTreeSet::new();
    for check in checks {
        all.extend(paths(check, plan).into_iter().filter(|path| wanted(check, &path.target())));
    }
    let machine = |name: &MachineName| plan.machines.iter().find(|machine| machine.name == *name);
    let aim = |path: &Path| machine(&path.to).map(|to| ReachTarget { to: to.name.clone(), address: to.address, what: path.what });
    let port = |what: What| match what {
        What::Port(protocol, port) => (protocol, port),
        What::Mtu(port) => (Protocol::Tcp, port),
    };
    let mut request = ReachRequest { local: all.iter().filter(|path| path.from.is_none()).filter_map(aim).collect(), ..Default::default() };
    for one in &plan.machines {
        let listen: BTreeSet<(Protocol, u16)> =
            all.iter().filter(|path| path.to == one.name).map(|path| port(path.what)).filter(|(_, port)| *port > 0).collect();
        let targets: Vec<ReachTarget> = all.iter().filter(|path| path.from.as_ref() == Some(&one.name)).filter_map(aim).collect();
        if !listen.is_empty() || !targets.is_empty() {
            request.machines.push(ReachMachine { login: login(one), address: one.address, listen: listen.into_iter().collect(), targets });
        }
    }
    request
}
