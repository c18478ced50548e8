//! The machine of a run: inputs in, effects out. It decides what comes next and does nothing itself.
//!
//! The driver calls [`Machine::handle`] for everything that happens, performs the effects in order (an event is on disk and folded
//! before the next effect), and then calls [`Machine::advance`] until it returns nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::{Event, Failure, Held, Outcome, Prompted, StopReason};
use super::question::{self, Answer, Question, Wanted};
use super::resume::{self, Decision};
use super::select::unmet;
use super::state::{PhaseState, State};
use crate::install::ids::{PhaseId, StepId, StepRef};
use crate::install::plan::{Action, Plan, PlanPhase, PlanStep};

/// Which phases to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// These alone; empty: all.
    #[serde(default)]
    pub only: Vec<PhaseId>,
    /// From this one on.
    #[serde(default)]
    pub from: Option<PhaseId>,
    /// Up to and with this one.
    #[serde(default)]
    pub to: Option<PhaseId>,
}

/// What an operator asks of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Run phases.
    Run(Selection),
    /// Run a phase again, then go on with what was selected.
    Retry {
        /// The phase.
        phase: PhaseId,
        /// From its first step.
        from_start: bool,
        /// From this step, also where it has succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// On the hosts alone that failed or could not be reached.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        failed_hosts: bool,
    },
    /// Go on without a phase.
    Skip {
        /// The phase.
        phase: PhaseId,
        /// Why.
        reason: String,
    },
    /// Answer a question.
    Answer {
        /// Its name.
        question: String,
        /// The answer.
        answer: Answer,
    },
    /// Stop.
    Stop {
        /// Kill instead of asking to end.
        now: bool,
    },
    /// A shell was opened where a step works: recorded, nothing else.
    Shell {
        /// The step.
        step: StepRef,
        /// Whether with its secrets.
        secrets: bool,
    },
    /// Start nothing more: say that nothing is under way, when that is so.
    Settle,
    /// Answers were changed: go on with another plan.
    Replan {
        /// The plan.
        plan: Box<Plan>,
        /// The answers that changed.
        changed: Vec<String>,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The operator asks for something.
    Command {
        /// What.
        command: Command,
        /// The Unix user.
        by: String,
    },
    /// The checks that guard a phase were judged.
    GateJudged {
        /// The phase.
        phase: PhaseId,
        /// What holds it back, one sentence each.
        blocking: Vec<String>,
        /// How many findings the operator ignores.
        ignored: usize,
    },
    /// The checks that would make a step unnecessary were judged.
    NeedJudged {
        /// The step.
        step: StepRef,
        /// Why it is not needed; none: it is.
        unneeded: Option<String>,
    },
    /// A step ended.
    Ended {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// How long it took, milliseconds.
        took_ms: u64,
        /// The length of its output.
        log_bytes: u64,
    },
    /// What the step that runs asks at its terminal; none: it waits for nothing.
    Prompted {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// What it asks.
        prompt: Option<Prompted>,
    },
    /// An answer could not be kept: its question stays open.
    NotKept {
        /// The question.
        question: String,
    },
    /// A runner of an earlier engine is still at work.
    Adopted {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
    },
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append to the journal, then fold.
    Record(Box<Event>),
    /// Judge the checks that guard a phase.
    JudgeGate(PhaseId),
    /// Judge the checks that would make a step unnecessary.
    JudgeNeed(StepRef),
    /// Carry out a step; its start is recorded.
    Execute {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// What Terraform may destroy or replace.
        destroys: Vec<String>,
        /// The hosts it is limited to; empty: all.
        hosts: Vec<String>,
    },
    /// Type the answer to a prompt of the step that runs. What follows it is done only where that worked.
    Type {
        /// The question.
        question: String,
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// Which prompt of it.
        number: u32,
        /// The answer.
        text: String,
    },
    /// Keep the answer to a secret field. What follows it is done only where that worked.
    KeepSecret {
        /// The question.
        question: String,
        /// The field.
        field: String,
        /// The answer.
        value: String,
    },
    /// End what runs.
    Cancel {
        /// Kill instead of asking to end.
        now: bool,
    },
    /// Nothing more can be done without the operator.
    Halt(StopReason),
    /// A command cannot be followed.
    Reject(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doing {
    Nothing,
    Gate(PhaseId),
    Need(StepRef),
    Step(StepRef, u32),
    Question(String),
    Halted,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) queue: Vec<PhaseId>,
    pub(super) doing: Doing,
    pub(super) gated: BTreeSet<PhaseId>,
    pub(super) needed: Option<StepRef>,
    pub(super) stopping: Option<String>,
    pub(super) adopted: Adopted,
    /// The prompt of the step that runs that was asked about last.
    pub(super) prompt: Option<u32>,
}

/// Whether the step under way was begun by an earlier engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopted {
    No,
    /// It was, and nobody has asked for anything yet.
    Alone,
    /// It was, and the operator asked to go on.
    Wanted,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            queue: Vec::new(),
            doing: Doing::Halted,
            gated: BTreeSet::new(),
            needed: None,
            stopping: None,
            adopted: Adopted::No,
            prompt: None,
        }
    }
}

