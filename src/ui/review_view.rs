//! Draws the review: phases and files on the left, commands and diffs on the right.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::app::Model;
use super::review::{BUTTONS, Focus, Review};
use super::{text, theme, widgets};
use crate::install::change::{Change, FileChange};
use crate::install::plan::{Action, Plan, PlanPhase, PlanStep};
use crate::install::profile::Repeat;

/// Draws the screen.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let review = &model.review;
    let Some(plan) = &review.plan else { return };
    let [top, gap, main, buttons] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(4), Constraint::Length(1)]).areas(area);
    let _ = gap;
    head(review, plan, frame, top);
    let left_width = if main.width < 100 { 34 } else { (main.width * 2 / 5).min(60) };
    let [left, gap, right] = Layout::horizontal([Constraint::Length(left_width), Constraint::Length(3), Constraint::Min(20)]).areas(main);
    widgets::divider(frame, gap);
    entries(review, plan, frame, left);
    let columns = usize::from(right.width).saturating_sub(1);
    let detail = match plan.phases.get(review.selected) {
        Some(phase) => phase_lines(phase, plan, columns),
        None => review.files.get(review.selected - plan.phases.len()).map(|file| file_lines(file, columns)).unwrap_or_default(),
    };
    widgets::paged(frame, right, detail, review.top);
    let focus = match review.focus {
        Focus::Buttons(at) => Some(at),
        _ => None,
    };
    frame.render_widget(widgets::buttons(&BUTTONS, focus), widgets::inset(buttons, 1, 0));
}

fn head(review: &Review, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let times = plan.phases.iter().filter_map(|phase| phase.expect_minutes);
    let (from, to) = times.fold((0, 0), |sum, time| (sum.0 + time.0, sum.1 + time.1));
    let count = |change: Change| review.files.iter().filter(|file| file.change == change).count();
    let mut spans = vec![
        Span::styled(" Nothing has been touched so far.", theme::accent_heading()),
        Span::styled(format!("  {} phases", plan.phases.len()), theme::text()),
    ];
    if to > 0 {
        spans.push(Span::styled(format!(", about {}", text::expected(Some((from, to)))), theme::text()));
    }
    let written = count(Change::Create) + count(Change::Edit);
    spans.push(Span::styled(format!("; {written} {}", if area.width < 90 { "files" } else { "files to write" }), theme::text()));
    if count(Change::Conflict) > 0 {
        spans.push(Span::styled(format!(", {} kept", count(Change::Conflict)), theme::warn()));
    }
    frame.render_widget(Line::from(spans), area);
}

fn change_mark(change: Change) -> (&'static str, ratatui::style::Style) {
    match change {
        Change::Create => ("create", theme::good()),
        Change::Edit => ("edit", theme::busy()),
        Change::Same => ("same", theme::faint()),
        Change::Conflict => ("! kept", theme::warn()),
    }
}

fn entries(review: &Review, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let mut lines: Vec<Line<'_>> = vec![Line::from(Span::styled(" Phases", theme::heading()))];
    let mut at = 0;
    let base = |number: usize| match (number == review.selected, review.focus) {
        (true, Focus::List) => theme::selected(),
        (true, _) => theme::marked(),
        _ => theme::text(),
    };
    for (number, phase) in plan.phases.iter().enumerate() {
        if number == review.selected {
            at = lines.len();
        }
        let style = base(number);
        let time = text::expected(phase.expect_minutes);
        let room = columns.saturating_sub(text::width(&time) + 5);
        lines.push(Line::from(vec![
            Span::styled(if number == review.selected { " ▸ " } else { "   " }, style.patch(theme::accent())),
            Span::styled(text::fit(&phase.title, room), style),
            Span::styled(format!(" {time} "), style.patch(theme::faint())),
        ]));
    }
    lines.push(Line::default());
    lines.push(Line::from(Span::styled(" Files", theme::heading())));
    let widest = review.files.iter().map(|file| change_mark(file.change).0.len()).max().unwrap_or_default();
    let paths: Vec<&str> = review.files.iter().map(|file| file.path.as_str()).collect();
    let names = text::told_apart(&paths, columns.saturating_sub(widest + 5));
    for (number, (file, name)) in review.files.iter().zip(names).enumerate() {
        let number = number + plan.phases.len();
        if number == review.selected {
            at = lines.len();
        }
        let style = base(number);
        let (word, change) = change_mark(file.change);
        let room = columns.saturating_sub(word.len() + 5);
        lines.push(Line::from(vec![
            Span::styled(if number == review.selected { " ▸ " } else { "   " }, style.patch(theme::accent())),
            Span::styled(text::fit(&name, room), style),
            Span::styled(format!(" {word} "), style.patch(change)),
        ]));
    }
    widgets::scrolled(frame, area, lines, at);
}

