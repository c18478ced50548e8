//! What a runner that was killed has left at work: it is ended before the next attempt of the site begins, so that two never overlap.
//!
//! The runner notes its child in a file beside its lock, with the start time and the boot by which a process is told from a later one of the
//! same number. Where it was killed before it could, the child is found by the attempt's folder in its environment.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::attempt::{ATTEMPT_VARIABLE, Holder, Reading};
use crate::adapters::host_boot;
use crate::adapters::process::signal_group;
use crate::install::plan::{STOP_GRACE_SECONDS, TERRAFORM_STOP_GRACE_SECONDS};

/// How often a process that was asked to end is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// A command that a runner started, and leads a process group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its process, and its group.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub started: u64,
    /// The boot.
    pub boot: String,
    /// The attempt it belongs to.
    pub dir: PathBuf,
    /// Whether it finishes what it is at when it is interrupted, and how long that may take, seconds.
    pub interrupt: bool,
    /// How long it may take to end, seconds.
    pub grace_seconds: u64,
}

/// How a command is asked to end: the signal, and how long it may take.
#[must_use]
pub fn manners(reading: &Reading) -> (Signal, Duration) {
    match reading {
        // It finishes the resource it is at: killed earlier, it leaves its lock or half a state.
        Reading::Terraform { .. } => (Signal::INT, Duration::from_secs(TERRAFORM_STOP_GRACE_SECONDS)),
        Reading::Playbook { .. } => (Signal::INT, Duration::from_secs(STOP_GRACE_SECONDS)),
        _ => (Signal::TERM, Duration::from_secs(STOP_GRACE_SECONDS)),
    }
}

fn note_beside(lock: &Path) -> PathBuf {
    lock.with_file_name("runner.child")
}

/// Notes the child of a runner: before it is started with number 0, and again when its number is known.
///
/// # Errors
/// The disk is full.
pub fn note(lock: &Path, pid: u32, dir: &Path, reading: &Reading) -> io::Result<()> {
    let (signal, grace) = manners(reading);
    let child = Child {
        pid,
        started: started(pid).unwrap_or_default(),
        boot: host_boot::id(),
        dir: dir.to_owned(),
        interrupt: signal == Signal::INT,
        grace_seconds: grace.as_secs(),
    };
    let text = serde_json::to_vec(&child).map_err(io::Error::other)?;
    // As a whole or not at all: a runner may be killed at any moment.
    let folder = lock.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&text)?;
    file.persist(note_beside(lock)).map(drop).map_err(|error| error.error)
}

/// The child has ended.
pub fn forget(lock: &Path) {
    drop(fs::remove_file(note_beside(lock)));
}

/// What a killed runner of this site has left at work; none: nothing. To be asked only by whoever holds the runner's lock, or knows that
/// nobody does. `last` is who held it before.
#[must_use]
pub fn find(lock: &Path, last: Option<&Holder>) -> Option<Child> {
    let noted: Option<Child> = fs::read(note_beside(lock)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let child = noted?;
    if child.pid != 0 {
        return is_alive(&child).then_some(child);
    }
    // Killed between the start of its child and the note of its number.
    let pid = with_variable(&child.dir, last?.pid)?;
    Some(Child { pid, started: started(pid)?, boot: host_boot::id(), ..child })
}

/// Whether a process of a child's group is there still. The leader may have ended before those it has started.
#[must_use]
pub fn is_alive(child: &Child) -> bool {
    if child.boot != host_boot::id() {
        return false;
    }
    match started(child.pid) {
        Some(started) => started == child.started,
        // A number whose group still exists is not given away again.
        None => members(child.pid).next().is_some(),
    }
}

/// Asks what was left to end, waits, and kills what does not end in its time. `stopped` ends the waiting at once.
pub async fn end(child: &Child, stopped: impl Future<Output = ()>) -> bool {
    signal_group(child.pid, if child.interrupt { Signal::INT } else { Signal::TERM });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(child.grace_seconds);
    let gone = async {
        let mut every = tokio::time::interval(EVERY);
        while is_alive(child) {
            every.tick().await;
            if tokio::time::Instant::now() > deadline {
                signal_group(child.pid, Signal::KILL);
            }
        }
    };
    tokio::select! {
        biased;
        () = gone => true,
        () = stopped => false,
    }
}

/// The fields of a process's state behind its name, while it is there and not only waited for.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<String> = text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect();
    (fields.first()? != "Z").then_some(fields)
}

fn started(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn members(group: u32) -> impl Iterator<Item = u32> {
    processes().filter(move |pid| stat(*pid).and_then(|fields| fields.get(2)?.parse::<u32>().ok()) == Some(group))
}

/// The leader of a group with the attempt's folder in its environment.
fn with_variable(dir: &Path, runner: u32) -> Option<u32> {
    let wanted = format!("{ATTEMPT_VARIABLE}={}", dir.display());
    let has = |pid: &u32| {
        let Some(fields) = stat(*pid) else { return false };
        let field = |number: usize| fields.get(number).and_then(|field| field.parse::<i64>().ok()).unwrap_or_default();
        let (group, session, terminal, own) = (field(2), field(3), field(4), i64::from(*pid));
        // A child is of the runner's session, or has a terminal of its own. What a command leaves running on purpose has neither.
        let child = group == own && (session == i64::from(runner) || (session == own && terminal != 0));
        child
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
    };
    processes().find(has)
}
