//! What an attempt is told, and what it leaves: the contract between the engine and the runner.
//!
//! An attempt has a folder of its own: `output.log` (without secrets), `events.jsonl` (progress, one object a line), `exit.json`
//! (written at once as a whole when it has ended). The runner holds a lock while it lives; the lock is the truth about that, the
//! process number beside it is information.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::adapters::kubectl::Look;
use crate::install::helm::HelmSpec;
use crate::install::profile::{Prompt, Terminal};
use crate::run::event::{Failure, Outcome, Progress};

/// The hidden verb that runs an attempt; its specification comes on stdin.
pub const VERB: &str = "__attempt";

/// The environment variable in which a child finds the folder of its attempt.
pub const ATTEMPT_VARIABLE: &str = "MOSIP_SETUP_ATTEMPT";

/// What an attempt is told. It comes through a pipe and is never written down: it holds secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// The attempt's folder.
    pub dir: PathBuf,
    /// The site's runner lock: two runners for one site are impossible.
    pub lock: PathBuf,
    /// The commands, in order; the first that fails ends the attempt.
    pub commands: Vec<CommandSpec>,
    /// What they see as terminal.
    pub terminal: Terminal,
    /// Prompts answered.
    pub prompts: Vec<Prompt>,
    /// How the `helm` of its scripts is guarded.
    #[serde(default)]
    pub helm: Option<HelmSpec>,
    /// Values to remove from everything that is kept.
    pub secrets: Vec<String>,
    /// Files to remove when the attempt has ended.
    pub remove: Vec<PathBuf>,
    /// The operators' own catalogue of known failures; it need not exist.
    #[serde(default)]
    pub known_issues: Option<PathBuf>,
    /// How the cluster is looked at that the commands work on; none: they work on none.
    #[serde(default)]
    pub cluster: Option<Look>,
}

/// One command of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommandSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working folder.
    pub dir: Option<PathBuf>,
    /// Environment beside the inherited one.
    pub env: BTreeMap<String, String>,
    /// How its output is understood.
    pub reading: Reading,
    /// What is shown in its place, where something stands in for it: a rehearsal shows the real command.
    #[serde(default)]
    pub shown: Option<Vec<String>>,
}

impl CommandSpec {
    /// Program and arguments as shown to people.
    #[must_use]
    pub fn shown(&self) -> &[String] {
        self.shown.as_ref().unwrap_or(&self.argv)
    }
}

/// How output is understood, and what success means beyond exit code 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reading", rename_all = "snake_case")]
pub enum Reading {
    /// As text.
    Plain,
    /// A playbook with so many tasks (0: not known): its recap must not be empty.
    Playbook {
        /// `TASK` banners.
        tasks: u64,
        /// Whether a group of its inventory has no host, because the site has no such machine.
        #[serde(default)]
        empty_groups: bool,
    },
    /// `ansible-inventory --list`: must show these groups, hosts and addresses.
    Inventory {
        /// Group → host → address.
        model: BTreeMap<String, BTreeMap<String, Option<String>>>,
    },
    /// `terraform … -json`. What it would destroy or replace must be among `destroys`.
    Terraform {
        /// Resources the operator has agreed to.
        destroys: Vec<String>,
    },
    /// Its stdout is kept in a file (0600), not in the log.
    Save {
        /// The file.
        path: PathBuf,
    },
}

/// What an attempt leaves when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The length of its output, bytes.
    pub log_bytes: u64,
}

/// Who holds the runner lock; information, not truth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    /// The runner's process.
    pub pid: u32,
    /// The attempt it runs.
    pub dir: PathBuf,
}

/// The output of an attempt.
#[must_use]
pub fn log(dir: &Path) -> PathBuf {
    dir.join("output.log")
}

/// The progress of an attempt.
#[must_use]
pub fn events(dir: &Path) -> PathBuf {
    dir.join("events.jsonl")
}

/// Makes an attempt's folder, for its owner alone.
///
/// # Errors
/// The disk is full or the folder is not ours.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Room for an exit record, bytes: taken when the attempt begins, so that a disk that is full when it ends does not hide how it ended.
const RECORD_ROOM: usize = 64 * 1024;

fn reserve_file(dir: &Path) -> PathBuf {
    dir.join("exit.reserve")
}

/// Takes the room for the exit record of an attempt.
///
/// # Errors
/// The disk is full.
pub fn reserve_exit(dir: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(reserve_file(dir))?;
    file.write_all(&vec![0; RECORD_ROOM])?;
    file.sync_all()
}

/// Gives the room back where no record is to come.
///
/// # Errors
/// The folder is gone.
pub fn release_exit(dir: &Path) -> io::Result<()> {
    fs::remove_file(reserve_file(dir))
}

/// What cannot be written, for people: a full disk is named, and what to do.
#[must_use]
pub fn trouble(what: &str, error: &io::Error) -> Failure {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge);
    if full {
        return Failure { message: format!("the disk is full: {what}"), hint: FULL_HINT.into(), ..Failure::default() };
    }
    Failure { message: format!("{what}: {error}"), ..Failure::default() }
}

/// What to do about a full disk.
pub const FULL_HINT: &str = "Make room on the disk of the state folder (df -h shows what is full), then retry.";

/// The exit code of a runner that began nothing because the disk was full.
pub const FULL_BEFORE: i32 = 28;

/// The exit code of a runner that could not write how its step ended because the disk was full.
pub const FULL_AFTER: i32 = 29;

/// Writes the exit record of an attempt, as a whole or not at all.
///
/// # Errors
/// The disk is full or the folder is gone.
pub fn write_exit(dir: &Path, ended: &Ended) -> io::Result<()> {
    let text = serde_json::to_vec(ended).map_err(io::Error::other)?;
    if let Ok(mut file) = OpenOptions::new().write(true).open(reserve_file(dir)) {
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()?;
        fs::rename(reserve_file(dir), dir.join("exit.json"))?;
        return File::open(dir)?.sync_all();
    }
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(dir.join("exit.json")).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Reads the exit record; none: there is none, or it cannot be read.
#[must_use]
pub fn read_exit(dir: &Path) -> Option<Ended> {
    serde_json::from_slice(&fs::read(dir.join("exit.json")).ok()?).ok()
}

/// Appends to the progress of an attempt.
///
/// # Errors
/// The disk is full.
pub fn append_progress(dir: &Path, progress: &Progress) -> io::Result<()> {
    let mut line = serde_json::to_vec(progress).map_err(io::Error::other)?;
    line.push(b'\n');
    OpenOptions::new().append(true).create(true).mode(0o600).open(events(dir))?.write_all(&line)
}

/// Takes a lock file; none: somebody holds it. A child between fork and exec still holds its parent's locks for a moment, so one
/// refusal is not believed.
///
/// # Errors
/// The file cannot be made.
pub fn take_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for _ in 0..25 {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether somebody holds a lock file; a file that does not exist is held by nobody.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Writes who holds a lock into it.
///
/// # Errors
/// The disk is full.
pub fn write_holder<T: Serialize>(mut lock: &File, holder: &T) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(&serde_json::to_vec(holder).map_err(io::Error::other)?)?;
    lock.sync_data()
}

/// Who wrote a lock file last.
#[must_use]
pub fn read_holder<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
