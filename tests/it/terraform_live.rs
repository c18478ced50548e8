//! Real Terraform through the attempt runner: what is told of a module that fails.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use mosip_setup::engine::attempt::{Ended, read_exit};
use mosip_setup::engine::attempt_events::AttemptEvents;
use mosip_setup::run::detail::{Details, ResourceState};
use mosip_setup::run::event::Outcome;
use serde_json::json;

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

    fn start(&self, number: u32) -> Child {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let command = |text: &str| {
            json!({
                "argv": words(text), "dir": self.place.path("root"), "reading": { "reading": "terraform", "destroys": ["module.second.terraform_data.release"] },
                "env": { "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1" },
            })
        };
        let spec = json!({
            "dir": self.attempt(number), "lock": self.place.path(&format!("runner-{number}.lock")), "terminal": "pipe", "prompts": [], "secrets": [], "remove": [],
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
