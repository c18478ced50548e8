//! Reads what `terraform … -json` prints, one object a line; whatever is not such an object is output like any other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use memchr::memmem::Finder;
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
    interrupted: bool,
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

/// How Terraform begins an event, looked for where one should not begin.
static ANOTHER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"{\"@level\":\""));

/// What stands before the address of the resource of an event.
static ADDRESS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b",\"hook\":{\"resource\":{\"addr\":\""));

/// What stands before the message of one.
const SAYS: &[u8] = b"\"info\",\"@message\":\"";

/// Kinds of events of which nothing counts but what they say; these come in great numbers.
const ONLY_SAID: [&[u8]; 6] =
    [b"provision_start", b"provision_progress", b"provision_complete", b"refresh_start", b"refresh_complete", b"resource_drift"];

/// Of which kind an event is, by the end of its line, where Terraform puts it; none: not there.
fn kind_at_end(line: &[u8]) -> Option<&[u8]> {
    let before = line.strip_suffix(b"\"}")?;
    let kind = &before[memchr::memrchr(b'"', before)? + 1..];
    before[..before.len() - kind.len()].ends_with(b",\"type\":\"").then_some(kind)
}

/// Kinds of events that tell how far a resource is.
const HOOKS: [&str; 4] = ["apply_progress", "apply_start", "apply_complete", "apply_errored"];

/// The message, the address and the seconds of an event that says that a resource is still at work, found without reading all of it; the
/// same care as in [`only_said`].
fn still_at_work(line: &[u8]) -> Option<(&[u8], &str, u64)> {
    let (message, rest) = message_of(line)?;
    let address = &rest[ADDRESS.find(rest)? + ADDRESS.needle().len()..];
    let address = &address[..memchr::memchr2(b'"', b'\\', address)?];
    let before = line.strip_suffix(b"},\"type\":\"apply_progress\"}")?;
    let digits = &before[before.iter().rposition(|byte| !byte.is_ascii_digit())? + 1..];
    let seconds = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let begins = message.starts_with(address) && before[..before.len() - digits.len()].ends_with(b",\"elapsed_seconds\":");
    begins.then_some((message, std::str::from_utf8(address).ok()?, seconds))
}

/// What is said of a resource while it is made, changed or destroyed: great numbers of "Still creating" among it.
#[derive(Debug, Deserialize)]
struct OfHook<'a> {
    #[serde(rename = "@message", borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    hook: Hook<'a>,
}

/// What is said of a resource in a plan.
#[derive(Debug, Deserialize)]
struct OfChange<'a> {
    #[serde(rename = "@message", borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    change: Change<'a>,
}

/// The message of an event that has nothing else to tell, found without reading all of it. It is one event from end to end: it begins
/// and ends as one, and no other begins in it, for a quote within a text is escaped.
fn only_said(line: &[u8]) -> Option<&[u8]> {
    if !ONLY_SAID.contains(&kind_at_end(line)?) {
        return None;
    }
    message_of(line).map(|(message, _)| message)
}

/// The message of an event, and what stands behind it. What is escaped is left to the reader of JSON.
fn message_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"{\"@level\":")?.strip_prefix(SAYS)?;
    let (message, rest) = rest.split_at(memchr::memchr2(b'"', b'\\', rest)?);
    let whole = rest.starts_with(b"\",\"@module\":\"terraform.ui\"") && ANOTHER.find(rest).is_none();
    (whole && std::str::from_utf8(message).is_ok()).then_some((message, rest))
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
        let (root, _) = read(&[
            r#"{"@level":"error","@message":"Error: timed out","type":"diagnostic","diagnostic":{"severity":"error","summary":"timed out","detail":"","address":"x.y"}}"#,
        ]);
        assert_eq!(root.errors(), ["x.y: timed out"], "no detail, no colon");
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

    #[test]
    fn what_is_read_in_one_go_is_read_the_same_as_any_other_event() {
        let recorded = include_str!("../../assets/rehearsal/recordings/mosip-services.apply.apply.jsonl");
        let lines: Vec<String> = recorded
            .lines()
            .filter_map(|line| Some(serde_json::from_str::<serde_json::Value>(line).ok()?.get("out")?.as_str()?.trim_end().to_owned()))
            .collect();
        let (mut quick, mut slow) = (Root::default(), Root::default());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let mut in_one_go = 0;
        for line in &lines {
            in_one_go += usize::from(still_at_work(line.as_bytes()).is_some());
            quick.line(line.as_bytes(), &mut one);
            // Where the kind stands elsewhere, everything is read.
            let end = kind_at_end(line.as_bytes()).map_or(0, <[u8]>::len);
            let (rest, kind) = line.split_at(line.len() - end - 2);
            let moved = match rest.strip_suffix(",\"type\":\"") {
                Some(rest) => format!("{{\"type\":\"{},{}}}", &kind[..kind.len() - 1], rest.trim_start_matches('{')),
                None => line.clone(),
            };
            slow.line(moved.as_bytes(), &mut other);
            assert_eq!(quick.take_seen(), slow.take_seen(), "{line}");
            assert_eq!(quick.take_progress(), slow.take_progress(), "{line}");
        }
        assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other));
        assert!(in_one_go > 20, "{in_one_go} of {}", lines.len());
    }

    #[test]
    fn a_resource_still_at_work_is_found_unless_its_name_is_escaped() {
        let line = |address: &str, seconds: &str| {
            format!(
                r#"{{"@level":"info","@message":"{address}: Still creating... [20s elapsed]","@module":"terraform.ui","@timestamp":"t","hook":{{"resource":{{"addr":"{address}","module":""}},"action":"create","elapsed_seconds":{seconds}}},"type":"apply_progress"}}"#
            )
        };
        let plain = line("x.y", "20");
        assert_eq!(still_at_work(plain.as_bytes()), Some((b"x.y: Still creating... [20s elapsed]".as_slice(), "x.y", 20)));
        for other in [line(r#"x.y[\"a\"]"#, "20"), line("x.y", "2.5"), line("x.y", ""), plain.replace("apply_progress", "apply_start")] {
            assert_eq!(still_at_work(other.as_bytes()), None, "{other}");
        }
        let (mut root, text) = read(&[&line(r#"x.y[\"a\"]"#, "20")]);
        assert_eq!(
            (root.take_progress().unwrap().doing.as_str(), text.as_str()),
            (r#"x.y["a"]"#, "x.y[\"a\"]: Still creating... [20s elapsed]\n")
        );
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
