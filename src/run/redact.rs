//! Removes secrets from output: known values in the forms tools print them, and what tools print by themselves.
//!
//! Known values are removed literally and in their JSON, URL and base64 forms. Patterns cover kubeconfig keys, tokens, WireGuard keys,
//! PEM private keys and Rancher import addresses. Work is done on whole lines; the beginning of a line is held back only while it may
//! be the beginning of a secret.

use std::borrow::Cow;

use aho_corasick::BuildError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::needles::Needles;

/// What stands in the place of a secret.
pub const MASK: &str = "(secret)";

/// The least length of a secret, bytes: anything shorter would mask ordinary text.
pub const MIN_SECRET: usize = 6;

/// The longest beginning of a line that is held back, bytes.
const MAX_HELD: usize = 256 * 1024;

/// Words that tools put before something secret, and what follows them.
const MARKERS: &[(&str, After)] = &[
    ("client-key-data", After::Value { min: 8 }),
    ("PrivateKey", After::Value { min: 8 }),
    ("PresharedKey", After::Value { min: 8 }),
    ("token:", After::Value { min: 16 }),
    ("token\":", After::Value { min: 16 }),
    ("Bearer ", After::Value { min: 16 }),
    ("/v3/import/", After::Word { min: 8 }),
    ("K10", After::Hex { min: 40 }),
    ("PRIVATE KEY-----", After::Pem),
];

/// What follows a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// A value behind quotes, blanks, `:` or `=`, of at least so many characters.
    Value { min: usize },
    /// A word that begins at once.
    Word { min: usize },
    /// Hexadecimal digits that begin at once.
    Hex { min: usize },
    /// A PEM block: everything up to its end.
    Pem,
}

/// Removes secrets.
#[derive(Debug, Clone)]
pub struct Redactor {
    needles: Needles,
    known: usize,
    /// Whether a known value reaches over the end of a line.
    long: bool,
}

impl Redactor {
    /// Prepares to remove these values. Values shorter than [`MIN_SECRET`] are left out; they are refused where secrets are read.
    ///
    /// # Errors
    /// The secrets together are too large to search for (gigabytes).
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, BuildError> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            for line in secret.lines().map(str::trim).filter(|line| line.len() >= MIN_SECRET) {
                patterns.extend(forms(line));
            }
            if secret.contains('\n') {
                patterns.extend(forms(secret.trim_end()));
            }
        }
        patterns.sort();
        patterns.dedup();
        let known = patterns.len();
        patterns.extend(MARKERS.iter().map(|(marker, _)| marker.as_bytes().to_vec()));
        let long = patterns.iter().any(|pattern| pattern.contains(&b'\n'));
        Ok(Self { needles: Needles::new(patterns, false)?, known, long })
    }

    /// The same, and one value more.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(&self, secret: &str) -> Result<Self, BuildError> {
        // Whatever form a known value has been given in, it is found by that.
        let known = self.needles.words().iter().take(self.known).filter_map(|pattern| std::str::from_utf8(pattern).ok());
        Self::new(known.chain([secret]))
    }

    /// Removes secrets from a whole text.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        let mut stream = Stream::new(self);
        stream.feed(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends a text without its secrets.
    pub fn append(&self, text: &[u8], out: &mut Vec<u8>) {
        self.block(text, &mut false, out);
    }

    /// Appends a block of lines without their secrets. `pem` says that the block begins inside a PEM block, and is kept up to date.
    fn block(&self, mut block: &[u8], pem: &mut bool, out: &mut Vec<u8>) {
        if *pem {
            let Some(end) = memchr::memmem::find(block, b"-----END") else { return };
            *pem = false;
            block = &block[end..];
        }
        let mut at = 0;
        let mut search = self.needles.search(block);
        while let Some(found) = search.next(at) {
            let (start, end, pattern) = (found.start, found.end, found.word);
            if pattern < self.known {
                out.extend_from_slice(&block[at..start]);
                out.extend_from_slice(MASK.as_bytes());
                at = end;
                continue;
            }
            out.extend_from_slice(&block[at..end]);
            at = end;
            let after = MARKERS.get(pattern - self.known).map(|(_, after)| *after);
            match after {
                Some(After::Pem) if block[..start].ends_with(b"-----END ") || ends_pem(&block[..start]) => {}
                Some(After::Pem) => {
                    out.extend_from_slice(MASK.as_bytes());
                    match memchr::memmem::find(&block[at..], b"-----END") {
                        Some(next) => at += next,
                        None => {
                            // The mask takes the place of the rest, but lines stay lines.
                            if block.ends_with(b"\n") {
                                out.push(b'\n');
                            }
                            *pem = true;
                            return;
                        }
                    }
                }
                Some(after) => {
                    let (skip, length, min) = value_after(after, &block[at..]);
                    if length >= min {
                        out.extend_from_slice(&block[at..at + skip]);
                        out.extend_from_slice(MASK.as_bytes());
                        let (begin, mut end) = (at + skip, at + skip + length);
                        // A known value in it may hold what ends a value, a quote for one: it is hidden to its own end.
                        let mut from = begin;
                        while let Some(found) = search.next(from).filter(|found| found.start < end) {
                            end = if found.word < self.known { end.max(found.end) } else { end };
                            from = found.start + 1;
                        }
                        at = end;
                    }
                }
                None => {}
            }
        }
        out.extend_from_slice(&block[at..]);
    }

    /// How many bytes at the end of a text may be the beginning of a secret or of what a marker hides.
    fn held(&self, text: &[u8]) -> usize {
        // A marker whose value is not complete holds everything from the marker on.
        for (marker, _) in MARKERS {
            if let Some(start) = memchr::memmem::rfind(text, marker.as_bytes()) {
                return text.len() - start;
            }
        }
        self.begun(text)
    }

    /// How many bytes at the end of a text may be the beginning of a known secret or of a marker.
    fn begun(&self, text: &[u8]) -> usize {
        let patterns = self.needles.words();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let from = text.len().saturating_sub(longest.saturating_sub(1));
        (from..text.len())
            .find(|start| patterns.iter().any(|pattern| pattern.starts_with(&text[*start..])))
            .map_or(0, |start| text.len() - start)
    }
}

