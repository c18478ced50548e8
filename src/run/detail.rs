//! What a running step does in detail: the small events of its `events.jsonl`, and their fold. Pure.
//!
//! A line of that file is either a [`Progress`](super::event::Progress) or one of these, which carry the key `event`. Both are additive
//! only: a reader passes over an event that it does not know.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;

/// How many tasks, and how many resources, a fold keeps: the first ones go when more come.
const MAX_ROWS: usize = 4000;

/// How many recognised failures a fold keeps.
const MAX_KNOWN: usize = 50;

/// One event of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Detail {
    /// A play begins.
    Play {
        /// Its name.
        name: String,
    },
    /// A task begins.
    Task {
        /// Counts from 1 through the whole playbook.
        task: u32,
        /// Its name, with the role's before it.
        name: String,
        /// Whether it is a handler.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handler: bool,
    },
    /// A task begins on a host.
    Start {
        /// The task.
        task: u32,
        /// The host.
        host: String,
    },
    /// An item of a task's loop ended on a host.
    Item {
        /// The task.
        task: u32,
        /// The host.
        host: String,
        /// What tells the item from the others; may be empty.
        item: String,
        /// How it ended.
        status: Status,
    },
    /// A task failed on a host and is tried again.
    Retry {
        /// The task.
        task: u32,
        /// The host.
        host: String,
        /// How many tries are left.
        left: u32,
        /// How many tries there are in all; 0: not known.
        #[serde(default)]
        of: u32,
    },
    /// A task ended on a host.
    Host {
        /// The task.
        task: u32,
        /// The host.
        host: String,
        /// How.
        status: Status,
        /// The playbook ignores that it failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ignored: bool,
    },
    /// A failure was printed; where in the log to look for it.
    Printed {
        /// The task's name.
        name: String,
        /// The host.
        host: String,
        /// The beginning of the line.
        line: String,
        /// An offset in the log before it, bytes.
        log: u64,
    },
    /// A play matched no hosts.
    NoHosts,
    /// The playbook ended; its recap by host.
    Recap {
        /// Counts by host: `ok`, `changed`, `failures`, `unreachable`, `skipped`, `rescued`, `ignored`.
        hosts: BTreeMap<String, BTreeMap<String, u32>>,
    },
    /// A resource is planned, begins, or ended.
    Resource {
        /// Its address.
        address: String,
        /// Its module; empty: the root.
        module: String,
        /// What is done with it: `create`, `update`, `delete`, `replace`, `read`.
        action: String,
        /// How far it is.
        state: ResourceState,
    },
    /// Why a resource failed: it comes later than that it failed.
    Reason {
        /// The resource; empty: none is named.
        address: String,
        /// The first words of the diagnostic.
        text: String,
    },
    /// What stands in the cluster.
    Cluster(Cluster),
    /// The cluster does not answer any more.
    ClusterAway,
    /// A line of the output is that of a known failure.
    Known {
        /// Its name in the catalogue.
        id: String,
        /// What it is, in a few words.
        title: String,
        /// The line, secrets removed, cut to a readable length.
        line: String,
    },
    /// An event of a later version.
    #[serde(other)]
    Other,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing was to be changed.
    Ok,
    /// Something was changed.
    Changed,
    /// It did not apply.
    Skipped,
    /// It failed.
    Failed,
    /// The host could not be reached.
    Unreachable,
}

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceState {
    /// The plan has it.
    Planned,
    /// It is being made, changed or removed.
    Running,
    /// That is done.
    Done,
    /// That failed.
    Failed,
}

/// Where a task stands on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellState {
    /// It runs.
    Running,
    /// It failed and is tried again.
    Retrying {
        /// How many tries are left.
        left: u32,
    },
    /// It ended.
    Ended(Status),
    /// It failed and the playbook ignores that.
    Ignored,
}

impl CellState {
    /// Whether it stands for a failure that counts.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Ended(Status::Failed | Status::Unreachable))
    }

    /// Whether it is going on.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Retrying { .. })
    }
}

