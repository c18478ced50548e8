//! Spots known failures in a stream as it comes, at nearly no cost. Pure.
//!
//! Each pattern of the catalogue needs some words to match at all. One search for all those words passes over everything else; only a
//! line that has one is judged by the catalogue. Patterns without such words are left to the judgement of a failure.

use std::sync::Arc;

use regex_syntax::hir::{Hir, HirKind};

use super::diagnose::{Catalogue, Hit};
use super::needles::Needles;

/// The shortest word that is searched for, bytes: shorter ones stand on every line.
const SHORTEST: usize = 4;

/// The longest line that is looked at, bytes.
const MAX_LINE: usize = 32 * 1024;

/// After so many lines in a row that had a word and were no failure, that word is noise in this stream and is passed over.
const MAX_JUDGED: u32 = 5_000;

/// Spots known failures, each once.
#[derive(Debug, Clone)]
pub struct Spotter {
    catalogue: Arc<Catalogue>,
    words: Option<Arc<Needles>>,
    partial: Vec<u8>,
    told: Vec<String>,
    held: Option<Hit>,
    /// By word: how many lines were judged for it since one was a failure.
    judged: Vec<u32>,
}

impl Spotter {
    /// With this catalogue.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        let mut words: Vec<String> = catalogue.issues().iter().filter_map(|issue| needed(&issue.pattern)).flatten().collect();
        words.iter_mut().for_each(|word| word.make_ascii_lowercase());
        words.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        let mut least: Vec<Vec<u8>> = Vec::new();
        for word in words {
            // What stands in another word is enough: it brings the same lines.
            if !least.iter().any(|known| memchr::memmem::find(word.as_bytes(), known).is_some()) {
                least.push(word.into_bytes());
            }
        }
        let built = Needles::new(least, true).ok().map(Arc::new);
        let judged = vec![0; built.as_ref().map_or(0, |words| words.words().len())];
        Self { catalogue, words: built, partial: Vec::new(), told: Vec::new(), held: None, judged }
    }

    /// Takes in output, secrets already removed; gives each known failure the first time it is seen. One that the playbook ignores is none,
    /// so a hit is held until the line behind it is there.
    pub fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(Hit)) {
        let Some(last) = memchr::memrchr(b'\n', bytes) else {
            self.keep(bytes);
            return;
        };
        let (lines, rest) = bytes.split_at(last + 1);
        let mut from = 0;
        if !self.partial.is_empty() {
            from = memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
            self.keep(&lines[..from]);
            let line = std::mem::take(&mut self.partial);
            self.block(&line, &mut tell);
        }
        self.block(&lines[from..], &mut tell);
        self.keep(rest);
    }

    /// The stream has ended.
    pub fn finish(&mut self, mut tell: impl FnMut(Hit)) {
        let line = std::mem::take(&mut self.partial);
        self.block(&line, &mut tell);
        if let Some(hit) = self.held.take() {
            tell(hit);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn block(&mut self, block: &[u8], tell: &mut impl FnMut(Hit)) {
        let Some(words) = self.words.clone() else { return };
        let mut search = words.search(block);
        let mut at = 0;
        if let Some(hit) = self.held.take_if(|_| !block.is_empty()) {
            let line = &block[..memchr::memchr(b'\n', block).unwrap_or(block.len())];
            if line.trim_ascii() != b"...ignoring" {
                self.told.push(hit.id.clone());
                tell(hit);
            }
        }
        while let Some(found) = search.next(at) {
            let place = found.start;
            let Some(judged) = self.judged.get_mut(found.word) else { return };
            if *judged >= MAX_JUDGED {
                at = place + 1;
                continue;
            }
            *judged += 1;
            let begin = memchr::memrchr(b'\n', &block[..place]).map_or(0, |feed| feed + 1);
            let end = memchr::memchr(b'\n', &block[place..]).map_or(block.len(), |feed| place + feed);
            at = (end + 1).min(block.len());
            let line = &block[begin..end.min(begin + MAX_LINE)];
            if let Some(hit) = self.catalogue.of_line(&String::from_utf8_lossy(line))
                && !self.told.contains(&hit.id)
            {
                *judged = 0;
                let next = &block[at..];
                if next.is_empty() {
                    self.held = Some(hit);
                } else if next[..memchr::memchr(b'\n', next).unwrap_or(next.len())].trim_ascii() != b"...ignoring" {
                    self.told.push(hit.id.clone());
                    tell(hit);
                }
            }
            if at >= block.len() {
                return;
            }
        }
    }
}

/// Words of which a text must have one for the pattern to match; none: there are no such words, or only short ones.
#[must_use]
pub fn needed(pattern: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    words_of(&hir).filter(|words| words.iter().all(|word| word.len() >= SHORTEST))
}

fn words_of(hir: &Hir) -> Option<Vec<String>> {
    let shortest = |words: &Vec<String>| words.iter().map(String::len).min().unwrap_or(0);
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(|word| vec![word.to_owned()]),
        HirKind::Capture(capture) => words_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => words_of(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(words_of).max_by_key(shortest),
        HirKind::Alternation(parts) => {
            let all: Option<Vec<Vec<String>>> = parts.iter().map(words_of).collect();
            all.map(|all| all.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::diagnose::SHIPPED;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::read(SHIPPED).unwrap()));
    static FRESH: LazyLock<Spotter> = LazyLock::new(|| Spotter::new(CATALOGUE.clone()));

    fn spotted(pieces: &[&[u8]]) -> Vec<String> {
        let (mut spotter, mut ids) = (FRESH.clone(), Vec::new());
        for piece in pieces {
            spotter.feed(piece, |hit| ids.push(hit.id));
        }
        spotter.finish(|hit| ids.push(hit.id));
        ids
    }

    #[test]
    fn every_sample_is_spotted_as_it_comes_and_no_harmless_line_is() {
        let mut wrong = Vec::new();
        for issue in CATALOGUE.issues() {
            assert!(needed(&issue.pattern).is_some(), "{}: no words can be searched for", issue.id);
            let found = spotted(&[b"before\n", issue.sample.as_bytes(), b"\nafter\n"]);
            if found != [issue.id.clone()] {
                wrong.push(format!("{}: {found:?}", issue.id));
            }
            for line in &issue.harmless {
                if !spotted(&[line.as_bytes(), b"\n"]).is_empty() {
                    wrong.push(format!("{}: {line}", issue.id));
                }
            }
        }
        for line in CATALOGUE.normals().iter().flat_map(|normal| &normal.samples) {
            if !spotted(&[line.as_bytes(), b"\n"]).is_empty() {
                wrong.push(line.clone());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_failure_is_told_once_and_not_when_it_is_ignored() {
        let failed = b"fatal: [vm1]: FAILED! => {\"msg\": \"Missing sudo password\"}\n";
        assert_eq!(spotted(&[failed, failed]), ["sudo-pass"]);
        assert_eq!(spotted(&[failed, b"...ignoring\n"]), [] as [&str; 0]);
        assert_eq!(spotted(&[&[failed.as_slice(), b"...ignoring\n"].concat()]), [] as [&str; 0]);
        assert_eq!(spotted(&[b"Missing sudo pass", b"word"]), ["sudo-pass"], "also when it comes in pieces and without a line end");
    }

    #[test]
    fn a_word_that_is_noise_hides_no_other() {
        let noise = b"ls: x: command not found\n".repeat(2 * MAX_JUDGED as usize);
        let pieces: [&[u8]; 2] = [&noise, b"sh: not found, and: Missing sudo password\n"];
        assert_eq!(spotted(&pieces), ["sudo-pass"]);
    }

    #[test]
    fn words_that_a_pattern_needs() {
        assert_eq!(needed("toomanyrequests|429 Too Many"), Some(vec!["toomanyrequests".into(), "429 Too Many".into()]));
        assert_eq!(needed("lookup (a|b) on 10[.]43[.]0[.]10:53"), Some(vec![" on 10.43.0.10:53".into()]));
        assert_eq!(needed("x*"), None);
        assert_eq!(needed("abc|defgh"), None, "a short word stands on too many lines");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(lines in proptest::collection::vec(0usize..200, 0..12), cuts in proptest::collection::vec(0usize..4000, 0..6)) {
            let samples: Vec<&str> = CATALOGUE.issues().iter().map(|issue| issue.sample.as_str()).collect();
            let text: String = lines.iter().map(|at| format!("{}\n", samples.get(*at).unwrap_or(&"nothing to see"))).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(spotted(&pieces), spotted(&[bytes]));
        }

        #[test]
        fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            spotted(&pieces);
        }
    }
}
