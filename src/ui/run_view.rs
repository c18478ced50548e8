//! Draws the run: phases with state and times, the log or the failure, what goes on and what it waits for.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::app::Model;
use super::detail_pane::View;
use super::run::{Focus, Place, Run};
use super::{failure_view, layout, progress_view, text, theme, widgets};
use crate::adapters::logs::times::column;
use crate::install::hints::Hints;
use crate::install::ids::StepRef;
use crate::install::plan::{Action, PlanPhase, PlanStep};
use crate::run::event::{Outcome, StopReason};
use crate::run::expect::words;
use crate::run::state::{PhaseState, State, StepRecord};
use crate::run::waiting::waiting;

/// Draws the screen.
pub fn view(model: &Model, frame: &mut Frame<'_>, body: Rect) {
    let Some(run) = &model.run else { return };
    let parts = layout::run(body, run.shows_failure(), run.splits());
    widgets::divider(frame, parts.gap);
    widgets::rule(frame, parts.rule);
    let Some(state) = &run.state else {
        frame.render_widget(Span::styled(" Reading the journal", theme::faint()), parts.phases);
        return;
    };
    phases(model, run, state, frame, parts.phases);
    if run.shows_failure() {
        failure_view::view(run, frame, parts.title, parts.pane);
    } else {
        right(model, run, state, frame, &parts);
    }
    progress(model, run, state, frame, parts.progress);
}

/// Draws the right side: the log, or what the step does in detail, or both.
fn right(model: &Model, run: &Run, state: &State, frame: &mut Frame<'_>, parts: &layout::RunParts) {
    let (columns, focus) = (usize::from(parts.title.width), run.focus == Focus::Log);
    let none = Hints::default();
    let hints = run.detail.of.as_ref().and_then(|(step, _)| state.plan.step(step)).map_or(&none, |step| &step.hints);
    let title = |what: &str| {
        let style = if focus { theme::accent_heading() } else { theme::heading() };
        let of = run.detail.of.as_ref().map(|(step, _)| step.to_string()).unwrap_or_default();
        Line::from(vec![
            Span::styled(text::cut(&format!("{what} of {of}"), columns), style),
            Span::styled("  t: next view", theme::faint()),
        ])
    };
    match run.detail.shown() {
        View::Work => {
            frame.render_widget(title(if run.detail.details.tasks.is_empty() { "Resources" } else { "Tasks" }), parts.title);
            progress_view::work(&run.detail, hints, model.now, frame, parts.pane);
        }
        View::Cluster => {
            frame.render_widget(title("Cluster"), parts.title);
            progress_view::cluster(&run.detail, frame, parts.pane);
        }
        View::Log => {
            frame.render_widget(log_title(run, columns, focus), parts.title);
            log(run, frame, parts.pane);
            if parts.below.height > 1 {
                widgets::rule(frame, Rect { height: 1, ..parts.below });
                let below = Rect { y: parts.below.y + 1, height: parts.below.height - 1, ..parts.below };
                progress_view::work(&run.detail, hints, model.now, frame, below);
            }
        }
    }
}

/// Draws the log on the whole screen: no frames, so that it can be copied with the mouse.
pub fn full_log(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(run) = &model.run else { return };
    let banner = u16::from(model.rehearsal);
    let pane = Rect { height: area.height - 1 - banner, ..area };
    log(run, frame, pane);
    if model.rehearsal {
        let line = Rect::new(area.x, area.bottom() - 2, area.width, 1);
        frame.render_widget(Span::styled(text::fit(" REHEARSAL", usize::from(area.width)), theme::rehearsal()), line);
    }
    let last = Rect::new(area.x, area.bottom() - 1, area.width, 1);
    match &model.notice {
        Some(notice) => frame.render_widget(Span::styled(text::cut(&notice.text, usize::from(area.width)), theme::accent()), last),
        None => {
            let useful = |action| super::run_keys::useful(run, action);
            let title = (area.width * 8 / 20).clamp(24, 80);
            frame.render_widget(log_title(run, usize::from(title), true), Rect { width: title, ..last });
            let right = Rect::new(area.x + title, last.y, area.width - title, 1);
            widgets::keys(frame, right, &super::keymap::footer_of(super::keymap::Context::LogFull, &useful));
        }
    }
}

fn elapsed(now: Timestamp, record: &StepRecord) -> u64 {
    match (record.started, record.finished) {
        (Some(started), None) => u64::try_from(now.as_millisecond() - started.as_millisecond()).unwrap_or(0),
        _ => record.took_ms,
    }
}

fn phase_elapsed(now: Timestamp, state: &State, phase: &PlanPhase) -> u64 {
    let running = state.steps_of(phase).filter_map(|(_, record)| record).filter(|record| record.is_running());
    state.phase_times(phase).1 + running.map(|record| elapsed(now, record)).sum::<u64>()
}

