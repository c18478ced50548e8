//! The command on recorded facts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::checks::tests::{Recorded, all_machines, facts, machine_checks, plan, recorded};
use crate::engine::ports::{BoxFuture, Heard, ProbeAnswer, ProbeQuestion};
use crate::engine::spawn::SystemClock;
use crate::install::facts::{MachineAnswer, MendFacts, TcpAnswer};
use crate::install::fix::Fix;
use crate::install::inquiry::MendOrder;

fn place<'a>(plan: &'a Plan, folder: &'a Folder, json: bool, ask: &'a (dyn Fn(&str) -> Option<bool> + Sync)) -> CheckPlace<'a> {
    let (ignores, log) = (&folder.ignores, &folder.log);
    let (done, begun) = (BTreeSet::new(), BTreeSet::new());
    CheckPlace { plan, ignores, log, who: "op", clock: &SystemClock, done, begun, json, ask }
}

/// A site's folder.
struct Folder {
    _root: tempfile::TempDir,
    ignores: std::path::PathBuf,
    log: std::path::PathBuf,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { ignores: root.path().join("ignores.toml"), log: root.path().join("preflight.jsonl"), _root: root }
    }
}

fn nobody(_: &str) -> Option<bool> {
    None
}

/// What clap makes of nothing.
fn arguments() -> CheckArgs {
    CheckArgs { every: 1, ignore_for: ignores::USUAL.into(), ..CheckArgs::default() }
}

#[tokio::test]
async fn the_command_prints_failures_first_and_keeps_its_json() {
    let folder = Folder::new();
    let plan = plan(machine_checks(), &["vm1"]);
    let probe = all_machines(facts("ubuntu-22.04"));
    let go = async |args: &CheckArgs, json: bool| {
        let mut out = Vec::new();
        let code = run(args, &place(&plan, &folder, json, &nobody), &probe, &mut out).await;
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = go(&arguments(), false).await;
    assert_eq!(code.unwrap(), 3);
    assert!(text.starts_with("fail     size on machine:vm1\n    seen      61 GiB of disk instead of 128\n"), "{text}");
    assert!(text.ends_with("11 pass, 0 warn, 4 fail, 0 skipped, 0 unknown: 4 findings stand in the way.\n"), "{text}");
    let ignore = |id: &str| (id.parse().unwrap(), Target::Machine("vm1".parse().unwrap()), "a test".to_owned());
    let args = CheckArgs { ignore: ["size", "swap", "lock", "reboot"].map(ignore).to_vec(), ..arguments() };
    let (code, text) = go(&args, true).await;
    assert_eq!(code.unwrap(), 0);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["summary"], serde_json::json!({"pass": 11, "warn": 0, "fail": 4, "skipped": 0, "unknown": 0}));
    let keys: Vec<&String> = value["findings"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["check", "expected", "guards", "ignored", "level", "observed", "remedy", "target", "verdict"]);
    let ignored = value["findings"][5]["ignored"].as_str().unwrap();
    assert!(ignored.starts_with("a test, until 2") && ignored.ends_with(" UTC, op"), "{ignored}");
    assert!(value.get("fixes").is_none());
    assert_eq!(value["findings"][5]["target"], "machine:vm1");
    let (code, _) = go(&CheckArgs { only: vec!["nothing".parse().unwrap()], ..arguments() }, false).await;
    assert_eq!(code.unwrap_err().code(), 2);
    let (code, text) = go(&CheckArgs { only: vec!["arch".parse().unwrap()], ..arguments() }, false).await;
    assert_eq!((code.unwrap(), text.as_str()), (0, "1 pass, 0 warn, 0 fail, 0 skipped, 0 unknown: nothing stands in the way.\n"));
}

