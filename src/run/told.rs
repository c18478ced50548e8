//! Reads the lines of an attempt's `events.jsonl`, of which a long playbook has hundreds of thousands. Pure.

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::Deserialize;

use super::detail::{Detail, Status, Told};

/// What every event has, and nothing else in that file.
static EVENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"event\":"));

/// An event of a playbook's task. Each kind has some of these keys.
#[derive(Deserialize)]
struct OfTask<'a> {
    at: Timestamp,
    #[serde(borrow)]
    event: Cow<'a, str>,
    task: u32,
    name: Option<String>,
    host: Option<String>,
    item: Option<String>,
    status: Option<Status>,
    left: Option<u32>,
    #[serde(default)]
    of: u32,
    #[serde(default)]
    handler: bool,
    #[serde(default)]
    ignored: bool,
}

/// Reads a line of `events.jsonl`; none: it is where the step stands, or nothing.
#[must_use]
pub fn read_line(line: &[u8]) -> Option<Told> {
    // Where a step stands comes often and is no event: it need not be parsed to be passed over.
    EVENT.find(line)?;
    of_task(line).or_else(|| serde_json::from_slice(line).ok())
}

/// An event of a task, read in one go: where the key that says its kind may stand anywhere, all of it is copied first.
fn of_task(line: &[u8]) -> Option<Told> {
    let OfTask { at, event, task, name, host, item, status, left, of, handler, ignored } = serde_json::from_slice(line).ok()?;
    let detail = match event.as_ref() {
        "task" => Detail::Task { task, name: name?, handler },
        "start" => Detail::Start { task, host: host? },
        "item" => Detail::Item { task, host: host?, item: item?, status: status? },
        "retry" => Detail::Retry { task, host: host?, left: left?, of },
        "host" => Detail::Host { task, host: host?, status: status?, ignored },
        _ => return None,
    };
    Some(Told { at, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_detail() -> impl Strategy<Value = Detail> {
        let status =
            prop_oneof![Just(Status::Ok), Just(Status::Changed), Just(Status::Skipped), Just(Status::Failed), Just(Status::Unreachable)];
        (0usize..7, any::<u32>(), ".{0,12}", "[a-z\"\\\\é]{0,9}", status, any::<u32>(), any::<bool>()).prop_map(
            |(kind, task, name, host, status, left, yes)| match kind {
                0 => Detail::Task { task, name, handler: yes },
                1 => Detail::Start { task, host },
                2 => Detail::Item { task, host, item: name, status },
                3 => Detail::Retry { task, host, left, of: task },
                4 => Detail::Host { task, host, status, ignored: yes },
                5 => Detail::Play { name },
                _ => Detail::Printed { name, host: host.clone(), line: host, log: u64::from(left) },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(detail in any_detail()) {
            let told = Told { at: Timestamp::from_second(1_000).unwrap(), detail };
            let line = serde_json::to_string(&told).unwrap();
            prop_assert_eq!(read_line(line.as_bytes()), Some(told.clone()));
            let general: Told = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(of_task(line.as_bytes()).unwrap_or(general), told);
        }
    }

    #[test]
    fn what_is_no_event_of_a_task_is_read_as_any_other() {
        let at = "\"at\":\"2026-11-30T10:00:00Z\"";
        assert_eq!(read_line(br#"{"done":1,"total":2}"#), None, "where the step stands");
        assert_eq!(read_line(format!("{{{at},\"event\":\"host\",\"task\":1,\"host\":\"vm1\"}}").as_bytes()), None, "a result without one");
        let later = read_line(format!("{{{at},\"event\":\"something_new\",\"task\":1}}").as_bytes()).map(|told| told.detail);
        assert_eq!(later, Some(Detail::Other), "a kind that a later program knows");
        let more = read_line(format!("{{{at},\"event\":\"start\",\"task\":1,\"host\":\"vm1\",\"more\":[1]}}").as_bytes());
        assert_eq!(more.map(|told| told.detail), Some(Detail::Start { task: 1, host: "vm1".into() }), "a key that a later program knows");
    }
}
