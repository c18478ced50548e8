//! Searches for many words at once, at a fraction of a nanosecond a byte. Pure.
//!
//! Every word has a stretch of `step + 3` bytes, so whatever the text looks like, one of the stretch's four-byte pieces begins at a multiple
//! of `step`. Only there is the text looked at: the piece is looked up in a small table of bits, and what the table knows is compared
//! in full. These look-ups do not wait for each other, which is what makes an automaton slow.

use aho_corasick::{AhoCorasick, MatchKind};

/// The length of a piece, bytes.
const PIECE: usize = 4;

/// Words shorter than this are always searched for by themselves, bytes: they would make the steps short.
const SHORT: usize = PIECE + 2;

/// The greatest step, bytes.
const MAX_STEP: usize = 8;

/// So many words, if no more are shorter than the greatest step needs, are searched for by themselves: a few words are found faster so, where
/// case counts.
const FEW: usize = 12;

/// So many places are looked at before anything is decided.
const AT_ONCE: usize = 8;

/// How far from the beginning of a word its stretch may lie.
const MAX_BEFORE: usize = 24;

/// The size of the table of bits, as a power of two.
const BITS: u32 = 17;

/// So many places of that table, as a power of two, share a bucket of pieces.
const BUCKET: u32 = 5;

/// Words to search for.
#[derive(Debug, Clone)]
pub struct Needles {
    words: Vec<Vec<u8>>,
    any_case: bool,
    step: usize,
    /// How far from the beginning of its word the farthest stretch lies.
    before: usize,
    bits: Vec<u64>,
    /// (piece, word, where in the word the piece is), by piece.
    pieces: Vec<(u32, u32, u32)>,
    /// Where in `pieces` those begin whose place in the table of bits begins so.
    starts: Vec<u32>,
    short: Option<AhoCorasick>,
    short_words: Vec<u32>,
}

/// A word that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Which word it is.
    pub word: usize,
}

impl Needles {
    /// Prepares to search for these words; `any_case` takes upper and lower case of ASCII for the same. Empty words are never found.
    ///
    /// # Errors
    /// The words together are too large to search for (gigabytes).
    pub fn new(words: Vec<Vec<u8>>, any_case: bool) -> Result<Self, aho_corasick::BuildError> {
        let full = MAX_STEP + PIECE - 1;
        let few = !any_case && words.iter().filter(|word| word.len() < full).count() <= FEW;
        let least = if few { full } else { SHORT };
        let long = words.iter().map(Vec::len).filter(|length| *length >= least);
        let step = long.min().map_or(MAX_STEP, |length| (length + 1 - PIECE).min(MAX_STEP));
        let short_words: Vec<u32> = number(&words).filter(|(_, word)| (1..least).contains(&word.len())).map(|(at, _)| at).collect();
        let short = short_words.iter().filter_map(|at| words.get(*at as usize));
        let short = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(any_case).build(short)?;
        let mut own = Self {
            any_case,
            step,
            before: 0,
            bits: vec![0; 1 << (BITS - 6)],
            pieces: Vec::new(),
            starts: Vec::new(),
            short: (!short_words.is_empty()).then_some(short),
            short_words,
            words: Vec::new(),
        };
        for (at, word) in number(&words).filter(|(_, word)| word.len() >= least) {
            let stretch = rarest(word, step);
            own.before = own.before.max(stretch + step - 1);
            for offset in stretch..stretch + step {
                let Some(piece) = piece(word, offset) else { continue };
                let bit = place(piece);
                own.bits[(bit >> 6) as usize] |= 1 << (bit & 63);
                own.pieces.push((piece, at, u32::try_from(offset).unwrap_or(u32::MAX)));
            }
        }
        own.pieces.sort_by_key(|(piece, ..)| place(*piece));
        let start = |bucket: u32| own.pieces.partition_point(|(piece, ..)| place(*piece) >> BUCKET < bucket);
        own.starts = (0..=1 << (BITS - BUCKET)).map(|bucket| u32::try_from(start(bucket)).unwrap_or(0)).collect();
        own.words = words;
        Ok(own)
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// Searches a text.
    #[must_use]
    pub fn search<'a>(&'a self, text: &'a [u8]) -> Search<'a> {
        Search { needles: self, text, short: Next::Unknown, long: Next::Unknown }
    }

    /// The first of the long words that begins at or behind a place; of those that begin there the longest.
    fn long(&self, text: &[u8], from: usize) -> Option<Found> {
        let mut best: Option<Found> = None;
        if self.pieces.is_empty() {
            return best;
        }
        let mut at = from;
        loop {
            at = self.candidate(text, at)?;
            // Another word may begin further back though its stretch lies further on.
            while best.is_none_or(|best| at <= best.start + self.before) {
                let Some(piece) = piece(text, at) else { return best };
                for (_, word, offset) in self.like(piece).iter().filter(|(known, ..)| *known == piece) {
                    let Some(start) = at.checked_sub(*offset as usize).filter(|start| *start >= from) else { continue };
                    let Some(word_bytes) = self.words.get(*word as usize) else { continue };
                    let Some(here) = text.get(start..start + word_bytes.len()) else { continue };
                    let same = if self.any_case { here.eq_ignore_ascii_case(word_bytes) } else { here == word_bytes.as_slice() };
                    let better = best.is_none_or(|best| (start, best.end) < (best.start, here.len() + start));
                    if same && better {
                        best = Some(Found { start, end: start + here.len(), word: *word as usize });
                    }
                }
                at += self.step;
                if best.is_none() {
                    break;
                }
            }
            if best.is_some() {
                return best;
            }
        }
    }

    /// The pieces that may be this one.
    fn like(&self, piece: u32) -> &[(u32, u32, u32)] {
        let bucket = (place(piece) >> BUCKET) as usize;
        let (Some(from), Some(to)) = (self.starts.get(bucket), self.starts.get(bucket + 1)) else { return &[] };
        self.pieces.get(*from as usize..*to as usize).unwrap_or_default()
    }

    /// The next place, in steps, whose piece may be one of a word.
    fn candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        match self.step {
            1 => self.candidate_by::<1>(text, from),
            2 => self.candidate_by::<2>(text, from),
            3 => self.candidate_by::<3>(text, from),
            4 => self.candidate_by::<4>(text, from),
            5 => self.candidate_by::<5>(text, from),
            6 => self.candidate_by::<6>(text, from),
            7 => self.candidate_by::<7>(text, from),
            _ => self.candidate_by::<MAX_STEP>(text, from),
        }
    }

