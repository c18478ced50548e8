//! Checks of one machine, all together, so that one cause gives one finding.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::install::check::{Cause, CheckKind, CheckSpec, Finding, Target};
use crate::install::facts::{CommandFacts, LoginFailure, LoginFailureKind, MachineAnswer, MachineFacts, TcpAnswer};
use crate::install::plan::{Plan, PlanMachine};

use super::judgement::{Judged, Judgement, skipped};
use super::local::CANNOT_TELL;
use super::{network, state, system};

/// What was seen of one machine.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What the SSH session told; none where no check asked for one.
    pub answer: Option<&'a MachineAnswer>,
    /// What its TCP ports did.
    pub tcp: &'a BTreeMap<u16, TcpAnswer>,
}

/// Whether a check needs an SSH session with the machine.
#[must_use]
pub fn needs_login(kind: &CheckKind) -> bool {
    kind.is_per_machine() && !matches!(kind, CheckKind::TcpReachable { .. })
}

/// Judges the checks of one machine; one finding for each, in the order given.
///
/// An unreachable machine fails its login check (or, without one, its port check, or else the first check), and the others are skipped.
#[must_use]
pub fn machine(checks: &[&CheckSpec], plan: &Plan, machine: &PlanMachine, seen: Seen<'_>) -> Vec<Finding> {
    let target = Target::Machine(machine.name.clone());
    let first = |matches: &dyn Fn(&CheckKind) -> bool| checks.iter().position(|check| matches(&check.kind));
    let failure = match seen.answer {
        Some(MachineAnswer::Failed(failure)) => Some(failure),
        _ => None,
    };
    let unreachable = failure.is_some_and(|failure| failure.kind == LoginFailureKind::NotReachable);
    // The one check that carries the failure to log in.
    let login = first(&|kind| matches!(kind, CheckKind::Login {}));
    let carrier = login
        .or_else(|| if unreachable { first(&|kind| matches!(kind, CheckKind::TcpReachable { .. })) } else { None })
        .or_else(|| first(&needs_login));
    let no_sudo = match seen.answer {
        Some(MachineAnswer::Facts(facts)) => sudo_problem(facts),
        _ => None,
    };
    let sudo_carrier = first(&|kind| matches!(kind, CheckKind::Sudo {}))
        .or_else(|| first(&|kind| matches!(kind, CheckKind::RemoteCommand { sudo: true, .. })));
    let mut findings = Vec::with_capacity(checks.len());
    for (index, check) in checks.iter().enumerate() {
        let judged = if let Some(failure) = failure.filter(|_| carrier == Some(index)) {
            login_failure(failure, machine.address, &plan.known_hosts).finding(check, target.clone())
        } else if unreachable {
            skipped(check, target.clone(), "machine not reachable")
        } else if let (Some(jump), CheckKind::TcpReachable { tcp, .. }) = (&machine.jump, &check.kind)
            && tcp == &[22]
        {
            skipped(check, target.clone(), &format!("reached through the jump host {}", jump.place()))
        } else if let CheckKind::TcpReachable { tcp, listening } = &check.kind {
            // Where SSH itself is the trouble, the login check says so.
            network::tcp(tcp, *listening, seen.tcp, seen.answer.is_none()).finding(check, target.clone())
        } else {
            match seen.answer {
                None => super::unknown(check, target.clone(), "the machine was not asked"),
                Some(MachineAnswer::Failed(_)) => skipped(check, target.clone(), "no SSH login"),
                Some(MachineAnswer::Facts(facts)) => {
                    let needs_sudo = matches!(check.kind, CheckKind::RemoteCommand { sudo: true, .. } | CheckKind::Sudo {});
                    match &no_sudo {
                        Some(problem) if needs_sudo && sudo_carrier == Some(index) => problem.clone().finding(check, target.clone()),
                        Some(_) if needs_sudo => skipped(check, target.clone(), "needs sudo, which does not work without a password"),
                        _ => with_facts(check, plan, machine, facts).finding(check, target.clone()),
                    }
                }
            }
        };
        findings.push(judged);
    }
    findings
}