/// One task on one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Where it stands.
    pub state: CellState,
    /// When it began there.
    pub since: Timestamp,
    /// When it ended there.
    pub ended: Option<Timestamp>,
    /// The last item of its loop, and how many have ended.
    pub item: Option<(String, u32)>,
    /// Where its failure is in the log: an offset before it and the beginning of its line.
    pub printed: Option<(u64, String)>,
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Counts from 1 through the whole playbook.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Whether it is a handler.
    pub handler: bool,
    /// When it began.
    pub since: Timestamp,
    /// By host.
    pub cells: BTreeMap<String, Cell>,
}

impl TaskRow {
    /// How long it took, or has taken until `now`, milliseconds.
    #[must_use]
    pub fn took_ms(&self, now: Timestamp) -> u64 {
        let open = self.cells.is_empty() || self.cells.values().any(|cell| cell.state.is_open());
        let end = if open { Some(now) } else { self.cells.values().filter_map(|cell| cell.ended).max() };
        between(self.since, end.unwrap_or(now))
    }
}

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceRow {
    /// Its address.
    pub address: String,
    /// Its module; empty: the root.
    pub module: String,
    /// What is done with it.
    pub action: String,
    /// How far it is.
    pub state: ResourceState,
    /// When it began; none: not yet.
    pub since: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed; empty: not known yet, or it did not.
    pub reason: String,
}

/// A failure that was recognised in the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLine {
    /// Its name in the catalogue.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// The line.
    pub line: String,
}

/// The fold of the events of one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The play that goes on.
    pub play: String,
    /// The hosts in the order they were met.
    pub hosts: Vec<String>,
    /// The tasks in their order.
    pub tasks: Vec<TaskRow>,
    /// The resources in the order they were met.
    pub resources: Vec<ResourceRow>,
    /// What stands in the cluster, as it was last seen, and when.
    pub cluster: Option<(Timestamp, Cluster)>,
    /// Known failures that were recognised, each once.
    pub known: Vec<KnownLine>,
    /// Failures without a resource, and that of resources not met.
    pub reasons: Vec<String>,
    /// Whether the playbook has printed its recap.
    pub ended: bool,
    /// Plays that matched no hosts.
    pub empty_plays: u32,
}

/// Milliseconds from one time to a later one; 0 where it is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

impl Details {
    /// Takes in one event.
    pub fn apply(&mut self, told: &Told) {
        let at = told.at;
        match &told.detail {
            Detail::Play { name } => self.play.clone_from(name),
            Detail::Task { task, name, handler } => {
                if self.tasks.len() >= MAX_ROWS {
                    self.tasks.drain(..MAX_ROWS / 4);
                }
                self.tasks.push(TaskRow { number: *task, name: name.clone(), handler: *handler, since: at, cells: BTreeMap::new() });
            }
            Detail::Start { task, host } => self.cell(*task, host, at, |_| {}),
            Detail::Item { task, host, item, .. } => self.cell(*task, host, at, |cell| {
                let count = cell.item.as_ref().map_or(0, |(_, count)| *count);
                cell.item = Some((item.clone(), count + 1));
                cell.state = CellState::Running;
            }),
            Detail::Retry { task, host, left, .. } => self.cell(*task, host, at, |cell| cell.state = CellState::Retrying { left: *left }),
            Detail::Host { task, host, status, ignored } => self.cell(*task, host, at, |cell| {
                let failed = matches!(status, Status::Failed | Status::Unreachable);
                cell.state = if failed && *ignored { CellState::Ignored } else { CellState::Ended(*status) };
                cell.ended = Some(at);
            }),
            Detail::Printed { name, host, line, log } => {
                let row = self.tasks.iter_mut().rev().take(8).find(|row| row.name == *name && row.cells.contains_key(host));
                if let Some(cell) = row.and_then(|row| row.cells.get_mut(host)) {
                    // Of several lines (items of a loop) the first is where to begin reading.
                    cell.printed.get_or_insert_with(|| (*log, line.clone()));
                }
            }
            Detail::NoHosts => self.empty_plays += 1,
            Detail::Recap { .. } => self.ended = true,
            Detail::Resource { address, module, action, state } => self.resource(address, module, action, *state, at),
            Detail::Reason { address, text } => match self.resources.iter_mut().find(|row| row.address == *address) {
                Some(row) => row.reason.clone_from(text),
                None if self.reasons.len() < MAX_KNOWN => self.reasons.push(text.clone()),
                None => {}
            },
            Detail::ClusterAway => self.cluster = None,
            Detail::Cluster(cluster) => self.cluster = Some((at, cluster.clone())),
            Detail::Known { id, title, line } => {
                if self.known.len() < MAX_KNOWN && self.known.iter().all(|known| known.id != *id) {
                    self.known.push(KnownLine { id: id.clone(), title: title.clone(), line: line.clone() });
                }
            }
            Detail::Other => {}
        }
    }

