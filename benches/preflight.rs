//! All checks of the shipped profile that need no internet, with the matrix of paths, on lab machines: `mosip-setup check` against the
//! same by plain parallel OpenSSH, and by Ansible in two ways.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Sample, give_up, machine, need, program, scratch, setting, verdict, write};
use mosip_setup::adapters::host;
use mosip_setup::adapters::profiles;
use mosip_setup::install::check::{CheckKind, CheckSpec};
use mosip_setup::install::facts::Protocol;
use mosip_setup::install::inquiry::{MachineWants, RemoteCommand};
use mosip_setup::install::profile::Profile;

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

    fn up(folder: &Path, machines: &[Machine]) -> Self {
        let hosts: String = std::iter::once("deployment-node 10.77.0.5 64G\n".to_owned())
            .chain(machines.iter().map(|machine| format!("{} {} 160G\n", machine.name, machine.address)))
            .collect();
        write(&folder.join("wanted"), &hosts);
        let program = PathBuf::from(program());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lab = folder.join("lab");
        let up = Command::new(Self::script())
            .arg("up")
            .arg(&lab)
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

/// The checks that ask machines or the network, but not the internet.
fn checks(profile: &Profile) -> Vec<&CheckSpec> {
    let offline =
        |check: &&CheckSpec| !check.on_demand && !check.id.as_str().starts_with("egress.") && !check.id.as_str().starts_with("internet.");
    profile.checks.iter().filter(offline).collect()
}

/// What is asked of one machine.
struct Asked {
    wants: MachineWants,
    listen: Vec<(Protocol, u16)>,
    targets: Vec<(char, String, u16)>,
}

fn with_role<'a>(machine: &Machine, roles: impl IntoIterator<Item = &'a str>) -> bool {
    roles.into_iter().any(|role| machine.roles.contains(&role))
}

fn asked(profile: &Profile, machines: &[Machine], one: Option<&Machine>) -> Asked {
    let mut asked = Asked { wants: MachineWants::default(), listen: Vec::new(), targets: Vec::new() };
    let is = |roles: &[mosip_setup::install::ids::RoleId]| match one {
        Some(machine) => with_role(machine, roles.iter().map(|role| role.as_str())),
        None => roles.iter().any(|role| role.as_str() == "local"),
    };
    for check in checks(profile) {
        match &check.kind {
            CheckKind::KernelModules { modules } if is(&check.roles) => asked.wants.modules.extend(modules.iter().cloned()),
            CheckKind::RemoteCommand { command, sudo, .. } if is(&check.roles) => {
                // Answers are filled in by the planner; the shell fills in nothing, and the work is the same.
                let command = command.replace("${", "$").replace('}', "");
                asked.wants.commands.push(RemoteCommand { check: check.id.clone(), command, sudo: *sudo });
            }
            CheckKind::PortsBetween { from, to, ports } => {
                let all = || {
                    let tcp = ports.iter().filter_map(|one| one.tcp).flat_map(|range| range.tried()).map(|port| (Protocol::Tcp, port));
                    tcp.chain(ports.iter().filter_map(|one| one.udp).flat_map(|range| range.tried()).map(|port| (Protocol::Udp, port)))
                };
                if one.is_some() && is(to) {
                    asked.listen.extend(all());
                }
                if is(from) {
                    let others = machines.iter().filter(|other| one.is_none_or(|one| one.name != other.name));
                    for other in others.filter(|other| with_role(other, to.iter().map(|role| role.as_str()))) {
                        let kind = |protocol| if protocol == Protocol::Tcp { 't' } else { 'u' };
                        asked.targets.extend(all().map(|(protocol, port)| (kind(protocol), other.address.clone(), port)));
                    }
                }
            }
            CheckKind::PathMtu { from, to, .. } if is(from) => {
                let others = machines.iter().filter(|other| one.is_none_or(|one| one.name != other.name));
                let others = others.filter(|other| with_role(other, to.iter().map(|role| role.as_str())));
                asked.targets.extend(others.map(|other| ('m', other.address.clone(), 10250)));
            }
            _ => {}
        }
    }
    asked.listen.sort_unstable();
    asked.listen.dedup();
    asked.targets.sort_unstable();
    asked.targets.dedup();
    asked
}

fn ports(listen: &[(Protocol, u16)]) -> String {
    listen
        .iter()
        .map(|(protocol, port)| format!("{}{port}", if *protocol == Protocol::Tcp { 't' } else { 'u' }))
        .collect::<Vec<_>>()
        .join(",")
}

fn targets(targets: &[(char, String, u16)]) -> String {
    targets.iter().map(|(kind, address, port)| format!("{kind}:{address}:{port}")).collect::<Vec<_>>().join(" ")
}

