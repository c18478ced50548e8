//! From any shell: a step run again, what a skip holds back, a shell where a step works, and what a changed answer costs.

use std::fs;

use mosip_setup::run::event::{Decision, Event};

use crate::stage::Stage;

#[test]
fn a_step_is_retried_from_any_shell() {
    let stage = Stage::new();
    stage.rehearse(&[]).expect(0);
    let again = stage.run(&["retry", "wireguard/peer-file"]).expect(0);
    assert!(again.out.contains("retry    wireguard/peer-file by "), "{}", again.out);
    assert_eq!((stage.begun("wireguard/peer-file"), stage.begun("wireguard/playbook")), (2, 1));
    for (part, said) in [
        ("wireguard/nothing", "no step 'nothing'; its steps are upgrade, playbook, peer-file"),
        ("nothing", "no phase 'nothing'"),
        ("nothing/a", "no phase 'nothing'"),
    ] {
        let refused = stage.run(&["retry", part]).expect(2);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
    let refused = stage.run(&["retry", "update-nodes", "--failed-hosts"]).expect(2);
    assert!(refused.err.contains("failed on hosts that it can be limited to"), "{}", refused.err);
}

#[test]
fn what_a_skip_holds_back_is_no_failed_preflight() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.run(&["skip", "obs-cluster", "--reason", "not wanted", "--yes"]).expect(0);
    let held = stage.run(&["run", "--yes"]).expect(1);
    assert!(held.out.contains("BLOCKED  obs-terraform: needs phase 'obs-cluster', which was skipped"), "{}", held.out);
    // A check that does not pass is one.
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
}

#[test]
fn a_shell_opens_where_the_step_works_and_that_is_on_record() {
    let mut stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let shell = "#!/bin/sh\n{ pwd; env; } >\"$HOME\"/seen\n";
    stage.place.program("own-shell", shell);
    let path = stage.place.path("bin/own-shell").display().to_string();
    stage.place.set("SHELL", &path);
    let opened = stage.run(&["shell", "wireguard"]).expect(0);
    assert!(opened.out.contains("shell of step wireguard/playbook") && opened.out.contains("by hand  ansible-playbook"), "{}", opened.out);
    let seen = fs::read_to_string(stage.place.home().join("seen")).unwrap();
    let first = seen.lines().next().unwrap();
    assert!(first.ends_with("automating-mosip-deployment/ansible/wireguard"), "{first}");
    for wanted in ["KUBECONFIG=", "ANSIBLE_HOST_KEY_CHECKING=True", "ANSIBLE_SSH_ARGS=", "MOSIP_SETUP_SHELL=wireguard/playbook"] {
        assert!(seen.lines().any(|line| line.starts_with(wanted)), "{wanted}: {seen}");
    }
    let decided = stage.events().into_iter().find_map(|event| match event.event {
        Event::OperatorDecided { decision: Decision::Shell { step, secrets }, by } => Some((step.to_string(), secrets, by)),
        _ => None,
    });
    let (step, secrets, by) = decided.expect("who opened it is on record");
    assert!(step == "wireguard/playbook" && !secrets && !by.is_empty());
    assert_eq!(stage.status()["state"], "failed", "the run is as it was");
    // With secrets only after a question, for which there must be somebody.
    let refused = stage.run(&["shell", "wireguard", "--with-secrets"]).expect(130);
    assert!(refused.err.contains("no shell was opened"), "{}", refused.err);
    assert_eq!(stage.begun("wireguard/playbook"), 1);
}

#[test]
fn what_a_changed_answer_costs_is_said_and_agreed_to_before_anything_runs_again() {
    let stage = Stage::new();
    stage.rehearse(&[]).expect(0);
    let site = stage.scratch().join("site.toml");
    let before = fs::read_to_string(&site).unwrap();
    let with = |line: &str| fs::write(&site, before.replacen("\ndomain", &format!("\n{line}\ndomain"), 1)).unwrap();
    with("rke2_version = \"v1.28.9+rke2r1\"");
    let checked = stage.run(&["site", "check"]).expect(0);
    assert!(checked.out.contains("RKE2 was settled when phase 'obs-cluster' began"), "{}", checked.out);
    let begun = stage.events().iter().filter(|event| matches!(event.event, Event::StepStarted { .. })).count();
    let asked = stage.run(&["run", "--yes"]).expect(4);
    assert!(asked.out.contains("Phase 'cluster' will run again; changed since it ran: rke2_version"), "{}", asked.out);
    assert!(asked.out.contains("Nodes that stand keep their version"), "{}", asked.out);
    let now = || stage.events().iter().filter(|event| matches!(event.event, Event::StepStarted { .. })).count();
    assert_eq!(now(), begun, "nothing runs before it is agreed to");
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    // No, and the old value: as if nothing had been.
    stage.run(&["answer", &question, "no"]);
    fs::write(&site, &before).unwrap();
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!((now(), stage.status()["state"].as_str()), (begun, Some("done")));
    // Yes.
    with("rke2_version = \"v1.28.9+rke2r1\"");
    stage.run(&["run", "--yes"]).expect(4);
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    stage.run(&["answer", &question, "yes"]);
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!((stage.begun("cluster/playbook"), stage.begun("obs-cluster/playbook"), stage.begun("istio/playbook")), (2, 2, 1));
    let accepted = stage.events().into_iter().any(
        |event| matches!(event.event, Event::OperatorDecided { decision: Decision::Accept { fields }, .. } if fields == ["rke2_version"]),
    );
    assert!(accepted, "who agreed is on record");
}

#[test]
fn the_import_address_answered_after_the_observation_cluster_stands_makes_nothing_else_stale() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.run(&["retry"]).expect(4);
    let before = stage.phases();
    assert!(before.contains(&"obs-terraform=done".to_owned()), "{before:?}");
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    let address = "https://rancher.sandbox.example.org/v3/import/abcdefghijkl_c-m-abcdefgh.yaml";
    stage.run_with(&["answer", &question], address).expect(0);
    stage.run(&["run", "--yes"]).expect(0);
    let stale = stage.phases().into_iter().filter(|phase| phase.ends_with("=stale"));
    assert_eq!(stale.collect::<Vec<_>>(), [""; 0]);
    assert_eq!((stage.begun("obs-cluster/playbook"), stage.begun("obs-terraform/apply"), stage.begun("prepare/files")), (1, 1, 1));
}
