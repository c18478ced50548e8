//! The machine of a run: inputs in, effects out. It decides what comes next and does nothing itself.
//!
//! The driver calls [`Machine::handle`] for everything that happens, performs the effects in order (an event is on disk and folded
//! before the next effect), and then calls [`Machine::advance`] until it returns nothing.

use std::collections::BTreeSet;

use super::event::{Decision as Decided, Event, Failure, Outcome, StopReason};
use super::question::{Answer, Question, Wanted};
use super::resume::{self, Decision};
use super::state::{PhaseState, State};
use crate::install::ids::{PhaseId, StepRef};
use crate::install::plan::{Action, Plan, PlanPhase, PlanStep};

/// Which phases to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These alone; empty: all.
    pub only: Vec<PhaseId>,
    /// From this one on.
    pub from: Option<PhaseId>,
    /// Up to and with this one.
    pub to: Option<PhaseId>,
}

/// What an operator asks of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run phases.
    Run(Selection),
    /// Run a phase again, then go on with what was selected.
    Retry {
        /// The phase.
        phase: PhaseId,
        /// From its first step.
        from_start: bool,
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
    },
    /// Keep the answer to a secret field.
    KeepSecret {
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
enum Doing {
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
    queue: Vec<PhaseId>,
    doing: Doing,
    gated: BTreeSet<PhaseId>,
    needed: Option<StepRef>,
    stopping: Option<String>,
    adopted: Adopted,
}

/// Whether the step under way was begun by an earlier engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adopted {
    No,
    /// It was, and nobody has asked for anything yet.
    Alone,
    /// It was, and the operator asked to go on.
    Wanted,
}

impl Default for Machine {
    fn default() -> Self {
        Self { queue: Vec::new(), doing: Doing::Halted, gated: BTreeSet::new(), needed: None, stopping: None, adopted: Adopted::No }
    }
}