fn login_failure(failure: &LoginFailure, address: Ipv4Addr, known_hosts: &str) -> Judgement {
    let expected = "an SSH login with the site's user and key";
    let (judged, remedy) = match &failure.kind {
        LoginFailureKind::NotReachable => (
            Judged::Wrong,
            "Check that the machine is up, that the address is right, and that the firewall lets port 22 through.".to_owned(),
        ),
        LoginFailureKind::Timeout => (Judged::Unknown, "Log in by hand and look at the machine's load and its sshd.".to_owned()),
        LoginFailureKind::NotSsh => (Judged::Wrong, "Check that this is the right address and that OpenSSH listens on port 22.".to_owned()),
        LoginFailureKind::UnknownHostKey { fingerprint } => (
            Judged::Wrong,
            format!("Compare {fingerprint} with what `ssh-keygen -lf` shows for the machine's own host keys in /etc/ssh, then accept it."),
        ),
        LoginFailureKind::ChangedHostKey { .. } => (
            Judged::Strict,
            format!(
                "Find out why: a machine set up anew has a new key, and so has a machine in the middle. Only then forget the old key, and record the new one: `ssh-keygen -R {address} -f {known_hosts}`, then `mosip-setup check --accept-host-keys`."
            ),
        ),
        LoginFailureKind::RevokedHostKey { .. } => {
            (Judged::Strict, "Give the machine new host keys; this one must not be used any more.".to_owned())
        }
        LoginFailureKind::KeyFile => (Judged::Wrong, "Name a key file without passphrase that its owner alone can read.".to_owned()),
        LoginFailureKind::Refused => (
            Judged::Wrong,
            "Add the public key to the user's ~/.ssh/authorized_keys (ssh-copy-id does it), or correct the user.".to_owned(),
        ),
        LoginFailureKind::Probe => (Judged::Unknown, "Log in by hand and run `sh -c true`; then check again.".to_owned()),
    };
    let judgement = Judgement::new(judged, failure.detail.clone(), expected).remedy(remedy);
    let cause = match &failure.kind {
        LoginFailureKind::UnknownHostKey { .. } => Some(Cause::HostKeyUnknown),
        LoginFailureKind::ChangedHostKey { .. } => Some(Cause::HostKeyChanged),
        LoginFailureKind::RevokedHostKey { .. } => Some(Cause::HostKeyRevoked),
        _ => None,
    };
    let judgement = judgement.cause(cause);
    // The profile's remedy is about keys and users, and misleads where something else is wrong.
    if failure.kind == LoginFailureKind::Refused { judgement } else { judgement.alone() }
}

fn sudo_problem(facts: &MachineFacts) -> Option<Judgement> {
    let expected = "sudo without a password";
    match &facts.sudo {
        Some(Ok(())) => None,
        Some(Err(said)) => {
            let user = facts.user.as_deref().unwrap_or("the user");
            let flavour = facts
                .sudo_version
                .as_deref()
                .filter(|version| version.contains("sudo-rs"))
                .map(|_| " (this is sudo-rs)")
                .unwrap_or_default();
            let observed = format!("`sudo -n true` as {user} fails: {}{flavour}", if said.is_empty() { "no reason given" } else { said });
            Some(Judgement::new(Judged::Wrong, observed, expected).remedy(sudo_remedy(said, user)).alone())
        }
        None => Some(Judgement::unknown("sudo could not be tried", expected)),
    }
}

/// What helps, by the words in which sudo refuses.
fn sudo_remedy(said: &str, user: &str) -> String {
    let low = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| low.contains(word));
    let rule = format!("{user} ALL=(ALL) NOPASSWD: ALL");
    if has(&["not installed"]) {
        format!("As root: `apt-get install sudo`, then a file below /etc/sudoers.d: {rule}")
    } else if has(&["must have a tty", "requiretty", "no tty present"]) {
        format!(
            "sudo wants a terminal, and Ansible has none. Let an administrator add a file below /etc/sudoers.d with two lines: `Defaults:{user} !requiretty` and `{rule}`"
        )
    } else if has(&["syntax error", "parse error", "no valid sudoers", "is world writable", "should be owned"]) {
        "The sudoers files are damaged: `visudo -c` as root names the place.".to_owned()
    } else if has(&["account or password is expired", "account validation", "expired"]) {
        format!("The account or its password has expired: as root, `chage -l {user}`.")
    } else if has(&["not in the sudoers", "may not run", "not allowed"]) {
        format!("The user has no right to use sudo. Let an administrator add a file below /etc/sudoers.d: {rule}")
    } else if has(&["instead of 0"]) {
        format!("A rule lets {user} become somebody else than root. Let an administrator put this rule last: {rule}")
    } else {
        format!("Let an administrator add a file below /etc/sudoers.d: {rule}")
    }
}

