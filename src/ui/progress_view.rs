//! Draws what a step does in detail: tasks × hosts, resources by group and module, the cluster; and what it waits for.

use std::ops::Range;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::detail_pane::DetailPane;
use super::{text, theme};
use crate::install::hints::{Hints, module_name};
use crate::run::cluster::Cluster;
use crate::run::detail::{CellState, Details, ResourceRow, ResourceState, Status, between};
use crate::run::waiting::{Normal, Waiting};

/// The narrowest and the widest column of a host.
const CELL: (usize, usize) = (3, 12);

/// The least room for a task's name.
const NAME: usize = 16;

/// Draws tasks × hosts, or resources; the newest tasks and the beginning of the resources are in sight.
pub fn work(pane: &DetailPane, hints: &Hints, now: Timestamp, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width);
    let count = pane.details.tasks.len();
    if count == 0 {
        draw(frame, area, None, resources(&pane.details, hints, now, columns), pane.scrolled);
        return;
    }
    // There may be thousands: only what is in sight is made, or each frame would take longer than a key may.
    let room = usize::from(area.height).saturating_sub(2);
    let top = count.saturating_sub(room).saturating_sub(pane.scrolled);
    let (head, rows, legend) = tasks(&pane.details, top..count.min(top + room), now, columns);
    let all: Vec<Line<'static>> = std::iter::once(head).chain(rows).chain(std::iter::once(legend)).collect();
    frame.render_widget(ratatui::widgets::Paragraph::new(all), area);
}

/// Draws the cluster.
pub fn cluster(pane: &DetailPane, frame: &mut Frame<'_>, area: Rect) {
    let Some((_, seen)) = &pane.details.cluster else { return };
    let (head, lines) = cluster_lines(seen, usize::from(area.width));
    draw(frame, area, Some(head), lines, pane.scrolled);
}

fn draw(frame: &mut Frame<'_>, area: Rect, head: Option<Line<'static>>, lines: Vec<Line<'static>>, scrolled: usize) {
    let room = usize::from(area.height).saturating_sub(usize::from(head.is_some()));
    let top = scrolled.min(lines.len().saturating_sub(room));
    let all: Vec<Line<'static>> = head.into_iter().chain(lines.into_iter().skip(top).take(room)).collect();
    frame.render_widget(ratatui::widgets::Paragraph::new(all), area);
}

fn cell(state: CellState) -> (String, Style) {
    match state {
        CellState::Running => ("▶".into(), theme::busy()),
        CellState::Retrying { left } => (format!("↻{left}"), theme::warn()),
        CellState::Ignored => ("○".into(), theme::warn()),
        CellState::Ended(Status::Ok) => ("✓".into(), theme::good()),
        CellState::Ended(Status::Changed) => ("●".into(), theme::accent()),
        CellState::Ended(Status::Skipped) => ("–".into(), theme::faint()),
        CellState::Ended(Status::Failed) => ("✗".into(), theme::bad()),
        CellState::Ended(Status::Unreachable) => ("?".into(), theme::bad()),
    }
}

/// Head, those rows, and legend of tasks × hosts.
fn tasks(
    details: &Details,
    shown_rows: Range<usize>,
    now: Timestamp,
    columns: usize,
) -> (Line<'static>, Vec<Line<'static>>, Line<'static>) {
    let time = 7;
    let hosts = details.hosts.len().max(1);
    let longest = details.hosts.iter().map(|host| text::width(host) + 1).max().unwrap_or(CELL.0);
    let width = (columns.saturating_sub(NAME + time + 1) / hosts).clamp(CELL.0, longest.clamp(CELL.0, CELL.1));
    let shown = (columns.saturating_sub(NAME + time + 1) / width).min(hosts);
    let name = columns.saturating_sub(shown * width + time + 1);
    let mut head = vec![Span::styled(text::fit("Task", name), theme::faint()), Span::styled(format!("{:>time$} ", "time"), theme::faint())];
    for host in details.hosts.iter().take(shown) {
        head.push(Span::styled(text::fit(&text::cut_middle(host, width - 1), width), theme::faint()));
    }
    let rows = details.tasks[shown_rows].iter().map(|row| {
        let open = row.cells.is_empty() && !details.ended || row.cells.values().any(|cell| cell.state.is_open());
        let bad = row.cells.values().any(|cell| cell.state.is_bad());
        let style = if bad {
            theme::bad()
        } else if open {
            theme::busy()
        } else {
            theme::text()
        };
        let title = if row.handler { format!("handler {}", row.name) } else { row.name.clone() };
        let took = short(row.took_ms(now));
        let mut spans = vec![Span::styled(text::fit(&title, name), style), Span::styled(format!("{took:>time$} "), theme::faint())];
        for host in details.hosts.iter().take(shown) {
            let (mark, style) = row.cells.get(host).map_or((String::new(), theme::faint()), |one| cell(one.state));
            spans.push(Span::styled(text::fit(&mark, width), style));
        }
        Line::from(spans)
    });
    let hidden = details.hosts.len() - shown.min(details.hosts.len());
    let mut legend = "✓ ok  ● changed  – skipped  ✗ failed  ? unreachable  ○ ignored  ▶ runs  ↻ again, tries left".to_owned();
    if hidden > 0 {
        legend = format!("+{hidden} hosts  {legend}");
    }
    (Line::from(head), rows.collect(), Line::from(Span::styled(text::cut(&legend, columns), theme::faint())))
}