pub(super) fn record(event: Event) -> Effect {
    Effect::Record(Box::new(event))
}

impl Machine {
    /// Whether a step, a gate or a question is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.doing, Doing::Nothing | Doing::Halted)
    }

    /// Whether a step, a gate or a need is under way: something that ends by itself.
    #[must_use]
    pub fn is_working(&self) -> bool {
        matches!(self.doing, Doing::Gate(_) | Doing::Need(_) | Doing::Step(..))
    }

    /// The phases still to be run, in order.
    #[must_use]
    pub fn queue(&self) -> &[PhaseId] {
        &self.queue
    }

    /// Takes in what happened.
    pub fn handle(&mut self, state: &State, input: Input) -> Vec<Effect> {
        match input {
            Input::Command { command, by } => self.command(state, command, by),
            Input::GateJudged { phase, blocking, ignored } => {
                if self.doing != Doing::Gate(phase.clone()) {
                    return Vec::new();
                }
                self.doing = Doing::Nothing;
                if blocking.is_empty() {
                    self.gated.insert(phase.clone());
                    return vec![record(Event::Gate { phase, open: true, ignored, blocking, held: None })];
                }
                self.doing = Doing::Halted;
                vec![record(Event::Gate { phase, open: false, ignored, blocking, held: None }), Effect::Halt(StopReason::Blocked)]
            }
            Input::NeedJudged { step, unneeded } => self.need_judged(state, step, unneeded),
            Input::Ended { step, attempt, outcome, took_ms, log_bytes } => {
                if self.doing == Doing::Step(step.clone(), attempt) {
                    self.doing = Doing::Nothing;
                    self.prompt = None;
                }
                self.ended(state, step, attempt, outcome, took_ms, log_bytes)
            }
            Input::Prompted { step, attempt, prompt } => self.prompted(state, step, attempt, prompt),
            Input::NotKept { question } => {
                if state.questions.iter().any(|open| open.id == question && !open.is_prompt()) {
                    self.doing = Doing::Question(question);
                }
                Vec::new()
            }
            Input::Adopted { step, attempt } => {
                if !self.queue.contains(&step.phase) {
                    self.queue.insert(0, step.phase.clone());
                }
                self.gated.insert(step.phase.clone());
                self.doing = Doing::Step(step, attempt);
                self.adopted = Adopted::Alone;
                Vec::new()
            }
        }
    }

    /// Decides the next act; nothing while something is under way.
    pub fn advance(&mut self, state: &State) -> Vec<Effect> {
        if self.doing != Doing::Nothing {
            return Vec::new();
        }
        if self.stopping.take().is_some() {
            self.doing = Doing::Halted;
            return vec![Effect::Halt(StopReason::Stopped)];
        }
        while let Some(id) = self.queue.first().cloned() {
            let Some(phase) = state.plan.phase(id.as_str()) else {
                self.queue.remove(0);
                continue;
            };
            if state.phase_state(phase) == PhaseState::Skipped {
                self.queue.remove(0);
                continue;
            }
            let Some(step) = next_step(state, phase) else {
                self.queue.remove(0);
                continue;
            };
            if let Some(blocking) = unmet(state, phase) {
                self.doing = Doing::Halted;
                let closed = Event::Gate { phase: id, open: false, ignored: 0, blocking: vec![blocking], held: Some(Held::Need) };
                return vec![record(closed), Effect::Halt(StopReason::Blocked)];
            }
            if let Some(question) = state.costly_question(phase) {
                return self.ask(question);
            }
            if !self.gated.contains(&id) {
                self.doing = Doing::Gate(id.clone());
                return vec![Effect::JudgeGate(id)];
            }
            return self.begin(state, phase, step);
        }
        self.doing = Doing::Halted;
        let closing = (state.is_complete() && !state.closed).then(|| record(Event::RunClosed { complete: true }));
        closing.into_iter().chain([Effect::Halt(StopReason::Idle)]).collect()
    }

    fn begin(&mut self, state: &State, phase: &PlanPhase, step: &PlanStep) -> Vec<Effect> {
        let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
        let known = state.step(&reference);
        let confirmed = known.and_then(|record| record.confirmed.clone());
        match resume::decide(resume::last(known), resume::same(known, step), step.repeat, confirmed.is_some()) {
            Decision::Refuse => {
                self.doing = Doing::Halted;
                let message = format!(
                    "step '{}' may run only once and has begun before: look at its log, finish it by hand, then skip the phase, or start a new run",
                    step.title
                );
                vec![
                    record(Event::Gate {
                        phase: phase.id.clone(),
                        open: false,
                        ignored: 0,
                        blocking: vec![message],
                        held: Some(Held::Once),
                    }),
                    Effect::Halt(StopReason::Blocked),
                ]
            }
            Decision::Ask => {
                let question = Question {
                    id: question_id(state, &reference),
                    step: reference,
                    text: format!("Run '{}' again?", step.title),
                    detail: "It has run before, and running it again may repeat its effects. Answer yes to run it again.".into(),
                    wanted: Wanted::Repeat,
                };
                self.ask(question)
            }
            // `Keep` comes here only for a step that runs on retry.
            Decision::Run | Decision::Keep => {
                if !step.unless.is_empty() && self.needed.as_ref() != Some(&reference) {
                    self.doing = Doing::Need(reference.clone());
                    return vec![Effect::JudgeNeed(reference)];
                }
                self.needed = None;
                self.start(state, step, reference, confirmed.unwrap_or_default())
            }
        }
    }

    fn start(&mut self, state: &State, step: &PlanStep, reference: StepRef, destroys: Vec<String>) -> Vec<Effect> {
        let attempt = state.step(&reference).map_or(0, |record| record.attempts) + 1;
        let hosts = state.step(&reference).map(|record| record.hosts.clone()).unwrap_or_default();
        let started = record(Event::StepStarted { step: reference.clone(), attempt, digest: step.digest.clone(), hosts: hosts.clone() });
        if let Action::Ask { text, detail, field, optional } = &step.action {
            let optional = optional.clone();
            let wanted = match field {
                Some(field) => Wanted::Secret { field: field.id.to_string(), optional },
                None => Wanted::Confirmation { optional },
            };
            let id = format!("{reference}#{attempt}");
            let question = Question { id, step: reference, text: text.clone(), detail: detail.clone(), wanted };
            return std::iter::once(started).chain(self.ask(question)).collect();
        }
        self.doing = Doing::Step(reference.clone(), attempt);
        vec![started, Effect::Execute { step: reference, attempt, destroys, hosts }]
    }

    pub(super) fn ask(&mut self, question: Question) -> Vec<Effect> {
        self.doing = Doing::Question(question.id.clone());
        vec![record(Event::QuestionAsked { question }), Effect::Halt(StopReason::Waiting)]
    }

    fn need_judged(&mut self, state: &State, step: StepRef, unneeded: Option<String>) -> Vec<Effect> {
        if self.doing != Doing::Need(step.clone()) {
            return Vec::new();
        }
        self.doing = Doing::Nothing;
        let (Some(planned), Some(reason)) = (state.plan.step(&step), unneeded) else {
            self.needed = Some(step);
            return Vec::new();
        };
        let attempt = state.step(&step).map_or(0, |record| record.attempts) + 1;
        vec![
            record(Event::StepStarted { step: step.clone(), attempt, digest: planned.digest.clone(), hosts: Vec::new() }),
            record(Event::StepFinished { step, attempt, outcome: Outcome::Unneeded { reason }, took_ms: 0, log_bytes: 0 }),
        ]
    }

    fn ended(&mut self, state: &State, step: StepRef, attempt: u32, outcome: Outcome, took_ms: u64, log_bytes: u64) -> Vec<Effect> {
        let success = outcome.is_success();
        let (destroys, tainted) = match &outcome {
            Outcome::Failed(Failure { destroys, tainted, .. }) if !destroys.is_empty() => (destroys.clone(), tainted.clone()),
            _ => Default::default(),
        };
        let stopped = matches!(outcome, Outcome::Stopped { .. });
        let adopted = std::mem::replace(&mut self.adopted, Adopted::No);
        // Cut off before the operator asked to go on: the decision table says how.
        let goes_on = adopted == Adopted::Wanted && matches!(outcome, Outcome::Interrupted { .. }) && self.queue.contains(&step.phase);
        let mut effects = vec![record(Event::StepFinished { step: step.clone(), attempt, outcome, took_ms, log_bytes })];
        if success && adopted == Adopted::Alone {
            // It was taken up, and nobody has asked for what comes after it.
            self.queue.clear();
        }
        if success || (goes_on && self.stopping.is_none()) {
            return effects;
        }
        if !destroys.is_empty() && self.stopping.is_none() {
            effects.extend(self.ask(question::destroying(question_id(state, &step), step, destroys, &tainted)));
            return effects;
        }
        self.doing = Doing::Halted;
        self.stopping = None;
        effects.push(Effect::Halt(if stopped { StopReason::Stopped } else { StopReason::Failed }));
        effects
    }
}