fn record(event: Event) -> Effect {
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
                    return vec![record(Event::Gate { phase, open: true, ignored, blocking })];
                }
                self.doing = Doing::Halted;
                vec![record(Event::Gate { phase, open: false, ignored, blocking }), Effect::Halt(StopReason::Blocked)]
            }
            Input::NeedJudged { step, unneeded } => self.need_judged(state, step, unneeded),
            Input::Ended { step, attempt, outcome, took_ms, log_bytes } => {
                if self.doing == Doing::Step(step.clone(), attempt) {
                    self.doing = Doing::Nothing;
                }
                self.ended(state, step, attempt, outcome, took_ms, log_bytes)
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
                let closed = Event::Gate { phase: id, open: false, ignored: 0, blocking: vec![blocking] };
                return vec![record(closed), Effect::Halt(StopReason::Blocked)];
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
        match resume::decide(
            resume::last(known),
            known.is_some_and(|record| record.digest == step.digest),
            step.repeat,
            confirmed.is_some(),
        ) {
            Decision::Refuse => {
                self.doing = Doing::Halted;
                let message = format!(
                    "step '{}' may run only once and has begun before: look at its log, finish it by hand, then skip the phase, or start a new run",
                    step.title
                );
                vec![
                    record(Event::Gate { phase: phase.id.clone(), open: false, ignored: 0, blocking: vec![message] }),
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
        let started = record(Event::StepStarted { step: reference.clone(), attempt, digest: step.digest.clone() });
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
        vec![started, Effect::Execute { step: reference, attempt, destroys }]
    }

    fn ask(&mut self, question: Question) -> Vec<Effect> {
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
            record(Event::StepStarted { step: step.clone(), attempt, digest: planned.digest.clone() }),
            record(Event::StepFinished { step, attempt, outcome: Outcome::Unneeded { reason }, took_ms: 0, log_bytes: 0 }),
        ]
    }

    fn ended(&mut self, state: &State, step: StepRef, attempt: u32, outcome: Outcome, took_ms: u64, log_bytes: u64) -> Vec<Effect> {
        let success = outcome.is_success();
        let destroys = match &outcome {
            Outcome::Failed(Failure { destroys, .. }) if !destroys.is_empty() => destroys.clone(),
            _ => Vec::new(),
        };
        let stopped = matches!(outcome, Outcome::Stopped { .. });
        let adopted = std::mem::replace(&mut self.adopted, Adopted::No);
        // Cut off before the operator asked to go on: the decision table says how.
        let goes_on = adopted == Adopted::Wanted && matches!(outcome, Outcome::Interrupted { .. }) && self.queue.contains(&step.phase);
        let mut effects = vec![record(Event::StepFinished { step: step.clone(), attempt, outcome, took_ms, log_bytes })];
        if success || (goes_on && self.stopping.is_none()) {
            return effects;
        }
        if !destroys.is_empty() && self.stopping.is_none() {
            let question = Question {
                id: question_id(state, &step),
                text: format!("Let Terraform destroy or replace {} resource(s)?", destroys.len()),
                detail: format!(
                    "The plan would destroy or replace: {}. Nothing has been changed. Answer yes to plan again and let it.",
                    destroys.join(", ")
                ),
                step,
                wanted: Wanted::Destroy { resources: destroys },
            };
            effects.extend(self.ask(question));
            return effects;
        }
        self.doing = Doing::Halted;
        self.stopping = None;
        effects.push(Effect::Halt(if stopped { StopReason::Stopped } else { StopReason::Failed }));
        effects
    }

    fn command(&mut self, state: &State, command: Command, by: String) -> Vec<Effect> {
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
                if self.is_busy() {
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
            Command::Retry { phase, from_start } => self.retry(state, phase, from_start, by),
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
            Command::Settle if self.is_busy() => Vec::new(),
            Command::Settle => {
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

    fn wake(&mut self, queue: Vec<PhaseId>) {
        self.queue = queue;
        self.gated.clear();
        self.needed = None;
        self.stopping = None;
        self.doing = Doing::Nothing;
    }

    /// What was selected when an earlier engine ran; the journal knows it.
    fn remember(&mut self, state: &State) {
        if self.queue.is_empty() {
            let open = |id: &&PhaseId| state.plan.phase(id.as_str()).is_some_and(|phase| !state.phase_state(phase).is_settled());
            self.queue = state.selected.iter().filter(open).cloned().collect();
        }
    }

    fn retry(&mut self, state: &State, phase: PhaseId, from_start: bool, by: String) -> Vec<Effect> {
        if self.adopted != Adopted::No && !from_start && matches!(&self.doing, Doing::Step(step, _) if step.phase == phase) {
            self.adopted = Adopted::Wanted;
            return vec![record(Event::OperatorDecided { decision: Decided::Retry { phase, from_start }, by })];
        }
        if self.is_busy() {
            return vec![Effect::Reject("a phase is running already".into())];
        }
        let Some(planned) = state.plan.phase(phase.as_str()) else { return vec![Effect::Reject(format!("there is no phase '{phase}'"))] };
        if !from_start && state.phase_state(planned).satisfies() {
            return vec![Effect::Reject(format!("phase '{phase}' is done; retry it with --from-start to run all its steps again"))];
        }
        self.remember(state);
        let mut queue = vec![phase.clone()];
        queue.extend(self.queue.iter().filter(|queued| **queued != phase).cloned());
        if let Err(message) = needs_met(state, &queue[..1]) {
            return vec![Effect::Reject(message)];
        }
        self.wake(queue);
        vec![record(Event::OperatorDecided { decision: Decided::Retry { phase, from_start }, by })]
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
                let kept = Effect::KeepSecret { field: field.clone(), value: text.trim().to_owned() };
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

fn question_id(state: &State, step: &StepRef) -> String {
    format!("{step}@{}", state.seq + 1)
}

/// The next step of a phase that is to run; none: all are done.
fn next_step<'a>(state: &State, phase: &'a PlanPhase) -> Option<&'a PlanStep> {
    phase.steps.iter().enumerate().find_map(|(number, step)| {
        let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
        let known = state.step(&reference);
        if step.on_retry {
            return retry_is_due(state, phase, number).then_some(step);
        }
        let same = known.is_some_and(|record| record.digest == step.digest);
        (resume::decide(resume::last(known), same, step.repeat, false) != Decision::Keep).then_some(step)
    })
}

/// A step that runs on retry is due when an earlier step of its phase succeeded on a later attempt than its first, and it has not
/// succeeded since. Told from the journal alone, so that an engine that dies in between does not lose it.
fn retry_is_due(state: &State, phase: &PlanPhase, number: usize) -> bool {
    let record_of = |step: &PlanStep| state.step(&StepRef { phase: phase.id.clone(), step: step.id.clone() });
    let own = record_of(&phase.steps[number]);
    let own_success = own.filter(|record| record.outcome.as_ref().is_some_and(Outcome::is_success)).and_then(|record| record.finished);
    phase.steps[..number].iter().filter_map(record_of).any(|record| {
        let repeated = record.attempts > 1 && record.outcome.as_ref().is_some_and(Outcome::is_success);
        repeated && own_success.is_none_or(|success| record.finished.is_some_and(|finished| finished > success))
    })
}

/// Why a phase may not begin; none: all it needs is done.
fn unmet(state: &State, phase: &PlanPhase) -> Option<String> {
    phase.needs.iter().find_map(|need| {
        let needed = state.phase_state_of(need)?;
        match needed {
            PhaseState::Done | PhaseState::Warned | PhaseState::Stale => None,
            PhaseState::Skipped => Some(format!("needs phase '{need}', which was skipped: skip '{}' as well, or retry '{need}'", phase.id)),
            _ => Some(format!("needs phase '{need}', which is not done")),
        }
    })
}

fn needs_met(state: &State, phases: &[PhaseId]) -> Result<(), String> {
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
    let chosen: Vec<PhaseId> = plan
        .phases
        .iter()
        .enumerate()
        .filter(|(number, phase)| (from..=to).contains(number) && (selection.only.is_empty() || selection.only.contains(&phase.id)))
        .filter(|(_, phase)| !state.phase_state(phase).is_settled())
        .map(|(_, phase)| phase.id.clone())
        .collect();
    // A run of everything meets a skipped need when it gets there and says so; a narrower one is refused before anything runs.
    if !selection.only.is_empty() || selection.from.is_some() {
        needs_met(state, &chosen)?;
    }
    Ok(chosen)
}
