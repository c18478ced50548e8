//! What several machines say together, and what one cause makes of many findings.

use serde_json::json;

use super::*;
use crate::install::facts::NameAnswer;
use crate::install::facts::{WayOut, WayOutcome};

fn together() -> Vec<CheckSpec> {
    let records = json!([{"name": "api.example.org", "address": "10.77.0.20"}, {"name": "iam.example.org", "address": "10.77.0.20"}]);
    vec![
        check("login", Level::Fail, json!({"kind": "login"})),
        check("unique", Level::Fail, json!({"kind": "unique_hosts"})),
        check("total", Level::Fail, json!({"kind": "total_size", "cpu": 24, "ram_gib": 60, "better_cpu": 36, "better_ram_gib": 90})),
        check("names", Level::Fail, json!({"kind": "dns_from_machines", "records": records})),
        check(
            "out",
            Level::Warn,
            json!({"kind": "egress_from_machines", "urls": ["https://get.example.org/", "https://images.example.org/v2/"]}),
        ),
    ]
}

/// Three machines that are as they should be, but for what `change` does to the machine of this number.
async fn seen(change: impl Fn(usize, &mut MachineFacts) -> bool + Send + Sync + 'static) -> Vec<String> {
    let plan = plan(together(), &["vm1", "vm2", "vm3"]);
    let probe = recorded(move |question| {
        let ProbeQuestion::Machine { login, wants } = question else { panic!("{question:?}") };
        let std::net::IpAddr::V4(address) = login.address else { panic!() };
        let number = usize::from(address.octets()[3]) - 40;
        let mut facts = facts("ubuntu-24.04");
        (facts.hostname, facts.machine_id) = (Some(format!("vm{number}")), Some(format!("id{number}")));
        assert_eq!(wants.names, ["api.example.org", "iam.example.org"]);
        for name in &wants.names {
            facts.names.insert(name.clone(), NameAnswer::Addresses(vec!["10.77.0.20".parse().unwrap()]));
        }
        for url in &wants.urls {
            facts.ways_out.insert(url.clone(), WayOut { outcome: WayOutcome::Answered(200), proxy: None });
        }
        let up = change(number, &mut facts);
        let failure = LoginFailure { kind: LoginFailureKind::NotReachable, detail: "no route to host".into() };
        Some(ProbeAnswer::Machine(if up { MachineAnswer::Facts(Box::new(facts)) } else { MachineAnswer::Failed(failure) }))
    });
    shown(&run_checks(&CheckRequest::preflight(&plan), &probe, None).await)
}

#[tokio::test]
async fn machines_that_differ_as_they_should_give_no_finding() {
    assert_eq!(seen(|_, _| true).await, [""; 0]);
}

#[tokio::test]
async fn twins_and_impossible_names_are_found() {
    let twins = seen(|number, facts| {
        if number == 3 {
            (facts.hostname, facts.machine_id) = (Some("vm2".into()), Some("id2".into()));
        }
        true
    });
    assert_eq!(twins.await, ["unique fail local: vm2, vm3 all call themselves vm2; vm2, vm3 have the same machine id"]);
    let upper = seen(|number, facts| {
        if number == 1 {
            facts.hostname = Some("VM_1".into());
        }
        true
    });
    assert_eq!(upper.await, ["unique fail local: vm1 calls itself VM_1, which cannot be the name of a node"]);
}

#[tokio::test]
async fn sizes_are_summed_where_each_is_large_enough() {
    let three = |processors: u32| {
        seen(move |_, facts| {
            facts.processors = Some(processors);
            true
        })
    };
    assert_eq!(three(12).await, [""; 0]);
    assert_eq!(three(4).await, ["total skipped local: vm1, vm2, vm3 is too small by itself: see that finding"]);
    let down = seen(|number, _| number != 2).await;
    assert_eq!(down, ["login fail machine:vm2: no route to host", "total skipped local: vm2 could not be asked, and counts too"]);
    let plan = plan(vec![check("total", Level::Fail, json!({"kind": "total_size", "cpu": 48, "ram_gib": 60}))], &["vm1", "vm2"]);
    let found = run_checks(&CheckRequest::preflight(&plan), &all_machines(facts("ubuntu-24.04")), None).await;
    assert_eq!(shown(&found), ["total fail local: 24 processors and 63 GiB on 2 machines"]);
    assert_eq!(found[0].expected, "48 processors and 60 GiB of memory in all");
}

