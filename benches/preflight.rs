//! All checks of the shipped profile that need no internet, with the matrix of paths, on lab machines: `mosip-setup check` against the
//! same by plain parallel OpenSSH, and by Ansible in two ways.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::screen::Screen;
use common::{Sample, give_up, machine, need, program, scratch, setting, verdict, write};
use mosip_setup::adapters::{host, profiles, sites};
use mosip_setup::install::check::{CheckKind, CheckSpec, Target};
use mosip_setup::install::facts::Protocol;
use mosip_setup::install::ids::PhaseId;
use mosip_setup::install::inquiry::{MachineWants, SshLogin};
use mosip_setup::install::judge;
use mosip_setup::install::plan::{Plan, PlanMachine};
use mosip_setup::install::planner::{self, Place, shell_quote};
use mosip_setup::install::reach::{self, ReachRequest, ReachTarget, What};

const TRY: &str = include_str!("preflight/try.py");
const HOME: &str = "/home/ubuntu";

/// A machine of the site: name, address, roles.
struct Machine {
    name: String,
    address: String,
    roles: Vec<&'static str>,
}

/// Four machines of their own kinds, and cluster nodes up to the number wanted.
fn machines(count: usize) -> Vec<Machine> {
    let one = |name: &str, last: usize, roles: &[&'static str]| Machine {
        name: name.into(),
        address: format!("10.77.0.{last}"),
        roles: roles.to_vec(),
    };
    let mut all = vec![
        one("obs-node", 30, &["observation"]),
        one("nginx-obs", 31, &["nginx-observation"]),
        one("mosip-nginx", 20, &["nginx"]),
        one("wg-bastion", 10, &["bastion"]),
    ];
    for number in 1..=count.saturating_sub(all.len()) {
        let way = match number {
            1 => "control-plane-primary",
            2..=6 => "control-plane-subsequent",
            _ => "rke2-agent",
        };
        all.push(one(&format!("vm{number}"), 40 + number, &["cluster", way, "worker"]));
    }
    all
}

fn site(machines: &[Machine]) -> String {
    let mut text = String::from(
        "schema = 1\nid = \"bench\"\nprofile = \"turing-rke2\"\ndomain = \"sandbox.example.org\"\ninstallation_name = \"sandbox\"\n\
         public_api_address = \"192.0.2.10\"\nwireguard_endpoint = \"192.0.2.20\"\nwireguard_network = \"10.77.0.0/24\"\nssh_user = \"ubuntu\"\n\
         certificate_chain = \"~/certificates/fullchain.pem\"\ncertificate_key = \"~/certificates/privkey.pem\"\nrancher_base = \"~/rancher\"\n",
    );
    for machine in machines {
        let public = match machine.name.as_str() {
            "mosip-nginx" => "public_address = \"192.0.2.10\"\n",
            "wg-bastion" => "public_address = \"192.0.2.20\"\n",
            _ => "",
        };
        let roles = machine.roles.iter().map(|role| format!("\"{role}\"")).collect::<Vec<_>>().join(", ");
        let _ = write!(text, "[[machine]]\nname = \"{}\"\nroles = [{roles}]\naddress = \"{}\"\n{public}", machine.name, machine.address);
    }
    text + "[secret]\nrancher_bootstrap_password = \"file:~/secrets/password\"\n[source.kit]\npath = \"/home/ubuntu/source\"\n"
}

struct Lab(PathBuf);

