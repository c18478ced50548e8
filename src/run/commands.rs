//! The machine's side of what an operator asks: run, retry, skip, answer, stop, replan.

use std::collections::BTreeSet;

use super::event::{Decision as Decided, Event, Failure, Outcome, StopReason};
use super::machine::{Adopted, Command, Doing, Effect, Machine, record};
use super::question::{Answer, Wanted};
use super::retry::Again;
use super::select::select;
use super::state::State;
use crate::install::ids::PhaseId;
use crate::install::plan::Action;

impl Machine {
    pub(super) fn command(&mut self, state: &State, command: Command, by: String) -> Vec<Effect> {
        match command {
            Command::Run(selection) => {
                if let (Doing::Step(step, _), true) = (&self.doing, self.adopted != Adopted::No) {
                    return match select(state, &selection) {
                        Ok(phases) => {
                            self.gated = BTreeSet::from([step.phase.clone()]);
                            self.queue.clone_from(&phases);
                            self.adopted = Adopted::Wanted;
                            vec![record(Event::OperatorDecided { decision: Decided::Run { phases }, by })]
                        }
                        Err(message) => vec![Effect::Reject(message)],
                    };
                }
                if self.is_working() {
                    return vec![Effect::Reject("a phase is running already".into())];
                }
                match select(state, &selection) {
                    Ok(phases) => {
                        self.wake(phases.clone());
                        vec![record(Event::OperatorDecided { decision: Decided::Run { phases }, by })]
                    }
                    Err(message) => vec![Effect::Reject(message)],
                }
            }
            Command::Retry { phase, from_start, step, failed_hosts } => {
                self.retry(state, Again { phase, from_start, step, failed_hosts }, by)
            }
            Command::Shell { step, secrets } => vec![record(Event::OperatorDecided { decision: Decided::Shell { step, secrets }, by })],
            Command::Skip { phase, reason } => self.skip(state, phase, reason, by),
            Command::Answer { question, answer } => self.answer(state, &question, answer, by),
            Command::Stop { now } => {
                let decided = record(Event::OperatorDecided { decision: Decided::Stop { now }, by: by.clone() });
                match &self.doing {
                    Doing::Step(..) => {
                        self.stopping = Some(by);
                        vec![decided, Effect::Cancel { now }]
                    }
                    Doing::Halted => vec![decided, Effect::Halt(StopReason::Stopped)],
                    _ => {
                        self.doing = Doing::Halted;
                        vec![decided, Effect::Halt(StopReason::Stopped)]
                    }
                }
            }
            Command::Settle if self.is_working() => Vec::new(),
            Command::Settle => {
                self.queue.clear();
                self.doing = Doing::Halted;
                vec![Effect::Halt(StopReason::Idle)]
            }
            Command::Replan { plan, changed } => {
                if matches!(self.doing, Doing::Step(..)) {
                    return vec![Effect::Reject(
                        "answers cannot change while a step is running: stop it, or wait until it has ended".into(),
                    )];
                }
                if matches!(self.doing, Doing::Gate(_) | Doing::Need(_)) {
                    self.doing = Doing::Nothing;
                }
                self.gated.clear();
                vec![record(Event::PlanChanged { plan, changed })]
            }
        }
    }

    pub(super) fn wake(&mut self, queue: Vec<PhaseId>) {
        self.queue = queue;
        self.gated.clear();
        self.needed = None;
        self.stopping = None;
        self.doing = Doing::Nothing;
    }

    /// What was selected when an earlier engine ran; the journal knows it.
    pub(super) fn remember(&mut self, state: &State) {
        if self.queue.is_empty() {
            let open = |id: &&PhaseId| state.plan.phase(id.as_str()).is_some_and(|phase| !state.phase_state(phase).is_settled());
            self.queue = state.selected.iter().filter(open).cloned().collect();
        }
    }

    fn skip(&mut self, state: &State, phase: PhaseId, reason: String, by: String) -> Vec<Effect> {
        let Some(planned) = state.plan.phase(phase.as_str()) else { return vec![Effect::Reject(format!("there is no phase '{phase}'"))] };
        if planned.skip.is_none() {
            return vec![Effect::Reject(format!("phase '{phase}' cannot be skipped: what follows does not work without it"))];
        }
        if reason.trim().is_empty() {
            return vec![Effect::Reject("skipping needs a reason".into())];
        }
        let runs = match &self.doing {
            Doing::Step(step, _) | Doing::Need(step) => step.phase == phase,
            _ => false,
        };
        if runs {
            return vec![Effect::Reject(format!("phase '{phase}' is running: stop it first"))];
        }
        let asked =
            state.questions.iter().any(|question| question.step.phase == phase && self.doing == Doing::Question(question.id.clone()));
        if asked || self.doing == Doing::Gate(phase.clone()) || (self.doing == Doing::Halted && !self.queue.is_empty()) {
            self.doing = Doing::Nothing;
        }
        vec![record(Event::OperatorDecided { decision: Decided::Skip { phase, reason }, by })]
    }

