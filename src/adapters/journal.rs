//! The journal of a run: append-only JSON lines, each on disk before anything is done about it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::run::event::{Event, Recorded};
use crate::run::fold::{Folding, LineError};
use crate::run::state::{FoldError, State};

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("{path}: {source}; without its journal a run cannot go on: check that the disk is not full and the folder is yours")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line in the middle is damaged.
    #[error("{path}: line {line} is damaged ({message}); the journal is left as it is: keep a copy, then start a new run with --new")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Its events do not make a run that this program knows.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    next: u64,
    length: u64,
}

impl Journal {
    /// Opens a journal, or makes an empty one, and reads what it holds. A torn last line, which a crash while writing leaves, is cut off.
    ///
    /// # Errors
    /// It cannot be read, or a line in the middle is damaged.
    pub fn open(path: &Path) -> Result<(Self, Vec<Recorded>), JournalError> {
        let mut events = Vec::new();
        let journal = Self::open_with(path, &mut |event| events.push(event))?;
        Ok((journal, events))
    }

    /// The same, handing on each event as it is read, so that a long history need not be held.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(path: &Path, each: &mut dyn FnMut(Recorded)) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        let (next, whole) = read_from(path, &mut file, &mut events(each))?;
        let length = file.metadata().map_err(io)?.len();
        if whole < length {
            file.set_len(whole).map_err(io)?;
            file.sync_data().map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file, next, length: whole })
    }

    /// How long it is, bytes: everything before is whole and on disk.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes an event and waits until it is on disk.
    ///
    /// # Errors
    /// It could not be written; then nothing of it remains.
    pub fn append(&mut self, at: Timestamp, event: Event) -> Result<Recorded, JournalError> {
        let recorded = Recorded { seq: self.next, at, event };
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = serde_json::to_vec(&recorded).map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.file.sync_data()?;
            Ok(line.len() as u64)
        });
        match written {
            Ok(length) => self.length += length,
            Err(source) => {
                // Half a line would be cut off at the next opening; better to leave none.
                if let Ok(before) = before {
                    drop(self.file.set_len(before));
                }
                return Err(JournalError::Io { path: self.path.clone(), source });
            }
        }
        self.next += 1;
        Ok(recorded)
    }
}

/// Reads a journal without opening it for writing; a torn last line is passed over.
///
/// # Errors
/// As [`Journal::open`].
pub fn read(path: &Path) -> Result<Vec<Recorded>, JournalError> {
    let mut file = File::open(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    let mut read = Vec::new();
    read_from(path, &mut file, &mut events(&mut |event| read.push(event)))?;
    Ok(read)
}

/// The state at the end of a journal, as its events folded, without holding them; none: it has no event. A torn last line is passed over.
///
/// # Errors
/// As [`Journal::open`], or the events do not make a run that this program knows.
pub fn fold(path: &Path) -> Result<Option<State>, JournalError> {
    let mut file = File::open(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    let mut folding = Folding::default();
    let mut wrong = None;
    read_from(path, &mut file, &mut |line, _| match folding.line(line) {
        Ok(seq) | Err(LineError::Fold(FoldError::Gap { found: seq, .. })) => Ok(seq),
        Err(LineError::Damaged(error)) => Err(error),
        Err(LineError::Fold(error)) => {
            wrong.get_or_insert(error);
            Recorded::parse(line).map(|event| event.seq)
        }
    })?;
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    match folding.end() {
        Ok(end) => Ok(end.map(|(state, _)| state)),
        Err(LineError::Fold(error)) => Err(error.into()),
        Err(LineError::Damaged(error)) => Err(JournalError::Io { path: path.to_owned(), source: error.into() }),
    }
}

/// Takes in a line where the event with that number is expected; gives the number it has.
type Take<'a> = dyn FnMut(&[u8], u64) -> serde_json::Result<u64> + 'a;

/// Hands on the events that are expected.
fn events(each: &mut dyn FnMut(Recorded)) -> impl FnMut(&[u8], u64) -> serde_json::Result<u64> {
    |line, expected| {
        let event = Recorded::parse(line)?;
        let seq = event.seq;
        if seq == expected {
            each(event);
        }
        Ok(seq)
    }
}

/// Hands on the lines; gives the number of the next one, and how many bytes hold whole lines.
fn read_from(path: &Path, file: &mut File, take: &mut Take<'_>) -> Result<(u64, u64), JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut expected, mut whole, mut number): (u64, u64, usize) = (0, 0, 0);
    let mut line = Vec::new();
    let mut damaged: Option<(usize, String)> = None;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(io)?;
        if length == 0 {
            break;
        }
        number += 1;
        if let Some((line, message)) = damaged {
            return Err(JournalError::Corrupt { path: path.to_owned(), line, message });
        }
        // A line without its newline is torn, even if it happens to parse.
        if !line.ends_with(b"\n") {
            break;
        }
        match take(&line, expected) {
            Ok(seq) => {
                if seq > expected {
                    let message = format!("event {seq} where {expected} was expected");
                    return Err(JournalError::Corrupt { path: path.to_owned(), line: number, message });
                }
                whole += length as u64;
                expected += u64::from(seq == expected);
            }
            Err(error) => damaged = Some((number, error.to_string())),
        }
    }
    Ok((expected, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::event::StopReason;

    fn event() -> Event {
        Event::EngineStopped { reason: StopReason::Idle }
    }

    #[test]
    fn a_journal_cut_at_every_byte_opens_with_whole_events_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for _ in 0..3 {
            journal.append(Timestamp::UNIX_EPOCH, event()).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (mut journal, events) = Journal::open(&path).unwrap();
            assert_eq!(events.len(), lines, "cut at {cut}");
            assert_eq!(journal.append(Timestamp::UNIX_EPOCH, event()).unwrap().seq, lines as u64);
            assert_eq!(read(&path).unwrap().len(), lines + 1);
        }
    }

    #[test]
    fn a_damaged_middle_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for _ in 0..3 {
            journal.append(Timestamp::UNIX_EPOCH, event()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        std::fs::write(&path, format!("{}\nx{}\n{}\n", lines[0], lines[1], lines[2])).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Corrupt { line: 2, .. })));
        std::fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Corrupt { line: 2, .. })));
        std::fs::write(&path, format!("{}\n{}\n{}\n{}\n", lines[0], lines[0], lines[1], lines[2])).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1.len(), 3, "a duplicate is a no-op");
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_no_half_line() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut journal = Journal { path: "/dev/full".into(), file, next: 0, length: 0 };
        assert!(matches!(journal.append(Timestamp::UNIX_EPOCH, event()), Err(JournalError::Io { .. })));
    }
}
