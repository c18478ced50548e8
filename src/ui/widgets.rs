//! What the screens share: the page around them, lists, buttons, bars, lines of text.

use ratatui::Frame;
use ratatui::layout::{Alignment, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use super::app::{Model, Screen};
use super::input;
use super::keymap;
use super::popup::Popup;
use super::{layout, run_keys, text, theme};

const BANNER: &str = "REHEARSAL";

/// An area without its left and upper edges.
#[must_use]
pub fn inset(area: Rect, left: u16, top: u16) -> Rect {
    let (left, top) = (left.min(area.width), top.min(area.height));
    Rect::new(area.x + left, area.y + top, area.width - left, area.height - top)
}

/// Says politely that the terminal is too small.
pub fn too_small(frame: &mut Frame<'_>, area: Rect, rehearsal: bool) {
    let mut lines = vec![
        Line::from(Span::styled("This terminal is too small", theme::heading())),
        Line::from(format!("{} x {}; please make it 60 x 15 or larger.", area.width, area.height)),
        Line::from(Span::styled("Nothing is lost; a run goes on.", theme::faint())),
    ];
    if rehearsal {
        lines.insert(0, Line::from(Span::styled(format!(" {BANNER} "), theme::rehearsal())));
    }
    let height = u16::try_from(lines.len()).unwrap_or(4).min(area.height);
    let middle = Rect::new(area.x, area.y + (area.height - height) / 2, area.width, height);
    frame.render_widget(Paragraph::new(lines).alignment(Alignment::Center), middle);
}

/// Draws header, banner, status and footer; what is left is the screen's.
pub fn page(model: &Model, frame: &mut Frame<'_>, area: Rect) -> Rect {
    let parts = layout::page(area, model.rehearsal);
    header(model, frame, parts.header);
    if model.rehearsal {
        let say = "nothing outside a scratch folder is touched";
        let wide = usize::from(area.width);
        let middle = wide.saturating_sub(2 * (BANNER.len() + 2));
        let pad = middle.saturating_sub(say.len());
        let line = format!(" {BANNER} {}{say}{} {BANNER} ", " ".repeat(pad / 2), " ".repeat(pad - pad / 2));
        frame.render_widget(Line::from(Span::styled(text::fit(&line, wide), theme::rehearsal())), parts.banner);
    }
    rule(frame, parts.rule);
    status(model, frame, parts.status);
    footer(model, frame, parts.footer);
    parts.body
}

fn header(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::styled(" mosip-setup  ", theme::accent_heading())];
    if model.screen == Screen::Start {
        spans.push(Span::styled("Install MOSIP from this terminal", theme::faint()));
    } else {
        let steps = [
            (Screen::Site, "Site"),
            (Screen::Preflight, "Preflight"),
            (Screen::Review, "Review"),
            (Screen::Run, "Run"),
            (Screen::Summary, "Summary"),
        ];
        for (number, (screen, name)) in steps.into_iter().enumerate() {
            if number > 0 {
                spans.push(Span::styled(" › ", theme::line()));
            }
            let style = if screen == model.screen { theme::heading().patch(theme::accent()) } else { theme::faint() };
            let style = if screen == model.screen { style.add_modifier(ratatui::style::Modifier::UNDERLINED) } else { style };
            spans.push(Span::styled(name, style));
        }
    }
    let line = Line::from(spans);
    let used = line.width();
    frame.render_widget(line, area);
    let name = model.site.as_ref().map(|site| {
        let domain = site.profile.fields.iter().find(|field| field.kind == crate::install::field::FieldKind::Domain);
        let domain = domain.map(|field| site.draft.text(field)).unwrap_or_default();
        if domain.is_empty() { site.path.display().to_string() } else { domain }
    });
    if let Some(name) = name {
        let room = usize::from(area.width).saturating_sub(used + 3);
        let name = text::cut_middle(&name, room);
        frame.render_widget(Line::from(Span::styled(format!("{name} "), theme::faint())).alignment(Alignment::Right), area);
    }
}

/// A horizontal line.
pub fn rule(frame: &mut Frame<'_>, area: Rect) {
    frame.render_widget(Line::from(Span::styled("─".repeat(usize::from(area.width)), theme::line())), area);
}