fn question_id(state: &State, step: &StepRef) -> String {
    format!("{step}@{}", state.seq + 1)
}

/// The next step of a phase that is to run; none: all are done.
fn next_step<'a>(state: &State, phase: &'a PlanPhase) -> Option<&'a PlanStep> {
    phase.steps.iter().enumerate().find_map(|(number, step)| {
        let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
        let known = state.step(&reference);
        if step.on_retry {
            let asked_for = known.is_some_and(|record| record.forgotten);
            return (asked_for || retry_is_due(state, phase, number)).then_some(step);
        }
        (resume::decide(resume::last(known), resume::same(known, step), step.repeat, false) != Decision::Keep).then_some(step)
    })
}

/// A step that runs on retry is due when an earlier step of its phase succeeded on a later attempt than its first, and it has not
/// succeeded since. Told from the journal alone, so that an engine that dies in between does not lose it.
fn retry_is_due(state: &State, phase: &PlanPhase, number: usize) -> bool {
    let record_of = |step: &PlanStep| state.step(&StepRef { phase: phase.id.clone(), step: step.id.clone() });
    let own = record_of(&phase.steps[number]);
    let own_success = own.filter(|record| record.outcome.as_ref().is_some_and(Outcome::is_success)).and_then(|record| record.finished_seq);
    phase.steps[..number].iter().filter_map(record_of).any(|record| {
        let repeated = record.attempts > 1 && record.outcome.as_ref().is_some_and(Outcome::is_success);
        repeated && own_success.is_none_or(|success| record.finished_seq.is_some_and(|finished| finished > success))
    })
}
