//! The journal of a run: append-only JSON lines, each on disk before anything is done about it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
        let read = read_from(path, &mut file, Place::default(), u64::MAX, &mut events(each))?;
        let length = file.metadata().map_err(io)?.len();
        if read.whole < length {
            file.set_len(read.whole).map_err(io)?;
            file.sync_data().map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file, next: read.next, length: read.whole })
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
    read_from(path, &mut file, Place::default(), u64::MAX, &mut events(&mut |event| read.push(event)))?;
    Ok(read)
}

/// The state at the end of a journal, as its events folded, without holding them; none: it has no event. A torn last line is passed over.
///
/// # Errors
/// As [`Journal::open`], or the events do not make a run that this program knows.
pub fn fold(path: &Path) -> Result<Option<State>, JournalError> {
    let mut folded = Folded::default();
    folded.go_on(path, u64::MAX)?;
    Ok(folded.end(path)?.map(|(state, _)| state))
}

/// A journal folded as far as it was read; goes on from there when it has grown.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    folding: Folding,
    place: Place,
    /// The last line that was read, to know whether what was read still stands.
    last: Vec<u8>,
}

impl Folded {
    /// How much of the journal it holds, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.place.whole
    }

    /// Takes in what the journal has got since, up to this length, bytes. A torn last line is passed over; a journal that was cut back and
    /// written anew is read from its beginning.
    ///
    /// # Errors
    /// As [`Journal::open`], or the events do not make a run that this program knows. What is folded is of no use then.
    pub fn go_on(&mut self, path: &Path, length: u64) -> Result<(), JournalError> {
        let mut file = File::open(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
        if !self.stands(&file) {
            *self = Self::default();
        }
        let (mut wrong, folding, last) = (None, &mut self.folding, &mut self.last);
        let place = read_from(path, &mut file, self.place, length, &mut |line, _| {
            let seq = match folding.line(line) {
                Ok(seq) | Err(LineError::Fold(FoldError::Gap { found: seq, .. })) => seq,
                Err(LineError::Damaged(error)) => return Err(error),
                Err(LineError::Fold(error)) => {
                    wrong.get_or_insert(error);
                    Recorded::parse(line)?.seq
                }
            };
            last.clear();
            last.extend_from_slice(line);
            Ok(seq)
        })?;
        self.place = place;
        wrong.map_or(Ok(()), |wrong| Err(wrong.into()))
    }

    /// Whether the journal still has the last line that was read where it was.
    fn stands(&self, file: &File) -> bool {
        let mut here = vec![0; self.last.len()];
        let at = self.place.whole - self.last.len() as u64;
        file.read_exact_at(&mut here, at).is_ok() && here == self.last
    }

    /// What has come of it, as [`Folding::end`]. The path is for the error only.
    ///
    /// # Errors
    /// The details of a failure that counts are damaged.
    pub fn end(self, path: &Path) -> Result<Option<(State, Option<Recorded>)>, JournalError> {
        self.folding.end().map_err(|error| match error {
            LineError::Fold(error) => error.into(),
            LineError::Damaged(error) => JournalError::Io { path: path.to_owned(), source: error.into() },
        })
    }
}

/// Journals as they were last folded in this process, so that nobody reads one twice.
#[derive(Debug, Clone, Default)]
pub struct Folds(Arc<Mutex<BTreeMap<PathBuf, Folded>>>);

impl Folds {
    /// A journal folded up to this length, bytes, and no further.
    ///
    /// # Errors
    /// As [`Folded::go_on`].
    pub fn up_to(&self, path: &Path, length: u64) -> Result<Folded, JournalError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that could not be folded is not kept.
        let mut folded = all.remove(path).filter(|folded| folded.length() <= length).unwrap_or_default();
        folded.go_on(path, length)?;
        all.insert(path.to_owned(), folded.clone());
        Ok(folded)
    }
}

/// How far a journal was read.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The number of the event that comes next.
    next: u64,
    /// How many bytes hold whole lines.
    whole: u64,
    /// How many lines those are.
    lines: usize,
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

