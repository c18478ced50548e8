//! The phases of MOSIP's own routes that work on machines, on lab hosts: real OpenSSH, the real playbooks and scripts of the clones, a real nginx.
//! What a namespace cannot have is stood in for by `tests/fixtures/v3/machines`: a package index, ufw, Docker, systemd, the kernel's NFS server.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use mosip_setup::adapters::profiles::load;

use crate::lab::{HOSTS, INSTALLED, Lab};
use crate::lab_run::cannot;
use crate::support::{Done, repository, skip};
use crate::v3::clones;

const MACHINES: [(&str, &str); 6] = [
    ("obs-node", "\"observation-node\", \"observation-server\""),
    ("nginx-obs", "\"nginx-observation\""),
    ("wg-bastion", "\"bastion\""),
    ("vm1", "\"mosip-node\", \"mosip-server\""),
    ("vm2", "\"nfs\""),
    ("mosip-nginx", "\"nginx\""),
];

/// The phases that run as they are; the others do nothing.
const PHASES: [&str; 8] =
    ["tools", "prepare", "wireguard", "observation-machines", "nfs-server", "observation-nginx", "mosip-machines", "mosip-nginx"];

const SECRETS: [&str; 3] = ["rancher_bootstrap_password", "prereg_captcha_secret_key", "resident_captcha_secret_key"];

fn site() -> String {
    let mut text = "schema = 1\nid = \"lab-v3\"\nprofile = \"variant\"\ndomain = \"sandbox.example.org\"\n\
        rancher_host = \"rancher.sandbox.example.org\"\nrancher_keycloak_host = \"keycloak.sandbox.example.org\"\nnetwork = \"10.77.0.0/24\"\n\
        ssh_key = \"~/.ssh/id_ed25519\"\nstorage_class = \"nfs-client\"\nnfs_user = \"nfsadmin\"\nnfs_key = \"~/.ssh/nfs_ed25519\"\niam_smtp_from = \"noreply@example.org\"\n\
        certificate_chain = \"~/certificates/fullchain.pem\"\ncertificate_key = \"~/certificates/privkey.pem\"\n\
         observation_certificate_chain = \"~/certificates/fullchain.pem\"\nobservation_certificate_key = \"~/certificates/privkey.pem\"\n"
        .to_owned();
    for (name, roles) in MACHINES {
        let address = HOSTS.iter().find(|(host, _)| *host == name).unwrap().1;
        text += &format!("[[machine]]\nname = \"{name}\"\nroles = [{roles}]\naddress = \"{address}\"\n");
        if let "mosip-nginx" | "wg-bastion" = name {
            text += "public_address = \"192.0.2.20\"\n";
        }
    }
    text += "[secret]\n";
    SECRETS.iter().for_each(|name| text += &format!("{name} = \"file:~/secret\"\n"));
    text
}

/// The profile with nothing but these phases, and of the preflight, which has tests of its own, with nothing but these checks.
pub fn variant(phases: &[&str], checks: &[&str]) -> String {
    let profile = load("v3-onprem").unwrap();
    let others = profile.checks.iter().filter(|check| !check.on_demand && !checks.contains(&check.id.as_str()));
    let others: Vec<String> = others.map(|check| format!("\"check:{}\"", check.id)).collect();
    let mut text =
        format!("schema = 1\nid = \"variant\"\ntitle = \"Variant\"\nextends = \"v3-onprem\"\nremove = [{}]\n", others.join(", "));
    for phase in profile.phases.iter().filter(|phase| !phases.contains(&phase.id.as_str())) {
        text += &format!("[[phase]]\nid = \"{}\"\ntitle = \"none\"\n[[phase.step]]\nid = \"none\"\ncommand = [\"true\"]\n", phase.id);
    }
    text
}

struct Node {
    lab: Lab,
}

