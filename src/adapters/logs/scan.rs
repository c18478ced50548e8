//! Searching logs in blocks: the next line that is wanted in either direction, and all of them, counted, with places to go back to.

use std::io::{self, Read, Seek, SeekFrom};

use super::pattern::{IGNORED, Wanted};
use super::plain;

/// How much is read at once, bytes. A longer line is looked at in pieces of that length.
const BLOCK: usize = 256 * 1024;
/// So much of what follows a block is known, bytes: enough for what says that a failure is ignored.
const AHEAD: usize = 32;
/// How many places of wanted lines are remembered.
const MOST_MARKS: usize = 65_536;

/// A search that was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalledOff;

/// Told after each block how far it is (an offset in the log); answers whether to go on.
pub type Onward<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Blocks of whole lines of a source, one after the other.
#[derive(Debug)]
pub struct Blocks<'a, S> {
    source: &'a mut S,
    buffer: Vec<u8>,
    filled: usize,
    given: usize,
    offset: u64,
    ended: bool,
}

impl<'a, S: Read + Seek> Blocks<'a, S> {
    /// From an offset on, which is that of a line.
    ///
    /// # Errors
    /// As the source.
    pub fn new(source: &'a mut S, offset: u64) -> io::Result<Self> {
        source.seek(SeekFrom::Start(offset))?;
        Ok(Self { source, buffer: vec![0; BLOCK], filled: 0, given: 0, offset, ended: false })
    }

    /// The next lines; none: there are no more. The last line of a log may be unfinished.
    ///
    /// # Errors
    /// As the source.
    pub fn read(&mut self) -> io::Result<Option<Block<'_>>> {
        self.offset += self.given as u64;
        self.buffer.copy_within(self.given..self.filled, 0);
        self.filled -= self.given;
        self.given = 0;
        while !self.ended && self.filled < self.buffer.len() {
            let count = self.source.read(&mut self.buffer[self.filled..])?;
            self.ended = count == 0;
            self.filled += count;
        }
        let sure = self.filled.saturating_sub(AHEAD);
        self.given = match memchr::memrchr(b'\n', &self.buffer[..sure]) {
            _ if self.ended => self.filled,
            Some(feed) => feed + 1,
            None => sure,
        };
        let (lines, behind) = self.buffer[..self.filled].split_at(self.given);
        Ok((self.given > 0).then_some(Block { offset: self.offset, lines, behind }))
    }
}

/// Some lines of a log.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The offset of the first.
    pub offset: u64,
    /// The lines.
    pub lines: &'a [u8],
    /// What follows them, as far as it was read.
    pub behind: &'a [u8],
}

impl Block<'_> {
    /// The offset behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.lines.len() as u64
    }
}

/// Finds wanted lines in a block.
#[derive(Debug, Default)]
pub struct Finder {
    plain: Vec<u8>,
}

impl Finder {
    /// Calls `each` with the offset in the block of every wanted line; it says whether to go on. `behind` is what follows the block.
    pub fn lines(&mut self, wanted: &Wanted, block: &[u8], behind: &[u8], mut each: impl FnMut(usize) -> bool) {
        if block.is_empty() {
            return;
        }
        let special = plain::is_special(block);
        if special {
            self.plain.clear();
            for line in block.split_inclusive(|byte| *byte == b'\n') {
                plain::plain_line(line.strip_suffix(b"\n").unwrap_or(line), &mut self.plain);
                if line.ends_with(b"\n") {
                    self.plain.push(b'\n');
                }
            }
        }
        let text: &[u8] = if special { &self.plain } else { block };
        // A line of the text, and the same line of the block.
        let (mut at, mut seen, mut place) = (0, 0, 0);
        while let Some(found) = wanted.pattern.find(text, at) {
            let begin = memchr::memrchr(b'\n', &text[..found]).map_or(0, |feed| feed + 1);
            let end = memchr::memchr(b'\n', &text[found..]).map_or(text.len(), |feed| found + feed);
            if special {
                for _ in memchr::memchr_iter(b'\n', &text[seen..begin]) {
                    place += memchr::memchr(b'\n', &block[place..]).map_or(0, |feed| feed + 1);
                }
                seen = begin;
            } else {
                place = begin;
            }
            let below = text.get(end + 1..).filter(|below| !below.is_empty()).unwrap_or(behind);
            let ignored = !wanted.pattern.counts_ignored() && below.trim_ascii_start().starts_with(IGNORED);
            let also = wanted.also.as_ref().is_none_or(|also| also.is_in(&text[begin..end]));
            if also && !ignored && !each(place) {
                return;
            }
            at = end + 1;
            if at >= text.len() {
                return;
            }
        }
    }
}

