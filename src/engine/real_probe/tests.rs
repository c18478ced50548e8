//! The real probe against real OpenSSH servers on loopback, one process for each connection (inetd mode), so that none is left behind.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::adapters::known_hosts;
use crate::install::facts::HostKey;
use crate::install::inquiry::RemoteCommand;

const SSHD: &str = "/usr/sbin/sshd";
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder with keys, and a server that speaks for it until dropped.
struct Server {
    folder: TempDir,
    port: u16,
    stops: Vec<Stop>,
}

/// Ends the accepting thread: the flag first, then one connection to wake it.
struct Stop(std::sync::Arc<std::sync::atomic::AtomicBool>, std::net::SocketAddr);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = TcpStream::connect(self.1);
    }
}

fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(path);
    assert!(command.status().unwrap().success());
}

fn available() -> bool {
    let there = Path::new(SSHD).exists() && which::which("ssh-keygen").is_ok();
    // As root, sshd wants /run/sshd; a mount namespace of its own gives it one without touching the machine.
    let root = rustix::process::geteuid().is_root();
    let can = there && (!root || Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()));
    // A skip is counted where the tests are run as a whole, and no list allows this one.
    if let (false, Some(list)) = (can, std::env::var_os("MOSIP_SETUP_SKIPS")) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        std::io::Write::write_all(&mut file, b"SKIP sshd: needs OpenSSH's sshd and ssh-keygen, and as root unshare\n").unwrap();
    }
    can
}

impl Server {
    /// `options` go in front of the authorised key: a forced command.
    fn start(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        keygen(&at("host"), "ed25519", "");
        keygen(&at("host_rsa"), "rsa", "");
        keygen(&at("user"), "ed25519", "");
        let public = std::fs::read_to_string(at("user.pub")).unwrap();
        std::fs::write(at("authorized_keys"), format!("{options} {public}").trim_start()).unwrap();
        let config = format!(
            "HostKey {0}/host\nHostKey {0}/host_rsa\nAuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            folder.path().display()
        );
        std::fs::write(at("config"), config).unwrap();
        let listener = TcpListener::bind((LOCAL, 0)).unwrap();
        let mut server = Self { port: listener.local_addr().unwrap().port(), folder, stops: Vec::new() };
        server.listen(listener);
        server
    }

    /// The same server on another loopback address, as if it were another machine.
    fn also_on(&mut self, address: Ipv4Addr) {
        self.listen(TcpListener::bind((address, self.port)).unwrap());
    }

