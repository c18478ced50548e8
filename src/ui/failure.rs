//! What can be done about a failed phase: the buttons of its panel, and the shell where its step works.

use super::app::Model;
use super::desk::{Command, ShellRequest};
use super::keymap::Action;
use super::popup::{Popup, Then};
use super::run::{Run, again, engine};
use crate::install::ids::StepRef;
use crate::install::plan::PlanPhase;
use crate::run::event::Failure;
use crate::run::machine;

/// The buttons of the panel, in order: only what does something.
#[must_use]
pub fn buttons(run: &Run) -> Vec<(&'static str, Action)> {
    let phase = run.phase();
    let hosts = phase.zip(run.state.as_ref()).is_some_and(|(phase, state)| state.failed_on_hosts(phase).is_some());
    let mut buttons = vec![("Retry", Action::Retry)];
    if hosts {
        buttons.push(("Failed hosts", Action::RetryHosts));
    }
    buttons.push(("From start", Action::RetryFromStart));
    if phase.is_some_and(|phase| phase.skip.is_some()) {
        buttons.push(("Skip", Action::Skip));
    }
    buttons.extend([("Edit answers", Action::Answers), ("Shell", Action::Shell), ("Log", Action::Log)]);
    buttons
}

/// What the operator types to run by hand what failed; empty: nothing was run.
#[must_use]
pub fn by_hand(run: &Run, step: &StepRef, failure: &Failure) -> String {
    let planned = run.state.as_ref().and_then(|state| state.plan.step(step));
    planned.map_or_else(|| failure.command.clone(), |planned| planned.by_hand(&failure.command))
}

/// Runs the playbook that failed again on the hosts that failed.
pub fn retry_hosts(model: &mut Model, phase: &PlanPhase) -> Vec<Command> {
    let hosts = model.run.as_ref().and_then(|run| run.state.as_ref()).and_then(|state| state.failed_on_hosts(phase));
    let Some(hosts) = hosts.map(|(_, hosts)| hosts.join(", ")) else {
        model.complain("This phase has not failed on hosts that it can be limited to: retry it as a whole (r)");
        return Vec::new();
    };
    model.say(format!("On {hosts} alone"));
    let phase = phase.id.clone();
    again(model, machine::Command::Retry { phase, from_start: false, step: None, failed_hosts: true })
}

/// Asks whether the shell is to have the secrets of its step, where that has some; else opens it.
pub fn ask_for_shell(model: &mut Model, phase: &PlanPhase) -> Vec<Command> {
    let Some(run) = &model.run else { return Vec::new() };
    let reference = run.failure().map(|(step, _)| step).or_else(|| run.step());
    let step = reference.and_then(|reference| phase.steps.iter().find(|step| step.id == reference.step));
    let Some(step) = step.or(phase.steps.first()) else { return Vec::new() };
    let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
    if !step.env.values().any(|value| value.contains("${secret.")) {
        return shell(model, reference, false);
    }
    let open = |secrets| Then::Shell { step: reference.clone(), secrets };
    model.popups.push(Popup::confirm(
        "A shell with the secrets of the step?",
        "The step has secrets in its environment. In a shell, every program that is started from it can read them. Who opened it is recorded.",
        &[("No shell", None, Then::Close), ("Without secrets", Some('y'), open(false)), ("With secrets", None, open(true))],
    ));
    Vec::new()
}

/// Opens a shell where a step works; who did is on record first.
pub fn shell(model: &Model, step: StepRef, secrets: bool) -> Vec<Command> {
    let Some(state) = model.run.as_ref().and_then(|run| run.state.as_ref()) else { return Vec::new() };
    let request = ShellRequest { site: model.site_path(), plan: Box::new(state.plan.clone()), step: step.clone(), secrets };
    vec![engine(machine::Command::Shell { step, secrets }), Command::Shell(request)]
}
