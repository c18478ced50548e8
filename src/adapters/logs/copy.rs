//! A log, or the lines of it that are wanted, written elsewhere: to a terminal, a pipe or a file.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::pattern::Wanted;
use super::plain;
use super::scan::{Block, Blocks, Finder};
use super::times::{Times, column};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it stands in the log, but for the carriage return that a terminal has before each line's end.
    Raw,
    /// With its colours, without what else would do something to a terminal.
    Safe,
    /// Without anything that only a terminal understands.
    Plain,
}

/// What is written, and how.
#[derive(Debug)]
pub struct Copying<'a> {
    /// Only these lines, where any are named.
    pub wanted: Option<&'a Wanted>,
    /// With the time before each line.
    pub times: Option<&'a Times>,
    /// How.
    pub form: Form,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Lines, as far as they were counted: not where the log was copied as it stands.
    pub lines: u64,
    /// Where what has not been looked at begins: behind the last finished line, or at the end where the log has ended.
    pub next: u64,
}

impl Copying<'_> {
    /// Writes from an offset on, that of a line. Of a log that grows, an unfinished last line is left for the next time.
    ///
    /// # Errors
    /// As the source, or what is written to.
    pub fn copy<S: Read + Seek>(&self, source: &mut S, from: u64, grows: bool, out: &mut dyn Write) -> io::Result<Copied> {
        let mut copied = Copied { lines: 0, next: from };
        let (mut finder, mut text) = (Finder::default(), Vec::new());
        let mut blocks = Blocks::new(source, from)?;
        let as_it_is = self.wanted.is_none() && self.times.is_none() && self.form == Form::Raw;
        while let Some(mut block) = blocks.read()? {
            if grows && block.behind.is_empty() && !as_it_is {
                block.lines = &block.lines[..memchr::memrchr(b'\n', block.lines).map_or(0, |feed| feed + 1)];
            }
            copied.next = block.end();
            if as_it_is {
                raw(block.lines, out)?;
                continue;
            }
            text.clear();
            match self.wanted {
                Some(wanted) => finder.lines(wanted, block.lines, block.behind, |line| {
                    copied.lines += 1;
                    self.line(&block, line, &mut text);
                    true
                }),
                None => {
                    let mut line = 0;
                    while line < block.lines.len() {
                        copied.lines += 1;
                        line += self.line(&block, line, &mut text);
                    }
                }
            }
            out.write_all(&text)?;
        }
        Ok(copied)
    }

    /// One line; how many bytes of the block it takes.
    fn line(&self, block: &Block<'_>, begin: usize, out: &mut Vec<u8>) -> usize {
        let rest = &block.lines[begin..];
        let (line, length) = memchr::memchr(b'\n', rest).map_or((rest, rest.len()), |feed| (&rest[..feed], feed + 1));
        if let Some(times) = self.times {
            out.extend_from_slice(column(times.at(block.offset + begin as u64)).as_bytes());
        }
        match self.form {
            Form::Raw => out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line)),
            Form::Safe => plain::safe_line(line, out),
            Form::Plain => plain::plain_line(line, out),
        }
        out.push(b'\n');
        length
    }

    /// Writes the whole log into a new file, for its owner alone; how many lines.
    ///
    /// # Errors
    /// There is a file of that name already, or it cannot be written; then none is left behind.
    pub fn to_file<S: Read + Seek>(&self, source: &mut S, path: &Path) -> io::Result<u64> {
        let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
        let written = self.copy(source, 0, false, &mut file).and_then(|copied| file.flush().map(|()| copied.lines));
        if written.is_err() {
            drop(std::fs::remove_file(path));
        }
        written
    }
}

/// Lines as they stand there, each without the carriage return at its end; most have none.
fn raw(lines: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut rest = lines;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        out.write_all(&rest[..at])?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::pattern::Pattern;
    use std::io::Cursor;

    const LOG: &[u8] = b"one\n\x1b[31mtwo\x1b[0m\x1b[K\nhalf";

    fn copied(wanted: Option<&str>, form: Form, grows: bool) -> (String, Copied) {
        let wanted = wanted.map(|pattern| Wanted::from(Pattern::read(pattern).unwrap()));
        let copying = Copying { wanted: wanted.as_ref(), times: None, form };
        let mut out = Vec::new();
        let copied = copying.copy(&mut Cursor::new(LOG), 0, grows, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), copied)
    }

    #[test]
    fn lines_are_written_as_is_asked_for() {
        assert_eq!(copied(None, Form::Raw, false).0.as_bytes(), LOG);
        assert_eq!(copied(None, Form::Safe, false).0, "one\n\u{1b}[31mtwo\u{1b}[0m\u{1b}[0m\nhalf\n");
        assert_eq!(copied(Some("^two$"), Form::Plain, false), ("two\n".into(), Copied { lines: 1, next: LOG.len() as u64 }));
        let (text, copied) = copied(None, Form::Plain, true);
        assert_eq!((text.as_str(), copied.next), ("one\ntwo\n", LOG.len() as u64 - 4), "a line is shown when it is finished");
    }

    #[test]
    fn what_a_terminal_adds_to_a_line_s_end_is_not_passed_on() {
        let raw = b"one\r\ntwo\n10%\r20%\r\n\r\nName : \r\nhalf\r";
        let of = |wanted: Option<&str>| {
            let wanted = wanted.map(|pattern| Wanted::from(Pattern::read(pattern).unwrap()));
            let copying = Copying { wanted: wanted.as_ref(), times: None, form: Form::Raw };
            let mut out = Vec::new();
            copying.copy(&mut Cursor::new(raw), 0, false, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(None), "one\ntwo\n10%\r20%\n\nName : \nhalf\r");
        assert_eq!(of(Some("o")), "one\ntwo\n");
    }

    #[test]
    fn a_copy_is_for_its_owner_alone_and_writes_over_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.log");
        let copying = Copying { wanted: None, times: None, form: Form::Plain };
        assert_eq!(copying.to_file(&mut Cursor::new(LOG), &path).unwrap(), 3);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nhalf\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(copying.to_file(&mut Cursor::new(LOG), &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
