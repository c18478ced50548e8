//! Cuts a stream into lines, in bounded memory. Pure.

/// The longest line that is given as a whole, bytes.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// A line without its end, or a part of one that is too long to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The line begins with it.
    pub first: bool,
    /// The line ends with it.
    pub last: bool,
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// The line under way was too long: its beginning has been given already.
    long: bool,
}

impl Lines {
    /// Takes in bytes and gives every line that is complete. Of a line that is too long to be held, its parts as they come.
    pub fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(Piece<'_>)) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[from..end];
            from = end + 1;
            if std::mem::take(&mut self.long) {
                give(Piece { bytes: line, first: false, last: true });
            } else if self.partial.is_empty() {
                give(whole(line));
            } else {
                self.partial.extend_from_slice(line);
                give(whole(&self.partial));
                self.partial.clear();
            }
        }
        let rest = &bytes[from..];
        if rest.is_empty() {
            return;
        }
        if self.long {
            give(Piece { bytes: rest, first: false, last: false });
            return;
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > MAX_LINE {
            give(Piece { bytes: &self.partial, first: true, last: false });
            self.partial = Vec::new();
            self.long = true;
        }
    }

    /// The stream has ended: gives what is left, as a line.
    pub fn finish(&mut self, give: impl FnOnce(Piece<'_>)) {
        if !self.partial.is_empty() {
            give(whole(&self.partial));
            self.partial.clear();
        }
    }
}

/// A line; a carriage return before its end belongs to the end.
fn whole(line: &[u8]) -> Piece<'_> {
    Piece { bytes: line.strip_suffix(b"\r").unwrap_or(line), first: true, last: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let mut give = |piece: Piece<'_>| {
            out.extend_from_slice(piece.bytes);
            if piece.last {
                out.push(b'\n');
            }
        };
        pieces.iter().for_each(|piece| lines.feed(piece, &mut give));
        lines.finish(&mut give);
        out
    }

    #[test]
    fn a_line_that_is_too_long_is_given_in_parts_and_held_in_bounded_memory() {
        let chunk = vec![b'x'; 64 * 1024];
        let (mut lines, mut length, mut firsts, mut most) = (Lines::default(), 0, 0, 0);
        // A gigabyte without an end.
        for _ in 0..16 * 1024 {
            lines.feed(&chunk, |piece| {
                length += piece.bytes.len();
                firsts += usize::from(piece.first);
                assert!(!piece.last);
            });
            most = most.max(lines.partial.capacity());
        }
        assert_eq!((length, firsts), (1 << 30, 1));
        assert!(most <= 3 * MAX_LINE, "{most}");
        let mut ends = Vec::new();
        lines.feed(b"end\nnext\r\n", |piece| ends.push((piece.bytes.to_vec(), piece.first, piece.last)));
        assert_eq!(ends, [(b"end".to_vec(), false, true), (b"next".to_vec(), true, true)]);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_the_stream_is_cut(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), cuts in proptest::collection::vec(0usize..300, 0..8)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\r').collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            let mut expected = bytes.clone();
            if expected.last().is_some_and(|last| *last != b'\n') {
                expected.push(b'\n');
            }
            prop_assert_eq!(given(&pieces), expected);
        }
    }
}
