//! The callback plugin that tells what a playbook does: put where Ansible finds it, and what it writes read as it grows.
//!
//! It is found by its folder alone and needs no enabling, so the operator's own list of callbacks stays in force. Whether it speaks or
//! not, the ordinary output is read as well: without it, less is known and nothing is lost.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use crate::run::detail::{Detail, Status, Told};

/// The plugin.
const PLUGIN: &str = include_str!("../../assets/ansible/mosip_setup_events.py");
const PLUGIN_FILE: &str = "mosip_setup_events.py";

/// Tells the plugin where to write.
const EVENTS_VARIABLE: &str = "MOSIP_SETUP_ANSIBLE_EVENTS";
/// Where Ansible looks for callbacks, and where it does when nothing is said.
const FOLDERS_VARIABLE: &str = "ANSIBLE_CALLBACK_PLUGINS";
const DEFAULT_FOLDERS: &str = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback";

/// The longest line that is read, bytes.
const MAX_LINE: usize = 64 * 1024;

/// The plugin's folder and events file in an attempt's folder; both go with the value.
#[derive(Debug)]
pub struct Callback {
    folder: PathBuf,
    events: PathBuf,
}

impl Callback {
    /// Puts the plugin into an attempt's folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(attempt: &Path) -> io::Result<Self> {
        let own = Self { folder: attempt.join("callback"), events: attempt.join("ansible-events.jsonl") };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&own.folder)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(own.folder.join(PLUGIN_FILE))?;
        file.write_all(PLUGIN.as_bytes())?;
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&own.events)?;
        Ok(own)
    }

    /// Adds to the environment of `ansible-playbook` what lets it find the plugin; `inherited` is the value it would inherit.
    pub fn environment(&self, env: &mut BTreeMap<String, String>, inherited: Option<OsString>) {
        let folders = env.get(FOLDERS_VARIABLE).cloned().or_else(|| inherited.and_then(|value| value.into_string().ok()));
        let folders = folders.filter(|folders| !folders.is_empty()).unwrap_or_else(|| DEFAULT_FOLDERS.to_owned());
        env.insert(FOLDERS_VARIABLE.to_owned(), format!("{}:{folders}", self.folder.display()));
        env.insert(EVENTS_VARIABLE.to_owned(), self.events.display().to_string());
    }

    /// Reads what it writes.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail { path: self.events.clone(), file: None, partial: Vec::new(), heard: false }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // What it wrote has not been through the redactor, so it does not stay. What cannot be removed is names and states only.
        drop(std::fs::remove_dir_all(&self.folder));
        drop(std::fs::remove_file(&self.events));
    }
}

/// Reads what the plugin writes, as it grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
    heard: bool,
}

impl Tail {
    /// Whether the plugin has said anything.
    #[must_use]
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// Gives what was written since the last call. Lines that make no sense are passed over.
    pub fn read(&mut self, mut tell: impl FnMut(Told)) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return };
        let mut chunk = [0; 16 * 1024];
        while let Ok(length) = file.read(&mut chunk) {
            if length == 0 {
                return;
            }
            for piece in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
                if self.partial.len() < MAX_LINE {
                    self.partial.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    if let Some(raw) = parse(&self.partial) {
                        self.heard = true;
                        raw.into_iter().for_each(&mut tell);
                    }
                    self.partial.clear();
                }
            }
        }
    }
}

/// A line as the plugin writes it.
#[derive(Debug, Deserialize)]
struct Raw {
    event: String,
    /// Seconds since 1970.
    at: f64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    task: u32,
    #[serde(default)]
    handler: bool,
    status: Option<Status>,
    #[serde(default)]
    ignored: bool,
    #[serde(default)]
    left: u32,
    #[serde(default)]
    of: u32,
    #[serde(default)]
    item: String,
    #[serde(default)]
    hosts: BTreeMap<String, BTreeMap<String, u32>>,
}

/// One line; none: it makes no sense; an empty answer: it says nothing that is passed on.
fn parse(line: &[u8]) -> Option<Option<Told>> {
    let raw: Raw = serde_json::from_slice(line).ok()?;
    // A clock is no reason to lose an event; a number that is no time is.
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and a time so far off is refused")]
    let at = Timestamp::from_millisecond((raw.at * 1000.0) as i64).ok()?;
    let (task, host) = (raw.task, raw.host);
    let detail = match (raw.event.as_str(), raw.status) {
        ("play", _) => Detail::Play { name: raw.name },
        ("task", _) => Detail::Task { task, name: raw.name, handler: raw.handler },
        ("start", _) => Detail::Start { task, host },
        ("item", Some(status)) => Detail::Item { task, host, item: raw.item, status },
        ("retry", _) => Detail::Retry { task, host, left: raw.left, of: raw.of },
        ("host", Some(status)) => Detail::Host { task, host, status, ignored: raw.ignored },
        ("no_hosts", _) => Detail::NoHosts,
        ("recap", _) => Detail::Recap { hosts: raw.hosts },
        _ => return Some(None),
    };
    Some(Some(Told { at, detail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_grow() {
        let folder = tempfile::tempdir().unwrap();
        let callback = Callback::new(folder.path()).unwrap();
        let mut env = BTreeMap::new();
        callback.environment(&mut env, Some("/opt/own".into()));
        assert!(env[FOLDERS_VARIABLE].ends_with("/callback:/opt/own"), "{env:?}");
        let mut tail = callback.tail();
        let mut read = || {
            let mut told = Vec::new();
            tail.read(|event| told.push(event.detail));
            (told, tail.heard())
        };
        assert_eq!(read(), (vec![], false));
        let mut file = OpenOptions::new().append(true).open(&env[EVENTS_VARIABLE]).unwrap();
        file.write_all(b"garbage\n{\"event\":\"hello\",\"at\":1.5,\"format\":1}\n{\"event\":\"task\",\"at\":1.5,\"ta").unwrap();
        assert_eq!(read(), (vec![], true));
        file.write_all(b"sk\":3,\"name\":\"r : t\",\"handler\":true}\n{\"event\":\"host\",\"at\":2,\"task\":3,\"host\":\"vm1\"}\n")
            .unwrap();
        assert_eq!(read().0, [Detail::Task { task: 3, name: "r : t".into(), handler: true }]);
        drop(callback);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let folder = tempfile::tempdir().unwrap();
            let callback = Callback::new(folder.path()).unwrap();
            std::fs::write(folder.path().join("ansible-events.jsonl"), &bytes).unwrap();
            let mut count = 0;
            callback.tail().read(|_| count += 1);
            proptest::prop_assert!(count <= bytes.len());
        }
    }
}