    fn answer(&mut self, state: &State, id: &str, answer: Answer, by: String) -> Vec<Effect> {
        let Some(question) = state.questions.iter().find(|question| question.id == id) else {
            return vec![Effect::Reject(format!("there is no open question '{id}'"))];
        };
        let step = question.step.clone();
        let attempt = state.step(&step).map_or(1, |record| record.attempts);
        let answered = |answer: Option<String>| record(Event::QuestionAnswered { id: id.to_owned(), by: by.clone(), answer });
        let finished = |outcome| record(Event::StepFinished { step: step.clone(), attempt, outcome, took_ms: 0, log_bytes: 0 });
        if question.is_prompt() {
            return self.typed(state, question, attempt, answer, by);
        }
        let effects = match (&question.wanted, answer) {
            (_, Answer::Open) => match question.optional() {
                Some(meaning) => {
                    vec![answered(Some("(left open)".into())), finished(Outcome::Warned { reason: format!("left open: {meaning}") })]
                }
                None => return vec![Effect::Reject("this question must be answered".into())],
            },
            (Wanted::Secret { field, .. }, Answer::Text(text)) => {
                let rules = match state.plan.step(&step).map(|step| &step.action) {
                    Some(Action::Ask { field: Some(rules), .. }) => Some(rules),
                    _ => None,
                };
                if text.trim().is_empty() {
                    return vec![Effect::Reject("the answer is empty".into())];
                }
                if let Some(Err(problem)) = rules.map(|rules| rules.parse(&text)) {
                    // The message of a rule may repeat the text; a secret must not be repeated.
                    let message = rules
                        .and_then(|rules| rules.pattern_help.clone())
                        .unwrap_or_else(|| problem.0.replace(text.trim(), "(the answer)"));
                    return vec![Effect::Reject(format!("the answer does not fit: {message}"))];
                }
                let kept = Effect::KeepSecret { question: id.to_owned(), field: field.clone(), value: text.trim().to_owned() };
                vec![kept, answered(None), finished(Outcome::Done)]
            }
            (wanted, Answer::Text(text)) => {
                let agreed = matches!(text.trim(), "yes" | "y" | "done");
                let refused = matches!(text.trim(), "no" | "n");
                if !agreed && !refused {
                    return vec![Effect::Reject("answer yes or no".into())];
                }
                match (wanted, agreed) {
                    (Wanted::Confirmation { .. }, true) => vec![answered(Some("yes".into())), finished(Outcome::Done)],
                    (Wanted::Confirmation { .. }, false) => {
                        let failure = Failure { message: "the operator answered no".into(), ..Failure::default() };
                        vec![answered(Some("no".into())), finished(Outcome::Failed(failure))]
                    }
                    (Wanted::Destroy { resources }, true) => {
                        let decision = Decided::Confirm { step: step.clone(), destroys: resources.clone() };
                        vec![answered(Some("yes".into())), record(Event::OperatorDecided { decision, by: by.clone() })]
                    }
                    (Wanted::Change { fields }, true) => {
                        let decision = Decided::Accept { fields: fields.clone() };
                        vec![answered(Some("yes".into())), record(Event::OperatorDecided { decision, by: by.clone() })]
                    }
                    (_, true) => {
                        let decision = Decided::Confirm { step: step.clone(), destroys: Vec::new() };
                        vec![answered(Some("yes".into())), record(Event::OperatorDecided { decision, by: by.clone() })]
                    }
                    (_, false) => {
                        self.doing = Doing::Halted;
                        return vec![answered(Some("no".into())), Effect::Halt(StopReason::Blocked)];
                    }
                }
            }
        };
        self.remember(state);
        if !self.queue.contains(&step.phase) {
            self.queue.insert(0, step.phase.clone());
        }
        let refused = effects.iter().any(
            |effect| matches!(effect, Effect::Record(event) if matches!(&**event, Event::StepFinished { outcome: Outcome::Failed(_), .. })),
        );
        self.doing = if refused { Doing::Halted } else { Doing::Nothing };
        if refused { effects.into_iter().chain([Effect::Halt(StopReason::Failed)]).collect() } else { effects }
    }
}