fn ends_pem(before: &[u8]) -> bool {
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(before, |newline| &before[newline + 1..]);
    memchr::memmem::rfind(line, b"-----END").is_some_and(|end| memchr::memmem::rfind(line, b"-----BEGIN").is_none_or(|begin| begin < end))
}

/// (bytes to keep, length of the secret, least length) behind a marker.
fn value_after(after: After, rest: &[u8]) -> (usize, usize, usize) {
    let run = |from: usize, fits: &dyn Fn(u8) -> bool| rest[from..].iter().take_while(|byte| fits(**byte)).count();
    let word = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b',' | b'\\' | b'<' | b'>');
    match after {
        After::Value { min } => {
            let skip = run(0, &|byte| matches!(byte, b' ' | b'\t' | b':' | b'=' | b'"' | b'\'' | b'\\'));
            (skip, run(skip, &word), min)
        }
        After::Word { min } => (0, run(0, &word), min),
        After::Hex { min } => (0, run(0, &|byte| byte.is_ascii_alphanumeric() || byte == b':'), min),
        After::Pem => (0, 0, 1),
    }
}

/// The forms in which tools print a value.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    if let Ok(json) = serde_json::to_string(secret) {
        forms.push(json.trim_matches('"').as_bytes().to_vec());
    }
    let url = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
    forms.push(url.replace("%2D", "-").replace("%2E", ".").replace("%5F", "_").replace("%7E", "~").into_bytes());
    forms.push(url.into_bytes());
    forms.push(STANDARD.encode(secret).into_bytes());
    // Inside a longer base64 text the value begins at one of three offsets; the digits at its borders depend on its neighbours.
    for offset in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(secret.bytes()).collect();
        let encoded = STANDARD_NO_PAD.encode(&padded);
        let start = [0, 2, 3][offset];
        let end = encoded.len() - usize::from(!padded.len().is_multiple_of(3));
        if let Some(inner) = encoded.get(start..end).filter(|inner| inner.len() >= MIN_SECRET) {
            forms.push(inner.as_bytes().to_vec());
        }
    }
    forms
}

