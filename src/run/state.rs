//! The state of a run: the fold of its events, and nothing else.
//!
//! Rules of the fold: a duplicate is a no-op, a gap is an error, an unknown kind advances only.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::{Decision, Event, Held, Outcome, Recorded};
use super::question::{Question, Wanted};
use crate::install::check::{Finding, Target};
use crate::install::ids::{CheckId, FieldId, PhaseId, StepRef};
use crate::install::plan::{Plan, PlanPhase};

/// Why an event cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A number is missing.
    #[error("event {found} follows event {last}: something is missing in between")]
    Gap {
        /// The last number seen.
        last: u64,
        /// The number found.
        found: u64,
    },
    /// The first event is not `run_opened`.
    #[error("the journal does not begin with run_opened")]
    NoBeginning,
    /// The journal is of a later format.
    #[error("the journal has format {0}; this program reads format {expected}", expected = super::event::FORMAT)]
    Format(u32),
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseState {
    /// Not begun.
    Pending,
    /// A step of it is running or waits for an answer.
    Running,
    /// All its steps succeeded.
    Done,
    /// All its steps succeeded, and one deserves a look.
    Warned,
    /// The operator goes on without it.
    Skipped,
    /// A step failed, or its gate is closed.
    Failed,
    /// A step was cut off.
    Interrupted,
    /// It was done, but with answers that have changed since.
    Stale,
    /// The operator stopped it.
    Stopped,
}

impl PhaseState {
    /// Whether phases that need it may run.
    #[must_use]
    pub fn satisfies(self) -> bool {
        matches!(self, Self::Done | Self::Warned)
    }

    /// Whether nothing more is to do for it in this run.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Warned | Self::Skipped)
    }
}

/// What is known of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepRecord {
    /// How many attempts there were.
    pub attempts: u32,
    /// When the last one began.
    pub started: Option<Timestamp>,
    /// When it ended; none while it runs.
    pub finished: Option<Timestamp>,
    /// The event that says so: clocks are set back, numbers are not.
    pub finished_seq: Option<u64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Time all attempts took, milliseconds.
    pub took_ms: u64,
    /// The digest of the step as it was last run.
    pub digest: String,
    /// The operator agreed that it runs again, or that resources are destroyed; taken back when it starts.
    pub confirmed: Option<Vec<String>>,
    /// A retry asked for it again: its success does not count.
    pub forgotten: bool,
    /// The hosts that its next attempt, or the one that runs, is limited to; empty: all.
    pub hosts: Vec<String>,
    /// The answers that its phase read or named when it was last run, each with its digest.
    pub reads: BTreeMap<FieldId, String>,
}

impl StepRecord {
    /// Whether it was begun and has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.started.is_some() && self.outcome.is_none()
    }
}

/// A phase the operator goes on without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Who decided it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A gate that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedGate {
    /// What holds the phase back, one sentence each.
    pub blocking: Vec<String>,
    /// When it was judged.
    pub at: Timestamp,
    /// What holds it back, where it is no check.
    pub held: Option<Held>,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The run's name.
    pub run: String,
    /// The site file as it was reached when the run was opened.
    pub site_file: String,
    /// Whether this is a rehearsal.
    pub rehearsal: bool,
    /// The plan in force.
    pub plan: Plan,
    /// The last event seen.
    pub seq: u64,
    /// When the first event was written.
    pub opened: Timestamp,
    /// When the last event was written.
    pub last: Timestamp,
    /// What is known of each step that was begun.
    pub steps: BTreeMap<StepRef, StepRecord>,
    /// Phases the operator goes on without.
    pub skips: BTreeMap<PhaseId, Skip>,
    /// Gates that are closed.
    pub gates: BTreeMap<PhaseId, ClosedGate>,
    /// The last finding of each check and target.
    pub findings: BTreeMap<(CheckId, Target), Finding>,
    /// Questions not yet answered.
    pub questions: Vec<Question>,
    /// The phases that were to run when the operator last started the run.
    pub selected: Vec<PhaseId>,
    /// Names and answers (secret ones hidden) of questions that were answered.
    pub answered: BTreeMap<String, Option<String>>,
    /// Answers whose change the operator agreed to in spite of its cost, each with the digest of the value.
    pub accepted: BTreeMap<String, String>,
    /// Whether an engine has the run, as far as the journal says.
    pub engine: Option<u32>,
    /// Whether that engine has nothing under way, as far as is known: it waits for the operator.
    pub idle: bool,
    /// The boot of the machine in which the last engine was started.
    pub boot: String,
    /// Whether the last engine let go so that another takes the run.
    pub handed_over: bool,
    /// Whether the operator stopped it, and nobody has asked it to go on since.
    pub stopped: bool,
    /// Whether the run was closed.
    pub closed: bool,
}

