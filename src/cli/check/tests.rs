//! The command on recorded facts.

use super::*;
use crate::engine::checks::tests::{all_machines, facts, machine_checks, plan};

#[tokio::test]
async fn the_command_prints_failures_first_and_keeps_its_json() {
    let folder = tempfile::tempdir().unwrap();
    let ignores = folder.path().join("ignores.toml");
    let plan = plan(machine_checks(), &["vm1"]);
    let probe = all_machines(facts("ubuntu-22.04"));
    let go = async |args: &CheckArgs, json: bool| {
        let mut out = Vec::new();
        let place = CheckPlace { plan: &plan, ignores: &ignores, done: BTreeSet::new(), begun: BTreeSet::new(), json };
        let code = run(args, &place, &probe, &mut out).await;
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = go(&CheckArgs::default(), false).await;
    assert_eq!(code.unwrap(), 3);
    assert!(text.starts_with("fail     size on machine:vm1\n    seen      61 GiB of disk instead of 128\n"), "{text}");
    assert!(text.ends_with("11 pass, 0 warn, 4 fail, 0 skipped, 0 unknown: 4 findings stand in the way.\n"), "{text}");
    let ignore = |id: &str| (id.parse().unwrap(), Target::Machine("vm1".parse().unwrap()), "a test".to_owned());
    let args = CheckArgs { ignore: ["size", "swap", "lock", "reboot"].map(ignore).to_vec(), ..CheckArgs::default() };
    let (code, text) = go(&args, true).await;
    assert_eq!(code.unwrap(), 0);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["summary"], serde_json::json!({"pass": 11, "warn": 0, "fail": 4, "skipped": 0, "unknown": 0}));
    let keys: Vec<&String> = value["findings"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["check", "expected", "guards", "ignored", "level", "observed", "remedy", "target", "verdict"]);
    assert_eq!(value["findings"][5]["ignored"], "a test");
    assert_eq!(value["findings"][5]["target"], "machine:vm1");
    let (code, _) = go(&CheckArgs { only: vec!["nothing".parse().unwrap()], ..CheckArgs::default() }, false).await;
    assert_eq!(code.unwrap_err().code(), 2);
    let (code, text) = go(&CheckArgs { only: vec!["arch".parse().unwrap()], ..CheckArgs::default() }, false).await;
    assert_eq!((code.unwrap(), text.as_str()), (0, "1 pass, 0 warn, 0 fail, 0 skipped, 0 unknown: nothing stands in the way.\n"));
}
