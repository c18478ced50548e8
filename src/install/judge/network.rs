//! Names, ports and web addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use regex::Regex;

use crate::install::check::{CheckKind, CheckSpec, DnsRecord, Finding, Target, Verdict};
use crate::install::facts::{DnsAnswer, DnsOutcome, HttpAnswer, TcpAnswer};

use super::judgement::{Judged, Judgement, skipped};

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Judges one DNS record.
#[must_use]
pub fn dns(check: &CheckSpec, record: &DnsRecord, answer: &DnsAnswer) -> Finding {
    record_judgement(record, answer).finding(check, Target::Name(record.name.clone()))
}

/// Whether DNS as a whole is out: several names, and the same failure to tell for every one. Gives the reason for skipping all but one.
pub fn dns_outage<'a>(answers: impl Iterator<Item = Option<&'a DnsAnswer>>) -> Option<String> {
    let answers: Vec<&DnsAnswer> = answers.collect::<Option<Vec<_>>>()?;
    let (first, rest) = answers.split_first()?;
    let failed = matches!(first.outcome, DnsOutcome::Timeout | DnsOutcome::ServerError(_) | DnsOutcome::Failed(_));
    let everywhere = !rest.is_empty() && answers.iter().all(|answer| answer.outcome == first.outcome && answer.hosts_file.is_empty());
    (failed && everywhere).then(|| "DNS answers for no name at all: see the one finding about it".to_owned())
}

fn record_judgement(record: &DnsRecord, answer: &DnsAnswer) -> Judgement {
    let alias = record.alias_of.as_ref().map(|name| format!(", as a CNAME of {name}")).unwrap_or_default();
    let wanted: Option<IpAddr> = record.address.parse().ok();
    let expected = match wanted {
        Some(address) => format!("leads to {address}{alias}"),
        None => format!("leads to an address{alias}"),
    };
    let private = matches!(wanted, Some(IpAddr::V4(address)) if address.is_private());
    let entry = match (&record.alias_of, wanted) {
        (Some(name), _) => format!("{} CNAME {name}", record.name),
        (None, Some(address)) => format!("{} A {address}", record.name),
        (None, None) => format!("{} A, with an address", record.name),
    };
    let create = format!("Create the record: {entry}.");
    let right = |addresses: &[IpAddr]| wanted.is_none_or(|wanted| addresses.contains(&wanted));
    // What /etc/hosts says wins on the deployment node, and is unknown to machines and pods.
    if !answer.hosts_file.is_empty() && !right(&answer.hosts_file) {
        let observed = format!("/etc/hosts of the deployment node says {}", list(&answer.hosts_file));
        return Judgement::new(Judged::Wrong, observed, expected).remedy(format!("Remove {} from /etc/hosts.", record.name));
    }
    let by_hosts = !answer.hosts_file.is_empty();
    let missing = |said: String, remedy: String| {
        if by_hosts {
            let observed = format!("{said}; only /etc/hosts of the deployment node knows it, which machines and pods do not read");
            Judgement::new(Judged::Doubtful, observed, expected.clone()).remedy(remedy)
        } else {
            Judgement::new(Judged::Wrong, said, expected.clone()).remedy(remedy)
        }
    };
    let servers = if answer.servers.is_empty() { "the DNS servers".to_owned() } else { answer.servers.join(", ") };
    if let Some(view) = other_view(record, answer, wanted, &servers, &expected) {
        return view;
    }
    match &answer.outcome {
        DnsOutcome::Addresses { addresses, through } => {
            let path = if through.is_empty() { String::new() } else { format!(" through {}", through.join(", ")) };
            let observed = format!("{}{path}", list(addresses));
            if !right(addresses) {
                return Judgement::new(Judged::Wrong, format!("leads to {observed}"), expected)
                    .remedy(format!("Change the record to: {entry}."));
            }
            if wanted.is_some() && addresses.len() > 1 {
                let observed = format!("leads to several addresses: {observed}");
                return Judgement::new(Judged::Wrong, observed, expected)
                    .remedy("Leave the right address alone: clients take any of them.");
            }
            // Right today; an alias would follow the other when it moves.
            let note = match &record.alias_of {
                Some(name) if through.is_empty() => format!(", as an address of its own instead of a CNAME of {name}"),
                _ => String::new(),
            };
            Judgement::new(Judged::Right, format!("{observed}{note}"), expected)
        }
        DnsOutcome::NoSuchName | DnsOutcome::NoAddress if answer.alias.is_some() => {
            let target = answer.alias.as_deref().unwrap_or_default();
            missing(
                format!("is a CNAME of {target}, which leads to no address"),
                format!("Make an address record for {target}, or correct the CNAME."),
            )
        }
        DnsOutcome::NoSuchName => missing("the name does not exist (NXDOMAIN)".to_owned(), create),
        DnsOutcome::NoAddress => {
            let hint = if private {
                " If it is there: a resolver with rebind protection drops private addresses; allow this domain in it."
            } else {
                ""
            };
            missing("the name exists, and has no IPv4 address".to_owned(), format!("{create}{hint}"))
        }
        DnsOutcome::Timeout => Judgement::unknown(format!("{servers} did not answer in time"), expected)
            .remedy("Check again; see whether the resolver is up and port 53 is open.")
            .alone(),
        DnsOutcome::ServerError(code) => Judgement::unknown(format!("{servers} answered with an error: {code}"), expected)
            .remedy("Look at the zone and the resolver: it cannot serve this name.")
            .alone(),
        DnsOutcome::Failed(reason) => Judgement::unknown(format!("DNS cannot be asked: {reason}"), expected),
    }
}

