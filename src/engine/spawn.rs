//! Starts attempt runners, follows them through the files they leave, and adopts those of an earlier engine.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;

use super::attempt::{
    AttemptSpec, Ended, FULL_AFTER, FULL_BEFORE, FULL_HINT, Holder, VERB, is_locked, log, make_dir, read_exit, read_holder, trouble,
};
use super::attempt_events::AttemptEvents;
use super::ports::{BoxFuture, Clock, Report, Spawn};
use super::{leftover, prompting};
use crate::run::event::{Failure, Outcome, Progress};

/// How often a running attempt is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// How long a runner may take from its start to its lock.
const SETTLES: Duration = Duration::from_secs(3);

/// Whether the runner of an attempt was started only just now, and has not begun.
fn just_started(dir: &Path) -> bool {
    let started = dir.join("runner.err").metadata().and_then(|metadata| metadata.modified());
    // A clock that was set back counts as just now: the waiting has its own limit.
    let recent = started.is_ok_and(|started| started.elapsed().map_or(true, |elapsed| elapsed < SETTLES));
    recent && !log(dir).exists()
}

/// Runs attempts as processes of this program.
#[derive(Debug, Clone)]
pub struct ProcessSpawn {
    /// This program.
    pub program: PathBuf,
}

impl Spawn for ProcessSpawn {
    fn run(&self, spec: AttemptSpec, report: Report) -> BoxFuture<'static, Ended> {
        let program = self.program.clone();
        Box::pin(async move {
            let (dir, lock) = (spec.dir.clone(), spec.lock.clone());
            match start(&program, &spec).await {
                Ok(child) => follow(child, &dir, &lock, report).await,
                Err(error) => {
                    Ended { outcome: Outcome::Failed(trouble("the attempt cannot be started", &error)), took_ms: 0, log_bytes: 0 }
                }
            }
        })
    }

    fn adopt(&self, dir: PathBuf, lock: PathBuf, report: Report) -> BoxFuture<'static, Option<Ended>> {
        Box::pin(async move {
            let mut watch = Watch::new(&dir);
            let mut every = tokio::time::interval(EVERY);
            // Its engine may have died just after it started the runner, which has not taken its lock yet.
            let patience = tokio::time::Instant::now() + SETTLES;
            while just_started(&dir) && read_exit(&dir).is_none() && !is_locked(&lock) && tokio::time::Instant::now() < patience {
                every.tick().await;
            }
            while read_exit(&dir).is_none() && is_locked(&lock) {
                every.tick().await;
                watch.look(&report);
            }
            read_exit(&dir)
        })
    }

    fn cancel(&self, dir: PathBuf, lock: PathBuf, now: bool) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // The number is believed only while the lock is held, and for the attempt that is meant.
            let holder = read_holder::<Holder>(&lock).filter(|holder| is_locked(&lock) && holder.dir == dir);
            if let Some(pid) = holder.and_then(|holder| Pid::from_raw(i32::try_from(holder.pid).ok()?)) {
                let _ = kill_process(pid, if now { Signal::USR1 } else { Signal::TERM });
            }
        })
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

async fn start(program: &Path, spec: &AttemptSpec) -> std::io::Result<tokio::process::Child> {
    make_dir(&spec.dir)?;
    let errors = super::runner::create_private(&spec.dir.join("runner.err"))?;
    let mut command = tokio::process::Command::new(program);
    // It must outlive this process, so it is never killed with it.
    command.arg0("mosip-setup").arg(VERB).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors).kill_on_drop(false);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(spec)?).await?;
        stdin.shutdown().await?;
    }
    Ok(child)
}

async fn follow(mut child: tokio::process::Child, dir: &Path, lock: &Path, report: Report) -> Ended {
    let mut watch = Watch::new(dir);
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            status = child.wait() => {
                watch.look(&report);
                return read_exit(dir).unwrap_or_else(|| lost(dir, lock, status.ok()));
            }
            _ = every.tick() => watch.look(&report),
        }
    }
}

/// A runner that ended without its record was killed, or could not write.
fn lost(dir: &Path, lock: &Path, status: Option<ExitStatus>) -> Ended {
    let log_bytes = log(dir).metadata().map_or(0, |metadata| metadata.len());
    let outcome = match status.and_then(|status| status.code()) {
        Some(FULL_BEFORE) => {
            let message = "the disk is full: the step was not begun".into();
            Outcome::Failed(Failure { message, hint: FULL_HINT.into(), ..Failure::default() })
        }
        Some(FULL_AFTER) => {
            let reason = format!("the disk is full: it has ended, but how could not be written. {FULL_HINT}");
            Outcome::Interrupted { reason }
        }
        _ => {
            let said = std::fs::read_to_string(dir.join("runner.err")).unwrap_or_default();
            let status = status.map(|status| status.to_string()).unwrap_or_default();
            let reason = format!("the process that ran it ended without a record ({status}) {}", said.trim()).trim().to_owned();
            Outcome::Interrupted { reason: reason + &left(lock) }
        }
    };
    Ended { outcome, took_ms: 0, log_bytes }
}

/// What is still at work, as the end of a sentence; empty: nothing.
pub(super) fn left(lock: &Path) -> String {
    let child = leftover::find(lock, read_holder::<Holder>(lock).as_ref());
    child.map_or_else(String::new, |child| {
        format!("; its process {} is still at work, and is ended before the next attempt begins", child.pid)
    })
}

/// Follows the progress and the log of an attempt through its files.
struct Watch {
    dir: PathBuf,
    events: AttemptEvents,
    log: PathBuf,
    last: Progress,
}

impl Watch {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), events: AttemptEvents::new(dir), log: log(dir), last: Progress::default() }
    }

    fn look(&mut self, report: &(dyn Fn(Progress) + Send + Sync)) {
        let mut changed = false;
        let log_bytes = self.log.metadata().map_or(0, |metadata| metadata.len());
        if self.events.update()
            && let Some(progress) = self.events.progress()
        {
            // What goes on knows since when; of anything else it is known when it was first seen.
            let known = progress
                .now
                .as_ref()
                .and_then(|now| now.active.first())
                .filter(|active| active.name == progress.doing)
                .map(|active| active.since);
            if known.is_some() || progress.doing != self.last.doing {
                self.last.since = known.or_else(|| Some(Timestamp::now()));
            }
            let (since, last_output, prompt) = (self.last.since, self.last.last_output, self.last.prompt.take());
            self.last = Progress { since, last_output, prompt, ..progress };
            changed = true;
        }
        if log_bytes != self.last.log_bytes {
            self.last.log_bytes = log_bytes;
            self.last.last_output = Some(Timestamp::now());
            changed = true;
        }
        let prompt = prompting::asked(&self.dir);
        if prompt != self.last.prompt {
            self.last.prompt = prompt;
            changed = true;
        }
        if changed {
            report(self.last.clone());
        }
    }
}
