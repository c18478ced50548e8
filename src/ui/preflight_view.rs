//! Draws the preflight: summary, matrix or list, the finding under the cursor.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::Model;
use super::preflight::{Filter, Layout as Shape, Preflight, Row, WATCH_SECONDS};
use super::{paths_view, popup, text, theme, widgets};
use crate::install::check::{Finding, Level, Target};
use crate::install::ids::CheckId;
use crate::install::plan::Plan;

/// Columns of a mark with its word.
const SINGLE_MARK: usize = 9;

/// Draws the screen.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(plan) = &model.review.plan else { return };
    let preflight = &model.preflight;
    let [top, gap, main, buttons] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(4), Constraint::Length(1)]).areas(area);
    summary(model, frame, top);
    let _ = gap;
    let wide = main.width >= 110;
    let (findings, detail) = if wide {
        let [left, gap, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Length(3), Constraint::Min(30)]).areas(main);
        widgets::divider(frame, gap);
        (left, right)
    } else {
        let rows = (main.height / 2).clamp(3, 9);
        let [upper, line, lower] = Layout::vertical([Constraint::Min(3), Constraint::Length(1), Constraint::Length(rows)]).areas(main);
        widgets::rule(frame, line);
        (upper, widgets::inset(lower, 1, 0))
    };
    match preflight.layout {
        Shape::Matrix => matrix(preflight, plan, frame, findings),
        Shape::List => list(preflight, plan, frame, findings),
        Shape::Paths => paths_view::matrix(preflight, plan, frame, findings),
    }
    details(model, plan, frame, detail);
    let labels: Vec<&str> = preflight.buttons().iter().map(|(label, _)| *label).collect();
    frame.render_widget(widgets::buttons(&labels, preflight.button), widgets::inset(buttons, 1, 0));
}

fn summary(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let preflight = &model.preflight;
    let counts = preflight.summary();
    let ignored = preflight.findings().filter(|finding| finding.ignored.is_some()).count();
    let mut spans = vec![Span::raw(" ")];
    let mut put = |glyph: &str, count: usize, word: &str, style: Style| {
        // What is not there is not counted, but for the two that matter most.
        if count == 0 && !matches!(word, "fail" | "pass") {
            return;
        }
        let style = if count == 0 { theme::faint() } else { style };
        spans.push(Span::styled(format!("{glyph} {count} {word}   "), style));
    };
    put("✗", counts.fail, "fail", theme::bad());
    put("?", counts.unknown, "unknown", theme::bad());
    put("!", counts.warn, "warn", theme::warn());
    put("✓", counts.pass, "pass", theme::good());
    put("–", counts.skipped, "skipped", theme::text());
    if ignored > 0 {
        put("○", ignored, "ignored", theme::warn());
    }
    if preflight.filter != Filter::All {
        let name = if preflight.filter == Filter::NotGreen { "not green" } else { "blocking" };
        spans.push(Span::styled(format!(" only {name} "), theme::found()));
    }
    let line = Line::from(spans);
    let used = line.width();
    frame.render_widget(line, area);
    let known = preflight.cells.len();
    let right = match (preflight.running, preflight.watching, preflight.ended) {
        (true, _, _) => Span::styled(
            format!("▶ checking {} of {} ", preflight.judged.min(known), if preflight.partial { preflight.expected } else { known }),
            theme::busy(),
        ),
        (false, true, Some(ended)) => {
            let left = WATCH_SECONDS - (model.now.as_second() - ended.as_second());
            Span::styled(format!("watching, again in {} s ", left.max(0)), theme::busy())
        }
        (false, _, Some(ended)) => Span::styled(format!("checked at {} UTC ", popup::clock(ended)), theme::faint()),
        _ => Span::raw(""),
    };
    let room = usize::from(area.width).saturating_sub(used);
    let right = if right.width() <= room { right } else { Span::styled(text::cut(right.content.trim_end(), room), right.style) };
    let width = u16::try_from(right.width()).unwrap_or(0).min(area.width);
    frame.render_widget(right, Rect::new(area.right() - width, area.y, width, 1));
}

fn mark(preflight: &Preflight, key: &(CheckId, Target)) -> (&'static str, &'static str, Style) {
    match preflight.cells.get(key).and_then(Option::as_ref) {
        Some(finding) => theme::verdict(finding.verdict, finding.ignored.is_some() && finding.level != Level::Strict),
        None => ("·", "open", theme::faint()),
    }
}