/// What a resolver calls it that leaves private addresses out.
const REBIND: &str = "rebind protection";

/// Where the answer is wrong because of who answers, and not because of the record: servers that answer every name alike, rebind
/// protection, another view of the zone.
fn other_view(record: &DnsRecord, answer: &DnsAnswer, wanted: Option<IpAddr>, servers: &str, expected: &str) -> Option<Judgement> {
    let right = |outcome: &DnsOutcome| matches!((outcome, wanted), (DnsOutcome::Addresses { addresses, .. }, Some(wanted)) if addresses.contains(&wanted));
    if right(&answer.outcome) || !answer.hosts_file.is_empty() {
        return None;
    }
    if let DnsOutcome::Addresses { addresses, .. } = &answer.outcome
        && !answer.invented.is_empty()
        && addresses == &answer.invented
    {
        let observed = format!("{servers} answers every name alike, with {}, also one that cannot exist", list(addresses));
        let remedy = "Use another name server: this one invents answers (a provider's search page, or a login page of the network).";
        return Some(Judgement::new(Judged::Wrong, observed, expected).remedy(remedy).alone());
    }
    let other = answer.elsewhere.as_ref().filter(|other| right(&other.outcome))?;
    let who = format!("{} ({})", if other.zone { "the zone's own servers" } else { "public resolvers" }, other.servers.join(", "));
    let address = wanted.map(|address| address.to_string()).unwrap_or_default();
    let private = matches!(wanted, Some(IpAddr::V4(address)) if address.is_private());
    let (observed, remedy) = match &answer.outcome {
        DnsOutcome::Addresses { addresses, .. } => (
            format!("two views of the zone: {servers} says {}, and {who} say {address}", list(addresses)),
            format!("Correct {} in the view that {servers} serves, or wait until its old answer expires.", record.name),
        ),
        DnsOutcome::NoAddress if private => (
            format!("{who} say {address}, and {servers} leaves it out: {REBIND}, which drops private addresses"),
            "The record is right. Allow this domain in the resolver (dnsmasq: rebind-domain-ok, unbound: private-domain), or use another."
                .to_owned(),
        ),
        _ => (
            format!("two views of the zone: {who} say {address}, and for {servers} there is no such record"),
            format!(
                "Add {} to the view that {servers} serves; if it was made a moment ago, wait until the old answer expires.",
                record.name
            ),
        ),
    };
    Some(Judgement::new(Judged::Wrong, observed, expected).remedy(remedy).alone())
}

/// Leaves one finding for each cause among those of names: a server that answers every name alike is said once, and a name that is only
/// an alias of another is not a second finding beside that one's.
pub fn dns_causes(findings: &mut [(&CheckSpec, Finding)], answers: &dyn Fn(&str) -> Option<DnsAnswer>) {
    let name = |finding: &Finding| match &finding.target {
        Target::Name(name) => name.clone(),
        _ => String::new(),
    };
    let bad: Vec<String> =
        findings.iter().filter(|(_, finding)| finding.verdict != Verdict::Pass).map(|(_, finding)| name(finding)).collect();
    let (mut liar, mut drops) = (false, false);
    for (check, finding) in findings.iter_mut().filter(|(_, finding)| matches!(finding.verdict, Verdict::Fail | Verdict::Warn)) {
        let own = name(finding);
        let Some(answer) = answers(&own) else { continue };
        if !answer.invented.is_empty() {
            if liar {
                *finding = skipped(check, finding.target.clone(), "the DNS server answers every name alike: see the one finding about it");
            }
            liar = true;
            continue;
        }
        if answer.outcome == DnsOutcome::NoAddress && finding.observed.contains(REBIND) {
            if drops {
                *finding = skipped(check, finding.target.clone(), "the DNS server drops private addresses: see the one finding about it");
            }
            drops = true;
            continue;
        }
        let through = match &answer.outcome {
            DnsOutcome::Addresses { through, .. } => through.clone(),
            _ => answer.alias.iter().cloned().collect(),
        };
        if let Some(target) = through.iter().find(|target| **target != own && bad.contains(target)) {
            *finding = skipped(check, finding.target.clone(), &format!("an alias of {target}, which has a finding of its own"));
        }
    }
}