/// The offset of the first wanted line that begins at `from`, the offset of a line, or behind it.
///
/// # Errors
/// As the source; the search was called off.
pub fn find_forward<S: Read + Seek>(
    source: &mut S,
    wanted: &Wanted,
    from: u64,
    onward: Onward<'_>,
) -> io::Result<Result<Option<u64>, CalledOff>> {
    let (mut finder, mut found) = (Finder::default(), None);
    let mut blocks = Blocks::new(source, from)?;
    while let Some(block) = blocks.read()? {
        finder.lines(wanted, block.lines, block.behind, |line| {
            found = Some(block.offset + line as u64);
            false
        });
        if found.is_some() {
            break;
        }
        if !onward(block.end()) {
            return Ok(Err(CalledOff));
        }
    }
    Ok(Ok(found))
}

/// The offset of the last wanted line that begins before `from`.
///
/// # Errors
/// As the source; the search was called off.
pub fn find_backward<S: Read + Seek>(
    source: &mut S,
    wanted: &Wanted,
    from: u64,
    onward: Onward<'_>,
) -> io::Result<Result<Option<u64>, CalledOff>> {
    let mut finder = Finder::default();
    let (mut buffer, mut below) = (vec![0; BLOCK], Vec::new());
    let mut end = from.min(source.seek(SeekFrom::End(0))?);
    while end > 0 {
        let length = usize::try_from(end.min(BLOCK as u64)).unwrap_or(BLOCK);
        let mut begin = end - length as u64;
        source.seek(SeekFrom::Start(begin))?;
        source.read_exact(&mut buffer[..length])?;
        let mut block = &buffer[..length];
        // The first line may begin before it; then it belongs to the block before, unless it fills this one.
        if begin > 0
            && let Some(feed) = memchr::memchr(b'\n', &block[..length - 1])
        {
            begin += feed as u64 + 1;
            block = &block[feed + 1..];
        }
        let mut last = None;
        finder.lines(wanted, block, &below, |line| {
            last = Some(begin + line as u64);
            true
        });
        below = block[..block.len().min(AHEAD)].to_vec();
        if last.is_some() {
            return Ok(Ok(last));
        }
        end = begin;
        if !onward(end) {
            return Ok(Err(CalledOff));
        }
    }
    Ok(Ok(None))
}

/// All wanted lines of a log: how many, and where, exactly while they are not too many. It grows with its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// The offset of every so manieth line, the first one included.
    marks: Vec<u64>,
    every: u64,
    count: u64,
    scanned: u64,
    seen: u64,
    /// A wanted line at the end that is not finished.
    tail: Option<u64>,
}

impl Default for Matches {
    fn default() -> Self {
        Self { marks: Vec::new(), every: 1, count: 0, scanned: 0, seen: 0, tail: None }
    }
}

