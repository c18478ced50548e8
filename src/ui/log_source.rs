//! Windows of a log, by offset: at no time is more of it in memory than is shown.
//!
//! Generic over its source, so that whoever has the file open decides where it lies.

use std::io::{self, Read, Seek, SeekFrom};

use jiff::Timestamp;

use crate::adapters::logs::pattern::Wanted;
use crate::adapters::logs::scan::{Matches, Place};
use crate::adapters::logs::times::Times;

/// A line longer than this many bytes is shown in pieces.
pub const LONGEST_LINE: usize = 4096;
const CHUNK: usize = 64 * 1024;

/// Where a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFrom {
    /// So that the last line of the log is its last.
    End,
    /// At a line's offset, or some lines before it.
    Line {
        /// The offset of a line.
        offset: u64,
        /// How many lines before it.
        back: usize,
    },
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it begins.
    pub offset: u64,
    /// Its text without the line feed; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// When it was written, where that was asked for and is known.
    pub at: Option<Timestamp>,
}

/// Some lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogWindow {
    /// Where the first line begins.
    pub first_offset: u64,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where the line after the last one begins.
    pub end_offset: u64,
    /// The length of the log.
    pub size: u64,
    /// Whether there are further lines behind them.
    pub more: bool,
    /// Whether times were asked for, and none were kept of this log.
    pub untimed: bool,
}

impl LogWindow {
    /// Says of each line when it was written.
    pub fn tell_times(&mut self, times: Option<&Times>) {
        self.untimed = times.is_none();
        for line in &mut self.lines {
            line.at = times.and_then(|times| times.at(line.offset));
        }
    }
}

/// Reads a window.
///
/// # Errors
/// As the source.
pub fn read_window<S: Read + Seek>(source: &mut S, from: LogFrom, lines: usize) -> io::Result<LogWindow> {
    let size = source.seek(SeekFrom::End(0))?;
    let start = match from {
        LogFrom::End => {
            let ends_with_feed = size > 0 && byte_at(source, size - 1)? == b'\n';
            back(source, if ends_with_feed { size - 1 } else { size }, lines.max(1) - 1)?
        }
        LogFrom::Line { offset, back: 0 } => offset.min(size),
        LogFrom::Line { offset, back: count } => back(source, offset.min(size).saturating_sub(1), count.saturating_sub(1))?,
    };
    let mut window = LogWindow { first_offset: start, end_offset: start, size, ..LogWindow::default() };
    source.seek(SeekFrom::Start(start))?;
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK.min(lines.saturating_mul(LONGEST_LINE).max(1))];
    while window.lines.len() < lines {
        let count = source.read(&mut chunk)?;
        if count == 0 {
            if !pending.is_empty() {
                push(&mut window, &pending, 0);
            }
            break;
        }
        let mut rest = &chunk[..count];
        while window.lines.len() < lines && !rest.is_empty() {
            let room = LONGEST_LINE - pending.len();
            match memchr::memchr(b'\n', &rest[..rest.len().min(room)]) {
                Some(feed) => {
                    pending.extend_from_slice(&rest[..feed]);
                    rest = &rest[feed + 1..];
                    push(&mut window, &pending, 1);
                    pending.clear();
                }
                None if rest.len() >= room => {
                    pending.extend_from_slice(&rest[..room]);
                    rest = &rest[room..];
                    push(&mut window, &pending, 0);
                    pending.clear();
                }
                None => {
                    pending.extend_from_slice(rest);
                    rest = &[];
                }
            }
        }
    }
    window.more = window.end_offset < size;
    Ok(window)
}

/// Reads a window of the lines that are wanted, as far as they are known.
///
/// # Errors
/// As the source.
pub fn read_wanted<S: Read + Seek>(source: &mut S, wanted: &Wanted, known: &Matches, from: LogFrom, lines: usize) -> io::Result<LogWindow> {
    let size = source.seek(SeekFrom::End(0))?;
    let place = match from {
        LogFrom::End => Place::Last,
        LogFrom::Line { offset, back } => Place::Before { offset, lines: back },
    };
    // One more tells whether there are more.
    let mut offsets = known.lines(source, wanted, place, lines + usize::from(from != LogFrom::End))?;
    let more = offsets.len() > lines;
    offsets.truncate(lines);
    let mut window = LogWindow { size, more, ..LogWindow::default() };
    for offset in offsets {
        let one = read_window(source, LogFrom::Line { offset, back: 0 }, 1)?;
        window.end_offset = one.end_offset;
        window.lines.extend(one.lines);
    }
    window.first_offset = window.lines.first().map_or(0, |line| line.offset);
    Ok(window)
}

