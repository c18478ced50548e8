//! Text from outside made fit for a screen: colours kept, control characters tamed, widths counted, long lines cut or wrapped.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme;
use crate::adapters::logs::pattern::Pattern;

/// How many columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text cut to a width, with `…` where something is missing.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        cut.push(letter);
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// A text cut in its middle, for paths: both ends tell something.
#[must_use]
pub fn cut_middle(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if text.width() <= columns || columns < 5 {
        return cut(text, columns);
    }
    let keep = columns - 1;
    let head: String = text.chars().take(keep / 3).collect();
    let tail: String = text.chars().skip(length.saturating_sub(keep - keep / 3)).collect();
    cut(&format!("{head}…{tail}"), columns)
}

/// Paths cut to a width, so that no two look the same: where cutting in the middle takes away what tells two of them apart, that part of
/// the path is shown instead, with the file's name.
#[must_use]
pub fn told_apart(paths: &[&str], columns: usize) -> Vec<String> {
    let plain: Vec<String> = paths.iter().map(|path| cut_middle(path, columns)).collect();
    let same = |at: usize| (0..plain.len()).filter(move |&other| other != at);
    let told = |at: usize| {
        let twins: Vec<&str> =
            same(at).filter(|&other| plain[other] == plain[at] && paths[other] != paths[at]).map(|other| paths[other]).collect();
        if twins.is_empty() {
            return plain[at].clone();
        }
        let parts: Vec<&str> = paths[at].split('/').collect();
        let differs = |twin: &str, from_end: usize| {
            let other: Vec<&str> = twin.split('/').collect();
            other.len().checked_sub(from_end).and_then(|index| other.get(index).copied()) != Some(parts[parts.len() - from_end])
        };
        // The last part in which it differs from one of them.
        let Some(from_end) = (1..=parts.len()).find(|&from_end| twins.iter().any(|twin| differs(twin, from_end))) else {
            return plain[at].clone();
        };
        let (part, name) = (parts[parts.len() - from_end], parts[parts.len() - 1]);
        if from_end == 1 {
            return cut_middle(name, columns);
        }
        let between = if from_end > 2 { "/…/" } else { "/" };
        let name = cut(name, columns.saturating_sub(between.chars().count() + 6));
        let room = columns.saturating_sub(name.width() + between.chars().count());
        cut(&format!("{}{between}{name}", cut(part, room)), columns)
    };
    (0..paths.len()).map(told).collect()
}

/// A text cut or filled with blanks to exactly a width.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let mut fitted = cut(text, columns);
    let missing = columns.saturating_sub(fitted.width());
    fitted.extend(std::iter::repeat_n(' ', missing));
    fitted
}

/// Breaks a text at blanks into lines of at most a width; line breaks stay, long words are broken.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= columns {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for letter in word.chars() {
                if line.width() + letter.width().unwrap_or(0) > columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(letter);
            }
        }
        lines.push(line);
    }
    lines
}

