//! The matrix of paths on lab hosts: each fault gives exactly its finding and turns green when repaired; listeners are gone afterwards,
//! also when the program is killed; machines with other tools, or none.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{HOSTS, INSTALLED, Lab, obstacle};
use crate::support::{Done, skip};

const MACHINES: [(&str, &str); 7] = [
    ("vm1", "\"cluster\", \"control-plane-primary\", \"worker\""),
    ("vm2", "\"cluster\", \"control-plane-subsequent\", \"worker\""),
    ("vm3", "\"cluster\", \"control-plane-subsequent\", \"worker\""),
    ("obs-node", "\"observation\""),
    ("nginx-obs", "\"nginx-observation\""),
    ("mosip-nginx", "\"nginx\""),
    ("wg-bastion", "\"bastion\""),
];

fn site() -> String {
    let mut text = "schema = 1\nid = \"lab-0002\"\nprofile = \"turing-rke2\"\ndomain = \"sandbox.example.org\"\ninstallation_name = \"sandbox\"\n\
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

/// The checks of paths, and what says that a machine cannot be asked.
const ONLY: [&str; 10] = [
    "machine.login",
    "ports.reach.cluster",
    "ports.reach.nginx",
    "ports.free.cluster",
    "ports.between.cluster",
    "ports.between.servers",
    "ports.between.etcd",
    "ports.between.nginx",
    "ports.between.gateways",
    "path.mtu",
];

struct Node {
    lab: Lab,
}

impl Node {
    fn ready() -> Self {
        let lab = Lab::with(&MACHINES.map(|(name, _)| name), &[]);
        let script = format!(
            "set -e; umask 077; cp -r /srv/kit ~/source; cd ~/source; git init -q -b main; git add -A -f\n\
             git -c user.name=lab -c user.email=lab@example.org commit -q -m kit; mkdir ~/secrets; printf '%s' 'Lab-Canary/x+42' >~/secrets/password\n\
             cat >~/site.toml <<'END'\n{}END\n",
            site()
        );
        lab.sh(&script).expect(0);
        let node = Self { lab };
        Done::of(Command::new(&node.argv(&["fetch"])[0]).args(&node.argv(&["fetch"])[1..]).stdin(Stdio::null())).expect(0);
        node.check(&["--accept-host-keys"]);
        node
    }

    fn argv(&self, arguments: &[&str]) -> Vec<String> {
        let mut words = vec![INSTALLED];
        words.extend(arguments);
        words.extend(["--site", "/home/ubuntu/site.toml"]);
        self.lab.argv("deployment-node", &[], &words)
    }

    /// The findings of the checks of paths, those that pass left out: `check verdict target: observed`.
    fn check(&self, further: &[&str]) -> Vec<String> {
        let mut words = vec!["check", "--json"];
        words.extend(ONLY.iter().flat_map(|id| ["--only", id]));
        words.extend(further);
        let argv = self.argv(&words);
        let done = Done::of(Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()));
        // What recording host keys says comes first.
        let Some(start) = done.out.find('{') else { panic!("{} {}", done.out, done.err) };
        let report: Value = serde_json::from_str(&done.out[start..]).unwrap_or_else(|error| panic!("{error}: {} {}", done.out, done.err));
        let found = report["findings"].as_array().unwrap().iter().filter(|finding| !matches!(finding["verdict"].as_str(), Some("pass")));
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        found
            .map(|one| {
                format!(
                    "{} {} {}: {} | {}",
                    word(one, "check"),
                    word(one, "verdict"),
                    word(one, "target"),
                    word(one, "observed"),
                    word(one, "remedy")
                )
            })
            .collect()
    }

    fn open(&self) -> Vec<String> {
        self.check(&[]).into_iter().filter(|line| !line.contains(" skipped ")).collect()
    }

    /// Test listeners on a host.
    fn listeners(&self, host: &str) -> usize {
        let script = "for one in /proc/[0-9]*/comm; do cat \"$one\" 2>/dev/null; done";
        self.lab.run(host, &["sh", "-c", script]).out.lines().filter(|name| *name == "mosip-preflight").count()
    }

    fn until_listeners(&self, host: &str, there: bool, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if (self.listeners(host) > 0) == there {
                return true;
            }
        }
        false
    }
}

