//! Semantic styles, and what becomes of them on terminals with less to offer.
//!
//! Views draw with all means; [`Look::apply`] then brings the finished frame down to what the terminal has. A state is always a glyph and
//! a word, so nothing is lost without colour.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::install::check::Verdict;
use crate::run::state::PhaseState;

/// How many colours a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// None, or none wanted.
    None,
    /// Sixteen.
    Sixteen,
    /// 256 or more.
    #[default]
    Many,
}

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Its colours.
    pub depth: Depth,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { depth: Depth::Many, unicode: true }
    }
}

impl Look {
    /// Reads `NO_COLOR`, `TERM`, `COLORTERM`, `LC_ALL`, `LC_CTYPE` and `LANG` through `variable`.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let depth = if set("NO_COLOR").is_some() || term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2") {
            Depth::None
        } else if set("COLORTERM").is_some() || term.contains("256") || term.contains("direct") {
            Depth::Many
        } else {
            Depth::Sixteen
        };
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
        Self { depth, unicode: term != "linux" && (locale.contains("utf-8") || locale.contains("utf8")) }
    }

    /// Brings a finished frame down to what the terminal has.
    pub fn apply(self, buffer: &mut Buffer) {
        if self == Self::default() {
            return;
        }
        for cell in &mut buffer.content {
            if !self.unicode && !cell.symbol().is_ascii() {
                let plain = plain_symbol(cell.symbol());
                cell.set_symbol(plain);
            }
            match self.depth {
                Depth::Many => {}
                Depth::Sixteen => {
                    if cell.bg == SELECT {
                        cell.bg = Color::Reset;
                        cell.modifier |= Modifier::REVERSED;
                    }
                    cell.fg = sixteen(cell.fg);
                    cell.bg = sixteen(cell.bg);
                }
                Depth::None => {
                    if cell.bg != Color::Reset {
                        cell.modifier |= Modifier::REVERSED;
                    }
                    if cell.fg == FAINT {
                        cell.modifier |= Modifier::DIM;
                    }
                    cell.fg = Color::Reset;
                    cell.bg = Color::Reset;
                }
            }
        }
    }
}

fn plain_symbol(symbol: &str) -> &'static str {
    match symbol.chars().next().unwrap_or(' ') {
        '│' | '┃' | '▌' | '▐' | '├' | '┤' => "|",
        '─' | '━' | '–' | '—' => "-",
        '╭' | '╮' | '╰' | '╯' | '┬' | '┴' | '┼' => "+",
        '✓' => "+",
        '✗' => "x",
        '▶' | '›' | '▸' | '→' => ">",
        '◂' | '‹' | '←' => "<",
        '↑' => "^",
        '↓' => "v",
        '·' => ".",
        '↻' => "~",
        '■' | '█' => "#",
        '░' => ".",
        '•' | '●' => "*",
        '○' => "o",
        '…' => "~",
        '\u{a0}' => " ",
        _ => "?",
    }
}

/// The sixteen colours every terminal has, by their number.
pub(super) const BASIC: [Color; 16] = [
    Color::Black,
    Color::Red,
    Color::Green,
    Color::Yellow,
    Color::Blue,
    Color::Magenta,
    Color::Cyan,
    Color::Gray,
    Color::DarkGray,
    Color::LightRed,
    Color::LightGreen,
    Color::LightYellow,
    Color::LightBlue,
    Color::LightMagenta,
    Color::LightCyan,
    Color::White,
];

fn sixteen(color: Color) -> Color {
    match color {
        FAINT => Color::DarkGray,
        LINE => Color::DarkGray,
        Color::Indexed(index) if index < 16 => BASIC[usize::from(index)],
        Color::Indexed(index @ 16..=231) => {
            let index = index - 16;
            nearest(index / 36 * 51, index / 6 % 6 * 51, index % 6 * 51)
        }
        Color::Indexed(index) => {
            let grey = 8 + (index - 232) * 10;
            nearest(grey, grey, grey)
        }
        Color::Rgb(red, green, blue) => nearest(red, green, blue),
        other => other,
    }
}

fn nearest(red: u8, green: u8, blue: u8) -> Color {
    let high = red.max(green).max(blue);
    let on = |part: u8| high > 60 && part >= high - high / 3;
    match (on(red), on(green), on(blue)) {
        (false, false, false) => Color::DarkGray,
        (true, false, false) => Color::Red,
        (false, true, false) => Color::Green,
        (true, true, false) => Color::Yellow,
        (false, false, true) => Color::Blue,
        (true, false, true) => Color::Magenta,
        (false, true, true) => Color::Cyan,
        (true, true, true) => Color::Gray,
    }
}