fn phase_lines(phase: &PlanPhase, plan: &Plan, columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let say = |lines: &mut Vec<Line<'static>>, body: &str, style, indent: usize| {
        let pieces = text::wrap(body, columns.saturating_sub(indent));
        lines.extend(pieces.into_iter().map(|piece| Line::from(Span::styled(format!("{}{piece}", " ".repeat(indent)), style))));
    };
    say(&mut lines, &phase.title, theme::heading(), 0);
    say(&mut lines, phase.help.trim(), theme::text(), 0);
    let title = |id: &crate::install::ids::PhaseId| plan.phase(id.as_str()).map_or_else(|| id.to_string(), |phase| phase.title.clone());
    let needs: Vec<String> = phase.needs.iter().map(title).collect();
    if !needs.is_empty() {
        say(&mut lines, &format!("Needs: {}", needs.join(", ")), theme::faint(), 0);
    }
    match &phase.skip {
        Some(meaning) => say(&mut lines, &format!("May be skipped: {meaning}"), theme::faint(), 0),
        None => say(&mut lines, "Cannot be skipped.", theme::faint(), 0),
    }
    for step in &phase.steps {
        lines.push(Line::default());
        step_lines(step, columns, &mut lines, &say);
    }
    lines
}

fn step_lines(
    step: &PlanStep,
    columns: usize,
    lines: &mut Vec<Line<'static>>,
    say: &impl Fn(&mut Vec<Line<'static>>, &str, ratatui::style::Style, usize),
) {
    let _ = columns;
    lines.push(Line::from(vec![
        Span::styled("• ", theme::accent()),
        Span::styled(step.title.clone(), theme::heading()),
        Span::styled(format!("  {}", step.action.kind()), theme::faint()),
    ]));
    if let Some(dir) = &step.dir {
        say(lines, &format!("in {dir}"), theme::faint(), 2);
    }
    for command in step.commands() {
        let typed: Vec<String> = command.argv.iter().map(|word| crate::install::planner::shell_quote(word)).collect();
        say(lines, &format!("$ {}", typed.join(" ")), theme::busy(), 2);
    }
    for remark in step.remarks() {
        say(lines, &remark, theme::text(), 2);
    }
    let what = match &step.action {
        Action::Write { paths } => paths.iter().map(|path| format!("writes {path}")).collect::<Vec<_>>().join("\n"),
        Action::Wait { check, timeout_minutes, .. } => format!("waits up to {timeout_minutes} min until {check} holds"),
        Action::Ask { text, .. } => format!("asks you: {text}"),
        Action::Check { checks } => format!("goes on when these hold: {}", join(checks)),
        Action::Ansible { tasks: Some(tasks), .. } => format!("about {tasks} tasks"),
        Action::Terraform { resources: Some(resources), .. } => {
            format!("about {resources} resources; asks before it destroys or replaces any")
        }
        Action::Terraform { .. } => "asks before it destroys or replaces a resource".into(),
        Action::Command { .. } | Action::Ansible { .. } | Action::Ssh { .. } => String::new(),
    };
    if !what.is_empty() {
        say(lines, &what, theme::text(), 2);
    }
    if !step.env.is_empty() {
        let names: Vec<&str> = step.env.keys().map(String::as_str).collect();
        say(lines, &format!("sets {}", names.join(", ")), theme::faint(), 2);
    }
    if !step.verify.is_empty() {
        say(lines, &format!("afterwards these must hold: {}", join(&step.verify)), theme::faint(), 2);
    }
    if !step.unless.is_empty() {
        say(lines, &format!("left out when these hold already: {}", join(&step.unless)), theme::faint(), 2);
    }
    if step.on_retry {
        say(lines, "only when the phase is retried", theme::faint(), 2);
    }
    match step.repeat {
        Repeat::Safe => {}
        Repeat::Ask => say(lines, "asks before it runs a second time", theme::warn(), 2),
        Repeat::Never => say(lines, "never runs a second time", theme::warn(), 2),
    }
}

fn join(checks: &[crate::install::ids::CheckId]) -> String {
    checks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn file_lines(file: &FileChange, columns: usize) -> Vec<Line<'static>> {
    let (word, style) = change_mark(file.change);
    let mut lines: Vec<Line<'static>> =
        text::wrap(&file.path, columns).into_iter().map(|piece| Line::from(Span::styled(piece, theme::heading()))).collect();
    let say = match file.change {
        Change::Create => "A new file.",
        Change::Edit => "Edited in place; comments and other keys stay.",
        Change::Same => "It stays as it is.",
        Change::Conflict => "Somebody edited it since it was last written: it is kept. This is how it differs from what would be written.",
    };
    lines.extend(text::wrap(&format!("{word}: {say}"), columns).into_iter().map(|piece| Line::from(Span::styled(piece, style))));
    lines.push(Line::default());
    for line in file.diff.lines() {
        let style = match line.as_bytes().first() {
            _ if line.starts_with("+++") || line.starts_with("---") => theme::faint(),
            Some(b'+') => theme::good(),
            Some(b'-') => theme::bad(),
            Some(b'@') => theme::busy(),
            _ => theme::text(),
        };
        let tame = text::plain(&text::tame(line));
        lines.push(Line::from(Span::styled(text::cut(&tame, columns), style)));
    }
    lines
}