#[tokio::test]
async fn names_seen_otherwise_by_some_machines_say_by_which() {
    let split = seen(|number, facts| {
        if number == 2 {
            facts.names.insert("api.example.org".into(), NameAnswer::Addresses(vec!["192.0.2.9".parse().unwrap()]));
        }
        true
    });
    assert_eq!(split.await, ["names fail name:api.example.org: leads to 192.0.2.9 from vm2; 10.77.0.20 from vm1, vm3"]);
    let silent = seen(|_, facts| {
        facts.names.values_mut().for_each(|answer| *answer = NameAnswer::NoServer);
        true
    });
    assert_eq!(
        silent.await,
        [
            "names fail name:api.example.org: no name server answers vm1, vm2, vm3",
            "names skipped name:iam.example.org: no name server answers these machines: see the one finding about it",
        ]
    );
}

#[tokio::test]
async fn a_way_out_that_is_closed_is_said_once() {
    let one = seen(|number, facts| {
        if number == 1 {
            facts.ways_out.get_mut("https://images.example.org/v2/").unwrap().outcome = WayOutcome::Timeout;
        }
        true
    });
    assert_eq!(one.await, ["out warn name:images.example.org: no answer in time from vm1; it answers 200 from vm2, vm3"]);
    let all = seen(|_, facts| {
        for way in facts.ways_out.values_mut() {
            *way = WayOut {
                outcome: WayOutcome::Proxy("CONNECT tunnel failed, response 403".into()),
                proxy: Some("http://proxy:3128".into()),
            };
        }
        true
    });
    assert_eq!(
        all.await,
        [
            "out warn name:get.example.org: the proxy refuses from vm1, vm2, vm3: CONNECT tunnel failed, response 403 through the proxy http://proxy:3128",
            "out skipped name:images.example.org: nothing gets out at all: see the one finding about it",
        ]
    );
    let shut = seen(|number, facts| {
        if number == 2 {
            facts.ways_out.values_mut().for_each(|way| way.outcome = WayOutcome::Timeout);
        }
        true
    });
    assert_eq!(shut.await, ["out warn name:get.example.org: no answer in time from vm2; it answers 200 from vm1, vm3"]);
}

#[tokio::test]
async fn the_deployment_nodes_way_out_is_one_cause_over_several_checks() {
    let egress = |id: &str, level: Level, url: &str| check(id, level, json!({"kind": "egress", "urls": [url]}));
    let plan =
        plan(vec![egress("tools", Level::Warn, "https://a.example.org/"), egress("charts", Level::Fail, "https://b.example.org/")], &[]);
    let run = async |closed: fn(&str) -> bool| {
        let probe = recorded(move |question| {
            let ProbeQuestion::WayOut { url } = question else { panic!("{question:?}") };
            let outcome = if closed(url) { WayOutcome::Connect } else { WayOutcome::Answered(401) };
            Some(ProbeAnswer::WayOut(WayOut { outcome, proxy: None }))
        });
        shown(&run_checks(&CheckRequest::preflight(&plan), &probe, None).await)
    };
    assert_eq!(run(|_| false).await, [""; 0]);
    assert_eq!(run(|url| url.contains("//b")).await, ["charts fail name:b.example.org: no connection"]);
    // The gravest says it: a warning would let a run begin that cannot end.
    assert_eq!(
        run(|_| true).await,
        [
            "tools skipped name:a.example.org: nothing gets out at all: see the one finding about it",
            "charts fail name:b.example.org: no connection"
        ]
    );
}

/// Two names as `dns` checks them, where the servers say this about each.
async fn dns_says(answer: impl Fn(&str) -> DnsAnswer + Send + Sync + 'static) -> Vec<Finding> {
    let records = json!([{"name": "api.example.org", "address": "10.77.0.20"}, {"name": "iam.example.org", "address": "10.77.0.20", "alias_of": "api.example.org"}]);
    let plan = plan(vec![check("dns", Level::Fail, json!({"kind": "dns", "records": records}))], &[]);
    let probe = recorded(move |question| {
        let ProbeQuestion::Dns { name, expected } = question else { panic!("{question:?}") };
        assert_eq!(*expected, Some("10.77.0.20".parse().unwrap()));
        Some(ProbeAnswer::Dns(answer(name)))
    });
    run_checks(&CheckRequest::preflight(&plan), &probe, None).await
}