impl Node {
    fn ready(clones: &[PathBuf], nginx: &str) -> Self {
        let (fixtures, profiles) = (repository().join("tests/fixtures/v3/machines"), repository().join("profiles"));
        let binds = [
            (clones[0].as_path(), "/srv/k8s-infra"),
            (clones[1].as_path(), "/srv/mosip-infra"),
            (fixtures.as_path(), "/srv/machines"),
            (profiles.as_path(), "/srv/profiles"),
            (nginx.as_ref(), "/opt/nginx"),
        ];
        let node = Self { lab: Lab::with(&MACHINES.map(|(name, _)| name), &binds) };
        for (host, _) in MACHINES {
            let link = "for one in apt ufw docker systemctl exportfs; do sudo ln -sf /srv/machines/stand-in /usr/local/bin/$one; done";
            node.lab.run(host, &["sh", "-c", link]).expect(0);
        }
        let script = format!(
            "set -e; umask 022; mkdir ~/up; sudo cp -a /srv/k8s-infra /srv/mosip-infra ~/up/; sudo chown -R ubuntu: ~/up; cp /srv/profiles/*.toml ~/\n\
             (umask 077; printf canary-of-the-lab >~/secret)\ncat >~/variant.toml <<'END'\n{}END\ncat >~/site.toml <<'END'\n{}END\n",
            variant(&PHASES, &[]),
            site()
        );
        node.lab.sh(&script).expect(0);
        node.another_user_for_nfs();
        node.run(&["fetch", "--source", "k8s-infra=/home/ubuntu/up/k8s-infra", "--source", "mosip-infra=/home/ubuntu/up/mosip-infra"])
            .expect(0);
        node.run(&["check", "--accept-host-keys"]).expect(0);
        node
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut words = vec![INSTALLED];
        words.extend(arguments);
        words.extend(["--site", "/home/ubuntu/site.toml"]);
        // The engine that runs on is the child of the first command: what it finds first counts for all.
        let argv = self.lab.argv("deployment-node", &["ANSIBLE_LIBRARY=/srv/machines/library"], &words);
        Done::of(Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()))
    }

    /// The NFS machine belongs to somebody else: a user of its own, with a key of its own, and sudo.
    fn another_user_for_nfs(&self) {
        let key = self.lab.sh("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/nfs_ed25519 && cat ~/.ssh/nfs_ed25519.pub").expect(0).out;
        let script = format!(
            "set -e; useradd -m -s /bin/bash -p '*' nfsadmin; echo 'nfsadmin ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/nfsadmin; cd /home/nfsadmin; \
             install -d -o nfsadmin -m 700 .ssh; echo '{}' >.ssh/authorized_keys; chown nfsadmin .ssh/authorized_keys; chmod 600 .ssh/authorized_keys; \
             rm -rf /home/ubuntu/.ssh/authorized_keys",
            key.trim()
        );
        self.lab.run("vm2", &["sudo", "bash", "-c", &script]).expect(0);
    }

    fn read(&self, host: &str, path: &str) -> String {
        self.lab.run(host, &["sudo", "cat", path]).expect(0).out
    }

    /// What the firewall of a host was told, in order.
    fn firewall(&self, host: &str) -> Vec<String> {
        let calls = self.lab.calls(host);
        calls.lines().filter(|line| line.starts_with("ufw\tallow") || line.contains("enable")).map(|line| line.replace('\t', " ")).collect()
    }
}

#[test]
fn machines_are_prepared_and_both_nginx_installed_by_the_published_playbooks_and_scripts() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    if let Some((what, reason)) = cannot() {
        skip!(what, reason);
    }
    if std::env::var_os("MOSIP_SETUP_LONG").is_none() {
        skip!("long", "only with --long");
    }
    let Ok(nginx) = std::env::var("MOSIP_SETUP_NGINX") else {
        skip!("nginx", "the system's own packages of nginx are not at hand (MOSIP_SETUP_NGINX)");
    };
    let node = Node::ready(&clones, &nginx);
    let waiting = node.run(&["run", "--yes", "--to", "mosip-nginx"]).expect(4);
    assert!(waiting.out.contains("QUESTION wireguard/tunnel#1"), "{}", waiting.out);
    node.run(&["answer", "wireguard/tunnel#1", "yes"]).expect(0);
    firewalls_let_the_operator_in_before_they_are_on(&node);
    // The first laptop's file, without the tunnel's own name server, for this network alone.
    let peer = node.read("deployment-node", "/home/ubuntu/wireguard-peer1.conf");
    assert!(peer.contains("AllowedIPs = 10.77.0.0/24") && !peer.contains("DNS"), "{peer}");
    // Swap, then Docker of the version asked for; on the bastion the playbook for nodes has no business.
    let node_calls = node.lab.calls("vm1");
    let place = |words: &str| node_calls.find(words).unwrap_or_else(|| panic!("{words}: {node_calls}"));
    assert!(place("modprobe") < place("swapoff") && place("swapoff") < place("apt-module\tdocker.io=20.10.*"));
    assert!(!node.lab.calls("wg-bastion").contains("20.10"), "the tunnel would end");
    exports_are_there(&node);
    both_nginx_are_as_the_site_wants_them(&node);
    what_has_changed_is_refused(&node);
}

