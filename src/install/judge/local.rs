//! The deployment node: tools, sizes, user, keys, certificates, checkouts, commands.

use std::collections::BTreeMap;

use regex::Regex;

use crate::install::check::{CheckKind, CheckSpec, Finding, Target};
use crate::install::facts::{CertificateFacts, CommandFacts, KeyFacts, LayoutFacts, MachineFacts, ToolFacts, UserFacts};
use crate::install::ids::CheckId;
use crate::install::plan::{Plan, PlanSource};

use super::judgement::{Judged, Judgement, skipped};
use super::network::{beginning, fits};
use super::state::gib;
use super::versions;

const DAY: i64 = 86_400;

fn wrong_kind(check: &CheckSpec) -> Finding {
    super::unknown(check, Target::Local, &format!("a check of kind {} was given other facts", check.kind.name()))
}

/// Judges a tool: found, and of a version that will do.
#[must_use]
pub fn tool(check: &CheckSpec, facts: &ToolFacts) -> Finding {
    let CheckKind::Tool { command, pattern, min, exact, below, better, .. } = &check.kind else { return wrong_kind(check) };
    let limits = (min.as_deref(), exact.as_deref(), below.as_deref());
    let expected = format!("{command}, {}", versions::wanted(limits.0, limits.1, limits.2));
    let judgement = match (&facts.path, &facts.version) {
        (None, _) => Judgement::new(Judged::Wrong, format!("{command} is not on PATH"), expected),
        (Some(path), None) => Judgement::new(Judged::Right, path.clone(), expected),
        (Some(path), Some(result)) => tool_version(path, result, pattern.as_deref(), limits, better.as_deref(), expected),
    };
    judgement.finding(check, Target::Local)
}

fn tool_version(
    path: &str,
    result: &CommandFacts,
    pattern: Option<&str>,
    limits: (Option<&str>, Option<&str>, Option<&str>),
    better: Option<&str>,
    expected: String,
) -> Judgement {
    if result.timed_out {
        return Judgement::unknown(format!("{path} did not tell its version in time"), expected);
    }
    if let Some(problem) = &result.problem {
        return Judgement::new(Judged::Wrong, problem.clone(), expected);
    }
    let said = format!("{}\n{}", result.stdout, result.stderr);
    let found = match pattern.map(Regex::new) {
        Some(Ok(pattern)) => {
            pattern.captures(&said).and_then(|found| found.get(1).or_else(|| found.get(0))).map(|found| found.as_str().to_owned())
        }
        Some(Err(_)) => return Judgement::unknown("the profile's version pattern is not a regular expression", expected),
        None => Regex::new(r"\d+(\.\d+)+").ok().and_then(|pattern| pattern.find(&said)).map(|found| found.as_str().to_owned()),
    };
    match found {
        None if result.exit != Some(0) => {
            let code = result.exit.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            Judgement::new(Judged::Wrong, format!("{path} is there and does not run ({code}): {}", beginning(&said)), expected)
        }
        None => Judgement::unknown(format!("no version in what {path} prints: {}", beginning(&said)), expected),
        Some(version) => match versions::problem(&version, limits.0, limits.1, limits.2) {
            Ok(()) => match better.map(|better| (better, versions::problem(&version, Some(better), None, None))) {
                Some((better, Err(Some(_)))) => {
                    Judgement::new(Judged::Doubtful, format!("{version} ({path})"), format!("{expected}; {better} or newer is better"))
                }
                _ => Judgement::new(Judged::Right, format!("{version} ({path})"), expected),
            },
            Err(Some(problem)) => Judgement::new(Judged::Wrong, format!("{version} {problem} ({path})"), expected),
            Err(None) => Judgement::unknown(format!("'{version}' is no version"), expected),
        },
    }
}

