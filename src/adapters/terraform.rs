//! Reads what `terraform … -json` prints, one object a line; whatever is not such an object is output like any other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::run::detail::{Detail, ResourceState};
use crate::run::event::Progress;

/// How many lines that matter are kept.
const MAX_LINES: usize = 12;

/// What one root's init, plan and apply printed so far.
#[derive(Debug, Default)]
pub struct Root {
    planned: u64,
    done: u64,
    running: BTreeMap<String, u64>,
    errored: BTreeSet<String>,
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

impl Root {
    /// Takes in one line without its newline and appends what a person should read of it, with a newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let event: Option<Value> = if line.first() == Some(&b'{') { serde_json::from_slice(line).ok() } else { None };
        match event.filter(|event| event.get("@message").is_some()) {
            Some(event) => self.event(&event, out),
            None => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }

    fn event(&mut self, event: &Value, out: &mut Vec<u8>) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = text(event.get("@message"));
        let kind = text(event.get("type"));
        let hook = event.get("hook");
        let resource = hook.and_then(|hook| hook.get("resource"));
        let address = text(resource.and_then(|resource| resource.get("addr")));
        let module = text(resource.and_then(|resource| resource.get("module")));
        let action = text(hook.and_then(|hook| hook.get("action")));
        let mut shown = message;
        let state = match kind.as_str() {
            "apply_start" => Some(ResourceState::Running),
            "apply_complete" => Some(ResourceState::Done),
            "apply_errored" => Some(ResourceState::Failed),
            _ => None,
        };
        if let Some(state) = state {
            self.seen.push(Detail::Resource { address: address.clone(), module: module.clone(), action, state });
        }
        match kind.as_str() {
            "planned_change" => self.planned_change(event, &shown),
            "apply_start" => {
                self.applying = true;
                self.running.insert(address, 0);
                self.modules.entry(module).or_default().0 += 1;
            }
            "apply_progress" => {
                let elapsed = hook.and_then(|hook| hook.get("elapsed_seconds")).and_then(Value::as_u64).unwrap_or(0);
                self.running.insert(address, elapsed);
            }
            "apply_complete" => {
                self.running.remove(&address);
                self.done += 1;
                self.modules.entry(module).or_default().1 += 1;
            }
            "apply_errored" => {
                self.running.remove(&address);
                self.errored.insert(address);
            }
            "change_summary" => {
                let changes = event.get("changes");
                let count = |name: &str| changes.and_then(|changes| changes.get(name)).and_then(Value::as_u64).unwrap_or(0);
                if text(changes.and_then(|changes| changes.get("operation"))) == "plan" {
                    self.planned = count("add") + count("change") + count("remove");
                }
            }
            "diagnostic" => self.diagnostic(event, &mut shown),
            "init_output" | "log" | "version" => self.doing.clone_from(&shown),
            _ => {}
        }
        self.changed = true;
        out.extend_from_slice(shown.as_bytes());
        out.push(b'\n');
    }

    fn planned_change(&mut self, event: &Value, shown: &str) {
        // `apply` begins with the changes of the plan it is given: each address counts once.
        let change = event.get("change");
        let action = change.and_then(|change| change.get("action")).and_then(Value::as_str).unwrap_or_default();
        let address = change.and_then(|change| change.get("resource")?.get("addr")?.as_str()).unwrap_or_default().to_owned();
        if matches!(action, "delete" | "replace" | "remove") && !self.destroys.contains(&address) {
            self.destroys.push(address.clone());
            // What failed while it was created stands in the state as tainted, and is replaced.
            if change.and_then(|change| change.get("reason")).and_then(Value::as_str) == Some("tainted") {
                self.tainted.push(address.clone());
            }
        }
        if matches!(action, "create" | "update" | "delete" | "replace") && !self.applying {
            if !self.announced.contains(&address) {
                let module = change.and_then(|change| change.get("resource")?.get("module")?.as_str()).unwrap_or_default().to_owned();
                let (address, action) = (address.clone(), action.to_owned());
                self.seen.push(Detail::Resource { address, module, action, state: ResourceState::Planned });
            }
            self.announced.insert(address);
            self.planned = self.announced.len() as u64;
        }
        shown.clone_into(&mut self.doing);
    }

    fn diagnostic(&mut self, event: &Value, shown: &mut String) {
        let diagnostic = event.get("diagnostic");
        let part = |name: &str| diagnostic.and_then(|diagnostic| diagnostic.get(name)).and_then(Value::as_str).unwrap_or_default();
        let (severity, summary, detail, address) = (part("severity"), part("summary"), part("detail"), part("address"));
        if !detail.is_empty() {
            shown.push('\n');
            shown.push_str(detail);
        }
        if severity == "error" && self.errors.len() < MAX_LINES {
            let place = if address.is_empty() { String::new() } else { format!("{address}: ") };
            let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
            let detail: String = detail.chars().take(500).collect();
            self.seen.push(Detail::Reason {
                address: address.to_owned(),
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