/// sudo works; whether the one that is there is the one that Ansible knows.
fn sudo_works(facts: &MachineFacts) -> Judgement {
    let expected = "sudo without a password";
    match facts.sudo_version.as_deref().filter(|version| version.contains("sudo-rs")) {
        Some(version) => Judgement::new(Judged::Doubtful, format!("sudo works without a password; it is {version}"), expected)
            .remedy("Ansible waits for a prompt that sudo-rs words differently, where it asks at all. If a playbook times out waiting for privilege escalation: `sudo update-alternatives --set sudo /usr/bin/sudo.ws`.")
            .alone(),
        None => Judgement::new(Judged::Right, "sudo works without a password", expected),
    }
}

/// What a command printed: on stderr, or else on stdout, where sessions that have one stream alone put it.
fn said(result: &CommandFacts) -> &str {
    if result.stderr.trim().is_empty() { &result.stdout } else { &result.stderr }
}

fn with_facts(check: &CheckSpec, plan: &Plan, machine: &PlanMachine, facts: &MachineFacts) -> Judgement {
    match &check.kind {
        CheckKind::Login {} => {
            let user = facts.user.as_deref().unwrap_or(&machine.user);
            let system = facts.os_name.as_deref().unwrap_or("an unnamed system");
            Judgement::new(Judged::Right, format!("logged in as {user} on {system}"), "an SSH login with the site's user and key")
        }
        CheckKind::Sudo {} => sudo_works(facts),
        CheckKind::OperatingSystem { accept } => state::operating_system(accept, facts),
        CheckKind::Architecture { accept } => state::architecture(accept, facts),
        CheckKind::Size {} => state::size(plan, machine, facts),
        CheckKind::SwapOff {} => state::swap_off(facts),
        CheckKind::PortsFree { tcp, udp, .. } => state::ports_free(tcp, udp, facts),
        CheckKind::TimeSync { max_skew_seconds } => state::time_sync(*max_skew_seconds, facts),
        CheckKind::Python { min } => state::python(min.as_deref(), facts),
        CheckKind::Systemd {} => state::systemd(facts),
        CheckKind::KernelModules { modules } => state::kernel_modules(modules, facts),
        CheckKind::PackageLock {} => state::package_lock(facts),
        CheckKind::RebootPending {} => state::reboot_pending(facts),
        CheckKind::KernelSettings { min } => system::kernel_settings(min, facts),
        CheckKind::Multipath {} => system::multipath(facts),
        CheckKind::Iscsi {} => system::iscsi(facts),
        CheckKind::NoLeftovers { own } => system::no_leftovers(facts, own.as_deref()),
        CheckKind::FirewallOff {} => system::firewall_off(facts),
        CheckKind::HostsFile {} => system::hosts_file(plan, facts),
        CheckKind::Resolver {} => system::resolver(facts),
        CheckKind::Uplink { min_mtu } => system::uplink(*min_mtu, facts),
        CheckKind::Virtualization { refuse } => system::virtualization(refuse, facts),
        CheckKind::RoutesFree { networks } => system::routes_free(networks, facts),
        CheckKind::RemoteCommand { stdout, command, .. } => script(check, command, stdout.as_deref(), facts.commands.get(&check.id)),
        _ => Judgement::unknown(format!("a check of kind {} does not look at machines", check.kind.name()), check.title.clone()),
    }
}