impl Matches {
    /// How many there are, as far as was looked.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count + u64::from(self.tail.is_some())
    }

    /// How much of the log was looked at.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The number of the line at an offset, from 1; none: it is none of them, or they are too many to tell.
    #[must_use]
    pub fn number(&self, offset: u64) -> Option<u64> {
        if self.tail == Some(offset) {
            return Some(self.count());
        }
        let place = self.marks.binary_search(&offset).ok()?;
        Some(place as u64 * self.every + 1)
    }

    fn push(&mut self, offset: u64) {
        if self.count.is_multiple_of(self.every) {
            if self.marks.len() >= MOST_MARKS {
                let mut place = 0_usize;
                self.marks.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.every *= 2;
            }
            if self.count.is_multiple_of(self.every) {
                self.marks.push(offset);
            }
        }
        self.count += 1;
    }

    /// Looks at what has been added to the log since it was last looked at. Also when it is called off, what was found so far stays.
    ///
    /// # Errors
    /// As the source.
    pub fn extend<S: Read + Seek>(
        &mut self,
        source: &mut S,
        wanted: &Wanted,
        onward: &mut dyn FnMut(&Self) -> bool,
    ) -> io::Result<Result<(), CalledOff>> {
        let mut finder = Finder::default();
        self.tail = None;
        let mut blocks = Blocks::new(source, self.scanned)?;
        while let Some(block) = blocks.read()? {
            let whole = match memchr::memrchr(b'\n', block.lines) {
                Some(feed) => feed + 1,
                None if block.behind.is_empty() => 0,
                None => block.lines.len(),
            };
            let (lines, rest) = block.lines.split_at(whole);
            let behind = if rest.is_empty() { block.behind } else { rest };
            finder.lines(wanted, lines, behind, |line| {
                self.push(block.offset + line as u64);
                true
            });
            self.scanned = block.offset + whole as u64;
            self.seen = block.end();
            let mut unfinished = false;
            finder.lines(wanted, rest, b"", |_| {
                unfinished = true;
                false
            });
            self.tail = unfinished.then_some(self.scanned);
            if !onward(self) {
                return Ok(Err(CalledOff));
            }
        }
        Ok(Ok(()))
    }

    /// Offsets of some of the lines: from one with a number (from 0) on, or so many before the first that begins at an offset or behind it.
    ///
    /// # Errors
    /// As the source.
    pub fn lines<S: Read + Seek>(&self, source: &mut S, wanted: &Wanted, from: Place, most: usize) -> io::Result<Vec<u64>> {
        let total = self.count();
        let number = match from {
            Place::Last => total.saturating_sub(most as u64),
            Place::Before { offset, lines } => self.before(source, wanted, offset)?.saturating_sub(lines as u64),
        };
        let wish = most.min(usize::try_from(total.saturating_sub(number)).unwrap_or(most));
        let mark = usize::try_from(number / self.every).unwrap_or(usize::MAX);
        let mut skip = usize::try_from(number % self.every).unwrap_or(0);
        let mut found: Vec<u64> = Vec::new();
        if self.every == 1 {
            found.extend(self.marks.iter().skip(mark).take(wish));
        } else if let Some(begin) = self.marks.get(mark) {
            self.walk(source, wanted, *begin, |line| {
                if skip > 0 {
                    skip -= 1;
                } else {
                    found.push(line);
                }
                found.len() < wish
            })?;
        }
        if found.len() < wish {
            found.extend(self.tail);
        }
        Ok(found)
    }

    /// How many of the lines begin before an offset.
    fn before<S: Read + Seek>(&self, source: &mut S, wanted: &Wanted, offset: u64) -> io::Result<u64> {
        let mark = self.marks.partition_point(|line| *line < offset);
        if self.every == 1 {
            return Ok(mark as u64 + u64::from(self.tail.is_some_and(|tail| tail < offset)));
        }
        let Some(place) = mark.checked_sub(1) else { return Ok(0) };
        let mut number = place as u64 * self.every;
        self.walk(source, wanted, self.marks[place], |line| {
            number += u64::from(line < offset);
            line < offset
        })?;
        Ok(number + u64::from(self.tail.is_some_and(|tail| tail < offset)))
    }

    /// The finished lines from one of them on.
    fn walk<S: Read + Seek>(&self, source: &mut S, wanted: &Wanted, from: u64, mut each: impl FnMut(u64) -> bool) -> io::Result<()> {
        let (mut finder, mut on) = (Finder::default(), true);
        let mut blocks = Blocks::new(source, from)?;
        while let (true, Some(block)) = (on, blocks.read()?) {
            finder.lines(wanted, block.lines, block.behind, |line| {
                let begin = block.offset + line as u64;
                on = begin < self.scanned && each(begin);
                on
            });
        }
        Ok(())
    }
}

