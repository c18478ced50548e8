//! The shipped profile on lab hosts with real Ansible and Terraform: engine, runner, and both killed at ten named places, an apply done by hand
//! in between, and the end compared with an installation that nobody disturbed. Only with --long.

use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mosip_setup::run::event::{Event, Outcome, Recorded};
use mosip_setup::run::state::{State, fold};

use crate::lab_run::{ADDRESS, Node, cannot};
use crate::support::{on_path, skip};

const STATE: &str = "/home/ubuntu/.local/state/mosip-setup/sites/lab-0001";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Engine,
    Runner,
    Both,
}

/// The places: a step that has begun, and who is killed there.
const PLACES: [(&str, Victim); 10] = [
    ("tools/checkout", Victim::Engine),
    ("prepare/kubeconfig-backup", Victim::Engine),
    ("update-nodes/playbook", Victim::Both),
    ("wireguard/playbook", Victim::Runner),
    ("wireguard/peer-file", Victim::Engine),
    ("obs-cluster/playbook", Victim::Both),
    ("obs-terraform/apply", Victim::Engine),
    ("cluster/playbook", Victim::Engine),
    ("mosip-infra/apply", Victim::Both),
    ("mosip-services/apply", Victim::Runner),
];

fn events(node: &Node) -> Vec<Recorded> {
    let text = node.lab.sh(&format!("cat {STATE}/runs/*/journal.jsonl 2>/dev/null || :")).out;
    // While it is being written the last line may be torn.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a step has begun and kills there; false: the run has come to its end or to a question before. The waiting is done on the lab
/// host: some steps are over before a process could be brought there.
fn strike(node: &Node, engine: &mut std::process::Child, step: &str, victim: Victim) -> bool {
    let deadline = Instant::now() + Duration::from_secs(900);
    let folder = step.replacen('/', ".", 1);
    let runner = format!("runner=$(sed -n '/steps.{folder}.[0-9]/s/.*\"pid\":\\([0-9]*\\).*/\\1/p' runner.lock); [ -n \"$runner\" ]");
    let (ready, targets) = match victim {
        Victim::Engine => ("true".to_owned(), "$engine"),
        Victim::Runner => (runner, "$runner"),
        // Last the runner: a living engine would have seen it go.
        Victim::Both => (runner, "$engine $runner"),
    };
    let script = format!(
        "cd {STATE} 2>/dev/null || exit 3\n\
         for i in $(seq 200); do\n\
           if grep -qs '\"kind\":\"step_started\",\"step\":\"{step}\"' runs/*/journal.jsonl && {ready}; then\n\
             engine=$(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' site.lock); kill -9 {targets} 2>/dev/null; exit 0\n\
           fi\n\
           sleep 0.02\n\
         done\n\
         exit 3"
    );
    loop {
        if node.lab.sh(&script).code == 0 {
            return true;
        }
        if engine.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "{step} was not reached");
    }
}

/// `run --yes`, and what it says.
fn spawn(node: &Node) -> (std::process::Child, std::fs::File) {
    let argv = node.argv(&["run", "--yes"]);
    let said = tempfile::tempfile().unwrap();
    let mut command = Command::new(&argv[0]);
    let output = || said.try_clone().unwrap();
    (command.args(&argv[1..]).stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap(), said)
}

fn end_of(mut said: &std::fs::File) -> String {
    let mut text = String::new();
    said.rewind().unwrap();
    said.read_to_string(&mut text).unwrap();
    text[text.len().saturating_sub(4000)..].to_owned()
}

/// Goes on until everything is done or nothing goes on without something unforeseen.
fn finish(node: &Node) {
    for _ in 0..10 {
        let status = node.status();
        if status["state"] == "done" {
            return;
        }
        match status["questions"][0]["id"].as_str().map(str::to_owned) {
            Some(question) if question.starts_with("rancher-import") => drop(node.run_with(&["answer", &question], ADDRESS)),
            Some(question) => drop(node.run(&["answer", &question, "yes"])),
            None => drop(node.run(&["run", "--yes"])),
        }
    }
    panic!("{}", node.status());
}

/// Where phases stand, and what was written and made, line by line and without what is random: each lab has a certificate of its own.
fn end_state(node: &Node) -> Vec<String> {
    let status = node.status();
    let phases = status["phases"].as_array().unwrap().iter();
    let phases = phases.map(|phase| format!("{}={}", phase["id"].as_str().unwrap(), phase["state"].as_str().unwrap()));
    let made = node.lab.sh(
        "set -e; cd ~/automating-mosip-deployment\n\
         find . -type f \\( -name '*.ini' -o -name '*.yml' -o -name '*.tfvars' \\) -not -path './.git/*' | sort | xargs sha256sum\n\
         for name in fullchain.pem privkey.pem; do\n\
           find . -name $name -not -path './.git/*' | sort | while read -r file; do cmp $file ~/certificates/$name; echo \"$file is the site's own\"; done\n\
         done\n\
         for root in terraform/obs_deployment terraform/mosip_deployment/infra terraform/mosip_deployment/mosip; do (cd $root && terraform state list | sort); done",
    );
    phases.chain(made.expect(0).out.lines().map(str::to_owned)).collect()
}

