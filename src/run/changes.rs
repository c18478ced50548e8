//! Answers that changed: which phases that makes stale, and what it costs where an answer is hard to change.

use super::question::{Question, Wanted};
use super::state::{PhaseState, State};
use crate::install::ids::{FieldId, PhaseId, StepRef};
use crate::install::plan::{Plan, PlanPhase};

/// An answer that was changed after it was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costly {
    /// The field.
    pub field: FieldId,
    /// What it is called.
    pub label: String,
    /// The phase that settled it.
    pub by: PhaseId,
    /// What the change costs.
    pub cost: String,
}

impl State {
    /// The answers that a phase reads and that have changed since it ran.
    #[must_use]
    pub fn changed_since(&self, phase: &PlanPhase) -> Vec<FieldId> {
        let mut changed: Vec<FieldId> = Vec::new();
        for (reference, record) in self.steps_of(phase) {
            let (Some(record), Some(step)) = (record.filter(|record| record.attempts > 0), self.plan.step(&reference)) else { continue };
            if record.digest == step.digest {
                continue;
            }
            let now = phase.answers();
            // A journal of an earlier version knows only the answers declared; what is not known has not changed.
            let differs = |field: &&FieldId| match (now.get(*field), record.reads.get(*field)) {
                (Some(now), Some(then)) => now != then,
                _ => phase.reads.contains_key(*field) || field.as_str().starts_with("advanced."),
            };
            for field in now.keys().chain(record.reads.keys()).filter(differs) {
                if !changed.contains(field) {
                    changed.push(field.clone());
                }
            }
        }
        changed.sort();
        changed
    }

    pub(super) fn stale_reason(&self, phase: &PlanPhase) -> String {
        let changed: Vec<String> = self.changed_since(phase).iter().map(ToString::to_string).collect();
        if changed.is_empty() {
            "its machines, files or commands have changed since it ran".to_owned()
        } else {
            format!("changed since it ran: {}", changed.join(", "))
        }
    }

    /// The phases that a plan makes stale, each with the reason: what going on with it would run again.
    #[must_use]
    pub fn stale_with(&self, plan: &Plan) -> Vec<(PhaseId, String)> {
        let after = Self { plan: plan.clone(), ..self.clone() };
        let stale = plan.phases.iter().filter(|phase| after.phase_state(phase) == PhaseState::Stale);
        stale.map(|phase| (phase.id.clone(), after.phase_reason(phase))).collect()
    }

    /// The answers that a plan has changed after what settles them was begun, and whose change nobody has agreed to.
    #[must_use]
    pub fn costly(&self, plan: &Plan) -> Vec<Costly> {
        let mut found = Vec::new();
        for (field, settled) in &plan.settled {
            let by = settled.by.iter().find(|by| {
                let Some(phase) = plan.phase(by.as_str()) else { return false };
                let answers = phase.answers();
                let now = answers.get(field);
                let changed = |read: &String| Some(read) != now;
                self.steps_of(phase).any(|(_, record)| {
                    let begun = record.filter(|record| record.attempts > 0);
                    begun.is_some_and(|record| record.reads.get(field).is_some_and(changed))
                })
            });
            let agreed = self.accepted.get(field.as_str()).is_some_and(|accepted| Some(accepted.as_str()) == plan.read(field.as_str()));
            if let Some(by) = by.filter(|_| !agreed) {
                found.push(Costly { field: field.clone(), label: settled.label.clone(), by: by.clone(), cost: settled.cost.clone() });
            }
        }
        found
    }

    /// The question before a phase begins with answers that were settled and have changed; none: there are none.
    pub(super) fn costly_question(&self, phase: &PlanPhase) -> Option<Question> {
        let costly = self.costly(&self.plan);
        let step = StepRef { phase: phase.id.clone(), step: phase.steps.first()?.id.clone() };
        let names: Vec<&str> = costly.iter().map(|costly| costly.label.as_str()).collect();
        if names.is_empty() {
            return None;
        }
        let mut detail: String = costly
            .iter()
            .map(|costly| format!("{} ({}) was settled when phase '{}' began. {}\n", costly.label, costly.field, costly.by, costly.cost))
            .collect();
        detail.push_str("Answer yes to go on with the new value all the same; no, to change it back.");
        Some(Question {
            id: format!("change@{}", self.seq + 1),
            step,
            text: format!("Go on although this was changed, which is hard to change: {}?", names.join(", ")),
            detail,
            wanted: Wanted::Change { fields: costly.iter().map(|costly| costly.field.to_string()).collect() },
        })
    }
}
