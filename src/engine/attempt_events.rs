//! Reads the `events.jsonl` of an attempt as it grows: where the step stands, and what it does in detail.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::attempt::events;
use crate::run::detail::{Details, Told};
use crate::run::event::{Now, Progress};
use crate::run::told::read_line;

/// How much is read at once, bytes.
const CHUNK: u64 = 1024 * 1024;

/// How many things that go on are named in a progress.
const MAX_ACTIVE: usize = 8;

/// The events of one attempt.
#[derive(Debug, Clone, Default)]
pub struct AttemptEvents {
    path: PathBuf,
    read: u64,
    progress: Option<Progress>,
    details: Details,
}

impl AttemptEvents {
    /// Of the attempt in this folder.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: events(dir), ..Self::default() }
    }

    /// Reads what has come since the last call; whether there was anything.
    pub fn update(&mut self) -> bool {
        let mut any = false;
        // A file that is not there, or cannot be read, has nothing new.
        while let Ok((lines, next)) = read_from(&self.path, self.read) {
            if next == self.read {
                break;
            }
            any = true;
            self.read = next;
            let mut last = None;
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match read_line(line) {
                    Some(told) => self.details.apply(&told),
                    None => last = Some(line),
                }
            }
            if let Some(progress) = last.and_then(|line| serde_json::from_slice(line).ok()) {
                self.progress = Some(progress);
            }
        }
        any
    }

    /// What it does in detail.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// Where it stands, completed with what is known in detail; none: nothing is known yet.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let mut progress = match &self.progress {
            Some(progress) => progress.clone(),
            None if self.details == Details::default() => return None,
            None => Progress::default(),
        };
        let mut active = self.details.active();
        active.truncate(MAX_ACTIVE);
        let cluster = self.details.cluster.as_ref().map(|(_, cluster)| cluster.clone());
        progress.now = Some(Box::new(Now { active, cluster, known: self.details.known.clone() }));
        Some(progress)
    }
}

/// Whole lines of a file from an offset on, and the offset behind them; not more than a megabyte at once, but always whole lines.
///
/// # Errors
/// The file is not there or cannot be read.
pub fn read_from(path: &Path, offset: u64) -> io::Result<(Vec<u8>, u64)> {
    read_piece(path, offset, CHUNK)
}

/// The same with so many bytes at once, for who must not be held up by what is in them.
///
/// # Errors
/// The file is not there or cannot be read.
pub fn read_piece(path: &Path, offset: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length <= offset {
        return Ok((Vec::new(), offset));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    let mut limited = file.take(most);
    loop {
        if limited.read_to_end(&mut text)? == 0 {
            // Half a line is left for the next time.
            text.clear();
            return Ok((text, offset));
        }
        if let Some(end) = memchr::memrchr(b'\n', &text) {
            text.truncate(end + 1);
            let next = offset + text.len() as u64;
            return Ok((text, next));
        }
        limited.set_limit(most);
    }
}

/// The events in a text of whole lines.
#[must_use]
pub fn told_in(lines: &[u8]) -> Vec<Told> {
    lines.split(|byte| *byte == b'\n').filter_map(read_line).collect()
}