fn matrix(preflight: &Preflight, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let rows = preflight.rows(plan);
    let columns = usize::from(area.width);
    let machines: Vec<&str> = plan.machines.iter().map(|machine| machine.name.as_str()).collect();
    let longest = machines.iter().map(|name| name.len()).max().unwrap_or(1);
    let title_least = 24.min(columns / 2);
    let cell = (columns.saturating_sub(title_least + 4) / machines.len().max(1)).clamp(2, longest + 1);
    let title_width = columns.saturating_sub(cell * machines.len() + 4).min(46);
    // Rows with one mark have no columns of machines beside them: their titles get the room they need.
    let single = |row: &Row| match row {
        Row::Cells { title, cells } if cells.len() == 1 && machines.len() != 1 => text::width(title) + 2,
        _ => 0,
    };
    let single_width = rows.iter().map(single).max().unwrap_or(0).min(columns.saturating_sub(SINGLE_MARK + 4)).max(title_width);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut at = 0;
    for row in &rows {
        match row {
            Row::Group(name) => {
                let mut spans = vec![Span::styled(format!(" {}", text::fit(name, title_width + 2)), theme::heading())];
                if *name == "Machines" {
                    for machine in &machines {
                        let shown = short_name(machine, &machines, cell - 1);
                        spans.push(Span::styled(text::fit(&shown, cell), theme::faint()));
                    }
                }
                if !lines.is_empty() {
                    lines.push(Line::default());
                }
                lines.push(Line::from(spans));
            }
            Row::Cells { title, cells } => {
                let here = preflight.button.is_none() && cells.iter().flatten().any(|key| Some(key) == preflight.cursor.as_ref());
                if here {
                    at = lines.len();
                }
                let style = if here { theme::marked() } else { theme::text() };
                let single = cells.len() == 1 && machines.len() != 1;
                let title_width = if single { single_width } else { title_width };
                let mut spans = vec![
                    Span::styled(if here { " ▸ " } else { "   " }, theme::accent()),
                    Span::styled(text::fit(title, title_width.saturating_sub(1)), style),
                    Span::raw(" "),
                ];
                for key in cells {
                    let Some(key) = key else {
                        spans.push(Span::raw(" ".repeat(cell)));
                        continue;
                    };
                    let (glyph, word, mut style) = mark(preflight, key);
                    if preflight.button.is_none() && preflight.cursor.as_ref() == Some(key) {
                        style = style.patch(theme::selected());
                    }
                    let shown = if single {
                        format!("{glyph} {word}")
                    } else if cell > 8 {
                        text::fit(&format!("{glyph} {word}"), cell - 1)
                    } else {
                        glyph.to_owned()
                    };
                    let pad = cell.saturating_sub(text::width(&shown));
                    spans.push(Span::styled(shown, style));
                    spans.push(Span::raw(" ".repeat(pad)));
                }
                lines.push(Line::from(spans));
            }
        }
    }
    if lines.is_empty() {
        lines.push(nothing(preflight));
    }
    widgets::scrolled(frame, area, lines, at);
}

/// As much of a name as there is room for, as long as it tells machines apart: its beginning; the first letters of its parts with the
/// number at the end; its beginning and its end; else its number in the list.
fn short_name(name: &str, all: &[&str], room: usize) -> String {
    let head = |name: &str, room: usize| name.chars().take(room).collect::<String>();
    let initials = |name: &str| {
        let number: String = name.chars().rev().take_while(char::is_ascii_digit).collect::<Vec<_>>().into_iter().rev().collect();
        let word = name.strip_suffix(number.as_str()).unwrap_or(name);
        let letters: String = word.split(['-', '_', '.']).filter_map(|part| part.chars().next()).collect();
        format!("{}{number}", head(&letters, room.saturating_sub(number.chars().count())))
    };
    let both = |name: &str| {
        let tail: String = name.chars().rev().take(1).collect();
        format!("{}{tail}", head(name, room.saturating_sub(1)))
    };
    let ways: [&dyn Fn(&str) -> String; 3] = [&|name| head(name, room), &initials, &both];
    let short = |name: &str| name.chars().count() <= room;
    if short(name) {
        return name.to_owned();
    }
    let tells = |way: &&&dyn Fn(&str) -> String| {
        let own = way(name);
        let shown = |other: &&&str| **other != name && (if short(other) { (**other).to_owned() } else { way(other) }) == own;
        !own.is_empty() && all.iter().filter(shown).count() == 0
    };
    match ways.iter().find(tells) {
        Some(way) => way(name),
        None => (all.iter().position(|other| *other == name).unwrap_or(0) + 1).to_string(),
    }
}

fn nothing(preflight: &Preflight) -> Line<'static> {
    let say = match (preflight.running, preflight.filter) {
        (true, _) => "   Connecting to the machines",
        (false, Filter::All) => "   Nothing was checked",
        (false, _) => "   Nothing of this kind",
    };
    Line::from(Span::styled(say, theme::faint()))
}

