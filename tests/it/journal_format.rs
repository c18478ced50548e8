//! What is fixed for whoever reads our files and our JSON: journals of earlier versions fold as they did, and the shapes only grow.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mosip_setup::run::event::Recorded;
use mosip_setup::run::state::{State, fold};
use serde_json::{Value, json};

use crate::stage::{Stage, read_journal};
use crate::support::{Done, files_below, repository};

/// What readers of a run see.
fn seen(state: &State) -> Value {
    let phases: Vec<Value> = (state.plan.phases.iter())
        .map(|phase| {
            let attempts: Vec<String> = state
                .steps_of(phase)
                .filter_map(|(step, record)| record.filter(|record| record.attempts > 0).map(|record| format!("{}#{}", step.step, record.attempts)))
                .collect();
            json!({ "id": phase.id, "state": state.phase_state(phase), "reason": state.phase_reason(phase), "attempts": attempts, "took_ms": state.phase_times(phase).1 })
        })
        .collect();
    json!({
        "run": state.run, "summary": state.summary(), "seq": state.seq, "rehearsal": state.rehearsal, "phases": phases,
        "questions": state.questions, "answered": state.answered, "findings": state.findings.len(), "engine": state.engine,
    })
}

/// Journals of the format's version 1, each with what it says. A new kind of event gets a new journal; these never change. Where a
/// journal has no record beside it yet, one is written, and the test fails.
#[test]
fn journals_of_version_1_say_what_they_said() {
    let folder = repository().join("tests/it/fixtures/journals/v1");
    let journals = files_below(&folder, ".jsonl");
    assert!(!journals.is_empty());
    for path in journals {
        let found = seen(&fold(&read_journal(&path)).unwrap());
        let record = path.with_extension("status.json");
        let Ok(text) = fs::read_to_string(&record) else {
            fs::write(&record, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
            panic!("{} was missing and is written now: look at it", record.display());
        };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), found, "{}", path.display());
    }
}

/// Reading and writing again leaves every key of every line as it was: nothing is renamed, nothing is lost.
#[test]
fn journals_of_version_1_survive_being_read() {
    for path in files_below(&repository().join("tests/it/fixtures/journals/v1"), ".jsonl") {
        for line in fs::read_to_string(&path).unwrap().lines() {
            let before: Value = serde_json::from_str(line).unwrap();
            let after = serde_json::to_value(serde_json::from_str::<Recorded>(line).unwrap()).unwrap();
            includes(&after, &before, "event");
        }
    }
}

/// Everything of the second value is in the first.
fn includes(found: &Value, wanted: &Value, place: &str) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                let Some(found) = found.get(key) else { panic!("{place}.{key} is gone") };
                includes(found, wanted, &format!("{place}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            assert_eq!(found.len(), wanted.len(), "{place}");
            found.iter().zip(wanted).for_each(|(found, wanted)| includes(found, wanted, place));
        }
        _ => assert_eq!(found, wanted, "{place}"),
    }
}

/// Whether a value has a shape: `"text"`, `0`, `false`, `null` (anything), `[shape]` (each element), `{key: shape}`, and
/// `"one|of|these"`. Further keys are welcome.
fn fits(value: &Value, shape: &Value, place: &str) {
    match shape {
        Value::Null => {}
        Value::String(words) if words.contains('|') => {
            assert!(value.as_str().is_some_and(|text| words.split('|').any(|word| word == text)), "{place}: {value} is none of {words}");
        }
        Value::String(_) => assert!(value.is_string(), "{place}: {value}"),
        Value::Number(_) => assert!(value.is_u64(), "{place}: {value}"),
        Value::Bool(_) => assert!(value.is_boolean(), "{place}: {value}"),
        Value::Array(shapes) => {
            let Some(elements) = value.as_array() else { panic!("{place} is no list: {value}") };
            for element in elements {
                shapes.iter().for_each(|shape| fits(element, shape, &format!("{place}[]")));
            }
        }
        Value::Object(shapes) => {
            for (key, shape) in shapes {
                let Some(inner) = value.get(key) else { panic!("{place} has no {key}: {value}") };
                fits(inner, shape, &format!("{place}.{key}"));
            }
        }
    }
}

/// stdout is one JSON value and nothing else.
fn only_json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
}

