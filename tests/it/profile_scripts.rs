//! The scripts of the shipped profiles' checks, run by a real shell with programs that answer what a healthy and a broken system answer:
//! each of them can say yes and no, and says what it saw.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::check::{CheckKind, CheckSpec, Verdict};
use mosip_setup::install::facts::CommandFacts;
use mosip_setup::install::judge;
use mosip_setup::install::profile::Profile;

/// A check, the programs that stand in (name, script), whether it passes, and what its finding or output has.
type Case = (&'static str, &'static [(&'static str, &'static str)], bool, &'static str);

const DF: &str = "printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/sda1 %s 0 %s 1%% /\\n'";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("gate.kubeconfig.observation", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.1:6443 ;; *) printf 'obs-node-1 10.0.0.1\\n' ;; esac")], true, ""),
    ("gate.kubeconfig.observation", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.11:6443 ;; *) printf 'vm1 10.0.0.1\\n' ;; esac")], false, "leads to https://10.0.0.11:6443 instead of 10.0.0.1"),
    ("gate.kubeconfig.observation", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.1:6443 ;; *) printf 'stranger 10.0.0.9\\n' ;; esac")], false, "node stranger has the address 10.0.0.9"),
    ("gate.kubeconfig.cluster", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.2:6443 ;; *) printf 'vm1 10.0.0.1\\nvm2 10.0.0.2\\n' ;; esac")], true, ""),
    ("gate.kubeconfig.cluster", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.30:6443 ;; *) printf 'obs 10.0.0.30\\n' ;; esac")], false, "leads to https://10.0.0.30:6443, which is no node of this site's cluster"),
    ("gate.kubeconfig.cluster", &[("kubectl", "echo 'connection refused' >&2; exit 1")], false, "connection refused"),
    ("gate.storage-class", &[("kubectl", "printf 'longhorn true\\nlonghorn-static \\n'")], true, ""),
    ("gate.storage-class", &[("kubectl", "printf 'longhorn false\\nlonghorn-static \\n'")], false, "no storage class is the default"),
    ("gate.storage-class", &[("kubectl", ":")], false, "no storage class is the default"),
    ("gate.storage-class", &[("kubectl", "printf 'longhorn true\\nlocal-path true\\n'")], false, "several are the default: longhorn local-path"),
    ("gate.old-volumes", &[("kubectl", ":"), ("helm", ":")], true, ""),
    ("gate.old-volumes", &[("kubectl", "case \"$*\" in *'-n postgres '*) echo persistentvolumeclaim/data-postgres-0 ;; esac"), ("helm", "case \"$*\" in *postgres*) echo postgres ;; esac")], true, ""),
    ("gate.old-volumes", &[("kubectl", "case \"$*\" in *'-n postgres '*) echo persistentvolumeclaim/data-postgres-0 ;; esac"), ("helm", ":")], false, "whose release is gone, in: postgres"),
    ("gate.old-volumes", &[("kubectl", "exit 1"), ("helm", ":")], false, ""),
    ("gate.releases.observation", &[("helm", "[ \"$*\" = 'list --all-namespaces --pending -o json' ] && echo '[]'")], true, ""),
    ("gate.releases.observation", &[("helm", "echo '[{\"name\":\"rancher\",\"namespace\":\"cattle-system\",\"status\":\"pending-install\"}]'")], false, "rancher"),
    ("gate.releases.observation", &[("helm", "echo 'Kubernetes cluster unreachable' >&2; exit 1")], false, "cluster unreachable"),
    ("gate.releases.cluster", &[("helm", "[ \"$*\" = 'list --all-namespaces --pending -o json' ] && echo '[]'")], true, ""),
    ("gate.releases.cluster", &[("helm", "echo '[{\"name\":\"kafka\",\"namespace\":\"kafka\",\"status\":\"pending-upgrade\"}]'")], false, "pending-upgrade"),
    ("gate.releases.cluster", &[("helm", "echo 'Kubernetes cluster unreachable' >&2; exit 1")], false, "cluster unreachable"),
    ("gate.injection", &[("kubectl", ":")], true, ""),
    ("gate.injection", &[("kubectl", "case \"$*\" in *' run probe '*) echo 'failed calling webhook' >&2; exit 1 ;; esac")], false, "failed calling webhook"),
    ("gate.volume", &[("kubectl", "case \"$*\" in *' apply '*) cat >/dev/null ;; esac")], true, ""),
    ("gate.volume", &[("kubectl", "case \"$*\" in *' apply '*) cat >/dev/null ;; *' wait '*) echo 'timed out waiting for the condition' >&2; exit 1 ;; esac")], false, "timed out waiting"),
    ("gate.pod-dns", &[("kubectl", "echo 10.0.0.1 name")], true, ""),
    ("gate.pod-dns", &[("kubectl", "case \"$*\" in *api-internal*) exit 2 ;; esac")], false, "a pod cannot resolve api-internal.example.org"),
    ("local.packages", &[("apt-get", ":"), ("snap", ":"), ("kubectl", ":")], true, ""),
    ("local.packages", &[("apt-get", ":"), ("kubectl", ":"), ("helm", ":"), ("terraform", ":")], true, ""),
    ("local.packages", &[("apt-get", ":"), ("kubectl", ":")], false, "no snap, from which the phase would install helm terraform"),
    ("local.packages", &[("snap", ":")], false, "there is no apt-get"),
    ("local.package-lock", &[("stat", "echo 1234"), ("awk", "[ $# -eq 4 ] || exit 1"), ("ps", ":")], true, ""),
    ("local.package-lock", &[("stat", "echo 1234"), ("awk", "printf '1: POSIX ADVISORY WRITE 77 fe:01:1234 0 EOF\\n2: FLOCK ADVISORY WRITE 78 fe:01:51234 0 EOF\\n' | /usr/bin/awk \"$1\" \"$2\" \"$3\""), ("ps", "echo unattended-upgr")], false, "is held by process 77 (unattended-upgr)"),
    ("local.package-lock", &[("stat", "echo 1234"), ("awk", "printf '2: FLOCK ADVISORY WRITE 78 fe:01:51234 0 EOF\\n' | /usr/bin/awk \"$1\" \"$2\" \"$3\""), ("ps", ":")], true, ""),
    ("machine.size.nginx-observation", &[("nproc", "echo 2"), ("df", "DF 16777216 9000000")], true, ""),
    ("machine.size.nginx-observation", &[("nproc", "echo 1"), ("df", "DF 16777216 9000000")], false, "1 processors, "),
    ("machine.size.nginx-observation", &[("nproc", "echo 2"), ("df", "DF 8388608 4000000")], false, " 8 GiB of disk"),
    ("machine.free-disk", &[("df", "DF 130023424 115343360")], true, ""),
    ("machine.free-disk", &[("df", "DF 130023424 83886080")], false, "80 GiB are free in /var/lib, of 124"),
    // Far too full, or too small: machine.size has that finding.
    ("machine.free-disk", &[("df", "DF 130023424 8388608")], true, ""),
    ("machine.free-disk", &[("df", "DF 83886080 62914560")], true, ""),
    ("machine.free-disk.observation", &[("df", "DF 32505856 24117248")], true, ""),
    ("machine.free-disk.observation", &[("df", "DF 32505856 12582912")], false, "12 GiB are free in /var/lib, of 31"),
    ("machine.distance", &[("ping", "echo 'rtt min/avg/max/mdev = 0.321/0.400/0.512/0.010 ms'")], true, ""),
    ("machine.distance", &[("ping", "echo 'round-trip min/avg/max = 48.2/50.1/52.0 ms'")], false, "48.2 ms to the first server and back"),
    ("machine.distance", &[("ping", "exit 1")], true, ""),
    // One slow packet is none.
    ("machine.distance", &[("ping", "echo >>calls; [ $(wc -l <calls) -gt 1 ] && time=0.4 || time=80; echo \"rtt min/avg/max/mdev = $time/$time/$time/0.0 ms\"")], true, ""),
    ("machine.writable", &[("awk", "printf '/dev/sda1 / ext4 rw,relatime 0 0\ntmp /tmp tmpfs rw,noexec 0 0\nhome /home ext4 rw,noexec 0 0\n' | /usr/bin/awk \"$1\"")], true, ""),
    ("machine.writable", &[("awk", "printf '/dev/sda1 / ext4 ro,relatime 0 0\n' | /usr/bin/awk \"$1\"")], false, "/ is mounted read-only"),
    ("machine.writable", &[("awk", "printf '/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /var ext4 rw,nosuid,noexec 0 0\n' | /usr/bin/awk \"$1\"")], false, "/var is mounted noexec"),
    ("machine.docker-sdk", &[("python3", "cat >/dev/null; PYTHONPATH=old /usr/bin/python3 \"$@\"")], false, "docker 5.0.3 with requests 2.32.1"),
    ("machine.docker-sdk", &[("python3", "PYTHONPATH=new /usr/bin/python3 \"$@\"")], true, ""),
    ("machine.docker-sdk", &[("python3", "PYTHONPATH=none /usr/bin/python3 -S \"$@\"")], true, ""),
];

