//! The engine's loop: input → machine → effects, in write-ahead order: append and fsync, fold, act, publish.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::Ended;
use super::background::Log;
use super::executor::{Allowed, Executor};
use super::mood::{Mood, Over};
use super::server::{Asked, Asking, Hub, Listening};
use crate::adapters::journal::{Journal, JournalError};
use crate::install::check::Finding;
use crate::install::ids::{PhaseId, StepRef};
use crate::install::plan::Plan;
use crate::run::event::{Event, Outcome, Progress, StopReason};
use crate::run::machine::{Command, Effect, Input, Machine};
use crate::run::question::Question;
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
    #[error(
        "another engine holds this site (process {pid}): watch it with 'mosip-setup attach', stop it with 'mosip-setup stop', or let this one take over with 'mosip-setup run --take-over'"
    )]
    Held {
        /// Its process; 0: not known.
        pid: u32,
    },
    /// Another engine holds the site and does not answer.
    #[error(
        "the engine that holds this site (process {pid}) does not answer; what it started goes on by itself. If it stays so, end it with 'kill -9 {pid}', then run again: the next engine takes up what runs"
    )]
    Silent {
        /// Its process; 0: not known.
        pid: u32,
    },
    /// The engine of this site refuses this front end.
    #[error("{0}")]
    Refused(String),
    /// What the site needs cannot be had; said by the engine's own process.
    #[error("{0}")]
    Start(String),
    /// The state folder does not hold locks.
    #[error(
        "{path} lies on {kind}, where locks and sockets do not hold between machines: two engines could run this site at once. Give a folder on a disk of this machine with --state-dir"
    )]
    Remote {
        /// The folder.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
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
    pub lock: std::fs::File,
    /// The Unix user whose engine it is.
    pub user: String,
    /// The engine's own identity, for `engine_started`.
    pub boot: String,
    /// Why the step that the journal shows as running was cut off, should it have left no record.
    pub lost: String,
    /// Where front ends are met.
    pub hub: Arc<Hub>,
    pub log: Arc<Log>,
    /// How long it waits for somebody while nothing can go on.
    pub patience: Duration,
    /// Hears of each new plan: a rehearsal plays its names.
    pub observe: Arc<dyn Fn(&Plan) + Send + Sync>,
    pub(super) mood: Mood,
}

impl Driver {
    /// Says in the journal that it is here.
    pub fn begin(&mut self) -> Result<(), EngineError> {
        let started = Event::EngineStarted {
            pid: std::process::id(),
            boot: self.boot.clone(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            by: self.user.clone(),
        };
        self.record(started)
    }

    /// Works until there is nothing more to do and nobody watches; gives why it ended, where it was not asked to.
    pub async fn run(mut self, mut asking: mpsc::Receiver<Asking>, socket: Listening) -> Option<String> {
        let ended = self.work(&mut asking).await.err().map(|error| error.to_string());
        self.log.say(&format!("the engine ends{}", ended.as_ref().map(|error| format!(": {error}")).unwrap_or_default()));
        self.hub.close(false);
        let Self { hub, lock, .. } = self;
        // Whoever hears that it has ended may start the next one at once.
        drop((socket, lock));
        asking.close();
        hub.end(ended.clone()).await;
        ended
    }

    async fn work(&mut self, asking: &mut mpsc::Receiver<Asking>) -> Result<(), EngineError> {
        let (told_sender, mut told) = mpsc::unbounded_channel::<Told>();
        let asked = self.recover(&told_sender);
        self.perform_all(asked, &told_sender)?;
        self.show();
        let mut viewers = self.hub.viewers();
        let mut since = Instant::now();
        loop {
            let watching = *viewers.borrow_and_update();
            if watching > 0 || self.machine.is_working() {
                since = Instant::now();
            }
            let over = self.mood.over(self.machine.is_working(), self.state.closed, watching, since, self.patience);
            let deadline = match over {
                Over::No => None,
                Over::At(deadline) if deadline > Instant::now() => Some(deadline),
                Over::Alone | Over::At(_) if !self.hub.close(true) => continue,
                _ => {
                    if !self.machine.is_working() {
                        let reason = self.mood.halted.unwrap_or(StopReason::Idle);
                        self.record(Event::EngineStopped { reason })?;
                        self.show();
                    }
                    return Ok(());
                }
            };
            let alarm = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(asking) = asking.recv() => self.asked(asking, &told_sender)?,
                Some(told) = told.recv() => self.told(told, &told_sender)?,
                changed = viewers.changed() => if changed.is_err() { return Ok(()) },
                () = alarm => {}
            }
            self.show();
        }
    }

