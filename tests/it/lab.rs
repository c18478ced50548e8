//! Lab hosts for a test; `tests/lab/lab.sh` says how they are made.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use portable_pty::CommandBuilder;
use tempfile::TempDir;

use crate::support::{Done, PROGRAM, on_path, repository};

/// Where the program lies on every host.
pub const INSTALLED: &str = "/usr/local/bin/mosip-setup";

/// The hosts of the sample site and their addresses.
pub const HOSTS: [(&str, &str); 11] = [
    ("deployment-node", "10.77.0.5"),
    ("wg-bastion", "10.77.0.10"),
    ("mosip-nginx", "10.77.0.20"),
    ("obs-node", "10.77.0.30"),
    ("nginx-obs", "10.77.0.31"),
    ("vm1", "10.77.0.41"),
    ("vm2", "10.77.0.42"),
    ("vm3", "10.77.0.43"),
    ("vm4", "10.77.0.44"),
    ("vm5", "10.77.0.45"),
    ("vm6", "10.77.0.46"),
];

/// For `--ignore`: the one finding that says that nothing gets out of the lab.
pub const NO_INTERNET: &str = "egress.charts@name:mosip.github.io=the lab has no internet";

/// Why there can be no lab here, in a fixed text; none: there can.
pub fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    let tools = ["ip", "unshare", "nsenter", "setpriv", "pivot_root", "flock", "sshd", "ssh-keygen", "sudo", "openssl", "python3"];
    if !tools.into_iter().all(on_path) {
        return Some("needs iproute2, util-linux, OpenSSH, sudo, OpenSSL and Python");
    }
    let spaces = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "true"]).stderr(Stdio::null()).status();
    if !spaces.is_ok_and(|status| status.success()) {
        return Some("may not make namespaces");
    }
    None
}

/// A lab. It ends when this goes, also when the test is killed: its process reads a pipe of ours.
pub struct Lab {
    folder: TempDir,
    keeper: Child,
    alive: Option<ChildStdin>,
}

impl Lab {
    /// All eleven hosts of the sample site, with the program and the mini kit (`/srv/kit`) on them.
    pub fn up() -> Self {
        Self::with(&HOSTS.map(|(name, _)| name), &[])
    }

    /// Some of them (the deployment node is always there) and further files of this machine, read only: from → to.
    pub fn with(hosts: &[&str], binds: &[(&Path, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("mosip-lab-").tempdir().expect("a folder for the lab");
        let table = folder.path().join("wanted");
        let wanted = |(name, _): &&(&str, &str)| *name == "deployment-node" || hosts.contains(name);
        let lines: String = HOSTS.iter().filter(wanted).map(|(name, address)| format!("{name} {address} 160G\n")).collect();
        std::fs::write(&table, lines).expect("a table of hosts");
        let mut command = Command::new(script());
        command.arg("run").arg(folder.path()).arg("--hosts").arg(&table);
        command.args(["--bind", &format!("{PROGRAM}:{INSTALLED}")]);
        command.args(["--bind", &format!("{}:/srv/kit", repository().join("assets/kit").display())]);
        for (from, to) in binds {
            command.args(["--bind", &format!("{}:{to}", from.display())]);
        }
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the lab's process");
        let alive = keeper.stdin.take();
        let mut said = String::new();
        let mut output = BufReader::new(keeper.stdout.take().expect("what the lab says"));
        output.read_line(&mut said).expect("a line from the lab");
        let lab = Self { folder, keeper, alive };
        assert_eq!(said, "ready\n", "the lab did not come up");
        lab
    }

    /// The lab's own folder: key pair, certificates, logs of its hosts.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A command line that runs a command on a host as `ubuntu`, at home there.
    pub fn argv(&self, host: &str, variables: &[&str], command: &[&str]) -> Vec<String> {
        let mut argv = vec![script().display().to_string(), "exec".into(), self.folder.path().display().to_string(), host.into()];
        for variable in variables {
            argv.extend(["--env".to_owned(), (*variable).to_owned()]);
        }
        argv.push("--".to_owned());
        argv.extend(command.iter().map(|&word| word.to_owned()));
        argv
    }

    /// Runs a command on a host to its end.
    pub fn run(&self, host: &str, command: &[&str]) -> Done {
        let argv = self.argv(host, &[], command);
        Done::of(Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()))
    }

    /// Runs a shell script on the deployment node to its end.
    pub fn sh(&self, script: &str) -> Done {
        self.run("deployment-node", &["sh", "-c", script])
    }

    /// A command on the deployment node, for a terminal.
    pub fn in_terminal(&self, command: &[&str]) -> CommandBuilder {
        let argv = self.argv("deployment-node", &["TERM=xterm-256color"], command);
        let mut builder = CommandBuilder::new(&argv[0]);
        builder.args(&argv[1..]);
        builder
    }

    /// Switches a fault; `lab.sh faults` lists them.
    #[track_caller]
    pub fn fault(&self, words: &[&str]) {
        Done::of(Command::new(script()).arg("fault").arg(self.folder.path()).args(words)).expect(0);
    }

    /// What the recorders of a host were called with: one line a call, words separated by tabs.
    pub fn calls(&self, host: &str) -> String {
        self.run(host, &["sh", "-c", "cat /var/log/lab/calls 2>/dev/null || :"]).out
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.keeper.wait();
    }
}

fn script() -> PathBuf {
    repository().join("tests/lab/lab.sh")
}