fn phases(model: &Model, run: &Run, state: &State, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let places = run.places();
    let at = run.cursor.as_ref().and_then(|cursor| places.iter().position(|place| place == cursor)).unwrap_or(0);
    let lines: Vec<Line<'_>> = places.iter().map(|place| place_line(model, run, state, place, columns)).collect();
    widgets::scrolled(frame, area, lines, at);
}

fn place_line<'a>(model: &Model, run: &Run, state: &'a State, place: &Place, columns: usize) -> Line<'a> {
    let here = run.cursor.as_ref() == Some(place);
    let base = match (here, run.focus) {
        (true, Focus::Phases) => theme::selected(),
        (true, _) => theme::marked(),
        _ => theme::text(),
    };
    let mark = if here { " ▸ " } else { "   " };
    let Some(phase) = state.plan.phase(place.phase.as_str()) else { return Line::default() };
    if let Some(id) = &place.step {
        let reference = StepRef { phase: phase.id.clone(), step: id.clone() };
        let title = phase.steps.iter().find(|step| step.id == *id).map_or(id.as_str(), |step| step.title.as_str());
        let record = state.step(&reference);
        let (glyph, style) = step_mark(record, state, &reference);
        let time = record.map(|record| elapsed(model.now, record)).filter(|time| *time > 0).map(text::duration).unwrap_or_default();
        let room = columns.saturating_sub(text::width(&time) + 9);
        return Line::from(vec![
            Span::styled(mark, base.patch(theme::accent())),
            Span::styled(format!("  {glyph} "), base.patch(style)),
            Span::styled(text::fit(title, room), if here { base } else { base.patch(theme::faint()) }),
            Span::styled(format!(" {time} "), base.patch(theme::faint())),
        ]);
    }
    let phase_state = state.phase_state(phase);
    let (glyph, word, style) = theme::phase(phase_state);
    let took = phase_elapsed(model.now, state, phase);
    let expected = run.history.band(phase).map(|band| words(band.from, band.to)).unwrap_or_default();
    // Wide: word, time taken and time expected; narrow: what is most telling.
    let right = if columns >= 44 {
        let time = if took > 0 { text::duration(took) } else { String::new() };
        let expected =
            if matches!(phase_state, PhaseState::Pending | PhaseState::Running | PhaseState::Stale) { expected } else { String::new() };
        let time = if time.is_empty() {
            expected
        } else if expected.is_empty() || columns < 56 {
            time
        } else {
            format!("{time} of {expected}")
        };
        format!("{word} {time}")
    } else if phase_state == PhaseState::Pending {
        expected
    } else {
        word.to_owned()
    };
    let room = columns.saturating_sub(text::width(&right) + 7);
    Line::from(vec![
        Span::styled(mark, base.patch(theme::accent())),
        Span::styled(format!("{glyph} "), base.patch(style)),
        Span::styled(
            text::fit(&phase.title, room),
            if phase_state == PhaseState::Pending && !here { base.patch(theme::faint()) } else { base },
        ),
        Span::styled(format!(" {right} "), base.patch(style)),
    ])
}

fn step_mark(record: Option<&StepRecord>, state: &State, step: &StepRef) -> (&'static str, ratatui::style::Style) {
    if state.questions.iter().any(|question| question.step == *step) {
        return ("?", theme::warn());
    }
    match record {
        Some(record) if record.is_running() => ("▶", theme::busy()),
        Some(StepRecord { outcome: Some(outcome), .. }) => match outcome {
            Outcome::Done => ("✓", theme::good()),
            Outcome::Unneeded { .. } => ("–", theme::faint()),
            Outcome::Warned { .. } => ("!", theme::warn()),
            Outcome::Failed(_) => ("✗", theme::bad()),
            Outcome::Stopped { .. } => ("■", theme::warn()),
            Outcome::Interrupted { .. } => ("?", theme::bad()),
        },
        _ => ("·", theme::faint()),
    }
}