/// Folds a whole journal.
///
/// # Errors
/// As [`State::apply`].
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Result<State, FoldError> {
    let mut events = events.into_iter();
    let mut state = State::open(events.next().ok_or(FoldError::NoBeginning)?)?;
    for event in events {
        state.apply(event)?;
    }
    Ok(state)
}

impl State {
    /// The state of a run of this plan in which nothing has happened.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (opened, last) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        Self {
            run: String::new(),
            site_file: String::new(),
            rehearsal: false,
            plan,
            seq: 0,
            opened,
            last,
            steps: BTreeMap::new(),
            skips: BTreeMap::new(),
            gates: BTreeMap::new(),
            findings: BTreeMap::new(),
            questions: Vec::new(),
            selected: Vec::new(),
            answered: BTreeMap::new(),
            accepted: BTreeMap::new(),
            engine: None,
            idle: false,
            handed_over: false,
            boot: String::new(),
            stopped: false,
            closed: false,
        }
    }

    /// The state after the first event.
    ///
    /// # Errors
    /// It is not `run_opened`, or of a later format.
    pub fn open(first: &Recorded) -> Result<Self, FoldError> {
        let Event::RunOpened { format, run, site_file, rehearsal, plan, .. } = &first.event else { return Err(FoldError::NoBeginning) };
        if *format != super::event::FORMAT {
            return Err(FoldError::Format(*format));
        }
        Ok(Self {
            run: run.clone(),
            site_file: site_file.clone(),
            rehearsal: *rehearsal,
            seq: first.seq,
            opened: first.at,
            last: first.at,
            ..Self::new((**plan).clone())
        })
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// An event is missing before it.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
        if recorded.seq <= self.seq {
            return Ok(());
        }
        if recorded.seq != self.seq + 1 {
            return Err(FoldError::Gap { last: self.seq, found: recorded.seq });
        }
        self.seq = recorded.seq;
        self.last = recorded.at;
        match &recorded.event {
            Event::RunOpened { .. } | Event::Unknown => {}
            Event::PlanChanged { plan, .. } => {
                self.plan = (**plan).clone();
                // With other answers it is another question, or none.
                self.questions.retain(|question| !matches!(question.wanted, Wanted::Change { .. }));
            }
            Event::EngineStarted { pid, boot, .. } => {
                self.engine = Some(*pid);
                (self.idle, self.handed_over) = (true, false);
                self.boot.clone_from(boot);
                self.closed = false;
            }
            Event::EngineStopped { .. } => self.engine = None,
            Event::HandedOver { .. } => (self.engine, self.handed_over) = (None, true),
            Event::Finding { finding, .. } => {
                self.findings.insert((finding.check.clone(), finding.target.clone()), finding.clone());
            }
            Event::Gate { phase, open, blocking, held, .. } => {
                self.idle = !*open;
                if *open {
                    self.gates.remove(phase);
                } else {
                    self.gates.insert(phase.clone(), ClosedGate { blocking: blocking.clone(), at: recorded.at, held: *held });
                }
            }
            Event::StepStarted { step, attempt, digest, hosts } => {
                (self.idle, self.stopped) = (false, false);
                self.skips.remove(&step.phase);
                let reads = self.plan.phase(step.phase.as_str()).map(PlanPhase::answers).unwrap_or_default();
                let record = self.steps.entry(step.clone()).or_default();
                record.attempts = record.attempts.max(*attempt);
                record.started = Some(recorded.at);
                record.finished = None;
                record.finished_seq = None;
                record.outcome = None;
                record.digest.clone_from(digest);
                record.forgotten = false;
                record.hosts.clone_from(hosts);
                record.reads = reads;
            }
            Event::StepFinished { step, outcome, took_ms, .. } => {
                let record = self.steps.entry(step.clone()).or_default();
                record.finished = Some(recorded.at);
                record.finished_seq = Some(recorded.seq);
                record.outcome = Some(outcome.clone());
                record.took_ms += took_ms;
                record.confirmed = None;
                self.idle = !outcome.is_success() || self.stopped;
                record.hosts.clear();
                // A command that has ended waits for nothing.
                let over = |question: &Question| outcome.is_success() || question.is_prompt();
                self.questions.retain(|question| question.step != *step || !over(question));
            }
            Event::QuestionAsked { question } => {
                // A step has one open question; asking again replaces it.
                self.questions.retain(|known| known.step != question.step);
                self.questions.push(question.clone());
            }
            Event::QuestionAnswered { id, answer, .. } => {
                (self.idle, self.stopped) = (false, false);
                self.questions.retain(|question| question.id != *id);
                self.answered.insert(id.clone(), answer.clone());
            }
            Event::OperatorDecided { decision, by } => self.decide(decision, by, recorded.at),
            Event::RunClosed { .. } => (self.closed, self.idle) = (true, true),
        }
        Ok(())
    }

    fn decide(&mut self, decision: &Decision, by: &str, at: Timestamp) {
        match decision {
            Decision::Run { .. } | Decision::Retry { .. } | Decision::Confirm { .. } | Decision::Accept { .. } => {
                (self.idle, self.stopped) = (false, false);
            }
            Decision::Stop { .. } => {
                (self.idle, self.stopped) = (self.at_work().is_none(), true);
                let asked: Vec<StepRef> =
                    self.questions.iter().filter(|question| !question.is_prompt()).map(|question| question.step.clone()).collect();
                self.leave_unanswered(by, |step| asked.contains(step));
            }
            Decision::Skip { .. } | Decision::Shell { .. } => {}
        }
        match decision {
            Decision::Retry { phase, from_start, step: only, hosts } => {
                self.skips.remove(phase);
                self.gates.remove(phase);
                for (step, record) in &mut self.steps {
                    if step.phase == *phase && (*from_start || only.is_some()) {
                        record.forgotten = *from_start;
                    }
                    // A limit that was not used is forgotten with the retry that it was meant for.
                    if step.phase == *phase && record.outcome.is_some() {
                        record.hosts.clear();
                    }
                }
                if let Some(step) = only {
                    let record = self.steps.entry(StepRef { phase: phase.clone(), step: step.clone() }).or_default();
                    record.forgotten = true;
                    record.hosts.clone_from(hosts);
                }
            }
            Decision::Skip { phase, reason } => {
                self.skips.insert(phase.clone(), Skip { by: by.to_owned(), reason: reason.clone(), at });
                self.gates.remove(phase);
                self.questions.retain(|question| question.step.phase != *phase);
                self.leave_unanswered(by, |step| step.phase == *phase);
            }
            Decision::Confirm { step, destroys } => {
                self.steps.entry(step.clone()).or_default().confirmed = Some(destroys.clone());
            }
            Decision::Run { phases } => self.selected.clone_from(phases),
            Decision::Accept { fields } => {
                for field in fields {
                    self.accepted.insert(field.clone(), self.plan.read(field).unwrap_or_default().to_owned());
                }
            }
            Decision::Stop { .. } | Decision::Shell { .. } => {}
        }
    }

    /// Steps that are at work only in that they wait for an answer of the operator do so no more.
    fn leave_unanswered(&mut self, by: &str, which: impl Fn(&StepRef) -> bool) {
        for (_, record) in self.steps.iter_mut().filter(|(step, record)| record.is_running() && which(step)) {
            record.outcome = Some(Outcome::Stopped { by: by.to_owned() });
        }
    }

    /// What is known of a step.
    #[must_use]
    pub fn step(&self, step: &StepRef) -> Option<&StepRecord> {
        self.steps.get(step)
    }

    /// The steps of a phase with what is known of each.
    pub fn steps_of<'a>(&'a self, phase: &'a PlanPhase) -> impl Iterator<Item = (StepRef, Option<&'a StepRecord>)> {
        phase.steps.iter().map(|step| {
            let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
            let record = self.steps.get(&reference);
            (reference, record)
        })
    }

    /// The phases of which a step was begun.
    pub fn begun(&self) -> impl Iterator<Item = &PlanPhase> {
        self.plan.phases.iter().filter(|phase| self.steps_of(phase).any(|(_, record)| record.is_some_and(|record| record.attempts > 0)))
    }

    /// Where a phase stands.
    #[must_use]
    pub fn phase_state(&self, phase: &PlanPhase) -> PhaseState {
        if self.skips.contains_key(&phase.id) {
            return PhaseState::Skipped;
        }
        if self.gates.contains_key(&phase.id) {
            return PhaseState::Failed;
        }
        let (mut begun, mut warned, mut missing, mut stale) = (false, false, false, false);
        for ((_, record), step) in self.steps_of(phase).zip(&phase.steps) {
            let Some(record) = record.filter(|record| record.attempts > 0) else {
                // A step that runs on retry only does not hold a phase open.
                missing |= !step.on_retry;
                continue;
            };
            begun = true;
            match &record.outcome {
                None => return PhaseState::Running,
                Some(Outcome::Failed(_)) => return PhaseState::Failed,
                Some(Outcome::Interrupted { .. }) => return PhaseState::Interrupted,
                Some(Outcome::Stopped { .. }) => return PhaseState::Stopped,
                Some(Outcome::Warned { .. }) => warned = true,
                Some(Outcome::Done | Outcome::Unneeded { .. }) => {}
            }
            missing |= record.forgotten;
            stale |= record.digest != step.digest;
        }
        match (begun, missing, stale, warned) {
            (false, ..) => PhaseState::Pending,
            (_, true, false, _) => {
                // Begun, one step done, the next not yet started: it is between two steps, or was left there.
                if self.engine.is_some() && !self.idle { PhaseState::Running } else { PhaseState::Stopped }
            }
            (_, _, true, _) => PhaseState::Stale,
            (.., true) => PhaseState::Warned,
            _ => PhaseState::Done,
        }
    }

    /// Where a phase stands, by name; none: no such phase.
    #[must_use]
    pub fn phase_state_of(&self, phase: &PhaseId) -> Option<PhaseState> {
        self.plan.phase(phase.as_str()).map(|phase| self.phase_state(phase))
    }

    /// Why a phase stands as it does; empty where there is nothing to say.
    #[must_use]
    pub fn phase_reason(&self, phase: &PlanPhase) -> String {
        if let Some(skip) = self.skips.get(&phase.id) {
            return format!("skipped by {}: {}", skip.by, skip.reason);
        }
        if let Some(gate) = self.gates.get(&phase.id) {
            return gate.blocking.join("; ");
        }
        if self.phase_state(phase) == PhaseState::Stale {
            return self.stale_reason(phase);
        }
        let reasons = self.steps_of(phase).filter_map(|(_, record)| record?.outcome.as_ref().map(Outcome::reason));
        reasons.filter(|reason| !reason.is_empty()).last().unwrap_or_default()
    }

    /// When a phase first began, and how long its steps took so far, milliseconds.
    #[must_use]
    pub fn phase_times(&self, phase: &PlanPhase) -> (Option<Timestamp>, u64) {
        let records: Vec<&StepRecord> = self.steps_of(phase).filter_map(|(_, record)| record).collect();
        (records.iter().filter_map(|record| record.started).min(), records.iter().map(|record| record.took_ms).sum())
    }

    /// The step that is running, where there is one.
    #[must_use]
    pub fn running(&self) -> Option<(&StepRef, &StepRecord)> {
        self.steps.iter().find(|(_, record)| record.is_running())
    }

    /// The step for which a process is at work: the running one, unless the run itself asks something for it.
    #[must_use]
    pub fn at_work(&self) -> Option<(&StepRef, &StepRecord)> {
        let asks = |step: &StepRef| self.questions.iter().any(|question| question.step == *step && !question.is_prompt());
        self.running().filter(|(step, _)| !asks(step))
    }

    /// Whether every phase is done, warned or skipped.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.plan.phases.iter().all(|phase| self.phase_state(phase).is_settled())
    }

    /// One word for the whole run, as `status --json` has it.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        let any = |wanted: PhaseState| self.plan.phases.iter().any(|phase| self.phase_state(phase) == wanted);
        let stopped = self.stopped && self.at_work().is_none();
        if !self.questions.is_empty() {
            // Its question stays open; but nobody is waited for, and it goes on only when somebody says so.
            if stopped { "stopped" } else { "waiting" }
        } else if self.running().is_some() || (self.engine.is_some() && !self.idle) {
            "running"
        } else if self.is_complete() {
            "done"
        } else if any(PhaseState::Failed) || any(PhaseState::Interrupted) {
            "failed"
        } else if stopped || any(PhaseState::Stopped) {
            "stopped"
        } else {
            "idle"
        }
    }
}