/// A short time for a column: `42s`, `4m05`, `3h07`.
fn short(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}", seconds / 3600, seconds / 60 % 60),
    }
}

#[derive(Default)]
struct Count {
    planned: usize,
    done: usize,
    running: usize,
    failed: usize,
}

impl Count {
    fn of<'a>(rows: impl Iterator<Item = &'a ResourceRow>) -> Self {
        let mut count = Self::default();
        for row in rows {
            count.planned += 1;
            match row.state {
                ResourceState::Planned => {}
                ResourceState::Running => count.running += 1,
                ResourceState::Done => count.done += 1,
                ResourceState::Failed => count.failed += 1,
            }
        }
        count
    }

    fn mark(&self) -> (&'static str, Style) {
        if self.failed > 0 {
            ("✗", theme::bad())
        } else if self.running > 0 {
            ("▶", theme::busy())
        } else if self.planned > 0 && self.done == self.planned {
            ("✓", theme::good())
        } else if self.done > 0 {
            ("◐", theme::busy())
        } else {
            ("·", theme::faint())
        }
    }
}

fn resources(details: &Details, hints: &Hints, now: Timestamp, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut modules: Vec<&str> = Vec::new();
    for row in &details.resources {
        if !modules.contains(&row.module.as_str()) {
            modules.push(&row.module);
        }
    }
    let of_group = |group: usize| modules.iter().copied().filter(move |module| hints.group_of(module) == Some(group));
    for (number, group) in hints.groups.iter().enumerate() {
        let rows = details.resources.iter().filter(|row| hints.group_of(&row.module) == Some(number));
        let count = Count::of(rows);
        let (mark, style) = count.mark();
        let title = format!("{mark} {:>2} {}", number + 1, group.title);
        let right = if count.planned == 0 { "not planned".to_owned() } else { format!("{} of {}", count.done, count.planned) };
        lines.push(two(&title, &right, columns, style, true));
        // What is done or to come is one line; what goes on is opened.
        if count.running > 0 || count.failed > 0 {
            for module in of_group(number) {
                module_lines(details, module, hints, now, columns, 5, &mut lines);
            }
        }
    }
    for module in modules.iter().copied().filter(|module| hints.group_of(module).is_none()) {
        // Between the groups the root's own resources are mostly pauses; they are shown while they go on.
        let count = Count::of(details.resources.iter().filter(|row| row.module == module));
        if hints.groups.is_empty() || count.running > 0 || count.failed > 0 {
            module_lines(details, module, hints, now, columns, 0, &mut lines);
        }
    }
    for reason in &details.reasons {
        lines.push(Line::from(Span::styled(text::cut(&format!("✗ {reason}"), columns), theme::bad())));
    }
    lines
}

fn module_lines(
    details: &Details,
    module: &str,
    hints: &Hints,
    now: Timestamp,
    columns: usize,
    indent: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let rows = || details.resources.iter().filter(|row| row.module == module);
    let count = Count::of(rows());
    let (mark, style) = count.mark();
    let name = if module.is_empty() { "root" } else { module_name(module) };
    lines.push(two(&format!("{:indent$}{mark} {name}", ""), &format!("{} of {}", count.done, count.planned), columns, style, false));
    for row in rows().filter(|row| matches!(row.state, ResourceState::Running | ResourceState::Failed)) {
        let own = row.address.strip_prefix(&row.module).map_or(row.address.as_str(), |rest| rest.trim_start_matches('.'));
        let time = row.since.map(|since| text::duration(between(since, row.ended.unwrap_or(now)))).unwrap_or_default();
        let (mark, style) = if row.state == ResourceState::Running { ("▶", theme::busy()) } else { ("✗", theme::bad()) };
        let usual = hints.expected(&row.address).filter(|_| row.state == ResourceState::Running);
        let time = usual.map_or(time.clone(), |usual| format!("{time} of {}-{} min", usual.minutes.0, usual.minutes.1));
        lines.push(two(&format!("{:indent$}  {mark} {} {own}", "", row.action), &time, columns, style, false));
        if !row.reason.is_empty() {
            let room = columns.saturating_sub(indent + 4);
            for piece in text::wrap(&row.reason, room).into_iter().take(3) {
                lines.push(Line::from(Span::styled(format!("{:1$}{piece}", "", indent + 4), theme::bad())));
            }
        }
    }
}

