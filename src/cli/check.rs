//! `mosip-setup check`: the preflight, as lines or JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::adapters::ignores::{self, Ignore};
use crate::engine::checks::{CheckRequest, run_checks};
use crate::engine::host_keys;
use crate::engine::ports::Probe;
use crate::install::check::{Finding, Gate, Level, Summary, Target, Verdict};
use crate::install::facts::HostKeyAnswer;
use crate::install::ids::{CheckId, PhaseId};
use crate::install::plan::Plan;

/// Everything is as expected, or nothing stands in the way.
pub const DONE: u8 = 0;
/// Something stands in the way.
pub const BLOCKED: u8 = 3;

/// Between two rounds of `--watch`.
const ROUND: Duration = Duration::from_secs(5);

/// Arguments of `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Run only this check (repeatable).
    #[arg(long, value_name = "ID")]
    pub only: Vec<CheckId>,
    /// Check again, every five seconds, what is not green, until nothing stands in the way.
    #[arg(long)]
    pub watch: bool,
    /// Live with one finding of one target, as `swap.off@machine:vm1=REASON` (repeatable); recorded with name and time.
    #[arg(long, value_name = "CHECK@TARGET=REASON", value_parser = parse_ignore)]
    pub ignore: Vec<(CheckId, Target, String)>,
    /// Show and record the host keys of machines met for the first time.
    #[arg(long)]
    pub accept_host_keys: bool,
}

/// What a check runs against.
pub struct CheckPlace<'a> {
    /// The plan of the site.
    pub plan: &'a Plan,
    /// The site's `ignores.toml`.
    pub ignores: &'a Path,
    /// Phases that are done.
    pub done: BTreeSet<PhaseId>,
    /// Phases that have begun.
    pub begun: BTreeSet<PhaseId>,
    /// Whether to print JSON.
    pub json: bool,
}

/// Why a check could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The command line names something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// Something of the site's state cannot be read or written.
    #[error("{0}")]
    State(String),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl CheckError {
    /// The exit code that belongs to it.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::State(_) | Self::Output(_) => 6,
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    summary: Summary,
    findings: &'a [Finding],
}

/// Runs the preflight and prints it. Gives the exit code: 0, or 3 where something stands in the way.
///
/// # Errors
/// When the arguments name what the plan does not have, or files of the site's state fail.
pub async fn run(args: &CheckArgs, place: &CheckPlace<'_>, probe: &dyn Probe, out: &mut (dyn Write + Send)) -> Result<u8, CheckError> {
    let plan = place.plan;
    for id in args.only.iter().chain(args.ignore.iter().map(|(id, ..)| id)) {
        if plan.check(id.as_str()).is_none() {
            let known: Vec<&str> = plan.checks.iter().map(|check| check.id.as_str()).collect();
            return Err(CheckError::Usage(format!("there is no check '{id}' in this plan; there are: {}", known.join(", "))));
        }
    }
    let state = |error: &dyn std::fmt::Display| CheckError::State(error.to_string());
    for (check, target, reason) in &args.ignore {
        record_ignore(plan, place.ignores, check, target, reason)?;
    }
    if args.accept_host_keys {
        accept_host_keys(place, probe, out).await?;
    }
    let reasons = ignores::reasons(&ignores::read(place.ignores).map_err(|error| state(&error))?);
    let only = (!args.only.is_empty()).then(|| args.only.iter().cloned().collect());
    let mut request =
        CheckRequest { only, done: place.done.clone(), begun: place.begun.clone(), ignores: reasons, ..CheckRequest::preflight(plan) };
    let mut findings = run_checks(&request, probe, None).await;
    while args.watch && !Gate::of(&findings).is_open() {
        if !place.json {
            print_lines(&findings, out)?;
            writeln!(out, "\nChecking again in {} s what is not green; Ctrl-C ends it.\n", ROUND.as_secs())?;
            out.flush()?;
        }
        tokio::time::sleep(ROUND).await;
        let open = findings.iter().filter(|finding| !matches!(finding.verdict, Verdict::Pass)).map(|finding| finding.check.clone());
        request.only = Some(open.collect());
        let again = run_checks(&request, probe, None).await;
        merge(&mut findings, again);
    }
    if place.json {
        let report = Report { summary: Summary::of(&findings), findings: &findings };
        let text = serde_json::to_string_pretty(&report).map_err(|error| state(&error))?;
        writeln!(out, "{text}")?;
    } else {
        print_lines(&findings, out)?;
        for said in request.checks().into_iter().filter_map(|check| crate::install::judge::sampling(check, plan)) {
            writeln!(out, "{said}.")?;
        }
    }
    out.flush()?;
    Ok(if Gate::of(&findings).is_open() { DONE } else { BLOCKED })
}

fn merge(findings: &mut [Finding], again: Vec<Finding>) {
    let mut newer: BTreeMap<(CheckId, Target), Finding> =
        again.into_iter().map(|finding| ((finding.check.clone(), finding.target.clone()), finding)).collect();
    for finding in findings {
        if let Some(new) = newer.remove(&(finding.check.clone(), finding.target.clone())) {
            *finding = new;
        }
    }
}

