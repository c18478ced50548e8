//! Reads what `terraform … -json` prints, one object a line; whatever is not such an object is output like any other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

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
    changed: bool,
    doing: String,
    seen: Vec<Detail>,
}

/// An event, its parts as they stand: which of them is read depends on its kind.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(rename = "@message", borrow)]
    message: Cow<'a, str>,
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    hook: Option<&'a RawValue>,
    #[serde(borrow)]
    change: Option<&'a RawValue>,
    #[serde(borrow)]
    changes: Option<&'a RawValue>,
    #[serde(borrow)]
    diagnostic: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    /// One of its parts; one that is not there or of another form says nothing.
    fn part<T: Deserialize<'a> + Default>(&self, part: Option<&'a RawValue>) -> T {
        part.and_then(|part| serde_json::from_str(part.get()).ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    addr: Cow<'a, str>,
    #[serde(borrow)]
    module: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook<'a> {
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    elapsed_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change<'a> {
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Changes<'a> {
    add: u64,
    change: u64,
    remove: u64,
    #[serde(borrow)]
    operation: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Diagnostic<'a> {
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    summary: Cow<'a, str>,
    #[serde(borrow)]
    detail: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
}

/// How Terraform begins an event, and what stands before its message.
const BEGINS: &[u8] = b"{\"@level\":\"";
const SAYS: &[u8] = b"\"info\",\"@message\":\"";

/// Kinds of events of which nothing counts but what they say; these come in great numbers.
const ONLY_SAID: [&[u8]; 6] =
    [b"provision_start", b"provision_progress", b"provision_complete", b"refresh_start", b"refresh_complete", b"resource_drift"];

/// The message of an event that has nothing else to tell, found without reading all of it. It is one event from end to end: it begins
/// and ends as one, and no other begins in it, for a quote within a text is escaped.
fn only_said(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"{\"@level\":")?.strip_prefix(SAYS)?;
    let kind = line.strip_suffix(b"\"}")?;
    let kind = &kind[memchr::memrchr(b'"', kind)? + 1..];
    if !ONLY_SAID.contains(&kind) || !line[..line.len() - kind.len() - 2].ends_with(b",\"type\":\"") {
        return None;
    }
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let (message, rest) = rest.split_at(end);
    // What is escaped is left to the reader of JSON.
    let whole = rest.starts_with(b"\",\"@module\":\"terraform.ui\"") && memchr::memmem::find(rest, BEGINS).is_none();
    (whole && std::str::from_utf8(message).is_ok()).then_some(message)
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
            if let Ok(event) = serde_json::from_slice::<Event<'_>>(line) {
                self.event(&event, out);
                return;
            }
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let mut shown = event.message.to_string();
        match event.kind.as_ref() {
            "apply_start" | "apply_progress" | "apply_complete" | "apply_errored" => self.hook(&event.kind, event.part(event.hook)),
            "planned_change" => self.planned_change(event.part(event.change), &shown),
            "change_summary" => {
                let changes: Changes<'_> = event.part(event.changes);
                if changes.operation == "plan" {
                    self.planned = changes.add + changes.change + changes.remove;
                }
            }
            "diagnostic" => self.diagnostic(&event.part(event.diagnostic), &mut shown),
            "init_output" | "log" | "version" => self.doing.clone_from(&shown),
            _ => {}
        }
        self.changed = true;
        out.extend_from_slice(shown.as_bytes());
        out.push(b'\n');
    }

    fn hook(&mut self, kind: &str, hook: Hook<'_>) {
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
        let (action, address) = (change.action.as_ref(), change.resource.addr.into_owned());
        if matches!(action, "delete" | "replace" | "remove") && !self.destroys.contains(&address) {
            self.destroys.push(address.clone());
            // What failed while it was created stands in the state as tainted, and is replaced.
            if change.reason == "tainted" {
                self.tainted.push(address.clone());
            }
        }
        if matches!(action, "create" | "update" | "delete" | "replace") && !self.applying {
            if !self.announced.contains(&address) {
                let (address, action, module) = (address.clone(), action.to_owned(), change.resource.module.into_owned());
                self.seen.push(Detail::Resource { address, module, action, state: ResourceState::Planned });
            }
            self.announced.insert(address);
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
            self.seen.push(Detail::Reason {
                address: address.to_string(),
                text: format!("{summary}: {detail}").trim_end_matches([' ', ':']).to_owned(),
            });
            self.errors.push(format!("{place}{summary}: {detail}"));
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
mod tests {
    use super::*;
    use proptest::strategy::Strategy as _;

    fn read(lines: &[&str]) -> (Root, String) {
        let (mut root, mut out) = (Root::default(), Vec::new());
        lines.iter().for_each(|line| root.line(line.as_bytes(), &mut out));
        (root, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_apply_is_followed_by_module() {
        let (mut root, text) = read(&[
            r#"{"@level":"info","@message":"Terraform 1.11.4","type":"version"}"#,
            r#"{"@message":"module.a[0].x.y: Plan to create","type":"planned_change","change":{"resource":{"addr":"module.a[0].x.y"},"action":"create"}}"#,
            r#"{"@message":"Plan: 2 to add","type":"change_summary","changes":{"add":2,"change":0,"remove":0,"operation":"plan"}}"#,
            r#"{"@message":"module.a[0].x.y: Creating...","type":"apply_start","hook":{"resource":{"addr":"module.a[0].x.y","module":"module.a[0]"}}}"#,
            r#"{"@message":"module.a[0].x.y: Still creating...","type":"apply_progress","hook":{"resource":{"addr":"module.a[0].x.y","module":"module.a[0]"},"elapsed_seconds":20}}"#,
            "not json",
        ]);
        let progress = root.take_progress().unwrap();
        assert_eq!((progress.done, progress.total), (0, 2));
        assert_eq!(progress.doing, "module.a[0].x.y");
        assert_eq!(progress.parts["module.a[0]"], "0/1");
        assert!(root.take_progress().is_none());
        assert!(text.starts_with("Terraform 1.11.4\n") && text.ends_with("not json\n"), "{text}");
    }

    #[test]
    fn destroying_plans_and_errors_are_told() {
        let (root, text) = read(&[
            r#"{"@message":"x.y: Plan to replace","type":"planned_change","change":{"resource":{"addr":"x.y"},"action":"replace"}}"#,
            r#"{"@level":"error","@message":"Error: boom","type":"diagnostic","diagnostic":{"severity":"error","summary":"boom","detail":"line 1\nline 2","address":"x.y"}}"#,
        ]);
        assert_eq!(root.destroys(), ["x.y"]);
        assert_eq!(root.errors(), ["x.y: boom: line 1 line 2"]);
        assert!(text.contains("Error: boom\nline 1\nline 2\n"));
    }

    #[test]
    fn resources_are_told_once_planned_and_with_the_reason_that_comes_later() {
        let planned = r#"{"@message":"module.iam[0].x.y: Plan to create","type":"planned_change","change":{"resource":{"addr":"module.iam[0].x.y","module":"module.iam[0]"},"action":"create"}}"#;
        let hook = |kind: &str| {
            format!(
                r#"{{"@message":"m","type":"{kind}","hook":{{"resource":{{"addr":"module.iam[0].x.y","module":"module.iam[0]"}},"action":"create"}}}}"#
            )
        };
        let (started, errored) = (hook("apply_start"), hook("apply_errored"));
        let reason = r#"{"@level":"error","@message":"Error: local-exec","type":"diagnostic","diagnostic":{"severity":"error","summary":"local-exec provisioner error","detail":"exit status 3","address":"module.iam[0].x.y"}}"#;
        let (mut root, _) = read(&[
            planned,
            planned,
            &started,
            &errored,
            reason,
            r#"{"@message":"Warning","type":"diagnostic","diagnostic":{"severity":"warning","summary":"Value for undeclared variable"}}"#,
        ]);
        let resource = |state| Detail::Resource {
            address: "module.iam[0].x.y".into(),
            module: "module.iam[0]".into(),
            action: "create".into(),
            state,
        };
        let text = "local-exec provisioner error: exit status 3".to_owned();
        assert_eq!(
            root.take_seen(),
            [
                resource(ResourceState::Planned),
                resource(ResourceState::Running),
                resource(ResourceState::Failed),
                Detail::Reason { address: "module.iam[0].x.y".into(), text },
            ]
        );
        assert!(root.take_seen().is_empty());
    }

    #[test]
    fn an_event_that_only_says_something_is_read_as_any_other() {
        let event = |message: &str, kind: &str| {
            format!(
                r#"{{"@level":"info","@message":{message},"@module":"terraform.ui","@timestamp":"2026-11-22T04:38:18.23Z","hook":{{"resource":{{"addr":"x.y"}},"output":"a \"quote\""}},"type":"{kind}"}}"#
            )
        };
        let plain = event(r#""x.y: (local-exec): so""#, "provision_progress");
        assert!(only_said(plain.as_bytes()).is_some());
        assert_eq!(read(&[&plain]).1, "x.y: (local-exec): so\n");
        let escaped = event(r#""x.y: \"so\" \u00e9""#, "provision_progress");
        assert_eq!((only_said(escaped.as_bytes()), read(&[&escaped]).1.as_str()), (None, "x.y: \"so\" é\n"));
        assert_eq!(only_said(event(r#""x""#, "apply_start").as_bytes()), None, "this one tells more");
        // Two that were written into each other are no event: all of it is shown.
        let (half, _) = plain.split_at(plain.len() / 2);
        let mixed = format!("{half}{plain}");
        assert_eq!((only_said(mixed.as_bytes()), read(&[&mixed]).1), (None, format!("{mixed}\n")));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_lines_again(lines in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>().prop_filter("a line feed ends a line", |byte| *byte != b'\n'), 0..60), 0..20), event in proptest::prelude::any::<bool>()) {
            let (mut root, mut out, mut expected) = (Root::default(), Vec::new(), Vec::new());
            for line in &lines {
                root.line(line, &mut out);
                expected.extend_from_slice(line);
                expected.push(b'\n');
                if event {
                    root.line(br#"{"@message":"said","type":"log"}"#, &mut out);
                    expected.extend_from_slice(b"said\n");
                }
            }
            proptest::prop_assert_eq!(out, expected);
            let _ = (root.take_progress(), root.take_seen());
        }

        #[test]
        fn no_line_that_is_not_an_event_is_lost(lines in proptest::collection::vec("[^\n]{0,40}", 0..20)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (_, text) = read(&lines);
            proptest::prop_assert_eq!(text, lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        }
    }
}