/// A line with something at its right end.
fn two(left: &str, right: &str, columns: usize, style: Style, head: bool) -> Line<'static> {
    let room = columns.saturating_sub(text::width(right) + 2);
    let style = if head { style.patch(theme::heading()) } else { style };
    Line::from(vec![Span::styled(text::fit(left, room), style), Span::styled(format!("  {right}"), theme::faint())])
}

fn cluster_lines(seen: &Cluster, columns: usize) -> (Line<'static>, Vec<Line<'static>>) {
    let good = seen.ready == seen.pods && seen.volumes.is_empty();
    let head = format!("{} of {} pods are ready", seen.ready, seen.pods);
    let mut lines = Vec::new();
    for namespace in &seen.namespaces {
        let right = format!("{} of {} ready", namespace.ready, namespace.pods);
        lines.push(two(&namespace.name, &right, columns, theme::text(), true));
        for pod in seen.waiting.iter().filter(|pod| pod.namespace == namespace.name) {
            let hard = matches!(
                pod.reason.trim_start_matches("Init:"),
                "ErrImagePull"
                    | "ImagePullBackOff"
                    | "Unschedulable"
                    | "CrashLoopBackOff"
                    | "OOMKilled"
                    | "Error"
                    | "CreateContainerConfigError"
                    | "Evicted"
            );
            let style = if hard { theme::bad() } else { theme::warn() };
            let restarts = if pod.restarts > 0 { format!("{} restarts, ", pod.restarts) } else { String::new() };
            let right = format!("{restarts}{}", text::duration(pod.age_seconds * 1000));
            lines.push(two(&format!("  {} {}", pod.reason, pod.name), &right, columns, style, false));
            let says = if pod.known.is_empty() { pod.says() } else { format!("{}: {}", pod.known, pod.says()) };
            if !says.is_empty() {
                lines.push(Line::from(Span::styled(text::cut(&format!("    {says}"), columns), theme::faint())));
            }
        }
    }
    for volume in &seen.volumes {
        let right = format!("volume {}", volume.phase.to_lowercase());
        lines.push(two(&format!("{} {}", volume.namespace, volume.name), &right, columns, theme::warn(), false));
        if !volume.event.is_empty() {
            lines.push(Line::from(Span::styled(text::cut(&format!("    {}", volume.event), columns), theme::faint())));
        }
    }
    (Line::from(Span::styled(head, if good { theme::good() } else { theme::warn() })), lines)
}

/// The two lines that say what a step waits for: for what and whether that is normal; the cause, or what is left of the whole.
#[must_use]
pub fn waiting(waiting: &Waiting, left: &str, columns: usize) -> (Line<'static>, Line<'static>) {
    let late = waiting.normal == Normal::Longer || waiting.silent_minutes.is_some();
    let verdict = waiting.verdict();
    let mut said = format!(" {}", waiting.what);
    if waiting.others > 0 {
        said.push_str(&format!(" and {} more", waiting.others));
    }
    if waiting.since.is_some() {
        said.push_str(&format!(", {}", text::duration(waiting.seconds * 1000)));
    }
    let tail = if verdict.is_empty() { String::new() } else { format!("  {verdict}") };
    // On a narrow screen what it waits for and the verdict share the room.
    let room = columns.saturating_sub(text::width(&tail).min(columns / 2) + 1);
    let said = text::cut(&said, room);
    let rest = columns.saturating_sub(text::width(&said) + 1);
    let first = Line::from(vec![
        Span::styled(said, theme::text()),
        Span::styled(text::cut(&tail, rest), if late { theme::warn() } else { theme::faint() }),
    ]);
    let second = if !waiting.cause.is_empty() {
        Span::styled(text::cut(&format!(" ✗ {}", waiting.cause), columns), theme::bad())
    } else if !waiting.note.is_empty() && !late {
        Span::styled(text::cut(&format!(" {}{left}", waiting.note), columns), theme::faint())
    } else {
        Span::styled(text::cut(left, columns), theme::faint())
    };
    (first, Line::from(second))
}
