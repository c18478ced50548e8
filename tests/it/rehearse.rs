//! The whole program on a rehearsal: the real binary, its exit codes, and what it says and leaves.

use std::fs;
use std::process::Stdio;

use base64::Engine as _;
use serde_json::Value;

use crate::stage::Stage;
use crate::support::{Done, PROGRAM, files_below};

const ADDRESS: &str = "https://rancher.sandbox.example.org/v3/import/canary7f3a9c2e5b8d1f4a6c9e2b5d8f1a4c7e_c-m-canary01.yaml";

#[test]
fn a_headless_rehearsal_ends_complete_and_stays_in_its_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::new();
    let done = stage.rehearse(&[]).expect(0);
    assert!(done.err.contains("REHEARSAL: nothing outside the scratch folder is touched"), "{}", done.err);
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["rehearsal"].as_bool()), (Some("done"), Some(true)));
    assert!(stage.phases().iter().all(|phase| phase.ends_with("=done")), "{:?}", stage.phases());
    assert!(stage.run(&["status"]).expect(0).out.starts_with("REHEARSAL"));
    // Nothing outside; all below is for its owner alone.
    let outside: Vec<_> = ["home", "tmp", "runtime"].iter().flat_map(|folder| files_below(&stage.place.path(folder), "")).collect();
    assert!(outside.is_empty(), "{outside:?}");
    for path in files_below(&stage.site(), "") {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    for path in [stage.state_dir(), stage.site(), stage.runs().pop().unwrap()] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    // What is done stays done.
    let before = stage.events().len();
    let again = stage.run(&["run", "--yes"]).expect(0);
    assert!(!again.out.contains("start    "), "{}", again.out);
    assert!(stage.events().len() > before, "the engine leaves its trace");
}

#[test]
fn faults_of_the_preflight_stop_before_anything_runs() {
    for (fault, check, word) in [
        ("host-down", "machine.login on machine:vm3", "no route to host"),
        ("swap-on", "machine.swap on machine:vm3", "/swap.img"),
        ("dns-wrong", "dns.roots on name:api-internal.sandbox.example.org", "192.0.2.99"),
        ("cert-expired", "certificate.nginx on local", "expired"),
        ("host-key-changed", "machine.login on machine:vm3", "recorded is SHA256:"),
    ] {
        let stage = Stage::new();
        let done = stage.rehearse(&["--fault", fault]).expect(3);
        assert!(done.out.contains(check) && done.out.contains(word), "{fault}:\n{}", done.out);
        assert!(done.out.contains("  do: "), "a finding says what to do:\n{}", done.out);
        assert!(!stage.site().join("runs").exists(), "nothing has run");
        // The command that it names shows the same.
        let command = done.err.lines().find_map(|line| line.strip_prefix("look again: mosip-setup ")).expect("what to do next");
        let words: Vec<&str> = command.split(' ').collect();
        let again = stage.place.run(&words).expect(3);
        assert!(again.out.contains(check), "{command}:\n{}", again.out);
    }
}

