//! When the lines of a log were written: marks beside it, at most one a second, each with an offset of the log and the time.
//!
//! A mark says: what stands from here on was written at this time or less than a second later, up to the next mark. The marks are a file of their own
//! (`output.times`), records of one length, so that a place is found without reading them all. A record that a crash cut off is
//! passed over; without a file nothing is known.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A new mark after so many milliseconds.
const EVERY: i64 = 1000;
/// `OFFSET TIME` and a line feed: bytes, and milliseconds since 1970.
const RECORD: usize = 30;

/// Where the marks of a log lie.
#[must_use]
pub fn marks(log: &Path) -> PathBuf {
    log.with_extension("times")
}

/// A log that keeps when its lines were written.
#[derive(Debug)]
pub struct MarkedLog {
    log: File,
    marks: Option<File>,
    last: Option<i64>,
}

impl MarkedLog {
    /// Opens a log to append to, for its owner alone. Marks that cannot be kept are only missing.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn open(log: &Path) -> io::Result<Self> {
        let append = |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self { marks: append(&marks(log)).ok(), log: append(log)?, last: None })
    }

    /// The same log once more.
    ///
    /// # Errors
    /// The system has no room for another open file.
    pub fn try_clone(&self) -> io::Result<Self> {
        let marks = self.marks.as_ref().and_then(|marks| marks.try_clone().ok());
        Ok(Self { log: self.log.try_clone()?, marks, last: self.last })
    }

    /// The length of the log, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.log.metadata().map_or(0, |metadata| metadata.len())
    }

    fn mark(&mut self, now: i64) {
        // A clock that was set back begins anew.
        if self.last.is_some_and(|last| (0..EVERY).contains(&(now - last))) {
            return;
        }
        let offset = self.length();
        let record = format!("{offset:015} {now:013}\n");
        if let Some(marks) = &mut self.marks
            && (record.len() != RECORD || marks.write_all(record.as_bytes()).is_err())
        {
            // Half a record would move all that follow.
            self.marks = None;
        }
        self.last = Some(now);
    }
}

impl Write for MarkedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.mark(Timestamp::now().as_millisecond());
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

/// The marks of a log.
#[derive(Debug)]
pub struct Times {
    file: File,
    count: u64,
}

impl Times {
    /// Those of a log; none: none were kept.
    #[must_use]
    pub fn of(log: &Path) -> Option<Self> {
        let file = File::open(marks(log)).ok()?;
        let count = file.metadata().ok()?.len() / RECORD as u64;
        (count > 0).then_some(Self { file, count })
    }

    fn record(&self, number: u64) -> Option<(u64, i64)> {
        let mut record = [0; RECORD];
        self.file.read_exact_at(&mut record, number * RECORD as u64).ok()?;
        let text = std::str::from_utf8(&record).ok()?;
        let (offset, time) = text.trim_end().split_once(' ')?;
        Some((offset.parse().ok()?, time.parse().ok()?))
    }

    /// When what stands at an offset was written, to the second; none: it is not known.
    #[must_use]
    pub fn at(&self, offset: u64) -> Option<Timestamp> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.0 <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (_, time) = self.record(low.checked_sub(1)?)?;
        Timestamp::from_millisecond(time).ok()
    }
}

/// How a time stands before a line: of the day, in UTC; blanks where it is not known.
#[must_use]
pub fn column(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "         ".to_owned(), |at| at.strftime("%H:%M:%S ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Option<Timestamp> {
        Timestamp::from_millisecond(1_780_000_000_000 + milliseconds).ok()
    }

    fn written(pieces: &[(i64, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.log");
        let mut log = MarkedLog::open(&path).unwrap();
        for (milliseconds, text) in pieces {
            log.mark(1_780_000_000_000 + milliseconds);
            log.log.write_all(text.as_bytes()).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn a_line_has_the_time_of_the_mark_before_it() {
        let (_folder, path) = written(&[(0, "a\n"), (400, "b\n"), (999, "c\n"), (1000, "d\n"), (60_500, "e\n"), (59_000, "f\n")]);
        let times = Times::of(&path).unwrap();
        let found: Vec<_> = (0..6).map(|line| times.at(line * 2)).collect();
        assert_eq!(found, [at(0), at(0), at(0), at(1000), at(60_500), at(59_000)], "a clock set back is told as it was");
        assert_eq!(times.count, 4, "at most one a second");
        assert_eq!(column(at(0)), "20:26:40 ");
    }

    #[test]
    fn a_record_that_was_cut_off_is_passed_over() {
        let (_folder, path) = written(&[(0, "a\n"), (2000, "b\n")]);
        let mut file = OpenOptions::new().append(true).open(marks(&path)).unwrap();
        file.write_all(b"0000000000").unwrap();
        let times = Times::of(&path).unwrap();
        assert_eq!((times.at(0), times.at(9)), (at(0), at(2000)));
    }

    #[test]
    fn nothing_is_known_of_a_log_without_marks() {
        let (_folder, path) = written(&[]);
        assert!(Times::of(&path).is_none());
        std::fs::remove_file(marks(&path)).unwrap();
        assert!(Times::of(&path).is_none());
        std::fs::write(marks(&path), "x".repeat(RECORD * 3)).unwrap();
        assert_eq!(Times::of(&path).unwrap().at(5), None, "what is no record says nothing");
    }

    #[test]
    fn what_is_written_is_marked_by_itself_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.log");
        let mut log = MarkedLog::open(&path).unwrap();
        log.write_all(b"$ true\n").unwrap();
        log.try_clone().unwrap().write_all(b"more\n").unwrap();
        assert_eq!((log.length(), std::fs::read_to_string(&path).unwrap().as_str()), (12, "$ true\nmore\n"));
        assert!(Times::of(&path).unwrap().at(0).is_some());
        assert_eq!(std::fs::metadata(marks(&path)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