fn list(preflight: &Preflight, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let keys = preflight.list();
    let at = preflight.cursor.as_ref().and_then(|cursor| keys.iter().position(|key| key == cursor)).unwrap_or(0);
    let height = usize::from(area.height);
    let top = widgets::top_for(keys.len(), at, height);
    let columns = usize::from(area.width);
    let target_width = (columns / 4).clamp(12, 28);
    let lines: Vec<Line<'_>> = keys
        .iter()
        .enumerate()
        .skip(top)
        .take(height)
        .map(|(number, key)| {
            let (glyph, word, style) = mark(preflight, key);
            let here = preflight.button.is_none() && number == at;
            let base = if here { theme::selected() } else { theme::text() };
            let title = plan.check(key.0.as_str()).map_or(key.0.as_str(), |check| check.title.as_str());
            let target = key.1.to_string();
            let target = target.strip_prefix("machine:").or_else(|| target.strip_prefix("name:")).unwrap_or(&target).to_owned();
            Line::from(vec![
                Span::styled(if here { " ▸ " } else { "   " }, base.patch(theme::accent())),
                Span::styled(format!("{glyph} {word:<8} "), base.patch(style)),
                Span::styled(format!("{} ", text::fit(&target, target_width)), base),
                Span::styled(text::fit(title, columns.saturating_sub(target_width + 16)), base),
            ])
        })
        .collect();
    let lines = if lines.is_empty() { vec![nothing(preflight)] } else { lines };
    frame.render_widget(ratatui::widgets::Paragraph::new(lines), area);
}

fn details(model: &Model, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let columns = usize::from(area.width).saturating_sub(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut labelled = |label: &str, body: &str, style: Style| {
        if body.is_empty() {
            return;
        }
        for (number, piece) in text::wrap(body, columns.saturating_sub(10)).into_iter().enumerate() {
            let head = if number == 0 { label } else { "" };
            lines.push(Line::from(vec![Span::styled(format!("{head:<10}"), theme::faint()), Span::styled(piece, style)]));
        }
    };
    if model.preflight.layout == Shape::Paths {
        paths_view::describe(&model.preflight, plan, &mut labelled);
        widgets::paged(frame, area, lines, 0);
        return;
    }
    match model.preflight.finding() {
        Some(finding) => describe(finding, plan, &mut labelled),
        None => {
            if let Some(trouble) = &model.preflight.trouble {
                labelled("trouble", trouble, theme::bad());
            }
            let say = if model.preflight.running {
                "All machines are looked at at once; results come in as they are found. Nothing is changed on them."
            } else if model.preflight.is_open() {
                "Nothing stands in the way."
            } else {
                "Move the cursor to a finding to read about it."
            };
            labelled("", say, theme::text());
        }
    }
    widgets::paged(frame, area, lines, 0);
}

fn describe(finding: &Finding, plan: &Plan, labelled: &mut impl FnMut(&str, &str, Style)) {
    let (glyph, word, style) = theme::verdict(finding.verdict, finding.ignored.is_some() && finding.level != Level::Strict);
    let title = plan.check(finding.check.as_str()).map_or(finding.check.as_str(), |check| check.title.as_str());
    labelled(&format!("{glyph} {word}"), &format!("{title}, {}", finding.target), style.patch(theme::heading()));
    labelled("observed", &finding.observed, theme::text());
    labelled("expected", &finding.expected, theme::text());
    if !matches!(finding.verdict, crate::install::check::Verdict::Pass | crate::install::check::Verdict::Skipped) {
        labelled("remedy", &finding.remedy, theme::accent());
    }
    if let Some(fix) = crate::install::fix::for_finding(plan, finding) {
        labelled("fix", &format!("{} (f: read the script, run it)", fix.fix.does), theme::good());
    }
    if let Some(reason) = &finding.ignored {
        labelled("ignored", &format!("{reason} (i: it counts again)"), theme::warn());
    }
    let guards: Vec<&str> = finding.guards.iter().map(crate::install::ids::PhaseId::as_str).collect();
    let guards = if guards.is_empty() { "the whole run".to_owned() } else { guards.join(", ") };
    let level = match finding.level {
        Level::Warn => "warn: blocks nothing",
        Level::Fail => "fail: blocks, may be ignored with a reason",
        Level::Strict => "strict: blocks, cannot be ignored",
    };
    labelled("check", &format!("{} ({level}), guards {guards}", finding.check), theme::faint());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_tell_machines_apart() {
        let all = ["vm1", "vm2", "nginx-node-1", "nginx-obs-node-1", "obs-node-1", "wg-bastion"];
        let shown = |room: usize| all.map(|name| short_name(name, &all, room));
        assert_eq!(shown(12), ["vm1", "vm2", "nginx-node-1", "nginx-obs-no", "obs-node-1", "wg-bastion"]);
        assert_eq!(shown(4), ["vm1", "vm2", "nn1", "non1", "obs-", "wg-b"]);
        for room in 1..=16 {
            let names: std::collections::BTreeSet<String> = shown(room).into();
            assert_eq!(names.len(), all.len(), "{room}: {names:?}");
        }
    }
}