const CLAIMS: &str =
    "case \"$*\" in *' apply '*) cat >/dev/null ;; *' get persistentvolumeclaims '*) printf 'readwritemany=%s readwriteonce=Bound '";

/// The same for MOSIP's own routes.
#[rustfmt::skip]
const V3_CASES: &[Case] = &[
    ("gate.kubeconfig.mosip", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.41:6443 ;; *) printf '10.0.0.41 10.0.0.42 ' ;; esac")], true, "10.0.0.42"),
    ("gate.kubeconfig.mosip", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.42:6443 ;; *) printf '10.0.0.41 ' ;; esac")], false, "leads to https://10.0.0.42:6443, which is none of the site's servers (10.0.0.41)"),
    ("gate.kubeconfig.mosip", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.41:6443 ;; *) printf '10.0.0.41 10.0.0.99 ' ;; esac")], false, "has a node 10.0.0.99, which is no machine of the site"),
    ("gate.kubeconfig.mosip", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.41:6443 ;; esac")], false, "has no nodes"),
    ("gate.kubeconfig.mosip", &[("kubectl", "case \"$*\" in *'config view'*) echo https://10.0.0.41:6443 ;; *) echo 'connection refused' >&2; exit 1 ;; esac")], false, "connection refused"),
    ("gate.volume", &[("kubectl", "CLAIMS Bound ;; esac"), ("sleep", ":")], true, ""),
    ("gate.volume", &[("kubectl", "CLAIMS Pending ;; esac"), ("sleep", ":")], false, "claims of class longhorn: readwritemany=Pending readwriteonce=Bound"),
    ("gate.volume", &[("kubectl", "case \"$*\" in *' apply '*) cat >/dev/null; echo forbidden >&2; exit 1 ;; esac"), ("sleep", ":")], false, "forbidden"),
    ("gate.pod-dns", &[("kubectl", "echo 10.0.0.1 name")], true, ""),
    ("gate.pod-dns", &[("kubectl", "case \"$*\" in *api-internal*) exit 2 ;; esac")], false, "a pod cannot resolve api-internal.example.org"),
    ("gate.monitoring", &[("kubectl", "[ \"$4\" = servicemonitors.monitoring.coreos.com ]")], true, ""),
    ("gate.monitoring", &[("kubectl", "echo NotFound >&2; exit 1")], false, "NotFound"),
    ("observation.storage", &[("kubectl", "echo '{\"items\":[{\"metadata\":{\"name\":\"longhorn\",\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}}},{\"metadata\":{\"name\":\"other\"}}]}'")], true, "default storage class: longhorn"),
    ("observation.storage", &[("kubectl", "echo '{\"items\":[{\"metadata\":{\"name\":\"longhorn\"}}]}'")], false, "default storage class: none"),
    ("observation.storage", &[("kubectl", "echo 'connection refused' >&2; exit 1")], false, "connection refused"),
    ("nfs.mount", &[("mount.nfs", ":"), ("grep", ":"), ("mount", "[ \"$6\" = 10.0.0.60:/srv/nfs/mosip/sandbox ] || [ \"$5\" = 10.0.0.60:/srv/nfs/mosip/sandbox ]"), ("umount", ":")], true, ""),
    ("nfs.mount", &[("mount.nfs", ":"), ("grep", ":"), ("mount", "echo 'access denied by server'; exit 32"), ("umount", ":")], false, "access denied"),
    ("nfs.mount", &[("grep", ":")], false, "nfs-common is not installed"),
];

/// What became of it, and what the programs wrote into `calls`.
/// What became of it, and what the programs wrote into `calls`.
fn run(profile: &Profile, check: &str, programs: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for (version, docker, requests) in [("old", "5.0.3", "2.32.1"), ("new", "7.1.0", "2.32.3")] {
        for (module, number) in [("docker", docker), ("requests", requests)] {
            fs::create_dir_all(place.join(version)).unwrap();
            fs::write(place.join(version).join(format!("{module}.py")), format!("__version__ = '{number}'\n")).unwrap();
        }
    }
    fs::create_dir(place.join("bin")).unwrap();
    for tool in ["sh", "awk", "cat", "sed", "tr", "grep", "wc", "printf", "df", "stat", "ps", "jq", "mktemp", "rm", "rmdir"] {
        let real = ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{tool}")).into_iter().find(|path| fs::metadata(path).is_ok());
        if let Some(real) = real.filter(|_| !programs.iter().any(|(name, _)| *name == tool)) {
            std::os::unix::fs::symlink(real, place.join("bin").join(tool)).unwrap();
        }
    }
    for (name, script) in programs {
        let file = place.join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{}\n", script.replace("DF", DF).replace("CLAIMS", CLAIMS))).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let kind = &profile.check(check).unwrap_or_else(|| panic!("there is no check {check}")).kind;
    let argv = match kind {
        CheckKind::Command { argv, .. } => argv.clone(),
        CheckKind::RemoteCommand { command, .. } => ["sh", "-c", command].map(str::to_owned).to_vec(),
        _ => panic!("{check} has no script"),
    };
    let answers = [
        ("${role.observation.first}", "10.0.0.1"),
        ("${role.cluster.addresses}", "10.0.0.1,10.0.0.2"),
        ("${role.control-plane-primary.first}", "10.0.0.1"),
        ("${role.mosip-server.addresses}", "10.0.0.41"),
        ("${role.mosip-node.addresses}", "10.0.0.41,10.0.0.42"),
        ("${role.nfs.first}", "10.0.0.60"),
        ("${installation_name}", "sandbox"),
        ("${storage_class}", "longhorn"),
        ("${domain}", "example.org"),
    ];
    let filled = |word: &String| {
        let derived = profile.derive.iter().fold(word.clone(), |word, (name, value)| word.replace(&format!("${{{name}}}"), value));
        answers.iter().fold(derived, |word, (name, value)| word.replace(name, value)).replace("$$", "$")
    };
    let argv: Vec<String> = argv.iter().map(filled).collect();
    // A mount is made in a folder that is root's; here any will do.
    let argv: Vec<String> = argv.iter().map(|word| word.replace("/run/mosip-setup.", &format!("{}/mount.", place.display()))).collect();
    let program = if argv[0] == "sh" { "/bin/sh".into() } else { place.join("bin").join(&argv[0]) };
    let done = Command::new(program).args(&argv[1..]).env_clear().env("PATH", place.join("bin")).current_dir(place).output().unwrap();
    (done, fs::read_to_string(place.join("calls")).unwrap_or_default())
}

/// What the finding says, and whether it is green.
fn finding(check: &CheckSpec, done: &Output) -> (bool, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    if let CheckKind::Command { .. } = check.kind {
        let facts = CommandFacts { exit: done.status.code(), stdout: stdout.clone(), stderr: stderr.clone(), ..CommandFacts::default() };
        let finding = judge::command(check, &facts);
        return (finding.verdict == Verdict::Pass, format!("{} {stdout}{stderr}", finding.observed));
    }
    (done.status.success(), format!("{stdout}{stderr}"))
}

#[test]
fn each_script_says_yes_and_no() {
    for (profile, cases) in [("turing-rke2", CASES), ("v3-onprem", V3_CASES)] {
        let profile = load(profile).unwrap();
        for (check, programs, passes, says) in cases {
            let (done, _) = run(&profile, check, programs);
            let (green, said) = finding(profile.check(check).unwrap(), &done);
            assert_eq!(green, *passes, "{check} with {programs:?}: {said}");
            assert!(said.contains(says), "{check} with {programs:?}: {said}");
        }
    }
}

/// Where the kernel has no client for NFS, nothing can be told: that is neither yes nor no.
#[test]
fn a_mount_that_cannot_be_tried_is_unknown() {
    for profile in ["turing-rke2", "v3-onprem"] {
        let (done, _) = run(&load(profile).unwrap(), "nfs.mount", &[("mount.nfs", ":"), ("grep", "exit 1"), ("modprobe", "exit 1")]);
        assert_eq!(done.status.code(), Some(75), "{profile}");
        assert!(String::from_utf8_lossy(&done.stdout).contains("the kernel has no NFS client"), "{profile}");
    }
}

/// Every check that looks between phases has its script tried here.
#[test]
fn no_gate_is_left_out() {
    for (profile, cases) in [("turing-rke2", CASES), ("v3-onprem", V3_CASES)] {
        for check in load(profile).unwrap().checks.iter().filter(|check| check.id.as_str().starts_with("gate.")) {
            for wanted in [true, false] {
                let tried = cases.iter().any(|(id, _, passes, _)| check.id == *id && *passes == wanted);
                assert!(tried, "{profile}: {} never says {}", check.id, if wanted { "yes" } else { "no" });
            }
        }
    }
}

#[test]
fn what_a_gate_makes_in_the_cluster_it_takes_away_again() {
    let profile = load("turing-rke2").unwrap();
    for (check, fails) in [("gate.volume", "nothing"), ("gate.volume", "wait"), ("gate.injection", "nothing"), ("gate.injection", "run")] {
        let kubectl = format!(
            "echo \"$*\" >>calls; case \"$*\" in *' apply '*) cat >/dev/null ;; esac; case \"$*\" in *' {fails} '*) exit 1 ;; esac"
        );
        let (done, calls) = run(&profile, check, &[("kubectl", &kubectl)]);
        assert_eq!(done.status.success(), fails == "nothing", "{check}");
        let named = |verb: &str| calls.lines().find_map(|line| line.split(verb).nth(1)).and_then(|rest| rest.split(' ').next());
        let made = named("create namespace ").unwrap_or_else(|| panic!("{calls}"));
        assert_eq!(named("delete namespace "), Some(made), "{calls}");
        assert!(calls.lines().last().is_some_and(|line| line.contains("delete namespace")), "{calls}");
    }
}
