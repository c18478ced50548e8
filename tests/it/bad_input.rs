//! Sites that cannot be: refused with a reason, soon.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::Stage;
use crate::lab::obstacle;
use crate::support::{Place, skip};

const HEAD: &str = "schema = 1\nid = \"bad-0001\"\nprofile = \"turing-rke2\"\ndomain = \"sandbox.example.org\"\ninstallation_name = \"sandbox\"\n\
    public_api_address = \"192.0.2.10\"\nwireguard_endpoint = \"192.0.2.20\"\nwireguard_network = \"10.0.0.0/9\"\n\
    [secret]\nrancher_bootstrap_password = \"env:PASSWORD\"\n";

fn refused(machines: &str) -> (String, Duration) {
    let place = Place::new();
    let file = place.path("site.toml");
    fs::write(&file, format!("{HEAD}{machines}")).unwrap();
    let began = Instant::now();
    let done = place.run(&["site", "check", "--site", file.to_str().unwrap()]);
    assert_eq!(done.code, 2, "{}{}", done.out, done.err);
    (format!("{}{}", done.out, done.err), began.elapsed())
}

fn machine(name: &str, address: &str) -> String {
    format!("[[machine]]\nname = \"{name}\"\nroles = [\"cluster\", \"rke2-agent\", \"worker\"]\naddress = \"{address}\"\n")
}

#[test]
fn ten_thousand_machines_are_one_sentence() {
    let mut machines = String::new();
    for number in 0..10_000 {
        let _ = write!(machines, "{}", machine(&format!("vm{number}"), &format!("10.1.{}.{}", number / 250, number % 250 + 1)));
    }
    let (said, took) = refused(&machines);
    assert!(said.contains("10000 machines, and 500 are the most that this program takes"), "{said}");
    assert!(said.lines().count() < 12, "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn addresses_that_cannot_be_are_named() {
    let (said, _) =
        refused(&[machine("vm1", "10.0.0.1"), machine("vm2", "10.0.0.1"), machine("vm3", "fd00::3"), machine("vm4", "10.0.0")].concat());
    assert!(said.contains("10.0.0.1 is also the address of vm1"), "{said}");
    assert!(said.contains("'fd00::3' looks like IPv6; the tools driven take IPv4 addresses only"), "{said}");
    assert!(said.contains("'10.0.0' is not a complete IPv4 address"), "{said}");
}

/// What `check --json` says is not green, without what the lab never has: the internet.
fn open(stage: &Stage, further: &[&str]) -> Vec<String> {
    let done = stage.run(&[&["check", "--json"], further].concat());
    assert_eq!(done.code, 3, "{}{}", done.out, done.err);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    all.filter(|finding| matches!(finding["verdict"].as_str(), Some("fail" | "unknown")))
        .filter(|finding| finding["ignored"].is_null())
        .map(|finding| {
            format!("{} {} {}: {}", text(finding, "verdict"), text(finding, "check"), text(finding, "target"), text(finding, "observed"))
        })
        .collect()
}

#[test]
fn machines_in_a_bad_way_give_findings_with_reasons() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let stage = Stage::with("", "");
    stage.run(&["check", "--accept-host-keys", "--only", "machine.login"]).expect(0);
    let root = |host: &str, script: &str| stage.lab.run(host, &["sudo", "sh", "-c", script]).expect(0);
    // One that has no python, may run nothing from /tmp, and greets everybody; one whose data became read-only.
    root("vm2", "mount -t tmpfs -o noexec none /tmp; rm -f /usr/bin/python3* /usr/local/bin/python3*");
    let greeting = "echo 'Welcome to vm2'; echo; printf 'bash: warning: setlocale: LC_ALL: cannot change locale (tlh)\\n' >&2\n";
    root("vm2", &format!("printf '%s' \"{greeting}\" | tee /home/ubuntu/.profile >/home/ubuntu/.bashrc"));
    root("obs-node", "mount --bind /var/lib /var/lib; mount -o remount,bind,ro /var/lib");
    let found = open(&stage, &[]);
    assert_eq!(
        found,
        ["fail machine.python machine:vm2: no python3 that runs", "fail machine.writable machine:obs-node: /var/lib is mounted read-only"],
        "{found:#?}"
    );
    // A name server that never answers, and one that answers whatever it is asked: one finding each.
    let names = ["--only", "dns.rancher", "--only", "dns.internal", "--only", "dns.machines"];
    for (mode, verdict, says) in [("silent", "unknown", "did not answer in time"), ("lie", "fail", "answers every name alike")] {
        stage.lab.fault(&["dns", "mode", mode]);
        let found = open(&stage, &names);
        assert!(matches!(&found[..], [one] if one.starts_with(verdict) && one.contains(says)), "{mode}: {found:#?}");
    }
    stage.lab.fault(&["dns", "mode", "answer"]);
    // The chain is a pipe that nobody writes to, the key a folder.
    stage.lab.sh("cd ~/certificates && rm fullchain.pem privkey.pem && mkfifo fullchain.pem && mkdir privkey.pem").expect(0);
    let found = open(&stage, &["--only", "certificate.nginx"]);
    let said = "fail certificate.nginx local: /home/ubuntu/certificates/fullchain.pem is not a regular file; \
                /home/ubuntu/certificates/privkey.pem is not a regular file";
    assert_eq!(found, [said]);
}