    fn cell(&mut self, task: u32, host: &str, at: Timestamp, change: impl FnOnce(&mut Cell)) {
        if !self.hosts.iter().any(|known| known == host) {
            self.hosts.push(host.to_owned());
        }
        // From the end: a task is mostly the last one, and strategies let hosts be a few apart.
        let Some(row) = self.tasks.iter_mut().rev().find(|row| row.number == task) else { return };
        let fresh = Cell { state: CellState::Running, since: at, ended: None, item: None, printed: None };
        // Looked up before it is put in, which needs a copy of the name.
        match row.cells.get_mut(host) {
            Some(cell) => change(cell),
            None => change(row.cells.entry(host.to_owned()).or_insert(fresh)),
        }
    }

    fn resource(&mut self, address: &str, module: &str, action: &str, state: ResourceState, at: Timestamp) {
        let place = self.resources.iter().position(|row| row.address == address).unwrap_or(self.resources.len());
        if place == self.resources.len() && place < MAX_ROWS {
            let (since, ended, reason) = (None, None, String::new());
            let (address, module, action) = (address.to_owned(), module.to_owned(), action.to_owned());
            self.resources.push(ResourceRow { address, module, action, state: ResourceState::Planned, since, ended, reason });
        }
        let Some(row) = self.resources.get_mut(place) else { return };
        match state {
            // The apply begins with the plan's events again: what has begun stays as it is.
            ResourceState::Planned if row.since.is_none() => action.clone_into(&mut row.action),
            ResourceState::Planned => {}
            ResourceState::Running => {
                row.since = Some(at);
                row.ended = None;
                row.state = state;
            }
            ResourceState::Done | ResourceState::Failed => {
                row.since.get_or_insert(at);
                row.ended = Some(at);
                row.state = state;
            }
        }
    }

    /// The first failing cell that counts, last task first: (task, host).
    #[must_use]
    pub fn failing(&self) -> Option<(&TaskRow, &str, &Cell)> {
        self.tasks.iter().rev().find_map(|row| {
            let (host, cell) = row.cells.iter().find(|(_, cell)| cell.state.is_bad())?;
            Some((row, host.as_str(), cell))
        })
    }

    /// What goes on: hosts of tasks and resources, that which has taken longest first.
    #[must_use]
    pub fn active(&self) -> Vec<Active> {
        let tasks = self.tasks.iter().rev().take(16).flat_map(|row| {
            row.cells.iter().filter(|(_, cell)| cell.state.is_open()).map(|(host, cell)| Active {
                name: row.name.clone(),
                place: host.clone(),
                since: cell.since,
                retries_left: match cell.state {
                    CellState::Retrying { left } => Some(left),
                    _ => None,
                },
                item: cell.item.as_ref().map(|(item, _)| item.clone()).unwrap_or_default(),
            })
        });
        let resources = self.resources.iter().filter(|row| row.state == ResourceState::Running).filter_map(|row| {
            Some(Active {
                name: row.address.clone(),
                place: row.module.clone(),
                since: row.since?,
                retries_left: None,
                item: String::new(),
            })
        });
        let mut active: Vec<Active> = tasks.chain(resources).collect();
        active.sort_by_key(|active| active.since);
        active
    }
}