/// A vertical line in the middle of a gap.
pub fn divider(frame: &mut Frame<'_>, gap: Rect) {
    for row in 0..gap.height {
        let area = Rect::new(gap.x + gap.width / 2, gap.y + row, 1, 1);
        frame.render_widget(Span::styled("│", theme::line()), area);
    }
}

fn status(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (glyph, line, style) = match (&model.notice, &model.busy) {
        (Some(notice), _) if notice.bad => ("✗", notice.text.as_str(), theme::bad()),
        (Some(notice), _) => ("•", notice.text.as_str(), theme::accent()),
        (None, Some(busy)) => ("▶", busy.as_str(), theme::busy()),
        (None, None) => return,
    };
    let line = text::cut(line, usize::from(area.width).saturating_sub(4));
    frame.render_widget(Line::from(vec![Span::styled(format!(" {glyph} "), style), Span::styled(line, style)]), area);
}

fn footer(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if matches!(model.popups.last(), Some(Popup::Fetching)) {
        return;
    }
    let context = model.context();
    let mut hints = match &model.run {
        Some(run) if model.popups.is_empty() && model.screen == Screen::Run => {
            keymap::footer_of(context, &|action| run_keys::useful(run, action))
        }
        _ => keymap::footer_of(context, &|action| action != keymap::Action::HostKeys || model.preflight.strangers() > 0),
    };
    if context == keymap::Context::Buttons {
        let known: Vec<String> = hints.iter().map(|hint| hint.0.clone()).collect();
        hints.extend(keymap::footer(model.behind_buttons()).into_iter().filter(|hint| !known.contains(&hint.0)));
    }
    keys(frame, area, &hints);
}

/// Keys and words, as many as fit; `help` and `quit` always.
pub fn keys(frame: &mut Frame<'_>, area: Rect, hints: &[(String, &'static str)]) {
    let columns = usize::from(area.width);
    let mut hints = hints.to_vec();
    let mut gap = 3;
    let needs =
        |hints: &[(String, &str)], gap: usize| hints.iter().map(|hint| hint_width(hint, gap)).sum::<usize>() + 1 - gap.min(hints.len());
    if needs(&hints, gap) > columns {
        // Where room is short, keys are written shortly and stand closer.
        gap = 2;
        for hint in &mut hints {
            hint.0 = hint.0.replace("Ctrl-", "^");
        }
    }
    let (last, own): (Vec<_>, Vec<_>) = hints.into_iter().partition(|hint| matches!(hint.1, "help" | "quit"));
    let mut room = (columns + gap).saturating_sub(last.iter().map(|hint| hint_width(hint, gap)).sum::<usize>() + 1);
    let mut spans = vec![Span::raw(" ")];
    let fitting = own.into_iter().filter(|hint| {
        let fits = hint_width(hint, gap) <= room;
        room -= if fits { hint_width(hint, gap) } else { 0 };
        fits
    });
    for (key, word) in fitting.collect::<Vec<_>>().into_iter().chain(last) {
        spans.push(Span::styled(key, theme::key()));
        spans.push(Span::styled(format!(" {word}{}", " ".repeat(gap)), theme::faint()));
    }
    frame.render_widget(Line::from(spans), area);
}

fn hint_width(hint: &(String, &str), gap: usize) -> usize {
    text::width(&hint.0) + 1 + hint.1.len() + gap
}

/// Lines of which one has the cursor: scrolled so that it is seen.
pub fn scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, at: usize) {
    let height = usize::from(area.height);
    let top = top_for(lines.len(), at, height);
    let count = lines.len();
    frame.render_widget(Paragraph::new(lines.into_iter().skip(top).take(height).collect::<Vec<_>>()), area);
    more(frame, area, top, count);
}

/// The first line shown, so that line `at` is seen with some lines around it.
#[must_use]
pub fn top_for(count: usize, at: usize, height: usize) -> usize {
    if count <= height { 0 } else { at.saturating_sub(height * 2 / 3).min(count - height) }
}