/// What a script of the profile said on a machine.
fn script(check: &CheckSpec, command: &str, stdout: Option<&str>, result: Option<&CommandFacts>) -> Judgement {
    let Some(result) = result else {
        return Judgement::unknown("the command had not ended when the session's time was up", check.title.clone());
    };
    let failed = result.exit.is_some_and(|code| code != 0 && code != CANNOT_TELL) && !result.timed_out;
    if failed && !said(result).trim().is_empty() {
        // A script that fails says why; its own lines would be quoting.
        return Judgement::new(Judged::Wrong, network::beginning(said(result)), check.title.clone());
    }
    super::local::command_result(&check.title, command, result, stdout, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::check::Level;

    #[test]
    fn sudo_refuses_in_many_ways_and_each_has_its_remedy() {
        let of = |said: &str, version: &str| {
            let facts = MachineFacts {
                user: Some("op".into()),
                sudo: Some(Err(said.into())),
                sudo_version: Some(version.into()),
                ..MachineFacts::default()
            };
            let judgement = sudo_problem(&facts).unwrap();
            (judgement.observed, judgement.remedy)
        };
        for (said, helps) in [
            ("sudo is not installed", "apt-get install sudo"),
            ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
            ("sudo: a password is required", "op ALL=(ALL) NOPASSWD: ALL"),
            ("op is not in the sudoers file.", "no right to use sudo"),
            ("Sorry, user op may not run sudo on vm1.", "no right to use sudo"),
            ("sudo: account validation failure, is your account locked?", "chage -l op"),
            ("/etc/sudoers.d/x:1:7: syntax error", "visudo -c"),
            ("it works, and gives user id 33 instead of 0", "somebody else than root"),
        ] {
            let (observed, remedy) = of(said, "Sudo version 1.9.15p5");
            assert!(observed.contains(said) && remedy.contains(helps), "{said}: {remedy}");
        }
        assert!(of("sudo: interactive authentication is required", "sudo-rs 0.2.8").0.ends_with("(this is sudo-rs)"));
        let works = |version: &str| sudo_works(&MachineFacts { sudo_version: Some(version.into()), ..MachineFacts::default() }).judged;
        assert_eq!((works("sudo-rs 0.2.8"), works("Sudo version 1.9.15p5")), (Judged::Doubtful, Judged::Right));
    }

    #[test]
    fn a_script_says_that_it_fails_or_cannot_tell() {
        let kind = serde_json::json!({"kind": "remote_command", "command": "look"});
        let check = CheckSpec {
            id: "look".parse().unwrap(),
            title: "the title".into(),
            level: Level::Fail,
            roles: Vec::new(),
            guards: Vec::new(),
            provided_by: None,
            on_demand: false,
            when: None,
            remedy: String::new(),
            fix: None,
            kind: serde_json::from_value(kind).unwrap(),
        };
        let of = |exit: i32, stdout: &str| {
            let result = CommandFacts { exit: Some(exit), stdout: stdout.into(), ..CommandFacts::default() };
            let judged = script(&check, "look", None, Some(&result));
            (judged.judged, judged.observed)
        };
        assert_eq!(of(0, "fine"), (Judged::Right, "fine".to_owned()));
        assert_eq!(of(1, "no room"), (Judged::Wrong, "no room".to_owned()));
        assert_eq!(of(2, ""), (Judged::Wrong, "`look` exits with 2: (nothing)".to_owned()));
        assert_eq!(of(CANNOT_TELL, "the kernel has no client"), (Judged::Unknown, "the kernel has no client".to_owned()));
        assert_eq!(script(&check, "look", None, None).judged, Judged::Unknown);
    }

    #[test]
    fn host_keys_are_a_cause_that_front_ends_recognise() {
        let judged =
            |kind: LoginFailureKind| login_failure(&LoginFailure { kind, detail: String::new() }, Ipv4Addr::new(10, 0, 0, 1), "/s/known");
        let of = |kind: LoginFailureKind| judged(kind).cause;
        let changed = judged(LoginFailureKind::ChangedHostKey { recorded: Vec::new(), presented: String::new() });
        assert!(changed.judged == Judged::Strict && changed.remedy.contains("`ssh-keygen -R 10.0.0.1 -f /s/known`"), "{}", changed.remedy);
        assert_eq!(of(LoginFailureKind::UnknownHostKey { fingerprint: String::new() }), Some(Cause::HostKeyUnknown));
        assert_eq!(of(LoginFailureKind::RevokedHostKey { fingerprint: String::new() }), Some(Cause::HostKeyRevoked));
        assert_eq!(of(LoginFailureKind::Refused), None);
    }
}