/// Something that goes on in a step: a task on a host, or a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The task, or the resource's address.
    pub name: String,
    /// The host, or the module; empty: the root module.
    pub place: String,
    /// Since when.
    pub since: Timestamp,
    /// How many tries are left, where it failed and is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries_left: Option<u32>,
    /// The last item of its loop that ended; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::told::read_line;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000 + seconds).unwrap()
    }

    fn told(seconds: i64, detail: Detail) -> Told {
        Told { at: at(seconds), detail }
    }

    fn host(seconds: i64, task: u32, host: &str, status: Status, ignored: bool) -> Told {
        told(seconds, Detail::Host { task, host: host.into(), status, ignored })
    }

    fn playbook() -> Details {
        let mut details = Details::default();
        for event in [
            told(0, Detail::Play { name: "all".into() }),
            told(0, Detail::Task { task: 1, name: "a : one".into(), handler: false }),
            told(0, Detail::Start { task: 1, host: "vm2".into() }),
            told(1, Detail::Start { task: 1, host: "vm1".into() }),
            host(3, 1, "vm1", Status::Ok, false),
            told(4, Detail::Retry { task: 1, host: "vm2".into(), left: 3, of: 5 }),
        ] {
            details.apply(&event);
        }
        details
    }

    #[test]
    fn tasks_and_hosts_make_a_matrix() {
        let mut details = playbook();
        assert_eq!(details.hosts, ["vm2", "vm1"]);
        let active = details.active();
        assert_eq!((active.len(), active[0].place.as_str(), active[0].retries_left, active[0].since), (1, "vm2", Some(3), at(0)));
        assert_eq!(details.tasks[0].took_ms(at(10)), 10_000);
        details.apply(&host(7, 1, "vm2", Status::Failed, true));
        assert_eq!(details.tasks[0].cells["vm2"].state, CellState::Ignored);
        assert_eq!((details.failing(), details.tasks[0].took_ms(at(10))), (None, 7_000));
        details.apply(&told(8, Detail::Task { task: 2, name: "b".into(), handler: false }));
        details.apply(&host(9, 2, "vm1", Status::Unreachable, false));
        details.apply(&told(9, Detail::Printed { name: "b".into(), host: "vm1".into(), line: "fatal: [vm1]".into(), log: 77 }));
        let (row, place, cell) = details.failing().unwrap();
        assert_eq!((row.number, place, cell.printed.clone()), (2, "vm1", Some((77, "fatal: [vm1]".into()))));
        assert!(details.active().is_empty());
    }

    #[test]
    fn a_plan_that_apply_repeats_counts_once_and_the_reason_comes_later() {
        let mut details = Details::default();
        let resource = |seconds, state| {
            let (address, module) = ("module.a[0].x.y".to_owned(), "module.a[0]".to_owned());
            told(seconds, Detail::Resource { address, module, action: "create".into(), state })
        };
        for event in [
            resource(0, ResourceState::Planned),
            resource(1, ResourceState::Running),
            resource(2, ResourceState::Planned),
            resource(60, ResourceState::Failed),
            told(61, Detail::Reason { address: "module.a[0].x.y".into(), text: "timed out".into() }),
            told(61, Detail::Reason { address: String::new(), text: "elsewhere".into() }),
        ] {
            details.apply(&event);
        }
        assert_eq!((details.resources.len(), details.reasons.as_slice()), (1, ["elsewhere".to_owned()].as_slice()));
        let row = &details.resources[0];
        assert_eq!((row.state, row.since, row.ended, row.reason.as_str()), (ResourceState::Failed, Some(at(1)), Some(at(60)), "timed out"));
    }

    #[test]
    fn lines_come_back_as_they_were_and_unknown_events_are_passed_over() {
        let event = host(5, 7, "vm1", Status::Changed, false);
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"at":"1970-01-01T00:16:45Z","event":"host","task":7,"host":"vm1","status":"changed"}"#);
        assert_eq!(read_line(line.as_bytes()), Some(event));
        let later = read_line(br#"{"at":"1970-01-01T00:16:45Z","event":"of_tomorrow","x":1}"#).unwrap();
        assert_eq!(later.detail, Detail::Other);
        assert_eq!(read_line(br#"{"done":1,"total":2,"unit":"tasks","doing":"x","parts":{}}"#), None);
        let before = playbook();
        let mut after = before.clone();
        after.apply(&later);
        assert_eq!(before, after);
    }
}