fn log_title(run: &Run, columns: usize, focus: bool) -> Line<'static> {
    let style = if focus { theme::accent_heading() } else { theme::heading() };
    let Some((step, attempt, count)) = run.attempts() else { return Line::from(Span::styled("Log", style)) };
    let log = &run.log;
    let mut spans = Vec::new();
    if let Some(found) = &log.filter {
        let count = found.known.count();
        let so_far = if found.known.seen() < log.window.size { "+" } else { "" };
        spans.push(Span::styled(format!(" FILTER {} ({count}{so_far}) ", text::cut(found.pattern.text(), columns / 3)), theme::badge()));
        spans.push(Span::raw(" "));
    }
    let mut notes = Vec::new();
    if let Some(searching) = &log.searching {
        notes.push(format!("searching {}: {}% (Esc: call off)", searching.what, searching.percent(log.window.size)));
    }
    notes.push(if log.follow { "following".to_owned() } else { format!("{}%", log.percent()) });
    if let Some(found) = log.search.as_ref().filter(|_| log.searching.is_none()) {
        let number = log.hit.and_then(|hit| found.known.number(hit)).map(|number| format!("{number} of ")).unwrap_or_default();
        let so_far = if found.known.seen() < log.window.size { "+" } else { "" };
        notes.push(format!("/{} {number}{}{so_far}", found.pattern.text(), found.known.count()));
    }
    if count > 1 {
        notes.push(format!("attempt {attempt} of {count} [ ]"));
    }
    if log.times {
        notes.push(if log.window.untimed { "no times were kept" } else { "UTC" }.to_owned());
    }
    if log.left > 0 && !run.wraps() {
        notes.push(format!("from column {}", log.left + 1));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let notes = text::cut(&notes.join(", "), columns.saturating_sub(used));
    let room = columns.saturating_sub(used + text::width(&notes) + 2);
    // What tells about the log comes before its name, which stands on the left as well.
    if room >= 12 {
        spans.push(Span::styled(format!("{}  ", text::cut(&format!("Log of {step}"), room)), style));
    }
    spans.push(Span::styled(notes, theme::faint()));
    Line::from(spans)
}

/// Draws the lines of a log.
fn log(run: &Run, frame: &mut Frame<'_>, area: Rect) {
    let (columns, height) = (usize::from(area.width), usize::from(area.height));
    let window = &run.log.window;
    if window.lines.is_empty() {
        let say = match (&run.log.trouble, &run.log.filter, run.attempts()) {
            (Some(trouble), _, Some(_)) => trouble.clone(),
            (_, _, None) => waiting_text(run),
            (None, Some(found), _) if found.known.seen() < window.size => {
                format!(
                    "No line matches {} so far; {} % of the log is looked at",
                    found.pattern.text(),
                    found.known.seen() * 100 / window.size
                )
            }
            (None, Some(found), _) => format!("No line matches {}. u shows all lines again", found.pattern.text()),
            (None, None, Some(_)) => "No output yet".to_owned(),
        };
        let lines: Vec<Line<'_>> =
            text::wrap(&say, columns).into_iter().map(|line| Line::from(Span::styled(line, theme::faint()))).collect();
        frame.render_widget(ratatui::widgets::Paragraph::new(lines), area);
        return;
    }
    let marked = run.log.search.as_ref().or(run.log.filter.as_ref());
    let timed = run.log.times && !window.untimed;
    let room = if timed { columns.saturating_sub(column(None).len()).max(1) } else { columns };
    let mut lines: Vec<Line<'static>> = Vec::new();
    for line in &window.lines {
        let mut tame = text::tame(&line.text);
        if let Some(found) = marked {
            tame = text::highlight(tame, &found.pattern, theme::found());
        }
        let pieces =
            if run.wraps() { text::wrap_line(&tame, room) } else { vec![text::cut_line(text::from_column(tame, run.log.left), room)] };
        for (number, mut piece) in pieces.into_iter().enumerate() {
            if timed {
                let at = line.at.filter(|_| number == 0);
                piece.spans.insert(0, Span::styled(column(at), theme::faint()));
            }
            lines.push(piece);
        }
        if !run.log.follow && lines.len() >= height {
            break;
        }
    }
    let top = if run.log.follow { lines.len().saturating_sub(height) } else { 0 };
    frame.render_widget(ratatui::widgets::Paragraph::new(lines.into_iter().skip(top).take(height).collect::<Vec<_>>()), area);
}

/// What there is to say about a step that has no log yet.
fn waiting_text(run: &Run) -> String {
    let Some(phase) = run.phase() else { return String::new() };
    let step = run.step().and_then(|step| phase.steps.iter().find(|candidate| candidate.id == step.step).cloned());
    let mut say = match &step {
        Some(step) => step_text(step),
        None => phase.help.trim().to_owned(),
    };
    if !say.is_empty() {
        say.push_str("\n\n");
    }
    say.push_str("Not begun.");
    say
}

fn step_text(step: &PlanStep) -> String {
    let commands: Vec<String> = step.commands().iter().map(|command| format!("$ {}", command.argv.join(" "))).collect();
    match &step.action {
        Action::Ask { text, detail, .. } => format!("{text}\n\n{detail}"),
        _ if commands.is_empty() => step.title.clone(),
        _ => format!("{}\n\n{}", step.title, commands.join("\n")),
    }
}

