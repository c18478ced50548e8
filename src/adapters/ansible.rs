//! Reads what `ansible-playbook` and `ansible-inventory` print.
//!
//! The grammar is that of Ansible's default output, the same from ansible-core 2.14 to 2.20 (2.19 adds `[ERROR]` blocks before `fatal`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::run::detail::{Detail, Status};
use crate::run::event::Progress;
use crate::run::lines::Piece;

/// How far into a line the word before its host may reach: `FAILED - RETRYING` is the longest.
const LONGEST_STATUS: usize = 20;

/// What is said of a loop as a whole.
const LOOP_ENDED: [&str; 2] = ["All items completed", "One or more items failed"];

/// How many lines that matter are kept.
const MAX_LINES: usize = 12;

/// What one playbook printed so far.
#[derive(Debug, Default)]
pub struct Playbook {
    total: u64,
    tasks: u64,
    doing: String,
    hosts: Hosts,
    in_recap: bool,
    recap: BTreeMap<String, Recap>,
    failures: Vec<Failed>,
    ignored: Vec<String>,
    no_hosts: bool,
    may_be_empty: bool,
    unmatched: Vec<String>,
    changed: bool,
    number: u32,
    seen: Vec<Detail>,
    printed: Vec<Printed>,
    last_failed: Option<(u32, String)>,
}

/// Where a host stands in the task under way.
#[derive(Debug, Default)]
struct Stand {
    /// In words, as last printed.
    words: Cow<'static, str>,
    /// What of [`GOOD`] it has printed since it was last in trouble.
    told: [bool; GOOD.len()],
}

/// The hosts of the task under way, in the order in which they were met: that in which they come again, mostly.
#[derive(Debug, Default)]
struct Hosts {
    all: Vec<(String, Stand)>,
    /// Where the one is expected that comes next.
    next: usize,
}

impl Hosts {
    fn get(&mut self, host: &str) -> &mut Stand {
        let is = |known: &(String, Stand)| known.0 == host;
        let place = if self.all.get(self.next).is_some_and(is) { Some(self.next) } else { self.all.iter().position(is) };
        let place = place.unwrap_or_else(|| {
            self.all.push((host.to_owned(), Stand::default()));
            self.all.len() - 1
        });
        self.next = if place + 1 < self.all.len() { place + 1 } else { 0 };
        &mut self.all[place].1
    }

    fn clear(&mut self) {
        self.all.clear();
        self.next = 0;
    }
}

/// How results begin that are in order.
const GOOD: [(&str, Status); 3] = [("ok", Status::Ok), ("changed", Status::Changed), ("skipping", Status::Skipped)];

/// A failure that nothing has made good so far.
#[derive(Debug)]
struct Failed {
    task: u32,
    host: String,
    text: String,
}

/// A failure that was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The task.
    pub task: String,
    /// The host.
    pub host: String,
    /// How its line begins.
    pub begins: String,
}

/// One line of the recap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recap {
    /// Tasks that changed something.
    pub changed: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// Times the host could not be reached.
    pub unreachable: u32,
    /// Failures the playbook ignores.
    pub ignored: u32,
    /// Failures that a part of the playbook made good.
    pub rescued: u32,
}

/// What a playbook's output says about its success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is a failure in spite of exit code 0; empty: it is none.
    pub wrong: String,
    /// What deserves a look.
    pub warning: String,
    /// Hosts that failed or could not be reached.
    pub hosts: Vec<String>,
    /// The lines that matter.
    pub lines: Vec<String>,
}

impl Playbook {
    /// A playbook that prints so many `TASK` banners; 0: not known.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// The site has no machine for some group of the inventory, so that a play for that group has nothing to do.
    #[must_use]
    pub fn with_empty_groups(mut self, some: bool) -> Self {
        self.may_be_empty = some;
        self
    }

    /// Takes in one line of stderr without its newline: a pattern that no group and no host has is only warned about there.
    pub fn complaint(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some((_, pattern)) = text.split_once("Could not match supplied host pattern, ignoring: ") {
            self.unmatched.push(pattern.trim().to_owned());
        }
    }

    /// Takes in a line of stdout; of one that is too long to be held only its beginning counts.
    pub fn piece(&mut self, piece: Piece<'_>) {
        if piece.first {
            self.line(piece.bytes);
        }
    }

    /// Takes in one line without its newline.
    pub fn line(&mut self, line: &[u8]) {
        let Some(first) = line.first() else { return };
        if self.in_recap {
            self.recap_line(line);
            return;
        }
        match first {
            b'T' | b'R' | b'P' => self.banner(line),
            b'o' | b'c' | b's' | b'f' | b'F' | b'.' => self.result(line),
            _ => {}
        }
    }

