//! The help of a screen, made from the table of keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::keymap::{self, Context};
use super::{text, theme, widgets};

/// Draws the help for where the focus was.
pub fn view(context: Context, top: usize, frame: &mut Frame<'_>, area: Rect) {
    let columns = 72.min(area.width.saturating_sub(10));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for part in [context, Context::Anywhere] {
        lines.push(Line::from(Span::styled(part.title(), theme::heading())));
        for (keys, sentence) in keymap::help(part) {
            let mut pieces = text::wrap(sentence, usize::from(columns).saturating_sub(23)).into_iter();
            let first = pieces.next().unwrap_or_default();
            lines.push(Line::from(vec![Span::styled(format!("  {}", text::fit(&keys, 21)), theme::key()), Span::raw(first)]));
            lines.extend(pieces.map(|piece| Line::from(format!("{:23}{piece}", ""))));
        }
        lines.push(Line::default());
    }
    let legend = [
        ("✓", "done, pass", theme::good()),
        ("!", "warned", theme::warn()),
        ("✗", "failed", theme::bad()),
        ("?", "could not be told", theme::bad()),
        ("–", "skipped", theme::faint()),
        ("↻", "stale: its answers have changed since", theme::warn()),
        ("○", "ignored by you", theme::warn()),
    ];
    lines.push(Line::from(Span::styled("Marks", theme::heading())));
    lines.extend(
        legend.into_iter().map(|(glyph, word, style)| Line::from(vec![Span::styled(format!("  {glyph:<21}"), style), Span::raw(word)])),
    );
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(2));
    let inner = widgets::popup(frame, area, "Help", columns, rows, theme::accent());
    widgets::paged(frame, inner, lines, top);
}