/// Which of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The last ones.
    Last,
    /// From so many before the first that begins at an offset or behind it.
    Before {
        /// The offset.
        offset: u64,
        /// How many lines before it.
        lines: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::pattern::Pattern;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn wanted(pattern: &str) -> Wanted {
        Pattern::read(pattern).unwrap().into()
    }

    fn all(text: &[u8], wanted: &Wanted) -> Matches {
        let mut matches = Matches::default();
        matches.extend(&mut Cursor::new(text), wanted, &mut |_| true).unwrap().unwrap();
        matches
    }

    fn forward(text: &[u8], wanted: &Wanted, from: u64) -> Option<u64> {
        find_forward(&mut Cursor::new(text), wanted, from, &mut |_| true).unwrap().unwrap()
    }

    fn backward(text: &[u8], wanted: &Wanted, from: u64) -> Option<u64> {
        find_backward(&mut Cursor::new(text), wanted, from, &mut |_| true).unwrap().unwrap()
    }

    /// Far more than a block, with lines that are coloured now and then.
    fn long() -> Vec<u8> {
        let line = |number: usize| match number % 7 {
            0 => format!("\u{1b}[31mline\u{1b}[0m {number}\r\n"),
            _ => format!("line {number}\n"),
        };
        (0..100_000).map(line).collect::<String>().into_bytes()
    }

    fn text_at(text: &[u8], offset: u64) -> String {
        let rest = &text[usize::try_from(offset).unwrap()..];
        let mut plain = Vec::new();
        plain::plain_line(&rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())], &mut plain);
        String::from_utf8(plain).unwrap()
    }

    #[test]
    fn the_next_line_is_found_in_both_directions() {
        let text = long();
        let found = forward(&text, &wanted("^line 7000\\d$"), 0).unwrap();
        assert_eq!(text_at(&text, found), "line 70000", "coloured, and behind many blocks");
        assert_eq!(forward(&text, &wanted("^line 70000$"), found + 1), None);
        let before = backward(&text, &wanted("line 123"), found).unwrap();
        assert_eq!(text_at(&text, before), "line 12399");
        assert_eq!(backward(&text, &wanted("line 123"), before).map(|at| text_at(&text, at)), Some("line 12398".into()));
        assert_eq!(backward(&text, &wanted("line 0$"), u64::MAX), Some(0));
        assert_eq!(forward(&text, &wanted("nowhere"), 0), None);
    }

    #[test]
    fn a_search_ends_when_it_is_called_off() {
        let text = long();
        let mut told = Vec::new();
        let mut onward = |at| {
            told.push(at);
            told.len() < 2
        };
        assert_eq!(find_forward(&mut Cursor::new(&text), &wanted("nowhere"), 0, &mut onward).unwrap(), Err(CalledOff));
        assert!(told[0] < told[1] && told[1] < text.len() as u64);
        let mut matches = Matches::default();
        assert_eq!(matches.extend(&mut Cursor::new(&text), &wanted("line"), &mut |_| false).unwrap(), Err(CalledOff));
        assert!(matches.count() > 0 && matches.seen() < text.len() as u64);
        matches.extend(&mut Cursor::new(&text), &wanted("line"), &mut |_| true).unwrap().unwrap();
        assert_eq!(matches.count(), 100_000, "it goes on where it was called off");
    }

    #[test]
    fn an_ignored_failure_is_none_wherever_a_block_ends() {
        let wanted: Wanted = Pattern::errors().unwrap().into();
        for shift in 0..40 {
            let mut text = vec![b'.'; BLOCK - 60 + shift];
            text.extend_from_slice(b"\nfatal: [vm1]: FAILED! => {}\n...ignoring\nok: [vm1]\nfatal: [vm2]: FAILED! => {}\n");
            let last = text.len() as u64 - 28;
            assert_eq!(forward(&text, &wanted, 0), Some(last), "shift {shift}");
            assert_eq!(backward(&text, &wanted, u64::MAX), Some(last), "shift {shift}");
            assert_eq!(backward(&text, &wanted, last), None, "shift {shift}");
        }
    }

    #[test]
    fn very_many_lines_take_a_bounded_number_of_places() {
        let text: Vec<u8> = "ab\nx\n".repeat(300_000).into_bytes();
        let (a, mut source) = (wanted("^ab"), Cursor::new(&text));
        let matches = all(&text, &a);
        assert_eq!(matches.count(), 300_000);
        assert!(matches.marks.len() <= MOST_MARKS && matches.every > 1);
        let at = |number: u64| number * 5;
        let lines = |source: &mut Cursor<&Vec<u8>>, place| matches.lines(source, &a, place, 3).unwrap();
        assert_eq!(lines(&mut source, Place::Last), [299_997, 299_998, 299_999].map(at));
        assert_eq!(lines(&mut source, Place::Before { offset: at(123_457), lines: 2 }), [123_455, 123_456, 123_457].map(at));
        assert_eq!(lines(&mut source, Place::Before { offset: at(1) + 1, lines: 9 }), [0, 1, 2].map(at));
        assert_eq!((matches.number(0), matches.number(at(1)), matches.number(3)), (Some(1), None, None));
    }

    #[test]
    fn an_unfinished_line_counts_once() {
        let a = wanted("a");
        let mut matches = Matches::default();
        let mut text = b"a\nb\nxa".to_vec();
        for (more, count) in [("", 2), ("y", 2), ("\n", 2), ("a", 3), ("\n\n", 3)] {
            text.extend_from_slice(more.as_bytes());
            matches.extend(&mut Cursor::new(&text), &a, &mut |_| true).unwrap().unwrap();
            assert_eq!((matches.count(), matches.seen()), (count, text.len() as u64), "{more:?}");
        }
        assert_eq!(matches.lines(&mut Cursor::new(&text), &a, Place::Last, 2).unwrap(), [4, 8]);
    }

    proptest! {
        #[test]
        fn all_ways_agree_with_looking_at_line_after_line(
            lines in proptest::collection::vec("[ab\u{1b}\\[m\r0]{0,6}", 0..40),
            pattern in proptest::sample::select(vec!["a", "b$", "^a", "a+b", "[^a]", "", "^$", "a.", "^", "0", "m", "x"]),
            finished in any::<bool>(),
        ) {
            let mut text = lines.join("\n").into_bytes();
            if finished && !text.is_empty() {
                text.push(b'\n');
            }
            let wanted = wanted(pattern);
            let mut expected = Vec::new();
            let mut offset = 0;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let mut plain = Vec::new();
                plain::plain_line(line.strip_suffix(b"\n").unwrap_or(line), &mut plain);
                // Of an unfinished line nothing may be there to see.
                let seen = !plain.is_empty() || line.ends_with(b"\n");
                if seen && wanted.pattern.is_in(&plain) {
                    expected.push(offset);
                }
                offset += line.len() as u64;
            }
            let matches = all(&text, &wanted);
            prop_assert_eq!(matches.lines(&mut Cursor::new(&text), &wanted, Place::Last, 100).unwrap(), expected.clone());
            prop_assert_eq!(forward(&text, &wanted, 0), expected.first().copied());
            prop_assert_eq!(backward(&text, &wanted, u64::MAX), expected.last().copied());
        }
    }
}
