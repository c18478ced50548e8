//! `check --fix`: shows the script and the machines, asks, runs it, checks again just those.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

use serde::Serialize;

use super::{CheckArgs, CheckError, CheckPlace, looks_at, state};
use crate::engine::checks::{CheckRequest, run_checks};
use crate::engine::mend::{Consent, mend};
use crate::engine::ports::Probe;
use crate::engine::watch::Watching;
use crate::install::check::{Finding, Target};
use crate::install::fix::{Mended, PlannedFix, for_finding};
use crate::install::ids::CheckId;

/// What came of one fix.
#[derive(Debug, Serialize)]
pub(super) struct FixReport {
    check: CheckId,
    target: Target,
    exit: Option<i32>,
    problem: Option<String>,
    output: String,
}

impl FixReport {
    fn of(mended: &Mended) -> Self {
        let (fix, facts) = (&mended.fix, mended.facts.clone());
        Self { check: fix.check.clone(), target: fix.target.clone(), exit: facts.exit, problem: facts.problem, output: facts.output }
    }
}

/// Looks at the checks named, puts right what is not green and has a fix, and looks at that again.
pub(super) async fn run(
    args: &CheckArgs,
    place: &CheckPlace<'_>,
    request: &mut CheckRequest<'_>,
    probe: &dyn Probe,
    out: &mut (dyn Write + Send),
) -> Result<(Vec<Finding>, Vec<FixReport>), CheckError> {
    let plan = place.plan;
    for (check, target) in &args.fix {
        let spec = plan.check(check.as_str());
        if spec.is_some_and(|spec| spec.fix.is_none()) {
            let known: Vec<&str> = plan.checks.iter().filter(|check| check.fix.is_some()).map(|check| check.id.as_str()).collect();
            let known =
                if known.is_empty() { "no check of this plan has one".to_owned() } else { format!("these have: {}", known.join(", ")) };
            return Err(CheckError::Usage(format!("{check} has no script that puts it right; {known}")));
        }
        if let Some(target) = target {
            looks_at(plan, check, target)?;
        }
    }
    let named: BTreeSet<CheckId> = args.fix.iter().map(|(check, _)| check.clone()).collect();
    let only = request.only.take();
    request.only = Some(named.into_iter().chain(only.into_iter().flatten()).collect());
    let mut watching = Watching::new(run_checks(request, probe, None).await);
    let wanted = |finding: &&Finding| {
        args.fix.iter().any(|(check, target)| *check == finding.check && target.as_ref().is_none_or(|target| *target == finding.target))
    };
    let fixes: Vec<PlannedFix> = watching.findings().iter().filter(wanted).filter_map(|finding| for_finding(plan, finding)).collect();
    if fixes.is_empty() {
        if !place.json {
            writeln!(out, "There is nothing to put right with a script there.\n")?;
        }
        return Ok((watching.findings().to_vec(), Vec::new()));
    }
    if !place.json {
        show(&fixes, watching.findings(), out)?;
        out.flush()?;
    }
    if !args.consent {
        match (place.ask)("Run this? [y/N]") {
            Some(true) => {}
            Some(false) => {
                writeln!(out, "Nothing was run.\n")?;
                return Ok((watching.findings().to_vec(), Vec::new()));
            }
            None => {
                let message = "nothing was run: there is no terminal to ask at. Read the scripts, then add --consent to run them";
                return Err(CheckError::Usage(message.to_owned()));
            }
        }
    }
    let consent = Consent { who: place.who, log: place.log, clock: place.clock };
    // Lines of several machines come as they are printed, each with its name.
    let shared = Mutex::new(&mut *out);
    let quiet = place.json;
    let heard = |target: &Target, line: &str| {
        if let (false, Ok(mut out)) = (quiet, shared.lock()) {
            // A reader that went away must not stop a script half-way.
            drop(writeln!(out, "{target}  {line}").and_then(|()| out.flush()));
        }
    };
    let mended = mend(plan, fixes, consent, probe, &heard).await.map_err(|error| state(&error))?;
    if !place.json {
        for one in &mended {
            writeln!(out, "{}  {}: {}", one.fix.target, one.fix.check, one.end())?;
        }
        writeln!(out, "\nChecked again:\n")?;
    }
    let again = mended.iter().map(|one| (one.fix.check.clone(), one.fix.target.clone()));
    request.pairs = Some(again.collect());
    let findings = run_checks(request, probe, None).await;
    watching.take(request, findings);
    request.pairs = None;
    Ok((watching.findings().to_vec(), mended.iter().map(FixReport::of).collect()))
}

/// Every script once, with the machines it is for.
fn show(fixes: &[PlannedFix], findings: &[Finding], out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let mut shown: Vec<&CheckId> = Vec::new();
    for fix in fixes {
        if shown.contains(&&fix.check) {
            continue;
        }
        shown.push(&fix.check);
        let targets: Vec<&PlannedFix> = fixes.iter().filter(|other| other.check == fix.check).collect();
        writeln!(out, "{}: {}", fix.check, fix.fix.does)?;
        for other in targets {
            let seen = findings.iter().find(|finding| finding.check == other.check && finding.target == other.target);
            writeln!(out, "  {}  {}", other.target, seen.map(|finding| finding.observed.as_str()).unwrap_or_default())?;
        }
        let place = if fix.target == Target::Local { "on this deployment node" } else { "on each of these machines" };
        writeln!(out, "The script runs {place}, {}:\n", if fix.fix.sudo { "as root (sudo -n)" } else { "as the SSH user" })?;
        for line in fix.fix.script.trim_end().lines() {
            writeln!(out, "    {line}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