/// Hands on the lines from a place up to this length, bytes; gives how far that was.
fn read_from(path: &Path, file: &mut File, from: Place, length: u64, take: &mut Take<'_>) -> Result<Place, JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(from.whole)).map_err(io)?;
    let mut reader = BufReader::with_capacity(256 * 1024, file.take(length.saturating_sub(from.whole)));
    let mut place = from;
    let mut line = Vec::new();
    let mut damaged: Option<String> = None;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(io)?;
        if length == 0 {
            break;
        }
        if let Some(message) = damaged {
            return Err(JournalError::Corrupt { path: path.to_owned(), line: place.lines + 1, message });
        }
        // A line without its newline is torn, even if it happens to parse.
        if !line.ends_with(b"\n") {
            break;
        }
        match take(&line, place.next) {
            Ok(seq) => {
                if seq > place.next {
                    let message = format!("event {seq} where {} was expected", place.next);
                    return Err(JournalError::Corrupt { path: path.to_owned(), line: place.lines + 1, message });
                }
                place.next += u64::from(seq == place.next);
                place.whole += length as u64;
                place.lines += 1;
            }
            Err(error) => damaged = Some(error.to_string()),
        }
    }
    Ok(place)
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

    /// A journal of a run: its beginning from a fixture, then engines that come and go.
    fn of_a_run(path: &Path, events: usize) -> Journal {
        let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/journals/v1/rehearsal.jsonl");
        let beginning = std::fs::read_to_string(old).unwrap();
        std::fs::write(path, format!("{}\n", beginning.lines().next().unwrap())).unwrap();
        let (mut journal, _) = Journal::open(path).unwrap();
        for _ in 0..events {
            journal.append(Timestamp::UNIX_EPOCH, event()).unwrap();
        }
        journal
    }

    #[test]
    fn a_fold_goes_on_from_every_length_and_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        drop(of_a_run(&path, 4));
        let whole = std::fs::read(&path).unwrap();
        let from = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in (from..=whole.len()).step_by(3).chain([whole.len()]) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let folds = Folds::default();
            let before = folds.up_to(&path, u64::MAX).unwrap();
            assert!(before.length() <= cut as u64, "cut at {cut}");
            std::fs::write(&path, &whole).unwrap();
            let after = folds.up_to(&path, whole.len() as u64).unwrap();
            assert_eq!(after.length(), whole.len() as u64, "cut at {cut}");
            assert_eq!(after.end(&path).unwrap().map(|(state, _)| state), fold(&path).unwrap(), "cut at {cut}");
            let less = folds.up_to(&path, from as u64 + 1).unwrap();
            assert_eq!(less.length(), from as u64 + 1, "never further than asked for");
        }
    }

    #[test]
    fn a_journal_that_was_cut_back_and_written_anew_is_folded_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let folds = Folds::default();
        let begun = |pid| Event::EngineStarted { pid, boot: String::new(), tool: String::new(), by: String::new() };
        let mut journal = of_a_run(&path, 2);
        let before = journal.length();
        journal.append(Timestamp::UNIX_EPOCH, begun(7)).unwrap();
        let (state, _) = folds.up_to(&path, u64::MAX).unwrap().end(&path).unwrap().unwrap();
        assert_eq!(state.engine, Some(7));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(before).unwrap();
        Journal::open(&path).unwrap().0.append(Timestamp::UNIX_EPOCH, begun(4711)).unwrap();
        let (state, _) = folds.up_to(&path, u64::MAX).unwrap().end(&path).unwrap().unwrap();
        assert_eq!(state.engine, Some(4711));
        std::fs::write(&path, b"").unwrap();
        assert!(folds.up_to(&path, u64::MAX).unwrap().end(&path).unwrap().is_none(), "nothing is left of it");
        std::fs::write(&path, b"x\ny\n").unwrap();
        assert!(matches!(folds.up_to(&path, u64::MAX), Err(JournalError::Corrupt { line: 1, .. })));
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_no_half_line() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut journal = Journal { path: "/dev/full".into(), file, next: 0, length: 0 };
        assert!(matches!(journal.append(Timestamp::UNIX_EPOCH, event()), Err(JournalError::Io { .. })));
    }
}