#[test]
fn a_playbook_that_fails_once_is_retried_and_the_question_answered_from_any_shell() {
    let stage = Stage::new();
    let failed = stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    assert!(failed.out.contains("FAILED   wireguard/playbook"), "{}", failed.out);
    assert!(failed.out.contains("TLS handshake timeout"), "the line that matters: {}", failed.out);
    let status = stage.status();
    assert_eq!(status["state"], "failed");
    assert!(stage.phases().contains(&"wireguard=failed".to_owned()));
    let shown = stage.run(&["status"]).expect(0).out;
    let parts = [
        "TLS handshake timeout",
        "likely: ",
        "do: ",
        "known as: ",
        "by hand: cd ",
        "ansible-playbook -i inventory",
        "mosip-setup retry wireguard",
    ];
    assert!(parts.iter().all(|part| shown.contains(part)), "what the panel says: {shown}");
    let logs = stage.run(&["logs", "wireguard/playbook"]).expect(0);
    assert!(logs.out.contains("PLAY RECAP") && logs.out.contains("TASK ["), "{}", logs.out);
    // It goes on with all that was selected, up to the question: nobody is there to answer.
    let waiting = stage.run(&["retry"]).expect(4);
    assert!(stage.phases().contains(&"wireguard=done".to_owned()));
    assert_eq!(stage.begun("wireguard/upgrade"), 1, "what succeeded is not run again");
    assert!(waiting.out.contains("QUESTION rancher-import/address#1"), "{}", waiting.out);
    let status = stage.status();
    assert_eq!(status["state"], "waiting");
    assert_eq!(status["questions"][0]["secret"], true);
    let question = status["questions"][0]["id"].as_str().unwrap();
    let refused = stage.run(&["answer", question, ADDRESS]).expect(2);
    assert!(refused.err.contains("a secret does not stand in a command line"), "{}", refused.err);
    let refused = stage.run_with(&["answer", question], "nonsense\n").expect(2);
    assert!(refused.err.contains("/v3/import") || refused.err.contains("import page"), "{}", refused.err);
    let refused = stage.run(&["answer", "rancher-import/other#1", "yes"]).expect(2);
    assert!(refused.err.contains("open: rancher-import/address#1"), "{}", refused.err);
    stage.run_with(&["answer", question], &format!("{ADDRESS}\n")).expect(0);
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!(stage.status()["state"], "done");
    assert_eq!(stage.begun("wireguard/playbook"), 2);
}

#[test]
fn an_apply_that_fails_once_is_planned_again_and_the_run_ends() {
    let stage = Stage::new();
    let failed = stage.rehearse(&["--fault", "apply-fails-once"]).expect(1);
    let first = failed.out.lines().find(|line| line.contains("FAILED")).unwrap();
    assert!(failed.out.contains("context deadline exceeded"), "{}", failed.out);
    let shown = stage.run(&["status"]).expect(0).out;
    assert!(shown.contains("cluster: keycloak: ") && shown.contains("pull rate limit") && shown.contains("upstream: https://"), "{shown}");
    let phase = first.split_once("FAILED   ").unwrap().1.split_once('/').unwrap().0.to_owned();
    stage.run(&["retry", &phase]).expect(0);
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!(stage.status()["state"], "done");
    assert_eq!(stage.begun(&format!("{phase}/apply")), 2);
    assert!(!files_below(&stage.scratch(), ".mosip-setup.tfplan").iter().any(|path| path.exists()), "plan files are removed");
}

