//! What machines say together: sizes in all, names of their own that must differ, DNS as they see it, the way out they have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::install::check::{CheckKind, CheckSpec, DnsRecord, Finding, Target, Verdict};
use crate::install::facts::{MachineAnswer, MachineFacts, NameAnswer, WayOut, WayOutcome};
use crate::install::ids::MachineName;
use crate::install::plan::Plan;

use super::judgement::{Judged, Judgement, looks_at, machines, skipped};
use super::state::{gib, too_small};
use super::system;

/// Memory that firmware and kernel keep for themselves, as in the size of one machine.
const MEMORY_TOLERANCE: f64 = 0.92;

/// What the machines told.
pub type Told = BTreeMap<MachineName, MachineAnswer>;

/// Judges a check that compares machines. A machine that could not be asked has its own finding already, so that it is left out here;
/// where nothing can be said without it, the check is skipped.
#[must_use]
pub fn across(check: &CheckSpec, plan: &Plan, told: &Told) -> Vec<Finding> {
    let wanted: Vec<&MachineName> = machines(check, plan).map(|machine| &machine.name).collect();
    let asked: Vec<(&MachineName, &MachineFacts)> = wanted
        .iter()
        .filter_map(|name| match told.get(*name)? {
            MachineAnswer::Facts(facts) => Some((*name, facts.as_ref())),
            MachineAnswer::Failed(_) => None,
        })
        .collect();
    let skip = |reason: &str| super::targets(check, plan).into_iter().map(|target| skipped(check, target, reason)).collect::<Vec<_>>();
    if asked.is_empty() {
        return skip(if wanted.is_empty() { "the site has no such machine" } else { "no machine could be asked" });
    }
    match &check.kind {
        CheckKind::UniqueHosts {} => vec![unique_hosts(&asked).finding(check, Target::Local)],
        CheckKind::TotalSize { cpu, ram_gib, better_cpu, better_ram_gib } => {
            let missing: Vec<&str> =
                wanted.iter().filter(|name| !asked.iter().any(|(known, _)| known == *name)).map(|name| name.as_str()).collect();
            let own = plan.machines.iter().filter_map(|machine| match told.get(&machine.name)? {
                MachineAnswer::Facts(facts) if looks_at(check, machine) => Some((machine, facts)),
                _ => None,
            });
            // A machine that is too small by itself has a finding of its own.
            let small: Vec<&str> =
                own.filter(|(machine, facts)| too_small(plan, machine, facts)).map(|(machine, _)| machine.name.as_str()).collect();
            if !missing.is_empty() {
                skip(&format!("{} could not be asked, and counts too", missing.join(", ")))
            } else if !small.is_empty() {
                skip(&format!("{} is too small by itself: see that finding", small.join(", ")))
            } else {
                vec![total_size((*cpu, *ram_gib), (*better_cpu, *better_ram_gib), &asked).finding(check, Target::Local)]
            }
        }
        CheckKind::DnsFromMachines { records } => {
            let trouble = |name: &MachineName, facts: &MachineFacts, record: &DnsRecord| own_trouble(plan, name, facts, record);
            names(check, records, &asked, &trouble)
        }
        CheckKind::EgressFromMachines { urls } => {
            // A machine from which nothing gets out says so at its first address alone.
            let says = |facts: &MachineFacts, url: &str| !shut_in(facts) || facts.ways_out.keys().next().is_some_and(|first| first == url);
            let answers = |url: &str| {
                let saying = asked.iter().filter(|(_, facts)| says(facts, url));
                saying.map(|(name, facts)| (name.as_str(), facts.ways_out.get(url))).collect::<Vec<_>>()
            };
            ways_out(check, urls, &answers)
        }
        _ => skip("a check of this kind does not compare machines"),
    }
}

fn joined(names: &[&str]) -> String {
    match names {
        // More would hide what it is about.
        [first, .., last] if names.len() > 6 => format!("{first} … {last} ({} machines)", names.len()),
        _ => names.join(", "),
    }
}

/// Who says the same, in the order of the answers.
fn groups<'a, T: Ord>(answers: impl Iterator<Item = (&'a str, T)>) -> BTreeMap<T, Vec<&'a str>> {
    let mut groups: BTreeMap<T, Vec<&str>> = BTreeMap::new();
    for (name, answer) in answers {
        groups.entry(answer).or_default().push(name);
    }
    groups
}

