//! Draws the matrix of paths, and what is known about the cell under the cursor.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::paths::{Cell, Colour, Key, Table, cause, colour, colour_of, selected, tables};
use super::preflight::Preflight;
use super::{text, theme, widgets};
use crate::install::check::Verdict;
use crate::install::plan::Plan;
use crate::install::reach::{LOCAL, parts, purpose};

fn mark(colour: Colour) -> (&'static str, Style) {
    let (glyph, _, style) = match colour {
        Colour::Empty => (" ", "", theme::faint()),
        Colour::Pending => ("·", "", theme::faint()),
        Colour::Open => theme::verdict(Verdict::Pass, false),
        Colour::Skipped => theme::verdict(Verdict::Skipped, false),
        Colour::Warned => theme::verdict(Verdict::Warn, false),
        Colour::Unknown => theme::verdict(Verdict::Unknown, false),
        Colour::Blocked => theme::verdict(Verdict::Fail, false),
    };
    (glyph, style)
}

fn shown(name: &str) -> &str {
    if name == LOCAL { "this machine" } else { name }
}

/// The matrix: rows say where paths begin, columns where they end.
pub fn matrix(preflight: &Preflight, plan: &Plan, frame: &mut Frame<'_>, area: Rect) {
    let (roles, machines) = tables(preflight, plan);
    let (table, place) = match (&machines, preflight.paths.machines) {
        (Some(machines), Some(at)) => (machines, at),
        _ => (&roles, preflight.paths.roles),
    };
    let heading = match preflight.paths.machines {
        Some(_) => {
            let (from, to) = (roles.rows.get(preflight.paths.roles.0), roles.columns.get(preflight.paths.roles.1));
            let name = |name: Option<&String>| shown(name.map_or("", String::as_str)).to_owned();
            format!(" {} → {}, by machine (Enter: back to the roles)", name(from), name(to))
        }
        None => " Who reaches whom, by role: from the left to the top (Enter: by machine)".to_owned(),
    };
    let mut lines = vec![Line::from(Span::styled(text::cut(&heading, usize::from(area.width)), theme::heading()))];
    if table.cells.is_empty() || table.columns.is_empty() {
        lines.push(Line::from(Span::styled("   The profile names no paths between machines", theme::faint())));
    } else {
        lines.extend(grid(preflight, table, place, usize::from(area.width)));
    }
    widgets::scrolled(frame, area, lines, place.0 + 2);
}

fn grid(preflight: &Preflight, table: &Table, place: (usize, usize), columns: usize) -> Vec<Line<'static>> {
    let longest = table.rows.iter().map(|name| text::width(shown(name))).max().unwrap_or(0);
    let label = (longest + 1).clamp(6, (columns / 3).max(6));
    let widest = table.columns.iter().map(|name| text::width(name)).max().unwrap_or(0) + 2;
    let room = columns.saturating_sub(label + 4);
    let width = (room / table.columns.len().max(1)).clamp(3, widest.max(9));
    // As many columns as fit, with that of the cursor among them.
    let fit = (room / width).clamp(1, table.columns.len());
    let first = place.1.saturating_sub(fit - 1).min(table.columns.len() - fit);
    let window = first..first + fit;
    // Long names are set over two lines, broken at a hyphen where there is one.
    let heads: Vec<(String, String)> = window.clone().map(|at| split(&table.columns[at], width - 1)).collect();
    let mut lines = Vec::new();
    let head = |pick: &dyn Fn(&(String, String)) -> &str| {
        let mut spans = vec![Span::raw(" ".repeat(label + 4))];
        spans.extend(heads.iter().map(|pair| Span::styled(text::fit(pick(pair), width), theme::faint())));
        Line::from(spans)
    };
    if heads.iter().any(|pair| !pair.1.is_empty()) {
        lines.push(head(&|pair| &pair.0));
        lines.push(head(&|pair| &pair.1));
    } else {
        lines.push(head(&|pair| &pair.0));
    }
    for (row, cells) in table.cells.iter().enumerate() {
        let here = preflight.button.is_none() && row == place.0;
        let style = if here { theme::marked() } else { theme::text() };
        let mut spans = vec![
            Span::styled(if here { " ▸ " } else { "   " }, theme::accent()),
            Span::styled(text::fit(shown(&table.rows[row]), label), style),
            Span::raw(" "),
        ];
        for at in window.clone() {
            let cell = &cells[at];
            let (found, not_open) = colour(preflight, cell);
            let (glyph, mut style) = mark(found);
            if here && at == place.1 {
                style = style.patch(theme::selected());
            }
            let word = words(cell, found, not_open, width - 1);
            let pad = width.saturating_sub(text::width(glyph) + text::width(&word));
            spans.push(Span::styled(format!("{glyph}{word}"), style));
            spans.push(Span::raw(" ".repeat(pad)));
        }
        lines.push(Line::from(spans));
    }
    lines
}

