//! The engine's loop: input → machine → effects, in write-ahead order: append and fsync, fold, act, publish.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::attempt::Ended;
use super::client::{Client, Update};
use super::executor::{Allowed, Executor};
use crate::adapters::journal::{Journal, JournalError};
use crate::install::check::Finding;
use crate::install::ids::{PhaseId, StepRef};
use crate::run::event::{Event, Outcome, Progress, Recorded, StopReason};
use crate::run::machine::{Command, Effect, Input, Machine};
use crate::run::state::{FoldError, State};

/// Why an engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not make sense.
    #[error("the journal of this run does not make sense: {0}; keep a copy, then start a new run with --new")]
    Fold(#[from] FoldError),
    /// Another engine holds the site.
    #[error("another engine holds this site (process {pid}); watch it with 'mosip-setup status', or stop it there")]
    Held {
        /// Its process; 0: not known.
        pid: u32,
    },
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What an operator gave cannot be used.
    #[error("{0}")]
    Refused(String),
}

/// What tasks tell the loop.
#[derive(Debug)]
pub(super) enum Told {
    /// Something the machine takes in.
    Input(Input, Vec<Finding>),
    /// An attempt of this engine, or one adopted, ended; none: it left no trace.
    Ended(StepRef, u32, Option<Ended>),
    /// Where a step stands.
    Progress(StepRef, u32, Progress),
}

/// An engine at work.
pub(super) struct Driver {
    pub journal: Journal,
    pub state: State,
    pub machine: Machine,
    pub executor: Arc<Executor>,
    /// The site's lock, held as long as the engine lives.
    pub _lock: std::fs::File,
    /// The Unix user who commands.
    pub user: String,
    /// The engine's own identity, for `engine_started`.
    pub boot: String,
    /// Why the step that the journal shows as running was cut off, should it have left no record.
    pub lost: String,
}