fn firewalls_let_the_operator_in_before_they_are_on(node: &Node) {
    for host in ["wg-bastion", "obs-node", "vm1", "vm2", "mosip-nginx"] {
        let told: Vec<String> = node.firewall(host).into_iter().filter(|line| line.starts_with("ufw ")).collect();
        assert!(told[0].contains("OpenSSH"), "{host}: {told:?}");
        assert_eq!(told.iter().position(|line| line.contains("enable")), Some(told.len() - 1), "{host}: {told:?}");
    }
    let closed = |line: &&String| !line.contains("from 10.77.0.0/24") && !line.contains("OpenSSH") && !line.contains("enable");
    let open = node.firewall("obs-node").iter().filter(closed).cloned().collect::<Vec<_>>();
    assert_eq!(open, ["ufw allow from any to any port 443 proto tcp"]);
    let internal = node.firewall("mosip-nginx");
    assert!(internal.contains(&"ufw allow from any to 10.77.0.20 port 5432 proto tcp".to_owned()), "{internal:?}");
}

fn exports_are_there(node: &Node) {
    let exports = node.read("vm2", "/etc/exports");
    // For the machines' network, not for everybody, and once.
    let lines: Vec<&str> = exports.lines().filter(|line| line.starts_with("/srv/nfs/")).collect();
    assert_eq!(lines, ["/srv/nfs/mosip/sandbox 10.77.0.0/24(rw,sync,no_root_squash,no_all_squash,insecure,subtree_check)"]);
    let mode = node.lab.run("vm2", &["stat", "-c", "%U %a", "/etc/exports"]).expect(0).out;
    assert_eq!(mode.trim(), "root 644");
    assert!(node.lab.calls("vm2").contains("exportfs\t-ra\n"));
    // With its own user and key, neither root's nor that of the other machines.
    let log = node.read("vm2", "/var/log/lab/sshd.log");
    assert!(log.contains("Accepted publickey for nfsadmin"), "{log}");
    assert!(!node.read("vm2", "/etc/exports.before-mosip-setup").contains("/srv/nfs"));
    let owner = node.lab.run("vm2", &["stat", "-c", "%U %a", "/srv/nfs/mosip/sandbox"]).expect(0).out;
    assert_eq!(owner.trim(), "nfsnobody 777");
    assert!(node.run(&["logs", "nfs-server/server"]).expect(0).out.contains("Please Enter Environment Name: sandbox"));
}

fn both_nginx_are_as_the_site_wants_them(node: &Node) {
    let settings = node.read("mosip-nginx", "/etc/nginx/nginx.conf");
    for part in [
        "listen 10.77.0.20:443 ssl default;",
        "listen 10.77.0.20:5432;",
        "listen 10.77.0.20:61616;",
        "listen 10.77.0.20:9000 ssl;",
        "server 10.77.0.41:30080;",
        "server 10.77.0.41:31080;",
        "server 10.77.0.41:31432;",
        "server 10.77.0.41:30900;",
        "server 10.77.0.41:31616;",
        "api.sandbox.example.org prereg.sandbox.example.org resident.sandbox.example.org",
        "ssl_certificate /etc/ssl/mosip-setup/mosip.pem;",
    ] {
        assert!(settings.contains(part), "{part}: {settings}");
    }
    assert!(!settings.contains("<cluster-"), "{settings}");
    let settings = node.read("nginx-obs", "/etc/nginx/nginx.conf");
    assert!(
        settings.contains("server 10.77.0.30:30080;") && settings.contains("10.77.0.31:443") && !settings.contains("<rancher-"),
        "{settings}"
    );
    for host in ["mosip-nginx", "nginx-obs"] {
        node.lab.run(host, &["sudo", "nginx", "-t"]).expect(0);
        assert!(!node.read(host, "/etc/nginx/nginx.conf.before-mosip-setup").contains("10.77.0."));
    }
    let log = node.run(&["logs", "mosip-nginx/install"]).expect(0).out;
    assert_eq!(log.matches("\n=====>").count() + usize::from(log.starts_with("=====>")), 11, "{log}");
    assert!(log.contains("Nginx installed succesfully."), "{log}");
    let key = node.lab.run("mosip-nginx", &["stat", "-c", "%U %a", "/etc/ssl/mosip-setup"]).expect(0).out;
    assert_eq!(key.trim(), "root 700");
}

fn what_has_changed_is_refused(node: &Node) {
    node.lab.sh("sed -i 's/Give path for SSL Certificate Key/Tell the key/' ~/k8s-infra/rancher/on-prem/nginx/install.sh").expect(0);
    let before = node.lab.calls("nginx-obs").matches("systemctl\trestart\tnginx").count();
    let failed = node.run(&["retry", "observation-nginx", "--from-start"]).expect(1);
    assert!(failed.out.contains("install.sh does not ask") && failed.out.contains("nothing was started"), "{}", failed.out);
    assert_eq!(node.lab.calls("nginx-obs").matches("systemctl\trestart\tnginx").count(), before);
}