fn unique_hosts(asked: &[(&MachineName, &MachineFacts)]) -> Judgement {
    let expected = "every machine with a host name and a machine id of its own";
    let (mut problems, mut remedy) = (Vec::new(), Vec::new());
    let told = |read: &dyn Fn(&MachineFacts) -> Option<String>| {
        groups(asked.iter().filter_map(|(name, facts)| Some((name.as_str(), read(facts)?))))
    };
    let hosts = told(&|facts| facts.hostname.clone());
    let ids = told(&|facts| facts.machine_id.clone().filter(|id| id != "uninitialized" && !id.is_empty()));
    if hosts.is_empty() && ids.is_empty() {
        return Judgement::unknown("neither host names nor machine ids could be read", expected);
    }
    for (host, names) in hosts.iter().filter(|(_, names)| names.len() > 1) {
        problems.push(format!("{} all call themselves {host}", joined(names)));
        remedy.push("`sudo hostnamectl set-hostname NAME` on each: nodes of a cluster are known by it, and the second one is refused.");
    }
    for names in ids.values().filter(|names| names.len() > 1) {
        problems.push(format!("{} have the same machine id", joined(names)));
        remedy.push("They were copied from one image: `sudo rm /etc/machine-id && sudo systemd-machine-id-setup`, then reboot.");
    }
    for (host, names) in &hosts {
        let plain = host.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        let shaped = !host.starts_with(['-', '.']) && !host.ends_with(['-', '.']) && host.len() <= 63;
        if !plain || !shaped || host == "localhost" {
            problems.push(format!("{} calls itself {host}, which cannot be the name of a node", names[0]));
            remedy.push("Choose a name of lower-case letters, digits and hyphens: `sudo hostnamectl set-hostname NAME`.");
        }
    }
    remedy.dedup();
    let observed = if problems.is_empty() { format!("{} machines, all different", asked.len()) } else { problems.join("; ") };
    Judgement::when(problems.is_empty(), observed, expected).remedy(remedy.join(" "))
}

fn total_size(least: (u32, u32), better: (u32, u32), asked: &[(&MachineName, &MachineFacts)]) -> Judgement {
    let expected = format!("{} processors and {} GiB of memory in all", least.0.max(better.0), least.1.max(better.1));
    let processors = asked.iter().map(|(_, facts)| facts.processors).sum::<Option<u32>>();
    let memory = asked.iter().map(|(_, facts)| facts.memory_kib).sum::<Option<u64>>();
    let (Some(processors), Some(memory)) = (processors, memory) else {
        return Judgement::unknown("processors or memory of a machine could not be read", expected);
    };
    let enough = |(cpu, ram): (u32, u32)| processors >= cpu && gib(memory) >= f64::from(ram) * MEMORY_TOLERANCE;
    let judged = match (enough(least), enough(better)) {
        (false, _) => Judged::Wrong,
        (true, false) => Judged::Doubtful,
        (true, true) => Judged::Right,
    };
    Judgement::new(judged, format!("{processors} processors and {:.0} GiB on {} machines", gib(memory), asked.len()), expected)
}

/// Whether every address that a machine was asked to reach failed in the same way.
fn shut_in(facts: &MachineFacts) -> bool {
    let mut outcomes = facts.ways_out.values().map(|way| &way.outcome);
    let Some(first) = outcomes.next() else { return false };
    facts.ways_out.len() > 1 && !matches!(first, WayOutcome::Answered(_)) && outcomes.all(|outcome| outcome == first)
}

/// Whether what a machine says about a name follows from its own `/etc/hosts` or resolver, which have findings of their own.
fn own_trouble(plan: &Plan, name: &MachineName, facts: &MachineFacts, record: &DnsRecord) -> bool {
    let Some(machine) = plan.machines.iter().find(|machine| machine.name == *name) else { return false };
    plan.checks.iter().filter(|check| looks_at(check, machine)).any(|check| match &check.kind {
        CheckKind::HostsFile {} => {
            let named = |line: &String| line.split_whitespace().skip(1).any(|word| word.eq_ignore_ascii_case(&record.name));
            facts.hosts_file.iter().flatten().any(named) && system::hosts_file(plan, facts).judged == Judged::Wrong
        }
        CheckKind::Resolver {} => system::resolver(facts).judged == Judged::Wrong,
        _ => false,
    })
}

type Trouble<'a> = &'a dyn Fn(&MachineName, &MachineFacts, &DnsRecord) -> bool;