#[test]
fn killed_at_ten_places_an_installation_ends_as_if_nothing_had_been() {
    if std::env::var_os("MOSIP_SETUP_LONG").is_none() {
        skip!("long", "only with --long");
    }
    if let Some((name, reason)) = cannot() {
        skip!(name, reason);
    }
    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it");
    }
    let wanted = {
        let node = Node::ready();
        node.run(&["check", "--accept-host-keys"]).expect(0);
        node.run(&["run", "--yes"]).expect(4);
        finish(&node);
        end_state(&node)
    };
    assert!(wanted.iter().filter(|line| line.ends_with("is the site's own")).count() >= 4 && wanted.len() > 100, "{wanted:#?}");
    let node = Node::ready();
    node.run(&["check", "--accept-host-keys"]).expect(0);
    for (step, victim) in PLACES {
        let mut tries = 0;
        let mut engine = loop {
            let (mut engine, said) = spawn(&node);
            if strike(&node, &mut engine, step, victim) {
                break engine;
            }
            let (code, said) = (engine.wait().unwrap().code(), end_of(&said));
            tries += 1;
            match code {
                // The import address is wanted before.
                Some(4) => finish_question(&node),
                // A check could not tell while the machine was busy: whoever sees that runs again.
                Some(3) if said.contains("in time") => {}
                _ => panic!("before {step}, {code:?}: {said}"),
            }
            assert!(tries < 5, "{step} was not reached: {said}");
        };
        engine.wait().unwrap();
        if step == "obs-terraform/apply" {
            // Somebody finishes it by hand, with the commands that the guides have; what still runs is waited for.
            let by_hand = "while ! flock -n ~/.local/state/mosip-setup/sites/lab-0001/runner.lock true; do sleep 0.5; done\n\
                 cd ~/automating-mosip-deployment/terraform/obs_deployment && terraform apply -input=false -auto-approve -var-file=terraform.tfvars";
            node.lab.sh(by_hand).expect(0);
        }
    }
    finish(&node);
    let ended = end_state(&node);
    let other = |these: &[String], those: &[String]| these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!((other(&ended, &wanted), other(&wanted, &ended)), Default::default(), "what is there only now, and only undisturbed");
    let events = events(&node);
    let state: State = fold(&events).unwrap();
    let logs = node.lab.sh(&format!("find {STATE}/runs -name output.log")).expect(0).out;
    for phase in &state.plan.phases {
        for (reference, _) in state.steps_of(phase) {
            let outcomes: Vec<&Outcome> = events
                .iter()
                .filter_map(|event| match &event.event {
                    Event::StepFinished { step, outcome, .. } if *step == reference => Some(outcome),
                    _ => None,
                })
                .collect();
            let victim = PLACES.iter().find(|(step, _)| *step == reference.to_string()).map(|(_, victim)| *victim);
            let interrupted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Interrupted { .. })).count();
            // An engine may die when a step is on record and nobody runs it yet: that attempt left no log, for it was never carried out.
            let carried_out = logs.lines().filter(|log| log.contains(&format!("/steps/{}/", reference.folder()))).count();
            match victim {
                Some(Victim::Runner | Victim::Both) => assert_eq!(interrupted, 1, "{reference}: {outcomes:?}"),
                Some(Victim::Engine) => assert!(interrupted <= 1 && carried_out <= 1, "{reference}: {carried_out} times, {outcomes:?}"),
                None => assert!(interrupted == 0 && carried_out <= 1, "{reference}: {carried_out} times, {outcomes:?}"),
            }
            assert!(outcomes.iter().filter(|outcome| outcome.is_success()).count() <= 1, "{reference}: {outcomes:?}");
        }
    }
}

/// Answers what is open, so that the next phase can begin.
fn finish_question(node: &Node) {
    if let Some(question) = node.status()["questions"][0]["id"].as_str().map(str::to_owned) {
        let argv = node.argv(&["answer", &question]);
        let mut command = Command::new(&argv[0]);
        let mut child = command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), ADDRESS.as_bytes()).unwrap();
        // It goes on with the run; the next engine takes that over.
        let mut reached = false;
        for _ in 0..200 {
            reached = node.status()["questions"].as_array().unwrap().is_empty();
            if reached {
                break;
            }
        }
        assert!(reached, "the answer was not taken");
        child.kill().unwrap();
        child.wait().unwrap();
        node.lab.sh(&format!("kill -9 $(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' {STATE}/site.lock)"));
    }
}