    fn banner(&mut self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else { return };
        if let Some(rest) = text.strip_prefix("TASK [") {
            self.tasks += 1;
            self.begin(rest, false);
        } else if let Some(rest) = text.strip_prefix("RUNNING HANDLER [") {
            self.begin(rest, true);
        } else if text.starts_with("PLAY RECAP") {
            self.in_recap = true;
            self.changed = true;
        }
    }

    fn begin(&mut self, rest: &str, handler: bool) {
        rest.rsplit_once(']').map_or(rest, |(name, _)| name).clone_into(&mut self.doing);
        self.hosts.clear();
        self.changed = true;
        self.number += 1;
        self.seen.push(Detail::Task { task: self.number, name: self.doing.clone(), handler });
    }

    /// What was understood since the last call; the last failure that the playbook ignores follows in a later one.
    pub fn take_seen(&mut self) -> Vec<Detail> {
        std::mem::take(&mut self.seen)
    }

    /// Failures printed since the last call.
    pub fn take_printed(&mut self) -> Vec<Printed> {
        std::mem::take(&mut self.printed)
    }

    fn result(&mut self, line: &[u8]) {
        if line.trim_ascii_end() == b"...ignoring" {
            if let Some((task, host)) = self.last_failed.take() {
                // Of a loop the failed items stand before the failure of the whole: all of them are ignored.
                let last = self.failures.iter().rfind(|failure| failure.task == task && failure.host == host);
                self.ignored.extend(last.filter(|_| self.ignored.len() < MAX_LINES).map(|failure| failure.text.clone()));
                self.failures.retain(|failure| failure.task != task || failure.host != host);
                self.seen.push(Detail::Host { task, host, status: Status::Failed, ignored: true });
            }
            return;
        }
        if line.starts_with(b"skipping: no hosts matched") {
            self.no_hosts = true;
            return;
        }
        // There may be millions of these lines, and of most only the beginning says something.
        let Some(colon) = memchr::memchr(b':', &line[..line.len().min(LONGEST_STATUS)]) else { return };
        let Some(named) = line[colon..].strip_prefix(b": [") else { return };
        let Some(close) = memchr::memchr(b']', named) else { return };
        let (Ok(status), Ok(host)) = (std::str::from_utf8(&line[..colon]), std::str::from_utf8(&named[..close])) else { return };
        // A delegated task names both hosts: the first is the one it counts for.
        let host = if memchr::memchr(b' ', host.as_bytes()).is_some() { host.split(" -> ").next().unwrap_or(host) } else { host };
        if let Some((which, &(word, ended))) = GOOD.iter().enumerate().find(|(_, (word, _))| *word == status) {
            // Of the items of a loop, of which there may be many, the first one speaks, and the first that ends otherwise.
            let stand = self.hosts.get(host);
            if stand.told[which] {
                return;
            }
            (stand.words, stand.told[which], self.changed) = (Cow::Borrowed(word), true, true);
            self.seen.push(Detail::Host { task: self.number, host: host.to_owned(), status: ended, ignored: false });
            return;
        }
        let rest = &String::from_utf8_lossy(&named[close + 1..]);
        let words = match status {
            "fatal" | "failed" => {
                let unreachable = rest.contains("UNREACHABLE!");
                let (words, ended) = if unreachable { ("unreachable", Status::Unreachable) } else { ("failed", Status::Failed) };
                if status == "fatal" || self.hosts.get(host).words != words {
                    self.seen.push(Detail::Host { task: self.number, host: host.to_owned(), status: ended, ignored: false });
                }
                self.printed.push(Printed { task: self.doing.clone(), host: host.to_owned(), begins: format!("{status}: [{host}") });
                self.last_failed = Some((self.number, host.to_owned()));
                let message = message(rest);
                let text = format!("{host}: {}: {message}", self.doing);
                let its = || self.failures.iter().filter(|failure| failure.task == self.number && failure.host == host);
                // Items of a loop often fail alike, and what is said of the whole loop says nothing that they have not said.
                let said = its().any(|failure| failure.text == text) || (LOOP_ENDED.contains(&message.as_str()) && its().next().is_some());
                if !said && self.failures.len() < MAX_LINES {
                    self.failures.push(Failed { task: self.number, host: host.to_owned(), text });
                }
                Cow::Borrowed(words)
            }
            "FAILED - RETRYING" => {
                let left = rest.rsplit_once('(').map(|(_, left)| left.trim_end_matches([')', '.'])).unwrap_or_default();
                let words = format!("retrying, {left}");
                let left = left.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
                self.seen.push(Detail::Retry { task: self.number, host: host.to_owned(), left, of: 0 });
                Cow::Owned(words)
            }
            _ => return,
        };
        *self.hosts.get(host) = Stand { words, ..Stand::default() };
        self.changed = true;
    }

