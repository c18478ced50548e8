//! Paths from machine to machine: what was tried, in; findings, out; one for each cause, the others point at it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::install::check::{CheckKind, CheckSpec, Finding, Target};
use crate::install::facts::{LoginFailure, LoginFailureKind, Protocol};
use crate::install::ids::{MachineName, PhaseId};
use crate::install::plan::Plan;
use crate::install::reach::{ListenState, Path, PathAnswer, ReachAnswer, ReachHost, What, paths, purpose, sampled};

use super::judgement::{Judged, Judgement, skipped};

/// What is known about the paths of a plan.
#[derive(Clone, Copy)]
pub struct Tried<'a> {
    /// What was tried and what came back.
    pub answer: &'a ReachAnswer,
    /// Phases that have begun: what listens may be their own.
    pub begun: &'a BTreeSet<PhaseId>,
    /// Whether another check says why a machine cannot be asked.
    pub told: &'a dyn Fn(&MachineName) -> bool,
    /// Which targets of a check are judged at all.
    pub wanted: &'a dyn Fn(&CheckSpec, &Target) -> bool,
}

/// What one path came to, before causes are put together.
enum Outcome {
    Judged(Judgement),
    Skip(String),
    /// The same cause on several paths: said once, at the first.
    Cause(String, Judgement),
    /// Nothing gets through: put together to as few firewall rules as possible.
    Blocked(String),
}

struct Cell<'a> {
    check: &'a CheckSpec,
    path: Path,
    outcome: Outcome,
}

/// Judges all checks of paths together; one finding for each path of each check, in their order.
#[must_use]
pub fn reach(checks: &[&CheckSpec], plan: &Plan, tried: Tried<'_>) -> Vec<Finding> {
    let judge = Judge {
        plan,
        tried,
        hosts: hosts(tried.answer),
        answers: tried.answer.paths.iter().map(|(path, answer)| (path, answer)).collect(),
    };
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for check in checks {
        let wanted = paths(check, plan).into_iter().filter(|path| (tried.wanted)(check, &path.target()));
        cells.extend(wanted.map(|path| Cell { check, outcome: judge.outcome(check, &path), path }));
    }
    let mut findings: Vec<Option<Finding>> = cells.iter().map(|cell| judge.alone(cell)).collect();
    let mut causes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, cell) in cells.iter().enumerate() {
        if let Outcome::Cause(cause, _) = &cell.outcome {
            causes.entry(cause).or_default().push(number);
        }
    }
    for members in causes.into_values() {
        let first = carrier(&cells, &members);
        if let Outcome::Cause(_, judgement) = &cells[first].outcome {
            spread(&cells, &members, first, judgement.clone(), &mut findings);
        }
    }
    for block in judge.blocks(&cells) {
        let first = carrier(&cells, &block.members);
        spread(&cells, &block.members, first, judge.rule(&cells, &block, first), &mut findings);
    }
    findings.into_iter().flatten().collect()
}

fn hosts(answer: &ReachAnswer) -> BTreeMap<&MachineName, &Result<ReachHost, LoginFailure>> {
    answer.hosts.iter().map(|(name, host)| (name, host)).collect()
}

