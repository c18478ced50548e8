//! Running something again, at the level that fits: the phase, one step of it, or the hosts of a playbook that failed.

use super::event::{Decision as Decided, Event, Failure, Outcome};
use super::machine::{Adopted, Doing, Effect, Machine, record};
use super::select::{needs_met, stale_needs};
use super::state::State;
use crate::install::ids::{PhaseId, StepId, StepRef};
use crate::install::plan::{Action, PlanPhase, PlanStep};

/// What is to run again.
#[derive(Debug, Clone)]
pub(super) struct Again {
    /// The phase.
    pub phase: PhaseId,
    /// From its first step.
    pub from_start: bool,
    /// From this step, also where it has succeeded.
    pub step: Option<StepId>,
    /// On the hosts alone that failed.
    pub failed_hosts: bool,
}

impl State {
    /// The hosts that the last attempt of a step failed on, where the profile lets it run again on those alone; empty: there are none, or
    /// it does not.
    #[must_use]
    pub fn failed_hosts(&self, reference: &StepRef) -> &[String] {
        let limits = self.plan.step(reference).is_some_and(|step| matches!(&step.action, Action::Ansible { limit_retry: true, .. }));
        match self.step(reference).and_then(|record| record.outcome.as_ref()) {
            Some(Outcome::Failed(Failure { hosts, .. })) if limits => hosts,
            _ => &[],
        }
    }

    /// The first step of a phase that has failed on hosts it may be limited to.
    #[must_use]
    pub fn failed_on_hosts(&self, phase: &PlanPhase) -> Option<(StepRef, &[String])> {
        let references = phase.steps.iter().map(|step| StepRef { phase: phase.id.clone(), step: step.id.clone() });
        references.map(|step| (step.clone(), self.failed_hosts(&step))).find(|(_, hosts)| !hosts.is_empty())
    }
}

impl Machine {
    pub(super) fn retry(&mut self, state: &State, again: Again, by: String) -> Vec<Effect> {
        let Again { phase, from_start, step, failed_hosts } = again;
        let plain = !from_start && step.is_none() && !failed_hosts;
        let decided =
            |step, hosts| record(Event::OperatorDecided { decision: Decided::Retry { phase: phase.clone(), from_start, step, hosts }, by });
        if self.adopted != Adopted::No && plain && matches!(&self.doing, Doing::Step(step, _) if step.phase == phase) {
            self.adopted = Adopted::Wanted;
            return vec![decided(None, Vec::new())];
        }
        if self.is_working() {
            return vec![Effect::Reject("a phase is running already".into())];
        }
        let Some(planned) = state.plan.phase(phase.as_str()) else { return vec![Effect::Reject(format!("there is no phase '{phase}'"))] };
        let part = match part(state, planned, step, failed_hosts) {
            Ok(part) => part,
            Err(message) => return vec![Effect::Reject(message)],
        };
        if plain && state.phase_state(planned).satisfies() {
            return vec![Effect::Reject(format!("phase '{phase}' is done; retry it with --from-start to run all its steps again"))];
        }
        self.remember(state);
        // What it needs and what is stale comes first: it would run with files of the answers before.
        let mut queue = stale_needs(state, planned);
        queue.push(phase.clone());
        let rest: Vec<PhaseId> = self.queue.iter().filter(|queued| !queue.contains(queued)).cloned().collect();
        queue.extend(rest);
        if let Err(message) = needs_met(state, std::slice::from_ref(&phase)) {
            return vec![Effect::Reject(message)];
        }
        self.wake(queue);
        vec![decided(part.0, part.1)]
    }
}

/// The step and the hosts that a retry means.
///
/// # Errors
/// There is no such step, one before it has not succeeded, or it did not fail on hosts that it may be limited to.
fn part(state: &State, phase: &PlanPhase, step: Option<StepId>, failed_hosts: bool) -> Result<(Option<StepId>, Vec<String>), String> {
    let reference = |step: &StepId| StepRef { phase: phase.id.clone(), step: step.clone() };
    let step = match step {
        None if !failed_hosts => return Ok((None, Vec::new())),
        None => match state.failed_on_hosts(phase) {
            Some((found, _)) => found.step,
            None => return Err(format!("no step of phase '{}' has failed on hosts that it can be limited to: retry the phase", phase.id)),
        },
        Some(step) => step,
    };
    let Some(number) = phase.steps.iter().position(|known| known.id == step) else {
        let known: Vec<&str> = phase.steps.iter().map(|step| step.id.as_str()).collect();
        return Err(format!("phase '{}' has no step '{step}'; its steps are {}", phase.id, known.join(", ")));
    };
    let succeeded = |step: &PlanStep| {
        let record = state.step(&reference(&step.id));
        step.on_retry || record.and_then(|record| record.outcome.as_ref()).is_some_and(Outcome::is_success)
    };
    if let Some(before) = phase.steps[..number].iter().find(|step| !succeeded(step)) {
        return Err(format!("step '{}' comes before '{step}' and has not succeeded: retry the phase, or that step", before.id));
    }
    if !failed_hosts {
        return Ok((Some(step), Vec::new()));
    }
    let hosts = state.failed_hosts(&reference(&step)).to_vec();
    let unchanged = state.step(&reference(&step)).is_some_and(|record| record.digest == phase.steps[number].digest);
    if hosts.is_empty() {
        return Err(format!("step '{step}' has not failed on hosts that it can be limited to: retry the step or the phase"));
    }
    if !unchanged {
        return Err(format!("answers that step '{step}' reads have changed since it failed: it must run on all hosts, so retry the phase"));
    }
    Ok((Some(step), hosts))
}
