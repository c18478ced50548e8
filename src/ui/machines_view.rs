//! Draws the table of machines.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::machines::{COLUMNS, Column};
use super::site::{Part, SiteForm};
use super::{text, theme, widgets};

/// Blanks between two columns.
fn gap(area: Rect) -> usize {
    if area.width < 76 { 1 } else { 2 }
}

fn widths(site: &SiteForm, room: usize, gap: usize) -> [usize; 6] {
    let widest = |column: Column, least: usize, most: usize| {
        let own = site.draft.machines.iter().map(|machine| text::width(&column.text(machine))).max().unwrap_or(0);
        own.clamp(least, most)
    };
    let name = widest(Column::Name, 6, 16);
    let fixed = name + 15 + 4 + 5 * gap;
    let public = widest(Column::Public, 14, 24);
    let user = widest(Column::User, 8, 12);
    let left = room.saturating_sub(fixed);
    // The roles give way first: they are also in the popup and below.
    let roles = widest(Column::Roles, 8, 60).min(left.saturating_sub(public + user)).max(8);
    let public = public.min(left.saturating_sub(roles + user)).max(6);
    [name, roles, 15, public, user.min(left.saturating_sub(roles + public)).max(4), 3]
}

/// Draws the table and, below, help for the cell.
pub fn view(site: &SiteForm, frame: &mut Frame<'_>, area: Rect, help: Rect) {
    let area = widgets::inset(area, 0, 1);
    let focus = site.part == Part::Content;
    let widths = widths(site, usize::from(area.width).saturating_sub(3), gap(area));
    let mut spans = vec![Span::raw("  ")];
    for (column, width) in COLUMNS.iter().zip(widths) {
        spans.push(Span::styled(text::fit(column.title(), width), theme::faint()));
        spans.push(Span::raw(" ".repeat(gap(area))));
    }
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    frame.render_widget(Line::from(spans), head);
    let count = site.draft.machines.len() + 1;
    let height = usize::from(body.height);
    let top = widgets::top_for(count, site.machines.row, height);
    for (offset, row) in (top..count).take(height).enumerate() {
        let line = Rect::new(body.x, body.y + u16::try_from(offset).unwrap_or(0), body.width, 1);
        let here = focus && row == site.machines.row;
        if row + 1 == count {
            let style = if here { theme::selected() } else { theme::faint() };
            frame.render_widget(Line::from(Span::styled(if here { "▸ + add a machine " } else { "  + add a machine" }, style)), line);
        } else {
            machine_line(site, frame, line, row, here, widths);
        }
    }
    if top > 0 {
        frame.render_widget(Span::styled("↑", theme::accent()), Rect::new(body.right().saturating_sub(1), body.y, 1, 1));
    }
    if top + height < count {
        frame.render_widget(Span::styled("↓", theme::accent()), Rect::new(body.right().saturating_sub(1), body.bottom() - 1, 1, 1));
    }
    below(site, frame, help);
}

fn key(site: &SiteForm, row: usize, column: Column) -> String {
    let name = &site.draft.machines[row].name;
    let label = if name.is_empty() { (row + 1).to_string() } else { name.clone() };
    format!("machine.{label}.{}", column.item())
}

fn machine_line(site: &SiteForm, frame: &mut Frame<'_>, area: Rect, row: usize, here: bool, widths: [usize; 6]) {
    let machine = &site.draft.machines[row];
    let mut x = area.x;
    let put = |frame: &mut Frame<'_>, x: u16, width: usize, span: Span<'_>| {
        let width = u16::try_from(width).unwrap_or(0).min(area.right().saturating_sub(x));
        frame.render_widget(span, Rect::new(x, area.y, width, 1));
    };
    put(frame, x, 2, Span::styled(if here { "▸ " } else { "  " }, theme::accent()));
    x += 2;
    for (number, (column, width)) in COLUMNS.iter().zip(widths).enumerate() {
        let cell = here && site.machines.column == number;
        let problem = site.problem(&key(site, row, *column));
        let shown_problem = problem.is_some_and(|problem| site.insisted || !site.is_missing(problem));
        let own = column.text(machine);
        let missing = own.is_empty() && problem.is_some();
        let style = if shown_problem { theme::bad() } else { theme::text() };
        let columns = u16::try_from(width).unwrap_or(0).min(area.right().saturating_sub(x));
        let place = Rect::new(x, area.y, columns, 1);
        match column {
            Column::Remove => put(frame, x, width, Span::styled("[-]", if cell { theme::selected() } else { theme::faint() })),
            Column::Roles => {
                let shown = if own.is_empty() { "choose" } else { &own };
                put(frame, x, width, Span::styled(text::fit(shown, width), if cell { theme::selected() } else { style }));
            }
            _ if cell => widgets::entry(frame, place, &site.machines.line, false, hint(site, row, *column), true),
            _ if missing => put(
                frame,
                x,
                width,
                Span::styled(if site.insisted { "✗ missing" } else { "· to do" }, if site.insisted { theme::bad() } else { theme::warn() }),
            ),
            _ if own.is_empty() => put(frame, x, width, Span::styled(hint(site, row, *column), theme::faint())),
            _ => {
                let shown = if shown_problem { text::fit(&format!("✗{own}"), width) } else { text::fit(&own, width) };
                put(frame, x, width, Span::styled(shown, style));
            }
        }
        x = x.saturating_add(u16::try_from(width + gap(area)).unwrap_or(0)).min(area.right());
    }
}

fn hint(site: &SiteForm, row: usize, column: Column) -> &'static str {
    match column {
        Column::Address => "10.0.0.1",
        Column::Public => {
            let needs = site.draft.machines[row].roles.iter().any(|own| site.profile.role(own).is_some_and(|role| role.public_address));
            if needs { "address or name" } else { "-" }
        }
        Column::User => "site's",
        _ => "",
    }
}

fn below(site: &SiteForm, frame: &mut Frame<'_>, area: Rect) {
    let [line, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    widgets::rule(frame, line);
    let columns = usize::from(area.width).saturating_sub(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut say = |body: &str, style| lines.extend(text::wrap(body, columns).into_iter().map(|line| Line::from(Span::styled(line, style))));
    let row = site.machines.row;
    if site.part == Part::Content && row < site.draft.machines.len() {
        let machine = &site.draft.machines[row];
        if let Some(problem) =
            site.problem(&key(site, row, site.machines.column())).filter(|problem| site.insisted || !site.is_missing(problem))
        {
            say(&format!("✗ {}", problem.message), theme::bad());
        }
        let titles: Vec<String> = machine
            .roles
            .iter()
            .map(|own| site.profile.role(own).map_or_else(|| own.clone(), |role| format!("{own}: {}", role.title)))
            .collect();
        say(&titles.join("; "), theme::text());
        let sizes = machine
            .roles
            .iter()
            .filter_map(|own| site.profile.role(own))
            .fold((0, 0, 0), |sum, role| (sum.0 + role.cpu, sum.1 + role.ram_gib, sum.2 + role.disk_gib));
        if sizes.0 > 0 {
            say(&format!("Needs {} CPU, {} GiB memory, {} GiB disk", sizes.0, sizes.1, sizes.2), theme::faint());
        }
        say("Paste a column of addresses: it fills downwards. Space on Roles ticks them.", theme::faint());
    }
    for problem in site.problems.iter().filter(|problem| problem.key == "machine") {
        say(&format!("✗ {}", problem.message), theme::bad());
    }
    if lines.is_empty() {
        lines.push(Line::from(Span::styled("One line a machine; one machine may have several roles.", theme::faint())));
    }
    widgets::paged(frame, area, lines, 0);
}