/// Judges the deployment node's size. `disk` is the path whose free space counts.
#[must_use]
pub fn local_size(check: &CheckSpec, disk: &str, facts: &MachineFacts) -> Finding {
    let CheckKind::LocalSize { cpu, ram_gib, disk_gib, better_ram_gib } = &check.kind else { return wrong_kind(check) };
    let better = if better_ram_gib > ram_gib { format!(" (better {better_ram_gib})") } else { String::new() };
    let expected = format!("{cpu} processors, {ram_gib} GiB of memory{better}, {disk_gib} GiB free at {disk}");
    let space = facts.disks.get(disk).or_else(|| facts.disks.get("/"));
    let (Some(processors), Some(memory), Some(space)) = (facts.processors, facts.memory_kib, space) else {
        return Judgement::unknown("processors, memory or disk could not be read", expected).finding(check, Target::Local);
    };
    let mut short = Vec::new();
    if processors < *cpu {
        short.push(format!("{processors} processors instead of {cpu}"));
    }
    // Firmware and kernel keep some memory for themselves.
    let less_than = |wanted: u32| gib(memory) < f64::from(wanted) * 0.92;
    if less_than(*ram_gib) {
        short.push(format!("{:.1} GiB of memory instead of {ram_gib}", gib(memory)));
    }
    if gib(space.free_kib) < f64::from(*disk_gib) {
        short.push(format!("{:.1} GiB free on {} instead of {disk_gib}", gib(space.free_kib), space.mount));
    }
    let observed = if short.is_empty() {
        format!("{processors} processors, {:.1} GiB of memory, {:.0} GiB free", gib(memory), gib(space.free_kib))
    } else {
        short.join("; ")
    };
    let judged = match (short.is_empty(), less_than(*better_ram_gib)) {
        (false, _) => Judged::Wrong,
        (true, true) => Judged::Doubtful,
        (true, false) => Judged::Right,
    };
    Judgement::new(judged, observed, expected).finding(check, Target::Local)
}

/// Judges the deployment node's user.
#[must_use]
pub fn local_user(check: &CheckSpec, facts: &UserFacts) -> Finding {
    let CheckKind::LocalUser { writable } = &check.kind else { return wrong_kind(check) };
    let expected = format!("an ordinary user who can write {}", writable.join(", "));
    let mut problems = Vec::new();
    let mut remedy = "";
    if facts.uid == 0 {
        problems.push("it runs as root: files and charts would belong to root's home".to_owned());
        remedy = "Log in as the ordinary user who owns the installation, and start it again without sudo.";
    }
    for folder in writable {
        match facts.folders.get(folder) {
            Some(None) => {}
            Some(Some(problem)) => problems.push(problem.clone()),
            None => problems.push(format!("{folder} was not tried")),
        }
    }
    let observed = if problems.is_empty() { format!("{} (uid {})", facts.name, facts.uid) } else { problems.join("; ") };
    Judgement::when(problems.is_empty(), observed, expected).remedy(remedy).finding(check, Target::Local)
}

/// Judges an SSH private key.
#[must_use]
pub fn ssh_key(check: &CheckSpec, facts: &KeyFacts) -> Finding {
    let expected = "a private key without passphrase that its owner alone can read";
    let path = &facts.path;
    let judgement = if path.is_empty() {
        Judgement::new(Judged::Wrong, "no key is named", expected)
    } else if let Some(problem) = &facts.problem {
        Judgement::new(Judged::Wrong, problem.clone(), expected).remedy(format!("`ssh-keygen -t ed25519 -N '' -f {path}` makes one."))
    } else if facts.format.as_deref() == Some("PuTTY") {
        Judgement::new(Judged::Wrong, format!("{path} is a PuTTY key, which OpenSSH does not read"), expected)
            .remedy("Export it from PuTTYgen as an OpenSSH key.")
    } else if facts.format.is_none() {
        let hint = if std::path::Path::new(path).extension().is_some_and(|end| end == "pub") { ": this is the public part" } else { "" };
        Judgement::new(Judged::Wrong, format!("{path} holds no private key{hint}"), expected)
    } else if facts.mode & 0o077 != 0 {
        Judgement::new(
            Judged::Wrong,
            format!("{path} has mode {:04o}, so that others can read it and ssh refuses it", facts.mode),
            expected,
        )
        .remedy(format!("`chmod 600 {path}`."))
    } else if facts.owner != facts.uid {
        Judgement::new(Judged::Wrong, format!("{path} belongs to user id {}, and this is user id {}", facts.owner, facts.uid), expected)
    } else {
        match facts.passphrase {
            Some(false) => Judgement::new(Judged::Right, format!("{path}, mode {:04o}", facts.mode), expected),
            Some(true) => {
                Judgement::new(Judged::Wrong, format!("{path} has a passphrase, which an unattended installation cannot type"), expected)
                    .remedy(format!("`ssh-keygen -p -f {path}` removes it; or make a key for this installation alone."))
            }
            None => Judgement::unknown(format!("{path} cannot be understood: damaged, or a format of the future"), expected),
        }
    };
    judgement.finding(check, Target::Local)
}