    fn listen(&mut self, listener: TcpListener) {
        let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        self.stops.push(Stop(std::sync::Arc::clone(&flag), listener.local_addr().unwrap()));
        let config = self.path("config");
        std::thread::spawn(move || {
            let mut children = Vec::new();
            for stream in listener.incoming().flatten() {
                if flag.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                children.push(serve(&config, stream));
            }
            for mut child in children {
                let _ = child.kill();
                let _ = child.wait();
            }
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn login(&self, key: &str) -> SshLogin {
        let user = Command::new("id").arg("-un").output().unwrap();
        SshLogin {
            name: "vm1".parse().unwrap(),
            address: LOCAL,
            user: String::from_utf8(user.stdout).unwrap().trim().to_owned(),
            key: self.path(key).display().to_string(),
            known_hosts: self.path("known_hosts").display().to_string(),
            jump: None,
        }
    }

    fn host_key(&self, name: &str) -> HostKey {
        let text = std::fs::read_to_string(self.path(name).with_extension("pub")).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        HostKey { kind: words[0].into(), base64: words[1].into(), fingerprint: known_hosts::fingerprint(words[1]) }
    }

    fn record(&self, key: &str) {
        let entry = ("127.0.0.1".to_owned(), self.port, self.host_key(key));
        known_hosts::accept(&self.path("known_hosts"), &[entry]).unwrap();
    }

    fn probe(&self) -> RealProbe {
        RealProbe { ssh_port: self.port, ..RealProbe::default() }
    }

    async fn ask(&self, probe: &RealProbe, key: &str, wants: MachineWants) -> MachineAnswer {
        match probe.ask(ProbeQuestion::Machine { login: self.login(key), wants }).await {
            ProbeAnswer::Machine(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&self, probe: &RealProbe, key: &str) -> LoginFailure {
        match self.ask(probe, key, MachineWants::default()).await {
            MachineAnswer::Failed(failure) => failure,
            MachineAnswer::Facts(facts) => panic!("{facts:?}"),
        }
    }
}

fn serve(config: &Path, stream: TcpStream) -> std::process::Child {
    let (input, output): (OwnedFd, OwnedFd) = (stream.try_clone().unwrap().into(), stream.into());
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$0\" -i -f \"$1\"";
        command.args(["-m", "sh", "-c", script, SSHD]);
        command
    } else {
        let mut command = Command::new(SSHD);
        command.args(["-i", "-f"]);
        command
    };
    command.arg(config).stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null()).spawn().unwrap()
}

fn short(total_millis: u64) -> Limits {
    let limit = Duration::from_millis(total_millis);
    Limits { login: limit, total: limit, ..Limits::default() }
}

#[tokio::test]
async fn first_contact_then_facts_through_a_noisy_shell() {
    if !available() {
        return;
    }
    let noise = r#"command="echo 'Welcome to vm1'; printf 'sh: warning: setlocale: LC_ALL: cannot change locale (tlh)' >&2; eval \"$SSH_ORIGINAL_COMMAND\"""#;
    let server = Server::start(noise);
    let probe = server.probe();
    let failure = server.failure(&probe, "user").await;
    let own = server.host_key("host");
    assert_eq!(failure.kind, LoginFailureKind::UnknownHostKey { fingerprint: own.fingerprint.clone() });
    assert!(failure.detail.contains("not recorded yet"), "{}", failure.detail);
    let scanned = probe.ask(ProbeQuestion::HostKey { login: server.login("user") }).await;
    assert_eq!(scanned, ProbeAnswer::HostKey(HostKeyAnswer::Unknown(own)));
    server.record("host");
    let wants = MachineWants {
        commands: vec![RemoteCommand { check: "x".parse().unwrap(), command: "echo \"it's $((40 + 2))\"".into(), sudo: false }],
        ..MachineWants::default()
    };
    let MachineAnswer::Facts(facts) = server.ask(&probe, "user", wants).await else { panic!("no facts") };
    assert_eq!(facts.user.clone().unwrap(), server.login("user").user);
    assert_eq!(facts.commands["x"].stdout, "it's 42");
    assert!(facts.clock_skew_seconds.unwrap().abs() <= facts.clock_uncertainty_seconds + 0.05, "{:?}", facts.clock_skew_seconds);
    assert!(matches!(
        probe.ask(ProbeQuestion::HostKey { login: server.login("user") }).await,
        ProbeAnswer::HostKey(HostKeyAnswer::Known(_))
    ));
    // OpenSSH itself accepts the file for the key recorded.
    let line =
        Command::new("ssh-keygen").args(["-F", &format!("[127.0.0.1]:{}", server.port), "-f"]).arg(server.path("known_hosts")).output();
    assert!(line.unwrap().status.success());
}

#[tokio::test]
async fn host_keys_that_changed_are_revoked_or_of_another_type() {
    if !available() {
        return;
    }
    let server = Server::start("");
    let probe = server.probe();
    // Recorded by its RSA key alone: asked for that one, instead of crying wolf over the other.
    server.record("host_rsa");
    assert!(matches!(server.ask(&probe, "user", MachineWants::default()).await, MachineAnswer::Facts(_)));
    let hosts = server.path("known_hosts");
    let name = known_hosts::host_name("127.0.0.1", server.port);
    let user = server.host_key("user");
    std::fs::write(&hosts, format!("{name} {} {}\n", user.kind, user.base64)).unwrap();
    let failure = server.failure(&probe, "user").await;
    let LoginFailureKind::ChangedHostKey { recorded, presented } = failure.kind else { panic!("{failure:?}") };
    assert!(recorded[0].contains(&user.fingerprint) && presented.contains(&server.host_key("host").fingerprint));
    assert!(failure.detail.contains(&user.fingerprint) && failure.detail.contains(&server.host_key("host").fingerprint));
    let host = server.host_key("host");
    std::fs::write(&hosts, format!("@revoked * {} {}\n", host.kind, host.base64)).unwrap();
    assert!(matches!(server.failure(&probe, "user").await.kind, LoginFailureKind::RevokedHostKey { .. }));
    std::fs::write(&hosts, format!("@cert-authority * {} {}\n", host.kind, host.base64)).unwrap();
    assert!(server.failure(&probe, "user").await.detail.contains("certificate authority"));
}

#[tokio::test]
async fn a_hashed_file_is_read_and_a_key_of_a_type_the_host_no_longer_has_is_a_change() {
    if !available() {
        return;
    }
    let server = Server::start("");
    let probe = server.probe();
    server.record("host");
    let hosts = server.path("known_hosts");
    let hash = || assert!(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&hosts).output().unwrap().status.success());
    hash();
    assert!(std::fs::read_to_string(&hosts).unwrap().starts_with("|1|"));
    assert!(matches!(server.ask(&probe, "user", MachineWants::default()).await, MachineAnswer::Facts(_)));
    // The machine was set up anew: what it has is not what is recorded, and hashing hides nothing.
    let user = server.host_key("user");
    std::fs::write(&hosts, format!("{} {} {}\n", known_hosts::host_name("127.0.0.1", server.port), user.kind, user.base64)).unwrap();
    hash();
    assert!(matches!(server.failure(&probe, "user").await.kind, LoginFailureKind::ChangedHostKey { .. }));
    // Recorded with a type that the host has no key of any more.
    keygen(&server.path("gone"), "ecdsa", "");
    std::fs::remove_file(&hosts).unwrap();
    server.record("gone");
    let failure = server.failure(&probe, "user").await;
    let LoginFailureKind::ChangedHostKey { recorded, .. } = &failure.kind else { panic!("{failure:?}") };
    assert!(recorded[0].contains(&server.host_key("gone").fingerprint), "{failure:?}");
}

#[tokio::test]
async fn keys_of_every_type_log_in_and_rsa_with_sha2_alone() {
    if !available() {
        return;
    }
    let server = Server::start("");
    let probe = server.probe();
    server.record("host_rsa");
    let config = server.path("config");
    let text = std::fs::read_to_string(&config).unwrap();
    // No SHA-1 signature on either side, as OpenSSH has it since 8.8.
    std::fs::write(
        &config,
        format!("{text}PubkeyAcceptedAlgorithms rsa-sha2-512,ecdsa-sha2-nistp256\nHostKeyAlgorithms rsa-sha2-512,rsa-sha2-256\n"),
    )
    .unwrap();
    for kind in ["rsa", "ecdsa"] {
        keygen(&server.path(kind), kind, "");
        std::fs::copy(server.path(kind).with_extension("pub"), server.path("authorized_keys")).unwrap();
        assert!(matches!(server.ask(&probe, kind, MachineWants::default()).await, MachineAnswer::Facts(_)), "{kind}");
        // The same key with a passphrase: said as such, whatever the library calls it.
        let mut lock = Command::new("ssh-keygen");
        lock.args(["-q", "-p", "-P", "", "-N", "two words", "-f"]).arg(server.path(kind));
        assert!(lock.stdout(Stdio::null()).status().unwrap().success());
        let failure = server.failure(&probe, kind).await;
        assert_eq!(failure.kind, LoginFailureKind::KeyFile, "{kind}: {}", failure.detail);
        assert!(failure.detail.contains("passphrase"), "{kind}: {}", failure.detail);
    }
}

#[tokio::test]
async fn keys_that_do_not_open_the_door() {
    if !available() {
        return;
    }
    let server = Server::start("");
    let probe = server.probe();
    server.record("host");
    keygen(&server.path("other"), "ed25519", "");
    keygen(&server.path("locked"), "ed25519", "secret");
    let failure = server.failure(&probe, "other").await;
    assert_eq!(failure.kind, LoginFailureKind::Refused, "{}", failure.detail);
    let failure = server.failure(&probe, "locked").await;
    assert_eq!(failure.kind, LoginFailureKind::KeyFile, "{}", failure.detail);
    assert!(failure.detail.contains("passphrase"), "{}", failure.detail);
    let failure = server.failure(&probe, "absent").await;
    assert_eq!(failure.kind, LoginFailureKind::KeyFile);
    assert!(failure.detail.contains("cannot be read"), "{}", failure.detail);
}

#[tokio::test]
async fn floods_and_silence_end_within_their_limits() {
    if !available() {
        return;
    }
    // Whatever comes on stderr is dropped, however much, and keeps nothing back.
    let grumbling = Server::start(r#"command="head -c 9000000 /dev/zero >&2; eval \"$SSH_ORIGINAL_COMMAND\"""#);
    grumbling.record("host");
    assert!(matches!(grumbling.ask(&grumbling.probe(), "user", MachineWants::default()).await, MachineAnswer::Facts(_)));

    let flooding = Server::start(r#"command="yes flood""#);
    flooding.record("host");
    let failure = flooding.failure(&flooding.probe(), "user").await;
    assert_eq!(failure.kind, LoginFailureKind::Probe);
    assert!(failure.detail.contains("more than 1024 KiB"), "{}", failure.detail);

    let hanging = Server::start(r#"command="while kill -0 $PPID 2>/dev/null; do sleep 0.2; done""#);
    hanging.record("host");
    let probe = RealProbe { ssh: Limits { total: Duration::from_millis(1500), ..Limits::default() }, ..hanging.probe() };
    let start = Instant::now();
    let failure = hanging.failure(&probe, "user").await;
    assert_eq!(failure.kind, LoginFailureKind::Timeout, "{}", failure.detail);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    // A command that does not end takes its own result away, and no other fact.
    let server = Server::start("");
    server.record("host");
    let probe = RealProbe { ssh: Limits { total: Duration::from_secs(3), ..Limits::default() }, ..server.probe() };
    let slow = RemoteCommand { check: "slow".parse().unwrap(), command: "echo begun; exec sleep 6".into(), sudo: false };
    let wants = MachineWants { commands: vec![slow], ..MachineWants::default() };
    let MachineAnswer::Facts(facts) = server.ask(&probe, "user", wants).await else { panic!("no facts") };
    assert!(facts.processors.is_some() && facts.commands.is_empty());
    // Nobody waits any more: the socket closes, and the blocking thread comes home long before its own limit of a minute.
    let waiting = RealProbe { ssh: Limits::default(), ..hanging.probe() };
    let asked = tokio::time::timeout(Duration::from_millis(300), hanging.ask(&waiting, "user", MachineWants::default())).await;
    assert!(asked.is_err());
}

#[tokio::test]
async fn something_that_is_no_ssh_server() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind((LOCAL, 0)).unwrap();
    let login = |_: ()| SshLogin {
        name: "vm1".parse().unwrap(),
        address: LOCAL,
        user: "nobody".into(),
        key: "/nowhere".into(),
        known_hosts: folder.path().join("known_hosts").display().to_string(),
        jump: None,
    };
    let ask = async |port: u16, limits: Limits| {
        let probe = RealProbe { ssh_port: port, ssh: limits, ..RealProbe::default() };
        match probe.ask(ProbeQuestion::Machine { login: login(()), wants: MachineWants::default() }).await {
            ProbeAnswer::Machine(MachineAnswer::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    };
    let start = Instant::now();
    let failure = ask(silent.local_addr().unwrap().port(), short(800)).await;
    assert_eq!(failure.kind, LoginFailureKind::Timeout, "{}", failure.detail);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let web = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = web.local_addr().unwrap().port();
    let speaking = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = web.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    });
    let failure = ask(port, short(2000)).await;
    assert!(matches!(failure.kind, LoginFailureKind::NotSsh | LoginFailureKind::Timeout), "{failure:?}");
    speaking.join().unwrap();
    let failure = ask(port, short(2000)).await;
    assert_eq!(failure.kind, LoginFailureKind::NotReachable, "{}", failure.detail);
    assert!(failure.detail.contains("refuses the connection"), "{}", failure.detail);
}

#[tokio::test]
async fn the_deployment_node_is_asked_with_the_same_script() {
    let paths = vec!["/nowhere/at/all".into()];
    let ProbeAnswer::Local(facts) = RealProbe::default().ask(ProbeQuestion::Local { paths }).await else { panic!() };
    assert!(facts.disks.contains_key("/nowhere/at/all") && facts.processors.is_some());
}

#[tokio::test]
async fn eleven_machines_from_first_contact_to_findings() {
    use crate::engine::checks::tests::{machine_checks, plan};
    use crate::engine::checks::{CheckRequest, run_checks};
    use crate::engine::host_keys::{accept_new, scan};
    use crate::install::check::Verdict;
    if !available() {
        return;
    }
    let mut server = Server::start("");
    let names: Vec<String> = (1..=11).map(|number| format!("vm{number}")).collect();
    let mut plan = plan(machine_checks(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let login = server.login("user");
    for (machine, last) in plan.machines.iter_mut().zip(11_u8..) {
        machine.address = Ipv4Addr::new(127, 0, 7, last);
        machine.user.clone_from(&login.user);
        machine.key.clone_from(&login.key);
        // One machine is down.
        if last != 15 {
            server.also_on(machine.address);
        }
    }
    plan.known_hosts.clone_from(&login.known_hosts);
    let probe = server.probe();
    let verdicts = async |request: &CheckRequest<'_>| {
        let findings = run_checks(request, &probe, None).await;
        findings.iter().filter(|finding| finding.check == *"login").map(|finding| finding.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&CheckRequest::preflight(&plan)).await, [Verdict::Fail; 11], "nobody is known yet");
    let reports = scan(&plan, &probe).await;
    let accepted = accept_new(&plan, &reports, server.port).unwrap();
    assert_eq!(accepted.len(), 10);
    let findings = run_checks(&CheckRequest::preflight(&plan), &probe, None).await;
    let failed: Vec<String> = findings
        .iter()
        .filter(|finding| finding.check == *"login" && finding.verdict != Verdict::Pass)
        .map(|finding| format!("{}: {}", finding.target, finding.observed))
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("machine:vm5: 127.0.7.15") && failed[0].contains("refuses the connection"), "{failed:?}");
    let down: Vec<_> = findings.iter().filter(|finding| finding.target.to_string() == "machine:vm5").collect();
    assert_eq!(down.iter().filter(|finding| finding.verdict == Verdict::Skipped).count(), down.len() - 1);
    let judged = findings.iter().filter(|finding| finding.check == *"python" && finding.verdict == Verdict::Pass).count();
    assert_eq!(judged, 10);
    // OpenSSH itself, with the file as Ansible gets it, trusts every machine without a question.
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
    ssh.args(["-o", &format!("UserKnownHostsFile={}", login.known_hosts), "-i", &login.key, "-p", &server.port.to_string()]);
    ssh.args([&format!("{}@127.0.7.16", login.user), "echo trusted"]).stdin(Stdio::null());
    let output = ssh.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "trusted\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_matrix_comes_to_its_end_among_machines_that_flood_are_silent_or_chat() {
    use crate::install::facts::Protocol;
    use crate::install::reach::{ListenState, PathAnswer, ReachMachine, ReachRequest, ReachTarget, What};
    if !available() {
        return;
    }
    let free = |kind: Protocol| match kind {
        Protocol::Tcp => TcpListener::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port(),
        Protocol::Udp => std::net::UdpSocket::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port(),
    };
    let (tcp, udp) = (free(Protocol::Tcp), free(Protocol::Udp));
    let address = |last: u8| Ipv4Addr::new(127, 0, 7, last);
    let mut good = Server::start("");
    good.also_on(address(21));
    let other = |options: &str, last: u8| {
        let mut server = Server::start(options);
        server.port = good.port;
        server.also_on(address(last));
        server
    };
    let chatting = other(r#"command="echo Welcome, dear guest; echo 'bash: warning: setlocale' >&2; eval \"$SSH_ORIGINAL_COMMAND\"""#, 22);
    let flooding = other(r#"command="yes flood""#, 23);
    let silent = TcpListener::bind((address(24), good.port)).unwrap();
    let part = |name: &str, server: &Server, last: u8| {
        let entry = (address(last).to_string(), good.port, server.host_key("host"));
        known_hosts::accept(&server.path("known_hosts"), &[entry]).unwrap();
        let target = |to: &str, last: u8, what: What| ReachTarget { to: to.parse().unwrap(), address: address(last), what };
        let each = |to: &str, last: u8| {
            [What::Port(Protocol::Tcp, tcp), What::Port(Protocol::Udp, udp), What::Mtu(tcp)].map(|what| target(to, last, what))
        };
        ReachMachine {
            login: SshLogin { name: name.parse().unwrap(), address: address(last).into(), ..server.login("user") },
            address: address(last),
            listen: vec![(Protocol::Tcp, tcp), (Protocol::Udp, udp)],
            targets: [("good", 21), ("chatting", 22), ("flooding", 23), ("silent", 24)]
                .into_iter()
                .filter(|(to, _)| *to != name)
                .flat_map(|(to, last)| each(to, last))
                .collect(),
        }
    };
    let machines =
        vec![part("good", &good, 21), part("chatting", &chatting, 22), part("flooding", &flooding, 23), part("silent", &good, 24)];
    let local = machines[0].targets.clone();
    let limits = Limits { login: Duration::from_secs(6), ..Limits::default() };
    let probe = RealProbe { ssh: limits, ..good.probe() };
    let start = Instant::now();
    let ProbeAnswer::Reach(answer) = probe.ask(ProbeQuestion::Reach(ReachRequest { machines, local })).await else { panic!() };
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    let host = |name: &str| answer.hosts.iter().find(|(known, _)| *known == *name).unwrap().1.clone();
    for name in ["good", "chatting"] {
        let host = host(name).unwrap();
        assert!(host.stayed && host.listens.iter().all(|(_, _, state)| *state == ListenState::Bound), "{name}: {host:?}");
    }
    assert_eq!(host("silent").unwrap_err().kind, LoginFailureKind::Timeout);
    let flood = host("flooding").unwrap_err();
    assert!(flood.kind == LoginFailureKind::Probe && flood.detail.contains("did not start"), "{flood:?}");
    // What can be asked is tried all the same: from both to each other, and from here to one of them.
    assert_eq!(answer.paths.len(), 3 * 3, "{:?}", answer.paths);
    assert!(answer.paths.iter().all(|(_, said)| matches!(said, PathAnswer::Open(_) | PathAnswer::Mtu(_))), "{:?}", answer.paths);
    drop(silent);
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((address(21), tcp)).is_ok() {
        assert!(Instant::now() < end, "listeners end with the question");
    }
}