#[test]
fn each_blocked_path_is_one_finding_and_green_when_repaired() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let node = Node::ready();
    assert_eq!(node.open(), [""; 0], "nothing is blocked");
    for (fault, starts, remedy) in [
        (
            &["vm3", "10.77.0.41", "8472", "udp"][..],
            "ports.between.cluster fail vm1→vm3:8472/udp: 8472/udp (VXLAN of the pod network) from vm1 to vm3 gets no answer",
            "allow udp from 10.77.0.41 to 10.77.0.43 port 8472 (VXLAN of the pod network)",
        ),
        (
            &["vm2", "10.77.0.43", "6443", "tcp"],
            "ports.between.servers fail vm3→vm2:6443/tcp: 6443/tcp (Kubernetes API) from vm3 to vm2 gets no answer",
            "allow tcp from 10.77.0.43 to 10.77.0.42 port 6443 (Kubernetes API)",
        ),
        (
            &["vm1", "10.77.0.5", "6443", "tcp"],
            "ports.reach.cluster fail local→vm1:6443/tcp: 6443/tcp (Kubernetes API) from this machine to vm1 gets no answer",
            "allow tcp from this machine to 10.77.0.41 port 6443 (Kubernetes API)",
        ),
        (
            &["vm2", "10.77.0.0/24", "9099", "tcp"],
            "ports.between.cluster fail vm1→vm2:9099/tcp: 9099/tcp (health of the pod network) from vm1 and vm3 to vm2 (2 pairs of machines) gets no answer",
            "allow tcp from 10.77.0.41 and 10.77.0.43 to 10.77.0.42 port 9099 (health of the pod network)",
        ),
    ] {
        let words = |name| [&[name][..], fault].concat();
        node.lab.fault(&words("path-closed"));
        let found = node.open();
        assert_eq!(found.len(), 1, "{fault:?}: {found:#?}");
        assert!(found[0].starts_with(starts) && found[0].contains(remedy), "{fault:?}: {found:#?}");
        node.lab.fault(&words("path-open"));
    }
    assert_eq!(node.open(), [""; 0], "all is repaired");
    // Something foreign: TCP says who, UDP cannot be told.
    node.lab.fault(&["busy-port", "vm2", "10250"]);
    let found = node.open();
    assert_eq!(found.len(), 1, "the port that is taken, and no path: {found:#?}");
    assert!(found[0].starts_with("ports.free.cluster fail machine:vm2: 10250/tcp is taken by python3"), "{found:#?}");
    node.lab.fault(&["free-port", "vm2", "10250"]);
    // A machine that is down is said by its login alone.
    node.lab.fault(&["host-down", "vm3"]);
    let found = node.check(&[]);
    let open: Vec<&String> = found.iter().filter(|line| !line.contains(" skipped ")).collect();
    assert!(matches!(open[..], [one] if one.starts_with("machine.login fail machine:vm3")), "{open:#?}");
    assert!(
        found.iter().any(|line| line.starts_with("ports.between.cluster skipped vm1→vm3:10250/tcp: vm3 is not reachable")),
        "{found:#?}"
    );
    node.lab.fault(&["host-up", "vm3"]);
    assert_eq!(node.open(), [""; 0]);
    assert_eq!(node.listeners("vm1") + node.listeners("mosip-nginx"), 0, "nothing of ours listens any more");
}

#[test]
fn listeners_end_with_a_program_that_is_killed() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let node = Node::ready();
    // While one machine does not answer, the listeners of the others wait for it: time to kill the program.
    node.lab.fault(&["host-down", "vm3"]);
    let argv = node.argv(&["check", "--json"]);
    let mut child =
        Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(node.until_listeners("vm1", true, Duration::from_secs(30)), "no listener came up");
    node.lab.sh("for one in /proc/[0-9]*; do if grep -qz '^/usr/local/bin/mosip-setup' $one/cmdline 2>/dev/null; then kill -9 ${one#/proc/}; fi; done").expect(0);
    let killed = Instant::now();
    let _ = child.wait();
    assert!(node.until_listeners("vm1", false, Duration::from_secs(20)), "a listener outlives the program that was killed");
    assert!(node.until_listeners("mosip-nginx", false, Duration::from_secs(20)), "so does one started with sudo");
    assert!(killed.elapsed() < Duration::from_secs(40), "by the end of the connection, not by their own clock");
    assert_eq!(node.lab.run("vm1", &["sh", "-c", "ss -Hlntu 2>/dev/null | grep -c ':6443 ' || :"]).out.trim(), "0");
}

#[test]
fn machines_with_other_tools_take_part_and_one_without_any_is_unknown() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    let node = Node::ready();
    let without = |host: &str, tools: &str| {
        let script = format!("for tool in {tools}; do rm -f /usr/bin/$tool* /bin/$tool*; done");
        let done = node.lab.run(host, &["sudo", "sh", "-c", &script]);
        done.expect(0);
    };
    without("vm2", "python3");
    assert_eq!(node.open(), [""; 0], "perl does the same");
    node.lab.fault(&["path-closed", "vm2", "10.77.0.41", "8472", "udp"]);
    assert!(matches!(&node.open()[..], [one] if one.starts_with("ports.between.cluster fail vm1→vm2:8472/udp")), "{:#?}", node.open());
    node.lab.fault(&["path-open", "vm2", "10.77.0.41", "8472", "udp"]);
    without("vm2", "perl nc ncat");
    let found = node.open();
    // Its ports refuse by themselves what reaches them, so that only what it would have to try is not known: one cause, one finding.
    assert!(
        matches!(&found[..], [one] if one.contains(" unknown ") && one.contains("vm2 has neither python3 nor perl nor nc to try paths with")),
        "{found:#?}"
    );
}
