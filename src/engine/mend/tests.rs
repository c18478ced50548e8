//! Fixes: what is run, what is passed on, what is written down.

use std::sync::Mutex;

use super::*;
use crate::engine::checks::tests::{machine_checks, plan};
use crate::engine::ports::{BoxFuture, ProbeAnswer, ProbeQuestion};
use crate::engine::spawn::SystemClock;
use crate::install::fix::Fix;

/// Mends by saying something; keeps its orders.
#[derive(Default)]
struct Mender(Mutex<Vec<MendOrder>>);

impl Probe for Mender {
    fn ask(&self, _: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer> {
        Box::pin(std::future::ready(ProbeAnswer::Failed("asks nothing".into())))
    }

    fn mend(&self, order: MendOrder, mut heard: Heard) -> BoxFuture<'_, MendFacts> {
        let code = i32::from(order.script.contains("wrong"));
        self.0.lock().unwrap().push(order);
        Box::pin(async move {
            heard(b"half a ");
            tokio::task::yield_now().await;
            heard(b"line\nBearer abcdefghijklmnopqrstuvwxyz\nthe rest");
            MendFacts { exit: Some(code), output: "Bearer abcdefghijklmnopqrstuvwxyz".into(), problem: None }
        })
    }
}

fn fix(target: &str, script: &str, sudo: bool) -> PlannedFix {
    let fix = Fix { does: "Does it.".into(), script: script.into(), sudo };
    PlannedFix { check: "swap".parse().unwrap(), target: target.to_owned().try_into().unwrap(), fix }
}

#[tokio::test]
async fn each_script_is_written_down_before_and_after_and_its_lines_are_whole_and_clean() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("site/preflight.jsonl");
    let plan = plan(machine_checks(), &["vm1", "vm2"]);
    let consent = Consent { who: "op", log: &log, clock: &SystemClock };
    let (mender, said) = (Mender::default(), Mutex::new(Vec::new()));
    let heard = |target: &Target, line: &str| said.lock().unwrap().push(format!("{target} {line}"));
    let fixes = vec![fix("machine:vm1", "true", true), fix("machine:vm2", "wrong", true), fix("machine:vm9", "true", true)];
    let mended = mend(&plan, fixes, consent, &mender, &heard).await.unwrap();
    let ends: Vec<String> = mended.iter().map(|one| format!("{} {} {}", one.fix.target, one.is_good(), one.end())).collect();
    assert_eq!(
        ends,
        ["machine:vm1 true done", "machine:vm2 false ended with exit code 1", "machine:vm9 false there is no machine vm9 in the plan"]
    );
    let orders = mender.0.lock().unwrap();
    assert_eq!(orders.len(), 2, "a machine that is not there gets no script");
    assert_eq!(orders[0].login.as_ref().unwrap().known_hosts, plan.known_hosts, "the site's own known hosts");
    let said = said.into_inner().unwrap();
    for line in ["machine:vm1 half a line", "machine:vm1 Bearer (secret)", "machine:vm1 the rest"] {
        assert!(said.contains(&line.to_owned()), "{said:?}");
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("abcdefghijkl"), "{text}");
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |target: &str| entries.iter().filter(move |entry| entry.target.to_string() == target).collect::<Vec<_>>();
    let kinds: Vec<&str> = of("machine:vm2").iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["fix_started", "fix_ended"]);
    let last = of("machine:vm2")[1].clone();
    assert_eq!((last.who.as_str(), last.script.as_str(), last.exit, last.sudo), ("op", "wrong", Some(1), true));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site"), "a file").unwrap();
    let log = folder.path().join("site/preflight.jsonl");
    let consent = Consent { who: "op", log: &log, clock: &SystemClock };
    let mender = Mender::default();
    let plan = plan(machine_checks(), &["vm1"]);
    let error = mend(&plan, vec![fix("machine:vm1", "true", true)], consent, &mender, &|_, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("nothing is run that cannot be recorded"), "{error}");
    assert!(mender.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_local_script_reads_nothing_stops_at_the_first_failure_and_says_all_on_one_stream() {
    let go = async |script: &str| {
        let (sender, said) = std::sync::mpsc::channel::<Vec<u8>>();
        let order = MendOrder { login: None, script: script.into(), sudo: false };
        let facts = run(22, order, Box::new(move |piece| drop(sender.send(piece.to_vec())))).await;
        (facts, String::from_utf8(said.iter().flatten().collect()).unwrap())
    };
    let (facts, said) = go("cat; echo it\\'s; echo wrong >&2; false; echo never").await;
    assert_eq!((facts.exit, facts.output.as_str(), said.as_str()), (Some(1), "it's\nwrong\n", "it's\nwrong\n"));
    let (facts, _) = go("echo \"$DEBIAN_FRONTEND\"").await;
    assert_eq!((facts.exit, facts.output.as_str()), (Some(0), "noninteractive\n"));
}