    /// The same, the step known, so that several places are looked at before anything is decided.
    #[inline]
    fn candidate_by<const STEP: usize>(&self, text: &[u8], from: usize) -> Option<usize> {
        let bits: &[u64; 1 << (BITS - 6)] = self.bits.as_slice().try_into().ok()?;
        let known = |piece: u32| {
            let bit = place(piece);
            (bits[(bit >> 6) as usize] >> (bit & 63)) & 1
        };
        let mut at = from;
        while let Some(window) = text.get(at..at + (AT_ONCE - 1) * STEP + PIECE) {
            let mut any = 0;
            for number in 0..AT_ONCE {
                any |= piece(window, number * STEP).map_or(0, known);
            }
            if any != 0 {
                break;
            }
            at += AT_ONCE * STEP;
        }
        while let Some(piece) = piece(text, at) {
            if known(piece) != 0 {
                return Some(at);
            }
            at += STEP;
        }
        None
    }
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Unknown,
    At(Found),
    Never,
}

/// A search through one text.
#[derive(Debug)]
pub struct Search<'a> {
    needles: &'a Needles,
    text: &'a [u8],
    short: Next,
    long: Next,
}

impl Search<'_> {
    /// The first word that begins at or behind a place; of those that begin there the longest. Places never go back.
    pub fn next(&mut self, from: usize) -> Option<Found> {
        let (needles, text) = (self.needles, self.text);
        let long = ahead(&mut self.long, from, || needles.long(text, from));
        let short = ahead(&mut self.short, from, || {
            let found = needles.short.as_ref()?.find(text.get(from..)?)?;
            let word = *needles.short_words.get(found.pattern().as_usize())? as usize;
            Some(Found { start: from + found.start(), end: from + found.end(), word })
        });
        match (long, short) {
            (Some(long), Some(short)) if (short.start, long.end) < (long.start, short.end) => Some(short),
            (long, short) => long.or(short),
        }
    }
}

fn ahead(next: &mut Next, from: usize, search: impl FnOnce() -> Option<Found>) -> Option<Found> {
    match *next {
        Next::Never => return None,
        Next::At(found) if found.start >= from => return Some(found),
        _ => {}
    }
    let found = search();
    *next = found.map_or(Next::Never, Next::At);
    found
}

fn number(words: &[Vec<u8>]) -> impl Iterator<Item = (u32, &Vec<u8>)> {
    (0..).zip(words)
}

/// The piece at a place, upper and lower case alike.
#[inline]
fn piece(text: &[u8], at: usize) -> Option<u32> {
    let bytes = text.get(at..)?.first_chunk::<PIECE>()?;
    Some(u32::from_le_bytes(*bytes) | 0x2020_2020)
}

/// Where a piece is in the table of bits.
#[inline]
fn place(piece: u32) -> u32 {
    piece.wrapping_mul(0x9E37_79B1) >> (32 - BITS)
}

