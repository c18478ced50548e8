//! Paths from machine to machine: one question for all checks of them.

use std::collections::BTreeSet;

use super::{CheckRequest, Job, not_answered, ssh_login};
use crate::engine::ports::{Probe, ProbeAnswer, ProbeQuestion};
use crate::install::check::{CheckSpec, Target};
use crate::install::ids::MachineName;
use crate::install::judge::{self, Tried};
use crate::install::reach;

/// At most one job: what machines listen on and try belongs together.
pub(super) fn jobs<'a>(request: &'a CheckRequest<'_>, active: &[&'a CheckSpec], probe: &'a dyn Probe) -> Vec<Job<'a>> {
    let plan = request.plan;
    let checks: Vec<&'a CheckSpec> = active.iter().copied().filter(|check| check.kind.is_about_paths()).collect();
    if checks.is_empty() {
        return Vec::new();
    }
    // A machine that cannot be asked is said to be so by another check of it, where there is one.
    let others = active.iter().copied().filter(|check| judge::needs_login(&check.kind));
    let told: BTreeSet<Target> = others.flat_map(|check| judge::targets(check, plan)).collect();
    vec![Box::pin(async move {
        let wanted = |check: &CheckSpec, target: &Target| {
            request.pairs.as_ref().is_none_or(|pairs| pairs.contains(&(check.id.clone(), target.clone())))
        };
        let matrix = reach::request(&checks, plan, &wanted, |machine| ssh_login(plan, machine));
        let told = |name: &MachineName| told.contains(&Target::Machine(name.clone()));
        match probe.ask(ProbeQuestion::Reach(matrix)).await {
            ProbeAnswer::Reach(answer) => {
                let tried = Tried { answer: &answer, begun: &request.begun, told: &told, wanted: &wanted };
                judge::reach(&checks, plan, tried)
            }
            other => {
                let reason = not_answered(other);
                let all = |check: &&'a CheckSpec| {
                    let unknown = |target| judge::unknown(check, target, &reason);
                    request.targets(check).into_iter().map(unknown).collect::<Vec<_>>()
                };
                checks.iter().flat_map(all).collect()
            }
        }
    })]
}

#[cfg(test)]
mod tests;
