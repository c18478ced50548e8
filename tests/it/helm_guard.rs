//! The `helm` that a guarded step's scripts find first: the runner with a stand-in for a cluster behind it.

use std::collections::BTreeMap;
use std::fs;

use mosip_setup::engine::attempt::{AttemptSpec, CommandSpec, Ended, Reading, read_exit};
use mosip_setup::install::helm::{HelmSpec, ReleaseRule};
use mosip_setup::install::profile::Terminal;
use mosip_setup::run::event::Outcome;

use crate::support::{PROGRAM, Place};

/// Recorders of `tests/fixtures/v3`, with a memory of their own, first on PATH.
struct Cluster {
    place: Place,
    attempts: u32,
}

impl Cluster {
    fn new() -> Self {
        let place = Place::new();
        fs::create_dir_all(place.path("state/fail")).unwrap();
        fs::create_dir_all(place.path("state/kubectl")).unwrap();
        Self { place, attempts: 0 }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.place.path(&format!("state/{name}")), text).unwrap();
    }

    fn run(&mut self, script: &str, helm: &HelmSpec) -> (Ended, String) {
        self.attempts += 1;
        let recorders = format!("{}/tests/fixtures/v3", env!("CARGO_MANIFEST_DIR"));
        let argv = ["bash", "-c", script].map(str::to_owned).to_vec();
        let env = BTreeMap::from([("V3_STATE".to_owned(), self.place.path("state").display().to_string())]);
        let spec = AttemptSpec {
            cluster: None,
            dir: self.place.path(&format!("attempt{}", self.attempts)),
            lock: self.place.path("runner.lock"),
            commands: vec![CommandSpec { argv, dir: None, env, reading: Reading::Plain, shown: None }],
            terminal: Terminal::Pipe,
            prompts: Vec::new(),
            helm: Some(helm.clone()),
            secrets: Vec::new(),
            remove: Vec::new(),
            known_issues: None,
        };
        let input = self.place.path("spec.json");
        fs::write(&input, serde_json::to_vec(&spec).unwrap()).unwrap();
        let mut command = self.place.command(PROGRAM);
        let path = format!("{recorders}:{}", std::env::var("PATH").unwrap());
        let status = command.arg("__attempt").env("PATH", path).stdin(fs::File::open(&input).unwrap()).status().unwrap();
        assert!(status.success());
        (read_exit(&spec.dir).unwrap(), read(&spec.dir.join("output.log")))
    }

    /// What reached the real one, without questions.
    fn calls(&self) -> Vec<String> {
        let text = read(&self.place.path("state/calls"));
        let asks = |line: &str| line.contains(" status ") || line.contains(" get ");
        text.lines().filter(|line| !asks(line)).filter_map(|line| line.split_once("] ")).map(|(_, words)| words.to_owned()).collect()
    }
}

