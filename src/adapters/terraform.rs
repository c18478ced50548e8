//! Reads what `terraform … -json` prints, one object a line; whatever is not such an object is output like any other.

mod event;

use std::collections::{BTreeMap, BTreeSet};

use self::event::{Change, Changes, Diagnostic, Event, HOOKS, Hook, OfChange, OfHook, kind_at_end, only_said, still_at_work};
use crate::run::detail::{Detail, ResourceState};
use crate::run::event::Progress;
use crate::run::lines::Piece;

/// How many lines that matter are kept.
const MAX_LINES: usize = 12;

/// What one root's init, plan and apply printed so far.
#[derive(Debug, Default)]
pub struct Root {
    planned: u64,
    done: u64,
    running: BTreeMap<String, u64>,
    modules: BTreeMap<String, (u64, u64)>,
    announced: BTreeSet<String>,
    destroys: Vec<String>,
    tainted: Vec<String>,
    errors: Vec<String>,
    applying: bool,
    interrupted: bool,
    changed: bool,
    doing: String,
    seen: Vec<Detail>,
}

impl Root {
    /// Takes in a line, or a part of one that is too long to be held, and appends what a person should read of it.
    pub fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) {
        if piece.first && piece.last {
            self.line(piece.bytes, out);
            return;
        }
        out.extend_from_slice(piece.bytes);
        if piece.last {
            out.push(b'\n');
        }
    }

    /// Takes in one line without its newline and appends what a person should read of it, with a newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if line.first() == Some(&b'{') {
            if let Some(message) = only_said(line) {
                out.extend_from_slice(message);
                out.push(b'\n');
                return;
            }
            if let Some((message, address, seconds)) = still_at_work(line)
                && let Some(elapsed) = self.running.get_mut(address)
            {
                (*elapsed, self.changed) = (seconds, true);
                out.extend_from_slice(message);
                out.push(b'\n');
                return;
            }
            if self.of_resource(line, out) {
                return;
            }
            if let Ok(event) = serde_json::from_slice::<Event<'_>>(line) {
                self.event(&event, out);
                return;
            }
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }

    /// Takes in what is said of a resource, read in one go where its kind stands at the end; says whether it was that.
    fn of_resource(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let message = match kind_at_end(line).map(std::str::from_utf8) {
            Some(Ok(kind)) if HOOKS.contains(&kind) => {
                let Ok(OfHook { message, hook }) = serde_json::from_slice(line) else { return false };
                self.hook(kind, hook);
                message
            }
            Some(Ok("planned_change")) => {
                let Ok(OfChange { message, change }) = serde_json::from_slice(line) else { return false };
                self.planned_change(change, &message);
                message
            }
            _ => return false,
        };
        self.changed = true;
        out.extend_from_slice(message.as_bytes());
        out.push(b'\n');
        true
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let mut shown = event.message.to_string();
        match event.kind.as_ref() {
            kind if HOOKS.contains(&kind) => self.hook(kind, event.part(event.hook)),
            "planned_change" => self.planned_change(event.part(event.change), &shown),
            "change_summary" => {
                let changes: Changes<'_> = event.part(event.changes);
                if changes.operation == "plan" {
                    self.planned = changes.add + changes.change + changes.remove;
                }
            }
            "diagnostic" => self.diagnostic(&event.part(event.diagnostic), &mut shown),
            "init_output" | "log" | "version" => {
                self.interrupted |= shown.trim_start().starts_with("Interrupt received");
                self.doing.clone_from(&shown);
            }
            _ => {}
        }
        self.changed = true;
        out.extend_from_slice(shown.as_bytes());
        out.push(b'\n');
    }

    fn hook(&mut self, kind: &str, hook: Hook<'_>) {
        if kind == "apply_progress"
            && let Some(elapsed) = self.running.get_mut(hook.resource.addr.as_ref())
        {
            *elapsed = hook.elapsed_seconds;
            return;
        }
        let (address, module) = (hook.resource.addr.into_owned(), hook.resource.module.into_owned());
        let state = match kind {
            "apply_start" => Some(ResourceState::Running),
            "apply_complete" => Some(ResourceState::Done),
            "apply_errored" => Some(ResourceState::Failed),
            _ => None,
        };
        if let Some(state) = state {
            let (address, module) = (address.clone(), module.clone());
            self.seen.push(Detail::Resource { address, module, action: hook.action.into_owned(), state });
        }
        match kind {
            "apply_start" => {
                self.applying = true;
                self.running.insert(address, 0);
                self.modules.entry(module).or_default().0 += 1;
            }
            "apply_progress" => drop(self.running.insert(address, hook.elapsed_seconds)),
            "apply_complete" => {
                self.running.remove(&address);
                self.done += 1;
                self.modules.entry(module).or_default().1 += 1;
            }
            _ => {
                self.running.remove(&address);
            }
        }
    }

    fn planned_change(&mut self, change: Change<'_>, shown: &str) {
        // `apply` begins with the changes of the plan it is given: each address counts once.
        let (action, address) = (change.action.as_ref(), change.resource.addr.as_ref());
        if matches!(action, "delete" | "replace" | "remove") && !self.destroys.iter().any(|known| known == address) {
            self.destroys.push(address.to_owned());
            // What failed while it was created stands in the state as tainted, and is replaced.
            if change.reason == "tainted" {
                self.tainted.push(address.to_owned());
            }
        }
        if matches!(action, "create" | "update" | "delete" | "replace") && !self.applying {
            if !self.announced.contains(address) {
                let (address, action, module) = (address.to_owned(), action.to_owned(), change.resource.module.into_owned());
                self.announced.insert(address.clone());
                self.seen.push(Detail::Resource { address, module, action, state: ResourceState::Planned });
            }
            self.planned = self.announced.len() as u64;
        }
        shown.clone_into(&mut self.doing);
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic<'_>, shown: &mut String) {
        let Diagnostic { severity, summary, detail, address } = diagnostic;
        if !detail.is_empty() {
            shown.push('\n');
            shown.push_str(detail);
        }
        if severity == "error" && self.errors.len() < MAX_LINES {
            let place = if address.is_empty() { String::new() } else { format!("{address}: ") };
            let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
            let detail: String = detail.chars().take(500).collect();
            // Helm's provider often leaves the detail empty.
            let text = if detail.is_empty() { summary.to_string() } else { format!("{summary}: {detail}") };
            self.errors.push(format!("{place}{text}"));
            self.seen.push(Detail::Reason { address: address.to_string(), text });
        }
    }

    /// Where it stands, when that changed since the last call.
    pub fn take_progress(&mut self) -> Option<Progress> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let longest = self.running.iter().max_by_key(|(_, elapsed)| **elapsed);
        let doing = longest.map_or_else(|| self.doing.clone(), |(address, _)| address.clone());
        let part = |(module, (begun, done)): (&String, &(u64, u64))| {
            let name = if module.is_empty() { "root".to_owned() } else { module.clone() };
            (name, format!("{done}/{begun}"))
        };
        Some(Progress {
            done: self.done,
            total: self.planned,
            unit: "resources".into(),
            doing,
            parts: self.modules.iter().map(part).collect(),
            ..Progress::default()
        })
    }

    /// What was understood in detail since the last call.
    pub fn take_seen(&mut self) -> Vec<Detail> {
        std::mem::take(&mut self.seen)
    }

    /// Whether somebody has stopped it: what fails from then on fails for that.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// What the plan would destroy or replace.
    #[must_use]
    pub fn destroys(&self) -> &[String] {
        &self.destroys
    }

    /// Those of them that failed while an earlier apply made them.
    #[must_use]
    pub fn tainted(&self) -> &[String] {
        &self.tainted
    }

    /// The errors, one line each: address, summary, detail.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.errors
    }
}

#[cfg(test)]
mod tests;
