//! Watching until nothing stands in the way: what is asked again, and what of it is news.

use std::collections::BTreeSet;

use crate::install::check::{CheckKind, Finding, Gate, Target, Verdict};
use crate::install::ids::CheckId;

use super::checks::CheckRequest;

/// Findings that are looked at again and again.
#[derive(Debug, Clone, Default)]
pub struct Watching {
    findings: Vec<Finding>,
    /// Machines of which a cause has changed: all of theirs is asked again, green or not.
    shaken: BTreeSet<Target>,
}

/// A finding that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it was.
    pub before: Option<Finding>,
    /// What it is.
    pub now: Finding,
}

impl Watching {
    /// Begins with the findings of a whole round.
    #[must_use]
    pub fn new(findings: Vec<Finding>) -> Self {
        Self { findings, shaken: BTreeSet::new() }
    }

    /// The findings as they are now, in the order they came.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing stands in the way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        Gate::of(&self.findings).is_open()
    }

    /// What to ask next: what is not green, but for what waits for a phase; with it the causes on the same machine, which are asked
    /// anyhow to get there.
    #[must_use]
    pub fn pairs(&self, request: &CheckRequest<'_>) -> BTreeSet<(CheckId, Target)> {
        let of_phase = |id: &CheckId| request.plan.check(id.as_str()).is_some_and(|check| request.reason_to_skip(check).is_some());
        let open = |finding: &&Finding| finding.verdict != Verdict::Pass || self.shaken.contains(&finding.target);
        let asked: Vec<&Finding> = self.findings.iter().filter(open).filter(|finding| !of_phase(&finding.check)).collect();
        let machines: BTreeSet<&Target> = asked.iter().map(|finding| &finding.target).collect();
        let is_cause = |finding: &&Finding| {
            let kind = request.plan.check(finding.check.as_str()).map(|check| &check.kind);
            machines.contains(&finding.target) && kind.is_some_and(is_cause)
        };
        let causes = self.findings.iter().filter(is_cause).filter(|finding| !of_phase(&finding.check));
        asked.iter().copied().chain(causes).map(|finding| (finding.check.clone(), finding.target.clone())).collect()
    }

    /// Takes the findings of a round; gives what is news, in the order of the plan.
    pub fn take(&mut self, request: &CheckRequest<'_>, again: Vec<Finding>) -> Vec<Change> {
        self.shaken.clear();
        let mut changes = Vec::new();
        for now in again {
            let place = self.findings.iter_mut().find(|known| known.check == now.check && known.target == now.target);
            let before = match place {
                Some(known) => Some(std::mem::replace(known, now.clone())),
                None => {
                    self.findings.push(now.clone());
                    None
                }
            };
            if before.as_ref().is_some_and(|before| before.says_the_same(&now)) {
                continue;
            }
            let kind = request.plan.check(now.check.as_str()).map(|check| &check.kind);
            // What is green on a machine that has gone away is green no longer.
            if kind.is_some_and(is_cause) && before.as_ref().is_some_and(|before| before.verdict != now.verdict) {
                self.shaken.insert(now.target.clone());
            }
            changes.push(Change { before, now });
        }
        changes
    }
}

/// Whether other findings of the same machine hang on this one.
fn is_cause(kind: &CheckKind) -> bool {
    matches!(kind, CheckKind::Login {} | CheckKind::Sudo {})
}

#[cfg(test)]
mod tests;
