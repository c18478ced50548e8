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
    let (Some(phase), Some(state)) = (run.phase(), &run.state) else { return };
    let phase_state = state.phase_state(phase);
    let (glyph, word, style) = theme::phase(phase_state);
    let columns = usize::from(area.width).saturating_sub(1);
    let heading = text::cut(&format!("{glyph} {} {word}", phase.title), columns);
    frame.render_widget(Line::from(Span::styled(heading, style.patch(theme::heading()))), title);
    let labels: Vec<&str> = failure::buttons(run).iter().map(|(label, _)| *label).collect();
    let [body, buttons] = Layout::vertical([Constraint::Min(1), Constraint::Length(button_rows(run, columns))]).areas(area);
    widgets::paged(frame, body, panel(run, columns), run.panel_top);
    buttons_below(run, &labels, frame, buttons);
}

/// How far the panel can be scrolled.
#[must_use]
pub fn most_down(run: &Run, pane: Rect) -> usize {
    let columns = usize::from(pane.width).saturating_sub(1);
    panel(run, columns).len().saturating_sub(usize::from(pane.height.saturating_sub(button_rows(run, columns))))
}

fn button_rows(run: &Run, columns: usize) -> u16 {
    let wide: usize = failure::buttons(run).iter().map(|(label, _)| label.len() + 4).sum();
    if columns < wide { 2 } else { 1 }
}

fn buttons_below(run: &Run, labels: &[&str], frame: &mut Frame<'_>, area: Rect) {
    let focus = match run.focus {
        Focus::Failure(at) => Some(at),
        _ => None,
    };
    if area.height == 1 {
        frame.render_widget(widgets::buttons(labels, focus), area);
    } else {
        let half = labels.len() / 2;
        let upper = widgets::buttons(&labels[..half], focus.filter(|at| *at < half));
        let lower = widgets::buttons(&labels[half..], focus.and_then(|at| at.checked_sub(half)));
        frame.render_widget(ratatui::widgets::Paragraph::new(vec![upper, lower]), area);
    }
}

/// The lines of the panel.
fn panel(run: &Run, columns: usize) -> Vec<Line<'static>> {
    let (Some(phase), Some((step, failure)), Some(state)) = (run.phase(), run.failure(), &run.state) else { return Vec::new() };
    let phase_state = state.phase_state(phase);
    let record = state.step(&step);
    let mut lines: Vec<Line<'static>> = Vec::new();
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
            say("known as", &format!("{} ({}; {})", hit.id, hit.confidence.words(), hit.source), theme::faint());
            for other in failure.diagnoses.iter().skip(1) {
                say("also", &format!("{}. {} Do: {}", other.title, other.cause, other.remedy), theme::text());
                for command in &other.commands {
                    say("try", command, theme::busy());
                }
            }
        }
        _ if !failure.hint.is_empty() => say("remedy", &failure.hint, theme::accent()),
        _ => {}
    }
    // What was seen while it ran says more than a line about time that has run out.
    let details = &run.detail.details;
    if run.detail.of.as_ref().is_some_and(|(shown, _)| *shown == step) {
        if let Some(cause) = details.cluster.as_ref().and_then(|(_, cluster)| cluster.cause("")) {
            say("cluster", &cause.text, theme::warn());
        }
        for known in details.known.iter().filter(|known| failure.diagnoses.iter().all(|hit| hit.id != known.id)) {
            say("seen", &format!("{}: {}", known.title, known.line), theme::warn());
        }
    }
    if !failure.lines.is_empty() {
        lines.push(Line::default());
        let matter = failure.lines.iter().flat_map(|line| text::wrap_line(&text::tame(line), columns.saturating_sub(2)));
        lines.extend(matter.map(|line| {
            let mut spans = vec![Span::styled("│ ", theme::line())];
            spans.extend(line.spans);
            Line::from(spans)
        }));
    }
    lines.push(Line::default());
    let mut say = |label: &str, pieces: Vec<String>, style: Style| {
        for (number, piece) in pieces.into_iter().enumerate() {
            let head = if number == 0 { label } else { "" };
            lines.push(Line::from(vec![Span::styled(format!("{head:<9}"), theme::faint()), Span::styled(piece, style)]));
        }
    };
    let room = columns.saturating_sub(9);
    let by_hand = failure::by_hand(run, &step, &failure);
    if !by_hand.is_empty() {
        say("by hand", text::wrap(&by_hand, room), theme::busy());
    }
    if let Some(document) = &phase.document {
        say("upstream", text::wrap(document, room), theme::faint());
    }
    if let Some(record) = record.filter(|record| record.attempts > 0) {
        let path = log_path(&run.folder, &step, record.attempts).display().to_string();
        say("log", text::wrap(&path, room), theme::faint());
    }
    lines
}
