//! Writes the small events of an attempt into its `events.jsonl`, secrets removed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::attempt::events;
use crate::adapters::ansible_callback::{Callback, Tail};
use crate::run::detail::{Detail, Told};
use crate::run::redact::Redactor;

/// After so many events of an attempt, those of single items and beginnings are left out: the file stays below some tens of megabytes.
const MANY: u64 = 200_000;

/// Writes events of an attempt.
#[derive(Debug)]
pub struct Teller {
    file: Option<File>,
    redactor: Arc<Redactor>,
    count: u64,
    line: Vec<u8>,
    lines: Vec<u8>,
    callback: Option<(Callback, Tail)>,
}

impl Teller {
    /// Of an attempt with this folder.
    #[must_use]
    pub fn new(dir: &Path, redactor: Arc<Redactor>) -> Self {
        // Events that cannot be written are only not seen.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(events(dir)).ok();
        Self { file, redactor, count: 0, line: Vec::new(), lines: Vec::new(), callback: None }
    }

    /// Of a playbook: gives `ansible-playbook` the plugin that tells more than its output.
    #[must_use]
    pub fn with_callback(mut self, dir: &Path, env: &mut BTreeMap<String, String>) -> Self {
        if let Ok(callback) = Callback::new(dir) {
            callback.environment(env, std::env::var_os("ANSIBLE_CALLBACK_PLUGINS"));
            let tail = callback.tail();
            self.callback = Some((callback, tail));
        }
        self
    }

    /// Passes on what the plugin has told since the last call, and says whether it tells anything.
    pub fn hear(&mut self) -> bool {
        let Some((callback, mut tail)) = self.callback.take() else { return false };
        tail.read(|told| self.add(&told));
        let heard = tail.heard();
        self.callback = Some((callback, tail));
        self.write();
        heard
    }

    /// Tells what was understood from the output just now.
    pub fn tell(&mut self, details: impl IntoIterator<Item = Detail>) {
        let mut details = details.into_iter().peekable();
        if details.peek().is_none() {
            return;
        }
        let at = Timestamp::now();
        details.for_each(|detail| self.add(&Told { at, detail }));
        self.write();
    }

    fn add(&mut self, told: &Told) {
        self.count += 1;
        if self.count > MANY && matches!(told.detail, Detail::Item { .. } | Detail::Start { .. }) {
            return;
        }
        self.line.clear();
        if serde_json::to_writer(&mut self.line, told).is_ok() {
            self.redactor.append(&self.line, &mut self.lines);
            self.lines.push(b'\n');
        }
    }

    fn write(&mut self) {
        if !self.lines.is_empty() {
            if let Some(file) = &mut self.file {
                drop(file.write_all(&self.lines));
            }
            self.lines.clear();
        }
    }
}
