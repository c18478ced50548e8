//! Real Terraform through the attempt runner: what is told of a module that fails.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use mosip_setup::engine::attempt::{Ended, read_exit};
use mosip_setup::engine::attempt_events::AttemptEvents;
use mosip_setup::run::detail::{Details, ResourceState};
use mosip_setup::run::event::Outcome;
use rustix::process::Signal;
use serde_json::json;

use crate::runner::wait_for_text;
use crate::stage::signal;
use crate::support::{PROGRAM, Place, on_path, skip};

const PLAN: &str = ".mosip-setup.tfplan";

struct Root {
    place: Place,
}

impl Root {
    /// A root with two modules; the second runs a shell command.
    fn new(command: &str) -> Self {
        let place = Place::new();
        for module in ["first", "second"] {
            fs::create_dir_all(place.path(&format!("root/{module}"))).unwrap();
        }
        // As of two sites: of one, the next attempt would end what an earlier one has left.
        for number in 1..3 {
            fs::create_dir(place.path(&format!("site-{number}"))).unwrap();
        }
        let data = |body: &str| format!("resource \"terraform_data\" \"release\" {{\n{body}}}\n");
        fs::write(place.path("root/first/main.tf"), data("")).unwrap();
        let provisioner = format!("  provisioner \"local-exec\" {{\n    command = {command:?}\n  }}\n");
        fs::write(place.path("root/second/main.tf"), data(&provisioner)).unwrap();
        let main = "module \"first\" {\n  source = \"./first\"\n}\n\nmodule \"second\" {\n  source     = \"./second\"\n  depends_on = [module.first]\n}\n";
        fs::write(place.path("root/main.tf"), main).unwrap();
        Self { place }
    }

    fn attempt(&self, number: u32) -> PathBuf {
        self.place.path(&format!("attempt-{number}"))
    }

    /// Waits until an attempt's log has a text.
    fn wait_for(&self, number: u32, text: &str) {
        wait_for_text(&self.attempt(number).join("output.log"), text);
    }

    fn start(&self, number: u32) -> Child {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let command = |text: &str| {
            json!({
                "argv": words(text), "dir": self.place.path("root"), "reading": { "reading": "terraform", "destroys": ["module.second.terraform_data.release"] },
                "env": { "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1" },
            })
        };
        let spec = json!({
            "dir": self.attempt(number), "lock": self.place.path(&format!("site-{number}/runner.lock")), "terminal": "pipe", "prompts": [], "secrets": [], "remove": [],
            "commands": [
                command("terraform init -input=false -json"), command(&format!("terraform plan -input=false -json -out={PLAN}")),
                command(&format!("terraform apply -input=false -json {PLAN}")),
            ],
        });
        let mut runner = self.place.command(PROGRAM).arg("__attempt").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        runner.stdin.take().unwrap().write_all(spec.to_string().as_bytes()).unwrap();
        runner
    }

    fn end(&self, number: u32, mut runner: Child) -> (Ended, Details) {
        assert!(runner.wait().unwrap().success());
        let mut events = AttemptEvents::new(&self.attempt(number));
        events.update();
        (read_exit(&self.attempt(number)).expect("an exit record"), events.details().clone())
    }
}

fn state(details: &Details, module: &str) -> ResourceState {
    let row = details.resources.iter().find(|row| row.module == module).unwrap_or_else(|| panic!("{details:?}"));
    row.state
}

#[test]
fn a_module_that_fails_is_told_with_the_reason_that_comes_later() {
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it")
    }
    let root = Root::new("echo 'context deadline exceeded' >&2; exit 3");
    let (ended, details) = root.end(1, root.start(1));
    let Outcome::Failed(failure) = ended.outcome else { panic!("{ended:?}") };
    assert_eq!(failure.exit, Some(1));
    assert_eq!((state(&details, "module.first"), state(&details, "module.second")), (ResourceState::Done, ResourceState::Failed));
    assert_eq!(details.resources.len(), 2, "what apply repeats of the plan counts once");
    let row = details.resources.iter().find(|row| row.module == "module.second").unwrap();
    assert!(row.reason.contains("local-exec provisioner error") && row.reason.contains("exit status 3"), "{row:?}");
    assert!(row.since.is_some() && row.ended.is_some());
}

#[test]
fn an_apply_that_is_stopped_ends_in_order_and_goes_on_later() {
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it")
    }
    let root = Root::new("echo it is under way; test -e done || sleep 60");
    let runner = root.start(1);
    root.wait_for(1, "it is under way");
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    let (ended, details) = root.end(1, runner);
    assert_eq!(ended.outcome, Outcome::Stopped { by: String::new() });
    assert_eq!((state(&details, "module.first"), state(&details, "module.second")), (ResourceState::Done, ResourceState::Failed));
    let log = fs::read_to_string(root.attempt(1).join("output.log")).unwrap();
    assert!(log.contains("Interrupt received"), "Terraform was asked, not killed: {log}");
    assert!(!root.place.path("root/.terraform.tfstate.lock.info").exists(), "its lock is gone");
    // What was under way is tainted, and is replaced; what was done stays.
    fs::write(root.place.path("root/done"), "").unwrap();
    let (ended, details) = root.end(2, root.start(2));
    assert_eq!(ended.outcome, Outcome::Done);
    assert_eq!(state(&details, "module.second"), ResourceState::Done);
    assert!(details.resources.iter().all(|row| row.module != "module.first"), "{details:?}");
}

#[test]
fn a_state_that_is_locked_is_named() {
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it")
    }
    let root = Root::new("echo it is under way; sleep 60");
    let holder = root.start(1);
    root.wait_for(1, "it is under way");
    let (ended, _) = root.end(2, root.start(2));
    signal(i32::try_from(holder.id()).unwrap(), Signal::TERM);
    root.end(1, holder);
    let Outcome::Failed(failure) = ended.outcome else { panic!("{ended:?}") };
    assert_eq!(failure.known, ["tf-statelock"], "{failure:?}");
    assert!(failure.lines[0].contains("Error acquiring the state lock") && failure.hint.contains("Another Terraform"), "{failure:?}");
}

#[test]
fn warnings_and_lines_that_are_no_events_are_output_and_no_failure() {
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it")
    }
    let root = Root::new(r#"printf '{"@level":"info"\n\tno event, and a quote: "\n'; echo to stderr >&2"#);
    fs::write(root.place.path("root/terraform.tfvars"), "unused = 1\n").unwrap();
    let (ended, details) = root.end(1, root.start(1));
    assert_eq!(ended.outcome, Outcome::Done, "a warning is no failure");
    assert_eq!(details.resources.len(), 2, "what apply repeats of the plan counts once");
    let log = fs::read_to_string(root.attempt(1).join("output.log")).unwrap();
    for text in
        ["undeclared variable", r#"{"@level":"info""#, "no event, and a quote: \"", "to stderr", "Apply complete! Resources: 2 added"]
    {
        assert!(log.contains(text), "{text} is not in the log: {log}");
    }
    let last = fs::read_to_string(root.attempt(1).join("events.jsonl")).unwrap();
    let progress = last.lines().rev().find_map(|line| serde_json::from_str::<mosip_setup::run::event::Progress>(line).ok()).unwrap();
    assert_eq!((progress.done, progress.total), (2, 2));
}
