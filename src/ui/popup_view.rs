//! Draws popups.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::Model;
use super::popup::{Asked, Entry, Popup, SECRET_WAYS};
use super::{text, theme, widgets};

/// Draws a popup; `top` when it has the focus.
pub fn view(model: &Model, popup: &Popup, frame: &mut Frame<'_>, area: Rect, top: bool) {
    let columns = if area.width >= 120 { 84 } else { area.width.saturating_sub(12).min(66) };
    match popup {
        Popup::Confirm { title, text: body, buttons, selected, top: from, bad } => {
            let style = if *bad { theme::bad() } else { theme::accent() };
            let labels: Vec<&str> = buttons.iter().map(|button| button.label).collect();
            let letters =
                buttons.iter().filter_map(|button| button.letter.map(|letter| format!("{letter}: {}", button.label.to_lowercase())));
            let letters = letters.collect::<Vec<_>>().join("   ");
            let lines = paragraph(body, columns, theme::text());
            let below = if buttons.len() == 1 { 1 } else { 2 };
            let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(1 + below).min(area.height);
            let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
            let inner = widgets::popup(frame, area, title, columns, rows, style);
            let room = inner.height.saturating_sub(below);
            // An empty line above the buttons, unless the text needs it.
            let height = if count < room { count } else { room.saturating_sub(u16::from(count > room)) };
            widgets::paged(frame, Rect { height, ..inner }, lines, *from);
            let mut last = vec![widgets::buttons(&labels, top.then_some(*selected))];
            if below == 2 {
                let more = if count > height { "   PgDn: read on" } else { "" };
                last.push(Line::from(Span::styled(format!("{letters}{more}"), theme::faint())));
            }
            let above = (count.min(room) + u16::from(count < room)).min(room);
            frame.render_widget(Paragraph::new(last), Rect { y: inner.y + above, height: inner.height - above, ..inner });
        }
        Popup::Entry(entry) => entry_view(entry, frame, area, columns, top),
        Popup::Secret { field, selected, set } => {
            let mut lines = paragraph(
                &format!("{} The site file holds a reference to the secret, never the secret itself.", field.help),
                columns,
                theme::text(),
            );
            lines.push(Line::default());
            for (number, (word, say)) in SECRET_WAYS.iter().take(if *set { 5 } else { 4 }).enumerate() {
                let here = number == *selected;
                let style = if here { theme::selected() } else { theme::text() };
                lines.push(Line::from(vec![
                    Span::styled(if here { "▸ " } else { "  " }, style.patch(theme::accent())),
                    Span::styled(text::fit(word, usize::from(columns).saturating_sub(2)), style),
                ]));
                for piece in text::wrap(say, usize::from(columns).saturating_sub(4)) {
                    lines.push(Line::from(Span::styled(format!("    {piece}"), theme::faint())));
                }
            }
            boxed(frame, area, &field.label, columns, lines, theme::accent());
        }
        Popup::Roles { machine, selected } => roles(model, *machine, *selected, frame, area, columns),
        Popup::HostKeys(keys) => super::host_keys::view(model, keys, frame, area, top),
        Popup::Fix(fix) => super::fix::view(fix, frame, area, top),
        Popup::Question(asked) => question(asked, frame, area, columns, top),
        Popup::Fetching => {
            let progress = model.start.fetching.clone().unwrap_or_default();
            let mut lines =
                vec![Line::from(if progress.source.is_empty() { "Connecting".to_owned() } else { format!("Source {}", progress.source) })];
            lines.push(Line::from(Span::styled(text::cut(&progress.doing, usize::from(columns)), theme::faint())));
            lines.push(Line::default());
            let mut bar = widgets::bar(u64::from(progress.percent.unwrap_or(0)), 100, usize::from(columns.saturating_sub(6)));
            if let Some(percent) = progress.percent {
                bar.push(Span::raw(format!(" {percent:>3} %")));
            }
            lines.push(Line::from(bar));
            boxed(frame, area, "Fetching the sources", columns, lines, theme::accent());
        }
        Popup::Help { .. } => {}
    }
}

pub(super) fn paragraph(body: &str, columns: u16, style: Style) -> Vec<Line<'static>> {
    let lines =
        body.split('\n').flat_map(|line| if line.is_empty() { vec![String::new()] } else { text::wrap(line, usize::from(columns)) });
    lines.map(|line| Line::from(Span::styled(line, style))).collect()
}

fn boxed(frame: &mut Frame<'_>, area: Rect, title: &str, columns: u16, lines: Vec<Line<'_>>, style: Style) {
    let rows = u16::try_from(lines.len()).unwrap_or(20);
    let inner = widgets::popup(frame, area, title, columns, rows, style);
    frame.render_widget(Paragraph::new(lines), inner);
}

