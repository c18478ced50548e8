//! The deployment node's checks, fact by fact.

use super::*;
use crate::install::check::{Level, Verdict};
use crate::install::facts::{HttpAnswer, OneCertificate, TcpAnswer};
use serde_json::json;

fn check(kind: serde_json::Value) -> CheckSpec {
    CheckSpec {
        id: "c".parse().unwrap(),
        title: "the title".into(),
        level: Level::Fail,
        roles: Vec::new(),
        guards: Vec::new(),
        provided_by: None,
        on_demand: false,
        when: None,
        remedy: String::new(),
        fix: None,
        kind: serde_json::from_value(kind).unwrap(),
    }
}

fn said(finding: &Finding) -> String {
    format!("{}: {}", finding.verdict, finding.observed)
}

fn ran(exit: i32, stdout: &str, stderr: &str) -> CommandFacts {
    CommandFacts { exit: Some(exit), stdout: stdout.into(), stderr: stderr.into(), ..CommandFacts::default() }
}

#[test]
fn tools_are_judged_by_their_version() {
    let ansible =
        check(json!({"kind": "tool", "command": "ansible-playbook", "pattern": "core ([0-9.]+)", "min": "2.16", "below": "2.21"}));
    let of = |version: Option<CommandFacts>| {
        let path = version.is_some().then(|| "/usr/bin/ansible-playbook".to_owned());
        said(&tool(&ansible, &ToolFacts { path, version }))
    };
    assert_eq!(of(None), "fail: ansible-playbook is not on PATH");
    assert_eq!(of(Some(ran(0, "ansible-playbook [core 2.16.3]", ""))), "pass: 2.16.3 (/usr/bin/ansible-playbook)");
    assert_eq!(of(Some(ran(0, "ansible-playbook [core 2.14.18]", ""))), "fail: 2.14.18 is too old (/usr/bin/ansible-playbook)");
    assert_eq!(of(Some(ran(0, "", "[core 2.21.0]"))), "fail: 2.21.0 is too new (/usr/bin/ansible-playbook)");
    assert!(of(Some(ran(0, "hello", ""))).starts_with("unknown: no version in what"));
    assert!(of(Some(ran(1, "", "Traceback"))).starts_with("fail: /usr/bin/ansible-playbook is there and does not run (exit code 1)"));
    assert!(of(Some(CommandFacts { timed_out: true, ..CommandFacts::default() })).starts_with("unknown"));
    let better = check(json!({"kind": "tool", "command": "ansible-playbook", "min": "2.14", "better": "2.16"}));
    let of = |version: &str| {
        let version = Some(ran(0, version, ""));
        said(&tool(&better, &ToolFacts { path: Some("/a".into()), version }))
    };
    assert_eq!([of("2.13.1"), of("2.14.18"), of("2.16.0")], ["fail: 2.13.1 is too old (/a)", "warn: 2.14.18 (/a)", "pass: 2.16.0 (/a)"]);
    let plain = check(json!({"kind": "tool", "command": "istioctl", "exact": "1.22.0"}));
    let facts = ToolFacts { path: Some("/usr/bin/istioctl".into()), version: Some(ran(0, "client version: 1.22.0\n", "")) };
    assert_eq!(said(&tool(&plain, &facts)), "pass: 1.22.0 (/usr/bin/istioctl)");
}

#[test]
fn names_are_covered_as_browsers_see_it() {
    assert!(covers("*.example.org", "api.example.org") && covers("API.example.org", "api.example.org"));
    assert!(covers("*.example.org", "*.example.org"), "the wildcard itself was asked for");
    for name in ["example.org", "a.b.example.org", ".example.org", "xexample.org"] {
        assert!(!covers("*.example.org", name), "{name}");
    }
    assert!(!covers("api.example.org", "*.example.org"));
}