/// How many paths there are, or how many of them are not open; as far as there is room.
fn words(cell: &Cell, found: Colour, not_open: usize, room: usize) -> String {
    let count = cell.keys.len();
    let long = match found {
        Colour::Empty => return String::new(),
        Colour::Open | Colour::Pending | Colour::Skipped => format!(" {count}"),
        _ => format!(" {not_open}/{count}"),
    };
    if text::width(&long) < room { long } else { String::new() }
}

fn split(name: &str, room: usize) -> (String, String) {
    if text::width(name) <= room {
        return (name.to_owned(), String::new());
    }
    let at = name.match_indices('-').map(|(at, _)| at + 1).take_while(|at| *at <= room).last();
    let (one, other) = name.split_at(at.unwrap_or_else(|| name.char_indices().nth(room).map_or(name.len(), |(at, _)| at)));
    (one.to_owned(), text::cut(other, room))
}

/// Says what is known about the cell under the cursor: its ports, and the worst finding with what to ask for.
pub fn describe(preflight: &Preflight, plan: &Plan, labelled: &mut impl FnMut(&str, &str, Style)) {
    let Some(cell) = selected(preflight, plan) else { return };
    if cell.keys.is_empty() {
        labelled("", "Nothing needs this way.", theme::faint());
        return;
    }
    let (worst, not_open) = colour(preflight, &cell);
    let total = cell.keys.len();
    let (glyph, style) = mark(worst);
    let said = match worst {
        Colour::Open if total == 1 => "the one path is open".to_owned(),
        Colour::Open => format!("all {total} paths are open"),
        Colour::Pending => format!("{not_open} of {total} paths are not tried yet"),
        _ => format!("{not_open} of {total} paths are not open"),
    };
    labelled(glyph, &said, style.patch(theme::heading()));
    let worst = cell.keys.iter().rev().max_by_key(|key| colour_of(preflight, key)).and_then(|key| cause(preflight, key));
    if let Some(finding) = worst.filter(|finding| finding.verdict != Verdict::Pass) {
        labelled("observed", &finding.observed, theme::text());
        if finding.verdict != Verdict::Skipped {
            labelled("remedy", &finding.remedy, theme::accent());
        }
        if let Some(reason) = &finding.ignored {
            labelled("ignored", &format!("{reason} (i: it counts again)"), theme::warn());
        }
    }
    for (port, keys) in ports(&cell) {
        let worst = keys.iter().map(|key| colour_of(preflight, key)).max().unwrap_or(Colour::Empty);
        let open = keys.iter().filter(|key| colour_of(preflight, key) == Colour::Open).count();
        let purpose = keys.first().and_then(|key| {
            let check = plan.check(key.0.as_str())?;
            let (number, protocol) = port.split_once('/')?;
            let protocol = if protocol == "udp" { crate::install::facts::Protocol::Udp } else { crate::install::facts::Protocol::Tcp };
            purpose(check, crate::install::reach::What::Port(protocol, number.parse().ok()?)).map(str::to_owned)
        });
        let purpose = purpose.unwrap_or_else(|| if port.starts_with("mtu") { "large packets".to_owned() } else { String::new() });
        let (glyph, style) = mark(worst);
        let count = if keys.len() > 1 { format!(", {open} of {}", keys.len()) } else { String::new() };
        labelled(glyph, &format!("{port}  {purpose}{count}"), style);
    }
}

/// The ports of a cell, each with its paths.
fn ports(cell: &Cell) -> Vec<(String, Vec<&Key>)> {
    let mut found: Vec<(String, Vec<&Key>)> = Vec::new();
    for key in &cell.keys {
        let Some((_, _, port)) = parts(&key.1) else { continue };
        match found.iter_mut().find(|(known, _)| known == port) {
            Some((_, keys)) => keys.push(key),
            None => found.push((port.to_owned(), vec![key])),
        }
    }
    found
}
