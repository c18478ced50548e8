//! The checks of an NFS server against a real one in user space (Ganesha, with rpcbind), on a lab host: reached, exported, written.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{INSTALLED, Lab, obstacle};
use crate::support::{Done, on_path, skip};

const SITE: &str = r#"schema = 1
id = "lab-nfs"
profile = "turing-rke2"
domain = "sandbox.example.org"
installation_name = "sandbox"
public_api_address = "192.0.2.10"
wireguard_endpoint = "192.0.2.20"
wireguard_network = "10.77.0.0/24"
ssh_user = "ubuntu"
certificate_chain = "~/certificates/fullchain.pem"
certificate_key = "~/certificates/privkey.pem"
rancher_base = "~/rancher"
nfs_path = "/srv/nfs/mosip"
[[machine]]
name = "vm1"
roles = ["cluster", "control-plane-primary", "worker"]
address = "10.77.0.41"
[[machine]]
name = "nfs"
roles = ["nfs"]
address = "10.77.0.42"
[[machine]]
name = "obs"
roles = ["observation", "nginx-observation"]
address = "10.77.0.30"
[[machine]]
name = "nginx"
roles = ["nginx"]
address = "10.77.0.20"
public_address = "192.0.2.10"
[[machine]]
name = "bastion"
roles = ["bastion"]
address = "10.77.0.10"
public_address = "192.0.2.20"
[secret]
rancher_bootstrap_password = "file:~/secrets/password"
[source.kit]
path = "/home/ubuntu/source"
"#;

/// Files of the folder are served on a file system that has handles for them, which an overlay has not.
const SERVER: &str = "set -e
mkdir -p /srv/nfs/mosip /run/ganesha /var/lib/nfs/ganesha
mount -t tmpfs -o size=64k nfs /srv/nfs/mosip
cat >/etc/ganesha.conf <<'END'
NFS_CORE_PARAM { Protocols = 3, 4; mount_path_pseudo = true; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryBackend = fs; }
EXPORT { Export_Id = 1; Path = /srv/nfs/mosip; Pseudo = /srv/nfs/mosip; Access_Type = RW; Squash = No_Root_Squash; Protocols = 3, 4;
  Transports = TCP; SecType = sys; FSAL { Name = VFS; } }
END
rpcbind -w
ganesha.nfsd -f /etc/ganesha.conf -L /var/log/lab/ganesha.log -p /run/ganesha.pid
tries=0
until showmount -e --no-headers 127.0.0.1 2>/dev/null | grep -q /srv/nfs/mosip; do
  tries=$((tries + 1)); [ $tries -lt 600 ] || { cat /var/log/lab/ganesha.log; exit 1; }
  sleep 0.1
done";

const CHECKS: [&str; 4] = ["nfs.port", "nfs.export", "nfs.writable", "ports.between.nfs"];

struct Node(Lab);

impl Node {
    fn root(&self, host: &str, script: &str) -> Done {
        self.0.run(host, &["sudo", "-n", "bash", "-c", script])
    }

    /// `check: verdict: observed` of each finding of the checks.
    fn check(&self, further: &[&str]) -> Vec<String> {
        let mut words = vec![INSTALLED, "check", "--json", "--site", "/home/ubuntu/site.toml"];
        words.extend(CHECKS.iter().flat_map(|id| ["--only", id]));
        words.extend(further);
        let argv = self.0.argv("deployment-node", &[], &words);
        let done = Done::of(Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()));
        let report: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {} {}", done.out, done.err));
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let found = report["findings"].as_array().unwrap();
        found.iter().map(|one| format!("{}: {}: {}", text(one, "check"), text(one, "verdict"), text(one, "observed"))).collect()
    }
}

#[test]
fn a_real_server_is_reached_exported_and_written_and_each_fault_said() {
    if let Some(reason) = obstacle() {
        skip!("lab", reason);
    }
    if !["ganesha.nfsd", "rpcbind", "showmount", "nfs-cp"].into_iter().all(on_path) {
        skip!("nfs", "needs nfs-ganesha, rpcbind, nfs-common and libnfs-utils");
    }
    let node = Node(Lab::with(&["vm1", "vm2", "obs-node", "mosip-nginx", "wg-bastion"], &[]));
    let script = format!(
        "set -e; umask 077; cp -r /srv/kit ~/source; cd ~/source; git init -q -b main; git add -A -f\n\
         git -c user.name=lab -c user.email=lab@example.org commit -q -m kit; mkdir ~/secrets; printf x-Lab-Canary >~/secrets/password\n\
         cat >~/site.toml <<'END'\n{SITE}END\n{INSTALLED} fetch --site ~/site.toml\n"
    );
    node.0.sh(&script).expect(0);
    // Nobody serves anything yet.
    let found = node.check(&["--accept-host-keys"]);
    let has = |found: &[String], start: &str| assert!(found.iter().any(|one| one.starts_with(start)), "{start}: {found:#?}");
    has(&found, "nfs.port: warn: 2049");
    has(&found, "nfs.export: warn: ");
    assert!(found.iter().any(|one| one.contains("there is no folder /srv/nfs/mosip")), "{found:#?}");
    node.root("vm2", SERVER).expect(0);
    let found = node.check(&[]);
    assert!(found.len() >= 4 && found.iter().all(|one| one.contains(": pass: ")), "{found:#?}");
    assert_eq!(node.root("vm2", "ls -A /srv/nfs/mosip").out, "", "the test file is gone");
    // That it is a real one: a client in user space writes from a cluster node, over both versions of the protocol.
    for version in ["3", "4"] {
        let place = format!("nfs://10.77.0.42/srv/nfs/mosip/by-{version}?version={version}");
        node.root("vm1", &format!("echo written >/tmp/one && nfs-cp /tmp/one '{place}'")).expect(0);
        assert_eq!(node.root("vm2", &format!("cat /srv/nfs/mosip/by-{version}")).out, "written\n");
    }
    // Another folder is exported than the one that is asked for.
    node.0.sh("sed -i 's#^nfs_path = .*#nfs_path = \"/srv/nfs\"#' ~/site.toml").expect(0);
    let found = node.check(&[]);
    assert!(
        found.iter().any(|one| one.starts_with("nfs.export: warn: ") && one.contains("/srv/nfs is not among the exports")),
        "{found:#?}"
    );
    node.0.sh("sed -i 's#^nfs_path = .*#nfs_path = \"/srv/nfs/mosip\"#' ~/site.toml").expect(0);
    // It is full; then nobody serves it any more.
    node.root("vm2", "head -c 1000000 /dev/zero >/srv/nfs/mosip/full 2>/dev/null || :").expect(0);
    let found = node.check(&[]);
    has(&found, "nfs.writable: warn: ");
    has(&found, "nfs.export: pass: ");
    node.root("vm2", "rm /srv/nfs/mosip/full; kill -9 $(cat /run/ganesha.pid)").expect(0);
    let found = node.check(&[]);
    has(&found, "nfs.port: warn: 2049");
    has(&found, "nfs.writable: pass: ");
}