    /// Takes in what a front end asks, and answers it.
    fn asked(&mut self, asking: Asking, told: &mpsc::UnboundedSender<Told>) -> Result<(), EngineError> {
        let Asking { asked, by, reply } = asking;
        self.mood.rejected = None;
        match asked {
            Asked::Command(command) => {
                self.mood.asked = true;
                self.command(command, by, told)?;
            }
            Asked::Renew { plan, secrets } => self.renew(plan, secrets, by, told)?,
            Asked::HandOver { busy } => {
                // One that was just started is about to be told what to do by whoever started it.
                let expected = self.mood.halted.is_none() && *self.hub.viewers().borrow() > 1;
                if !busy && (self.machine.is_working() || expected) {
                    self.mood.rejected = Some("a phase is running already".into());
                } else {
                    self.record(Event::HandedOver { by })?;
                    self.mood.handed_over = true;
                }
            }
            Asked::Terminate => {
                self.mood.leaving = true;
                if self.machine.is_working() {
                    self.command(Command::Stop { now: false }, by, told)?;
                }
            }
            Asked::End => self.mood.dismissed = true,
        }
        self.show();
        // A front end that has gone meanwhile needs no answer.
        let _ = reply.send(self.mood.rejected.take().map_or(Ok(()), Err));
        Ok(())
    }

    fn command(&mut self, command: Command, by: String, told: &mpsc::UnboundedSender<Told>) -> Result<(), EngineError> {
        if matches!(command, Command::Stop { .. }) {
            self.mood.stopper = Some(by.clone());
        }
        if let Command::Replan { plan, .. } = &command {
            (self.observe)(plan);
        }
        let effects = self.machine.handle(&self.state, Input::Command { command, by });
        self.perform_all(effects, told)
    }

    /// Takes over answers and secrets as they are now. Under a running step nothing changes.
    fn renew(
        &mut self,
        plan: Box<Plan>,
        secrets: BTreeMap<String, String>,
        by: String,
        told: &mpsc::UnboundedSender<Told>,
    ) -> Result<(), EngineError> {
        if self.machine.is_working() {
            return Ok(());
        }
        self.executor.renew(secrets.into_iter().map(|(field, value)| (field, SecretString::from(value))));
        if *plan == self.state.plan {
            return Ok(());
        }
        let changed = super::setup::changed_fields(&self.state.plan, &plan);
        self.command(Command::Replan { plan, changed }, by, told)
    }

    fn told(&mut self, told: Told, sender: &mpsc::UnboundedSender<Told>) -> Result<(), EngineError> {
        let effects = match told {
            Told::Progress(step, attempt, progress) => {
                self.mood.progress += 1;
                let count = self.mood.progress;
                let prompt = progress.prompt.clone();
                let reference = step.clone();
                self.hub.publish(|published| drop(published.progress.insert(reference, (count, attempt, progress))));
                self.machine.handle(&self.state, Input::Prompted { step, attempt, prompt })
            }
            Told::Input(input, findings) => {
                let phase = match &input {
                    Input::GateJudged { phase, .. } => Some(phase.clone()),
                    _ => None,
                };
                for finding in findings {
                    self.record(Event::Finding { phase: phase.clone(), finding })?;
                }
                self.machine.handle(&self.state, input)
            }
            Told::Ended(step, attempt, ended) => {
                let input = self.ended(step, attempt, ended);
                self.machine.handle(&self.state, input)
            }
        };
        self.perform_all(effects, sender)
    }