fn addresses(list: &[&str]) -> DnsOutcome {
    DnsOutcome::Addresses { addresses: list.iter().map(|text| text.parse().unwrap()).collect(), through: Vec::new() }
}

#[tokio::test]
async fn views_of_a_zone_are_told_apart_with_their_remedies() {
    use crate::install::facts::Elsewhere;
    let elsewhere = || Some(Elsewhere { zone: true, servers: vec!["192.0.2.53".into()], outcome: addresses(&["10.77.0.20"]) });
    let first = |findings: Vec<Finding>| (findings[0].observed.clone(), findings[0].remedy.clone());
    let (rebind, remedy) = first(dns_says(move |_| DnsAnswer { elsewhere: elsewhere(), ..dns(DnsOutcome::NoAddress) }).await);
    assert!(rebind.contains("rebind protection") && rebind.contains("the zone's own servers (192.0.2.53) say 10.77.0.20"), "{rebind}");
    assert!(remedy.contains("rebind-domain-ok"), "{remedy}");
    let (split, remedy) = first(dns_says(move |_| DnsAnswer { elsewhere: elsewhere(), ..dns(addresses(&["192.0.2.9"])) }).await);
    assert!(
        split.starts_with("two views of the zone: 10.77.0.2 says 192.0.2.9") && remedy.contains("Correct api.example.org in the view"),
        "{split}"
    );
    let (absent, _) = first(dns_says(move |_| DnsAnswer { elsewhere: elsewhere(), ..dns(DnsOutcome::NoSuchName) }).await);
    assert!(absent.contains("for 10.77.0.2 there is no such record"), "{absent}");
    // Where the zone itself is wrong, it is the record.
    let wrong = || Some(Elsewhere { zone: true, servers: Vec::new(), outcome: addresses(&["192.0.2.9"]) });
    let (record, remedy) = first(dns_says(move |_| DnsAnswer { elsewhere: wrong(), ..dns(addresses(&["192.0.2.9"])) }).await);
    assert!(record.starts_with("leads to 192.0.2.9") && remedy.contains("Change the record to: "), "{record}");
}

#[tokio::test]
async fn a_liar_and_a_missing_target_are_one_finding_each() {
    let lie = || DnsAnswer { invented: vec!["198.51.100.7".parse().unwrap()], ..dns(addresses(&["198.51.100.7"])) };
    assert_eq!(
        shown(&dns_says(move |_| lie()).await),
        [
            "dns fail name:api.example.org: 10.77.0.2 answers every name alike, with 198.51.100.7, also one that cannot exist",
            "dns skipped name:iam.example.org: the DNS server answers every name alike: see the one finding about it",
        ]
    );
    let gone =
        |name: &str| DnsAnswer { alias: name.starts_with("iam").then(|| "api.example.org".to_owned()), ..dns(DnsOutcome::NoSuchName) };
    assert_eq!(
        shown(&dns_says(gone).await),
        [
            "dns fail name:api.example.org: the name does not exist (NXDOMAIN)",
            "dns skipped name:iam.example.org: an alias of api.example.org, which has a finding of its own",
        ]
    );
    let plain = shown(&dns_says(|_| dns(addresses(&["10.77.0.20"]))).await);
    assert_eq!(plain, [""; 0]);
}

