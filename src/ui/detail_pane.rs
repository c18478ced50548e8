//! What a step does in detail: its events as they come, and which view of them is shown.

use std::path::PathBuf;

use super::desk::{Command, EventsRead, EventsRequest};
use crate::install::ids::StepRef;
use crate::run::detail::Details;

/// What the right side shows of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Its output; on a tall screen what it does in detail stands below.
    #[default]
    Log,
    /// Tasks on hosts, or resources by module.
    Work,
    /// The cluster it works on.
    Cluster,
}

/// What a step does in detail.
#[derive(Debug, Clone, Default)]
pub struct DetailPane {
    /// The step and its attempt.
    pub of: Option<(StepRef, u32)>,
    /// What is known.
    pub details: Details,
    /// What the right side shows.
    pub view: View,
    /// How many lines the view is scrolled back from its end, or down from its beginning.
    pub scrolled: usize,
    path: PathBuf,
    offset: u64,
    ticket: u64,
    waiting: bool,
    wanted: bool,
}

impl DetailPane {
    /// Shows another attempt, whose log is at `log`; the view stays, as far as there is anything to see.
    pub fn show(&mut self, of: Option<(StepRef, u32)>, log: &std::path::Path) {
        if self.of != of {
            *self = Self {
                of,
                path: log.with_file_name("events.jsonl"),
                view: self.view,
                // An answer that is still out belongs to another attempt.
                ticket: self.ticket + 1,
                wanted: true,
                ..Self::default()
            };
        }
    }

    /// There may be more.
    pub fn grown(&mut self) {
        self.wanted = true;
    }

    /// The request that is due, if one is: there is never more than one out.
    pub fn request(&mut self) -> Option<Command> {
        if self.of.is_none() || self.waiting || !std::mem::take(&mut self.wanted) {
            return None;
        }
        self.waiting = true;
        self.ticket += 1;
        Some(Command::ReadEvents(EventsRequest { path: self.path.clone(), from: self.offset, ticket: self.ticket }))
    }

    /// Takes events; whether there were any.
    pub fn arrived(&mut self, ticket: u64, read: &EventsRead) -> bool {
        if ticket != self.ticket {
            return false;
        }
        self.waiting = false;
        let any = read.next > self.offset;
        self.offset = read.next;
        read.told.iter().for_each(|told| self.details.apply(told));
        // A long file comes in pieces.
        self.wanted |= any;
        any
    }

    /// Whether tasks or resources are known.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.details.tasks.is_empty() || !self.details.resources.is_empty()
    }

    /// Whether the cluster is known.
    #[must_use]
    pub fn has_cluster(&self) -> bool {
        self.details.cluster.is_some()
    }

    /// What is shown: what was asked for, where there is anything to see.
    #[must_use]
    pub fn shown(&self) -> View {
        match self.view {
            View::Work if self.has_work() => View::Work,
            View::Cluster if self.has_cluster() => View::Cluster,
            _ => View::Log,
        }
    }

    /// The next view that has something to show.
    pub fn turn(&mut self) {
        let order = [View::Log, View::Work, View::Cluster];
        let at = order.iter().position(|view| *view == self.shown()).unwrap_or(0);
        for step in 1..=order.len() {
            self.view = order[(at + step) % order.len()];
            if self.view == self.shown() {
                break;
            }
        }
        self.scrolled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::cluster::Cluster;
    use crate::run::detail::{Detail, Told};

    fn told(detail: Detail) -> Told {
        Told { at: jiff::Timestamp::UNIX_EPOCH, detail }
    }

    #[test]
    fn views_turn_among_what_there_is_to_see() {
        let mut pane = DetailPane::default();
        pane.turn();
        assert_eq!(pane.shown(), View::Log);
        pane.details.apply(&told(Detail::Task { task: 1, name: "a".into(), handler: false }));
        pane.turn();
        assert_eq!(pane.shown(), View::Work);
        pane.turn();
        assert_eq!(pane.shown(), View::Log);
        pane.details.apply(&told(Detail::Cluster(Cluster::default())));
        pane.turn();
        pane.turn();
        assert_eq!(pane.shown(), View::Cluster);
    }

    #[test]
    fn events_come_in_pieces_and_those_of_another_attempt_are_left_alone() {
        let mut pane = DetailPane::default();
        pane.show(Some(("a/b".parse().unwrap(), 1)), std::path::Path::new("1/output.log"));
        let Some(Command::ReadEvents(request)) = pane.request() else { panic!("a request") };
        assert_eq!((request.from, request.path.as_path()), (0, std::path::Path::new("1/events.jsonl")));
        assert!(pane.request().is_none(), "one at a time");
        let task = EventsRead { told: vec![told(Detail::Task { task: 1, name: "a".into(), handler: false })], next: 9 };
        assert!(pane.arrived(request.ticket, &task) && pane.has_work());
        assert!(matches!(pane.request(), Some(Command::ReadEvents(EventsRequest { from: 9, .. }))));
        pane.show(Some(("a/b".parse().unwrap(), 2)), std::path::Path::new("2/output.log"));
        assert!(!pane.arrived(request.ticket + 1, &task) && !pane.has_work());
        assert!(pane.request().is_some());
    }
}
