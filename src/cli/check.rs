//! `mosip-setup check`: the preflight, as lines or JSON.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::adapters::ignores;
use crate::engine::checks::{CheckRequest, run_checks};
use crate::engine::host_keys;
use crate::engine::ports::{Clock, Probe};
use crate::engine::watch::Watching;
use crate::install::check::{Finding, Ignores, Level, Summary, Target};
use crate::install::facts::HostKeyAnswer;
use crate::install::ids::{CheckId, PhaseId};
use crate::install::plan::Plan;

/// Everything is as expected, or nothing stands in the way.
pub const DONE: u8 = 0;
/// Something stands in the way.
pub const BLOCKED: u8 = 3;

/// Arguments of `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Run only this check (repeatable).
    #[arg(long, value_name = "ID")]
    pub only: Vec<CheckId>,
    /// Check again, every few seconds, what is not green, and print what changes, until nothing stands in the way.
    #[arg(long)]
    pub watch: bool,
    /// Seconds between two rounds of --watch.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Live with one finding of one target for a time, as `swap.off@machine:vm1=REASON` (repeatable); recorded with name and time.
    #[arg(long, value_name = "CHECK@TARGET=REASON", value_parser = parse_ignore)]
    pub ignore: Vec<(CheckId, Target, String)>,
    /// For how long --ignore holds: hours, days or weeks, at most 90 days.
    #[arg(long, value_name = "TIME", default_value = ignores::USUAL)]
    pub ignore_for: String,
    /// Count a finding again that was ignored, as `swap.off@machine:vm1` (repeatable).
    #[arg(long, value_name = "CHECK@TARGET", value_parser = parse_pair)]
    pub count_again: Vec<(CheckId, Target)>,
    /// Put a finding right where its check has a script for it: shows the script and the machines, asks, runs it, checks again
    /// (repeatable; without @TARGET on every target that is not green).
    #[arg(long, value_name = "CHECK[@TARGET]", value_parser = parse_place)]
    pub fix: Vec<(CheckId, Option<Target>)>,
    /// Consent to the scripts of --fix beforehand; without it they are only shown where there is no terminal to ask at.
    #[arg(long, requires = "fix")]
    pub consent: bool,
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
    /// The site's `preflight.jsonl`.
    pub log: &'a Path,
    /// The operator.
    pub who: &'a str,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Phases that are done.
    pub done: BTreeSet<PhaseId>,
    /// Phases that have begun.
    pub begun: BTreeSet<PhaseId>,
    /// Whether to print JSON.
    pub json: bool,
    /// Asks for yes or no; none: nobody can be asked.
    pub ask: &'a (dyn Fn(&str) -> Option<bool> + Sync),
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<fix::FixReport>,
}

/// Runs the preflight and prints it. Gives the exit code: 0, or 3 where something stands in the way.
///
/// # Errors
/// When the arguments name what the plan does not have, or files of the site's state fail.
pub async fn run(args: &CheckArgs, place: &CheckPlace<'_>, probe: &dyn Probe, out: &mut (dyn Write + Send)) -> Result<u8, CheckError> {
    let plan = place.plan;
    let named = args.only.iter().chain(args.ignore.iter().map(|(id, ..)| id)).chain(args.fix.iter().map(|(id, _)| id));
    for id in named.chain(args.count_again.iter().map(|(id, _)| id)) {
        if plan.check(id.as_str()).is_none() {
            let all = || plan.checks.iter().map(|check| check.id.as_str());
            // Those that share a word with it, where there are any: all of them are a page.
            let words = |text: &str| text.split(['.', '-']).map(str::to_owned).collect::<BTreeSet<_>>();
            let near: Vec<&str> = all().filter(|known| !words(known).is_disjoint(&words(id.as_str()))).collect();
            let known: Vec<&str> = if near.is_empty() { all().collect() } else { near };
            return Err(CheckError::Usage(format!("there is no check '{id}' in this plan; there are: {}", known.join(", "))));
        }
    }
    for (check, target, reason) in &args.ignore {
        record_ignore(place, check, target, reason, &args.ignore_for)?;
    }
    for (check, target) in &args.count_again {
        if !ignores::remove(place.ignores, check, target).map_err(|error| state(&error))? {
            return Err(CheckError::Usage(format!("{check} on {target} is not ignored")));
        }
    }
    if args.accept_host_keys {
        accept_host_keys(place, probe, out).await?;
    }
    let only = (!args.only.is_empty()).then(|| args.only.iter().cloned().collect());
    let mut request = CheckRequest {
        only,
        done: place.done.clone(),
        begun: place.begun.clone(),
        ignores: ignored_now(place)?,
        ..CheckRequest::preflight(plan)
    };
    let mut fixes = Vec::new();
    let findings = if args.fix.is_empty() {
        run_checks(&request, probe, None).await
    } else {
        let fixed = fix::run(args, place, &mut request, probe, out).await?;
        fixes = fixed.1;
        fixed.0
    };
    let mut watching = Watching::new(findings);
    if args.watch {
        watch(args, place, &mut request, &mut watching, probe, out).await?;
    }
    let findings = watching.findings();
    if place.json {
        let report = Report { summary: Summary::of(findings), findings, fixes };
        let text = serde_json::to_string_pretty(&report).map_err(|error| state(&error))?;
        writeln!(out, "{text}")?;
    } else if args.watch {
        lines::summary(findings, out)?;
    } else {
        lines::all(findings, plan, out)?;
        for said in request.checks().into_iter().filter_map(|check| crate::install::judge::sampling(check, plan)) {
            writeln!(out, "{said}.")?;
        }
    }
    out.flush()?;
    Ok(if watching.is_open() { DONE } else { BLOCKED })
}