fn progress(model: &Model, run: &Run, state: &State, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let settled = state.plan.phases.iter().filter(|phase| state.phase_state(phase).is_settled()).count();
    let total = state.plan.phases.len();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    if let Some((step, record)) = state.running() {
        let known = run.progress.get(step).map(|(_, progress)| progress);
        let title = state.plan.step(step).map_or_else(|| step.to_string(), |step| step.title.clone());
        let done = known.map_or((0, 0, ""), |known| (known.done, known.total, known.unit.as_str()));
        let counted = match done {
            (done, 0, unit) if done > 0 => format!(" {done} {unit}"),
            (done, total, unit) if total > 0 => format!(" {done} of {total} {unit}"),
            _ => String::new(),
        };
        let time = text::duration(elapsed(model.now, record));
        let of = if columns < 72 { String::new() } else { format!("  phase {} of {total}", (settled + 1).min(total)) };
        let right = format!("{counted}  {time}{of} ");
        let bar_width = (columns / 4).clamp(10, 40);
        let room = columns.saturating_sub(text::width(&right) + bar_width + 3);
        first.push(Span::styled(format!(" {} ", text::fit(&title, room)), theme::heading()));
        first.extend(widgets::bar(done.0, done.1, bar_width));
        first.push(Span::styled(right, theme::text()));
        rest = doing(model, run, state, step, record, columns);
    } else {
        let (glyph, word, style) = standing(run, state);
        first.push(Span::styled(format!(" {glyph} {word}"), style.patch(theme::heading())));
        first.push(Span::styled(format!("  {settled} of {total} phases settled"), theme::faint()));
        rest.push(Line::from(Span::styled(format!(" {}", text::cut(&what_now(run, state), columns.saturating_sub(2))), theme::faint())));
    }
    let lines: Vec<Line<'_>> = std::iter::once(Line::from(first)).chain(rest).collect();
    frame.render_widget(ratatui::widgets::Paragraph::new(lines), area);
}

/// What the running step waits for, and what is left of the whole: two lines.
fn doing(model: &Model, run: &Run, state: &State, step: &StepRef, record: &StepRecord, columns: usize) -> Vec<Line<'static>> {
    if let Some(question) = state.questions.iter().find(|question| question.step == *step) {
        return vec![Line::from(Span::styled(text::cut(&format!(" ? Waits for your answer: {}", question.text), columns), theme::warn()))];
    }
    let Some((planned, phase)) = state.plan.step(step).zip(state.plan.phase(step.phase.as_str())) else { return Vec::new() };
    let known = run.progress.get(step).map(|(_, progress)| progress);
    let band = run.history.band(phase);
    let left = run.history.left(state, Some((&phase.id, phase_elapsed(model.now, state, phase) / 1000)));
    let left = left.map(|left| format!(" To the end: {} ({})", words(left.from, left.to), left.source.words())).unwrap_or_default();
    let waits = waiting(planned, record.started, known, band, model.now);
    let (first, second) = progress_view::waiting(&waits, &left, columns);
    vec![first, second]
}

fn standing(run: &Run, state: &State) -> (&'static str, String, ratatui::style::Style) {
    if let Some(Some(reason)) = &run.ended {
        return ("✗", format!("The engine has ended: {reason}"), theme::bad());
    }
    match state.summary() {
        "done" => ("✓", "Done".into(), theme::good()),
        "failed" => ("✗", "A phase failed".into(), theme::bad()),
        "stopped" => ("■", "Stopped".into(), theme::warn()),
        "waiting" => ("?", "Waits for your answer".into(), theme::warn()),
        "running" if run.halted == Some(StopReason::Blocked) => ("✗", "A phase cannot begin".into(), theme::bad()),
        "running" if run.halted == Some(StopReason::Failed) => ("✗", "A phase failed".into(), theme::bad()),
        "running" if run.halted == Some(StopReason::Stopped) => ("■", "Stopped".into(), theme::warn()),
        "running" if state.is_complete() => ("✓", "Done".into(), theme::good()),
        "running" if run.pushed => ("▶", "Going on: checks before the next phase".into(), theme::busy()),
        _ => ("·", "Nothing is running".into(), theme::text()),
    }
}

fn what_now(run: &Run, state: &State) -> String {
    let any = |wanted: PhaseState| state.plan.phases.iter().any(|phase| state.phase_state(phase) == wanted);
    if state.is_complete() {
        "v shows what is where and what to do next".into()
    } else if matches!(run.ended, Some(Some(_))) {
        "c starts the next engine, which takes up what runs and goes on".into()
    } else if run.failure().is_some() {
        "r retry, s skip, a edit answers, e shell here, q later".into()
    } else if any(PhaseState::Failed) || any(PhaseState::Interrupted) || any(PhaseState::Stale) {
        "c goes on with all phases that are not done; the failed one is marked on the left".into()
    } else if run.pushed {
        "The checks that guard the next phase are being judged".into()
    } else {
        "c goes on with the phases that are not done".into()
    }
}