#[tokio::test]
async fn machines_are_not_blamed_for_what_the_deployment_node_sees_too() {
    let records = json!([{"name": "api.example.org", "address": "10.77.0.20"}]);
    let plan = plan(
        vec![
            check("dns", Level::Fail, json!({"kind": "dns", "records": records})),
            check("names", Level::Fail, json!({"kind": "dns_from_machines", "records": records})),
        ],
        &["vm1"],
    );
    let run = async |here: &'static str| {
        let probe = recorded(move |question| {
            Some(match question {
                ProbeQuestion::Machine { .. } => {
                    let mut facts = facts("ubuntu-24.04");
                    facts.names.insert("api.example.org".into(), NameAnswer::Addresses(vec!["192.0.2.9".parse().unwrap()]));
                    ProbeAnswer::Machine(MachineAnswer::Facts(Box::new(facts)))
                }
                _ => ProbeAnswer::Dns(dns(addresses(&[here]))),
            })
        });
        shown(&run_checks(&CheckRequest::preflight(&plan), &probe, None).await)
    };
    assert_eq!(run("10.77.0.20").await, ["names fail name:api.example.org: leads to 192.0.2.9 from vm1"]);
    assert_eq!(
        run("192.0.2.9").await,
        [
            "dns fail name:api.example.org: leads to 192.0.2.9",
            "names skipped name:api.example.org: the deployment node does not see it right either: see that finding",
        ]
    );
}

#[test]
fn charts_and_pulls_are_judged() {
    use crate::install::outside::{ChartPin, ChartsFacts, IndexAnswer, PullAnswer, PullFacts};
    let spec = check(
        "charts",
        Level::Fail,
        json!({"kind": "charts", "index": "https://x/index.yaml", "file": "f", "charts": [["web", "web_version"]]}),
    );
    let pin = ChartPin {
        chart: "web".into(),
        key: "web_version".into(),
        version: Some("1.3.0".into()),
        known: true,
        found: false,
        newest: vec!["1.2.0".into()],
    };
    let of = |pin: ChartPin, index: IndexAnswer| {
        let finding = judge::charts(&spec, &ChartsFacts { problem: None, index, pins: vec![pin], proxy: None });
        format!("{}: {}", finding.verdict, finding.observed)
    };
    assert_eq!(of(pin.clone(), IndexAnswer::Read(9)), "fail: not there: web 1.3.0 (web_version): it has 1.2.0");
    assert_eq!(of(ChartPin { known: false, ..pin.clone() }, IndexAnswer::Read(9)), "fail: not there: web 1.3.0: there is no such chart");
    assert_eq!(of(ChartPin { version: None, ..pin.clone() }, IndexAnswer::Read(9)), "fail: not there: web: the file has no web_version");
    assert_eq!(of(ChartPin { found: true, ..pin.clone() }, IndexAnswer::Read(9)), "pass: all 1 found among 9 charts");
    let given = ChartPin { key: String::new(), ..pin.clone() };
    assert_eq!(of(given.clone(), IndexAnswer::Read(9)), "fail: not there: web 1.3.0: it has 1.2.0");
    let any = ChartPin { version: Some(String::new()), known: false, ..given };
    assert_eq!(of(any, IndexAnswer::Read(9)), "fail: not there: web: there is no such chart");
    assert!(
        of(pin.clone(), IndexAnswer::NoWay(WayOutcome::Timeout)).starts_with("skipped: the index cannot be fetched: no answer in time")
    );
    assert!(of(pin.clone(), IndexAnswer::Status(404)).starts_with("fail: the repository answers 404"));
    assert!(of(pin.clone(), IndexAnswer::NotAnIndex).starts_with("fail"));
    assert!(of(pin, IndexAnswer::TooLarge(1 << 26)).starts_with("unknown: the index is larger than 64 MiB"));
    let spec = check("pulls", Level::Warn, json!({"kind": "pull_limit", "min": 100}));
    let of = |answer: PullAnswer| {
        let finding = judge::pull_limit(&spec, &PullFacts { answer, proxy: None });
        format!("{}: {}", finding.verdict, finding.observed)
    };
    let limit = |remaining| PullAnswer::Limit { remaining, of: Some(100), seconds: Some(21_600), source: Some("192.0.2.1".into()) };
    assert_eq!(of(limit(42)), "warn: 42 of 100 left in 6 hours, for the address 192.0.2.1");
    assert!(
        of(limit(100)).starts_with("pass") && of(PullAnswer::NoLimit).starts_with("pass") && of(PullAnswer::Exhausted).starts_with("warn")
    );
    assert!(of(PullAnswer::NoWay(WayOutcome::Name)).starts_with("skipped"));
}
