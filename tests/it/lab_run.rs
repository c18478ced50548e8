//! The shipped profile on lab hosts, through the real program: real SSH, real Ansible, real Terraform; recorders for what would need
//! a cluster. A host that is missing, a playbook and an apply that fail once: repaired, retried, from the command line and the screen.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{HOSTS, INSTALLED, Lab, NO_INTERNET, obstacle};
use crate::support::{Done, on_path, skip};
use crate::terminal::Terminal;

/// A site of five machines: the smallest that the profile allows with an nginx of its own for each cluster.
const MACHINES: [(&str, &str); 5] = [
    ("vm1", "\"cluster\", \"control-plane-primary\", \"worker\""),
    ("obs-node", "\"observation\""),
    ("nginx-obs", "\"nginx-observation\""),
    ("mosip-nginx", "\"nginx\""),
    ("wg-bastion", "\"bastion\""),
];

const PASSWORD: &str = "Lab-Canary/bootstrap+42";
pub const ADDRESS: &str = "https://rancher.sandbox.example.org/v3/import/labcanary0123456789abcdef_c-m-labcanry.yaml";

/// How long a playbook may take here.
const LONG: Duration = Duration::from_secs(600);

fn site() -> String {
    let mut text = "schema = 1\nid = \"lab-0001\"\nprofile = \"turing-rke2\"\ndomain = \"sandbox.example.org\"\ninstallation_name = \"sandbox\"\n\
         public_api_address = \"192.0.2.10\"\nwireguard_endpoint = \"192.0.2.20\"\nwireguard_network = \"10.77.0.0/24\"\nssh_user = \"ubuntu\"\n\
         certificate_chain = \"~/certificates/fullchain.pem\"\ncertificate_key = \"~/certificates/privkey.pem\"\nrancher_base = \"~/rancher\"\n"
        .to_owned();
    for (name, roles) in MACHINES {
        let address = HOSTS.iter().find(|(host, _)| *host == name).unwrap().1;
        let public = match name {
            "mosip-nginx" => "public_address = \"192.0.2.10\"\n",
            "wg-bastion" => "public_address = \"192.0.2.20\"\n",
            _ => "",
        };
        text += &format!("[[machine]]\nname = \"{name}\"\nroles = [{roles}]\naddress = \"{address}\"\n{public}");
    }
    text + "[secret]\nrancher_bootstrap_password = \"file:~/secrets/password\"\n[source.kit]\npath = \"/home/ubuntu/source\"\n"
}

/// A deployment node that is ready to begin: the kit under git, a site file, the password, and every host key seen.
pub struct Node {
    pub lab: Lab,
}

impl Node {
    pub fn ready() -> Self {
        let hosts = MACHINES.map(|(name, _)| name);
        let lab = Lab::with(&hosts, &[]);
        // One machine that is as large as six.
        lab.fault(&["cpus", "vm1", "72"]);
        lab.fault(&["memory", "vm1", "192"]);
        let script = format!(
            "set -e; umask 077; cp -r /srv/kit ~/source; cd ~/source; git init -q -b main; git add -A -f\n\
             git -c user.name=lab -c user.email=lab@example.org commit -q -m kit; mkdir ~/secrets; printf '%s' '{PASSWORD}' >~/secrets/password\n\
             cat >~/site.toml <<'END'\n{}END\n",
            site()
        );
        lab.sh(&script).expect(0);
        let node = Self { lab };
        node.run(&["fetch"]).expect(0);
        node.run(&["check", "--only", "egress.charts", "--ignore", NO_INTERNET]).expect(0);
        node
    }

    pub fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let mut words = vec![INSTALLED];
        words.extend(arguments);
        words.extend(["--site", "/home/ubuntu/site.toml"]);
        self.lab.argv("deployment-node", &[], &words)
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        let argv = self.argv(arguments);
        Done::of(Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()))
    }

    pub fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        use std::io::Write as _;
        let argv = self.argv(arguments);
        let mut command = Command::new(&argv[0]);
        let mut child = command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        crate::stage::done(child)
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"]).expect(0).out).unwrap()
    }

    #[track_caller]
    fn is(&self, phase: &str, state: &str) {
        let status = self.status();
        let found = status["phases"].as_array().unwrap().iter().find(|found| found["id"] == phase).unwrap();
        assert_eq!(found["state"], state, "{phase}: {found}");
    }
}

