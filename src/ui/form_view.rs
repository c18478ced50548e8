//! Draws the site: sections on the left, their content on the right, help for what has the focus below.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::app::Model;
use super::site::{BUTTONS, Part, Section, SiteForm};
use super::{advanced_view, machines_view, text, theme, widgets};
use crate::install::field::{Field, FieldKind};
use crate::install::ids::PhaseId;

/// Draws the screen.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(site) = &model.site else { return };
    let left_width = match area.width {
        // A table needs the room of a narrow terminal for itself.
        0..=99 if site.part == Part::Content && *site.section() == Section::Machines => 0,
        0..=69 => 22,
        70..=99 => 25,
        _ => 28,
    };
    let [main, buttons] = Layout::vertical([Constraint::Min(4), Constraint::Length(1)]).areas(area);
    let [left, gap, right] =
        Layout::horizontal([Constraint::Length(left_width), Constraint::Length(if left_width == 0 { 1 } else { 3 }), Constraint::Min(20)])
            .areas(main);
    if left_width > 0 {
        widgets::divider(frame, gap);
        sections(site, frame, left);
    }
    let help_rows = if area.height >= 30 { 8 } else { 5 };
    let [content, help] = Layout::vertical([Constraint::Min(3), Constraint::Length(help_rows)]).areas(right);
    match site.section() {
        Section::Fields(_) => {
            fields(site, frame, content);
            field_help(model, site, frame, help);
        }
        Section::Machines => machines_view::view(site, frame, content, help),
        Section::Advanced => advanced_view::view(site, frame, content, help),
    }
    let focus = (site.part == Part::Buttons).then_some(site.button);
    frame.render_widget(widgets::buttons(&BUTTONS, focus), widgets::inset(buttons, left_width.max(14) + 3, 0));
    let wrong = site.problems.len();
    let said =
        if wrong == 0 { Span::styled(" ✓ complete", theme::good()) } else { Span::styled(format!(" {wrong} to do"), theme::faint()) };
    frame.render_widget(Line::from(said), Rect { width: 20.min(buttons.width), ..buttons });
}

fn sections(site: &SiteForm, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let lines = site.sections.iter().enumerate().map(|(number, section)| {
        let standing = site.standing(number);
        let (note, style) = match (standing.wrong, standing.missing) {
            (0, 0) => ("✓ ok".to_owned(), theme::good()),
            (0, missing) if site.insisted => (format!("✗ {missing} missing"), theme::bad()),
            (0, missing) => (format!("{missing} to do"), theme::warn()),
            (wrong, 0) => (format!("✗ {wrong} wrong"), theme::bad()),
            (wrong, missing) => (format!("✗ {}", wrong + missing), theme::bad()),
        };
        let here = number == site.section;
        let base = match (here, site.part) {
            (true, Part::Sections) => theme::selected(),
            (true, _) => theme::marked(),
            _ => theme::text(),
        };
        let mark = if here { " ▸ " } else { "   " };
        let room = columns.saturating_sub(text::width(&note) + 4);
        Line::from(vec![
            Span::styled(format!("{mark}{}", text::fit(section.title(), room)), base),
            Span::styled(note, base.patch(style)),
            Span::styled(" ", base),
        ])
    });
    let mut lines: Vec<Line<'_>> = std::iter::once(Line::default()).chain(lines).collect();
    lines.push(Line::default());
    lines.push(Line::from(Span::styled("   * must be answered", theme::faint())));
    widgets::scrolled(frame, area, lines, site.section + 1);
}

fn fields(site: &SiteForm, frame: &mut Frame<'_>, area: Rect) {
    let area = widgets::inset(area, 0, 1);
    let shown = site.fields();
    let label_width = shown.iter().map(|field| text::width(&field.label)).max().unwrap_or(0).clamp(12, usize::from(area.width) / 2);
    let height = usize::from(area.height);
    let top = widgets::top_for(shown.len(), site.field, height);
    for (row, (number, field)) in shown.iter().enumerate().skip(top).take(height).enumerate() {
        let line = Rect::new(area.x, area.y + u16::try_from(row).unwrap_or(0), area.width, 1);
        field_line(site, frame, line, field, site.part == Part::Content && site.field == number, label_width);
    }
    let right = Rect::new(area.right().saturating_sub(1), area.y, 1, 1);
    if top > 0 {
        frame.render_widget(Span::styled("↑", theme::accent()), right);
    }
    if top + height < shown.len() {
        frame.render_widget(Span::styled("↓", theme::accent()), Rect { y: area.bottom().saturating_sub(1), ..right });
    }
}

