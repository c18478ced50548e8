//! Answers of `kubectl get pods,persistentvolumeclaims,events -A -o json` in the shapes that real failures have: written by hand from
//! what clusters print, not taken from a live one.

use super::*;
use crate::run::diagnose::{Catalogue, SHIPPED};
use std::sync::mpsc::channel;

fn fixture(name: &str) -> Cluster {
    let path = format!("{}/tests/fixtures/kubectl/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let list = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    read(&list, "2026-03-02T09:30:00Z".parse().unwrap())
}

/// (reason, hard, the sentence)
fn cause(name: &str, module: &str) -> (String, bool, String) {
    let cluster = fixture(name);
    let cause = cluster.cause(module).unwrap_or_else(|| panic!("{name} has no cause: {cluster:?}"));
    (cluster.waiting.first().map(|pod| pod.reason.clone()).unwrap_or_default(), cause.hard, cause.text)
}

#[test]
fn every_kind_of_failure_is_told_with_its_evidence() {
    for (name, module, reason, hard, parts) in [
        (
            "image-limit",
            "regproc",
            "ImagePullBackOff",
            true,
            &["regproc: 3 of 7 pods wait for image docker.io/mosipid/registration-processor"][..],
        ),
        ("unschedulable", "idrepo", "Unschedulable", true, &["identity-5d9f-x finds no node", "6 Insufficient memory"]),
        ("volume-pending", "postgres", "Unschedulable", true, &["volume data-postgres-postgresql-0 is pending", "\"longhorn\" not found"]),
        ("crash-loop", "kernel", "CrashLoopBackOff", true, &["keeps starting again, 7 restarts", "exit code was 1"]),
        ("out-of-memory", "prereg", "OOMKilled", true, &["5 restarts", "memory limit"]),
        ("config-missing", "ida", "CreateContainerConfigError", true, &["configmap \"softhsm-ida-share\" not found"]),
        ("init-waits", "keymanager", "NotReady 0/1", false, &["config-server", "all services need the configuration"]),
        ("job-failed", "postgres", "Error", true, &["postgres-init-abcde has failed"]),
        ("evicted", "kafka", "Evicted", true, &["driven off its node", "ephemeral-storage"]),
    ] {
        let (found, is_hard, text) = cause(name, module);
        assert_eq!((found.as_str(), is_hard), (reason, hard), "{name}: {text}");
        for part in parts {
            assert!(text.contains(part), "{name}: {text} lacks {part}");
        }
    }
}

#[test]
fn the_warning_that_says_why_is_kept_and_known() {
    let cluster = fixture("image-limit");
    assert_eq!((cluster.pods, cluster.ready, cluster.namespaces.len()), (7, 4, 1));
    let pod = &cluster.waiting[0];
    assert!(pod.event.contains("toomanyrequests") && pod.age_seconds == 1800, "{pod:?}");
    let hits = Catalogue::read(SHIPPED).unwrap().diagnose([pod.event.as_str()].into_iter());
    assert_eq!(hits[0].id, "img-rate");
}

#[test]
fn a_healthy_cluster_has_nothing_to_tell() {
    let cluster = fixture("healthy");
    assert_eq!((cluster.pods, cluster.ready, cluster.waiting.len(), cluster.volumes.len()), (3, 3, 0, 0));
    assert_eq!(cluster.cause("kernel"), None);
}

#[test]
fn a_first_container_that_runs_is_counted() {
    let cluster = fixture("init-waits");
    assert!(cluster.waiting.iter().any(|pod| pod.name == "keymanager-1" && pod.reason == "Init:1/2"), "{cluster:?}");
}

#[test]
fn an_api_that_is_away_a_program_that_fails_and_one_that_hangs_are_errors_and_no_more() {
    let (_keep, stop) = channel();
    let look = |script: &str, kubeconfig: &str| Look {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        kubeconfig: kubeconfig.to_owned(),
    };
    assert!(look("echo '{\"items\":[]}'", "").look(&stop).is_ok());
    assert!(look("echo '{\"items\":[]}'", "/nowhere/kubeconfig").look(&stop).is_err(), "there is no cluster yet");
    assert!(look("echo refused >&2; exit 1", "").look(&stop).is_err());
    assert!(look("echo no json", "").look(&stop).is_err());
    let (ended, stop) = channel();
    drop(ended);
    assert_eq!(look("sleep 600", "").look(&stop).unwrap_err().kind(), io::ErrorKind::TimedOut, "whoever stops it does not wait");
}

proptest::proptest! {
    #[test]
    fn any_answer_is_survived(text in "[\\[\\]{}\":,a-z0-9/]{0,200}", keys in proptest::collection::vec("(kind|status|metadata|phase|containerStatuses|state|items|Pod|Event)", 0..6)) {
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({ "items": keys.iter().map(|key| serde_json::json!({ "kind": "Pod", key: keys, "status": { key: [ { key: text } ] } })).collect::<Vec<_>>() }));
        let _ = read(&value, Timestamp::UNIX_EPOCH);
    }
}
