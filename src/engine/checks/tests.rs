//! Checks on recorded facts: which finding each system and each fault gives, and no other.

use std::sync::Mutex;

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::adapters::host;
use crate::install::check::{Level, Verdict};
use crate::install::facts::{DnsAnswer, DnsOutcome, LoginFailure, LoginFailureKind, MachineAnswer, MachineFacts, ToolFacts};
use crate::install::ids::MachineName;

type Answer = Box<dyn Fn(&ProbeQuestion) -> Option<ProbeAnswer> + Send + Sync>;

/// Answers from a closure; `None` never answers. Counts the questions.
pub(crate) struct Recorded(Answer, Mutex<usize>);

impl Probe for Recorded {
    fn ask(&self, question: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer> {
        *self.1.lock().unwrap() += 1;
        match self.0(&question) {
            Some(answer) => Box::pin(async move { answer }),
            None => Box::pin(std::future::pending()),
        }
    }
}

pub(crate) fn recorded(answer: impl Fn(&ProbeQuestion) -> Option<ProbeAnswer> + Send + Sync + 'static) -> Recorded {
    Recorded(Box::new(answer), Mutex::new(0))
}

fn check(id: &str, level: Level, kind: serde_json::Value) -> CheckSpec {
    CheckSpec {
        id: id.parse().unwrap(),
        title: id.into(),
        level,
        roles: Vec::new(),
        guards: vec!["cluster".parse().unwrap()],
        provided_by: None,
        on_demand: false,
        when: None,
        remedy: String::new(),
        fix: None,
        kind: serde_json::from_value(kind).unwrap(),
    }
}

pub(crate) fn machine_checks() -> Vec<CheckSpec> {
    use serde_json::json;
    [
        ("login", json!({"kind": "login"})),
        ("sudo", json!({"kind": "sudo"})),
        ("tcp", json!({"kind": "tcp_reachable", "tcp": [22, 6443]})),
        ("os", json!({"kind": "operating_system", "accept": ["ubuntu 22.04", "ubuntu 24.04"]})),
        ("arch", json!({"kind": "architecture", "accept": ["x86_64"]})),
        ("size", json!({"kind": "size"})),
        ("swap", json!({"kind": "swap_off"})),
        ("ports", json!({"kind": "ports_free", "tcp": [6443, 10250], "udp": [8472]})),
        ("time", json!({"kind": "time_sync", "max_skew_seconds": 2})),
        ("python", json!({"kind": "python", "min": "3.8"})),
        ("systemd", json!({"kind": "systemd"})),
        ("modules", json!({"kind": "kernel_modules", "modules": ["br_netfilter", "overlay"]})),
        ("lock", json!({"kind": "package_lock"})),
        ("reboot", json!({"kind": "reboot_pending"})),
        ("iscsi", json!({"kind": "remote_command", "command": "dpkg -l open-iscsi", "sudo": true, "stdout": "^ii"})),
    ]
    .into_iter()
    .map(|(id, kind)| check(id, Level::Fail, kind))
    .collect()
}

pub(crate) fn plan(checks: Vec<CheckSpec>, machines: &[&str]) -> Plan {
    let role = serde_json::json!({"id": "cluster", "title": "Cluster", "count": {"min": 1}, "cpu": 12, "ram_gib": 32, "disk_gib": 128});
    let phase = serde_json::json!({"id": "cluster", "title": "", "help": "", "needs": [], "after": [], "reads": {},
        "expect_minutes": null, "skip": null, "steps": []});
    let machine = |(number, name): (usize, &&str)| PlanMachine {
        name: name.parse().unwrap(),
        roles: vec!["cluster".parse().unwrap()],
        address: std::net::Ipv4Addr::new(10, 77, 0, u8::try_from(number).unwrap() + 41),
        public_address: None,
        user: "ubuntu".into(),
        key: "/home/ubuntu/.ssh/id_ed25519".into(),
        jump: None,
    };
    Plan {
        profile: "test".parse().unwrap(),
        title: String::new(),
        site: String::new(),
        phases: vec![serde_json::from_value(phase).unwrap()],
        files: Vec::new(),
        checks,
        machines: machines.iter().enumerate().map(machine).collect(),
        roles: vec![serde_json::from_value(role).unwrap()],
        sources: BTreeMap::new(),
        paths: BTreeMap::new(),
        networks: BTreeMap::new(),
        secrets: BTreeMap::new(),
        known_hosts: "/nowhere/known_hosts".into(),
        outcome: Vec::new(),
        settled: BTreeMap::new(),
    }
}

pub(crate) fn facts(name: &str) -> MachineFacts {
    let path = format!("{}/tests/fixtures/probe/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let mut facts = host::parse("MARK", &std::fs::read(path).unwrap()).unwrap().facts;
    facts.clock_skew_seconds = Some(0.1);
    facts.clock_uncertainty_seconds = 0.02;
    facts
}

/// A probe for which every machine gives these facts, every port is open, every name leads to 10.77.0.41.
pub(crate) fn all_machines(facts: MachineFacts) -> Recorded {
    recorded(move |question| Some(good(question, &facts)))
}

fn good(question: &ProbeQuestion, facts: &MachineFacts) -> ProbeAnswer {
    match question {
        ProbeQuestion::Machine { .. } => ProbeAnswer::Machine(MachineAnswer::Facts(Box::new(facts.clone()))),
        ProbeQuestion::Tcp { .. } => ProbeAnswer::Tcp(TcpAnswer::Refused),
        ProbeQuestion::Dns { .. } => ProbeAnswer::Dns(dns(DnsOutcome::Addresses {
            addresses: vec!["10.77.0.41".parse().unwrap()],
            through: vec!["api-internal.example.org".into()],
        })),
        ProbeQuestion::Tool { .. } => ProbeAnswer::Tool(ToolFacts { path: Some("/usr/bin/x".into()), version: None }),
        other => panic!("{other:?}"),
    }
}

fn dns(outcome: DnsOutcome) -> DnsAnswer {
    let servers = vec!["10.77.0.2".into()];
    DnsAnswer { outcome, hosts_file: Vec::new(), servers, alias: None, elsewhere: None, invented: Vec::new() }
}

/// `check verdict observed`, those that pass left out.
fn shown(findings: &[Finding]) -> Vec<String> {
    let open = findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
    open.map(|finding| format!("{} {} {}: {}", finding.check, finding.verdict, finding.target, finding.observed)).collect()
}

async fn judged(name: &str) -> Vec<String> {
    let plan = plan(machine_checks(), &["vm1"]);
    shown(&run_checks(&CheckRequest::preflight(&plan), &all_machines(facts(name)), None).await)
}

#[tokio::test]
async fn recorded_systems_give_exactly_their_findings() {
    assert_eq!(judged("ubuntu-24.04").await, [""; 0]);
    assert_eq!(
        judged("ubuntu-22.04").await,
        [
            "size fail machine:vm1: 61 GiB of disk instead of 128",
            "swap fail machine:vm1: in use: /swap.img (2047 MiB); returns after a reboot: /etc/fstab: /swap.img",
            "lock fail machine:vm1: /var/lib/dpkg/lock-frontend is held by process 2211 (unattended-upgr)",
            "reboot fail machine:vm1: /run/reboot-required exists: an update waits for a reboot",
        ]
    );
    assert_eq!(
        judged("debian-12").await,
        [
            "sudo fail machine:vm1: `sudo -n true` as debian fails: sudo: a password is required",
            "os fail machine:vm1: Debian GNU/Linux 12 (bookworm)",
            "size fail machine:vm1: 2 processors instead of 12; 23.5 GiB of memory instead of 32",
            "swap fail machine:vm1: in use: /dev/zram0 (4095 MiB); returns after a reboot: systemd unit dev-sdb2.swap, zram, set up in /etc/default/zramswap",
            "ports fail machine:vm1: 10250/tcp is taken",
            "time fail machine:vm1: not synchronised, 0.1 s ahead at the moment",
            "modules fail machine:vm1: br_netfilter not found for 6.1.0-28-amd64",
            "iscsi skipped machine:vm1: needs sudo, which does not work without a password",
        ]
    );
    assert_eq!(
        judged("odd").await,
        [
            "sudo fail machine:vm1: `sudo -n true` as op fails: sudo is not installed",
            "os fail machine:vm1: alpine ",
            "arch fail machine:vm1: aarch64",
            "size unknown machine:vm1: processors or memory could not be read",
            "swap unknown machine:vm1: /proc/swaps could not be read",
            "ports fail machine:vm1: 10250/tcp is taken",
            "time warn machine:vm1: 0.1 s ahead; whether it is kept synchronised could not be told",
            "python fail machine:vm1: no python3 that runs",
            "systemd fail machine:vm1: there is no /run/systemd/system: systemd does not run here",
            "modules unknown machine:vm1: br_netfilter: not loaded, and there is no modprobe to ask",
            "lock unknown machine:vm1: /proc/locks could not be read",
            "iscsi skipped machine:vm1: needs sudo, which does not work without a password",
        ]
    );
}

/// What the probe really printed: what each system says, and which checks are not green there.
#[tokio::test]
async fn recordings_of_real_systems_are_read() {
    let small = ["size", "modules", "iscsi"];
    for (name, os, python) in [
        ("recorded-ubuntu-24.04", ("ubuntu", "24.04"), "3.12"),
        ("recorded-ubuntu-22.04", ("ubuntu", "22.04"), "3.10"),
        ("recorded-debian-13", ("debian", "13"), "3.13"),
        ("recorded-lab-host", ("ubuntu", "24.04"), "3.11"),
    ] {
        let facts = facts(name);
        assert_eq!((facts.os_id.as_deref(), facts.os_version.as_deref()), (Some(os.0), Some(os.1)), "{name}");
        assert!(facts.python.as_deref().unwrap().starts_with(python) && facts.sudo == Some(Ok(())), "{name}: {facts:?}");
        assert_eq!((facts.swap_active.as_deref(), facts.swap_configured.as_deref()), (Some(&[][..]), Some(&[][..])), "{name}");
        assert!(facts.sudo_version.is_some() && facts.resolver.is_some() && facts.hostname.is_some(), "{name}");
        assert!(facts.names.len() == 2 && facts.ways_out.len() == 1 && facts.settings.len() == 2, "{name}");
        assert_eq!(facts.leftovers.as_deref(), Some(&[][..]), "{name}");
        let open: Vec<String> = judged(name).await.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let expected = |id: &&String| !small.contains(&id.as_str()) && !["time", "os"].contains(&id.as_str());
        assert_eq!(open.iter().filter(expected).collect::<Vec<_>>(), [""; 0], "{name}: {open:?}");
    }
    let odd = facts("recorded-busybox");
    assert_eq!((odd.python.as_deref(), odd.systemd, odd.sudo.clone().unwrap().is_err()), (Some(""), Some(false), true));
    assert!(odd.processors == Some(2) && odd.listeners.is_some() && odd.disks.len() == 2 && odd.clock_synchronised.is_none());
    let lines = judged("recorded-busybox").await;
    assert!(lines.contains(&"python fail machine:vm1: no python3 that runs".to_owned()), "{lines:?}");
    assert!(lines.contains(&"sudo fail machine:vm1: `sudo -n true` as op fails: sudo is not installed".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn remedies_name_what_helps_here() {
    let plan = plan(machine_checks(), &["vm1"]);
    let findings = run_checks(&CheckRequest::preflight(&plan), &all_machines(facts("ubuntu-22.04")), None).await;
    let remedy = |id: &str| findings.iter().find(|finding| finding.check == *id).unwrap().remedy.clone();
    assert!(remedy("size").contains("ubuntu-vg has 100 GiB") && remedy("size").contains("/dev/mapper/ubuntu--vg-ubuntu--lv"));
    assert!(remedy("swap").contains("swapoff -a") && remedy("swap").contains("/etc/fstab"));
    assert_eq!(remedy("arch"), "");
}

#[tokio::test]
async fn each_fault_gives_its_finding_and_no_other() {
    type Change = fn(&mut MachineFacts);
    let cases: [(&str, Change); 6] = [
        ("size fail machine:vm1: 0.4 GiB free on / instead of 32", |facts| {
            facts.disks.values_mut().for_each(|disk| disk.free_kib = 400_000);
        }),
        ("time fail machine:vm1: 300.0 s behind", |facts| facts.clock_skew_seconds = Some(-300.0)),
        ("time unknown machine:vm1: the answer took 10.0 s: too slow to compare clocks", |facts| facts.clock_uncertainty_seconds = 5.0),
        ("ports fail machine:vm1: 6443/tcp is taken by nginx", |facts| {
            let listener = |address: &str| crate::install::facts::Listener {
                protocol: crate::install::facts::Protocol::Tcp,
                address: address.into(),
                port: 6443,
                process: Some("nginx".into()),
            };
            facts.listeners = Some(vec![listener("0.0.0.0"), listener("[::]")]);
        }),
        ("iscsi fail machine:vm1: `dpkg -l open-iscsi` prints (nothing)", |facts| {
            facts.commands.get_mut("iscsi").unwrap().stdout = String::new();
        }),
        ("python fail machine:vm1: 3.6.9 is too old", |facts| facts.python = Some("3.6.9".into())),
    ];
    let plan = plan(machine_checks(), &["vm1"]);
    for (expected, change) in cases {
        let mut facts = facts("ubuntu-24.04");
        change(&mut facts);
        let findings = run_checks(&CheckRequest::preflight(&plan), &all_machines(facts), None).await;
        assert_eq!(shown(&findings), [expected]);
    }
}

#[tokio::test]
async fn an_unreachable_machine_is_one_finding_and_not_the_end() {
    let healthy = facts("ubuntu-24.04");
    let failing = move |kind: LoginFailureKind| {
        let healthy = healthy.clone();
        recorded(move |question| match question {
            ProbeQuestion::Machine { login, .. } if login.name == *"vm2" => {
                Some(ProbeAnswer::Machine(MachineAnswer::Failed(LoginFailure { kind: kind.clone(), detail: "detail".into() })))
            }
            ProbeQuestion::Tcp { address, .. } if address.to_string() == "10.77.0.42" => Some(ProbeAnswer::Tcp(TcpAnswer::Silent(3000))),
            other => Some(good(other, &healthy)),
        })
    };
    let whole = plan(machine_checks(), &["vm1", "vm2"]);
    let findings = run_checks(&CheckRequest::preflight(&whole), &failing(LoginFailureKind::NotReachable), None).await;
    let lines = shown(&findings);
    assert_eq!(lines.len(), machine_checks().len());
    assert_eq!(lines[0], "login fail machine:vm2: detail");
    assert!(lines[1..].iter().all(|line| line.contains("skipped machine:vm2: machine not reachable")), "{lines:#?}");
    // Without a login check, the port check carries it; without either, the first check, and it does not pass.
    let without = |ids: &[&str]| {
        let checks = machine_checks().into_iter().filter(|check| !ids.contains(&check.id.as_str())).collect();
        plan(checks, &["vm2"])
    };
    for (left_out, carrier) in [(&["login"][..], "tcp"), (&["login", "tcp"][..], "sudo")] {
        let mut smaller = without(left_out);
        smaller.machines[0].name = "vm2".parse::<MachineName>().unwrap();
        let findings = run_checks(&CheckRequest::preflight(&smaller), &failing(LoginFailureKind::NotReachable), None).await;
        let blocking: Vec<&str> = findings.iter().filter(|finding| finding.blocks()).map(|finding| finding.check.as_str()).collect();
        assert_eq!(blocking, [carrier]);
    }
    // A changed key is strict whatever the profile says; ports are still judged on their own.
    let kind = LoginFailureKind::ChangedHostKey { recorded: vec!["SHA256:a".into()], presented: "SHA256:b".into() };
    let ignores = Ignores::from([(
        ("login".parse().unwrap(), Target::Machine("vm2".parse().unwrap())),
        crate::install::check::Ignored::Holds("never mind".to_owned()),
    )]);
    let request = CheckRequest { ignores, ..CheckRequest::preflight(&whole) };
    let findings = run_checks(&request, &failing(kind), None).await;
    let blocking: Vec<_> =
        findings.iter().filter(|finding| finding.blocks()).map(|finding| (finding.check.as_str(), finding.level)).collect();
    assert_eq!(blocking, [("login", Level::Strict), ("tcp", Level::Fail)]);
}

fn record(name: &str, address: &str) -> serde_json::Value {
    serde_json::json!({"name": name, "address": address})
}

#[tokio::test]
async fn names_are_judged_one_by_one() {
    let records = serde_json::json!([
        record("right.example.org", "10.77.0.41"),
        record("wrong.example.org", "10.77.0.50"),
        record("gone.example.org", "10.77.0.41"),
        record("slow.example.org", "10.77.0.41"),
        record("broken.example.org", "10.77.0.41"),
        record("local.example.org", "10.77.0.41"),
        record("stale.example.org", "10.77.0.41"),
    ]);
    let plan = plan(vec![check("dns", Level::Fail, serde_json::json!({"kind": "dns", "records": records}))], &[]);
    let probe = recorded(|question| {
        let ProbeQuestion::Dns { name, .. } = question else { panic!() };
        Some(ProbeAnswer::Dns(match name.split('.').next().unwrap() {
            "gone" => dns(DnsOutcome::NoSuchName),
            "slow" => dns(DnsOutcome::Timeout),
            "broken" => dns(DnsOutcome::ServerError("SERVFAIL".into())),
            "local" => DnsAnswer { hosts_file: vec!["10.77.0.41".parse().unwrap()], ..dns(DnsOutcome::NoSuchName) },
            "stale" => {
                let ProbeAnswer::Dns(right) = good(question, &MachineFacts::default()) else { panic!() };
                DnsAnswer { hosts_file: vec!["10.0.0.1".parse().unwrap()], ..right }
            }
            _ => return Some(good(question, &MachineFacts::default())),
        }))
    });
    let findings = run_checks(&CheckRequest::preflight(&plan), &probe, None).await;
    assert_eq!(
        shown(&findings),
        [
            "dns fail name:wrong.example.org: leads to 10.77.0.41 through api-internal.example.org",
            "dns fail name:gone.example.org: the name does not exist (NXDOMAIN)",
            "dns unknown name:slow.example.org: 10.77.0.2 did not answer in time",
            "dns unknown name:broken.example.org: 10.77.0.2 answered with an error: SERVFAIL",
            "dns warn name:local.example.org: the name does not exist (NXDOMAIN); only /etc/hosts of the deployment node knows it, which machines and pods do not read",
            "dns fail name:stale.example.org: /etc/hosts of the deployment node says 10.0.0.1",
        ]
    );
    assert_eq!(findings[2].remedy, "Create the record: gone.example.org A 10.77.0.41.");
}

#[tokio::test]
async fn guards_providers_and_names_decide_what_is_asked() {
    let mut checks = machine_checks();
    checks.push(CheckSpec { on_demand: true, ..check("gate", Level::Fail, serde_json::json!({"kind": "tool", "command": "x"})) });
    checks[6].guards = Vec::new();
    checks[7].provided_by = Some("cluster".parse().unwrap());
    checks[8].guards = vec!["alerting".parse().unwrap()];
    let plan = plan(checks, &["vm1"]);
    let probe = all_machines(facts("ubuntu-24.04"));
    let first = run_checks(&CheckRequest::preflight(&plan), &probe, None).await;
    let skipped = [
        "ports skipped machine:vm1: phase cluster provides it, and is still to run",
        "time skipped machine:vm1: it is for alerting, which this site's answers leave out",
    ];
    assert_eq!(shown(&first), skipped);
    let done = BTreeSet::from(["cluster".parse().unwrap()]);
    let later = run_checks(&CheckRequest { done: done.clone(), ..CheckRequest::preflight(&plan) }, &probe, None).await;
    let judged: Vec<&str> = later.iter().filter(|finding| finding.verdict == Verdict::Pass).map(|finding| finding.check.as_str()).collect();
    assert_eq!(judged, ["swap"], "what guards only finished phases does not block a rerun");
    let guards = CheckRequest { scope: Scope::Guards("cluster".parse().unwrap()), ..CheckRequest::preflight(&plan) };
    assert_eq!(run_checks(&guards, &probe, None).await.len(), machine_checks().len() - 2);
    let again = CheckRequest { begun: done.clone(), ..guards };
    let ports = run_checks(&again, &probe, None).await.into_iter().find(|finding| finding.check == "ports").unwrap();
    assert_eq!(ports.verdict, Verdict::Skipped, "a retry is not stopped by what its phase has started: {}", ports.observed);
    assert!(ports.observed.contains("cluster has begun"), "{}", ports.observed);
    let before = *probe.1.lock().unwrap();
    let named = CheckRequest { scope: Scope::Named(vec!["gate".parse().unwrap()]), done, ..CheckRequest::preflight(&plan) };
    let gate = run_checks(&named, &probe, None).await;
    assert_eq!((gate.len(), gate[0].verdict, *probe.1.lock().unwrap() - before), (1, Verdict::Pass, 1));
}

#[tokio::test]
async fn what_never_answers_is_unknown_in_time_and_nothing_is_told_twice() {
    let plan = plan(machine_checks(), &["vm1", "vm2", "vm3"]);
    let healthy = facts("ubuntu-24.04");
    let probe = recorded(move |question| match question {
        ProbeQuestion::Machine { login, .. } if login.name == *"vm2" => None,
        other => Some(good(other, &healthy)),
    });
    let (sender, mut receiver) = unbounded_channel();
    let request = CheckRequest { deadline: Duration::from_millis(200), ..CheckRequest::preflight(&plan) };
    let findings = run_checks(&request, &probe, Some(&sender)).await;
    drop(sender);
    let mut streamed = 0;
    while receiver.recv().await.is_some() {
        streamed += 1;
    }
    assert_eq!((findings.len(), streamed), (45, 45));
    assert_eq!(shown(&findings).len(), 15);
    assert!(
        findings.iter().filter(|finding| finding.verdict == Verdict::Unknown).all(|finding| finding.target.to_string() == "machine:vm2")
    );
    let order: Vec<(CheckId, Target)> =
        plan.checks.iter().flat_map(|check| judge::targets(check, &plan).into_iter().map(|target| (check.id.clone(), target))).collect();
    assert_eq!(findings.iter().map(|finding| (finding.check.clone(), finding.target.clone())).collect::<Vec<_>>(), order);
}

#[tokio::test]
async fn a_resolver_that_is_down_is_one_finding() {
    let records = |names: &[&str]| serde_json::json!({"kind": "dns", "records": names.iter().map(|name| record(name, "10.77.0.41")).collect::<Vec<_>>()});
    let checks = vec![
        check("dns.extra", Level::Warn, records(&["a.example.org"])),
        check("dns", Level::Fail, records(&["c.example.org", "b.example.org"])),
    ];
    let plan = plan(checks, &[]);
    let findings = run_checks(&CheckRequest::preflight(&plan), &recorded(|_| Some(ProbeAnswer::Dns(dns(DnsOutcome::Timeout)))), None).await;
    let shown: Vec<String> = findings.iter().map(|finding| format!("{} {} {}", finding.check, finding.target, finding.verdict)).collect();
    assert_eq!(shown, ["dns.extra name:a.example.org skipped", "dns name:c.example.org skipped", "dns name:b.example.org unknown"]);
    assert!(findings[2].blocks());
}

#[tokio::test]
async fn what_is_read_here_is_told_before_any_machine_is_asked_and_holds_up_none() {
    let key = |id: &str| check(id, Level::Fail, serde_json::json!({"kind": "ssh_key", "field": "ssh_key"}));
    let checks: Vec<CheckSpec> = machine_checks().into_iter().chain([key("key")]).collect();
    let plan = plan(checks, &["vm1", "vm2"]);
    for hangs in [false, true] {
        let (sender, receiver) = unbounded_channel();
        let receiver = Mutex::new(receiver);
        let told_before = Arc::new(Mutex::new(Vec::<Option<String>>::new()));
        let seen = Arc::clone(&told_before);
        let probe = recorded(move |question| match question {
            ProbeQuestion::SshKey { .. } => (!hangs).then(|| ProbeAnswer::Failed("no such key".into())),
            ProbeQuestion::Machine { .. } => {
                // Machines never answer: all they do here is look what is known when they are asked.
                let first: Option<Finding> = receiver.lock().unwrap().try_recv().ok();
                seen.lock().unwrap().push(first.map(|finding| finding.check.to_string()));
                None
            }
            _ => None,
        });
        let request = CheckRequest { deadline: Duration::from_millis(300), ..CheckRequest::preflight(&plan) };
        let findings = run_checks(&request, &probe, Some(&sender)).await;
        let expected = [(!hangs).then(|| "key".to_owned()), None];
        assert_eq!(*told_before.lock().unwrap(), expected, "hangs: {hangs}");
        let local = findings.iter().find(|finding| finding.check == "key").unwrap();
        assert_eq!(local.observed.contains("no such key"), !hangs, "{}", local.observed);
    }
}

mod together;