#[test]
fn certificates_are_judged_in_one_finding() {
    let spec = check(json!({"kind": "certificate", "chain": "c", "key": "k", "names": ["example.org", "*.example.org"], "days": 30}));
    let one = |subject: &str, self_signed, days: i64| OneCertificate {
        subject: subject.into(),
        issuer: "CN=R3".into(),
        self_signed,
        not_before: 0,
        not_after: 1_000_000 + days * DAY,
    };
    let good = CertificateFacts {
        key_matches: Some(true),
        certificates: vec![one("CN=example.org", false, 60), one("CN=R3", true, 900)],
        names: vec!["example.org".into(), "*.example.org".into()],
        looked_at: 1_000_000,
        ..CertificateFacts::default()
    };
    let of = |change: &dyn Fn(&mut CertificateFacts)| {
        let mut facts = good.clone();
        change(&mut facts);
        said(&certificates(&[&spec], &facts)[0])
    };
    assert_eq!(of(&|_| {}), "pass: CN=example.org from CN=R3, 60 days left, 2 certificates");
    assert_eq!(of(&|facts| facts.certificates[0].not_after = 1_000_000 - 1), "fail: it expired 1 days ago");
    assert_eq!(
        of(&|facts| facts.certificates[1].not_after = 1_000_000 + 3 * DAY),
        "fail: the certificate of CN=R3 in its chain expires in 3 days"
    );
    assert_eq!(
        of(&|facts| facts.certificates[1].not_after = 1_000_000 - 5 * DAY),
        "fail: the certificate of CN=R3 in its chain expired 5 days ago"
    );
    let both = |facts: &mut CertificateFacts| {
        *facts = CertificateFacts { chain_problem: Some("no file".into()), key_problem: Some("no file".into()), ..Default::default() };
    };
    assert_eq!(of(&both), "fail: no file", "one file that is neither is said once");
    assert_eq!(of(&|facts| facts.names.truncate(1)), "fail: it does not cover *.example.org (it has example.org)");
    assert_eq!(
        of(&|facts| {
            facts.certificates.truncate(1);
            facts.key_matches = Some(false);
        }),
        "fail: the key does not belong to the first certificate; it comes without the certificate of its issuer: use fullchain.pem"
    );
    assert!(
        of(&|facts| {
            facts.certificates = vec![one("CN=example.org", true, 60)];
        })
        .starts_with("warn: it is signed by itself")
    );
    assert!(of(&|facts| facts.key_matches = None).starts_with("unknown"));
    assert!(of(&|facts| facts.key_encrypted = true).contains("passphrase"));
    assert_eq!(of(&|facts| *facts = CertificateFacts { chain_problem: Some("absent".into()), ..Default::default() }), "fail: absent");
    // Two checks of the same files: what is wrong with the files has one finding, that of the graver one.
    let mut first = spec.clone();
    (first.id, first.level) = ("mosip".parse().unwrap(), Level::Warn);
    let mut second = check(json!({"kind": "certificate", "chain": "c", "key": "k", "names": ["rancher.example.net"], "days": 30}));
    second.id = "rancher".parse().unwrap();
    let of = |change: &dyn Fn(&mut CertificateFacts)| {
        let mut facts = good.clone();
        facts.names.push("*.example.net".into());
        change(&mut facts);
        certificates(&[&first, &second], &facts).iter().map(|finding| format!("{} {}", finding.check, said(finding))).collect::<Vec<_>>()
    };
    let right = "pass: CN=example.org from CN=R3, 60 days left, 2 certificates";
    assert_eq!(of(&|_| {}), [format!("rancher {right}"), format!("mosip {right}")]);
    let elsewhere = "mosip skipped: what is wrong with these files is said once: see rancher";
    assert_eq!(of(&|facts| facts.certificates[0].not_after = 1_000_000 - 1), ["rancher fail: it expired 1 days ago", elsewhere]);
    assert_eq!(of(&|facts| facts.key_matches = None)[1], elsewhere);
    let both = of(&|facts| {
        facts.certificates[0].not_after = 1_000_000 - 1;
        facts.names.remove(1);
    });
    assert_eq!(both[1], "mosip warn: it does not cover *.example.org (it has example.org, *.example.net)");
    assert_eq!(
        of(&|facts| drop(facts.names.pop())),
        ["rancher fail: it does not cover rancher.example.net (it has example.org, *.example.org)".to_owned(), format!("mosip {right}")]
    );
}

#[test]
fn keys_of_every_kind() {
    let spec = check(json!({"kind": "ssh_key", "field": "ssh_key"}));
    let good = KeyFacts {
        path: "/k".into(),
        mode: 0o600,
        owner: 7,
        uid: 7,
        format: Some("OpenSSH".into()),
        passphrase: Some(false),
        problem: None,
    };
    let of = |facts: KeyFacts| said(&ssh_key(&spec, &facts));
    assert_eq!(of(good.clone()), "pass: /k, mode 0600");
    assert!(of(KeyFacts { passphrase: Some(true), ..good.clone() }).contains("has a passphrase"));
    assert!(of(KeyFacts { mode: 0o644, ..good.clone() }).contains("mode 0644"));
    assert!(of(KeyFacts { owner: 0, ..good.clone() }).contains("belongs to user id 0"));
    assert!(of(KeyFacts { format: Some("PuTTY".into()), ..good.clone() }).contains("PuTTY"));
    assert!(of(KeyFacts { format: None, path: "/k.pub".into(), ..good.clone() }).contains("public part"));
    assert!(of(KeyFacts { passphrase: None, ..good.clone() }).starts_with("unknown"));
    assert!(of(KeyFacts::default()).contains("no key is named"));
}

