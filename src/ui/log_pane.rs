//! The log of one attempt: a window that moves; never more in memory than a screen or two.

use std::path::PathBuf;
use std::sync::Arc;

use super::desk::{Command, IndexFor, LogFrom, LogIndex, LogRequest, LogSave, LogSearch, LogWindow, PageRequest};
use crate::adapters::logs::pattern::{Pattern, Wanted};
use crate::adapters::logs::scan::Matches;
use crate::install::ids::StepRef;

/// Lines read beyond what is shown, so that a wrapped screen is full and a step down needs no wait.
const AHEAD: usize = 40;

/// So many columns a wide line is moved at once.
const SIDEWAYS: usize = 16;

/// A search that goes on.
#[derive(Debug, Clone)]
pub struct Searching {
    ticket: u64,
    /// What is looked for, for people.
    pub what: String,
    /// Where it began and how far it is, offsets.
    from: u64,
    at: u64,
    forward: bool,
}

impl Searching {
    /// How far it is in a log of this length, percent.
    #[must_use]
    pub fn percent(&self, size: u64) -> u64 {
        let (done, all) = if self.forward {
            (self.at.saturating_sub(self.from), size.saturating_sub(self.from))
        } else {
            (self.from.saturating_sub(self.at), self.from)
        };
        (done * 100).checked_div(all).unwrap_or(100).min(100)
    }
}

/// A pattern, and the lines that have it as far as they are known.
#[derive(Debug, Clone)]
pub struct Found {
    /// The pattern.
    pub pattern: Pattern,
    /// The lines.
    pub known: Arc<Matches>,
    /// The request that is out.
    out: Option<u64>,
}

impl Found {
    fn new(pattern: Pattern) -> Self {
        Self { pattern, known: Arc::default(), out: None }
    }
}

/// The log of one attempt.
#[derive(Debug, Clone, Default)]
pub struct LogPane {
    /// The step and its attempt.
    pub of: Option<(StepRef, u32)>,
    /// Its file.
    pub path: PathBuf,
    /// What is in memory.
    pub window: LogWindow,
    /// Whether the end is followed.
    pub follow: bool,
    /// Whether long lines are wrapped, else cut; none: nobody has said so yet.
    pub wrap: Option<bool>,
    /// How many columns cut lines are moved to the left.
    pub left: usize,
    /// Whether the time stands before each line.
    pub times: bool,
    /// What was searched.
    pub search: Option<Found>,
    /// The lines that are shown alone.
    pub filter: Option<Found>,
    /// The search that goes on.
    pub searching: Option<Searching>,
    /// The line that was found last.
    pub hit: Option<u64>,
    /// The last ticket, and that of the request for a window.
    ticket: u64,
    window_ticket: u64,
    waiting: bool,
    /// The log is known to have grown, or the window to be wrong.
    wanted: Option<LogFrom>,
    /// Why it cannot be read.
    pub trouble: Option<String>,
}

impl LogPane {
    /// A pane that follows.
    #[must_use]
    pub fn new() -> Self {
        Self { follow: true, ..Self::default() }
    }

    /// Shows another attempt: all of it, from its end. What was searched stays.
    pub fn show(&mut self, of: Option<(StepRef, u32)>, path: PathBuf) {
        if self.of != of {
            let search = self.search.take().map(|found| Found::new(found.pattern));
            // An answer that is still out belongs to another attempt.
            let ticket = self.ticket + 1;
            *self = Self { of, path, search, ticket, wrap: self.wrap, times: self.times, wanted: Some(LogFrom::End), ..Self::new() };
        }
    }

    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// Wants the end again, where it is followed.
    pub fn grown(&mut self) {
        if self.follow {
            self.wanted = Some(LogFrom::End);
        }
    }

    /// Wants the window again from the same place, after a change of size.
    pub fn again(&mut self) {
        let from = if self.follow { LogFrom::End } else { LogFrom::Line { offset: self.window.first_offset, back: 0 } };
        self.wanted = Some(from);
    }

    /// The requests that are due: there is never more than one of a kind out.
    pub fn requests(&mut self, rows: usize) -> Vec<Command> {
        self.window_request(rows).into_iter().chain(self.index_requests()).collect()
    }