impl Lab {
    fn script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab.sh")
    }

    fn up(folder: &Path, machines: &[Machine], delay: usize) -> Self {
        let hosts: String = std::iter::once("deployment-node 10.77.0.5 64G\n".to_owned())
            .chain(machines.iter().map(|machine| format!("{} {} 160G\n", machine.name, machine.address)))
            .collect();
        write(&folder.join("wanted"), &hosts);
        let program = PathBuf::from(program());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lab = folder.join("lab");
        let far: &[String] = if delay > 0 { &["--delay".to_owned(), delay.to_string()] } else { &[] };
        let up = Command::new(Self::script())
            .arg("up")
            .arg(&lab)
            .args(far)
            .arg("--hosts")
            .arg(folder.join("wanted"))
            .args(["--bind", &format!("{}:/opt/mosip-setup", program.display())])
            .args(["--bind", &format!("{}:/srv/kit", repository.join("assets/kit").display())])
            .output()
            .expect("the lab");
        if !up.status.success() {
            give_up(&format!("the lab did not come up: {}", String::from_utf8_lossy(&up.stderr)));
        }
        Self(lab)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(Self::script());
        command.arg("exec").arg(&self.0).args(["deployment-node", "--", "sh", "-c", script]).stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> String {
        let done = self.command(script).output().expect("a command in the lab");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn file(&self, path: &str, text: &str) {
        use std::io::Write as _;
        let mut command = Command::new(Self::script());
        command.arg("exec").arg(&self.0).args([
            "deployment-node",
            "--",
            "sh",
            "-c",
            "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"",
            "file",
            path,
        ]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("a command in the lab");
        child.stdin.take().expect("its stdin").write_all(text.as_bytes()).expect("a file in the lab");
        child.wait().expect("a file in the lab");
    }

    /// Ends what the hand-made ways have left listening; on each host only its own processes can be seen.
    fn end_listeners(&self, machines: &[Machine]) {
        for machine in machines {
            let mut command = Command::new(Self::script());
            command.arg("exec").arg(&self.0).args([&machine.name, "--root", "--", "pkill", "-f", "What one would write by hand"]);
            let _ = command.stdin(Stdio::null()).output();
        }
    }

    fn timed(&self, script: &str) -> (Duration, String) {
        let begun = Instant::now();
        let out = self.run(script);
        (begun.elapsed(), out)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new(Self::script()).arg("down").arg(&self.0).output();
    }
}

/// The checks of the preflight, without those that need the internet.
fn checks(plan: &Plan) -> Vec<&CheckSpec> {
    let outside = |kind: &CheckKind| {
        matches!(
            kind,
            CheckKind::Egress { .. } | CheckKind::EgressFromMachines { .. } | CheckKind::Charts { .. } | CheckKind::PullLimit { .. }
        )
    };
    let offline = |check: &&CheckSpec| !check.on_demand && !outside(&check.kind) && !check.id.as_str().starts_with("git.");
    let now = |check: &&CheckSpec| judge::applicable(check, &|phase: &PhaseId| plan.phase(phase.as_str()).is_none()).is_ok();
    plan.checks.iter().filter(offline).filter(now).collect()
}

/// The plan that the program itself makes of the site on the deployment node.
fn plan(folder: &Path, site: &str) -> Plan {
    let file = folder.join("site.toml");
    write(&file, site);
    let open = sites::load(&file).unwrap_or_else(|error| give_up(&error.to_string()));
    let profile = profiles::load("turing-rke2").unwrap_or_else(|problems| give_up(&format!("{problems:?}")));
    let site = open.file.validate(&profile, None).unwrap_or_else(|problems| give_up(&format!("{problems:?}")));
    let state = format!("{HOME}/.local/state/mosip-setup");
    let place = Place {
        home: HOME.into(),
        user: "ubuntu".into(),
        site_dir: HOME.into(),
        known_hosts: format!("{state}/sites/bench/known_hosts"),
        fetched: profile.sources.keys().map(|id| (id.to_string(), format!("{HOME}/source"))).collect(),
        program: "/opt/mosip-setup".into(),
        digest_key: vec![0; 32],
    };
    planner::plan(&profile, &site, &place).unwrap_or_else(|problems| give_up(&format!("{problems:?}")))
}

fn ports(listen: &[(Protocol, u16)]) -> String {
    let word = |(protocol, port): &(Protocol, u16)| format!("{}{port}", if *protocol == Protocol::Tcp { 't' } else { 'u' });
    listen.iter().map(word).collect::<Vec<_>>().join(",")
}

fn targets(targets: &[ReachTarget]) -> String {
    let word = |target: &ReachTarget| match target.what {
        What::Port(Protocol::Tcp, port) => format!("t:{}:{port}", target.address),
        What::Port(Protocol::Udp, port) => format!("u:{}:{port}", target.address),
        What::Mtu(port) => format!("m:{}:{port}", target.address),
    };
    targets.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn login(plan: &Plan, machine: &PlanMachine) -> SshLogin {
    SshLogin {
        name: machine.name.clone(),
        address: machine.address.into(),
        user: machine.user.clone(),
        key: machine.key.clone(),
        known_hosts: plan.known_hosts.clone(),
        jump: None,
    }
}

/// Who listens and tries what, for these checks.
fn reach_of(plan: &Plan, checks: &[&CheckSpec]) -> ReachRequest {
    let paths: Vec<&CheckSpec> = checks.iter().copied().filter(|check| check.kind.is_about_paths()).collect();
    reach::request(&paths, plan, &|_, _| true, |machine| login(plan, machine))
}

/// The questions of one machine, as the program asks them.
fn wants(plan: &Plan, checks: &[&CheckSpec], machine: &PlanMachine) -> MachineWants {
    MachineWants::of(checks.iter().copied().filter(|check| wants_check(plan, check, machine)))
}

/// The questions to the deployment node itself, one shell line each.
fn local_lines(plan: &Plan, check: &CheckSpec) -> Vec<String> {
    let quoted = |words: &[String]| words.iter().map(|word| shell_quote(word)).collect::<Vec<_>>().join(" ");
    match &check.kind {
        CheckKind::Tool { command, arguments, pattern, min, exact, below, .. } => {
            let version = pattern.is_some() || min.is_some() || exact.is_some() || below.is_some();
            let version = if version && arguments.is_empty() { "--version".to_owned() } else { quoted(arguments) };
            vec![if version.is_empty() { format!("command -v {command}") } else { format!("{command} {version}") }]
        }
        CheckKind::Command { argv, dir, .. } => {
            let dir = dir.as_ref().map(|dir| format!("cd {} && ", shell_quote(dir))).unwrap_or_default();
            vec![format!("{dir}{}", quoted(argv))]
        }
        CheckKind::LocalSize { .. } => vec!["nproc; cat /proc/meminfo; df -Pk / /var/lib".to_owned()],
        CheckKind::LocalUser { writable } => {
            vec![format!("id; for one in {}; do test -w \"$one\"; echo $?; done", quoted(writable))]
        }
        CheckKind::SshKey { field } => {
            plan.paths.get(field).map(|key| format!("ssh-keygen -y -P '' -f {}", shell_quote(key))).into_iter().collect()
        }
        CheckKind::Certificate { chain, key, .. } => vec![format!(
            "openssl x509 -in {chain} -noout -enddate -ext subjectAltName; openssl x509 -in {chain} -noout -pubkey; openssl pkey -in {key} -pubout; \
             openssl verify -partial_chain -untrusted {chain} {chain}"
        )],
        CheckKind::Layout { source } => {
            let checkout = plan.sources.get(source).map(|source| source.source.checkout.clone()).unwrap_or_default();
            vec![format!(
                "git -C {checkout} rev-parse --show-toplevel HEAD; ls {checkout}/ansible {checkout}/terraform; grep -rc = {checkout}/ansible"
            )]
        }
        CheckKind::HelmRepository { .. } => vec!["helm repo list -o json".to_owned()],
        CheckKind::Dns { records } => records.iter().map(|record| format!("getent ahostsv4 {}", record.name)).collect(),
        _ => Vec::new(),
    }
}

/// Writes what the hand-made ways need: a script for each machine and one for here, and the playbooks.
fn by_hand(lab: &Lab, plan: &Plan) {
    let checks = checks(plan);
    let all = reach_of(plan, &checks);
    let mut inventory = String::from("[all]\n");
    lab.file(&format!("{HOME}/hand/try.py"), TRY);
    for machine in &plan.machines {
        let facts = host::script("BENCH", &wants(plan, &checks, machine), true);
        let part = all.machines.iter().find(|part| part.login.name == machine.name);
        let (listen, aims) = part.map(|part| (ports(&part.listen), targets(&part.targets))).unwrap_or_default();
        let low = if part.is_some_and(|part| part.listen.iter().any(|(_, port)| *port < 1024)) { "sudo -n " } else { "" };
        let address = machine.address;
        let call = |ports: &str, targets: &str| format!("{low}python3 -I -S -c {} {address} '{ports}' '{targets}' 120\n", shell_quote(TRY));
        // The facts come first, and then nothing listens yet that is not the machine's own.
        lab.file(&format!("{HOME}/hand/{address}.all"), &format!("#!/bin/sh\n{facts}\n{}", call(&listen, &aims)));
        lab.file(&format!("{HOME}/hand/{address}.first"), &format!("#!/bin/sh\n{facts}\n{}", call(&listen, "")));
        lab.file(&format!("{HOME}/hand/{address}.then"), &format!("#!/bin/sh\n{}", call("", &aims)));
        let _ = writeln!(inventory, "{} ansible_host={address} ports='{listen}' low='{low}'", machine.name);
    }
    let tries = format!("python3 -I -S {HOME}/hand/try.py 0.0.0.0 '' '{}' 1", targets(&all.local));
    let mut lines: Vec<String> = checks.iter().flat_map(|check| local_lines(plan, check)).collect();
    lines.sort();
    lines.dedup();
    let here: String = lines.iter().fold(String::new(), |text, line| text + &format!("({line}) </dev/null 2>&1 &\n"));
    lab.file(&format!("{HOME}/hand/here.sh"), &format!("{here}{tries} &\nwait\n"));
    let _ = write!(
        inventory,
        "[all:vars]\nansible_user=ubuntu\nansible_python_interpreter=/usr/bin/python3\n\
         ansible_ssh_common_args='-o UserKnownHostsFile={HOME}/known -o StrictHostKeyChecking=yes'\n"
    );
    lab.file(&format!("{HOME}/hand/hosts.ini"), &inventory);
    lab.file(&format!("{HOME}/hand/tasks.yml"), &tasks(plan, &checks));
    let smart = format!("- hosts: all\n  gather_facts: false\n  tasks:\n    - script: {HOME}/hand/{{{{ ansible_host }}}}.all\n");
    lab.file(&format!("{HOME}/hand/smart.yml"), &smart);
}

/// What one would write for a check of machines as a task.
fn remote_line(check: &CheckSpec) -> Option<(String, bool)> {
    let (line, sudo) = match &check.kind {
        CheckKind::Login {} => ("id -un".to_owned(), false),
        CheckKind::Sudo {} => ("sudo -n true; sudo --version".to_owned(), false),
        CheckKind::OperatingSystem { .. } => ("cat /etc/os-release".to_owned(), false),
        CheckKind::Architecture { .. } => ("uname -m".to_owned(), false),
        CheckKind::Size {} => ("nproc; cat /proc/meminfo; df -Pk / /var/lib; vgs".to_owned(), true),
        CheckKind::TotalSize { .. } => ("nproc; cat /proc/meminfo".to_owned(), false),
        CheckKind::SwapOff {} => ("cat /proc/swaps; grep swap /etc/fstab; ls /etc/systemd/system/*.swap".to_owned(), false),
        CheckKind::PortsFree { .. } => ("ss -Hlntup".to_owned(), true),
        CheckKind::TimeSync { .. } => ("date +%s.%N; timedatectl show -p NTPSynchronized --value".to_owned(), false),
        CheckKind::Python { .. } => ("python3 -V".to_owned(), false),
        CheckKind::Systemd {} => ("test -d /run/systemd/system; ls /sys/fs/cgroup".to_owned(), false),
        CheckKind::KernelModules { modules } => (format!("for one in {}; do modprobe -n -q $one; done", modules.join(" ")), false),
        CheckKind::KernelSettings { min } => (format!("sysctl {}", min.keys().cloned().collect::<Vec<_>>().join(" ")), false),
        CheckKind::PackageLock {} => ("cat /proc/locks; dpkg --audit".to_owned(), false),
        CheckKind::RebootPending {} => ("test -e /run/reboot-required; ls /lib/modules".to_owned(), false),
        CheckKind::FirewallOff {} => ("ufw status; iptables -S".to_owned(), true),
        CheckKind::NoLeftovers { .. } => {
            ("ls -d /var/lib/rancher /etc/rancher /var/lib/kubelet /etc/cni; ps -e; iptables -S".to_owned(), true)
        }
        CheckKind::HostsFile {} => ("cat /etc/hosts".to_owned(), false),
        CheckKind::Resolver {} => ("cat /etc/resolv.conf".to_owned(), false),
        CheckKind::Uplink { .. } => ("ip route; ip link".to_owned(), false),
        CheckKind::RoutesFree { .. } => ("ip route".to_owned(), false),
        CheckKind::UniqueHosts {} => ("hostname; cat /etc/machine-id".to_owned(), false),
        CheckKind::Virtualization { .. } => ("systemd-detect-virt".to_owned(), false),
        CheckKind::Multipath {} => ("pidof multipathd; cat /etc/multipath.conf".to_owned(), false),
        CheckKind::Iscsi {} => ("command -v iscsiadm; pidof iscsid".to_owned(), false),
        CheckKind::DnsFromMachines { records } => {
            let names = records.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(" ");
            (format!("for one in {names}; do getent ahostsv4 $one; done"), false)
        }
        CheckKind::RemoteCommand { command, sudo, .. } => (command.clone(), *sudo),
        _ => return None,
    };
    Some((line, sudo))
}

/// The checks as one would write them in a playbook: one task each.
fn tasks(plan: &Plan, checks: &[&CheckSpec]) -> String {
    let mut text = String::from("- hosts: all\n  gather_facts: false\n  tasks:\n");
    // Braces of the shell are not Ansible's.
    let raw = |line: &str| format!("{{% raw %}}{line}{{% endraw %}}").replace('\n', "\n        ");
    let always = "      changed_when: false\n      failed_when: false\n";
    for check in checks {
        let Some((line, sudo)) = remote_line(check) else { continue };
        let names: Vec<String> = (plan.machines.iter())
            .filter(|machine| wants_check(plan, check, machine))
            .map(|machine| format!("'{}'", machine.name))
            .collect();
        let _ = write!(
            text,
            "    - name: {}\n      shell: |\n        {}\n      become: {sudo}\n      when: inventory_hostname in [{}]\n{always}",
            check.id,
            raw(&line),
            names.join(", ")
        );
    }
    let _ = write!(
        text,
        "    - name: listeners\n      shell: \"{{{{ low }}}}python3 -I -S - {{{{ ansible_host }}}} '{{{{ ports }}}}' '' 60\"\n      args:\n        \
         stdin: \"{{{{ lookup('file', '{HOME}/hand/try.py') }}}}\"\n{always}"
    );
    for check in checks.iter().filter(|check| check.kind.is_about_paths()) {
        let all = reach_of(plan, &[check]);
        let aims: String = (all.machines.iter().filter(|part| !part.targets.is_empty()))
            .fold(String::new(), |text, part| text + &format!("          {}: '{}'\n", part.login.name, targets(&part.targets)));
        if aims.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "    - name: {}\n      vars:\n        aims:\n{aims}      shell: \"python3 -I -S - {{{{ ansible_host }}}} '' '{{{{ aims[inventory_hostname] }}}}' 1\"\n      \
             args:\n        stdin: \"{{{{ lookup('file', '{HOME}/hand/try.py') }}}}\"\n      when: inventory_hostname in aims\n{always}",
            check.id
        );
    }
    text.push_str("- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n");
    for check in checks {
        let lines = local_lines(plan, check);
        if !lines.is_empty() {
            let line = lines.iter().map(|line| format!("({line})")).collect::<Vec<_>>().join("\n");
            let _ = write!(text, "    - name: {}\n      shell: |\n        {}\n{always}", check.id, raw(&line));
        }
    }
    let tries = format!("python3 -I -S {HOME}/hand/try.py 0.0.0.0 '' '{}' 1", targets(&reach_of(plan, checks).local));
    let _ = write!(text, "    - name: paths from here\n      shell: {tries}\n{always}");
    text
}

fn wants_check(plan: &Plan, check: &CheckSpec, machine: &PlanMachine) -> bool {
    (check.kind.is_per_machine() && judge::targets(check, plan).contains(&Target::Machine(machine.name.clone())))
        || (check.kind.is_across_machines() && judge::looks_at(check, machine))
}

/// From the key that leads to the preflight to the frame that shows the first finding, and how many checks were through by then.
fn first_finding(lab: &Lab) -> (Duration, u32) {
    let variables: Vec<(String, String)> =
        vec![("PATH".into(), std::env::var("PATH").unwrap_or_default()), ("TERM".into(), "xterm-256color".into())];
    let folder = lab.0.display().to_string();
    let program = Lab::script().display().to_string();
    let site = format!("{HOME}/site.toml");
    let mut screen = Screen::start(&program, &["exec", &folder, "deployment-node", "--", "/opt/mosip-setup", "--site", &site], &variables);
    screen.until("the site's screen", |text| text.contains("[Continue]") && text.contains("Certificates"));
    let pressed = Instant::now();
    screen.send("c");
    let through = |text: &str| -> Option<u32> { text.split("checking ").nth(1)?.split_whitespace().next()?.parse().ok() };
    // Checks that are skipped need no look at anything: a finding counts from the first that passes, warns or fails.
    let found = |text: &str| text.lines().nth(2).is_some_and(|line| ["✓", "!", "✗"].iter().any(|sign| counted(line, sign) > 0));
    let seen = screen.until("a finding", found);
    let count = through(&screen.text()).unwrap_or(0);
    // The screen goes with the program: it is killed when it is dropped.
    (seen - pressed, count)
}

/// The number after a sign.
fn counted(line: &str, sign: &str) -> u32 {
    line.split(sign).nth(1).and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() {
    machine("preflight");
    let _ = need("ansible-playbook", "install ansible-core 2.14 or later");
    let (rounds, count, ansible_rounds) = (setting("BENCH_ROUNDS", 5), setting("BENCH_MACHINES", 10), setting("BENCH_ANSIBLE", 1));
    let (delay, patience) = (setting("BENCH_DELAY_MS", 0), setting("BENCH_TASKS_SECONDS", 240));
    let folder = scratch();
    let machines = machines(count);
    let lab = Lab::up(folder.path(), &machines, delay);
    let site = site(&machines);
    lab.file(&format!("{HOME}/site.toml"), &site);
    lab.run(
        "cp -r /srv/kit ~/source; cd ~/source; git init -q -b main; git add -A -f; git -c user.name=b -c user.email=b@example.org commit -q -m kit; \
         mkdir -p ~/secrets; (umask 077; printf x-Lab-Canary >~/secrets/password); /opt/mosip-setup fetch --site ~/site.toml",
    );
    let plan = plan(folder.path(), &site);
    let paths = reach_of(&plan, &checks(&plan));
    let asked = paths.local.len() + paths.machines.iter().map(|part| part.targets.len()).sum::<usize>();
    let only = checks(&plan).iter().fold(String::new(), |text, check| text + " --only " + check.id.as_str());
    lab.run("/opt/mosip-setup check --accept-host-keys --only machine.login --site ~/site.toml");
    lab.run("cp ~/.local/state/mosip-setup/sites/bench/known_hosts ~/known; sudo -n true");
    by_hand(&lab, &plan);
    let ours = format!("/opt/mosip-setup check --json --site ~/site.toml{only}");
    let ssh = "ssh -o BatchMode=yes -o UserKnownHostsFile=$HOME/known -o StrictHostKeyChecking=yes";
    let list = machines.iter().map(|machine| machine.address.as_str()).collect::<Vec<_>>().join("\\n");
    let each = |kind: &str| {
        format!("printf '{list}\\n' | xargs -P12 -I@ sh -c '{ssh} @ \"exec sh -s\" <$HOME/hand/@.{kind} >$HOME/hand/@.said.{kind}'")
    };
    // With more machines than go at a time, the last would not listen yet when the first try.
    let there = if machines.len() <= 12 { each("all") } else { format!("{}; {}", each("first"), each("then")) };
    let plain = format!("rm -f ~/hand/*.said*; sh ~/hand/here.sh >~/hand/here.said 2>&1 & {there}; wait");
    let ansible = |book: &str| {
        format!(
            "cd ~/hand && ANSIBLE_FORCE_COLOR=0 timeout {patience} ansible-playbook -f 12 -i hosts.ini {book} >~/hand/{book}.said 2>&1; echo $?"
        )
    };
    if delay > 0 {
        let (open, _) = lab.timed(&format!(
            "python3 -c 'import socket,time; t=time.time(); socket.create_connection((\"{}\",22)); print(time.time()-t)' >~/hand/trip",
            machines[0].address
        ));
        println!(
            "delay      {delay} ms asked for; a TCP connection opens in {} s ({:.2} s with Python's start)",
            lab.run("cat ~/hand/trip").trim(),
            open.as_secs_f64()
        );
    }
    let (mut own, mut by_ssh, mut by_tasks, mut by_script) = (Sample::default(), Sample::default(), Sample::default(), Sample::default());
    let (mut against_ssh, mut against_script) = (Sample::default(), Sample::default());
    for round in 0..=rounds {
        let (took, out) = lab.timed(&ours);
        // The next one must not meet the listeners of the hand-made ways.
        let (plainly, _) = lab.timed(&plain);
        lab.end_listeners(&machines);
        let scripted = (ansible_rounds > 0).then(|| {
            let (time, code) = lab.timed(&ansible("smart.yml"));
            if code.trim() != "0" {
                give_up(&format!("the script task failed: {}", lab.run("tail -n 20 ~/hand/smart.yml.said")));
            }
            lab.end_listeners(&machines);
            time
        });
        if round == 0 {
            // The first round warms up, and shows that all asked the same.
            let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|error| give_up(&format!("{error}: {out}")));
            println!("checks     {} of {}; findings {}", checks(&plan).len(), plan.checks.len(), report["summary"]);
            let findings = report["findings"].as_array().into_iter().flatten();
            for finding in findings.filter(|finding| ["fail", "unknown"].iter().any(|bad| finding["verdict"] == *bad)).take(8) {
                println!("  {} {} on {}: {}", finding["verdict"], finding["check"], finding["target"], finding["observed"]);
            }
            let said = lab.run(
                "cat ~/hand/*.said* | grep -c '^open '; cat ~/hand/*.said* | grep -c '^closed '; cat ~/hand/*.said* | grep -c 'BENCH end='",
            );
            println!(
                "by hand    paths open, paths closed, machines that answered: {}; asked for: {asked}",
                said.trim().replace('\n', ", ")
            );
            continue;
        }
        println!(
            "  ours {:.2} s, plain ssh {:.2} s, script task {:.2} s",
            took.as_secs_f64(),
            plainly.as_secs_f64(),
            scripted.unwrap_or_default().as_secs_f64()
        );
        against_ssh.0.push(took.as_secs_f64() / plainly.as_secs_f64());
        own.time(took);
        by_ssh.time(plainly);
        if let Some(time) = scripted {
            by_script.time(time);
            against_script.0.push(took.as_secs_f64() / time.as_secs_f64());
        }
    }
    let peak = format!(
        "{ours} >~/hand/report & one=$!; most=0; while read -r name kib _ <<X\n$(grep VmHWM /proc/$one/status 2>/dev/null)\nX\n[ -n \"$kib\" ]; do most=$kib; sleep 0.02; done; echo $most"
    );
    let kib: f64 = lab.run(&peak).trim().parse().unwrap_or(f64::NAN);
    let mut first = Sample::default();
    let mut through = Sample::default();
    for _ in 0..setting("BENCH_SCREENS", 5) {
        let (time, count) = first_finding(&lab);
        first.time(time);
        through.0.push(f64::from(count));
    }
    let mut cut = false;
    for _ in 0..ansible_rounds {
        let (time, code) = lab.timed(&ansible("tasks.yml"));
        by_tasks.time(time);
        cut |= code.trim() == "124";
        if !matches!(code.trim(), "0" | "124") {
            give_up(&format!("the tasks failed: {}", lab.run("tail -n 20 ~/hand/tasks.yml.said")));
        }
    }
    let least = if cut { "at least (cut off) " } else { "" };
    println!("machines              {} and the deployment node, {delay} ms away", machines.len());
    println!("mosip-setup check     {}", own.words(1.0, "s"));
    println!("plain ssh, -P12       {}", by_ssh.words(1.0, "s"));
    println!("one script task       {}", by_script.words(1.0, "s"));
    println!("checks as tasks       {least}{}", by_tasks.words(1.0, "s"));
    println!("ours / plain ssh      {}", against_ssh.words(1.0, ""));
    println!("ours / script task    {}", against_script.words(1.0, ""));
    println!("tasks / ours          {least}{:.1}", by_tasks.median() / own.median());
    println!("peak memory           {:.1} MiB", kib / 1024.0);
    println!("first local finding   {}; checks through by then: {}", first.words(1000.0, "ms"), through.words(1.0, ""));
    println!("load at the end       {}", common::load());
    verdict("first local finding", first.median() < 0.1, "on screen within 100 ms of the key");
    if rounds > 0 {
        verdict("plain ssh", against_ssh.median() <= 1.3, "at most 1.3 times its time");
    }
    if ansible_rounds > 0 {
        verdict("script task", against_script.median() < 1.0, "faster");
        verdict("checks as tasks", by_tasks.median() / own.median() >= 10.0, "at least 10 times as fast");
    }
    verdict("memory", kib < 64.0 * 1024.0, "under 64 MiB");
}