const SELECT: Color = Color::Indexed(238);
const FAINT: Color = Color::Indexed(245);
const LINE: Color = Color::Indexed(240);

/// Plain text.
#[must_use]
pub fn text() -> Style {
    Style::new()
}

/// Text of second rank.
#[must_use]
pub fn faint() -> Style {
    Style::new().fg(FAINT)
}

/// Lines and frames.
#[must_use]
pub fn line() -> Style {
    Style::new().fg(LINE)
}

/// Headings.
#[must_use]
pub fn heading() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What has the focus.
#[must_use]
pub fn accent() -> Style {
    Style::new().fg(Color::Cyan)
}

/// The heading of the part that has the focus.
#[must_use]
pub fn accent_heading() -> Style {
    accent().add_modifier(Modifier::BOLD)
}

/// The line under the cursor in the part that has the focus.
#[must_use]
pub fn selected() -> Style {
    Style::new().bg(SELECT).add_modifier(Modifier::BOLD)
}

/// The line under the cursor in a part without focus.
#[must_use]
pub fn marked() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// A key.
#[must_use]
pub fn key() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// Good.
#[must_use]
pub fn good() -> Style {
    Style::new().fg(Color::Green)
}

/// Deserves a look.
#[must_use]
pub fn warn() -> Style {
    Style::new().fg(Color::Yellow)
}

/// Bad.
#[must_use]
pub fn bad() -> Style {
    Style::new().fg(Color::Red)
}

/// Goes on.
#[must_use]
pub fn busy() -> Style {
    Style::new().fg(Color::Cyan)
}

/// The banner of a rehearsal.
#[must_use]
pub fn rehearsal() -> Style {
    Style::new().fg(Color::Black).bg(Color::Magenta).add_modifier(Modifier::BOLD)
}

/// A place to type in.
#[must_use]
pub fn entry() -> Style {
    Style::new().add_modifier(Modifier::UNDERLINED)
}

/// A match of a search.
#[must_use]
pub fn found() -> Style {
    Style::new().fg(Color::Black).bg(Color::Yellow)
}

/// What must not be overlooked: that not all of something is shown.
#[must_use]
pub fn badge() -> Style {
    Style::new().fg(Color::Black).bg(Color::Cyan).add_modifier(Modifier::BOLD)
}

/// Glyph, word and style of a phase's state.
#[must_use]
pub fn phase(state: PhaseState) -> (&'static str, &'static str, Style) {
    match state {
        PhaseState::Pending => ("·", "pending", faint()),
        PhaseState::Running => ("▶", "running", busy()),
        PhaseState::Done => ("✓", "done", good()),
        PhaseState::Warned => ("!", "warned", warn()),
        PhaseState::Skipped => ("–", "skipped", warn()),
        PhaseState::Failed => ("✗", "failed", bad()),
        PhaseState::Interrupted => ("?", "interrupted", bad()),
        PhaseState::Stale => ("↻", "stale", warn()),
        PhaseState::Stopped => ("■", "stopped", warn()),
    }
}

/// Glyph, word and style of a verdict.
#[must_use]
pub fn verdict(verdict: Verdict, ignored: bool) -> (&'static str, &'static str, Style) {
    match verdict {
        Verdict::Fail | Verdict::Unknown if ignored => ("○", "ignored", warn()),
        Verdict::Pass => ("✓", "pass", good()),
        Verdict::Warn => ("!", "warn", warn()),
        Verdict::Fail => ("✗", "fail", bad()),
        Verdict::Skipped => ("–", "skipped", faint()),
        Verdict::Unknown => ("?", "unknown", bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    fn look(pairs: &[(&str, &str)]) -> Look {
        Look::detect(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_decides() {
        assert_eq!(look(&[("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8")]), Look { depth: Depth::Many, unicode: true });
        assert!(!look(&[("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]).unicode);
        assert_eq!(look(&[("TERM", "xterm"), ("LANG", "C.UTF-8")]).depth, Depth::Sixteen);
        assert_eq!(look(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]).depth, Depth::None);
        assert!(!look(&[]).unicode);
    }

    #[test]
    fn a_frame_without_unicode_is_ascii_and_one_without_colour_has_none() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "✓ │ नमस्ते 名", selected().fg(Color::Green));
        Look { depth: Depth::None, unicode: false }.apply(&mut buffer);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii() && cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(buffer.content[0].modifier.contains(Modifier::REVERSED));
    }
}