/// A raw line of output for the screen: SGR colours become styles, a carriage return begins the line anew, tabs reach the next eighth
/// column, other control sequences vanish and stray control characters show as `^X`.
#[must_use]
pub fn tame(raw: &str) -> Line<'static> {
    let raw = raw.trim_end_matches('\r');
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut style = Style::new();
    let mut piece = String::new();
    let mut column = 0;
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.next() {
                Some('[') => {
                    let mut parameters = String::new();
                    let mut ending = None;
                    for next in letters.by_ref() {
                        if ('\u{40}'..='\u{7e}').contains(&next) {
                            ending = Some(next);
                            break;
                        }
                        parameters.push(next);
                    }
                    if ending == Some('m') {
                        flush(&mut spans, &mut piece, style);
                        style = sgr(style, &parameters);
                    }
                }
                Some(']' | 'P' | '_' | '^') => {
                    while let Some(next) = letters.next() {
                        if next == '\u{7}' || next == '\u{9c}' || (next == '\u{1b}' && letters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some('(' | ')') => drop(letters.next()),
                _ => {}
            },
            '\r' => {
                spans.clear();
                piece.clear();
                column = 0;
            }
            '\t' => {
                let blanks = 8 - column % 8;
                piece.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            '\u{8}' => {
                if let Some(gone) = piece.pop() {
                    column -= gone.width().unwrap_or(0).min(column);
                }
            }
            // Characters that turn the direction of a line or hide could make it say something else than it does.
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => {}
            control if control.is_control() => {
                piece.push('^');
                piece.push(char::from_u32(u32::from(control) & 0x1f | 0x40).unwrap_or('?'));
                column += 2;
            }
            letter => {
                piece.push(letter);
                column += letter.width().unwrap_or(0);
            }
        }
    }
    flush(&mut spans, &mut piece, style);
    Line::from(spans)
}

/// The text of a tamed line.
#[must_use]
pub fn plain(line: &Line<'_>) -> String {
    line.spans.iter().map(|span| span.content.as_ref()).collect()
}

fn flush(spans: &mut Vec<Span<'static>>, piece: &mut String, style: Style) {
    if !piece.is_empty() {
        spans.push(Span::styled(std::mem::take(piece), style));
    }
}

fn sgr(mut style: Style, parameters: &str) -> Style {
    let mut codes = parameters.split([';', ':']).map(|code| code.parse::<u8>().unwrap_or(0));
    while let Some(code) = codes.next() {
        style = match code {
            0 => Style::new(),
            1 => style.add_modifier(Modifier::BOLD),
            2 => style.add_modifier(Modifier::DIM),
            3 => style.add_modifier(Modifier::ITALIC),
            4 => style.add_modifier(Modifier::UNDERLINED),
            7 => style.add_modifier(Modifier::REVERSED),
            22 => style.remove_modifier(Modifier::BOLD | Modifier::DIM),
            23 => style.remove_modifier(Modifier::ITALIC),
            24 => style.remove_modifier(Modifier::UNDERLINED),
            27 => style.remove_modifier(Modifier::REVERSED),
            30..=37 => style.fg(basic(code - 30)),
            39 => style.fg(Color::Reset),
            40..=47 => style.bg(basic(code - 40)),
            49 => style.bg(Color::Reset),
            90..=97 => style.fg(bright(code - 90)),
            100..=107 => style.bg(bright(code - 100)),
            38 | 48 => {
                let color = match codes.next() {
                    Some(5) => codes.next().map(Color::Indexed),
                    Some(2) => match (codes.next(), codes.next(), codes.next()) {
                        (Some(red), Some(green), Some(blue)) => Some(Color::Rgb(red, green, blue)),
                        _ => None,
                    },
                    _ => None,
                };
                match color {
                    Some(color) if code == 38 => style.fg(color),
                    Some(color) => style.bg(color),
                    None => style,
                }
            }
            _ => style,
        };
    }
    style
}

fn basic(code: u8) -> Color {
    [Color::Black, Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan, Color::Gray][usize::from(code.min(7))]
}

fn bright(code: u8) -> Color {
    super::theme::BASIC[8 + usize::from(code.min(7))]
}

/// A styled line cut to a width, with `…` where something is missing.
#[must_use]
pub fn cut_line(line: Line<'static>, columns: usize) -> Line<'static> {
    if line.width() <= columns {
        return line;
    }
    let mut first = wrap_line(&line, columns.saturating_sub(1)).into_iter().next().unwrap_or_default();
    first.spans.push(Span::styled("…", theme::faint()));
    first
}

/// Cuts a styled line into pieces of at most a width; one piece where it fits.
#[must_use]
pub fn wrap_line(line: &Line<'static>, columns: usize) -> Vec<Line<'static>> {
    let columns = columns.max(1);
    if line.width() <= columns {
        return vec![line.clone()];
    }
    let mut lines = Vec::new();
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for span in &line.spans {
        let mut piece = String::new();
        for letter in span.content.chars() {
            let wide = letter.width().unwrap_or(0);
            if used + wide > columns {
                flush(&mut spans, &mut piece, span.style);
                lines.push(Line::from(std::mem::take(&mut spans)));
                used = 0;
            }
            piece.push(letter);
            used += wide;
        }
        flush(&mut spans, &mut piece, span.style);
    }
    lines.push(Line::from(spans));
    lines
}

/// Marks every place of a styled line that a pattern matches.
#[must_use]
pub fn highlight(line: Line<'static>, pattern: &Pattern, mark: Style) -> Line<'static> {
    let whole = plain(&line);
    let mut ranges = pattern.ranges(&whole).peekable();
    if ranges.peek().is_none() {
        return line;
    }
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut offset = 0;
    for span in &line.spans {
        let (mut piece, mut inside) = (String::new(), false);
        for letter in span.content.chars() {
            while ranges.next_if(|range| range.end <= offset).is_some() {}
            let hit = ranges.peek().is_some_and(|range| range.start <= offset);
            if hit != inside {
                flush(&mut spans, &mut piece, if inside { mark } else { span.style });
                inside = hit;
            }
            piece.push(letter);
            offset += letter.len_utf8();
        }
        flush(&mut spans, &mut piece, if inside { mark } else { span.style });
    }
    Line::from(spans)
}

/// A styled line without its first columns.
#[must_use]
pub fn from_column(line: Line<'static>, columns: usize) -> Line<'static> {
    let mut left = columns;
    let mut spans = Vec::new();
    for span in line.spans {
        let mut piece = String::new();
        for letter in span.content.chars() {
            if left == 0 {
                piece.push(letter);
                continue;
            }
            let wide = letter.width().unwrap_or(0);
            // Of a wide letter that is cut in two a blank is left.
            piece.extend(std::iter::repeat_n(' ', wide.saturating_sub(left)));
            left = left.saturating_sub(wide);
        }
        flush(&mut spans, &mut piece, span.style);
    }
    Line::from(spans)
}

/// A duration in words: `42 s`, `4 min 05 s`, `3 h 07 min`.
#[must_use]
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Expected minutes in words: `3-5 min`, `1 h-1 h 30`.
#[must_use]
pub fn expected(minutes: Option<(u32, u32)>) -> String {
    let Some((from, to)) = minutes else { return String::new() };
    if to < 90 {
        return if from == to { format!("{to} min") } else { format!("{from}-{to} min") };
    }
    let hours = |minutes: u32| {
        if minutes.is_multiple_of(60) { format!("{}", minutes / 60) } else { format!("{}:{:02}", minutes / 60, minutes % 60) }
    };
    if from == to { format!("{} h", hours(to)) } else { format!("{}-{} h", hours(from), hours(to)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::logs::plain::plain_line;
    use proptest::prelude::*;

    #[test]
    fn colours_stay_and_everything_else_is_tamed() {
        let line = tame("\u{1b}[1;32mok\u{1b}[0m: \u{1b}[38;5;208mvm1\u{1b}[K\u{1b}]0;title\u{7}\u{202e}x\u{7}");
        assert_eq!(plain(&line), "ok: vm1x^G");
        assert_eq!(line.spans[0].style, Style::new().fg(Color::Green).add_modifier(Modifier::BOLD));
        assert_eq!(line.spans[2].style, Style::new().fg(Color::Indexed(208)));
        assert_eq!(plain(&tame("10%\r20%\r100% done\r")), "100% done");
        assert_eq!(plain(&tame("a\tb")), "a       b");
        assert_eq!(plain(&tame("broken \u{1b}[")), "broken ");
        assert_eq!(plain(&tame("broken \u{1b}]0;never ends")), "broken ");
    }

    proptest! {
        #[test]
        fn any_bytes_stay_in_their_pane(raw in proptest::collection::vec(any::<u8>(), 0..300), columns in 1_usize..40, shift in 0_usize..50) {
            let line = tame(&String::from_utf8_lossy(&raw));
            let pattern = Pattern::read("[a-m]+").unwrap();
            let hidden = |letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter) || letter == '\u{2028}';
            prop_assert!(!plain(&line).chars().any(hidden), "{:?}", plain(&line));
            for piece in wrap_line(&line, columns) {
                // A letter wider than the pane stands alone.
                prop_assert!(piece.width() <= columns.max(2), "{:?}", piece);
            }
            prop_assert!(cut_line(line.clone(), columns).width() <= columns.max(2));
            prop_assert!(from_column(line.clone(), shift).width() <= line.width().saturating_sub(shift));
            prop_assert_eq!(plain(&highlight(line.clone(), &pattern, Style::new())), plain(&line));
        }

        #[test]
        fn what_is_searched_is_what_is_shown(parts in proptest::collection::vec("[ab é名]|\u{1b}\\[3[0-7]m|\u{1b}\\[K|\r|\u{1b}\\]0;t\u{7}|\u{1b}\\(B", 0..20)) {
            let raw = parts.concat();
            let mut searched = Vec::new();
            plain_line(raw.as_bytes(), &mut searched);
            prop_assert_eq!(String::from_utf8(searched).unwrap(), plain(&tame(&raw)));
        }
    }

    #[test]
    fn wide_letters_take_two_columns() {
        assert_eq!(fit("名前です", 5), "名前…");
        assert_eq!(width(&fit("名前です", 6)), 6);
        assert_eq!(wrap_line(&Line::from("名前です"), 3).len(), 4);
        assert_eq!(cut("ሰላም ዓለም", 20), "ሰላም ዓለም");
        assert_eq!(cut_middle("/home/ubuntu/mosip/sandbox/site.toml", 20).width(), 20);
    }

    #[test]
    fn paths_that_would_look_the_same_show_where_they_differ() {
        let paths = [
            "kit/terraform/obs_deployment/terraform.tfvars",
            "kit/terraform/mosip_deployment/terraform.tfvars",
            "kit/playbooks/roles/nginx/files/fullchain.pem",
            "kit/playbooks/roles/nginx_obs/files/fullchain.pem",
            "kit/inventory/hosts.ini",
        ];
        let shown = told_apart(&paths, 24);
        assert_eq!(
            shown,
            [
                "obs_de…/terraform.tfvars",
                "mosip_…/terraform.tfvars",
                "nginx/…/fullchain.pem",
                "nginx_o…/…/fullchain.pem",
                "kit/inventory/hosts.ini"
            ]
            .map(|text| cut(text, 24))
        );
        assert!(shown.iter().all(|text| text.width() <= 24));
        assert_eq!(told_apart(&paths, 80), paths);
    }

    #[test]
    fn paragraphs_are_wrapped_and_long_words_broken() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a\n\nb", 4), ["a", "", "b"]);
    }

    #[test]
    fn matches_are_marked() {
        let marked = |pattern: &str| {
            let line = highlight(tame("Fatal: \u{1b}[31mfatal\u{1b}[0m"), &Pattern::read(pattern).unwrap(), Style::new().bg(Color::Yellow));
            assert_eq!(plain(&line), "Fatal: fatal");
            let spans = line.spans.iter().filter(|span| span.style.bg == Some(Color::Yellow));
            spans.map(|span| span.content.to_string()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(marked("fatal"), "Fatal|fatal");
        assert_eq!(marked("al: f"), "al: |f", "also across colours");
        assert_eq!((marked("F.t"), marked("x*")), ("Fat".into(), String::new()));
    }

    #[test]
    fn a_line_goes_on_to_the_right() {
        let line = || tame("ab\u{1b}[31mc名d\u{1b}[0m");
        assert_eq!(plain(&from_column(line(), 0)), "abc名d");
        assert_eq!(plain(&from_column(line(), 2)), "c名d");
        assert_eq!(plain(&from_column(line(), 4)), " d", "half of a wide letter is a blank");
        assert_eq!(from_column(line(), 2).spans[0].style, Style::new().fg(Color::Red));
        assert_eq!(plain(&from_column(line(), 99)), "");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(duration(42_000), "42 s");
        assert_eq!(duration(245_000), "4 min 05 s");
        assert_eq!(duration(11_220_000), "3 h 07 min");
        assert_eq!(expected(Some((3, 5))), "3-5 min");
        assert_eq!(expected(Some((60, 90))), "1-1:30 h");
    }
}