    fn recap_line(&mut self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else { return };
        let Some((host, counts)) = text.split_once(" : ") else { return };
        let count = |name: &str| {
            let found = counts.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let recap = Recap {
            changed: count("changed"),
            failed: count("failed"),
            unreachable: count("unreachable"),
            ignored: count("ignored"),
            rescued: count("rescued"),
        };
        self.recap.insert(host.trim().to_owned(), recap);
    }

    /// Where it stands, when that changed since the last call.
    pub fn take_progress(&mut self) -> Option<Progress> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let done = if self.in_recap && self.total > 0 { self.tasks } else { self.tasks.saturating_sub(1) };
        Some(Progress {
            done: if self.total > 0 { done.min(self.total) } else { done },
            total: self.total,
            unit: "tasks".into(),
            doing: if self.in_recap { "recap".into() } else { self.doing.clone() },
            parts: self.hosts.all.iter().map(|(host, stand)| (host.clone(), stand.words.to_string())).collect(),
            ..Progress::default()
        })
    }

    /// What the whole output says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let hosts: Vec<String> =
            self.recap.iter().filter(|(_, recap)| recap.failed > 0 || recap.unreachable > 0).map(|(host, _)| host.clone()).collect();
        let wrong = if !self.unmatched.is_empty() {
            format!("a play matched no hosts: the inventory has no {}", self.unmatched.join(", "))
        } else if self.no_hosts && !self.may_be_empty {
            "a play matched no hosts: the inventory lacks a group or name the playbook needs".into()
        } else if self.recap.is_empty() {
            "the playbook ended without doing anything on any host (its recap is empty): is the inventory right?".into()
        } else {
            String::new()
        };
        let failures: Vec<String> = self.failures.iter().map(|failure| failure.text.clone()).collect();
        let ignored: u32 = self.recap.values().map(|recap| recap.ignored).sum();
        let rescued: u32 = self.recap.values().map(|recap| recap.rescued).sum();
        let warning = if ignored > 0 {
            format!("{ignored} failure(s) were ignored by the playbook: {}", self.ignored.join("; "))
        } else if rescued > 0 {
            format!("{rescued} failure(s) were made good by the playbook itself: {}", failures.join("; "))
        } else {
            String::new()
        };
        Verdict { wrong, warning, hosts, lines: failures }
    }
}

/// The message of a failure: `msg` of its result, else the text as it is, cut to a readable length.
fn message(rest: &str) -> String {
    let json = rest.find('{').map_or("", |start| &rest[start..]);
    let parsed: Option<serde_json::Value> = serde_json::from_str(json).ok();
    let text = parsed.as_ref().and_then(|value| {
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        match (text("msg"), text("stderr")) {
            (Some(message), Some(detail)) if message == "non-zero return code" => Some(format!("{message}: {detail}")),
            (Some(message), _) => Some(message.to_owned()),
            (None, detail) => detail.map(str::to_owned),
        }
    });
    let text = text.unwrap_or_else(|| rest.trim_start_matches([' ', ':', '=', '>']).to_owned());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > 400 { text.chars().take(400).chain(['…']).collect() } else { text }
}