#[test]
fn a_skip_shows_what_it_breaks_and_holds_it_back_until_that_is_skipped_too() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let refused = stage.run(&["skip", "prepare", "--reason", "why not"]).expect(2);
    assert!(refused.err.contains("'prepare' cannot be skipped"), "{}", refused.err);
    stage.run(&["skip", "wireguard"]).expect(2);
    let done = stage.run(&["skip", "wireguard", "--reason", "VPN of our own"]).expect(0);
    assert!(done.out.contains("No VPN for administrators"), "{}", done.out);
    let done = stage.run(&["skip", "obs-cluster", "--reason", "no Rancher"]).expect(0);
    assert!(done.out.contains("held back unless skipped too: obs-terraform, rancher-import"), "{}", done.out);
    let blocked = stage.run(&["run", "--yes"]).expect(1);
    assert!(blocked.out.contains("obs-terraform: needs phase 'obs-cluster', which was skipped"), "{}", blocked.out);
    stage.run(&["run", "--yes", "--skip", "obs-terraform=no Rancher", "--skip", "rancher-import=no Rancher"]).expect(0);
    let status = stage.status();
    assert_eq!(status["state"], "done");
    let skipped = status["phases"].as_array().unwrap().iter().find(|phase| phase["id"] == "wireguard").unwrap();
    assert_eq!(skipped["state"], "skipped");
    assert!(skipped["reason"].as_str().unwrap().ends_with(": VPN of our own"), "{skipped}");
}

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    for (arguments, said) in [
        (&["run", "--yes", "--only", "istio"][..], "phase 'istio' needs phase 'cluster', which is not done"),
        (&["run", "--yes", "--from", "mosip-services"], "'mosip-services' needs phase 'mosip-infra'"),
        (&["run", "--yes", "--only", "nothing"], "there is no phase 'nothing'; the phases are tools, "),
        (&["run", "--yes", "--skip", "nothing=why"], "there is no phase 'nothing'"),
        (&["run", "--yes", "--skip", "prepare=why"], "'prepare' cannot be skipped"),
        (&["run", "--yes", "--skip", "wireguard"], "PHASE=REASON"),
        (&["run"], "mosip-setup plan --diff"),
        (&["retry"], "no run yet"),
        (&["status"], "no run yet"),
        (&["answer", "x/y#1", "yes"], "no run yet"),
        (&["logs", "tools"], "no run yet"),
        (&["install"], "unrecognized subcommand"),
        (&["run", "--speed", "3"], "unexpected argument"),
    ] {
        let refused = stage.run(arguments).expect(2);
        assert!(refused.err.contains(said), "{arguments:?}: {}", refused.err);
        assert_eq!(refused.out, "", "{arguments:?}");
    }
    assert!(!stage.site().join("runs").exists(), "nothing has run");
    for verb in [&["status"][..], &["run", "--yes"], &["plan"], &["check"], &["retry"]] {
        let refused = Done::of(stage.place.command(PROGRAM).args(verb).stdin(Stdio::null())).expect(2);
        assert!(refused.err.contains("--site FILE"), "{verb:?}: {}", refused.err);
    }
    let refused = stage.place.run(&["status", "--site", "/nowhere/site.toml"]).expect(2);
    assert!(refused.err.contains("/nowhere/site.toml"), "{}", refused.err);
}

#[test]
fn a_run_of_one_phase_leaves_the_others_alone() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.run(&["run", "--yes", "--new", "--to", "prepare"]).expect(0);
    assert_eq!(stage.runs().len(), 2, "the first run is kept");
    let phases = stage.phases();
    assert!(phases.contains(&"prepare=done".to_owned()) && phases.contains(&"wireguard=pending".to_owned()), "{phases:?}");
    assert_eq!(stage.status()["state"], "idle");
    stage.run(&["run", "--yes", "--only", "update-nodes"]).expect(0);
    assert_eq!((stage.begun("update-nodes/playbook"), stage.begun("wireguard/upgrade")), (1, 0));
}

#[test]
fn changed_answers_are_recorded_and_run_again_what_reads_them() {
    let stage = Stage::new();
    stage.rehearse(&[]).expect(0);
    let site = stage.scratch().join("site.toml");
    let text = fs::read_to_string(&site).unwrap();
    fs::write(&site, text.replace("domain = ", "wireguard_mtu = 1380\ndomain = ")).unwrap();
    let done = stage.run(&["run", "--yes", "--json"]).expect(0);
    let changed = done.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|event| event["kind"] == "plan_changed");
    assert_eq!(changed.expect("the new plan is on record")["changed"], serde_json::json!(["wireguard_mtu"]));
    assert_eq!(stage.status()["state"], "done");
    assert_eq!((stage.begun("wireguard/playbook"), stage.begun("cluster/playbook")), (2, 1));
}

#[test]
fn answers_changed_while_a_question_waits_are_taken_up_with_its_answer() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.run(&["retry"]);
    stage.run(&["run", "--yes"]).expect(4);
    let site = stage.scratch().join("site.toml");
    let text = fs::read_to_string(&site).unwrap();
    fs::write(&site, text.replace("domain = ", "kubelet_max_pods = 250\ndomain = ")).unwrap();
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    stage.run_with(&["answer", &question], ADDRESS).expect(0);
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!(stage.status()["state"], "done");
    let variables = stage.scratch().join("automating-mosip-deployment/ansible/infra_deployment/inventory/group_vars/all.yml");
    assert!(fs::read_to_string(variables).unwrap().contains("250"), "what is installed is what was answered");
    assert_eq!(stage.begun("cluster/playbook"), 1, "with the answers of now, so once");
}

