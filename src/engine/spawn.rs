//! Starts attempt runners, follows them through the files they leave, and adopts those of an earlier engine.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;

use super::attempt::{AttemptSpec, Ended, Holder, VERB, events, is_locked, log, make_dir, read_exit, read_holder};
use super::ports::{BoxFuture, Clock, Report, Spawn};
use crate::run::event::{Failure, Outcome, Progress};

/// How often a running attempt is looked at.
const EVERY: Duration = Duration::from_millis(100);

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
            let dir = spec.dir.clone();
            match start(&program, &spec).await {
                Ok(child) => follow(child, &dir, report).await,
                Err(error) => failed(format!("the attempt cannot be started: {error}")),
            }
        })
    }

    fn adopt(&self, dir: PathBuf, lock: PathBuf, report: Report) -> BoxFuture<'static, Option<Ended>> {
        Box::pin(async move {
            let mut watch = Watch::new(&dir);
            let mut every = tokio::time::interval(EVERY);
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

fn failed(message: String) -> Ended {
    Ended { outcome: Outcome::Failed(Failure { message, ..Failure::default() }), took_ms: 0, log_bytes: 0 }
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

async fn follow(mut child: tokio::process::Child, dir: &Path, report: Report) -> Ended {
    let mut watch = Watch::new(dir);
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            status = child.wait() => {
                watch.look(&report);
                return read_exit(dir).unwrap_or_else(|| lost(dir, status.ok().map(|status| status.to_string())));
            }
            _ = every.tick() => watch.look(&report),
        }
    }
}

/// A runner that ended without its record was killed, or could not write.
fn lost(dir: &Path, status: Option<String>) -> Ended {
    let said = std::fs::read_to_string(dir.join("runner.err")).unwrap_or_default();
    let status = status.unwrap_or_default();
    let reason = format!("the process that ran it ended without a record ({status}) {}", said.trim()).trim().to_owned();
    Ended { outcome: Outcome::Interrupted { reason }, took_ms: 0, log_bytes: log(dir).metadata().map_or(0, |metadata| metadata.len()) }
}

/// Follows the progress and the log of an attempt through its files.
struct Watch {
    events: PathBuf,
    log: PathBuf,
    read: u64,
    last: Progress,
}

impl Watch {
    fn new(dir: &Path) -> Self {
        Self { events: events(dir), log: log(dir), read: 0, last: Progress::default() }
    }

    fn look(&mut self, report: &(dyn Fn(Progress) + Send + Sync)) {
        let mut changed = false;
        let log_bytes = self.log.metadata().map_or(0, |metadata| metadata.len());
        if let Some(progress) = self.latest() {
            if progress.doing != self.last.doing {
                self.last.since = Some(Timestamp::now());
            }
            self.last = Progress { since: self.last.since, last_output: self.last.last_output, ..progress };
            changed = true;
        }
        if log_bytes != self.last.log_bytes {
            self.last.log_bytes = log_bytes;
            self.last.last_output = Some(Timestamp::now());
            changed = true;
        }
        if changed {
            report(self.last.clone());
        }
    }

    /// The last whole line written since the last look.
    fn latest(&mut self) -> Option<Progress> {
        let mut file = File::open(&self.events).ok()?;
        let length = file.metadata().ok()?.len();
        if length <= self.read {
            return None;
        }
        file.seek(SeekFrom::Start(self.read)).ok()?;
        let mut text = Vec::new();
        file.take(length - self.read).read_to_end(&mut text).ok()?;
        let whole = memchr::memrchr(b'\n', &text)? + 1;
        self.read += whole as u64;
        let line = text[..whole].split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?;
        serde_json::from_slice(line).ok()
    }
}
