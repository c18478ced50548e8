//! The log of one attempt: a window that moves; never more in memory than a screen or two.

use std::path::PathBuf;

use super::desk::{Command, LogFrom, LogRequest, LogSearch, LogWindow};
use crate::install::ids::StepRef;

/// Lines read beyond what is shown, so that a wrapped screen is full and a step down needs no wait.
const AHEAD: usize = 40;

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
    /// What was searched.
    pub needle: String,
    /// The ticket of the request that is out, and of the last one.
    ticket: u64,
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

    /// Shows another attempt.
    pub fn show(&mut self, of: Option<(StepRef, u32)>, path: PathBuf) {
        if self.of != of {
            self.of = of;
            self.path = path;
            self.window = LogWindow::default();
            self.follow = true;
            self.trouble = None;
            self.waiting = false;
            self.wanted = Some(LogFrom::End);
        }
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

    /// The request that is due, if one is: there is never more than one out.
    pub fn request(&mut self, rows: usize) -> Option<Command> {
        let (step, attempt) = self.of.clone()?;
        if self.waiting {
            return None;
        }
        let from = self.wanted.take()?;
        self.waiting = true;
        self.ticket += 1;
        let lines = if from == LogFrom::End { rows.max(1) } else { rows + AHEAD };
        Some(Command::ReadLog(LogRequest { path: self.path.clone(), step, attempt, from, lines, ticket: self.ticket }))
    }

    /// Takes a window; whether something else is to be drawn.
    pub fn arrived(&mut self, ticket: u64, window: Result<LogWindow, String>) -> bool {
        if ticket != self.ticket {
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

    /// Moves up.
    pub fn up(&mut self, lines: usize) {
        if self.window.first_offset > 0 || self.follow {
            self.follow = false;
            self.wanted = Some(LogFrom::Line { offset: self.window.first_offset, back: lines });
        }
    }

    /// Moves down; at the end it follows again.
    pub fn down(&mut self, lines: usize, rows: usize) {
        if self.follow {
            return;
        }
        let shown_end = self.window.lines.len() <= rows + lines && self.window.end_offset >= self.window.size;
        match self.window.lines.get(lines) {
            Some(line) if !shown_end => self.wanted = Some(LogFrom::Line { offset: line.offset, back: 0 }),
            _ => self.end(),
        }
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.follow = false;
        self.wanted = Some(LogFrom::Line { offset: 0, back: 0 });
    }

    /// To the end, and follow.
    pub fn end(&mut self) {
        self.follow = true;
        self.wanted = Some(LogFrom::End);
    }

    /// The search for what is in `needle`.
    pub fn search(&mut self, forward: bool) -> Option<Command> {
        if self.needle.is_empty() || self.of.is_none() {
            return None;
        }
        // From the end the search goes backwards first: what just happened matters most.
        let from = if self.follow && !forward { self.window.size } else { self.window.first_offset };
        Some(Command::SearchLog(LogSearch { path: self.path.clone(), needle: self.needle.clone(), from, forward, ticket: self.ticket }))
    }

    /// The search forwards for what is in `needle`, behind the line at an offset.
    pub fn search_from(&mut self, from: u64) -> Option<Command> {
        self.of.as_ref()?;
        self.follow = false;
        Some(Command::SearchLog(LogSearch {
            path: self.path.clone(),
            needle: self.needle.clone(),
            from,
            forward: true,
            ticket: self.ticket,
        }))
    }

    /// A match was found: its line comes to the top.
    pub fn found(&mut self, offset: u64) {
        self.follow = false;
        self.wanted = Some(LogFrom::Line { offset, back: 0 });
    }

    /// Whether an answer belongs to what is shown.
    #[must_use]
    pub fn is_current(&self, ticket: u64) -> bool {
        ticket == self.ticket
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
        if let Some(Command::ReadLog(request)) = pane.request(rows) {
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
        assert!(pane.request(2).is_some() && pane.request(2).is_none(), "one request at a time");
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