    fn window_request(&mut self, rows: usize) -> Option<Command> {
        let (step, attempt) = self.of.clone()?;
        if self.waiting {
            return None;
        }
        let from = self.wanted.take()?;
        self.waiting = true;
        let ticket = self.next_ticket();
        self.window_ticket = ticket;
        let lines = if from == LogFrom::End { rows.max(1) } else { rows + AHEAD };
        let filter = self.filter.as_ref().map(|found| (found.pattern.clone().into(), found.known.clone()));
        Some(Command::ReadLog(LogRequest { path: self.path.clone(), step, attempt, from, lines, filter, times: self.times, ticket }))
    }

    /// The requests that are due for the lines that a search or a filter wants.
    pub fn index_requests(&mut self) -> Vec<Command> {
        let (size, path, mut ticket) = (self.window.size, self.path.clone(), self.ticket);
        let also = self.filter.as_ref().map(|found| found.pattern.clone());
        let mut due = |found: &mut Option<Found>, purpose, also: Option<Pattern>| {
            let found = found.as_mut().filter(|found| found.out.is_none() && found.known.seen() < size)?;
            ticket += 1;
            found.out = Some(ticket);
            let wanted = Wanted { pattern: found.pattern.clone(), also };
            Some(Command::IndexLog(LogIndex { path: path.clone(), wanted, known: found.known.clone(), purpose, ticket }))
        };
        let due = [due(&mut self.filter, IndexFor::Filter, None), due(&mut self.search, IndexFor::Search, also)];
        self.ticket = ticket;
        due.into_iter().flatten().collect()
    }

    /// Takes a window; whether something else is to be drawn.
    pub fn arrived(&mut self, ticket: u64, window: Result<LogWindow, String>) -> bool {
        if ticket != self.window_ticket {
            return false;
        }
        self.waiting = false;
        match window {
            Ok(window) => {
                let changed = self.window != window || self.trouble.is_some();
                self.trouble = None;
                self.window = window;
                changed
            }
            Err(trouble) => {
                let changed = self.trouble.as_ref() != Some(&trouble);
                self.trouble = Some(trouble);
                changed
            }
        }
    }

    /// Takes what is known of the lines that are wanted; whether it is of use.
    pub fn indexed(&mut self, ticket: u64, purpose: IndexFor, known: Arc<Matches>, ended: bool) -> bool {
        let found = match purpose {
            IndexFor::Search => &mut self.search,
            IndexFor::Filter => &mut self.filter,
        };
        let Some(found) = found.as_mut().filter(|found| found.out == Some(ticket)) else { return false };
        if ended {
            found.out = None;
        }
        found.known = known;
        if purpose == IndexFor::Filter {
            self.again();
        }
        true
    }

    fn go(&mut self, from: LogFrom) {
        self.hit = None;
        self.wanted = Some(from);
    }

    /// Moves up.
    pub fn up(&mut self, lines: usize) {
        // The first of the lines that are shown alone need not be the log's.
        if self.window.first_offset > 0 || self.follow {
            self.follow = false;
            self.go(LogFrom::Line { offset: self.window.first_offset, back: lines });
        }
    }

    /// Moves down; at the end it follows again.
    pub fn down(&mut self, lines: usize, rows: usize) {
        if self.follow {
            return;
        }
        let shown_end = self.window.lines.len() <= rows + lines && !self.window.more;
        match self.window.lines.get(lines) {
            Some(line) if !shown_end => self.go(LogFrom::Line { offset: line.offset, back: 0 }),
            _ => self.end(),
        }
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.follow = false;
        self.go(LogFrom::Line { offset: 0, back: 0 });
    }

    /// To the end, and follow.
    pub fn end(&mut self) {
        self.follow = true;
        self.go(LogFrom::End);
    }

    /// Wide lines further to the left or right; they are cut for that.
    pub fn sideways(&mut self, right: bool) {
        self.wrap = Some(false);
        self.left =
            if right { (self.left + SIDEWAYS).min(crate::ui::log_source::LONGEST_LINE) } else { self.left.saturating_sub(SIDEWAYS) };
    }

    /// Another text to search; none: what was marked is no more.
    pub fn set_search(&mut self, pattern: Option<Pattern>) {
        self.search = pattern.map(Found::new);
    }

    /// Shows the lines alone that have a pattern; none: all lines again.
    pub fn set_filter(&mut self, pattern: Option<Pattern>) {
        self.filter = pattern.map(Found::new);
        // Which lines of a search count depends on it.
        self.search = self.search.take().map(|found| Found::new(found.pattern));
        if let Some(hit) = self.hit.filter(|_| !self.follow) {
            self.wanted = Some(LogFrom::Line { offset: hit, back: 0 });
        } else {
            self.again();
        }
    }

