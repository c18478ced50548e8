//! What a retry means, and what is said before a run goes on: phases that will run again because answers have changed.

use super::common::{Common, Failure, print};
use super::run::{RetryArgs, phase_names};
use crate::adapters::project::Project;
use crate::engine::setup::Setup;
use crate::install::ids::{PhaseId, StepId};
use crate::install::plan::{Plan, PlanPhase};
use crate::run::machine::Command;
use crate::run::state::{PhaseState, State};

/// The command that arguments of `retry` mean.
///
/// # Errors
/// There is no such phase or step, or nothing has failed.
pub fn command(args: &RetryArgs, state: &State) -> Result<Command, Failure> {
    let (from_start, failed_hosts) = (args.from_start, args.failed_hosts);
    let Some(part) = &args.part else {
        let failed =
            |phase: &&PlanPhase| matches!(state.phase_state(phase), PhaseState::Failed | PhaseState::Interrupted | PhaseState::Stopped);
        let phase = state.plan.phases.iter().find(failed);
        let phase = phase.ok_or_else(|| Failure::usage("no phase has failed; name the phase to run again"))?;
        return Ok(Command::Retry { phase: phase.id.clone(), from_start, step: None, failed_hosts });
    };
    let (phase, step) = part_of(&state.plan, part)?;
    if step.is_some() && from_start {
        return Err(Failure::usage("--from-start is for a whole phase: leave the step away"));
    }
    Ok(Command::Retry { phase, from_start, step, failed_hosts })
}

/// `PHASE` or `PHASE/STEP`, as a plan has it.
///
/// # Errors
/// There is no such phase or step.
pub fn part_of(plan: &Plan, part: &str) -> Result<(PhaseId, Option<StepId>), Failure> {
    let (phase, step) = part.split_once('/').map_or((part, None), |(phase, step)| (phase, Some(step)));
    let Some(planned) = plan.phase(phase) else {
        return Err(Failure::usage(format!("there is no phase '{phase}'; the phases are {}", phase_names(plan))));
    };
    let Some(step) = step else { return Ok((planned.id.clone(), None)) };
    let Some(found) = planned.steps.iter().find(|known| known.id == *step) else {
        let known: Vec<&str> = planned.steps.iter().map(|step| step.id.as_str()).collect();
        return Err(Failure::usage(format!("phase '{phase}' has no step '{step}'; its steps are {}", known.join(", "))));
    };
    Ok((planned.id.clone(), Some(found.id.clone())))
}

/// Says which phases will run again, and which changed answers are hard to change.
///
/// # Errors
/// stdout is gone.
pub fn announce(common: &Common, state: &State) -> Result<(), Failure> {
    if common.json {
        return Ok(());
    }
    for (phase, reason) in state.stale_with(&state.plan) {
        print(&format!("Phase '{phase}' will run again; {reason}\n"))?;
    }
    for costly in state.costly(&state.plan) {
        print(&format!("{} was settled when phase '{}' began. {}\n", costly.label, costly.by, costly.cost))?;
    }
    Ok(())
}

/// The same before the review of a run.
///
/// # Errors
/// The journal cannot be read, or stdout is gone.
pub fn review_stale(common: &Common, setup: &Setup, project: &Project, plan: &Plan, new: bool) -> Result<(), Failure> {
    if new {
        return Ok(());
    }
    let Some(found) = setup.last_run(&project.state()?)? else { return Ok(()) };
    announce(common, &State { plan: plan.clone(), ..found.state })
}
