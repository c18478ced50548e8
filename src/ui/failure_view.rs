//! Draws the panel of a failed phase: what failed, where, the lines that matter, what to do.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::failure;
use super::run::{Focus, Run};
use super::{text, theme, widgets};
use crate::engine::client::log_path;
use crate::run::diagnose::Confidence;
use crate::run::state::PhaseState;

/// Draws the panel into the place of the log.
pub fn view(run: &Run, frame: &mut Frame<'_>, title: Rect, area: Rect) {
    let (Some(phase), Some((step, failure)), Some(state)) = (run.phase(), run.failure(), &run.state) else { return };
    let phase_state = state.phase_state(phase);
    let (glyph, word, style) = theme::phase(phase_state);
    let columns = usize::from(area.width).saturating_sub(1);
    let heading = text::cut(&format!("{glyph} {} {word}", phase.title), columns);
    frame.render_widget(Line::from(Span::styled(heading, style.patch(theme::heading()))), title);
    let labels: Vec<&str> = failure::buttons(run).iter().map(|(label, _)| *label).collect();
    let wide: usize = labels.iter().map(|label| label.len() + 4).sum();
    let button_rows = if columns < wide { 2 } else { 1 };
    let [body, buttons] = Layout::vertical([Constraint::Min(1), Constraint::Length(button_rows)]).areas(area);
    let record = state.step(&step);

    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut say = |label: &str, body: &str, style: Style| {
        for (number, piece) in text::wrap(body, columns.saturating_sub(9)).into_iter().enumerate() {
            let head = if number == 0 { label } else { "" };
            lines.push(Line::from(vec![Span::styled(format!("{head:<9}"), theme::faint()), Span::styled(piece, style)]));
        }
    };
    say("what", &failure.message, if phase_state == PhaseState::Stopped { theme::warn() } else { theme::bad() });
    let mut place = step.to_string();
    if let Some(record) = record.filter(|record| record.attempts > 0) {
        place.push_str(&format!(", attempt {}", record.attempts));
    }
    if !failure.hosts.is_empty() {
        place.push_str(&format!(", on {}", failure.hosts.join(", ")));
    }
    say("where", &place, theme::text());
    match (failure.exit, failure.signal) {
        (Some(code), _) => say("exit", &format!("code {code}"), theme::text()),
        (None, Some(signal)) => say("exit", &format!("ended by signal {signal}"), theme::text()),
        _ => {}
    }
    match failure.diagnoses.first() {
        // The hint says the same as one sentence, for lines and journals.
        Some(hit) if failure.hint.contains(&hit.cause) => {
            say(
                if hit.confidence == Confidence::Low { "possible" } else { "likely" },
                &format!("{}. {}", hit.title, hit.cause),
                theme::text(),
            );
            say("remedy", &hit.remedy, theme::accent());
            for command in &hit.commands {
                say("try", command, theme::busy());
            }
            let sure = match hit.confidence {
                Confidence::High => "sure",
                Confidence::Medium => "likely",
                Confidence::Low => "a place to begin",
            };
            say("known as", &format!("{} ({sure}; {})", hit.id, hit.source), theme::faint());
            let others: Vec<&str> = failure.diagnoses.iter().skip(1).map(|hit| hit.title.as_str()).collect();
            if !others.is_empty() {
                say("also", &others.join("; "), theme::faint());
            }
        }
        _ if !failure.hint.is_empty() => say("remedy", &failure.hint, theme::accent()),
        _ => {}
    }
    // What is left of the room goes to the lines that matter; the last ones tell most.
    let command = failure.command.clone();
    let path =
        record.filter(|record| record.attempts > 0).map(|record| log_path(&run.folder, &step, record.attempts).display().to_string());
    let mut after: Vec<Line<'_>> = Vec::new();
    if !command.is_empty() {
        for (number, piece) in text::wrap(&command, columns.saturating_sub(9)).into_iter().take(3).enumerate() {
            let head = if number == 0 { "by hand" } else { "" };
            after.push(Line::from(vec![Span::styled(format!("{head:<9}"), theme::faint()), Span::styled(piece, theme::busy())]));
        }
    }
    if let Some(document) = &phase.document {
        let shown = text::cut_middle(document, columns.saturating_sub(9));
        after.push(Line::from(vec![Span::styled(format!("{:<9}", "upstream"), theme::faint()), Span::styled(shown, theme::faint())]));
    }
    if let Some(path) = path {
        let shown = text::cut_middle(&path, columns.saturating_sub(9));
        after.push(Line::from(vec![Span::styled(format!("{:<9}", "log"), theme::faint()), Span::styled(shown, theme::faint())]));
    }
    let room = usize::from(body.height).saturating_sub(lines.len() + after.len() + 2);
    let mut matter: Vec<Line<'_>> = failure
        .lines
        .iter()
        .flat_map(|line| text::wrap_line(&text::tame(line), columns.saturating_sub(2)))
        .map(|line| {
            let mut spans = vec![Span::styled("│ ", theme::line())];
            spans.extend(line.spans);
            Line::from(spans)
        })
        .collect();
    if !matter.is_empty() && room > 0 {
        let skip = matter.len().saturating_sub(room);
        lines.push(Line::default());
        lines.extend(matter.drain(skip..));
    }
    lines.push(Line::default());
    lines.extend(after);
    widgets::paged(frame, body, lines, 0);

    let focus = match run.focus {
        Focus::Failure(at) => Some(at),
        _ => None,
    };
    if button_rows == 1 {
        frame.render_widget(widgets::buttons(&labels, focus), buttons);
    } else {
        let half = labels.len() / 2;
        let upper = widgets::buttons(&labels[..half], focus.filter(|at| *at < half));
        let lower = widgets::buttons(&labels[half..], focus.and_then(|at| at.checked_sub(half)));
        frame.render_widget(ratatui::widgets::Paragraph::new(vec![upper, lower]), buttons);
    }
}