#[test]
fn a_state_that_cannot_be_written_is_said() {
    let stage = Stage::new();
    let refused = stage.place.run(&["status", "--state-dir", "/proc/self/nothing"]).expect(6);
    assert!(refused.err.contains("/proc/self/nothing"), "{}", refused.err);
    let refused = stage.place.run(&["rehearse", "--headless", "--dir", "/proc/self/nothing"]).expect(6);
    assert!(refused.err.contains("--dir"), "{}", refused.err);
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.retire();
    // A damaged middle is refused with its line, and left as it is.
    let journal = stage.runs().pop().unwrap().join("journal.jsonl");
    let damaged = fs::read_to_string(&journal).unwrap().replacen("\n{\"seq\":4,", "\n{\"seq\":4;", 1);
    fs::write(&journal, &damaged).unwrap();
    for verb in [&["run", "--yes"][..], &["status"], &["retry"]] {
        let refused = stage.run(verb).expect(6);
        assert!(refused.err.contains("line 5 is damaged") && refused.err.contains("--new"), "{}", refused.err);
    }
    assert_eq!(fs::read_to_string(&journal).unwrap(), damaged);
    stage.run(&["run", "--yes", "--new", "--only", "tools"]).expect(0);
}

#[test]
fn a_torn_last_line_is_cut_and_the_run_goes_on() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.retire();
    let journal = stage.runs().pop().unwrap().join("journal.jsonl");
    let text = fs::read(&journal).unwrap();
    fs::write(&journal, &text[..text.len() - 7]).unwrap();
    stage.run(&["status"]).expect(0);
    stage.run(&["retry"]).expect(4);
    let events = stage.events();
    assert!(events.iter().enumerate().all(|(number, event)| event.seq == number as u64));
}

/// Everything in which a secret may hide, in every form in which it may stand there.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(secret).unwrap();
    let url: String =
        secret.bytes().map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect();
    let mut forms = vec![secret.to_owned(), json.trim_matches('"').to_owned(), url.clone(), url.to_lowercase()];
    // Base64 of a text that has it somewhere: the inner characters at each of the three offsets.
    for before in 0..3 {
        let text = format!("{}{secret}", "x".repeat(before));
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
        let from = (before * 8).div_ceil(6);
        let to = text.len() * 8 / 6;
        forms.push(encoded[from..to].to_owned());
    }
    forms.into_iter().map(String::into_bytes).collect()
}

