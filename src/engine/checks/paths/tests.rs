//! Which findings a matrix gives: one for each cause, with the rule to ask for.

use std::collections::BTreeSet;

use crate::engine::checks::ssh_login;
use crate::engine::checks::tests::plan as plan_of;
use crate::install::check::{CheckSpec, Finding, Level, Target, Verdict};
use crate::install::facts::{LoginFailure, LoginFailureKind, Protocol};
use crate::install::ids::MachineName;
use crate::install::judge::{Tried, reach, sampling};
use crate::install::plan::Plan;
use crate::install::reach::{ListenState, Path, PathAnswer, ReachAnswer, ReachHost, SAMPLE, What, paths, request, too_many};

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

fn checks() -> Vec<CheckSpec> {
    use serde_json::json;
    let ports = json!([{ "tcp": 6443, "for": "API" }, { "tcp": "2379-2380", "for": "etcd" }, { "udp": 8472, "for": "VXLAN" }]);
    vec![
        check("ports", Level::Fail, json!({ "kind": "ports_between", "from": ["local", "cluster"], "to": ["cluster"], "ports": ports })),
        check("mtu", Level::Warn, json!({ "kind": "path_mtu", "from": ["cluster"], "to": ["cluster"], "min": 1500 })),
    ]
}

fn plan(machines: usize) -> Plan {
    let names: Vec<String> = (1..=machines).map(|number| format!("vm{number}")).collect();
    plan_of(checks(), &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn machine(name: &str) -> MachineName {
    name.parse().unwrap()
}

/// All open, all listening, but for what `change` says.
fn tried(plan: &Plan, change: impl Fn(&Path) -> Option<PathAnswer>) -> ReachAnswer {
    let all: Vec<&CheckSpec> = plan.checks.iter().collect();
    let wanted = request(&all, plan, &|_, _| true, |machine| ssh_login(plan, machine));
    let mut answer = ReachAnswer::default();
    for one in &wanted.machines {
        let listens = one.listen.iter().map(|(protocol, port)| (*protocol, *port, ListenState::Bound)).collect();
        answer.hosts.push((one.login.name.clone(), Ok(ReachHost { tool: Some("python3".into()), listens, stayed: true })));
        let path = |target: &crate::install::reach::ReachTarget| Path {
            from: Some(one.login.name.clone()),
            to: target.to.clone(),
            what: target.what,
        };
        answer.paths.extend(one.targets.iter().map(|target| (path(target), PathAnswer::Open(1))));
    }
    let local = wanted.local.iter().map(|target| Path { from: None, to: target.to.clone(), what: target.what });
    answer.paths.extend(local.map(|path| (path, PathAnswer::Open(1))));
    for (path, said) in &mut answer.paths {
        if let What::Mtu(_) = path.what {
            *said = PathAnswer::Mtu(1500);
        }
        if let Some(changed) = change(path) {
            *said = changed;
        }
    }
    answer
}

fn judged(plan: &Plan, answer: &ReachAnswer, begun: &[&str], told: &[&str]) -> Vec<Finding> {
    let all: Vec<&CheckSpec> = plan.checks.iter().collect();
    let begun = begun.iter().map(|phase| phase.parse().unwrap()).collect();
    let told = |name: &MachineName| told.iter().any(|known| *name == **known);
    reach(&all, plan, Tried { answer, begun: &begun, told: &told, wanted: &|_, _| true })
}

fn shown(findings: &[Finding]) -> Vec<String> {
    let open = findings.iter().filter(|finding| !matches!(finding.verdict, Verdict::Pass | Verdict::Skipped));
    open.map(|finding| format!("{} {} {}: {}", finding.check, finding.verdict, finding.target, finding.observed)).collect()
}

fn port(path: &Path, number: u16) -> bool {
    matches!(path.what, What::Port(_, port) if port == number)
}

#[test]
fn every_path_is_judged_once_in_the_order_of_the_targets() {
    let plan = plan(3);
    let findings = judged(&plan, &tried(&plan, |_| None), &[], &[]);
    assert_eq!(shown(&findings), [""; 0]);
    let order: Vec<Target> = plan.checks.iter().flat_map(|check| crate::install::judge::targets(check, &plan)).collect();
    assert_eq!(findings.iter().map(|finding| finding.target.clone()).collect::<Vec<_>>(), order);
    assert_eq!(order.len(), (3 + 6) * 4 + 6);
    assert_eq!(order[0].to_string(), "local→vm1:6443/tcp");
    assert!(order.iter().any(|target| target.to_string() == "vm1→vm2:8472/udp"));
    assert!(order.iter().any(|target| target.to_string() == "vm3→vm2:mtu/ip"));
}

#[test]
fn a_blocked_path_names_the_rule_to_ask_for() {
    let plan = plan(3);
    let blocked = |path: &Path| (path.from == Some(machine("vm1")) && path.to == "vm2" && port(path, 6443)).then_some(PathAnswer::Silent);
    let findings = judged(&plan, &tried(&plan, blocked), &[], &[]);
    assert_eq!(
        shown(&findings),
        ["ports fail vm1→vm2:6443/tcp: 6443/tcp (API) from vm1 to vm2 gets no answer: something drops it on the way"]
    );
    let finding = findings.iter().find(|finding| finding.verdict == Verdict::Fail).unwrap();
    assert_eq!(finding.remedy, "Ask for this firewall rule: allow tcp from 10.77.0.41 to 10.77.0.42 port 6443 (API).");
    assert_eq!(finding.expected, "6443/tcp (API) open from vm1 to vm2");
}

#[test]
fn one_cause_is_one_finding() {
    let plan = plan(4);
    type Blocked = fn(&Path) -> bool;
    let cases: [(&str, Blocked, &[&str]); 5] = [
        (
            "a machine's own firewall",
            |path| path.to == "vm3" && matches!(path.what, What::Port(Protocol::Udp, _)),
            &["8472/udp (VXLAN) from this machine, vm1, vm2 and vm4 to vm3 (4 pairs of machines)"],
        ),
        (
            "a port closed everywhere",
            |path| path.from.is_some() && port(path, 8472),
            &["8472/udp (VXLAN) from all of cluster to all of cluster (12 pairs of machines)"],
        ),
        (
            "one machine to another, all ports",
            |path| path.from == Some(machine("vm1")) && path.to == "vm2" && matches!(path.what, What::Port(..)),
            &["2379/tcp (etcd), 2380/tcp (etcd), 6443/tcp (API) and 8472/udp (VXLAN) from vm1 to vm2"],
        ),
        (
            "one subnet to another",
            |path| {
                let first = |name: &MachineName| matches!(name.as_str(), "vm1" | "vm2");
                path.from.as_ref().is_some_and(first) && !first(&path.to) && matches!(path.what, What::Port(..))
            },
            &[
                "2379/tcp (etcd), 2380/tcp (etcd), 6443/tcp (API) and 8472/udp (VXLAN) from vm1 and vm2 to vm3 and vm4 (4 pairs of machines)",
            ],
        ),
        (
            "two of them",
            |path| (path.to == "vm3" && port(path, 8472)) || (path.from.is_none() && path.to == "vm1" && port(path, 6443)),
            &[
                "8472/udp (VXLAN) from this machine, vm1, vm2 and vm4 to vm3 (4 pairs of machines)",
                "6443/tcp (API) from this machine to vm1",
            ],
        ),
    ];
    for (name, blocked, expected) in cases {
        let findings = judged(&plan, &tried(&plan, |path| blocked(path).then_some(PathAnswer::Silent)), &[], &[]);
        let failed: BTreeSet<&str> = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fail)
            .filter_map(|finding| finding.observed.strip_suffix(" gets no answer: something drops it on the way"))
            .collect();
        assert_eq!(failed, expected.iter().copied().collect(), "{name}");
        assert_eq!(shown(&findings).len(), expected.len(), "{name}: {:?}", shown(&findings));
        let pointing = findings.iter().filter(|finding| finding.verdict == Verdict::Skipped);
        assert!(pointing.clone().all(|finding| finding.observed.starts_with("the same cause as ports on ")), "{name}");
    }
}

#[test]
fn refusals_prove_a_path_unless_a_listener_was_there() {
    let plan = plan(2);
    let refused = |path: &Path| (path.to == "vm2" && path.from.is_some() && port(path, 6443)).then_some(PathAnswer::Refused);
    let mut answer = tried(&plan, refused);
    assert_eq!(
        shown(&judged(&plan, &answer, &[], &[])),
        [
            "ports fail vm1→vm2:6443/tcp: 6443/tcp (API) from vm1 to vm2 is refused although a test listener was there: a firewall rejects it"
        ]
    );
    // What a phase has set up may refuse by itself; so does a machine without a listener.
    for change in ["begun", "left", "no tool"] {
        let Some((_, Ok(host))) = answer.hosts.iter_mut().find(|(name, _)| *name == "vm2") else { panic!() };
        host.stayed = change != "left";
        if change == "no tool" {
            *host = ReachHost::default();
        }
        let begun: &[&str] = if change == "begun" { &["cluster"] } else { &[] };
        let findings = judged(&plan, &answer, begun, &[]);
        let one = findings.iter().find(|finding| finding.target.to_string() == "vm1→vm2:6443/tcp").unwrap();
        assert_eq!(one.verdict, Verdict::Pass, "{change}: {}", one.observed);
    }
}

#[test]
fn what_listens_already_answers_or_says_why_not() {
    let plan = plan(2);
    let mut answer = tried(&plan, |path| (path.to == "vm2" && port(path, 8472)).then_some(PathAnswer::Silent));
    let Some((_, Ok(host))) = answer.hosts.iter_mut().find(|(name, _)| *name == "vm2") else { panic!() };
    for (_, number, state) in &mut host.listens {
        match *number {
            6443 => *state = ListenState::Busy(Some("nginx".into())),
            8472 => *state = ListenState::Busy(None),
            _ => {}
        }
    }
    let findings = judged(&plan, &answer, &[], &[]);
    let of = |target: &str| findings.iter().find(|finding| finding.target.to_string() == target).unwrap();
    assert_eq!(of("vm1→vm2:6443/tcp").observed, "answered after 1 ms by nginx, which listens there already");
    assert_eq!(
        shown(&findings),
        [
            "ports unknown local→vm2:8472/udp: something listens on 8472/udp of vm2 already, and does not answer a test: the path cannot be told"
        ]
    );
    assert_eq!(of("vm1→vm2:8472/udp").observed, "the same cause as ports on local→vm2:8472/udp");
    let begun = judged(&plan, &answer, &["cluster"], &[]);
    assert_eq!(shown(&begun), [""; 0]);
}

#[test]
fn a_machine_that_cannot_be_asked_is_said_once() {
    let plan = plan(3);
    let mut answer = tried(&plan, |_| None);
    answer.paths.retain(|(path, _)| path.to != "vm2" && path.from != Some(machine("vm2")));
    let failure = LoginFailure { kind: LoginFailureKind::NotReachable, detail: "10.77.0.42 does not answer".into() };
    for (name, host) in &mut answer.hosts {
        if *name == "vm2" {
            *host = Err(failure.clone());
        }
    }
    let told = judged(&plan, &answer, &[], &["vm2"]);
    assert_eq!(shown(&told), [""; 0]);
    assert!(told.iter().any(|finding| finding.verdict == Verdict::Skipped && finding.observed == "vm2 is not reachable"));
    let alone = judged(&plan, &answer, &[], &[]);
    assert_eq!(shown(&alone), ["ports unknown local→vm2:6443/tcp: vm2 cannot be asked: 10.77.0.42 does not answer"]);
    // A machine without any tool cannot try, and cannot answer datagrams: two things to know, each once.
    let mut bare = tried(&plan, |path| (path.to == "vm2" && port(path, 8472)).then_some(PathAnswer::Silent));
    bare.paths.retain(|(path, _)| path.from != Some(machine("vm2")));
    for (name, host) in &mut bare.hosts {
        if *name == "vm2" {
            *host = Ok(ReachHost::default());
        }
    }
    assert_eq!(
        shown(&judged(&plan, &bare, &[], &[])),
        [
            "ports unknown local→vm2:8472/udp: vm2 has neither python3 nor perl nor nc to listen with",
            "ports unknown vm2→vm1:6443/tcp: vm2 has neither python3 nor perl nor nc to try paths with",
        ]
    );
}

#[test]
fn large_packets_are_a_matter_of_their_own() {
    let plan = plan(3);
    let lost = |path: &Path| match (&path.from, path.what) {
        (Some(from), What::Mtu(_)) if *from == "vm1" => Some(PathAnswer::Stalled(1500)),
        (Some(from), What::Mtu(_)) if *from == "vm2" => Some(PathAnswer::Mtu(1400)),
        _ => None,
    };
    let findings = judged(&plan, &tried(&plan, lost), &[], &[]);
    let lines = shown(&findings);
    assert!(
        lines.contains(&"mtu warn vm1→vm2:mtu/ip: small packets pass, large ones vanish, although 1500 bytes are announced".to_owned()),
        "{lines:?}"
    );
    assert!(lines.contains(&"mtu warn vm2→vm1:mtu/ip: packets larger than 1400 bytes do not pass".to_owned()), "{lines:?}");
    assert!(findings.iter().all(|finding| !finding.blocks()));
}

#[test]
fn many_machines_are_tried_by_sample_and_it_is_said() {
    let (few, many) = (plan(30), plan(40));
    assert!(!too_many(&few) && too_many(&many));
    assert_eq!(sampling(&few.checks[0], &few), None);
    assert_eq!(paths(&few.checks[0], &few).len(), (30 + 30 * 29) * 4);
    let tried = 40 + 40 * SAMPLE;
    let said = format!("ports: {tried} of 1600 pairs of machines were tried, a sample by role");
    assert_eq!(sampling(&many.checks[0], &many), Some(said));
    let paths = paths(&many.checks[0], &many);
    assert_eq!(paths.len(), tried * 4);
    for machine in &many.machines {
        let from_others = paths.iter().filter(|path| path.to == machine.name && path.from.is_some()).count();
        assert!(from_others >= 4, "{} is tried by nobody", machine.name);
    }
}

#[test]
fn ports_are_numbers_or_ranges() {
    use crate::install::reach::PortRange;
    let read = |text: &str| serde_json::from_str::<PortRange>(text);
    assert_eq!(read("6443").unwrap().tried(), [6443]);
    assert_eq!(read("\"2379-2381\"").unwrap().tried(), [2379, 2380, 2381]);
    assert_eq!(read("\"30000-32767\"").unwrap().tried(), [30000, 31383, 32767]);
    for wrong in ["0", "70000", "\"9-3\"", "\"x\"", "\"1-\"", "-1"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert_eq!(serde_json::to_string(&read("\"5-7\"").unwrap()).unwrap(), "\"5-7\"");
}