pub fn cannot() -> Option<(&'static str, &'static str)> {
    if let Some(reason) = obstacle() {
        return Some(("lab", reason));
    }
    (!on_path("ansible-playbook")).then_some(("ansible", "ansible-playbook is not installed"))
}

#[test]
fn the_shipped_profile_installs_a_lab_through_a_missing_host_and_two_failures() {
    if let Some((name, reason)) = cannot() {
        skip!(name, reason);
    }
    let node = Node::ready();
    let lab = &node.lab;

    // A host is missing, and no host key is known: both are said, and one is not the cause of the other.
    lab.fault(&["host-down", "vm1"]);
    let unknown = node.run(&["check"]).expect(3);
    assert!(unknown.out.contains("machine:vm1") && unknown.out.contains("machine:wg-bastion"), "{}", unknown.out);
    let missing = node.run(&["check", "--accept-host-keys"]).expect(3);
    assert!(missing.out.contains("recorded  wg-bastion (10.77.0.10)") && !missing.out.contains("recorded  vm1"), "{}", missing.out);
    assert!(
        missing.out.contains("fail     machine.") && missing.out.contains(" on machine:vm1\n"),
        "one host, one finding: {}",
        missing.out
    );
    lab.fault(&["host-up", "vm1"]);
    node.run(&["check", "--accept-host-keys"]).expect(0);

    // The plan touches nothing.
    let plan = node.run(&["plan", "--diff"]).expect(0);
    assert!(plan.out.contains("ansible-playbook") && !plan.out.contains(PASSWORD), "{}", plan.out);
    lab.sh("test ! -e ~/automating-mosip-deployment && test ! -e ~/rancher").expect(0);

    // A playbook that fails once.
    lab.fault(&["fail-once", "wg-bastion", "wireguard"]);
    let failed = node.run(&["run", "--yes", "--to", "wireguard"]).expect(1);
    assert!(failed.out.contains("FAILED   wireguard/playbook") && failed.out.contains("Error pulling image"), "{}", failed.out);
    node.is("wireguard", "failed");
    node.run(&["retry"]).expect(0);
    node.is("wireguard", "done");
    lab.sh("grep -q '^Endpoint = 192.0.2.20' ~/wireguard-peer1.conf && test $(stat -c %a ~/wireguard-peer1.conf) = 600").expect(0);

    // nginx fails where it is not looked for: its phase is run again, with a restart.
    lab.fault(&["fail-once", "nginx-obs", "nginx-obs"]);
    let failed = node.run(&["run", "--yes", "--to", "obs-cluster"]).expect(1);
    assert!(failed.out.contains("ngx_stream_module.so"), "{}", failed.out);
    // What the first attempt has started does not stand in the way of the second.
    let passed = node.run(&["retry"]).expect(0);
    assert!(passed.out.contains("obs-cluster/restart-nginx"), "{}", passed.out);
    let inventory =
        lab.sh("cd ~/automating-mosip-deployment/ansible/infra_deployment && ansible-inventory -i inventory/rancher.ini --list").expect(0);
    assert!(inventory.out.contains("libnginx-mod-stream") && inventory.out.contains("open-iscsi"), "{}", inventory.out);
    lab.sh("cd ~/automating-mosip-deployment && git status --porcelain | grep . && exit 1 || exit 0").expect(0);
    let token = lab.sh("stat -c %a ~/rancher/obs/rke2_token; cat ~/rancher/obs/rke2_token").expect(0).out;
    assert!(token.starts_with("600\n") && token.trim().len() >= 68, "{token}");

    if !on_path("terraform") {
        skip!("terraform", "terraform is not installed; Debian does not package it");
    }
    let asked = node.run(&["run", "--yes"]).expect(4);
    assert!(asked.out.contains("QUESTION rancher-import/address#1"), "{}", asked.out);
    lab.fault(&["fail-once", "deployment-node", "keycloak"]);
    let answered = node.run_with(&["answer", "rancher-import/address#1"], ADDRESS);
    let failed = if answered.code == 0 { node.run(&["run", "--yes"]) } else { answered }.expect(1);
    assert!(failed.out.contains("FAILED   mosip-services/apply") && failed.out.contains("context deadline exceeded"), "{}", failed.out);
    // What failed while it was made is made again, and that is a replacement: nothing is replaced without consent.
    let asked = node.run(&["retry"]).expect(4);
    assert!(asked.out.contains("would destroy or replace") && asked.out.contains("helm_release[\"keycloak\"]"), "{}", asked.out);
    let question = node.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    node.run(&["answer", &question, "yes"]).expect(0);
    let done = node.run(&["run", "--yes"]).expect(0);
    assert_eq!(node.status()["state"], "done", "{}", done.out);

    // Every call of a cluster's tools named its cluster; nothing ran verbosely; the saved plan is gone; no secret was kept.
    let calls = lab.calls("deployment-node");
    let blind = calls
        .lines()
        .filter(|line| line.starts_with("kubectl\tKUBECONFIG=\t") && !line.contains("version") && !line.contains("--kubeconfig"));
    assert_eq!(blind.collect::<Vec<_>>(), [""; 0], "kubectl without a cluster");
    let state = "/home/ubuntu/.local/state/mosip-setup";
    let typed = lab.sh(&format!("grep -rhE '^\\$ ansible' --include=output.log {state}/sites/*/runs")).expect(0);
    let verbose: Vec<&str> =
        typed.out.lines().filter(|line| line.split(' ').any(|word| word.starts_with("-v") || word == "--verbose")).collect();
    assert!(verbose.is_empty() && typed.out.contains("deploy-rancher.yml"), "{verbose:?}");
    lab.sh(&format!("! grep -rqF -e '{PASSWORD}' -e 'labcanary0123456789' {state}/sites/*/runs {state}/sites/*/*.json")).expect(0);
    lab.sh("! find ~ -name '*.tfplan' | grep .").expect(0);
    assert_eq!(lab.sh("find /tmp -user ubuntu -type f").expect(0).out, "", "nothing is left in /tmp");
}