#[test]
fn no_secret_is_anywhere_but_where_it_belongs() {
    const PASSWORD: &str = "Canary+9/bootstrap %word=\"é";
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    // Stage it without the fault, with a password of ours.
    fs::write(
        stage.state_dir().join("rehearsal.json"),
        serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] }).to_string(),
    )
    .unwrap();
    fs::write(stage.scratch().join("home/secrets/rancher_bootstrap_password"), PASSWORD).unwrap();
    // A real step that prints it in all forms, the first of them in two pieces and on both streams.
    let base64 = base64::engine::general_purpose::STANDARD.encode(PASSWORD);
    let secret = stage.scratch().join("home/secrets/rancher_bootstrap_password");
    stage.place.program(
        "git",
        &format!(
            "#!/bin/bash\ncase \" $* \" in *\" clone --no-hardlinks \"*) p=$(cat {})\nprintf %s \"${{p:0:9}}\"; printf '%s\\n' \"${{p:9}}\"; echo \"key=$p;\" >&2; echo {base64}\n\
             printf 'https://x/?q=%s\\n' Canary%2B9%2Fbootstrap%20%25word%3D%22%C3%A9\nprintf '{{\"p\":\"Canary+9/bootstrap %%word=\\\\\"é\"}}\\n'; echo \"Cluster address: {ADDRESS}\" ;;\nesac\nexec /usr/bin/git \"$@\"\n",
            secret.display()
        ),
    );
    let mut said = vec![stage.run(&["check", "--json"]), stage.run(&["plan", "--diff"]), stage.run(&["plan", "--json"])];
    said.push(stage.run(&["run", "--yes"]).expect(4));
    let log = stage.run(&["logs", "tools/checkout"]).expect(0);
    assert!(log.out.matches("(secret)").count() >= 5, "the canaries came by: {}", log.out);
    said.push(log);
    said.push(stage.run_with(&["answer", "rancher-import/address#1"], ADDRESS).expect(0));
    said.push(stage.run(&["run", "--yes", "--json"]).expect(0));
    said.push(stage.run(&["status", "--json"]));
    said.push(stage.run(&["status"]));
    said.push(stage.run(&["logs", "cluster"]));
    said.push(stage.run(&["plan", "--diff"]));
    assert_eq!(stage.status()["state"], "done");
    let belongs = [
        "home/secrets/rancher_bootstrap_password",
        "automating-mosip-deployment/terraform/obs_deployment/terraform.tfvars",
        "state/sites/rehearsal-0000/answers/rancher_import_url",
        "automating-mosip-deployment/ansible/infra_deployment/inventory/group_vars/all.yml",
    ];
    let token = ADDRESS.rsplit('/').next().unwrap();
    for form in forms(PASSWORD).iter().chain(&forms(token)).chain(&forms(ADDRESS)) {
        let has = |bytes: &[u8]| bytes.windows(form.len()).any(|window| window == form.as_slice());
        let shown = String::from_utf8_lossy(form);
        for done in &said {
            assert!(!has(done.out.as_bytes()) && !has(done.err.as_bytes()), "{shown} was printed:\n{}\n{}", done.out, done.err);
        }
        for path in files_below(&stage.scratch(), "") {
            let relative = path.strip_prefix(stage.scratch()).unwrap().to_str().unwrap().to_owned();
            if !belongs.contains(&relative.as_str()) {
                assert!(!has(&fs::read(&path).unwrap()), "{shown} is in {relative}");
            }
        }
    }
    // And it is there, where it belongs.
    for (path, secret) in belongs.iter().zip([PASSWORD, "Canary+9", ADDRESS, ADDRESS]) {
        assert!(fs::read_to_string(stage.scratch().join(path)).unwrap().contains(secret), "{path}");
    }
}

#[test]
fn a_secret_too_short_to_be_kept_out_of_logs_is_refused() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    fs::write(stage.scratch().join("home/secrets/rancher_bootstrap_password"), "abc\n").unwrap();
    let refused = stage.run(&["run", "--yes"]).expect(2);
    assert!(refused.err.contains("rancher_bootstrap_password") && !refused.err.contains("abc"), "{}", refused.err);
    fs::remove_file(stage.scratch().join("home/secrets/rancher_bootstrap_password")).unwrap();
    let refused = stage.run(&["run", "--yes"]).expect(2);
    assert!(refused.err.contains("secrets/rancher_bootstrap_password"), "{}", refused.err);
}

#[test]
fn output_into_a_closed_pipe_does_not_end_what_runs() {
    let stage = Stage::new();
    let script = format!(
        "{PROGRAM} rehearse --headless --speed 5000 --dir '{}' | head -n 1; echo \"${{PIPESTATUS[0]}}\"",
        stage.scratch().display()
    );
    let done = Done::of(stage.place.command("bash").args(["-c", &script]).stdin(Stdio::null())).expect(0);
    let code: i32 = done.out.lines().last().unwrap().parse().unwrap();
    assert!([0, 6, 141].contains(&code), "{}", done.out);
    assert!(!done.err.contains("panicked"), "{}", done.err);
    // Whatever it came to, the next command goes on from there.
    let code = stage.run(&["run", "--yes"]).code;
    assert!([0, 4].contains(&code), "{code}");
}