    /// The search for the next line with a pattern, behind the one found last or the first one shown.
    pub fn seek(&mut self, pattern: Pattern, what: String, forward: bool) -> Option<Command> {
        let from = match self.hit {
            Some(hit) => hit,
            None if self.follow => self.window.size,
            None => self.window.first_offset,
        };
        self.seek_from(pattern, what, (from, self.hit.is_some()), forward)
    }

    /// The same from the line at an offset on; `behind`: not in that line itself.
    pub fn seek_from(&mut self, pattern: Pattern, what: String, (from, behind): (u64, bool), forward: bool) -> Option<Command> {
        self.of.as_ref()?;
        let ticket = self.next_ticket();
        self.searching = Some(Searching { ticket, what, from, at: from, forward });
        let wanted = Wanted { pattern, also: self.filter.as_ref().map(|found| found.pattern.clone()) };
        Some(Command::SearchLog(LogSearch { path: self.path.clone(), wanted, from, behind, forward, ticket }))
    }

    /// A search is so far; whether it is the one that goes on.
    pub fn is_at(&mut self, ticket: u64, at: u64) -> bool {
        let Some(searching) = self.searching.as_mut().filter(|searching| searching.ticket == ticket) else { return false };
        searching.at = at;
        true
    }

    /// A search has ended: where, and what was looked for; none: it was not the one that goes on.
    pub fn found(&mut self, ticket: u64, offset: Option<u64>) -> Option<String> {
        let searching = self.searching.take_if(|searching| searching.ticket == ticket)?;
        if let Some(offset) = offset {
            self.follow = false;
            self.hit = Some(offset);
            self.wanted = Some(LogFrom::Line { offset, back: 0 });
        }
        Some(searching.what)
    }

    /// A copy of what is shown: all of the log, or the lines of the filter.
    #[must_use]
    pub fn save(&self, to: PathBuf) -> Option<Command> {
        self.of.as_ref()?;
        let wanted = self.filter.as_ref().map(|found| found.pattern.clone().into());
        Some(Command::SaveLog(LogSave { from: self.path.clone(), to, wanted, times: self.times }))
    }

    /// The log in the pager, where it is shown now.
    #[must_use]
    pub fn page(&self) -> Option<Command> {
        self.of.as_ref()?;
        Some(Command::Page(PageRequest { path: self.path.clone(), offset: self.hit.unwrap_or(self.window.first_offset) }))
    }

    /// Where the window stands in the log, percent.
    #[must_use]
    pub fn percent(&self) -> u64 {
        (self.window.end_offset.min(self.window.size) * 100).checked_div(self.window.size).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::log_source::{LogLine, read_window};
    use std::io::Cursor;

    fn serve(pane: &mut LogPane, source: &mut Cursor<Vec<u8>>, rows: usize) -> Vec<String> {
        if let Some(Command::ReadLog(request)) = pane.window_request(rows) {
            let window = read_window(source, request.from, request.lines).unwrap();
            pane.arrived(request.ticket, Ok(window));
        }
        pane.window.lines.iter().take(rows).map(|line: &LogLine| line.text.clone()).collect()
    }

    #[test]
    fn a_million_lines_cost_a_window() {
        let text: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();
        let mut source = Cursor::new(text.into_bytes());
        let mut pane = LogPane::default();
        pane.show(Some(("a/b".parse().unwrap(), 1)), PathBuf::from("log"));
        assert_eq!(serve(&mut pane, &mut source, 2), ["999998", "999999"]);
        assert_eq!(pane.window.lines.len(), 2, "following reads what is shown and no more");
        pane.grown();
        assert!(pane.window_request(2).is_some() && pane.window_request(2).is_none(), "one request at a time");
        pane.waiting = false;
        pane.up(3);
        assert_eq!(serve(&mut pane, &mut source, 2), ["999995", "999996"]);
        pane.down(1, 2);
        assert_eq!(serve(&mut pane, &mut source, 2), ["999996", "999997"]);
        pane.home();
        assert_eq!(serve(&mut pane, &mut source, 2), ["0", "1"]);
        assert!(!pane.follow);
        pane.down(40, 2);
        assert_eq!(serve(&mut pane, &mut source, 2), ["40", "41"]);
        pane.end();
        serve(&mut pane, &mut source, 2);
        assert!(pane.follow);
        pane.up(1);
        serve(&mut pane, &mut source, 2);
        pane.down(5, 2);
        assert!(pane.follow, "past the end it follows again");
    }
}
