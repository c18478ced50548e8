//! Draws the further settings.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::advanced;
use super::site::{Part, SiteForm};
use super::{text, theme, widgets};

/// Draws search and list and, below, what is selected.
pub fn view(site: &SiteForm, frame: &mut Frame<'_>, area: Rect, help: Rect) {
    let area = widgets::inset(area, 0, 1);
    let [search, gap, list] = Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let found = advanced::matches(site);
    let focus = site.part == Part::Content;
    let count = site.knobs.as_ref().map_or(0, |knobs| knobs.values().map(std::collections::BTreeMap::len).sum::<usize>());
    let said = format!("{} of {count}", found.len());
    let [label, entry, right] =
        Layout::horizontal([Constraint::Length(8), Constraint::Min(10), Constraint::Length(u16::try_from(said.len() + 2).unwrap_or(12))])
            .areas(search);
    frame.render_widget(
        Span::styled("Search", if focus && !site.advanced.in_list { theme::accent_heading() } else { theme::faint() }),
        label,
    );
    widgets::entry(frame, entry, &site.advanced.search, false, "words of a setting's name", focus && !site.advanced.in_list);
    frame.render_widget(Line::from(Span::styled(said, theme::faint())).right_aligned(), right);
    let _ = gap;
    if let Some(trouble) = &site.advanced.trouble {
        frame.render_widget(Line::from(Span::styled(text::cut(trouble, usize::from(list.width)), theme::bad())), list);
    } else if site.knobs.is_none() {
        let say = if site.fetched {
            "Reading the templates"
        } else {
            "The settings are in the profile's sources, which are not fetched yet. Enter fetches them."
        };
        frame.render_widget(
            ratatui::widgets::Paragraph::new(text::wrap(say, usize::from(list.width)).into_iter().map(Line::from).collect::<Vec<_>>()),
            list,
        );
    }
    let columns = usize::from(list.width);
    let key_width = found.iter().map(|knob| text::width(&knob.key)).max().unwrap_or(0).clamp(16, columns * 3 / 5);
    let selected = site.advanced.selected.min(found.len().saturating_sub(1));
    let height = usize::from(list.height);
    let top = widgets::top_for(found.len(), selected, height);
    // Only what is shown is laid out; there are hundreds.
    let lines: Vec<Line<'_>> = found
        .iter()
        .enumerate()
        .skip(top)
        .take(height)
        .map(|(number, knob)| {
            let here = focus && site.advanced.in_list && number == selected;
            let style = if here { theme::selected() } else { theme::text() };
            let value = knob.own.as_ref().unwrap_or(&knob.value).to_string();
            let changed = if knob.own.is_some() { "• " } else { "  " };
            Line::from(vec![
                Span::styled(if here { "▸ " } else { "  " }, style.patch(theme::accent())),
                Span::styled(changed, style.patch(theme::warn())),
                Span::styled(text::fit(&knob.key, key_width), style),
                Span::styled(
                    format!(" {}", text::fit(&value, columns.saturating_sub(key_width + 5))),
                    style.patch(if knob.own.is_some() { theme::warn() } else { theme::faint() }),
                ),
            ])
        })
        .collect();
    frame.render_widget(ratatui::widgets::Paragraph::new(lines), list);
    below(site, frame, help, found.get(selected));
}

fn below(site: &SiteForm, frame: &mut Frame<'_>, area: Rect, knob: Option<&advanced::Knob>) {
    let [line, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    widgets::rule(frame, line);
    let columns = usize::from(area.width).saturating_sub(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut say = |body: &str, style| lines.extend(text::wrap(body, columns).into_iter().map(|line| Line::from(Span::styled(line, style))));
    for problem in site.problems.iter().filter(|problem| problem.key.starts_with("advanced.")) {
        say(&format!("✗ {}: {}", problem.key, problem.message), theme::bad());
    }
    match knob {
        Some(knob) if site.advanced.in_list => {
            say(&format!("{} in {}", knob.key, knob.template), theme::heading());
            say(&format!("template: {}  ({})", knob.value, knob.value.type_str()), theme::text());
            if let Some(own) = &knob.own {
                say(&format!("this site: {own}"), theme::warn());
            }
        }
        _ => {
            say("Every setting of the templates that no other section sets. Changed ones come first. Most need no change.", theme::faint())
        }
    }
    widgets::paged(frame, area, lines, 0);
}