/// Whether a name of a certificate covers a host name: `*` stands for exactly one label, and a wildcard asked for must be there as such.
#[must_use]
pub fn covers(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.')) else { return false };
    !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent)
}

/// What is wrong with a certificate chain and its key, for one check.
#[derive(Default)]
struct Trouble {
    /// With the files themselves, whoever looks at them.
    files: Vec<String>,
    /// With the names that this check asks for.
    names: Option<String>,
    /// Worth a word.
    doubts: Vec<String>,
    /// What could not be told.
    unclear: Vec<String>,
    /// What is there, where nothing is wrong.
    good: String,
}

fn trouble(names: &[String], days: u32, facts: &CertificateFacts) -> Trouble {
    let mut found = Trouble::default();
    let problems = &mut found.files;
    problems.extend(facts.chain_problem.clone());
    problems.extend(facts.key_problem.clone().filter(|problem| facts.chain_problem.as_ref() != Some(problem)));
    if facts.key_encrypted {
        problems.push("the key has a passphrase, which nginx cannot type".to_owned());
    }
    if facts.key_matches == Some(false) {
        problems.push("the key does not belong to the first certificate".to_owned());
    }
    problems.extend(facts.order_problem.clone());
    if facts.key_matches.is_none() {
        found.unclear.push("whether key and certificate belong together could not be told".to_owned());
    }
    let Some(leaf) = facts.certificates.first() else { return found };
    // The whole chain is as valid as its shortest part.
    let soonest = facts.certificates.iter().min_by_key(|one| one.not_after).unwrap_or(leaf);
    let left = (soonest.not_after - facts.looked_at).div_euclid(DAY);
    let which = if soonest == leaf { "it".to_owned() } else { format!("the certificate of {} in its chain", soonest.subject) };
    if left < 0 {
        problems.push(format!("{which} expired {} days ago", -left));
    } else if left < i64::from(days) {
        problems.push(format!("{which} expires in {left} days"));
    }
    if leaf.not_before > facts.looked_at {
        problems.push("it is not valid yet: is this machine's clock right?".to_owned());
    }
    if leaf.self_signed {
        found.doubts.push("it is signed by itself: browsers and Rancher agents will not trust it".to_owned());
    } else if facts.certificates.len() < 2 {
        problems.push("it comes without the certificate of its issuer: use fullchain.pem".to_owned());
    }
    let covered = |name: &&String| facts.names.iter().any(|pattern| covers(pattern, name));
    let missing: Vec<&str> = names.iter().filter(|name| !covered(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let have = if facts.names.is_empty() { "no names at all".to_owned() } else { facts.names.join(", ") };
        found.names = Some(format!("it does not cover {} (it has {have})", missing.join(", ")));
    }
    found.good = format!("{} from {}, {left} days left, {} certificates", leaf.subject, leaf.issuer, facts.certificates.len());
    found
}

/// Judges a certificate chain and its key for all checks that look at these two files: all that is wrong in one finding for each check.
/// What is wrong with the files themselves is one cause: the first of the gravest checks says it, the others what they alone find.
#[must_use]
pub fn certificates(checks: &[&CheckSpec], facts: &CertificateFacts) -> Vec<Finding> {
    let mut order: Vec<&CheckSpec> = checks.to_vec();
    order.sort_by_key(|check| std::cmp::Reverse(check.level));
    let mut told: BTreeMap<String, CheckId> = BTreeMap::new();
    order.iter().map(|check| certificate(check, facts, &mut told)).collect()
}

/// One check of a certificate; `told`: what others have said about these files already.
fn certificate(check: &CheckSpec, facts: &CertificateFacts, told: &mut BTreeMap<String, CheckId>) -> Finding {
    let CheckKind::Certificate { names, days, .. } = &check.kind else { return wrong_kind(check) };
    let expected = format!("server certificate, its issuers and its key; valid for {days} more days; for {}", names.join(", "));
    let mut found = trouble(names, *days, facts);
    let mut elsewhere: Option<CheckId> = None;
    for said in [&mut found.files, &mut found.doubts, &mut found.unclear] {
        said.retain(|problem| match told.get(problem) {
            Some(other) => {
                elsewhere = Some(other.clone());
                false
            }
            None => {
                told.insert(problem.clone(), check.id.clone());
                true
            }
        });
    }
    found.files.extend(found.names);
    let judgement = if !found.files.is_empty() {
        Judgement::new(Judged::Wrong, [found.files, found.doubts].concat().join("; "), expected)
    } else if !found.doubts.is_empty() {
        Judgement::new(Judged::Doubtful, found.doubts.join("; "), expected)
    } else if let Some(other) = elsewhere {
        return skipped(check, Target::Local, &format!("what is wrong with these files is said once: see {other}"));
    } else if !found.unclear.is_empty() {
        Judgement::unknown(found.unclear.join("; "), expected)
    } else {
        Judgement::new(Judged::Right, found.good, expected)
    };
    judgement.finding(check, Target::Local)
}

/// Judges a checkout: the layout must fit, the commit should be the one tested.
#[must_use]
pub fn layout(check: &CheckSpec, source: &PlanSource, facts: &LayoutFacts) -> Finding {
    let wanted = source.over.commit.as_ref().unwrap_or(&source.source.commit);
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    let expected = format!("a checkout of {} at {}", source.source.git, short(wanted));
    let judgement = match &facts.folder {
        None => Judgement::new(Judged::Wrong, "neither a checkout nor a fetched copy is there", expected)
            .remedy("`mosip-setup fetch` brings it."),
        Some(folder) => {
            let mut problems = facts.refused.clone();
            if !facts.missing.is_empty() {
                problems.push(format!("{folder} lacks {}", facts.missing.join(", ")));
            }
            problems.extend(facts.incomplete.iter().map(|(template, keys)| format!("{template} lacks {}", keys.join(", "))));
            match &facts.commit {
                _ if !problems.is_empty() => Judgement::new(Judged::Wrong, problems.join("; "), expected)
                    .remedy("This is not the layout the profile was made for: use the commit named, or a profile for this one."),
                Some(commit) if commit == wanted => Judgement::new(Judged::Right, format!("{folder} at {}", short(commit)), expected),
                Some(commit) => Judgement::new(
                    Judged::Doubtful,
                    format!("{folder} is at {}, which was not tested with this profile", short(commit)),
                    expected,
                ),
                None => Judgement::new(
                    Judged::Doubtful,
                    format!("{folder} has the right layout and is no git checkout, so its commit is not known"),
                    expected,
                ),
            }
        }
    };
    judgement.finding(check, Target::Local)
}

/// Judges whether a helm repository alias is there, from `helm repo list -o json`.
#[must_use]
pub fn helm_repository(check: &CheckSpec, result: &CommandFacts) -> Finding {
    let CheckKind::HelmRepository { name } = &check.kind else { return wrong_kind(check) };
    let expected = format!("the helm repository alias {name} of the current user");
    let listed: Option<Vec<(String, String)>> = serde_json::from_str::<serde_json::Value>(&result.stdout).ok().and_then(|list| {
        let text = |item: &serde_json::Value, key: &str| item.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Some(list.as_array()?.iter().map(|item| (text(item, "name"), text(item, "url"))).collect())
    });
    let judgement = if result.timed_out {
        Judgement::unknown("helm did not answer in time", expected)
    } else if let Some(problem) = &result.problem {
        Judgement::unknown(problem.clone(), expected)
    } else if let Some((_, url)) = listed.iter().flatten().find(|(alias, _)| alias == name) {
        Judgement::new(Judged::Right, format!("{name} is {url}"), expected)
    } else if listed.is_some() || result.stderr.contains("no repositories") {
        Judgement::new(Judged::Wrong, format!("there is no alias {name}"), expected)
    } else {
        Judgement::unknown(format!("helm says: {}", beginning(&result.stderr)), expected)
    };
    judgement.finding(check, Target::Local)
}

/// Judges networks given in answers against those that clusters and tunnels use.
#[must_use]
pub fn cidr_overlap(check: &CheckSpec, plan: &Plan) -> Finding {
    let CheckKind::CidrOverlap { fields, with } = &check.kind else { return wrong_kind(check) };
    let expected = format!("no overlap with {}", with.join(", "));
    let mut problems = Vec::new();
    let used: Vec<(&String, (u32, u32))> = with.iter().filter_map(|text| Some((text, range(text)?))).collect();
    for (field, networks) in fields.iter().filter_map(|field| Some((field, plan.networks.get(field)?))) {
        for network in networks {
            match range(network) {
                None => problems.push(format!("{field}: '{network}' is not a network")),
                Some(own) => {
                    let hits = used.iter().filter(|(_, other)| own.0 <= other.1 && other.0 <= own.1);
                    problems.extend(hits.map(|(other, _)| format!("{field}: {network} overlaps {other}")));
                }
            }
        }
    }
    for machine in &plan.machines {
        let address = u32::from(machine.address);
        let hits = used.iter().filter(|(_, other)| (other.0..=other.1).contains(&address));
        problems.extend(hits.map(|(other, _)| format!("{} ({}) lies in {other}", machine.name, machine.address)));
    }
    let observed = if problems.is_empty() { "no overlap".to_owned() } else { problems.join("; ") };
    Judgement::when(problems.is_empty(), observed, expected).finding(check, Target::Local)
}

/// First and last address of an IPv4 network.
pub(super) fn range(text: &str) -> Option<(u32, u32)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address = u32::from(address.trim().parse::<std::net::Ipv4Addr>().ok()?);
    let length: u32 = length.trim().parse().ok().filter(|length| *length <= 32)?;
    let host_bits = u32::MAX.checked_shr(length).unwrap_or(0);
    Some((address & !host_bits, address | host_bits))
}

