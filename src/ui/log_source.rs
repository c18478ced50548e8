//! Windows of a log, by offset: at no time is more of it in memory than is shown.
//!
//! Generic over its source, so that whoever has the file open decides where it lies.

use std::io::{self, Read, Seek, SeekFrom};

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
    Ok(window)
}

fn push(window: &mut LogWindow, bytes: &[u8], feed: u64) {
    window.lines.push(LogLine { offset: window.end_offset, text: String::from_utf8_lossy(bytes).into_owned() });
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

/// The offset of the next line, forwards or backwards, that contains a text; the line at `from` itself is not looked at.
/// Without upper-case letters in `needle` the case of ASCII letters does not count.
///
/// # Errors
/// As the source.
pub fn find<S: Read + Seek>(source: &mut S, needle: &str, from: u64, forward: bool) -> io::Result<Option<u64>> {
    if needle.is_empty() {
        return Ok(None);
    }
    let fold = !needle.chars().any(char::is_uppercase);
    let needle: Vec<u8> = if fold { needle.to_ascii_lowercase().into_bytes() } else { needle.as_bytes().to_vec() };
    let finder = memchr::memmem::Finder::new(&needle);
    let size = source.seek(SeekFrom::End(0))?;
    let overlap = needle.len() as u64 - 1;
    let mut chunk = vec![0; CHUNK];
    let mut look = |source: &mut S, begin: u64, length: usize, last: bool| -> io::Result<Option<u64>> {
        source.seek(SeekFrom::Start(begin))?;
        if chunk.len() < length {
            chunk.resize(length, 0);
        }
        source.read_exact(&mut chunk[..length])?;
        if fold {
            chunk[..length].make_ascii_lowercase();
        }
        let found = if last { finder.find_iter(&chunk[..length]).last() } else { finder.find(&chunk[..length]) };
        Ok(found.map(|at| begin + at as u64))
    };
    if forward {
        let line = read_window(source, LogFrom::Line { offset: from, back: 0 }, 1)?;
        let mut begin = line.end_offset;
        while begin < size {
            let length = (size - begin).min(CHUNK as u64);
            if let Some(at) = look(source, begin, usize::try_from(length).unwrap_or(CHUNK), false)? {
                return back(source, at, 0).map(Some);
            }
            begin = if begin + length >= size { size } else { begin + length - overlap };
        }
    } else {
        let mut end = from.min(size);
        while end > 0 {
            let begin = end.saturating_sub(CHUNK as u64);
            if let Some(at) = look(source, begin, usize::try_from(end - begin).unwrap_or(CHUNK), true)? {
                return back(source, at, 0).map(Some);
            }
            end = if begin == 0 { 0 } else { begin + overlap };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_text_is_found_in_both_directions_also_across_chunks() {
        let mut source = log(100_000);
        let found = find(&mut source, "LINE 70000", 0, true).unwrap();
        assert_eq!(found, None, "an upper-case needle is exact");
        let found = find(&mut source, "line 70000", 0, true).unwrap().unwrap();
        let window = read_window(&mut source, LogFrom::Line { offset: found, back: 0 }, 1).unwrap();
        assert_eq!(texts(&window), ["line 70000"]);
        assert_eq!(find(&mut source, "line 70000", found, true).unwrap(), None, "the line itself is not looked at");
        let before = find(&mut source, "line 123", found, false).unwrap().unwrap();
        assert_eq!(texts(&read_window(&mut source, LogFrom::Line { offset: before, back: 0 }, 1).unwrap()), ["line 12399"]);
        assert_eq!(find(&mut source, "nowhere", 0, true).unwrap(), None);
    }
}