/// Words of which what playbooks, Terraform and Kubernetes print is full.
const COMMON: &[&str] = &[
    "able",
    "address",
    "already",
    "ansible",
    "applying",
    "archive",
    "cluster",
    "command",
    "common",
    "complete",
    "connection",
    "contain",
    "change",
    "charset",
    "checksum",
    "check ",
    "config",
    "created",
    "creation",
    "current",
    "directory",
    "error",
    "exec",
    "failed",
    "false",
    "fatal",
    "file",
    " for ",
    "group",
    "helm_release.",
    "http://",
    "ible",
    "ignoring",
    "image",
    "include",
    "ing ",
    "ing:",
    "install",
    "invalid",
    "keycloak",
    "kubernetes",
    "line",
    "local",
    "lock",
    "message",
    "module.",
    "name",
    "node",
    "not ",
    "found",
    "operation",
    "package",
    "password",
    "path",
    "pod ",
    "pods",
    "private",
    "provided",
    "rancher",
    "ready",
    "release",
    "repository",
    "request",
    "resource",
    "return",
    "rke2",
    "running",
    "secret",
    "server",
    "service",
    "shared",
    "skipping",
    "state",
    "status",
    "step",
    "string",
    "task",
    "terraform",
    "tive",
    "time",
    "token",
    "type",
    "unknown",
    "update",
    "user",
    "value",
    "version",
    "wait",
    "warning",
    "with ",
    "writ",
];

/// Where in a word the stretch is that ordinary text has least.
fn rarest(word: &[u8], step: usize) -> usize {
    let rarity = |byte: u8| match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'h' | b'_' | b'-' | b'.' | b'"' | b'0' | b'1' => 2,
        b'f' | b'g' | b'b' | b'y' | b'w' | b'v' | b'/' | b':' | b'\'' | b'=' | b'2'..=b'9' => 3,
        _ => 5,
    };
    let inside = |word: &str, piece: &[u8]| word.as_bytes().windows(PIECE).any(|known| known.eq_ignore_ascii_case(piece));
    let common = |piece: &[u8]| COMMON.iter().any(|word| inside(word, piece));
    // Each of its pieces stops the search where it stands in a text; beyond that the stretch is as telling as its least telling piece.
    let telling = |stretch: usize| {
        let pieces = || word[stretch..stretch + step + PIECE - 1].windows(PIECE);
        let least = pieces().map(|piece| piece.iter().map(|byte| rarity(*byte)).sum::<u32>()).min().unwrap_or(0);
        let blanks = pieces().filter(|piece| piece.contains(&b' ')).count();
        (std::cmp::Reverse(4 * pieces().filter(|piece| common(piece)).count() + blanks), least)
    };
    let last = (word.len() + 1 - PIECE - step).min(MAX_BEFORE);
    (0..=last).rev().max_by_key(|stretch| telling(*stretch)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every word, found the plain way.
    fn plainly(words: &[Vec<u8>], any_case: bool, text: &[u8], from: usize) -> Option<Found> {
        let all = words.iter().enumerate().flat_map(|(word, bytes)| {
            let places = from..text.len();
            let fits = move |start: &usize| {
                let here = text.get(*start..start + bytes.len());
                here.is_some_and(|here| if any_case { here.eq_ignore_ascii_case(bytes) } else { here == bytes.as_slice() })
            };
            places.filter(fits).map(move |start| Found { start, end: start + bytes.len(), word })
        });
        all.filter(|found| found.end > found.start).min_by_key(|found| (found.start, std::cmp::Reverse(found.end), found.word))
    }

    #[test]
    fn the_first_and_longest_word_is_found() {
        let words = ["K10", "token:", "token: long", "PRIVATE KEY-----", "s3cr3t"].map(|word| word.as_bytes().to_vec()).to_vec();
        let needles = Needles::new(words, false).unwrap();
        let text = b"a token: long K10 TOKEN: -----BEGIN PRIVATE KEY-----s3cr3t";
        let mut search = needles.search(text);
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(next) = search.next(at) {
            found.push(std::str::from_utf8(&text[next.start..next.end]).unwrap());
            at = next.end;
        }
        assert_eq!(found, ["token: long", "K10", "PRIVATE KEY-----", "s3cr3t"]);
        assert_eq!(Needles::new(vec![], false).unwrap().search(text).next(0), None);
        let any = Needles::new(vec![b"token:".to_vec()], true).unwrap();
        assert_eq!(any.search(text).next(10).map(|found| found.start), Some(18));
    }

    proptest! {
        #[test]
        fn nothing_is_missed_and_nothing_else_is_found(
            words in proptest::collection::vec("[abAB:]{0,12}", 0..20),
            more in proptest::collection::vec("[a-c]{6,40}", 0..4),
            text in "[abcAB:]{0,120}",
            planted in proptest::collection::vec((0usize..9, 0usize..120), 0..4),
            any_case in any::<bool>(),
        ) {
            let mut words: Vec<Vec<u8>> = words.into_iter().chain(more).map(String::into_bytes).collect();
            words.sort();
            words.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
            let mut text = text.into_bytes();
            for (word, at) in planted {
                if let Some(word) = words.get(word) {
                    let at = at.min(text.len());
                    text.splice(at..at, word.iter().copied());
                }
            }
            let needles = Needles::new(words.clone(), any_case).unwrap();
            let mut search = needles.search(&text);
            let mut from = 0;
            loop {
                let (found, expected) = (search.next(from), plainly(&words, any_case, &text, from));
                prop_assert_eq!(found, expected);
                let Some(found) = found else { break };
                from = found.start + 1;
            }
        }
    }
}