/// Writes what the hand-made ways need: a script for each machine, and the playbooks.
fn by_hand(lab: &Lab, profile: &Profile, machines: &[Machine]) {
    let mut inventory = String::from("[all]\n");
    lab.file(&format!("{HOME}/hand/try.py"), TRY);
    for one in machines {
        let asked = asked(profile, machines, Some(one));
        let facts = host::script("BENCH", &asked.wants, true);
        let low = if asked.listen.iter().any(|(_, port)| *port < 1024) { "sudo -n " } else { "" };
        let program = TRY.replace('\'', "'\\''");
        let call = |ports: &str, targets: &str| format!("{low}python3 -I -S -c '{program}' {} '{ports}' '{targets}' 8\n", one.address);
        let (ports, targets) = (ports(&asked.listen), targets(&asked.targets));
        // The facts come first, and then nothing listens yet that is not the machine's own.
        lab.file(&format!("{HOME}/hand/{}.all", one.address), &format!("#!/bin/sh\n{facts}\n{}", call(&ports, &targets)));
        lab.file(&format!("{HOME}/hand/{}.first", one.address), &format!("#!/bin/sh\n{facts}\n{}", call(&ports, "")));
        lab.file(&format!("{HOME}/hand/{}.then", one.address), &format!("#!/bin/sh\n{}", call("", &targets)));
        let groups = format!("ports='{ports}' targets='{targets}' low='{low}'");
        let _ = writeln!(inventory, "{} ansible_host={} {groups}", one.name, one.address);
    }
    let here = asked(profile, machines, None);
    lab.file(&format!("{HOME}/hand/here.sh"), &format!("python3 -I -S {HOME}/hand/try.py 0.0.0.0 '' '{}' 1\n", targets(&here.targets)));
    let _ = write!(
        inventory,
        "[all:vars]\nansible_user=ubuntu\nansible_python_interpreter=/usr/bin/python3\n\
         ansible_ssh_common_args='-o UserKnownHostsFile={HOME}/known -o StrictHostKeyChecking=yes'\n"
    );
    lab.file(&format!("{HOME}/hand/hosts.ini"), &inventory);
    lab.file(&format!("{HOME}/hand/tasks.yml"), &tasks(profile));
    lab.file(
        &format!("{HOME}/hand/smart.yml"),
        &format!("- hosts: all\n  gather_facts: false\n  tasks:\n    - script: {HOME}/hand/{{{{ ansible_host }}}}.all\n"),
    );
}

/// The checks as one would write them in a playbook: one task each.
fn tasks(profile: &Profile) -> String {
    let mut text = String::from("- hosts: all\n  gather_facts: true\n  gather_subset: [min, hardware, network]\n  tasks:\n");
    let mut shell = |name: &str, command: &str, sudo: bool| {
        let _ = write!(
            text,
            "    - name: {name}\n      shell: |\n        {}\n      become: {sudo}\n      changed_when: false\n      failed_when: false\n",
            command.replace('\n', "\n        ")
        );
    };
    for check in checks(profile) {
        let id = check.id.as_str();
        match &check.kind {
            CheckKind::Login {} => shell(id, "id -un", false),
            CheckKind::Sudo {} => shell(id, "sudo -n true", false),
            CheckKind::OperatingSystem { .. } => shell(id, "cat /etc/os-release", false),
            CheckKind::Architecture { .. } => shell(id, "uname -m", false),
            CheckKind::Size {} => shell(id, "nproc; cat /proc/meminfo; df -Pk / /var/lib", false),
            CheckKind::SwapOff {} => shell(id, "cat /proc/swaps; grep swap /etc/fstab", false),
            CheckKind::PortsFree { .. } => shell(id, "ss -Hlntup", true),
            CheckKind::TimeSync { .. } => shell(id, "date +%s.%N; timedatectl show -p NTPSynchronized --value", false),
            CheckKind::Python { .. } => shell(id, "python3 -V", false),
            CheckKind::Systemd {} => shell(id, "test -d /run/systemd/system", false),
            CheckKind::KernelModules { modules } => {
                shell(id, &format!("for one in {}; do modprobe -n -q $one; done", modules.join(" ")), false)
            }
            CheckKind::PackageLock {} => shell(id, "cat /proc/locks", false),
            CheckKind::RebootPending {} => shell(id, "test -e /run/reboot-required", false),
            CheckKind::RemoteCommand { command, sudo, .. } => {
                shell(id, &command.replace("${", "$").replace('}', "").replace("{{", "{ {"), *sudo)
            }
            _ => {}
        }
    }
    let _ = write!(
        text,
        "    - name: listeners\n      shell: \"{{{{ low }}}} python3 -I -S - {{{{ ansible_host }}}} '{{{{ ports }}}}' '' 60 < /dev/stdin\"\n      args:\n        \
         stdin: \"{{{{ lookup('file', '{HOME}/hand/try.py') }}}}\"\n      changed_when: false\n    - name: paths\n      \
         wait_for:\n        host: \"{{{{ item.split(':')[1] }}}}\"\n        port: \"{{{{ item.split(':')[2] }}}}\"\n        timeout: 3\n      \
         loop: \"{{{{ targets.split() | select('match', '^[tm]') | list }}}}\"\n      ignore_errors: true\n"
    );
    text
}