/// The gravest carries the cause; of equals the first.
fn carrier(cells: &[Cell<'_>], members: &[usize]) -> usize {
    let gravest = members.iter().copied().max_by_key(|number| (cells[*number].check.level, std::cmp::Reverse(*number)));
    gravest.unwrap_or_default()
}

fn spread(cells: &[Cell<'_>], members: &[usize], first: usize, judgement: Judgement, findings: &mut [Option<Finding>]) {
    let said = format!("the same cause as {} on {}", cells[first].check.id, cells[first].path.target());
    for number in members {
        let cell = &cells[*number];
        let target = cell.path.target();
        findings[*number] =
            Some(if *number == first { judgement.clone().finding(cell.check, target) } else { skipped(cell.check, target, &said) });
    }
}

/// Paths that one set of firewall rules would open.
struct Block {
    members: Vec<usize>,
    whats: Vec<What>,
    from: BTreeSet<Option<MachineName>>,
    to: BTreeSet<MachineName>,
    detail: String,
}

struct Judge<'a> {
    plan: &'a Plan,
    tried: Tried<'a>,
    hosts: BTreeMap<&'a MachineName, &'a Result<ReachHost, LoginFailure>>,
    answers: BTreeMap<&'a Path, &'a PathAnswer>,
}

impl Judge<'_> {
    fn alone(&self, cell: &Cell<'_>) -> Option<Finding> {
        match &cell.outcome {
            Outcome::Judged(judgement) => Some(judgement.clone().finding(cell.check, cell.path.target())),
            Outcome::Skip(reason) => Some(skipped(cell.check, cell.path.target(), reason)),
            Outcome::Cause(..) | Outcome::Blocked(_) => None,
        }
    }

    fn outcome(&self, check: &CheckSpec, path: &Path) -> Outcome {
        let expected = expected(check, path);
        for name in path.from.iter().chain([&path.to]) {
            let failure = match self.hosts.get(name) {
                Some(Ok(_)) => continue,
                Some(Err(failure)) => failure,
                None => return Outcome::Judged(Judgement::unknown(format!("{name} was not asked"), expected)),
            };
            if (self.tried.told)(name) {
                let reason = if failure.kind == LoginFailureKind::NotReachable { "is not reachable" } else { "has no SSH login" };
                return Outcome::Skip(format!("{name} {reason}"));
            }
            let judgement = Judgement::unknown(format!("{name} cannot be asked: {}", failure.detail), expected);
            return Outcome::Cause(name.to_string(), judgement.remedy(format!("Make SSH to {name} work first.")).alone());
        }
        let answer = self.answers.get(path).copied();
        match path.what {
            What::Port(protocol, port) => self.port(check, path, protocol, port, answer),
            What::Mtu(port) => self.mtu(check, path, port, answer),
        }
    }

    fn host(&self, name: &MachineName) -> Option<&ReachHost> {
        self.hosts.get(name).and_then(|host| host.as_ref().ok())
    }

    fn port(&self, check: &CheckSpec, path: &Path, protocol: Protocol, port: u16, answer: Option<&PathAnswer>) -> Outcome {
        let expected = expected(check, path);
        let to = &path.to;
        let host = self.host(to);
        let state = host.and_then(|host| host.listens.iter().find(|(known, number, _)| (*known, *number) == (protocol, port)));
        let state = state.map(|(_, _, state)| state);
        let right = |observed: String| Outcome::Judged(Judgement::new(Judged::Right, observed, expected.clone()));
        let cannot = |cause: String| {
            let remedy = "Try the path by hand, or ignore this with that reason.";
            Outcome::Cause(cause.clone(), Judgement::unknown(cause, expected.clone()).remedy(remedy).alone())
        };
        let bound = state == Some(&ListenState::Bound);
        let stayed = host.is_some_and(|host| host.stayed);
        // A cluster refuses in the name of its services, whatever listens.
        let begun = check.guards.iter().any(|phase| self.tried.begun.contains(phase));
        // What listens there and is not ours keeps its answers to itself.
        if let (Protocol::Udp, Some(ListenState::Busy(program))) = (protocol, state) {
            if let Some(phase) = check.guards.iter().find(|phase| self.tried.begun.contains(*phase)) {
                return Outcome::Skip(format!("phase {phase} has begun: what listens there may be its own"));
            }
            let program = program.as_deref().unwrap_or("something");
            return cannot(format!("{program} listens on {port}/udp of {to} already, and does not answer a test: the path cannot be told"));
        }
        match answer {
            Some(PathAnswer::Open(after)) => right(match state {
                Some(ListenState::Busy(program)) => {
                    let program = program.as_deref().unwrap_or("something");
                    format!("answered after {after} ms by {program}, which listens there already")
                }
                _ => format!("answered after {after} ms"),
            }),
            Some(PathAnswer::Refused) if bound && stayed && !begun => {
                Outcome::Blocked("is refused although a test listener was there: a firewall rejects it".to_owned())
            }
            Some(PathAnswer::Refused) => right("the path is open: the machine itself says that nothing listens there".to_owned()),
            Some(PathAnswer::Silent) if bound && !stayed => cannot(format!("the test listener on {to} ended early: nothing is proved")),
            Some(PathAnswer::Silent) if protocol == Protocol::Tcp || bound => {
                Outcome::Blocked("gets no answer: something drops it on the way".to_owned())
            }
            Some(PathAnswer::Silent) => cannot(no_listener(to, host, state, port)),
            Some(PathAnswer::Unreachable(reason)) => Outcome::Blocked(format!("is turned away: {reason}")),
            Some(PathAnswer::Untried(reason)) => {
                cannot(format!("{} could not try {protocol}: {reason}", path.source(), protocol = name(protocol)))
            }
            Some(PathAnswer::Mtu(_) | PathAnswer::Stalled(_)) | None => cannot(self.untried(path)),
        }
    }

    fn untried(&self, path: &Path) -> String {
        match path.from.as_ref().and_then(|name| self.host(name)) {
            Some(host) if host.tool.is_none() => format!("{} has neither python3 nor perl nor nc to try paths with", path.source()),
            _ => format!("{} did not try all its paths in time", path.source()),
        }
    }

    fn mtu(&self, check: &CheckSpec, path: &Path, port: u16, answer: Option<&PathAnswer>) -> Outcome {
        let CheckKind::PathMtu { min, .. } = &check.kind else { return Outcome::Skip("not about packets".to_owned()) };
        let expected = expected(check, path);
        let remedy =
            "Let ICMP type 3 code 4 (fragmentation needed) through, or lower the MTU of the machines' cards and of the pod network.";
        let cause = |cause: String, judged, remedy: &str| {
            Outcome::Cause(format!("{cause} {}", path.to), Judgement::new(judged, cause, expected.clone()).remedy(remedy.to_owned()))
        };
        let ours = self.host(&path.to).is_some_and(|host| host.listens.contains(&(Protocol::Tcp, port, ListenState::Bound)));
        match answer {
            _ if port == 0 => Outcome::Skip("the profile opens no TCP port on this path".to_owned()),
            // Only our own listener answers; and what keeps a port shut is told by the check of that port.
            _ if !ours => Outcome::Skip(format!("nothing of ours could listen on {port}/tcp of {}", path.to)),
            Some(PathAnswer::Mtu(size)) if size >= min || *size == 0 => {
                Outcome::Judged(Judgement::new(Judged::Right, format!("packets of {size} bytes pass"), expected))
            }
            Some(PathAnswer::Mtu(size)) => cause(format!("packets larger than {size} bytes do not pass"), Judged::Wrong, remedy),
            Some(PathAnswer::Stalled(size)) => {
                cause(format!("small packets pass, large ones vanish, although {size} bytes are announced"), Judged::Wrong, remedy)
            }
            Some(PathAnswer::Silent | PathAnswer::Refused | PathAnswer::Unreachable(_)) => {
                Outcome::Skip(format!("{port}/tcp is not open on this path"))
            }
            Some(PathAnswer::Untried(reason)) => {
                cause(format!("could not be tried: {reason}"), Judged::Unknown, "Try it by hand: ping -M do -s 1472 ADDRESS.")
            }
            // The same cause as for its ports, and said with them.
            Some(PathAnswer::Open(_)) | None => Outcome::Cause(self.untried(path), Judgement::unknown(self.untried(path), expected)),
        }
    }

    /// Puts blocked paths together to as few rectangles (sources × targets × ports) as there are causes.
    fn blocks(&self, cells: &[Cell<'_>]) -> Vec<Block> {
        // What is blocked, by detail and port: pairs with the cells that say so. One port may stand in several checks.
        type Pairs = BTreeMap<(Option<MachineName>, MachineName), Vec<usize>>;
        type Members = (Vec<What>, Vec<usize>);
        let mut by_what: BTreeMap<(&str, What), Pairs> = BTreeMap::new();
        for (number, cell) in cells.iter().enumerate() {
            if let Outcome::Blocked(detail) = &cell.outcome {
                let pair = (cell.path.from.clone(), cell.path.to.clone());
                by_what.entry((detail, cell.path.what)).or_default().entry(pair).or_default().push(number);
            }
        }
        type Ends = (BTreeSet<Option<MachineName>>, BTreeSet<MachineName>);
        let mut found: BTreeMap<(&str, Ends), Members> = BTreeMap::new();
        for ((detail, what), pairs) in &by_what {
            for ends in rectangles(pairs.keys()) {
                let members = pairs.iter().filter(|((from, to), _)| ends.0.contains(from) && ends.1.contains(to));
                let members: Vec<usize> = members.flat_map(|(_, numbers)| numbers.iter().copied()).collect();
                let entry = found.entry((detail, ends)).or_default();
                entry.0.push(*what);
                entry.1.extend(members);
            }
        }
        let block = |((detail, (from, to)), (whats, mut members)): ((&str, Ends), Members)| {
            members.sort_unstable();
            Block { members, whats, from, to, detail: detail.to_owned() }
        };
        found.into_iter().map(block).collect()
    }

    fn rule(&self, cells: &[Cell<'_>], block: &Block, first: usize) -> Judgement {
        let known = |what: What| {
            block.members.iter().filter(|number| cells[**number].path.what == what).find_map(|number| purpose(cells[*number].check, what))
        };
        let one = |what: &What| known(*what).map_or_else(|| what.to_string(), |purpose| format!("{what} ({purpose})"));
        let whats = join(block.whats.iter().map(one).collect());
        let from = self.names(block.from.iter().map(|name| name.as_ref()));
        let to = self.names(block.to.iter().map(Some));
        let pairs = block.members.iter().map(|number| (&cells[*number].path.from, &cells[*number].path.to)).collect::<BTreeSet<_>>().len();
        let many = if pairs > 1 { format!(" ({pairs} pairs of machines)") } else { String::new() };
        let observed = format!("{whats} from {from} to {to}{many} {}", block.detail);
        let expected = if block.members.len() == 1 {
            expected(cells[first].check, &cells[first].path)
        } else {
            format!("{whats} open from {from} to {to}")
        };
        Judgement::new(Judged::Wrong, observed, expected).remedy(self.firewall(block, &known))
    }

    /// The rules to ask for, one for each protocol.
    fn firewall<'b>(&self, block: &Block, known: &impl Fn(What) -> Option<&'b str>) -> String {
        let mut rules = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ports = block.whats.iter().filter_map(|what| match what {
                What::Port(of, port) if *of == protocol => {
                    Some(known(*what).map_or_else(|| port.to_string(), |purpose| format!("{port} ({purpose})")))
                }
                _ => None,
            });
            let ports: Vec<String> = ports.collect();
            if !ports.is_empty() {
                let word = if ports.len() == 1 { "port" } else { "ports" };
                let (from, to) = (self.addresses(block.from.iter().map(Option::as_ref)), self.addresses(block.to.iter().map(Some)));
                rules.push(format!("{} from {from} to {to} {word} {}", name(protocol), join(ports)));
            }
        }
        format!("Ask for this firewall rule: allow {}.", rules.join("; allow "))
    }

    /// Machines in words: their names, or the role that all of them have and nobody else.
    fn names<'b>(&self, names: impl Iterator<Item = Option<&'b MachineName>>) -> String {
        let names: Vec<Option<&MachineName>> = names.collect();
        if names.len() > 2 && names.iter().all(Option::is_some) {
            let same = |role: &&crate::install::profile::Role| {
                let of_role: BTreeSet<&MachineName> =
                    self.plan.machines.iter().filter(|machine| machine.roles.contains(&role.id)).map(|machine| &machine.name).collect();
                of_role.len() == names.len() && names.iter().flatten().all(|name| of_role.contains(name))
            };
            if let Some(role) = self.plan.roles.iter().find(same) {
                return format!("all of {}", role.id);
            }
        }
        join(names.into_iter().map(|name| name.map_or_else(|| "this machine".to_owned(), ToString::to_string)).collect())
    }

    fn addresses<'b>(&self, names: impl Iterator<Item = Option<&'b MachineName>>) -> String {
        let mut here = false;
        let mut found: Vec<Ipv4Addr> = Vec::new();
        for name in names {
            match name {
                None => here = true,
                Some(name) => found.extend(self.plan.machines.iter().find(|machine| machine.name == *name).map(|machine| machine.address)),
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut words: Vec<String> = if here { vec!["this machine".to_owned()] } else { Vec::new() };
        for run in found.chunk_by(|one, next| u32::from(*one) + 1 == u32::from(*next)) {
            match run {
                [first, _, .., last] => words.push(format!("{first}-{}", last.octets()[3])),
                few => words.extend(few.iter().map(ToString::to_string)),
            }
        }
        join(words)
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn expected(check: &CheckSpec, path: &Path) -> String {
    match (&check.kind, purpose(check, path.what)) {
        (CheckKind::PathMtu { min, .. }, _) => format!("packets of {min} bytes pass from {} to {}", path.source(), path.to),
        (_, Some(purpose)) => format!("{} ({purpose}) open from {} to {}", path.what, path.source(), path.to),
        (_, None) => format!("{} open from {} to {}", path.what, path.source(), path.to),
    }
}

fn no_listener(to: &MachineName, host: Option<&ReachHost>, state: Option<&ListenState>, port: u16) -> String {
    let tool = host.and_then(|host| host.tool.as_deref());
    match (state, tool) {
        (Some(ListenState::NoSudo), _) => {
            format!("{to} cannot listen on {port}/udp: ports below 1024 need sudo, which does not work there")
        }
        (Some(ListenState::Failed(reason)), _) => format!("{to} cannot listen on {port}/udp: {reason}"),
        (_, None) => format!("{to} has neither python3 nor perl nor nc to listen with"),
        (_, Some("nc")) => format!("{to} has only nc, which cannot answer UDP"),
        (_, Some(_)) => format!("{to} did not listen on {port}/udp"),
    }
}

fn join(words: Vec<String>) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Sources × targets that together are exactly these pairs: by targets with the same sources, by sources with the same targets, or
/// all among one another; whichever needs fewest.
fn rectangles<'a>(
    pairs: impl Iterator<Item = &'a (Option<MachineName>, MachineName)>,
) -> Vec<(BTreeSet<Option<MachineName>>, BTreeSet<MachineName>)> {
    let pairs: BTreeSet<&(Option<MachineName>, MachineName)> = pairs.collect();
    let (mut sources, mut targets) = (BTreeMap::<&MachineName, BTreeSet<_>>::new(), BTreeMap::<&Option<MachineName>, BTreeSet<_>>::new());
    for (from, to) in &pairs {
        sources.entry(to).or_default().insert(from.clone());
        targets.entry(from).or_default().insert(to.clone());
    }
    let by_target = || {
        let mut groups = BTreeMap::<BTreeSet<Option<MachineName>>, BTreeSet<MachineName>>::new();
        for (to, from) in &sources {
            groups.entry(from.clone()).or_default().insert((*to).clone());
        }
        groups.into_iter().collect::<Vec<_>>()
    };
    let by_source = || {
        let mut groups = BTreeMap::<BTreeSet<MachineName>, BTreeSet<Option<MachineName>>>::new();
        for (from, to) in &targets {
            groups.entry(to.clone()).or_default().insert((*from).clone());
        }
        groups.into_iter().map(|(to, from)| (from, to)).collect::<Vec<_>>()
    };
    // A machine has no path to itself: among one another, every source set lacks its own target.
    let whole = || {
        let from: BTreeSet<Option<MachineName>> = targets.keys().map(|from| (*from).clone()).collect();
        let to: BTreeSet<MachineName> = sources.keys().map(|to| (*to).clone()).collect();
        let own = to.iter().filter(|name| from.contains(&Some((*name).clone()))).count();
        (from.len() * to.len() - own == pairs.len()).then(|| vec![(from, to)])
    };
    if let Some(one) = whole() {
        return one;
    }
    let (one, other) = (by_target(), by_source());
    if other.len() < one.len() { other } else { one }
}

/// What is said about a matrix that was tried by sample; none: all of it was tried.
#[must_use]
pub fn sampling(check: &CheckSpec, plan: &Plan) -> Option<String> {
    let (tried, all) = sampled(check, plan)?;
    Some(format!("{}: {tried} of {all} pairs of machines were tried, a sample by role", check.id))
}