/// Lines from a place on; the place is brought back where there is less.
pub fn paged(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, top: usize) {
    let height = usize::from(area.height);
    let count = lines.len();
    let top = top.min(count.saturating_sub(height));
    frame.render_widget(Paragraph::new(lines.into_iter().skip(top).take(height).collect::<Vec<_>>()), area);
    more(frame, area, top, count);
}

/// Marks at the right edge that there is more above or below.
fn more(frame: &mut Frame<'_>, area: Rect, top: usize, count: usize) {
    let height = usize::from(area.height);
    if area.width == 0 || area.height == 0 {
        return;
    }
    let right = area.right() - 1;
    if top > 0 {
        frame.render_widget(Span::styled("↑", theme::accent()), Rect::new(right, area.y, 1, 1));
    }
    if top + height < count {
        frame.render_widget(Span::styled("↓", theme::accent()), Rect::new(right, area.bottom() - 1, 1, 1));
    }
}

/// A row of buttons, and which has the focus.
#[must_use]
pub fn buttons(labels: &[&str], focus: Option<usize>) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, label) in labels.iter().enumerate() {
        if focus == Some(number) {
            spans.push(Span::styled(format!("▸ {label} "), theme::selected()));
        } else {
            spans.push(Span::styled(format!("[ {label} ]").replace("[ ", "[").replace(" ]", "]"), theme::text()));
        }
        spans.push(Span::raw("  "));
    }
    Line::from(spans)
}

/// A bar of a width, filled in part.
#[must_use]
pub fn bar(done: u64, total: u64, columns: usize) -> Vec<Span<'static>> {
    let filled = (done.min(total) * columns as u64).checked_div(total).and_then(|filled| usize::try_from(filled).ok()).unwrap_or(0);
    vec![Span::styled("█".repeat(filled), theme::busy()), Span::styled("░".repeat(columns - filled), theme::line())]
}

/// A line of text being typed; the terminal's cursor is put into it where it has the focus.
pub fn entry(frame: &mut Frame<'_>, area: Rect, line: &input::Line, masked: bool, hint: &str, focus: bool) {
    let columns = usize::from(area.width);
    let whole = if masked { "•".repeat(line.text().chars().count()) } else { line.text().to_owned() };
    let before: String = whole.chars().take(line.cursor()).collect();
    // Scrolled so that the cursor is seen; what just fits is shown whole.
    let mut skip = 0;
    while focus && text::width(&whole) > columns && text::width(&before.chars().skip(skip).collect::<String>()) + 1 > columns.max(1) {
        skip += 1;
    }
    let shown: String = whole.chars().skip(skip).collect();
    let style = if focus { theme::entry() } else { theme::text() };
    let span = if whole.is_empty() && !hint.is_empty() {
        Span::styled(text::fit(hint, columns), style.patch(theme::faint()))
    } else if focus {
        Span::styled(text::fit(&shown, columns), style)
    } else {
        Span::styled(text::cut(&shown, columns), style)
    };
    frame.render_widget(Line::from(span), area);
    if focus {
        let column = text::width(&before.chars().skip(skip).collect::<String>());
        let column = u16::try_from(column).unwrap_or(0).min(area.width.saturating_sub(1));
        frame.set_cursor_position(Position::new(area.x + column, area.y));
    }
}

/// A box in the middle; what is inside it is returned.
pub fn popup(frame: &mut Frame<'_>, area: Rect, title: &str, columns: u16, rows: u16, style: Style) -> Rect {
    let width = (columns + 6).min(area.width.saturating_sub(4));
    // Where room is short, the empty lines inside the box go first.
    let air = u16::from(rows + 4 <= area.height);
    let height = (rows + 2 + 2 * air).min(area.height);
    let outer = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    // A wide letter cut in half by the box would push its right neighbours.
    let around = Rect::new(outer.x.saturating_sub(1), outer.y, (outer.width + 2).min(area.width), outer.height);
    frame.render_widget(Clear, around);
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(style).title(Line::from(Span::styled(
        format!(" {} ", text::cut(title, usize::from(width.saturating_sub(6)))),
        style.patch(theme::heading()),
    )));
    frame.render_widget(block, outer);
    Rect::new(outer.x + 3, outer.y + 1 + air, outer.width.saturating_sub(6), outer.height.saturating_sub(2 + 2 * air))
}