    fn perform_all(&mut self, effects: Vec<Effect>, told: &mpsc::UnboundedSender<Told>) -> Result<(), EngineError> {
        self.perform(effects, told)?;
        loop {
            let effects = self.machine.advance(&self.state);
            if effects.is_empty() {
                return Ok(());
            }
            self.perform(effects, told)?;
        }
    }

    /// Publishes how things stand.
    fn show(&mut self) {
        let working = self.machine.is_working();
        // A step that asks something at its terminal is at work and waits.
        if working && !self.state.questions.iter().any(Question::is_prompt) {
            self.mood.halted = None;
        }
        let halted = self.mood.halted.map(|reason| (self.mood.halts, reason));
        let asked = self.mood.asked;
        let running = self.state.running().map(|(step, _)| step.clone());
        let ending = self.mood.is_ending(self.state.closed) && !working;
        self.hub.publish(|published| {
            published.working = working;
            published.ending = ending;
            published.expecting = !asked;
            published.halted = halted;
            published.halted_at = published.bytes;
            published.progress.retain(|step, _| Some(step) == running.as_ref());
        });
    }

    fn ended(&self, step: StepRef, attempt: u32, ended: Option<Ended>) -> Input {
        let interrupted = || Outcome::Interrupted { reason: self.lost.clone() };
        let mut ended = ended.unwrap_or_else(|| Ended { outcome: interrupted(), took_ms: 0, log_bytes: 0 });
        if let Outcome::Stopped { by } = &mut ended.outcome
            && by.is_empty()
        {
            by.clone_from(self.mood.stopper.as_ref().unwrap_or(&self.user));
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

    fn record(&mut self, event: Event) -> Result<(), EngineError> {
        // The wait for the disk must not hold up a worker that others need.
        let at = self.executor.now();
        let recorded = tokio::task::block_in_place(|| self.journal.append(at, event))?;
        self.state.apply(&recorded)?;
        let bytes = self.journal.length();
        self.hub.publish(|published| published.bytes = bytes);
        Ok(())
    }

    fn perform(&mut self, effects: Vec<Effect>, told: &mpsc::UnboundedSender<Told>) -> Result<(), EngineError> {
        for effect in effects {
            match effect {
                Effect::Record(event) => self.record(*event)?,
                Effect::JudgeGate(phase) => self.judge_gate(phase, told),
                Effect::JudgeNeed(step) => self.judge_need(step, told),
                Effect::Execute { step, attempt, destroys, hosts } => self.execute(step, attempt, Allowed { destroys, hosts }, told),
                Effect::KeepSecret { question, field, value } => {
                    if let Err(error) = self.executor.keep_secret(&field, &value) {
                        return self.not_kept(question, error);
                    }
                }
                Effect::Type { question, step, attempt, number, text } => {
                    if let Err(error) = self.executor.answer(&step, attempt, number, &text) {
                        return self.not_kept(question, error);
                    }
                }
                Effect::Cancel { now } => {
                    let executor = self.executor.clone();
                    tokio::spawn(async move { executor.cancel(now).await });
                }
                Effect::Halt(reason) => {
                    self.mood.halted = Some(reason);
                    self.mood.halts += 1;
                }
                Effect::Reject(message) => self.mood.rejected = Some(message),
            }
        }
        Ok(())
    }

    /// An answer went nowhere: its question stays open, and nothing that would have followed it is done.
    fn not_kept(&mut self, question: String, error: String) -> Result<(), EngineError> {
        self.machine.handle(&self.state, Input::NotKept { question });
        self.mood.rejected = Some(error);
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