/// Removes secrets from a stream of bytes.
#[derive(Debug)]
pub struct Stream<'a> {
    redactor: Cow<'a, Redactor>,
    partial: Vec<u8>,
    pem: bool,
}

impl<'a> Stream<'a> {
    /// Begins a stream.
    #[must_use]
    pub fn new(redactor: &'a Redactor) -> Self {
        Self { redactor: Cow::Borrowed(redactor), partial: Vec::new(), pem: false }
    }

    /// From now on, removes what another redactor knows.
    pub fn learn(&mut self, redactor: Redactor) {
        self.redactor = Cow::Owned(redactor);
    }

    /// Takes in bytes and appends every whole line, without its secrets.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(last) = memchr::memrchr(b'\n', bytes) else {
            self.partial.extend_from_slice(bytes);
            self.relieve(out);
            return;
        };
        let (lines, rest) = bytes.split_at(last + 1);
        let mut whole_lines = lines;
        if !self.partial.is_empty() {
            // The line that has begun is put together, and the others with it only where a secret may reach over its end.
            let first = if self.redactor.long { lines.len() } else { memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1) };
            let (begun, others) = lines.split_at(first);
            self.partial.extend_from_slice(begun);
            self.redactor.block(&self.partial, &mut self.pem, out);
            self.partial.clear();
            whole_lines = others;
        }
        self.redactor.block(whole_lines, &mut self.pem, out);
        self.partial.extend_from_slice(rest);
        self.relieve(out);
    }

    /// Lets go of a beginning that is too long to be held, but for what may become a secret: a line may be longer than memory.
    fn relieve(&mut self, out: &mut Vec<u8>) {
        if self.partial.len() <= MAX_HELD {
            return;
        }
        let held = self.redactor.held(&self.partial);
        // What a marker hides may have no end either. What is told of it is masked up to here, as it is when the stream ends.
        let held = if held > MAX_HELD / 2 { self.redactor.begun(&self.partial) } else { held };
        self.release(out, held.min(MAX_HELD));
    }

    /// Whether the beginning of a line is held back.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Appends the beginning of a line, without what may become a secret. Called when no more has come for a while.
    pub fn flush_partial(&mut self, out: &mut Vec<u8>) {
        let held = if self.pem { self.partial.len() } else { self.redactor.held(&self.partial) };
        self.release(out, held);
    }

    /// Appends all that is left.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(out, 0);
    }

    fn release(&mut self, out: &mut Vec<u8>, held: usize) {
        let keep = self.partial.split_off(self.partial.len() - held);
        let ready = std::mem::replace(&mut self.partial, keep);
        self.redactor.block(&ready, &mut self.pem, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "s3cr3t/p\"ss&w0rd";

    fn redactor() -> Redactor {
        Redactor::new([SECRET, "anotherone"]).unwrap()
    }

    #[test]
    fn every_form_of_a_secret_is_removed() {
        let redactor = redactor();
        let json = serde_json::to_string(&format!("x{SECRET}y")).unwrap();
        let url = percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string();
        for (form, kept) in [(format!("a {SECRET} b"), "a (secret) b"), (json, "\"x(secret)y\""), (format!("u={url}&"), "u=(secret)&")] {
            assert_eq!(redactor.text(&form), kept);
        }
        for prefix in ["", "u", "us", "user:"] {
            let encoded = STANDARD.encode(format!("{prefix}{SECRET}"));
            assert!(redactor.text(&encoded).contains(MASK), "{prefix}: {encoded}");
        }
    }

    #[test]
    fn what_tools_print_by_themselves_is_removed() {
        let redactor = Redactor::new([]).unwrap();
        let table = [
            ("    client-key-data: LS0tLS1CRUdJTiBSU0E=\n", "    client-key-data: (secret)\n"),
            ("PrivateKey = aGVsbG8gd29ybGQ=\n", "PrivateKey = (secret)\n"),
            ("{\"token\": \"abcdefghijklmnopqrst\"}", "{\"token\": \"(secret)\"}"),
            ("https://rancher.a.b/v3/import/abcdefgh_c-m-x.yaml and", "https://rancher.a.b/v3/import/(secret) and"),
            (
                "-----BEGIN PRIVATE KEY-----\nMII\nabc\n-----END PRIVATE KEY-----\nok\n",
                "-----BEGIN PRIVATE KEY-----(secret)-----END PRIVATE KEY-----\nok\n",
            ),
            ("a token: short\n", "a token: short\n"),
        ];
        for (text, expected) in table {
            assert_eq!(redactor.text(text), expected);
        }
    }

    #[test]
    fn the_lines_of_a_long_secret_are_removed_wherever_the_stream_is_cut() {
        let redactor = Redactor::new(["first-line-of-it\nxy\nlast-line-of-it"]).unwrap();
        let text = b"before\nfirst-line-of-it\nxy\nlast-line-of-it\nafter\n";
        for cut in 0..=text.len() {
            let (mut stream, mut out) = (Stream::new(&redactor), Vec::new());
            stream.feed(&text[..cut], &mut out);
            stream.feed(&text[cut..], &mut out);
            stream.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert!(
                out.starts_with("before\n(secret)\n") && out.ends_with("\nafter\n") && !out.contains("line-of-it"),
                "cut at {cut}: {out}"
            );
        }
    }

    #[test]
    fn a_partial_line_is_flushed_unless_it_begins_a_secret() {
        let redactor = redactor();
        let mut stream = Stream::new(&redactor);
        let mut out = Vec::new();
        stream.feed(b"Password: ", &mut out);
        stream.flush_partial(&mut out);
        assert_eq!(out, b"Password: ");
        stream.feed(b"anoth", &mut out);
        stream.flush_partial(&mut out);
        assert_eq!(out, b"Password: ", "the beginning of a secret is held back");
        stream.feed(b"erone!\n", &mut out);
        assert_eq!(out, b"Password: (secret)!\n");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_hides_its_secrets() {
        let redactor = redactor();
        for filler in ["x", "PrivateKey = y"] {
            let (mut stream, mut out, mut shown, mut most) = (Stream::new(&redactor), Vec::new(), Vec::new(), 0);
            // A secret across each border at which a part of the line is let go.
            let text = format!("{}{SECRET}", filler.repeat(9973 / filler.len())).repeat(400);
            for piece in text.as_bytes().chunks(8 * 1024) {
                stream.feed(piece, &mut out);
                most = most.max(stream.partial.capacity());
                shown.append(&mut out);
            }
            stream.finish(&mut out);
            shown.append(&mut out);
            let shown = String::from_utf8(shown).unwrap();
            assert!(most <= 4 * MAX_HELD, "{most}");
            assert!(!shown.contains("s3cr3t") && !shown.contains("w0rd") && shown.contains(MASK), "{filler}");
        }
    }

    proptest! {
        #[test]
        fn no_cut_of_the_stream_lets_a_secret_through(before in "[a-z \n]{0,20}", after in "[a-z \n]{0,20}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let redactor = redactor();
            let text = format!("{before}{SECRET}{after}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut out, mut at, mut stream) = (Vec::new(), 0, Stream::new(&redactor));
            for cut in cuts {
                stream.feed(&text.as_bytes()[at..cut], &mut out);
                stream.flush_partial(&mut out);
                at = cut;
            }
            stream.feed(&text.as_bytes()[at..], &mut out);
            stream.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.contains(SECRET));
            prop_assert_eq!(out, format!("{before}{MASK}{after}"));
        }

        #[test]
        fn bytes_without_secrets_are_unchanged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(!bytes.windows(3).any(|window| window == b"K10"));
            let redactor = redactor();
            let (mut out, mut stream) = (Vec::new(), Stream::new(&redactor));
            for chunk in bytes.chunks(7) {
                stream.feed(chunk, &mut out);
            }
            stream.finish(&mut out);
            prop_assert_eq!(out, bytes);
        }
    }
}
