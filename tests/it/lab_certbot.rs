//! The DNS challenge of the V3 profile: two rounds of TXT records on the lab's name server, each of which must be there as a whole. certbot is
//! stood in for (there is no authority to ask); the hook, the run and the checks afterwards are the program's own.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use mosip_setup::adapters::profiles::load;

use crate::lab::{HOSTS, INSTALLED, Lab, obstacle};
use crate::stage::PATIENCE;
use crate::support::{Done, repository, skip};
use crate::v3_machines::variant;

const MACHINES: [(&str, &str); 5] = [
    ("obs-node", "\"observation-node\", \"observation-server\""),
    ("nginx-obs", "\"nginx-observation\""),
    ("wg-bastion", "\"bastion\""),
    ("vm1", "\"mosip-node\", \"mosip-server\""),
    ("mosip-nginx", "\"nginx\""),
];

const CHECKS: [&str; 2] = ["certificate.issued.mosip", "certificate.issued.observation"];

fn site() -> String {
    let mut text = "schema = 1\nid = \"lab-certbot\"\nprofile = \"variant\"\ndomain = \"sandbox.example.org\"\n\
        rancher_host = \"rancher.sandbox.example.org\"\nrancher_keycloak_host = \"keycloak.sandbox.example.org\"\nnetwork = \"10.77.0.0/24\"\n\
        ssh_key = \"~/.ssh/id_ed25519\"\niam_smtp_from = \"noreply@example.org\"\ncertificate_source = \"certbot\"\ncertbot_email = \"a@example.org\"\n"
        .to_owned();
    for (name, roles) in MACHINES {
        let address = HOSTS.iter().find(|(host, _)| *host == name).unwrap().1;
        let public = if matches!(name, "mosip-nginx" | "wg-bastion") { "public_address = \"192.0.2.20\"\n" } else { "" };
        text += &format!("[[machine]]\nname = \"{name}\"\nroles = [{roles}]\naddress = \"{address}\"\n{public}");
    }
    text += "[secret]\n";
    for name in ["rancher_bootstrap_password", "prereg_captcha_secret_key", "resident_captcha_secret_key"] {
        text += &format!("{name} = \"file:~/secret\"\n");
    }
    text
}

struct Node {
    lab: Lab,
}

impl Node {
    fn ready() -> Self {
        let (fixtures, profiles) = (repository().join("tests/fixtures/v3"), repository().join("profiles"));
        let lab = Lab::with(&[], &[(fixtures.as_path(), "/srv/v3"), (profiles.as_path(), "/srv/profiles")]);
        // Nothing of the sources is run; the files by which their layout is known must be there.
        let profile = load("v3-onprem").unwrap();
        let markers = |name: &str| profile.sources[name].markers.join(" ");
        let (k8s, mosip) = (markers("k8s-infra"), markers("mosip-infra"));
        let script = format!(
            "set -e; sudo ln -sf /srv/v3/certbot /usr/local/bin/certbot; cp /srv/profiles/*.toml ~/; (umask 077; printf canary-of-the-lab >~/secret)\n\
             source() {{ mkdir ~/$1.up; cd ~/$1.up; shift; for one; do mkdir -p $(dirname $one); echo >$one; done; git init -q -b main; git add -A\n\
             git -c user.name=lab -c user.email=lab@example.org commit -q -m source; }}\n\
             source k8s-infra {k8s}\nsource mosip-infra {mosip}\n\
             cat >~/variant.toml <<'END'\n{}END\ncat >~/site.toml <<'END'\n{}END\n",
            variant(&["certificates"], &CHECKS),
            site()
        );
        lab.sh(&script).expect(0);
        let node = Self { lab };
        let source = |name: &str| format!("{name}=/home/ubuntu/{name}.up");
        node.run(&["fetch", "--source", &source("k8s-infra"), "--source", &source("mosip-infra")]).expect(0);
        node
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut words = vec![INSTALLED];
        words.extend(arguments);
        words.extend(["--site", "/home/ubuntu/site.toml"]);
        let argv = self.lab.argv("deployment-node", &["MOSIP_SETUP_TXT_SECONDS=1,0"], &words);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        Done::of(&mut self.command(arguments))
    }

    /// The log of a step as soon as it has this text.
    fn log_with(&self, step: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.run(&["logs", step]).out;
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "{step}: no {text:?} in {log}");
        }
    }

    /// The TXT records that a step asks for.
    fn records(&self, step: &str) -> Vec<(String, String)> {
        let log = self.log_with(step, "goes on by itself");
        let record = |line: &str| {
            let (name, value) = line.trim().split_once(".  TXT  ")?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        };
        log.lines().filter_map(record).collect()
    }

    fn add(&self, (name, value): &(String, String)) {
        self.lab.fault(&["dns", "add", name, "TXT", value]);
    }
}

#[track_caller]
fn ended(run: Child) -> Done {
    let output = run.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn both_rounds_of_the_challenge_wait_for_all_their_records() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let node = Node::ready();
    let run = node.command(&["run", "--yes", "--to", "certificates"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The wildcard and its root: two values at one name, which must stand there together.
    let wanted = node.records("certificates/mosip");
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["_acme-challenge.sandbox.example.org"; 2]);
    assert_ne!(wanted[0].1, wanted[1].1);
    node.log_with("certificates/mosip", "no TXT record at _acme-challenge.sandbox.example.org yet");
    node.add(&wanted[0]);
    let log = node.log_with("certificates/mosip", &format!("does not have {} yet", wanted[1].1));
    assert!(!log.contains("DNS has all records"), "{log}");
    node.add(&wanted[1]);
    // Rancher and its Keycloak: a name each. The first round's records are of no use here.
    let wanted = node.records("certificates/observation");
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["_acme-challenge.rancher.sandbox.example.org", "_acme-challenge.keycloak.sandbox.example.org"]);
    node.add(&wanted[1]);
    let log = node.log_with("certificates/observation", "no TXT record at _acme-challenge.rancher.sandbox.example.org yet");
    assert!(!log.contains("DNS has all records"), "{log}");
    node.add(&wanted[0]);
    ended(run).expect(0);
    for step in ["certificates/mosip", "certificates/observation"] {
        node.log_with(step, "DNS has all records. Waiting 0 s");
        node.log_with(step, "Successfully received certificate.");
    }
    // What was issued is what the later phases want.
    let done = node.run(&["check", "--only", CHECKS[0], "--only", CHECKS[1]]).expect(0);
    assert!(done.out.contains("2 pass"), "{}", done.out);
    let calls = node.lab.sh("cat ~/certbot-calls").expect(0).out;
    assert_eq!(calls.lines().count(), 2, "{calls}");
    assert!(calls.contains("-d *.sandbox.example.org -d sandbox.example.org\n"), "{calls}");
}