fn read(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rule(id: &str) -> ReleaseRule {
    let (id, reason) = (id.to_owned(), "the image is gone".to_owned());
    ReleaseRule { id, add: Vec::new(), omit: false, keep: false, job: None, claims: false, reason }
}

const INSTALL: &str = "set -e; helm -n db install pg repo/pg --wait --set auth.password=hunter2; echo after";

#[test]
fn what_is_added_is_said_and_a_second_run_leaves_what_is_deployed() {
    let mut cluster = Cluster::new();
    let add = vec!["--set".to_owned(), "image.repository=elsewhere/pg".to_owned()];
    let helm = HelmSpec { timeout_minutes: Some(20), release: vec![ReleaseRule { add, ..rule("db/pg") }] };
    let (ended, log) = cluster.run(INSTALL, &helm);
    assert_eq!(ended.outcome, Outcome::Done, "{log}");
    assert!(log.contains("added --set image.repository=elsewhere/pg --timeout 20m (the image is gone)"), "{log}");
    let shown = log.lines().find(|line| line.starts_with("+ helm")).unwrap();
    assert_eq!(shown, "+ helm -n db install pg repo/pg --wait --set auth.password=*** --set image.repository=elsewhere/pg --timeout 20m");
    let wanted = ["-n db install pg repo/pg --wait --set auth.password=hunter2 --set image.repository=elsewhere/pg --timeout 20m"];
    assert_eq!(cluster.calls(), wanted);
    let (ended, log) = cluster.run(INSTALL, &helm);
    assert_eq!(ended.outcome, Outcome::Done, "{log}");
    assert!(log.contains("db/pg is deployed already") && log.contains("\nafter"), "{log}");
    assert_eq!(cluster.calls(), wanted, "nothing reached the cluster");
}

#[test]
fn a_failed_release_is_removed_before_the_next_try() {
    let mut cluster = Cluster::new();
    cluster.put("fail/db.pg", "no such image");
    let helm = HelmSpec { timeout_minutes: None, release: vec![ReleaseRule { claims: true, ..rule("db/pg") }] };
    let (ended, log) = cluster.run(INSTALL, &helm);
    assert!(matches!(ended.outcome, Outcome::Failed(_)) && !log.contains("\nafter"), "{log}");
    let (ended, log) = cluster.run(INSTALL, &helm);
    assert_eq!(ended.outcome, Outcome::Done, "{log}");
    assert!(log.contains("db/pg is removed first: it is 'failed': no such image"), "{log}");
    let calls = cluster.calls();
    assert_eq!(calls[1..3], ["-n db uninstall pg --wait", "-n db delete pvc -l app.kubernetes.io/instance=pg"]);
}

#[test]
fn a_release_that_only_took_long_is_left() {
    let mut cluster = Cluster::new();
    cluster.put("fail/db.pg", "timed out waiting for the condition");
    cluster.run(INSTALL, &HelmSpec::default());
    let item = |ready: u8| format!(r#"{{"items":[{{"spec":{{"replicas":1}},"status":{{"readyReplicas":{ready}}}}}]}}"#);
    cluster.put("kubectl/workloads", &item(1));
    let (ended, log) = cluster.run(INSTALL, &HelmSpec::default());
    assert_eq!(ended.outcome, Outcome::Done, "{log}");
    assert!(log.contains("is ready now; it stays"), "{log}");
    cluster.put("kubectl/workloads", &item(0));
    let (_, log) = cluster.run(INSTALL, &HelmSpec::default());
    assert!(log.contains("is removed first"), "{log}");
}

#[test]
fn what_loses_data_is_not_removed_once_it_is_deployed() {
    let mut cluster = Cluster::new();
    let script = "helm -n db delete init || true; set -e; helm -n db install init repo/init";
    let helm = HelmSpec { timeout_minutes: None, release: vec![ReleaseRule { keep: true, job: Some("init".into()), ..rule("db/init") }] };
    cluster.run(script, &helm);
    let (ended, log) = cluster.run(script, &helm);
    assert_eq!(ended.outcome, Outcome::Done, "{log}");
    assert!(log.contains("db/init is deployed and stays") && log.contains("db/init is deployed already"), "{log}");
    assert_eq!(cluster.calls(), ["-n db delete init", "-n db install init repo/init"], "the first delete found nothing");
    cluster.put("kubectl/job", r#"{"status":{"failed":1}}"#);
    cluster.run(script, &helm);
    assert_eq!(cluster.calls()[2..], ["-n db delete init", "-n db install init repo/init"], "its job failed: it was never in use");
}

#[test]
fn a_cluster_that_does_not_answer_is_no_missing_release() {
    let mut cluster = Cluster::new();
    let (ended, log) = cluster
        .run("helm() { command helm \"$@\"; }; mkdir $V3_STATE/releases/.db.pg -p; helm -n db install pg repo/pg", &HelmSpec::default());
    assert!(matches!(ended.outcome, Outcome::Failed(_)), "{log}");
    assert!(log.contains("nothing was done with db/pg"), "{log}");
}

#[test]
fn what_is_left_out_is_said() {
    let mut cluster = Cluster::new();
    let helm = HelmSpec { timeout_minutes: None, release: vec![ReleaseRule { omit: true, ..rule("db/pg") }] };
    let (ended, log) = cluster.run(INSTALL, &helm);
    assert_eq!(ended.outcome, Outcome::Done);
    assert!(log.contains("db/pg is left out: the image is gone") && log.contains("\nafter"), "{log}");
}
