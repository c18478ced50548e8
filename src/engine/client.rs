//! The client's side of a run: what every front end knows of the engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::install::ids::StepRef;
use crate::run::event::{Progress, Recorded, StopReason};
use crate::run::machine::Command;

/// What a front end hears.
#[derive(Debug, Clone)]
pub enum Update {
    /// The next event; the first ones are the whole history.
    Event(Arc<Recorded>),
    /// Everything that was in the journal has been sent; what follows happens now.
    Live,
    /// Where a running step stands; the latest only.
    Progress {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// Where it stands.
        progress: Progress,
    },
    /// A command could not be followed, and why.
    Rejected(String),
    /// Nothing more can be done without the operator.
    Halted(StopReason),
    /// The engine has ended; with a reason where it was not asked to.
    Ended(Option<String>),
}

/// A connection to an engine.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    updates: mpsc::UnboundedReceiver<Update>,
    run_dir: PathBuf,
}

impl Client {
    /// Joins both ends of the channels to an engine whose run lies in `run_dir`.
    #[must_use]
    pub fn new(commands: mpsc::UnboundedSender<Command>, updates: mpsc::UnboundedReceiver<Update>, run_dir: PathBuf) -> Self {
        Self { commands, updates, run_dir }
    }

    /// Sends a command. An engine that has ended hears nothing more; its [`Update::Ended`] says so.
    pub fn send(&self, command: Command) {
        drop(self.commands.send(command));
    }

    /// The next update; none when the engine is gone.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Lets go: the engine stops when nothing runs, and what it still says can be read from what this returns.
    #[must_use]
    pub fn close(self) -> mpsc::UnboundedReceiver<Update> {
        self.updates
    }

    /// The folder of the run.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The output of one attempt of a step. The file may not exist yet.
    #[must_use]
    pub fn log(&self, step: &StepRef, attempt: u32) -> PathBuf {
        log_path(&self.run_dir, step, attempt)
    }
}

/// The output of one attempt of a step in a run's folder.
#[must_use]
pub fn log_path(run_dir: &Path, step: &StepRef, attempt: u32) -> PathBuf {
    run_dir.join("steps").join(step.folder()).join(attempt.to_string()).join("output.log")
}