/// Judges a command of the deployment node.
#[must_use]
pub fn command(check: &CheckSpec, result: &CommandFacts) -> Finding {
    let CheckKind::Command { argv, stdout, stdout_not, skip_exit, .. } = &check.kind else { return wrong_kind(check) };
    if result.exit.is_some() && result.exit == *skip_exit {
        return super::skipped(check, Target::Local, &beginning(&result.stderr));
    }
    // A script that says itself what is wrong needs no quoting.
    if let (Some(code), "sh", false) = (result.exit, argv.first().map_or("", String::as_str), result.stderr.trim().is_empty())
        && code != 0
        && code != CANNOT_TELL
    {
        return Judgement::new(Judged::Wrong, beginning(&result.stderr), check.title.clone()).finding(check, Target::Local);
    }
    command_result(&check.title, &argv.join(" "), result, stdout.as_deref(), stdout_not.as_deref()).finding(check, Target::Local)
}

/// The exit code of a command that could not find out what it was to find out, and says why (`EX_TEMPFAIL` of sysexits.h).
pub(super) const CANNOT_TELL: i32 = 75;

/// What a command's result means: exit 0, and an output that fits.
pub(super) fn command_result(title: &str, line: &str, result: &CommandFacts, stdout: Option<&str>, stdout_not: Option<&str>) -> Judgement {
    let shown: String = line.chars().take(160).collect();
    let expected = title.to_owned();
    if result.timed_out {
        return Judgement::unknown(format!("`{shown}` did not end in time"), expected);
    }
    if let Some(problem) = &result.problem {
        return Judgement::unknown(problem.clone(), expected);
    }
    let said = beginning(if result.stderr.trim().is_empty() { &result.stdout } else { &result.stderr });
    match result.exit {
        Some(0) => {}
        Some(CANNOT_TELL) => return Judgement::unknown(said, expected),
        Some(code) => return Judgement::new(Judged::Wrong, format!("`{shown}` exits with {code}: {said}"), expected),
        None => return Judgement::new(Judged::Unknown, format!("`{shown}` was ended by a signal: {said}"), expected),
    }
    let printed = beginning(&result.stdout);
    let wanted = stdout.map(|pattern| fits(pattern, &result.stdout)).transpose();
    let unwanted = stdout_not.map(|pattern| fits(pattern, &result.stdout)).transpose();
    match (wanted, unwanted) {
        (Err(problem), _) | (_, Err(problem)) => Judgement::unknown(problem, expected),
        (Ok(Some(false)), _) | (_, Ok(Some(true))) => Judgement::new(Judged::Wrong, format!("`{shown}` prints {printed}"), expected),
        _ => Judgement::new(Judged::Right, printed, expected),
    }
}

#[cfg(test)]
mod tests;