#[test]
fn commands_helm_and_users() {
    let spec = check(json!({"kind": "command", "argv": ["kubectl", "get", "nodes"], "stdout": "Ready", "stdout_not": "NotReady"}));
    let of = |facts: CommandFacts| said(&command(&spec, &facts));
    assert_eq!(of(ran(0, "vm1 Ready", "")), "pass: vm1 Ready");
    assert_eq!(of(ran(0, "vm1 NotReady", "")), "fail: `kubectl get nodes` prints vm1 NotReady");
    assert_eq!(of(ran(0, "", "")), "fail: `kubectl get nodes` prints (nothing)");
    assert_eq!(of(ran(1, "", "no route\nmore")), "fail: `kubectl get nodes` exits with 1: no route");
    assert_eq!(of(ran(75, "", "nothing here can tell")), "unknown: nothing here can tell");
    let script = check(json!({"kind": "command", "argv": ["sh", "-c", "x"]}));
    assert_eq!(said(&command(&script, &ran(75, "", "no client"))), "unknown: no client");
    assert_eq!(said(&command(&script, &ran(1, "", "wrong"))), "fail: wrong");
    assert!(of(CommandFacts { timed_out: true, ..CommandFacts::default() }).starts_with("unknown"));
    let broken = check(json!({"kind": "command", "argv": ["x"], "stdout": "("}));
    assert!(said(&command(&broken, &ran(0, "", ""))).starts_with("unknown: the profile's pattern"));
    let helm = check(json!({"kind": "helm_repository", "name": "mosip"}));
    let of = |facts: CommandFacts| said(&helm_repository(&helm, &facts));
    assert_eq!(of(ran(0, r#"[{"name":"mosip","url":"https://x"}]"#, "")), "pass: mosip is https://x");
    assert_eq!(of(ran(0, r#"[{"name":"other","url":"https://x"}]"#, "")), "fail: there is no alias mosip");
    assert_eq!(of(ran(1, "", "Error: no repositories to show")), "fail: there is no alias mosip");
    assert!(of(ran(1, "", "boom")).starts_with("unknown"));
    let user = check(json!({"kind": "local_user", "writable": ["/a"]}));
    let folders = |problem: Option<&str>| [("/a".to_owned(), problem.map(str::to_owned))].into();
    assert_eq!(said(&local_user(&user, &UserFacts { uid: 1000, name: "u".into(), folders: folders(None) })), "pass: u (uid 1000)");
    let both = said(&local_user(&user, &UserFacts { uid: 0, name: "root".into(), folders: folders(Some("/a is full")) }));
    assert!(both.starts_with("fail: it runs as root") && both.ends_with("/a is full"));
}

#[test]
fn networks_overlap_or_do_not() {
    assert_eq!(range("10.0.0.0/8"), Some((0x0a00_0000, 0x0aff_ffff)));
    assert_eq!(range("0.0.0.0/0"), Some((0, u32::MAX)));
    assert_eq!(range("10.1.2.3"), Some((0x0a01_0203, 0x0a01_0203)));
    assert_eq!((range("10.0.0.0/33"), range("x/8")), (None, None));
}

#[test]
fn web_and_port_answers() {
    let spec = check(json!({"kind": "http", "url": "https://rancher.example.org/", "status": [200, 302], "contains": "Rancher"}));
    let answer = |status, body: &str| HttpAnswer::Answer { status, body: body.into(), location: None };
    let of = |answer: HttpAnswer| said(&super::super::http(&spec, &answer));
    assert_eq!(of(answer(200, "Rancher")), "pass: it answers 200");
    assert_eq!(of(answer(503, "Rancher")), "fail: it answers 503");
    assert_eq!(of(answer(200, "<h1>nginx</h1>")), "fail: it answers 200, without the text expected: <h1>nginx</h1>");
    assert_eq!(of(HttpAnswer::Timeout), "unknown: no answer in time");
    assert!(of(HttpAnswer::Certificate("expired".into())).starts_with("fail: its certificate is not accepted"));
    let answers = [(22, TcpAnswer::Open { banner: Some("SSH-2.0-x".into()) }), (443, TcpAnswer::Refused), (6443, TcpAnswer::Silent(3000))];
    let answers = answers.into_iter().collect();
    let tcp = |ports: &[u16], listening| {
        let finding = super::super::network::tcp(ports, listening, &answers, true).finding(&spec, Target::Local);
        (said(&finding), finding.remedy)
    };
    assert_eq!(tcp(&[22, 443], false).0, "pass: 22 open, 443 refused");
    assert_eq!(tcp(&[22, 443], true).0, "fail: 443 refused: nothing listens there");
    let (closed, remedy) = tcp(&[22, 6443], false);
    assert_eq!(closed, "fail: 6443 does not answer within 3.0 s");
    assert_eq!(remedy, "Ask for a firewall rule: from the deployment node to this machine, tcp 6443.");
    assert_eq!(tcp(&[1], false).0, "unknown: 1 was not tried");
    assert_eq!(Verdict::Unknown.to_string(), "unknown");
}