fn state(error: &dyn std::fmt::Display) -> CheckError {
    CheckError::State(error.to_string())
}

fn ignored_now(place: &CheckPlace<'_>) -> Result<Ignores, CheckError> {
    Ok(ignores::reasons(&ignores::read(place.ignores).map_err(|error| state(&error))?, place.clock.now()))
}

/// Asks again what is not green, until nothing stands in the way; only what changed is printed.
async fn watch(
    args: &CheckArgs,
    place: &CheckPlace<'_>,
    request: &mut CheckRequest<'_>,
    watching: &mut Watching,
    probe: &dyn Probe,
    out: &mut (dyn Write + Send),
) -> Result<(), CheckError> {
    if !place.json {
        lines::all(watching.findings(), place.plan, out)?;
        if !watching.is_open() {
            writeln!(out, "\nWhat is not green is checked again every {} s; only what changes is shown. Ctrl-C ends it.\n", args.every)?;
        }
        out.flush()?;
    }
    while !watching.is_open() {
        tokio::time::sleep(Duration::from_secs(args.every)).await;
        // Another terminal may have ignored something, and a time may be over.
        request.ignores = ignored_now(place)?;
        request.pairs = Some(watching.pairs(request));
        let again = run_checks(request, probe, None).await;
        let changes = watching.take(request, again);
        if !place.json && !changes.is_empty() {
            lines::changes(&changes, place.plan, out)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn parse_check(text: &str) -> Result<CheckId, String> {
    text.parse().map_err(|error: crate::install::ids::InvalidId| error.to_string())
}

fn parse_target(text: &str) -> Result<Target, String> {
    Target::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn parse_pair(text: &str) -> Result<(CheckId, Target), String> {
    let (check, target) = text.split_once('@').ok_or("write CHECK@TARGET, as swap.off@machine:vm1")?;
    Ok((parse_check(check)?, parse_target(target)?))
}

fn parse_place(text: &str) -> Result<(CheckId, Option<Target>), String> {
    match text.split_once('@') {
        Some((check, target)) => Ok((parse_check(check)?, Some(parse_target(target)?))),
        None => Ok((parse_check(text)?, None)),
    }
}

fn parse_ignore(text: &str) -> Result<(CheckId, Target, String), String> {
    let form = "write CHECK@TARGET=REASON, as swap.off@machine:vm1=test-only";
    let (what, reason) = text.split_once('=').ok_or(form)?;
    let (check, target) = what.split_once('@').ok_or(form)?;
    if reason.trim().is_empty() {
        return Err("an ignored finding needs a reason".to_owned());
    }
    Ok((parse_check(check)?, parse_target(target)?, reason.trim().to_owned()))
}

/// The targets of a check, or why one is none of them.
fn looks_at(plan: &Plan, check: &CheckId, target: &Target) -> Result<(), CheckError> {
    let Some(spec) = plan.check(check.as_str()) else { return Ok(()) };
    let targets = crate::install::judge::targets(spec, plan);
    if !targets.contains(target) {
        let known: Vec<String> = targets.iter().map(ToString::to_string).collect();
        return Err(CheckError::Usage(format!("{check} does not look at {target}; it looks at {}", known.join(", "))));
    }
    Ok(())
}

fn record_ignore(place: &CheckPlace<'_>, check: &CheckId, target: &Target, reason: &str, time: &str) -> Result<(), CheckError> {
    if place.plan.check(check.as_str()).is_some_and(|spec| spec.level == Level::Strict) {
        return Err(CheckError::Usage(format!("{check} is strict: it cannot be ignored, only put right")));
    }
    looks_at(place.plan, check, target)?;
    let ignore = ignores::decide(check, target, reason, place.who, place.clock.now(), time);
    let ignore = ignore.map_err(|form| CheckError::Usage(format!("--ignore-for {time}: {form}")))?;
    ignores::add(place.ignores, ignore).map_err(|error| state(&error))
}

async fn accept_host_keys(place: &CheckPlace<'_>, probe: &dyn Probe, out: &mut (dyn Write + Send)) -> Result<(), CheckError> {
    let mut count = 0;
    // What lies behind a jump host answers once the jump host's own key is recorded.
    loop {
        let reports = host_keys::scan(place.plan, probe).await;
        let accepted = host_keys::accept_new(place.plan, &reports, 22).map_err(|error| state(&error))?;
        if accepted.is_empty() {
            break;
        }
        count += accepted.len();
        for report in reports.iter().filter(|_| !place.json) {
            if let HostKeyAnswer::Unknown(key) = &report.answer {
                writeln!(out, "recorded  {} ({})  {} {}", report.machine, report.address, key.kind, key.fingerprint)?;
            }
        }
        if !place.plan.machines.iter().any(|machine| machine.jump.is_some()) {
            break;
        }
    }
    if count > 0 && !place.json {
        writeln!(out, "\n{count} host keys recorded in {}.\n", place.plan.known_hosts)?;
    }
    Ok(())
}

mod fix;
mod lines;
#[cfg(test)]
mod tests;