#[test]
fn what_is_alike_is_said_once_and_what_differs_for_each() {
    let plan = plan(machine_checks(), &["vm1"]);
    let finding = |name: &str, address: &str| Finding {
        check: "names".parse().unwrap(),
        target: Target::Name(name.into()),
        level: crate::install::check::Level::Fail,
        verdict: crate::install::check::Verdict::Fail,
        observed: "the name does not exist (NXDOMAIN)".into(),
        expected: format!("leads to {address}"),
        remedy: format!("Create the record: {name} A {address}. Ask the team that keeps the zone."),
        guards: Vec::new(),
        ignored: None,
        cause: None,
    };
    let mut out = Vec::new();
    lines::all(&[finding("a.b", "10.0.0.1"), finding("c.b", "10.0.0.2"), finding("d.b", "10.0.0.2")], &plan, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let wanted = "fail     names on name:a.b, name:c.b, name:d.b\n    seen      the name does not exist (NXDOMAIN)\n    \
                  expected  leads to 10.0.0.1; leads to 10.0.0.2\n    \
                  to do     Create the record: a.b A 10.0.0.1. Ask the team that keeps the zone. Create the record: c.b A 10.0.0.2. \
                  Create the record: d.b A 10.0.0.2.\n";
    assert!(text.starts_with(wanted), "{text}");
}

/// Machines with swap, which a script ends; counts the sessions.
struct Swapping {
    facts: Recorded,
    swap: std::sync::Arc<Mutex<BTreeSet<std::net::IpAddr>>>,
    sessions: std::sync::Arc<AtomicUsize>,
    mended: Mutex<Vec<MendOrder>>,
}

impl Swapping {
    fn on(machines: &[u8]) -> Self {
        Self::repaired(machines, &[])
    }

    fn repaired(machines: &[u8], repairs: &'static [(usize, u8)]) -> Self {
        let swap: BTreeSet<std::net::IpAddr> = machines.iter().map(|last| std::net::IpAddr::from([10, 77, 0, *last])).collect();
        let (swap, sessions) = (std::sync::Arc::new(Mutex::new(swap)), std::sync::Arc::new(AtomicUsize::new(0)));
        let (seen, counted) = (std::sync::Arc::clone(&swap), std::sync::Arc::clone(&sessions));
        let facts = recorded(move |question| {
            let ProbeQuestion::Machine { login, .. } = question else { return Some(ProbeAnswer::Tcp(TcpAnswer::Refused)) };
            let session = counted.fetch_add(1, Ordering::SeqCst) + 1;
            let mut facts = facts("ubuntu-24.04");
            let mut swap = seen.lock().unwrap();
            if swap.contains(&login.address) {
                facts.swap_active = Some(vec!["/swap.img (2047 MiB)".into()]);
            }
            // Somebody repairs it by hand after so many sessions.
            if let Some((_, last)) = repairs.iter().find(|(after, _)| *after == session) {
                swap.remove(&std::net::IpAddr::from([10, 77, 0, *last]));
            }
            Some(ProbeAnswer::Machine(MachineAnswer::Facts(Box::new(facts))))
        });
        Self { facts, swap, sessions, mended: Mutex::new(Vec::new()) }
    }
}

impl Probe for Swapping {
    fn ask(&self, question: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer> {
        self.facts.ask(question)
    }

    fn mend(&self, order: MendOrder, mut heard: Heard) -> BoxFuture<'_, MendFacts> {
        self.swap.lock().unwrap().remove(&order.login.as_ref().unwrap().address);
        self.mended.lock().unwrap().push(order);
        heard(b"swap is off\n");
        Box::pin(std::future::ready(MendFacts { exit: Some(0), output: "swap is off\n".into(), problem: None }))
    }
}

fn with_fix() -> Plan {
    let mut checks = machine_checks();
    let swap = checks.iter_mut().find(|check| check.id == *"swap").unwrap();
    swap.fix = Some(Fix { does: "Ends swap.".into(), script: "swapoff -a\n".into(), sudo: true });
    plan(checks, &["vm1", "vm2", "vm3"])
}

async fn go(args: CheckArgs, probe: &Swapping, folder: &Folder, answer: Option<bool>) -> (Result<u8, CheckError>, String) {
    let (plan, mut out) = (with_fix(), Vec::new());
    let ask = move |_: &str| answer;
    let code = run(&args, &place(&plan, folder, false, &ask), probe, &mut out).await;
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_fix_is_shown_asked_for_run_and_checked_again() {
    let (probe, folder) = (Swapping::on(&[41, 43]), Folder::new());
    let fix = || CheckArgs { fix: vec![("swap".parse().unwrap(), None)], ..arguments() };
    let (code, text) = go(fix(), &probe, &folder, None).await;
    assert!(matches!(code, Err(CheckError::Usage(reason)) if reason.contains("--consent")));
    assert!(text.contains("    swapoff -a\n") && text.contains("machine:vm1  in use: /swap.img"), "{text}");
    assert!(text.contains("machine:vm3") && !text.contains("machine:vm2"), "{text}");
    let (code, text) = go(fix(), &probe, &folder, Some(false)).await;
    assert!(code.unwrap() == 3 && text.contains("Nothing was run."), "{text}");
    assert!(probe.mended.lock().unwrap().is_empty() && !folder.log.exists(), "nobody has agreed");
    let one = CheckArgs { fix: vec![("swap".parse().unwrap(), Some("machine:vm3".to_owned().try_into().unwrap()))], ..arguments() };
    let (code, text) = go(one, &probe, &folder, Some(true)).await;
    assert_eq!(code.unwrap(), 3, "vm1 still has swap: {text}");
    assert!(text.contains("machine:vm3  swap is off\nmachine:vm3  swap: done\n"), "{text}");
    assert_eq!(probe.mended.lock().unwrap().len(), 1);
    let (code, text) = go(CheckArgs { consent: true, ..fix() }, &probe, &folder, None).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    assert!(text.ends_with("3 pass, 0 warn, 0 fail, 0 skipped, 0 unknown: nothing stands in the way.\n"), "{text}");
    assert_eq!(std::fs::read_to_string(&folder.log).unwrap().lines().count(), 4);
    let (code, text) = go(fix(), &probe, &folder, None).await;
    assert!(code.unwrap() == 0 && text.starts_with("There is nothing to put right"), "{text}");
    let none = CheckArgs { fix: vec![("size".parse().unwrap(), None)], ..arguments() };
    let (code, _) = go(none, &probe, &folder, None).await;
    assert!(matches!(code, Err(CheckError::Usage(reason)) if reason.ends_with("these have: swap")));
}

#[tokio::test]
async fn watching_prints_what_changes_and_nothing_else() {
    // Three sessions at first, two in each of two rounds, one in each of two more.
    let (probe, folder) = (Swapping::repaired(&[41, 43], &[(5, 43), (8, 41)]), Folder::new());
    let args = CheckArgs { watch: true, every: 0, ..arguments() };
    let (plan, mut out) = (with_fix(), Vec::new());
    let code = run(&args, &place(&plan, &folder, false, &nobody), &probe, &mut out).await;
    assert_eq!(code.unwrap(), 0);
    let text = String::from_utf8(out).unwrap();
    let (_, after) = text.split_once("Ctrl-C ends it.\n\n").expect("what is said before the rounds");
    assert_eq!(
        after,
        "pass     swap on machine:vm3 (was fail)\npass     swap on machine:vm1 (was fail)\n\
         45 pass, 0 warn, 0 fail, 0 skipped, 0 unknown: nothing stands in the way.\n"
    );
    assert_eq!(probe.sessions.load(Ordering::SeqCst), 3 + 2 + 2 + 1 + 1);
}

#[tokio::test]
async fn a_time_to_ignore_is_chosen_and_taken_back() {
    let (probe, folder) = (Swapping::on(&[41]), Folder::new());
    let vm1: Target = "machine:vm1".to_owned().try_into().unwrap();
    let ignore = |time: &str| CheckArgs {
        ignore: vec![("swap".parse().unwrap(), vm1.clone(), "why".into())],
        ignore_for: time.into(),
        ..arguments()
    };
    let (code, _) = go(ignore("1y"), &probe, &folder, None).await;
    assert!(matches!(code, Err(CheckError::Usage(reason)) if reason.contains("at most 90d")));
    assert_eq!(go(ignore("12h"), &probe, &folder, None).await.0.unwrap(), 0);
    // Another run, later: the time is over, and it counts again.
    let text = std::fs::read_to_string(&folder.ignores).unwrap();
    let until = text.lines().find(|line| line.starts_with("until")).unwrap();
    std::fs::write(&folder.ignores, text.replace(until, "until = \"2026-01-02T00:00:00Z\"")).unwrap();
    let (code, text) = go(arguments(), &probe, &folder, None).await;
    assert_eq!(code.unwrap(), 3);
    assert!(text.contains("ignored before (why, until 2026-01-02 00:00 UTC, op): that time is over"), "{text}");
    let again = || CheckArgs { count_again: vec![("swap".parse().unwrap(), vm1.clone())], ..arguments() };
    assert_eq!(go(again(), &probe, &folder, None).await.0.unwrap(), 3);
    assert!(matches!(go(again(), &probe, &folder, None).await.0, Err(CheckError::Usage(_))), "it was not ignored");
}