fn entry_view(entry: &Entry, frame: &mut Frame<'_>, area: Rect, columns: u16, top: bool) {
    let mut lines = paragraph(&entry.text, columns, theme::text());
    lines.push(Line::default());
    let problem = entry.problem.as_ref().map(|problem| paragraph(&format!("✗ {problem}"), columns, theme::bad())).unwrap_or_default();
    let rows = u16::try_from(lines.len() + 2 + problem.len().max(1)).unwrap_or(20);
    let inner = widgets::popup(frame, area, &entry.title, columns, rows, theme::accent());
    let room = inner.height.saturating_sub(u16::try_from(problem.len().max(1) + 2).unwrap_or(3));
    lines.truncate(usize::from(room));
    let text_rows = u16::try_from(lines.len()).unwrap_or(room);
    frame.render_widget(Paragraph::new(lines), Rect { height: text_rows, ..inner });
    let line = Rect { y: inner.y + text_rows, height: 1.min(inner.height), ..inner };
    frame.render_widget(Span::styled("› ", theme::accent_heading()), line);
    widgets::entry(frame, widgets::inset(line, 2, 0), &entry.line, entry.masked, "", top);
    let below = Rect { y: line.y + 1, height: inner.bottom().saturating_sub(line.y + 1), ..inner };
    frame.render_widget(Paragraph::new(problem), below);
}

fn roles(model: &Model, machine: usize, selected: usize, frame: &mut Frame<'_>, area: Rect, columns: u16) {
    let Some(site) = &model.site else { return };
    let Some(draft) = site.draft.machines.get(machine) else { return };
    let name_width = site.profile.roles.iter().map(|role| role.id.as_str().len()).max().unwrap_or(8);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (number, role) in site.profile.roles.iter().enumerate() {
        let here = number == selected;
        let on = draft.roles.iter().any(|own| role.id == *own.as_str());
        let style = if here { theme::selected() } else { theme::text() };
        let room = usize::from(columns).saturating_sub(name_width + 8);
        lines.push(Line::from(vec![
            Span::styled(if here { "▸ " } else { "  " }, style.patch(theme::accent())),
            Span::styled(if on { "[x] " } else { "[ ] " }, style),
            Span::styled(text::fit(role.id.as_str(), name_width + 2), style),
            Span::styled(text::fit(&role.title, room), style.patch(theme::faint())),
        ]));
    }
    lines.push(Line::default());
    let help = site.profile.roles.get(selected).map(|role| role.help.clone()).unwrap_or_default();
    lines.extend(paragraph(&help, columns, theme::text()));
    let own: Vec<_> = site.problems.iter().filter(|problem| problem.key == format!("machine.{}.roles", draft.name)).collect();
    lines.extend(own.into_iter().flat_map(|problem| paragraph(&format!("✗ {}", problem.message), columns, theme::bad())));
    boxed(frame, area, &format!("Roles of {}", draft.name), columns, lines, theme::accent());
}

fn question(asked: &Asked, frame: &mut Frame<'_>, area: Rect, columns: u16, top: bool) {
    let question = &asked.question;
    let mut lines = paragraph(&question.text, columns, theme::heading());
    lines.push(Line::default());
    lines.extend(paragraph(&question.detail, columns, theme::text()));
    if let Some(meaning) = question.optional() {
        lines.push(Line::default());
        lines.extend(paragraph(&format!("It may be left open: {meaning}"), columns, theme::faint()));
    }
    let problem = asked.problem.as_ref().map(|problem| paragraph(&format!("✗ {problem}"), columns, theme::bad())).unwrap_or_default();
    let below = u16::try_from(problem.len()).unwrap_or(1) + 2;
    let rows = u16::try_from(lines.len()).unwrap_or(20) + below;
    let title = format!("Question of {}", question.step);
    let inner = widgets::popup(frame, area, &title, columns, rows, theme::warn());
    let room = inner.height.saturating_sub(below);
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(room);
    lines.truncate(usize::from(room));
    frame.render_widget(Paragraph::new(lines), Rect { height: count, ..inner });
    let line = Rect { y: inner.y + count + 1, height: 1, ..inner };
    if !asked.armed {
        frame.render_widget(Span::styled("(keys are not taken yet)", theme::faint()), line);
    } else if question.takes_text() {
        frame.render_widget(Span::styled("› ", theme::accent_heading()), line);
        widgets::entry(frame, widgets::inset(line, 2, 0), &asked.line, question.is_secret(), "", top);
    } else {
        frame.render_widget(widgets::buttons(&asked.buttons(), top.then_some(asked.button)), line);
    }
    frame.render_widget(Paragraph::new(problem), Rect { y: line.y + 1, height: inner.bottom().saturating_sub(line.y + 1), ..inner });
}
