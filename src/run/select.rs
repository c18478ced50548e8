//! Which phases a selection means, and whether what they need is there.

use std::collections::BTreeSet;

use super::machine::Selection;
use super::state::{PhaseState, State};
use crate::install::ids::PhaseId;
use crate::install::plan::PlanPhase;

/// Why a phase may not begin; none: all it needs is done.
pub(super) fn unmet(state: &State, phase: &PlanPhase) -> Option<String> {
    phase.needs.iter().find_map(|need| {
        let needed = state.phase_state_of(need)?;
        match needed {
            PhaseState::Done | PhaseState::Warned | PhaseState::Stale => None,
            PhaseState::Skipped => Some(format!("needs phase '{need}', which was skipped: skip '{}' as well, or retry '{need}'", phase.id)),
            _ => Some(format!("needs phase '{need}', which is not done")),
        }
    })
}

/// The phases that a phase needs, directly or through others, and that are stale, in the plan's order.
pub(super) fn stale_needs(state: &State, phase: &PlanPhase) -> Vec<PhaseId> {
    let mut needed: BTreeSet<&PhaseId> = phase.needs.iter().collect();
    for earlier in state.plan.phases.iter().rev() {
        if needed.contains(&earlier.id) {
            needed.extend(&earlier.needs);
        }
    }
    let stale = |phase: &&PlanPhase| needed.contains(&phase.id) && state.phase_state(phase) == PhaseState::Stale;
    state.plan.phases.iter().filter(stale).map(|phase| phase.id.clone()).collect()
}

/// # Errors
/// A phase whose needs are neither done nor among these.
pub(super) fn needs_met(state: &State, phases: &[PhaseId]) -> Result<(), String> {
    for (number, id) in phases.iter().enumerate() {
        let Some(phase) = state.plan.phase(id.as_str()) else { continue };
        for need in phase.needs.iter().filter(|need| !phases[..number].contains(need)) {
            match state.phase_state_of(need) {
                None | Some(PhaseState::Done | PhaseState::Warned | PhaseState::Stale) => {}
                Some(PhaseState::Skipped) => {
                    return Err(format!("phase '{id}' needs phase '{need}', which was skipped; retry '{need}' first"));
                }
                Some(_) => {
                    return Err(format!(
                        "phase '{id}' needs phase '{need}', which is not done; run it first, or from there: --from {need}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The phases a selection means, in the plan's order, without those that have nothing left to do.
///
/// # Errors
/// A phase that does not exist, or whose needs are neither done nor selected.
pub fn select(state: &State, selection: &Selection) -> Result<Vec<PhaseId>, String> {
    let plan = &state.plan;
    let position = |id: &PhaseId| {
        plan.phases.iter().position(|phase| phase.id == *id).ok_or_else(|| {
            let known: Vec<&str> = plan.phases.iter().map(|phase| phase.id.as_str()).collect();
            format!("there is no phase '{id}'; the phases are {}", known.join(", "))
        })
    };
    for id in &selection.only {
        position(id)?;
    }
    let from = selection.from.as_ref().map_or(Ok(0), position)?;
    let to = selection.to.as_ref().map_or(Ok(plan.phases.len().saturating_sub(1)), position)?;
    if from > to {
        return Err("--from names a phase that comes after --to".into());
    }
    // A phase that runs alone brings along what it needs and what has become stale: else it would run with files of the answers before.
    let named = |id: &PhaseId| selection.only.contains(id);
    let with_them: BTreeSet<PhaseId> =
        plan.phases.iter().filter(|phase| named(&phase.id)).flat_map(|phase| stale_needs(state, phase)).collect();
    let chosen: Vec<PhaseId> = plan
        .phases
        .iter()
        .enumerate()
        .filter(|(number, phase)| {
            let wanted = selection.only.is_empty() || named(&phase.id) || with_them.contains(&phase.id);
            (from..=to).contains(number) && wanted
        })
        .filter(|(_, phase)| !state.phase_state(phase).is_settled())
        .map(|(_, phase)| phase.id.clone())
        .collect();
    // A run of everything meets a skipped need when it gets there and says so; a narrower one is refused before anything runs.
    if !selection.only.is_empty() || selection.from.is_some() {
        needs_met(state, &chosen)?;
    }
    Ok(chosen)
}