fn parse_ignore(text: &str) -> Result<(CheckId, Target, String), String> {
    let form = "write CHECK@TARGET=REASON, as swap.off@machine:vm1=test-only";
    let (what, reason) = text.split_once('=').ok_or(form)?;
    let (check, target) = what.split_once('@').ok_or(form)?;
    if reason.trim().is_empty() {
        return Err("an ignored finding needs a reason".to_owned());
    }
    let check = check.parse().map_err(|error: crate::install::ids::InvalidId| error.to_string())?;
    let target = Target::try_from(target.to_owned()).map_err(|error| error.to_string())?;
    Ok((check, target, reason.trim().to_owned()))
}

fn record_ignore(plan: &Plan, path: &Path, check: &CheckId, target: &Target, reason: &str) -> Result<(), CheckError> {
    let Some(spec) = plan.check(check.as_str()) else { return Ok(()) };
    if spec.level == Level::Strict {
        return Err(CheckError::Usage(format!("{check} is strict: it cannot be ignored, only put right")));
    }
    let targets = crate::install::judge::targets(spec, plan);
    if !targets.contains(target) {
        let known: Vec<String> = targets.iter().map(ToString::to_string).collect();
        return Err(CheckError::Usage(format!("{check} does not look at {target}; it looks at {}", known.join(", "))));
    }
    let who = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let when = jiff::Timestamp::now().to_string();
    let ignore = Ignore { check: check.clone(), target: target.clone(), reason: reason.to_owned(), who, when };
    ignores::add(path, ignore).map_err(|error| CheckError::State(error.to_string()))
}

async fn accept_host_keys(place: &CheckPlace<'_>, probe: &dyn Probe, out: &mut (dyn Write + Send)) -> Result<(), CheckError> {
    let reports = host_keys::scan(place.plan, probe).await;
    let accepted = host_keys::accept_new(place.plan, &reports, 22).map_err(|error| CheckError::State(error.to_string()))?;
    if place.json {
        return Ok(());
    }
    for report in &reports {
        if let HostKeyAnswer::Unknown(key) = &report.answer {
            writeln!(out, "recorded  {} ({})  {} {}", report.machine, report.address, key.kind, key.fingerprint)?;
        }
    }
    if !accepted.is_empty() {
        writeln!(out, "\n{} host keys recorded in {}.\n", accepted.len(), place.plan.known_hosts)?;
    }
    Ok(())
}

/// What stands in the way first, then what could not be told, then warnings; what is green or was not judged in few words.
fn print_lines(findings: &[Finding], out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let rank = |finding: &Finding| match finding.verdict {
        Verdict::Fail if finding.blocks() => 0,
        Verdict::Unknown if finding.blocks() => 1,
        Verdict::Fail | Verdict::Unknown => 2,
        Verdict::Warn => 3,
        Verdict::Skipped | Verdict::Pass => 4,
    };
    let mut shown: Vec<&Finding> = findings.iter().filter(|finding| rank(finding) < 4).collect();
    shown.sort_by_key(|finding| rank(finding));
    // What is the same on ten machines is said once.
    let mut groups: Vec<(&Finding, Vec<String>)> = Vec::new();
    for finding in shown {
        let alike = |other: &Finding| {
            (other.verdict, &other.check, &other.observed, &other.ignored)
                == (finding.verdict, &finding.check, &finding.observed, &finding.ignored)
        };
        match groups.iter_mut().find(|(first, _)| alike(first)) {
            Some((_, targets)) => targets.push(finding.target.to_string()),
            None => groups.push((finding, vec![finding.target.to_string()])),
        }
    }
    for (finding, targets) in groups {
        writeln!(out, "{:8} {} on {}", finding.verdict, finding.check, targets.join(", "))?;
        let guards: Vec<&str> = finding.guards.iter().map(PhaseId::as_str).collect();
        let lines = [
            ("seen", finding.observed.as_str()),
            ("expected", finding.expected.as_str()),
            ("to do", finding.remedy.as_str()),
            ("guards", &guards.join(", ")),
            ("ignored", finding.ignored.as_deref().unwrap_or_default()),
        ];
        for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            writeln!(out, "    {name:9} {text}")?;
        }
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Skipped) {
        *reasons.entry(finding.observed.as_str()).or_default() += 1;
    }
    for (reason, count) in reasons {
        writeln!(out, "{:8} {count} because: {reason}", Verdict::Skipped)?;
    }
    let Summary { pass, warn, fail, skipped, unknown } = Summary::of(findings);
    let blocking = Gate::of(findings).blocking.len();
    let end = match blocking {
        0 => "nothing stands in the way".to_owned(),
        1 => "1 finding stands in the way".to_owned(),
        count => format!("{count} findings stand in the way"),
    };
    writeln!(out, "{pass} pass, {warn} warn, {fail} fail, {skipped} skipped, {unknown} unknown: {end}.")
}

#[cfg(test)]
mod tests;
