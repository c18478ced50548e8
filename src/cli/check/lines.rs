//! Findings as lines of text.

use std::collections::BTreeMap;
use std::io::Write;

use crate::engine::watch::Change;
use crate::install::check::{Finding, Gate, Summary, Verdict};
use crate::install::fix;
use crate::install::ids::PhaseId;
use crate::install::plan::Plan;

/// What stands in the way first, then what could not be told, then warnings; what is green or was not judged in few words.
pub(super) fn all(findings: &[Finding], plan: &Plan, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
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
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in shown {
        let alike = |other: &Finding| {
            (other.verdict, &other.check, &other.observed, &other.ignored)
                == (finding.verdict, &finding.check, &finding.observed, &finding.ignored)
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| alike(first))) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    for group in groups {
        block(&group, plan, out)?;
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Skipped) {
        *reasons.entry(finding.observed.as_str()).or_default() += 1;
    }
    for (reason, count) in reasons {
        writeln!(out, "{:8} {count} because: {reason}", Verdict::Skipped)?;
    }
    summary(findings, out)
}

/// What several findings say, each part once: parts that name a target differ, those that do not are the same.
fn together<'a>(parts: impl Iterator<Item = &'a str>, between: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        if !kept.contains(&part) {
            kept.push(part);
        }
    }
    kept.join(between)
}

/// The sentences of a text, without what stands between them.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(str::trim_end)
}

/// One finding, or several of one check that saw the same on different targets.
fn block(group: &[&Finding], plan: &Plan, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let Some(finding) = group.first() else { return Ok(()) };
    let targets: Vec<String> = group.iter().map(|finding| finding.target.to_string()).collect();
    let expected = together(group.iter().map(|finding| finding.expected.as_str()), "; ");
    let remedy = together(group.iter().flat_map(|finding| sentences(&finding.remedy)), " ");
    writeln!(out, "{:8} {} on {}", finding.verdict, finding.check, targets.join(", "))?;
    let guards: Vec<&str> = finding.guards.iter().map(PhaseId::as_str).collect();
    let script = fix::for_finding(plan, finding).map(|fix| {
        let place = if targets.len() == 1 { format!("@{}", finding.target) } else { String::new() };
        format!("{} See and run it: mosip-setup check --fix {}{place}", fix.fix.does, finding.check)
    });
    let lines = [
        ("seen", finding.observed.as_str()),
        ("expected", expected.as_str()),
        ("to do", remedy.as_str()),
        ("fix", script.as_deref().unwrap_or_default()),
        ("guards", &guards.join(", ")),
        ("ignored", finding.ignored.as_deref().unwrap_or_default()),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "    {name:9} {text}")?;
    }
    Ok(())
}

/// What is news since the round before. What became green, or waits for something else, takes one line.
pub(super) fn changes(changes: &[Change], plan: &Plan, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    for change in changes {
        let now = &change.now;
        match now.verdict {
            Verdict::Pass => {
                let before = change.before.as_ref().map(|before| format!(" (was {})", before.verdict)).unwrap_or_default();
                writeln!(out, "{:8} {} on {}{before}", now.verdict, now.check, now.target)?;
            }
            Verdict::Skipped => writeln!(out, "{:8} {} on {}: {}", now.verdict, now.check, now.target, now.observed)?,
            _ => block(&[now], plan, out)?,
        }
    }
    Ok(())
}

/// The last line.
pub(super) fn summary(findings: &[Finding], out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let Summary { pass, warn, fail, skipped, unknown } = Summary::of(findings);
    let blocking = Gate::of(findings).blocking.len();
    let end = match blocking {
        0 => "nothing stands in the way".to_owned(),
        1 => "1 finding stands in the way".to_owned(),
        count => format!("{count} findings stand in the way"),
    };
    writeln!(out, "{pass} pass, {warn} warn, {fail} fail, {skipped} skipped, {unknown} unknown: {end}.")
}