fn push(window: &mut LogWindow, bytes: &[u8], feed: u64) {
    window.lines.push(LogLine { offset: window.end_offset, text: String::from_utf8_lossy(bytes).into_owned(), at: None });
    window.end_offset += bytes.len() as u64 + feed;
}

fn byte_at<S: Read + Seek>(source: &mut S, offset: u64) -> io::Result<u8> {
    source.seek(SeekFrom::Start(offset))?;
    let mut byte = [0];
    source.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// The beginning of the line that holds `offset`, or of the one `lines` lines before it.
fn back<S: Read + Seek>(source: &mut S, offset: u64, lines: usize) -> io::Result<u64> {
    let (mut position, mut left) = (offset, lines);
    let mut chunk = vec![0; CHUNK];
    // A log without line feeds is shown in pieces; so far back is far enough.
    let floor = offset.saturating_sub((lines as u64 + 1).saturating_mul(LONGEST_LINE as u64));
    while position > floor {
        let length = usize::try_from((position - floor).min(CHUNK as u64)).unwrap_or(CHUNK);
        let begin = position - length as u64;
        source.seek(SeekFrom::Start(begin))?;
        source.read_exact(&mut chunk[..length])?;
        for feed in memchr::memrchr_iter(b'\n', &chunk[..length]) {
            if left == 0 {
                return Ok(begin + feed as u64 + 1);
            }
            left -= 1;
        }
        position = begin;
    }
    Ok(floor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::pattern::Pattern;
    use std::io::Cursor;

    fn log(lines: usize) -> Cursor<Vec<u8>> {
        Cursor::new((1..=lines).map(|number| format!("line {number}\n")).collect::<String>().into_bytes())
    }

    fn texts(window: &LogWindow) -> Vec<&str> {
        window.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_end_and_any_place_before_it() {
        let mut source = log(1000);
        let end = read_window(&mut source, LogFrom::End, 3).unwrap();
        assert_eq!(texts(&end), ["line 998", "line 999", "line 1000"]);
        assert_eq!(end.end_offset, end.size);
        let up = read_window(&mut source, LogFrom::Line { offset: end.first_offset, back: 2 }, 3).unwrap();
        assert_eq!(texts(&up), ["line 996", "line 997", "line 998"]);
        let top = read_window(&mut source, LogFrom::Line { offset: up.first_offset, back: 5000 }, 2).unwrap();
        assert_eq!(texts(&top), ["line 1", "line 2"]);
        let next = read_window(&mut source, LogFrom::Line { offset: top.end_offset, back: 0 }, 1).unwrap();
        assert_eq!(texts(&next), ["line 3"]);
    }

    #[test]
    fn an_unfinished_line_an_empty_log_and_a_log_without_line_feeds() {
        let mut source = Cursor::new(b"a\n\nb".to_vec());
        assert_eq!(texts(&read_window(&mut source, LogFrom::End, 9).unwrap()), ["a", "", "b"]);
        assert_eq!(texts(&read_window(&mut Cursor::new(Vec::new()), LogFrom::End, 9).unwrap()), [] as [&str; 0]);
        let mut endless = Cursor::new(vec![b'x'; 10 * 1024 * 1024]);
        let window = read_window(&mut endless, LogFrom::End, 20).unwrap();
        assert!(window.lines.iter().all(|line| line.text.len() <= LONGEST_LINE) && window.lines.len() <= 20);
    }

    #[test]
    fn of_wanted_lines_there_are_windows_too() {
        let mut source = log(1000);
        let wanted: Wanted = Pattern::read("7$").unwrap().into();
        let mut known = Matches::default();
        known.extend(&mut source, &wanted, &mut |_| true).unwrap().unwrap();
        let end = read_wanted(&mut source, &wanted, &known, LogFrom::End, 2).unwrap();
        assert_eq!((texts(&end), end.more), (vec!["line 987", "line 997"], false));
        let up = read_wanted(&mut source, &wanted, &known, LogFrom::Line { offset: end.first_offset, back: 1 }, 2).unwrap();
        assert_eq!((texts(&up), up.more), (vec!["line 977", "line 987"], true));
        let top = read_wanted(&mut source, &wanted, &known, LogFrom::Line { offset: 0, back: 0 }, 2).unwrap();
        assert_eq!(texts(&top), ["line 7", "line 17"]);
        let none = read_wanted(&mut source, &wanted, &Matches::default(), LogFrom::End, 2).unwrap();
        assert_eq!((texts(&none).len(), none.more), (0, false));
    }
}
