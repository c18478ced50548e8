//! Where things are on the screen; asked by views and, for page sizes, by keys.

use ratatui::layout::{Constraint, Layout, Rect};

use super::app::Model;
use super::run::Run;

/// The parts of a page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Name, steps, site.
    pub header: Rect,
    /// The banner of a rehearsal; of height 0 where there is none.
    pub banner: Rect,
    /// The line below the header.
    pub rule: Rect,
    /// What the screen draws.
    pub body: Rect,
    /// What just happened.
    pub status: Rect,
    /// Keys.
    pub footer: Rect,
}

/// Divides the terminal.
#[must_use]
pub fn page(area: Rect, rehearsal: bool) -> Page {
    let rows = [1, u16::from(rehearsal), 1].map(Constraint::Length);
    let [header, banner, rule, body, status, footer] =
        Layout::vertical([rows[0], rows[1], rows[2], Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)]).areas(area);
    Page { header, banner, rule, body, status, footer }
}

/// The parts of the run screen.
#[derive(Debug, Clone, Copy)]
pub struct RunParts {
    /// Phases and steps.
    pub phases: Rect,
    /// The line between.
    pub gap: Rect,
    /// What the right side shows.
    pub title: Rect,
    /// The log, or the panel of a failed phase.
    pub pane: Rect,
    /// What the step does in detail, below its log; of height 0 where there is none.
    pub below: Rect,
    /// The line above the progress.
    pub rule: Rect,
    /// What runs, how far it is, what it waits for.
    pub progress: Rect,
}

/// The least height of the right side that is divided between the log and what the step does in detail.
const TALL: u16 = 24;

/// Divides the run screen; `narrow` leaves more to the right side where there is little room, `split` divides it where it is tall.
#[must_use]
pub fn run(body: Rect, narrow: bool, split: bool) -> RunParts {
    let [main, rule, progress] = Layout::vertical([Constraint::Min(3), Constraint::Length(1), Constraint::Length(3)]).areas(body);
    let left = match main.width {
        0..=89 if narrow => 26,
        0..=89 => 34,
        90..=139 => 46,
        _ => 58,
    };
    let [phases, gap, right] = Layout::horizontal([Constraint::Length(left), Constraint::Length(3), Constraint::Min(10)]).areas(main);
    let below = if split && right.height >= TALL { right.height * 2 / 5 } else { 0 };
    let [title, pane, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(below)]).areas(right);
    RunParts { phases, gap, title, pane, below, rule, progress }
}

/// Where the panel of a failed phase is.
#[must_use]
pub fn panel(model: &Model) -> Rect {
    run(page(Rect::new(0, 0, model.size.0, model.size.1), model.rehearsal).body, true, false).pane
}

/// How many lines of a log are shown.
#[must_use]
pub fn log_rows(model: &Model) -> usize {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let full = model.run.as_ref().is_some_and(|run| run.full);
    let height = if full {
        area.height.saturating_sub(1 + u16::from(model.rehearsal))
    } else {
        let split = model.run.as_ref().is_some_and(Run::splits);
        run(page(area, model.rehearsal).body, false, split).pane.height
    };
    usize::from(height.max(1))
}