fn main() {
    machine("preflight");
    let _ = need("ansible-playbook", "install ansible-core 2.14 or later");
    let (rounds, count, slow) = (setting("BENCH_ROUNDS", 5), setting("BENCH_MACHINES", 10), setting("BENCH_ANSIBLE", 1));
    let profile = profiles::load("turing-rke2").unwrap_or_else(|problems| give_up(&format!("{problems:?}")));
    let folder = scratch();
    let machines = machines(count);
    let lab = Lab::up(folder.path(), &machines);
    lab.file(&format!("{HOME}/site.toml"), &site(&machines));
    lab.run(
        "cp -r /srv/kit ~/source; cd ~/source; git init -q -b main; git add -A -f; git -c user.name=b -c user.email=b@example.org commit -q -m kit; \
         mkdir -p ~/secrets; (umask 077; printf x-Lab-Canary >~/secrets/password); /opt/mosip-setup fetch --site ~/site.toml",
    );
    let only: String = checks(&profile).iter().filter(|check| !["nfs.", "dns."].iter().any(|way| check.id.as_str().starts_with(way))).fold(
        String::new(),
        |mut text, check| {
            let _ = write!(text, " --only {}", check.id);
            text
        },
    );
    // What does not apply to this site is no check of its plan.
    let plan_ids = lab.run("/opt/mosip-setup check --json --accept-host-keys --site ~/site.toml");
    let known = |id: &str| plan_ids.contains(&format!("\"check\": \"{id}\""));
    let only: String =
        only.split(" --only ").filter(|id| !id.is_empty() && known(id)).fold(String::new(), |text, id| text + " --only " + id);
    lab.run("cp ~/.local/state/mosip-setup/sites/bench/known_hosts ~/known; sudo -n true");
    by_hand(&lab, &profile, &machines);
    let peak = "python3 -c 'import resource,subprocess,sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'";
    let ours = format!("/opt/mosip-setup check --json --site ~/site.toml{only}");
    let ssh = "ssh -o BatchMode=yes -o UserKnownHostsFile=$HOME/known -o StrictHostKeyChecking=yes";
    let list = machines.iter().map(|machine| machine.address.as_str()).collect::<Vec<_>>().join("\\n");
    let each =
        |kind: &str| format!("printf '{list}\\n' | xargs -P12 -I@ sh -c '{ssh} @ \"exec sh -s\" <$HOME/hand/@.{kind} >$HOME/hand/@.said'");
    // With more machines than go at a time, the last would not listen yet when the first try.
    let plain = if machines.len() <= 12 {
        format!("{}; sh ~/hand/here.sh >~/hand/here.said", each("all"))
    } else {
        format!("{}; cat ~/hand/*.said >~/hand/facts; {}; sh ~/hand/here.sh >~/hand/here.said", each("first"), each("then"))
    };
    let ansible =
        |book: &str| format!("cd ~/hand && ANSIBLE_FORCE_COLOR=0 ansible-playbook -f 12 -i hosts.ini {book} >~/hand/{book}.said 2>&1");
    let (mut own, mut by_ssh, mut by_tasks, mut by_script) = (Sample::default(), Sample::default(), Sample::default(), Sample::default());
    let (mut against_ssh, mut against_script) = (Sample::default(), Sample::default());
    for round in 0..=rounds {
        let (took, out) = lab.timed(&ours);
        // Listeners of the hand-made ways end by their own clock; ours must not meet them.
        let (plainly, _) = lab.timed(&plain);
        lab.run("sleep 9");
        let scripted = if slow > 0 {
            let (time, _) = lab.timed(&ansible("smart.yml"));
            lab.run("sleep 9");
            Some(time)
        } else {
            None
        };
        if round == 0 {
            // The first round warms up, and shows that all asked the same.
            let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|error| give_up(&format!("{error}: {out}")));
            println!("findings   {}", report["summary"]);
            let said = lab.run("cat ~/hand/*.said | grep -c '^open '; cat ~/hand/*.said | grep -c '^closed '");
            println!("paths tried by hand, open and closed: {}", said.trim().replace('\n', ", "));
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
    for _ in 0..slow {
        by_tasks.time(lab.timed(&ansible("tasks.yml")).0);
    }
    let kib: f64 = lab.run(&format!("{peak} {ours}")).trim().parse().unwrap_or(f64::NAN);
    println!("machines              {} and the deployment node", machines.len());
    println!("mosip-setup check     {}", own.words(1.0, "s"));
    println!("plain ssh, -P12       {}", by_ssh.words(1.0, "s"));
    println!("one script task       {}", by_script.words(1.0, "s"));
    println!("checks as tasks       {}", by_tasks.words(1.0, "s"));
    println!("ours / plain ssh      {}", against_ssh.words(1.0, ""));
    println!("ours / script task    {}", against_script.words(1.0, ""));
    println!("tasks / ours          {:.1}", by_tasks.median() / own.median());
    println!("peak memory           {:.1} MiB", kib / 1024.0);
    println!("load at the end       {}", common::load());
    verdict("plain ssh", against_ssh.median() <= 1.3, "at most 1.3 times its time");
    if slow > 0 {
        verdict("script task", against_script.median() < 1.0, "faster");
        verdict("checks as tasks", by_tasks.median() / own.median() >= 10.0, "at least 10 times as fast");
    }
    verdict("memory", kib < 64.0 * 1024.0, "under 64 MiB");
}
