//! What ends with exit code 0 and has not done its work is no success: real Ansible, and the shipped profile's own checks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mosip_setup::adapters::profiles::load;
use mosip_setup::engine::attempt::{CommandSpec, Reading};
use mosip_setup::install::check::CheckKind;
use mosip_setup::install::profile::StepKind;
use mosip_setup::run::event::Outcome;

use crate::runner::Attempt;
use crate::support::{Place, on_path, skip};

const INVENTORY: &str = "[all:vars]\nansible_connection=local\nansible_python_interpreter=/usr/bin/python3\n[nodes]\nvm1\n[empty]\n";

/// How a playbook ends that is run with these arguments.
fn outcome(playbook: &str, arguments: &[&str], empty_groups: bool) -> Outcome {
    let mut attempt = Attempt::new("");
    let (hosts, play) = (attempt.place.path("hosts.ini"), attempt.place.path("play.yml"));
    fs::write(&hosts, INVENTORY).unwrap();
    fs::write(&play, playbook).unwrap();
    let argv = ["/usr/bin/ansible-playbook", "-i"].into_iter().map(str::to_owned);
    let inventory = if arguments.contains(&"-i") { Vec::new() } else { vec![hosts.display().to_string()] };
    let rest = arguments.iter().filter(|word| **word != "-i").map(|word| (*word).to_owned());
    let env = [("ANSIBLE_NOCOLOR", "1"), ("ANSIBLE_RETRY_FILES_ENABLED", "0"), ("ANSIBLE_LOCALHOST_WARNING", "0")];
    attempt.spec.commands = vec![CommandSpec {
        argv: argv.chain(inventory).chain(rest).chain([play.display().to_string()]).collect(),
        dir: None,
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        reading: Reading::Playbook { tasks: 1, empty_groups },
        shown: None,
    }];
    attempt.run().outcome
}

fn play(hosts: &str, task: &str) -> String {
    format!("- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - name: work\n{task}")
}

#[test]
fn a_playbook_that_ends_well_and_did_nothing_is_no_success() {
    if !on_path("ansible-playbook") {
        skip!("ansible", "ansible is not installed")
    }
    let work = "      ansible.builtin.debug: { msg: done }\n";
    assert_eq!(outcome(&play("nodes", work), &[], false), Outcome::Done);
    let failed = |playbook: &str, arguments: &[&str], empty: bool| match outcome(playbook, arguments, empty) {
        Outcome::Failed(failure) => (failure.exit, failure.message),
        other => panic!("{arguments:?}: {other:?}"),
    };
    // Ansible itself says 0 to all of these but the last.
    let (exit, message) = failed(&play("nginx", work), &[], false);
    assert_eq!(exit, Some(0));
    assert!(message.contains("the inventory has no nginx"), "{message}");
    let (exit, message) = failed(&play("empty", work), &[], false);
    assert!(exit == Some(0) && message.contains("matched no hosts"), "{exit:?} {message}");
    let (exit, message) = failed(&play("empty", work), &[], true);
    assert!(exit == Some(0) && message.contains("recap is empty"), "a play may have nothing to do, a whole playbook not: {message}");
    let (exit, message) = failed(&play("nodes", work), &["-i", "/nowhere/hosts.ini"], false);
    assert!(exit == Some(0) && message.contains("no nodes"), "{exit:?} {message}");
    let (exit, _) = failed(&play("nodes", work), &["--limit", "vm9"], false);
    assert_eq!(exit, Some(1));
}

#[test]
fn an_import_that_fails_and_is_ignored_is_told() {
    if !on_path("ansible-playbook") {
        skip!("ansible", "ansible is not installed")
    }
    let ignored = play("nodes", "      ansible.builtin.command: \"false\"\n      ignore_errors: true\n");
    let Outcome::Warned { reason } = outcome(&ignored, &[], false) else { panic!("a failure that is ignored is no plain success") };
    assert!(reason.contains("1 failure(s) were ignored") && reason.contains("vm1: work"), "{reason}");
    let items = play(
        "nodes",
        "      ansible.builtin.command: \"test {{ item }} = a\"\n      loop: [b, c]\n      ignore_errors: true\n    - name: and then\n      ansible.builtin.command: \"false\"\n",
    );
    let Outcome::Failed(failure) = outcome(&items, &[], false) else { panic!("the last task failed") };
    assert_eq!(failure.lines.len(), 1, "items of a loop that is ignored as a whole are no failures: {:?}", failure.lines);
    assert!(failure.lines[0].starts_with("vm1: and then"), "{:?}", failure.lines);
}

/// What a check of the shipped profile finds on stdout, with a `kubectl` that answers so.
fn says(id: &str, kubectl: &str) -> (Option<i32>, String, bool) {
    let profile = load("turing-rke2").unwrap();
    let check = profile.checks.iter().find(|check| check.id.as_str() == id).unwrap_or_else(|| panic!("there is no check {id}"));
    let CheckKind::Command { argv, stdout_not, .. } = &check.kind else { panic!("{id} is no command") };
    let place = Place::new();
    fs::write(place.path("bin/kubectl"), kubectl).unwrap();
    fs::set_permissions(place.path("bin/kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
    let done = place.command(&argv[0]).args(&argv[1..]).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let bad = stdout_not.as_ref().is_some_and(|pattern| regex::Regex::new(pattern).unwrap().is_match(&text));
    (done.status.code(), text, bad)
}

#[test]
fn an_onboarder_that_is_complete_without_having_done_it_is_found() {
    let answering = |jobs: &str, log: &str| {
        format!("#!/bin/sh\ncase \"$*\" in *'get jobs'*) printf '{jobs}';; *logs*) cat <<'END'\n{log}\nEND\n;; *) exit 9;; esac\n")
    };
    let jobs = "job.batch/partner-onboarder\\n";
    let (code, text, bad) = says("mosip.onboarded", &answering(jobs, "assertions 41 executed, 0 failed\nall well"));
    assert!(code == Some(0) && !bad, "{text}");
    for log in
        ["AssertionError: expected 500 to be 200", "{\"errorCode\":\"KER-ATH-401\"}", "  3 failing", "Certificate dates are not valid"]
    {
        let (_, text, bad) = says("mosip.onboarded", &answering(jobs, log));
        assert!(bad && text.contains("job.batch/partner-onboarder: ") && text.contains(log.trim()), "{text}");
    }
    assert!(says("mosip.onboarded", &answering("", "")).2, "no job is no success either");
    assert_eq!(says("mosip.onboarded", "#!/bin/sh\nexit 1\n").0, Some(1), "a cluster that does not answer is no success");
}

#[test]
fn what_may_be_green_and_wrong_is_looked_at_after_the_phase_that_makes_it() {
    let profile = load("turing-rke2").unwrap();
    let steps = || profile.phases.iter().flat_map(|phase| &phase.steps);
    let verified: Vec<&str> = steps().flat_map(|step| &step.verify).map(|check| check.as_str()).collect();
    let asked: Vec<&str> = steps()
        .filter_map(|step| match &step.action {
            StepKind::Check(checks) => Some(checks),
            _ => None,
        })
        .flatten()
        .map(|check| check.as_str())
        .collect();
    // What the kit passes over in silence, or calls done before it is.
    for id in ["cluster.nodes", "cluster.count", "istio.rollout", "infra.storage", "rancher.rollout", "wireguard.peer"] {
        assert!(verified.contains(&id), "{id} follows no step");
    }
    for id in ["mosip.ready", "mosip.onboarded"] {
        assert!(asked.contains(&id), "{id} is asked by no step");
    }
}