#[test]
fn the_json_that_is_printed_has_the_shapes_that_are_promised() {
    let stage = Stage::new();
    let events = stage.rehearse(&["--json", "--fault", "playbook-fails-once"]).expect(1);
    // The journal's own lines, all of them.
    let printed: Vec<Value> = events.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept: Vec<Value> = stage.events().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    // Where steps stand comes between them; it is not kept, so it has no number.
    let (told, printed): (Vec<Value>, Vec<Value>) = printed.into_iter().partition(|line| line["kind"] == "progress");
    assert_eq!(printed, kept);
    assert!(!told.is_empty());
    for line in &told {
        let progress = json!({ "done": 0, "total": 0, "unit": "text", "doing": "text" });
        let waiting = json!({ "what": "text", "others": 0, "seconds": 0, "normal": "so_far|longer|unknown" });
        fits(line, &json!({ "at": "text", "step": "text", "attempt": 0, "progress": progress, "waiting": waiting }), "progress");
    }
    for event in &printed {
        fits(event, &json!({ "seq": 0, "at": "text", "kind": "text" }), "event");
    }
    let kinds: BTreeSet<&str> = printed.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let promised = ["run_opened", "engine_started", "operator_decided", "finding", "gate", "step_started", "step_finished"];
    assert_eq!(kinds, BTreeSet::from(promised));
    // The engine has stayed for a retry. When it has ended, `attach` prints what there is.
    let engine = json!({ "pid": 0, "version": "text", "working": true, "viewers": 0 });
    fits(&only_json(&stage.run(&["status", "--json"]))["engine"], &engine, "engine");
    stage.retire();
    let events = stage.run(&["attach", "--json"]).expect(1);
    let last: Value = serde_json::from_str(events.out.lines().last().unwrap()).unwrap();
    assert_eq!((events.out.lines().count(), last["kind"].as_str()), (stage.events().len(), Some("engine_stopped")));

    let finding = json!({
        "check": "text", "target": "text", "level": "warn|fail|strict", "verdict": "pass|warn|fail|skipped|unknown", "observed": "text",
        "expected": "text", "remedy": "text", "guards": ["text"], "ignored": null,
    });
    let check = only_json(&stage.run(&["check", "--json"]));
    fits(&check, &json!({ "summary": { "pass": 0, "warn": 0, "fail": 0, "skipped": 0, "unknown": 0 }, "findings": [finding] }), "check");
    let findings = check["findings"].as_array().unwrap();
    assert!(findings.len() > 100);
    for finding in findings {
        let target = finding["target"].as_str().unwrap();
        assert!(target == "local" || target.starts_with("machine:") || target.starts_with("name:") || target.contains('→'), "{target}");
    }

    let plan = only_json(&stage.run(&["plan", "--json"]).expect(0));
    let command = json!({ "argv": ["text"], "dir": null, "env": ["text"] });
    let step = json!({ "id": "text", "kind": "command|ansible|terraform|ssh|write|wait|ask|check", "repeat": "safe|ask|never", "commands": [command] });
    let file = json!({ "path": "text", "change": "create|edit|same|conflict|keep", "diff": "text" });
    let shape = json!({ "profile": "text", "site": "text", "phases": [{ "id": "text", "title": "text", "needs": ["text"], "steps": [step] }], "files": [file] });
    fits(&plan, &shape, "plan");
    assert!(plan["phases"].as_array().unwrap().len() > 10 && plan["files"].as_array().unwrap().len() > 10);

    let status = only_json(&stage.run(&["status", "--json"]).expect(0));
    let phase = json!({
        "id": "text", "state": "pending|running|done|warned|skipped|failed|interrupted|stale|stopped", "attempts": 0, "progress": null, "reason": "text",
    });
    let question = json!({ "id": "text", "text": "text", "secret": false });
    fits(
        &status,
        &json!({ "run": "text", "state": "idle|running|waiting|failed|done|stopped", "phases": [phase], "questions": [question] }),
        "status",
    );
    let failed = status["phases"].as_array().unwrap().iter().find(|phase| phase["state"] == "failed").unwrap();
    let failure = json!({
        "step": "text", "attempt": 0, "log": "text", "message": "text", "command": "text", "exit": 0, "lines": ["text"], "hint": "text",
        "hosts": ["text"], "cell": { "task": "text", "host": "text" },
    });
    fits(&failed["failure"], &failure, "failure");
    assert!(status["phases"].as_array().unwrap().iter().filter(|phase| phase["state"] != "failed").all(|phase| phase["failure"].is_null()));
    assert_eq!(status["run"].as_str(), stage.runs()[0].file_name().unwrap().to_str());

    // Errors are JSON as well.
    for arguments in [
        &["status", "--json", "--site", "/nowhere.toml"][..],
        &["run", "--json", "--yes", "--only", "nothing"],
        &["plan", "--json", "--site", "/nowhere.toml"],
    ] {
        let refused = stage.run(arguments).expect(2);
        fits(&only_json(&refused), &json!({ "error": "text", "problems": [{ "message": "text" }] }), "error");
    }
}

/// The fixtures hold nothing of the machine they were made on.
#[test]
fn fixtures_are_scrubbed() {
    let host =
        Command::new("hostname").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    for path in files_below(&repository().join("tests/it/fixtures/journals"), "") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(env!("CARGO_MANIFEST_DIR")) && !text.contains("/tmp/") && (host.len() < 4 || !text.contains(&host)),
            "{}",
            path.display()
        );
    }
}