impl Driver {
    /// Starts the loop as a task of its own and gives the client's side of it. The history comes first.
    pub fn start(self, history: Vec<Recorded>, run_dir: PathBuf) -> Client {
        let (command_sender, commands) = mpsc::unbounded_channel();
        let (updates, update_receiver) = mpsc::unbounded_channel();
        for recorded in history {
            let _ = updates.send(Update::Event(Arc::new(recorded)));
        }
        tokio::spawn(async move {
            let ended = self.run(commands, &updates).await.err().map(|error| error.to_string());
            let _ = updates.send(Update::Ended(ended));
        });
        Client::new(command_sender, update_receiver, run_dir)
    }

    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        updates: &mpsc::UnboundedSender<Update>,
    ) -> Result<(), EngineError> {
        let (told_sender, mut told) = mpsc::unbounded_channel::<Told>();
        let started = Event::EngineStarted {
            pid: std::process::id(),
            boot: self.boot.clone(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            by: self.user.clone(),
        };
        self.record(started, updates)?;
        let mut last_halt = StopReason::Idle;
        let asked = self.recover(&told_sender);
        self.perform(asked, updates, &told_sender, &mut last_halt)?;
        let _ = updates.send(Update::Live);
        let mut leaving = false;
        loop {
            if leaving && !self.machine.is_working() {
                self.record(Event::EngineStopped { reason: last_halt }, updates)?;
                return Ok(());
            }
            let effects = tokio::select! {
                biased;
                command = commands.recv(), if !leaving => match command {
                    Some(command) => self.machine.handle(&self.state, Input::Command { command, by: self.user.clone() }),
                    // The front end is gone. What runs is in a process of its own and goes on; the next engine adopts it.
                    None if self.machine.is_working() => return Ok(()),
                    None => {
                        leaving = true;
                        continue;
                    }
                },
                Some(told) = told.recv() => match told {
                    Told::Progress(step, attempt, progress) => {
                        let prompt = progress.prompt.clone();
                        let _ = updates.send(Update::Progress { step: step.clone(), attempt, progress });
                        self.machine.handle(&self.state, Input::Prompted { step, attempt, prompt })
                    }
                    Told::Input(input, findings) => {
                        let phase = match &input {
                            Input::GateJudged { phase, .. } => Some(phase.clone()),
                            _ => None,
                        };
                        for finding in findings {
                            self.record(Event::Finding { phase: phase.clone(), finding }, updates)?;
                        }
                        self.machine.handle(&self.state, input)
                    }
                    Told::Ended(step, attempt, ended) => {
                        let input = self.ended(step, attempt, ended);
                        self.machine.handle(&self.state, input)
                    }
                },
            };
            self.perform(effects, updates, &told_sender, &mut last_halt)?;
            loop {
                let effects = self.machine.advance(&self.state);
                if effects.is_empty() {
                    break;
                }
                self.perform(effects, updates, &told_sender, &mut last_halt)?;
            }
        }
    }

    fn ended(&self, step: StepRef, attempt: u32, ended: Option<Ended>) -> Input {
        let interrupted = || Outcome::Interrupted { reason: self.lost.clone() };
        let mut ended = ended.unwrap_or_else(|| Ended { outcome: interrupted(), took_ms: 0, log_bytes: 0 });
        if let Outcome::Stopped { by } = &mut ended.outcome
            && by.is_empty()
        {
            by.clone_from(&self.user);
        }
        Input::Ended { step, attempt, outcome: ended.outcome, took_ms: ended.took_ms, log_bytes: ended.log_bytes }
    }

    /// A step that the journal shows as running is adopted: its runner may still be at work, or have left its record.
    fn recover(&mut self, told: &mpsc::UnboundedSender<Told>) -> Vec<Effect> {
        let Some((step, record)) = self.state.at_work() else { return Vec::new() };
        let (step, attempt) = (step.clone(), record.attempts);
        self.machine.handle(&self.state, Input::Adopted { step: step.clone(), attempt });
        // What it asks is known before the first command comes: that may be the answer.
        let prompt = self.executor.asked(&step, attempt);
        let asked = self.machine.handle(&self.state, Input::Prompted { step: step.clone(), attempt, prompt });
        let (executor, told, plan) = (self.executor.clone(), told.clone(), Arc::new(self.state.plan.clone()));
        tokio::spawn(async move {
            let (sender, reference) = (told.clone(), step.clone());
            let progress = Box::new(move |progress| drop(sender.send(Told::Progress(reference.clone(), attempt, progress))));
            let ended = executor.adopt(&plan, &step, attempt, progress).await;
            let _ = told.send(Told::Ended(step, attempt, ended));
        });
        asked
    }

    fn record(&mut self, event: Event, updates: &mpsc::UnboundedSender<Update>) -> Result<(), EngineError> {
        // The wait for the disk must not hold up a worker that others need.
        let at = self.executor.now();
        let recorded = tokio::task::block_in_place(|| self.journal.append(at, event))?;
        self.state.apply(&recorded)?;
        let _ = updates.send(Update::Event(Arc::new(recorded)));
        Ok(())
    }

    fn perform(
        &mut self,
        effects: Vec<Effect>,
        updates: &mpsc::UnboundedSender<Update>,
        told: &mpsc::UnboundedSender<Told>,
        last_halt: &mut StopReason,
    ) -> Result<(), EngineError> {
        for effect in effects {
            match effect {
                Effect::Record(event) => self.record(*event, updates)?,
                Effect::JudgeGate(phase) => self.judge_gate(phase, told),
                Effect::JudgeNeed(step) => self.judge_need(step, told),
                Effect::Execute { step, attempt, destroys, hosts } => self.execute(step, attempt, Allowed { destroys, hosts }, told),
                Effect::KeepSecret { question, field, value } => {
                    if let Err(error) = self.executor.keep_secret(&field, &value) {
                        return self.not_kept(question, error, updates);
                    }
                }
                Effect::Type { question, step, attempt, number, text } => {
                    if let Err(error) = self.executor.answer(&step, attempt, number, &text) {
                        return self.not_kept(question, error, updates);
                    }
                }
                Effect::Cancel { now } => {
                    let executor = self.executor.clone();
                    tokio::spawn(async move { executor.cancel(now).await });
                }
                Effect::Halt(reason) => {
                    *last_halt = reason;
                    let _ = updates.send(Update::Halted(reason));
                }
                Effect::Reject(message) => {
                    let _ = updates.send(Update::Rejected(message));
                }
            }
        }
        Ok(())
    }

    /// An answer went nowhere: its question stays open, and nothing that would have followed it is done.
    fn not_kept(&mut self, question: String, error: String, updates: &mpsc::UnboundedSender<Update>) -> Result<(), EngineError> {
        self.machine.handle(&self.state, Input::NotKept { question });
        let _ = updates.send(Update::Rejected(error));
        Ok(())
    }

    fn done_phases(&self) -> Vec<PhaseId> {
        let done = self.state.plan.phases.iter().filter(|phase| self.state.phase_state(phase).satisfies());
        done.map(|phase| phase.id.clone()).collect()
    }

    fn judge_gate(&self, phase: PhaseId, told: &mpsc::UnboundedSender<Told>) {
        let (executor, told, plan, done) = (self.executor.clone(), told.clone(), Arc::new(self.state.plan.clone()), self.done_phases());
        let begun: Vec<PhaseId> = self.state.begun().map(|phase| phase.id.clone()).collect();
        tokio::spawn(async move {
            let (gate, findings) = executor.gate(&plan, &phase, &done, &begun).await;
            let blocking =
                gate.blocking.iter().map(|finding| format!("{} on {}: {}", finding.check, finding.target, finding.observed)).collect();
            let _ = told.send(Told::Input(Input::GateJudged { phase, blocking, ignored: gate.ignored.len() }, findings));
        });
    }

    fn judge_need(&self, step: StepRef, told: &mpsc::UnboundedSender<Told>) {
        let (executor, told, plan) = (self.executor.clone(), told.clone(), Arc::new(self.state.plan.clone()));
        tokio::spawn(async move {
            let unneeded = executor.unneeded(&plan, &step).await;
            let _ = told.send(Told::Input(Input::NeedJudged { step, unneeded }, Vec::new()));
        });
    }

    fn execute(&self, step: StepRef, attempt: u32, allowed: Allowed, told: &mpsc::UnboundedSender<Told>) {
        let (executor, told, plan) = (self.executor.clone(), told.clone(), Arc::new(self.state.plan.clone()));
        tokio::spawn(async move {
            let (sender, reference) = (told.clone(), step.clone());
            let progress = Box::new(move |progress| drop(sender.send(Told::Progress(reference.clone(), attempt, progress))));
            let ended = executor.execute(&plan, &step, attempt, allowed, progress).await;
            let _ = told.send(Told::Ended(step, attempt, Some(ended)));
        });
    }
}