#[test]
fn a_playbook_that_failed_is_retried_from_the_screen() {
    if let Some((name, reason)) = cannot() {
        skip!(name, reason);
    }
    let node = Node::ready();
    node.run(&["check", "--accept-host-keys"]).expect(0);
    node.lab.fault(&["fail-once", "wg-bastion", "wireguard"]);
    node.run(&["run", "--yes", "--to", "prepare"]).expect(0);
    node.run(&["run", "--yes", "--only", "wireguard"]).expect(1);
    let command = node.lab.in_terminal(&[INSTALLED, "run", "--site", "/home/ubuntu/site.toml"]);
    let mut terminal = Terminal::start(command, 110, 32);
    terminal.until_shows("WireGuard bastion failed");
    terminal.until_shows("Error pulling image");
    terminal.send("r");
    terminal.until_within(LONG, "the phase done", |screen| {
        screen.lines().any(|line| line.contains("✓ WireGuard bastion") && line.contains("done"))
    });
    terminal.send("q");
    terminal.until("the program has ended or asks", |screen| {
        !screen.contains("phases settled") || screen.contains("Leave") || screen.contains("stop")
    });
    drop(terminal);
    node.is("wireguard", "done");
}

#[test]
fn a_terminal_that_hangs_up_during_a_playbook_ends_nothing() {
    if let Some((name, reason)) = cannot() {
        skip!(name, reason);
    }
    let node = Node::ready();
    node.run(&["check", "--accept-host-keys"]).expect(0);
    node.run(&["run", "--yes", "--to", "prepare"]).expect(0);
    let words = [INSTALLED, "run", "--yes", "--plain", "--only", "update-nodes", "--site", "/home/ubuntu/site.toml"];
    let mut terminal = Terminal::start(node.lab.in_terminal(&words), 100, 30);
    terminal.until_within(LONG, "the playbook at work", |screen| screen.contains("TASK ["));
    // Closing the terminal: everything in its session is hung up.
    drop(terminal);
    let status = node.status();
    assert_eq!((status["state"].as_str(), status["engine"]["working"].as_bool()), (Some("running"), Some(true)), "{status}");
    // Whoever attaches sees all of it, and how it ends.
    let watched = node.run(&["attach", "--json"]).expect(0);
    let kinds: Vec<String> =
        watched.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("run_opened", "engine_stopped"), "{kinds:?}");
    node.is("update-nodes", "done");
    let log = node.run(&["logs", "update-nodes"]).expect(0);
    assert!(log.out.contains("PLAY RECAP"), "{}", log.out);
    assert_eq!(log.out.matches("PLAY RECAP").count(), 1, "it was carried out once");
}