fn names(check: &CheckSpec, records: &[DnsRecord], asked: &[(&MachineName, &MachineFacts)], trouble: Trouble<'_>) -> Vec<Finding> {
    let mut found: Vec<(bool, Finding)> = Vec::new();
    for record in records {
        let target = Target::Name(record.name.clone());
        if found.iter().any(|(_, finding)| finding.target == target) {
            continue;
        }
        let saying = asked.iter().filter(|(name, facts)| !trouble(name, facts, record));
        let answers = groups(saying.map(|(name, facts)| (name.as_str(), facts.names.get(&record.name).cloned())));
        if answers.is_empty() {
            found.push((false, skipped(check, target, "the machines' own resolvers have findings of their own")));
            continue;
        }
        let silent = answers.len() == 1 && answers.contains_key(&Some(NameAnswer::NoServer));
        found.push((silent, seen_from_machines(record, &answers).finding(check, target)));
    }
    // No server answers any machine: one cause.
    if found.len() > 1 && found.iter().all(|(silent, _)| *silent) {
        for (_, finding) in found.iter_mut().skip(1) {
            *finding = skipped(check, finding.target.clone(), "no name server answers these machines: see the one finding about it");
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

fn seen_from_machines(record: &DnsRecord, answers: &BTreeMap<Option<NameAnswer>, Vec<&str>>) -> Judgement {
    let wanted: Option<IpAddr> = record.address.parse().ok();
    let expected = wanted.map_or_else(|| "leads to an address".to_owned(), |address| format!("leads to {address}, seen from the machines"));
    let right = |answer: &NameAnswer| matches!(answer, NameAnswer::Addresses(found) if wanted.is_none_or(|wanted| found.contains(&wanted)));
    let list = |found: &[IpAddr]| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (mut wrong, mut unclear, mut good, mut remedy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (answer, names) in answers {
        let from = joined(names);
        match answer {
            Some(answer @ NameAnswer::Addresses(found)) if right(answer) => good.push(format!("{} from {from}", list(found))),
            Some(NameAnswer::Addresses(found)) => {
                wrong.push(format!("leads to {} from {from}", list(found)));
                remedy.push("Their name servers, or their /etc/hosts, tell another address than the site expects: let them use the same servers as the deployment node, or correct the other view of the zone.");
            }
            Some(NameAnswer::NotFound) => {
                wrong.push(format!("does not exist for {from}"));
                if matches!(wanted, Some(IpAddr::V4(address)) if address.is_private()) {
                    remedy.push("If the deployment node resolves it: their name server does not know the zone, or drops private addresses (rebind protection). Allow the domain there, or give the machines the network's own server.");
                }
            }
            Some(NameAnswer::NoServer) => {
                wrong.push(format!("no name server answers {from}"));
                remedy.push("Look at `resolvectl status` there, and whether 53/udp and 53/tcp to the name server are open.");
            }
            Some(NameAnswer::Failed) | None => unclear.push(format!("could not be resolved on {from}, which has no means to tell why")),
        }
    }
    remedy.dedup();
    if wrong.is_empty() && unclear.is_empty() {
        return Judgement::new(Judged::Right, good.join("; "), expected);
    }
    if wrong.is_empty() {
        return Judgement::unknown(unclear.join("; "), expected);
    }
    // Said too, because a difference between machines is half of the diagnosis.
    let all = [wrong, unclear, good].concat();
    Judgement::new(Judged::Wrong, all.join("; "), expected).remedy(remedy.join(" "))
}

/// The host of an address, without scheme, port and path.
#[must_use]
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    host.rsplit_once('@').map_or(host, |(_, host)| host).split(':').next().unwrap_or(host)
}

/// Who was asked for an address, and what came of it; none: no answer.
type WaysOf<'a> = Vec<(&'a str, Option<&'a WayOut>)>;

/// Judges the way out: one finding for each host; where nothing at all gets out, one finding in all.
pub fn ways_out<'a>(check: &CheckSpec, urls: &[String], answers: &dyn Fn(&str) -> WaysOf<'a>) -> Vec<Finding> {
    let mut found: Vec<(Option<WayOutcome>, Finding)> = Vec::new();
    for url in urls {
        let target = Target::Name(host_of(url).to_owned());
        let given = answers(url);
        if given.is_empty() {
            if !found.iter().any(|(_, known)| known.target == target) {
                found.push((None, skipped(check, target, "nothing gets out at all: see the one finding about it")));
            }
            continue;
        }
        let outcomes = groups(given.iter().map(|(name, way)| (*name, way.map(|way| way.outcome.clone()))));
        let proxies: Vec<&str> = given.iter().filter_map(|(_, way)| way.as_ref()?.proxy.as_deref()).collect();
        let one = (outcomes.len() == 1).then(|| outcomes.keys().next().cloned().flatten()).flatten();
        let same = one.filter(|outcome| !matches!(outcome, WayOutcome::Answered(_)));
        let finding = way_out(url, &outcomes, proxies.first().copied()).finding(check, target.clone());
        // Several addresses of one host give one finding: the one that is not green.
        match found.iter_mut().find(|(_, known)| known.target == target) {
            Some(known) if known.1.verdict == Verdict::Pass => *known = (same, finding),
            Some(_) => {}
            None => found.push((same, finding)),
        }
    }
    let first = found.first().and_then(|(same, _)| same.clone());
    if found.len() > 1 && first.is_some() && found.iter().all(|(same, _)| *same == first) {
        for (_, finding) in found.iter_mut().skip(1) {
            *finding = skipped(check, finding.target.clone(), "nothing gets out at all: see the one finding about it");
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// Where several checks of the way out say the same of every host, there is none at all: said once.
pub fn one_way_out(checks: &[&CheckSpec], findings: &mut [Finding]) {
    let out = |finding: &Finding| {
        let own = checks.iter().find(|check| check.id == finding.check).map(|check| &check.kind);
        matches!(own, Some(CheckKind::Egress { .. } | CheckKind::EgressFromMachines { .. }))
    };
    let said: Vec<&Finding> = findings.iter().filter(|finding| out(finding) && finding.verdict != Verdict::Skipped).collect();
    let Some(first) = said.first() else { return };
    let same = said.iter().all(|finding| finding.verdict != Verdict::Pass && finding.observed == first.observed);
    if !same {
        return;
    }
    // The gravest of them carries it, or a warning would hide what is in the way.
    let gravest = said.iter().rev().max_by_key(|finding| finding.level).unwrap_or(first);
    let (check, target) = (gravest.check.clone(), gravest.target.clone());
    for finding in findings.iter_mut() {
        let other = (&finding.check, &finding.target) != (&check, &target);
        if let Some(spec) = checks.iter().find(|known| known.id == finding.check).filter(|_| other && out(finding)) {
            *finding = skipped(spec, finding.target.clone(), "nothing gets out at all: see the one finding about it");
        }
    }
}

fn way_out(url: &str, outcomes: &BTreeMap<Option<WayOutcome>, Vec<&str>>, proxy: Option<&str>) -> Judgement {
    let host = host_of(url);
    let through = proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let expected = format!("{url} answers{through}");
    let here = |names: &[&str]| if names == ["local"] { String::new() } else { format!(" from {}", joined(names)) };
    let (mut wrong, mut unclear, mut good, mut remedy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let port = if url.starts_with("http:") { 80 } else { 443 };
    for (outcome, names) in outcomes {
        let from = here(names);
        let rule = |what: &str| {
            format!(
                "{what}: allow {host}, {port}/tcp{}.",
                if from.is_empty() { " from the deployment node".to_owned() } else { from.clone() }
            )
        };
        match outcome {
            Some(WayOutcome::Answered(code)) => good.push(format!("it answers {code}{from}")),
            Some(WayOutcome::Name) => {
                wrong.push(format!("the name{} is not resolved{from}", if proxy.is_some() { " of it or of the proxy" } else { "" }));
                remedy.push("The name server does not know it: see whether outside names are resolved at all.".to_owned());
            }
            Some(WayOutcome::Connect) => {
                wrong.push(format!("no connection{from}"));
                remedy.push(rule("Ask for a firewall rule"));
            }
            Some(WayOutcome::Timeout) => {
                wrong.push(format!("no answer in time{from}"));
                remedy.push(rule("Ask for a firewall rule"));
            }
            Some(WayOutcome::Certificate) => {
                wrong.push(format!("its certificate is not accepted{from}"));
                remedy.push("Something in between opens the encryption: except this host from it, or install its certificate authority on these machines.".to_owned());
            }
            Some(WayOutcome::Proxy(said)) => {
                wrong.push(format!("the proxy refuses{from}: {said}"));
                remedy.push(format!("Let the proxy pass {host}, or add it to no_proxy where there is a direct way."));
            }
            Some(WayOutcome::NoTool) => unclear.push(format!("there is neither curl, wget nor python3 to try with{from}")),
            Some(WayOutcome::Failed(reason)) => unclear.push(format!("{reason}{from}")),
            None => unclear.push(format!("there was no answer to the question{from}")),
        }
    }
    remedy.dedup();
    let text = |parts: Vec<String>| format!("{}{through}", parts.join("; "));
    if !wrong.is_empty() {
        return Judgement::new(Judged::Wrong, text([wrong, unclear, good].concat()), expected).remedy(remedy.join(" "));
    }
    if !unclear.is_empty() {
        return Judgement::unknown(text(unclear), expected);
    }
    Judgement::new(Judged::Right, text(good), expected)
}
