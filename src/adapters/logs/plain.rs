//! Lines of a log without what only a terminal understands.

/// Escape, carriage return, backspace: where none of them is, a text stands as it is shown.
const SPECIAL: (u8, u8, u8) = (0x1b, b'\r', 0x08);

/// Whether lines of this text are shown otherwise than they stand there.
#[must_use]
pub fn is_special(text: &[u8]) -> bool {
    memchr::memchr3(SPECIAL.0, SPECIAL.1, SPECIAL.2, text).is_some()
}

/// Appends a line as it is shown: without control sequences, and what was overwritten on it is gone.
pub fn plain_line(raw: &[u8], out: &mut Vec<u8>) {
    line(raw, out, &mut |_, _| false);
}

/// Appends a line that is safe on a terminal: colours stay, other control sequences are gone, control characters are written as `^X`.
pub fn safe_line(raw: &[u8], out: &mut Vec<u8>) {
    let mut shown = Vec::with_capacity(raw.len());
    let mut coloured = false;
    line(raw, &mut shown, &mut |sequence, out| {
        let colours = sequence.starts_with(b"\x1b[")
            && sequence.ends_with(b"m")
            && sequence[2..sequence.len() - 1].iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'));
        if colours {
            coloured = true;
            out.extend_from_slice(sequence);
        }
        colours
    });
    // What is left of control characters is not part of a sequence that stays.
    let mut at = 0;
    while at < shown.len() {
        let byte = shown[at];
        match byte {
            0x1b => {
                let length = sequence(&shown[at..]);
                out.extend_from_slice(&shown[at..at + length]);
                at += length;
                continue;
            }
            b'\t' => out.push(byte),
            0..=0x1f | 0x7f => out.extend_from_slice(&[b'^', byte & 0x1f | 0x40]),
            // The second control set, in UTF-8: some terminals take it for sequences.
            0xc2 if shown.get(at + 1).is_some_and(|next| (0x80..=0x9f).contains(next)) => {
                out.extend_from_slice(&[b'^', shown[at + 1] & 0x1f | 0x40]);
                at += 2;
                continue;
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    if coloured {
        out.extend_from_slice(b"\x1b[0m");
    }
}

fn line(raw: &[u8], out: &mut Vec<u8>, keep: &mut dyn FnMut(&[u8], &mut Vec<u8>) -> bool) {
    let end = raw.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    let (begin, mut rest) = (out.len(), &raw[..end]);
    while let Some(at) = memchr::memchr3(SPECIAL.0, SPECIAL.1, SPECIAL.2, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match rest[0] {
            b'\r' => {
                out.truncate(begin);
                rest = &rest[1..];
            }
            0x08 => {
                while out.len() > begin && out.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                rest = &rest[1..];
            }
            _ => {
                let length = sequence(rest);
                keep(&rest[..length], out);
                rest = &rest[length..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// How long the control sequence is that begins with an escape.
fn sequence(bytes: &[u8]) -> usize {
    let from = |begin: usize, ends: &dyn Fn(usize) -> Option<usize>| (begin..bytes.len()).find_map(ends).unwrap_or(bytes.len());
    match bytes.get(1) {
        None => 1,
        Some(b'[') => from(2, &|at| (0x40..=0x7e).contains(&bytes[at]).then_some(at + 1)),
        Some(b']' | b'P' | b'_' | b'^') => from(2, &|at| match bytes[at] {
            0x07 => Some(at + 1),
            0x1b if bytes.get(at + 1) == Some(&b'\\') => Some(at + 2),
            0x9c if bytes[at - 1] == 0xc2 => Some(at + 1),
            _ => None,
        }),
        Some(b'(' | b')') => bytes.len().min(3),
        Some(first) => {
            let letter = match first {
                0xf0.. => 4,
                0xe0..=0xef => 3,
                0xc0..=0xdf => 2,
                _ => 1,
            };
            bytes.len().min(1 + letter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(raw: &str) -> String {
        let mut out = Vec::new();
        plain_line(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn safe(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        safe_line(raw, &mut out);
        out
    }

    #[test]
    fn a_line_is_what_is_left_of_it_on_a_terminal() {
        for (raw, shown) in [
            ("\u{1b}[1;32mok\u{1b}[0m: vm1\r", "ok: vm1"),
            ("10%\r20%\r100% done\r\r", "100% done"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y", "xy"),
            ("aé\u{8}\u{8}\u{8}b", "b"),
            ("broken \u{1b}[", "broken "),
            ("\u{1b}(Bplain\u{1b}", "plain"),
        ] {
            assert_eq!(plain(raw), shown, "{raw:?}");
        }
        assert!(is_special(b"a\rb") && !is_special("ዓለም".as_bytes()));
    }

    #[test]
    fn on_a_terminal_only_colours_are_left() {
        assert_eq!(safe(b"\x1b[31mno\x1b[2J\x1b]52;c;YQ==\x07\x07 \x1b[0m"), b"\x1b[31mno^G \x1b[0m\x1b[0m");
        assert_eq!(safe("\u{9b}2Jx\tz".as_bytes()), b"^[2Jx\tz");
        assert_eq!(safe(b"\x1b[?1049h\x1b[6nplain"), b"plain");
    }

    proptest! {
        #[test]
        fn no_byte_stream_gets_through_to_a_terminal(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = safe(&raw);
            let mut at = 0;
            while at < shown.len() {
                if shown[at] == 0x1b {
                    let length = sequence(&shown[at..]);
                    prop_assert!(shown[at + 1] == b'[' && shown[at + length - 1] == b'm', "{:?}", &shown[at..at + length]);
                    at += length;
                } else {
                    prop_assert!(shown[at] == b'\t' || (shown[at] >= 0x20 && shown[at] != 0x7f), "{:?}", shown);
                    at += 1;
                }
            }
        }
    }
}