/// Judges the ports of one machine. `banner`: a silent SSH port counts, because nothing else tells of it.
pub(super) fn tcp(ports: &[u16], listening: bool, answers: &BTreeMap<u16, TcpAnswer>, banner: bool) -> Judgement {
    let numbers = |list: &[u16]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let expected = if listening {
        format!("something listens on {} and can be reached", numbers(ports))
    } else {
        format!("{} can be reached: open or refused, no firewall in between", numbers(ports))
    };
    let (mut wrong, mut unclear, mut good, mut closed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for port in ports {
        match answers.get(port) {
            Some(TcpAnswer::Open { banner: Some(line) }) if banner && *port == 22 && !line.starts_with("SSH-") => {
                let said = if line.is_empty() { "silent".to_owned() } else { format!("'{line}'") };
                wrong.push(format!("22 is open and does not speak SSH ({said})"));
            }
            Some(TcpAnswer::Open { .. }) => good.push(format!("{port} open")),
            Some(TcpAnswer::Refused) if listening => wrong.push(format!("{port} refused: nothing listens there")),
            Some(TcpAnswer::Refused) => good.push(format!("{port} refused")),
            Some(TcpAnswer::Silent(millis)) => {
                closed.push(port.to_string());
                wrong
                    .push(format!("{port} does not answer within {:.1} s", f64::from(u32::try_from(*millis).unwrap_or(u32::MAX)) / 1000.0));
            }
            Some(TcpAnswer::Unreachable(reason)) => {
                closed.push(port.to_string());
                wrong.push(format!("{port} has no way there: {reason}"));
            }
            Some(TcpAnswer::Failed(reason)) => unclear.push(format!("{port} could not be tried: {reason}")),
            None => unclear.push(format!("{port} was not tried")),
        }
    }
    let remedy = if closed.is_empty() {
        String::new()
    } else {
        format!("Ask for a firewall rule: from the deployment node to this machine, tcp {}.", closed.join(", "))
    };
    if !wrong.is_empty() {
        wrong.extend(unclear);
        return Judgement::new(Judged::Wrong, wrong.join("; "), expected).remedy(remedy);
    }
    if !unclear.is_empty() {
        return Judgement::unknown(unclear.join("; "), expected);
    }
    Judgement::new(Judged::Right, good.join(", "), expected)
}

/// Judges an HTTP answer.
#[must_use]
pub fn http(check: &CheckSpec, answer: &HttpAnswer) -> Finding {
    let CheckKind::Http { url, status, contains, address, .. } = &check.kind else {
        return super::unknown(check, Target::Local, "not a web check");
    };
    let at = address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    let codes = status.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    let with = contains.as_ref().map(|text| format!(" with '{text}'")).unwrap_or_default();
    let expected = format!("{url}{at} answers {codes}{with}");
    let judgement = match answer {
        HttpAnswer::Answer { status: seen, body, location } => {
            let to = location.as_ref().map(|location| format!(", to {location}")).unwrap_or_default();
            if !status.contains(seen) {
                Judgement::new(Judged::Wrong, format!("it answers {seen}{to}"), expected)
            } else if contains.as_ref().is_some_and(|text| !body.contains(text.as_str())) {
                Judgement::new(Judged::Wrong, format!("it answers {seen}, without the text expected: {}", beginning(body)), expected)
            } else {
                Judgement::new(Judged::Right, format!("it answers {seen}{to}"), expected)
            }
        }
        HttpAnswer::Timeout => Judgement::unknown("no answer in time", expected),
        HttpAnswer::Connect(reason) => Judgement::new(Judged::Wrong, format!("no connection: {reason}"), expected),
        HttpAnswer::Certificate(reason) => Judgement::new(Judged::Wrong, format!("its certificate is not accepted: {reason}"), expected),
        HttpAnswer::Failed(reason) => Judgement::unknown(reason.clone(), expected),
    };
    judgement.finding(check, Target::Local)
}

/// The first line that says something, cut to a readable length.
pub(super) fn beginning(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(nothing)");
    let short: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
    if short.chars().count() == 160 { format!("{short}…") } else { short }
}

/// Whether a pattern of a profile fits a text; a pattern that is none is the profile's mistake.
pub(super) fn fits(pattern: &str, text: &str) -> Result<bool, String> {
    Regex::new(pattern)
        .map(|pattern| pattern.is_match(text))
        .map_err(|_| format!("the profile's pattern '{pattern}' is not a regular expression"))
}