fn field_line(site: &SiteForm, frame: &mut Frame<'_>, area: Rect, field: &Field, focus: bool, label_width: usize) {
    let problem = site.problem(&SiteForm::key_of(field));
    let shown_problem = problem.filter(|problem| site.insisted || !site.is_missing(problem));
    let (glyph, glyph_style) = match (shown_problem, problem) {
        (Some(_), _) => ("✗", theme::bad()),
        (None, Some(_)) => ("·", theme::warn()),
        (None, None) => ("✓", theme::good()),
    };
    let given = !site.answer(field).is_empty();
    let glyph = if problem.is_none() && !given { " " } else { glyph };
    let label_style = if focus { theme::accent_heading() } else { theme::text() };
    let mark = if field.required { "*" } else { " " };
    let [left, value, _] =
        Layout::horizontal([Constraint::Length(u16::try_from(label_width + 6).unwrap_or(40)), Constraint::Min(8), Constraint::Length(2)])
            .areas(area);
    let line = Line::from(vec![
        Span::styled(if focus { "▸ " } else { "  " }, theme::accent()),
        Span::styled(text::fit(&field.label, label_width), label_style),
        Span::styled(format!("{mark} "), theme::warn()),
        Span::styled(format!("{glyph} "), glyph_style),
    ]);
    frame.render_widget(line, left);
    match field.kind {
        FieldKind::Boolean => {
            let on = site.draft.text(field) == "true";
            let text = if on { "[x] yes" } else { "[ ] no" };
            frame.render_widget(Span::styled(text, if focus { theme::selected() } else { theme::text() }), value);
        }
        FieldKind::Choice => {
            let current = site.draft.text(field);
            let label = field.values.iter().find(|choice| choice.value == current).map_or(current.as_str(), |choice| choice.label.as_str());
            let shown = if focus { format!("‹ {label} ›") } else { label.to_owned() };
            frame.render_widget(
                Span::styled(text::cut(&shown, usize::from(value.width)), if focus { theme::selected() } else { theme::text() }),
                value,
            );
        }
        FieldKind::Secret => {
            let reference = site.draft.secrets.get(field.id.as_str()).cloned().unwrap_or_default();
            let (shown, style) = match reference.as_str() {
                "" => ("not set".to_owned(), theme::faint()),
                "prompt" => ("asked when a run starts".to_owned(), theme::text()),
                other => (text::cut_middle(other, usize::from(value.width)), theme::text()),
            };
            frame.render_widget(Span::styled(shown, if focus { style.patch(theme::selected()) } else { style }), value);
        }
        _ => {
            let default = site.default_text(field);
            let hint = match (&field.example, default.is_empty()) {
                (_, false) => format!("{default}  (default)"),
                (Some(example), true) => format!("e.g. {example}"),
                (None, true) => String::new(),
            };
            if focus {
                widgets::entry(frame, value, &site.line, false, &hint, true);
            } else {
                widgets::entry(frame, value, &super::input::Line::new(site.answer(field)), false, &hint, false);
            }
        }
    }
}

fn field_help(model: &Model, site: &SiteForm, frame: &mut Frame<'_>, area: Rect) {
    let [line, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    widgets::rule(frame, line);
    let columns = usize::from(area.width).saturating_sub(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut say = |body: &str, style| lines.extend(text::wrap(body, columns).into_iter().map(|line| Line::from(Span::styled(line, style))));
    if site.part == Part::Content
        && let Some(field) = site.focused()
    {
        if let Some(problem) = site.problem(&SiteForm::key_of(field)) {
            let missing = site.is_missing(problem);
            if !missing || site.insisted {
                say(&format!("✗ {}", problem.message), theme::bad());
            }
        }
        say(&field.help, theme::text());
        if !field.hard_to_change.is_empty() {
            let begun = |phase: &&PhaseId| {
                let state = model.run.as_ref().and_then(|run| run.state.as_ref());
                state.is_some_and(|state| state.begun().any(|begun| begun.id == **phase))
            };
            match field.settled_by.iter().find(begun) {
                Some(phase) => say(&format!("Settled when {phase} began: a change is asked about. {}", field.hard_to_change), theme::bad()),
                None => say(&format!("Later: {}", field.hard_to_change), theme::warn()),
            }
        }
        if field.kind == FieldKind::Secret {
            say("The site file holds a reference to a secret, never the secret itself.", theme::faint());
        }
    } else {
        say(&site.profile.title, theme::heading());
        say(&format!("{}", site.path.display()), theme::faint());
        if !site.fetched {
            say("The profile's sources are not fetched yet; Continue asks for it.", theme::warn());
        }
    }
    widgets::paged(frame, area, lines, 0);
}