/// Compares what `ansible-inventory --list` printed with what the plan expects.
///
/// # Errors
/// What differs, one sentence each. A malformed line makes Ansible drop the whole inventory with a warning and exit code 0.
pub fn compare_inventory(json: &str, model: &BTreeMap<String, BTreeMap<String, Option<String>>>) -> Result<(), Vec<String>> {
    let parsed: serde_json::Value = serde_json::from_str(json).map_err(|error| vec![format!("its answer is not JSON: {error}")])?;
    let mut wrong = Vec::new();
    let variables = |host: &str| parsed.get("_meta").and_then(|meta| meta.get("hostvars")?.get(host)?.get("ansible_host")?.as_str());
    for (group, expected) in model {
        let listed = parsed.get(group).and_then(|group| group.get("hosts")).and_then(serde_json::Value::as_array);
        let found: Vec<&str> = listed.into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
        for (host, address) in expected {
            if !found.contains(&host.as_str()) {
                wrong.push(format!("group {group} lacks {host}"));
            } else if let Some(address) = address
                && variables(host) != Some(address)
            {
                wrong.push(format!("{host} has address {} instead of {address}", variables(host).unwrap_or("(none)")));
            }
        }
        for host in found.iter().filter(|host| !expected.contains_key(**host)) {
            wrong.push(format!("group {group} has {host}, which the site does not name"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Playbook {
        let mut playbook = Playbook::new(3);
        text.lines().for_each(|line| playbook.line(line.as_bytes()));
        playbook
    }

    const GOOD: &str = "PLAY [all] ****\n\nTASK [Gathering Facts] ***\nok: [vm1]\nchanged: [vm2]\n\nTASK [nginx : Install] ***\nFAILED - RETRYING: [vm1]: Install (3 retries left).\n\nPLAY RECAP ***\nvm1 : ok=2 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\n";

    #[test]
    fn progress_counts_banners_and_shows_hosts() {
        let mut playbook = Playbook::new(3);
        let mut seen = Vec::new();
        for line in GOOD.lines() {
            playbook.line(line.as_bytes());
            seen.extend(playbook.take_progress());
        }
        assert_eq!(seen[0].done, 0);
        assert_eq!(seen[0].doing, "Gathering Facts");
        assert_eq!(seen[2].parts["vm2"], "changed");
        let retry = seen.iter().find(|progress| progress.parts.get("vm1").is_some_and(|state| state.starts_with("retrying"))).unwrap();
        assert_eq!(retry.parts["vm1"], "retrying, 3 retries left");
        assert_eq!(playbook.verdict(), Verdict::default());
    }

    #[test]
    fn exit_code_zero_is_not_enough() {
        let nothing = read("[WARNING]: Unable to parse x\n\nPLAY [a] ***\nskipping: no hosts matched\n\nPLAY RECAP ***\n");
        assert!(nothing.verdict().wrong.contains("no hosts"));
        assert!(read("ERROR! no such file\n").verdict().wrong.contains("recap is empty"));
        // A site without further servers has an empty group for them.
        let mut whole = Playbook::new(0).with_empty_groups(true);
        let text = "PLAY [a] ***\nok: [vm1]\n\nPLAY [further servers] ***\nskipping: no hosts matched\n\nPLAY RECAP ***\nvm1 : ok=1 changed=0 unreachable=0 failed=0\n";
        text.lines().for_each(|line| whole.line(line.as_bytes()));
        assert_eq!(whole.verdict().wrong, "");
        whole.complaint(b"[WARNING]: Could not match supplied host pattern, ignoring: deployment-node");
        assert!(whole.verdict().wrong.ends_with("has no deployment-node"));
    }

    #[test]
    fn failures_name_host_task_and_message() {
        let failed = read(
            "TASK [a : b] ***\nfatal: [vm1]: UNREACHABLE! => {\"changed\": false, \"msg\": \"Failed to connect\\nx\", \"unreachable\": true}\nfatal: [vm2]: FAILED! => {\"msg\": \"soft\"}\n...ignoring\nPLAY RECAP ***\nvm1 : ok=0 changed=0 unreachable=1 failed=0 ignored=0\nvm2 : ok=1 changed=0 unreachable=0 failed=0 ignored=1\n",
        );
        let verdict = failed.verdict();
        assert_eq!(verdict.hosts, ["vm1"]);
        assert_eq!(verdict.lines, ["vm1: a : b: Failed to connect x"]);
        assert!(verdict.warning.contains("vm2: a : b: soft"));
    }

    #[test]
    fn an_inventory_is_compared_both_ways() {
        let json = r#"{"_meta":{"hostvars":{"vm1":{"ansible_host":"10.0.0.1"}}},"a":{"hosts":["vm1"]},"b":{"hosts":["vm9"]}}"#;
        let host = |address: Option<&str>| BTreeMap::from([("vm1".to_owned(), address.map(str::to_owned))]);
        let model = BTreeMap::from([("a".to_owned(), host(Some("10.0.0.1")))]);
        assert_eq!(compare_inventory(json, &model), Ok(()));
        let model = BTreeMap::from([("a".to_owned(), host(Some("10.0.0.2"))), ("b".to_owned(), host(None))]);
        assert_eq!(compare_inventory(json, &model).unwrap_err().len(), 3);
        assert!(compare_inventory("", &model).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(lines in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), 0..20)) {
            let mut playbook = Playbook::new(0);
            lines.iter().for_each(|line| playbook.line(line));
            let _ = (playbook.take_progress(), playbook.verdict());
        }
    }
}
