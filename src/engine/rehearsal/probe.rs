//! Facts of a rehearsal: recorded ones for machines and network, real ones for the scratch folder.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::cluster::Cluster;
use super::stage::{Fault, Rehearsal};
use crate::engine::ports::{BoxFuture, Heard, Probe, ProbeAnswer, ProbeQuestion};
use crate::engine::real_probe::RealProbe;
use crate::install::facts::{
    CommandFacts, DiskFacts, DnsAnswer, DnsOutcome, HostKey, HostKeyAnswer, HttpAnswer, LoginFailure, LoginFailureKind, MachineAnswer,
    MachineFacts, MendFacts, ModuleState, NameAnswer, Protocol, TcpAnswer, ToolFacts, UserFacts, WayOut, WayOutcome,
};
use crate::install::inquiry::{MachineWants, MendOrder};
use crate::install::outside::{ChartPin, ChartsFacts, IndexAnswer, PullAnswer, PullFacts};
use crate::install::plan::Plan;
use crate::install::reach::{ListenState, Path, PathAnswer, ReachAnswer, ReachHost, ReachRequest, What};

/// The host key that is recorded for every machine of a rehearsal.
const RECORDED: &str = "SHA256:cmVoZWFyc2FsIHJlY29yZGVkIGtleSBvZiBtYWNoaW5l";

/// The one that a machine presents where that is rehearsed.
const PRESENTED: &str = "SHA256:cmVoZWFyc2FsIHByZXNlbnRlZCBrZXkgb2YgbWFjaGlu";

/// What the recorded facts say beside those of a machine.
#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    machine: MachineFacts,
    local: MachineFacts,
    /// Program → what it prints when asked for its version.
    tools: BTreeMap<String, String>,
    /// First word of a command, or its first words → what it prints.
    commands: BTreeMap<String, String>,
    /// Beginning of a command → what it prints on a machine.
    #[serde(default)]
    remote: BTreeMap<String, String>,
    /// Ports that answer beside that of SSH.
    #[serde(default)]
    answers: Vec<u16>,
    /// Part of an address → body.
    http: BTreeMap<String, String>,
    /// The last number of the address of the machine that faults concern.
    fault_machine: u8,
}

/// Answers from recorded facts.
#[derive(Debug)]
pub struct RehearsalProbe {
    recorded: Option<Recorded>,
    real: RealProbe,
    faults: Vec<Fault>,
    /// The clusters, where scripts are rehearsed.
    cluster: Option<Cluster>,
    plan: Mutex<Option<Arc<Plan>>>,
    /// Whether somebody has run the script against swap; in a rehearsal it holds until the program ends.
    swap_mended: AtomicBool,
    pause: Duration,
}

impl RehearsalProbe {
    /// With the faults of a rehearsal, so many times as fast as machines answer.
    #[must_use]
    pub fn new(real: RealProbe, rehearsal: &Rehearsal) -> Self {
        let pause = Duration::from_millis(350).div_f64(rehearsal.speed.max(0.01));
        Self {
            recorded: rehearsal.profile.facts().and_then(|facts| serde_json::from_value(facts).ok()),
            real,
            faults: rehearsal.faults.clone(),
            cluster: rehearsal.profile.has_scripts().then(|| Cluster::new(&rehearsal.scratch)),
            plan: Mutex::new(None),
            swap_mended: AtomicBool::new(false),
            pause,
        }
    }

    /// The plan whose names and machines are played.
    pub fn observe(&self, plan: Arc<Plan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    fn answer(&self, question: &ProbeQuestion) -> Option<ProbeAnswer> {
        let Some(recorded) = &self.recorded else { return Some(ProbeAnswer::Failed("the recorded facts cannot be read".into())) };
        let is_fault_machine = |address: &IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[3] == recorded.fault_machine);
        Some(match question {
            ProbeQuestion::Machine { login, wants } => {
                if self.has(Fault::HostDown) && is_fault_machine(&login.address) {
                    return Some(ProbeAnswer::Machine(MachineAnswer::Failed(LoginFailure {
                        kind: LoginFailureKind::NotReachable,
                        detail: "no route to host (rehearsed)".into(),
                    })));
                }
                if self.has(Fault::HostKeyChanged) && is_fault_machine(&login.address) {
                    let detail = format!(
                        "{}:22 presents the host key {PRESENTED} (ssh-ed25519); recorded is {RECORDED} (ssh-ed25519)",
                        login.address
                    );
                    let kind = LoginFailureKind::ChangedHostKey { recorded: vec![RECORDED.into()], presented: PRESENTED.into() };
                    return Some(ProbeAnswer::Machine(MachineAnswer::Failed(LoginFailure { kind, detail })));
                }
                let mut facts = complete(&recorded.machine, wants);
                for command in &wants.commands {
                    let told = recorded.remote.iter().find(|(start, _)| command.command.starts_with(start.as_str()));
                    if let Some((_, text)) = told {
                        facts.commands.insert(command.check.clone(), said(text));
                    }
                }
                facts.user = Some(login.user.clone());
                facts.hostname = Some(login.name.to_string());
                facts.machine_id = Some(format!("rehearsal-{}", login.address));
                facts.names = wants.names.iter().map(|name| (name.clone(), self.name_on_machine(name))).collect();
                if self.has(Fault::SwapOn) && !self.swap_mended.load(Ordering::Relaxed) && is_fault_machine(&login.address) {
                    facts.swap_active = Some(vec!["/swap.img".into()]);
                    facts.swap_configured = Some(vec!["/etc/fstab: /swap.img".into()]);
                }
                ProbeAnswer::Machine(MachineAnswer::Facts(Box::new(facts)))
            }
            ProbeQuestion::HostKey { login } => {
                let key =
                    |fingerprint: &str| HostKey { kind: "ssh-ed25519".into(), base64: String::new(), fingerprint: fingerprint.into() };
                ProbeAnswer::HostKey(if self.has(Fault::HostKeyChanged) && is_fault_machine(&login.address) {
                    HostKeyAnswer::Changed { recorded: vec![format!("{RECORDED} (ssh-ed25519)")], presented: key(PRESENTED) }
                } else {
                    HostKeyAnswer::Known(key(RECORDED))
                })
            }
            ProbeQuestion::Local { paths } => {
                let wants = MachineWants { paths: paths.clone(), ..MachineWants::default() };
                ProbeAnswer::Local(Box::new(complete(&recorded.local, &wants)))
            }
            ProbeQuestion::Tool { command, .. } => ProbeAnswer::Tool(match recorded.tools.get(command) {
                Some(text) => ToolFacts { path: Some(format!("/usr/bin/{command}")), version: Some(said(text)) },
                None => ToolFacts::default(),
            }),
            ProbeQuestion::Command { argv, env, .. } => {
                let line = argv.join(" ");
                if let Some(looked) = self.cluster.as_ref().and_then(|cluster| cluster.look(argv, env)) {
                    return Some(ProbeAnswer::Command(looked));
                }
                // The checkout is real.
                if line.starts_with("git ") {
                    return None;
                }
                let longest =
                    recorded.commands.iter().filter(|(start, _)| line.starts_with(start.as_str())).max_by_key(|(start, _)| start.len());
                ProbeAnswer::Command(said(longest.map(|(_, text)| text.as_str()).unwrap_or_default()))
            }
            ProbeQuestion::Dns { name, .. } => ProbeAnswer::Dns(self.name(name)),
            ProbeQuestion::Tcp { address, port, banner } => ProbeAnswer::Tcp(if self.has(Fault::HostDown) && is_fault_machine(address) {
                TcpAnswer::Silent(5)
            } else if *banner || *port == 22 {
                TcpAnswer::Open { banner: Some("SSH-2.0-OpenSSH_9.6p1".into()) }
            } else if recorded.answers.contains(port) {
                TcpAnswer::Open { banner: None }
            } else {
                TcpAnswer::Refused
            }),
            ProbeQuestion::Http(request) => {
                let body = recorded.http.iter().find(|(part, _)| request.url.contains(part.as_str())).map(|(_, body)| body.clone());
                ProbeAnswer::Http(HttpAnswer::Answer { status: 200, body: body.unwrap_or_default(), location: None })
            }
            ProbeQuestion::Reach(request) => {
                ProbeAnswer::Reach(paths(request, self.has(Fault::PortClosed), self.has(Fault::HostDown), &is_fault_machine))
            }
            ProbeQuestion::WayOut { .. } => ProbeAnswer::WayOut(WayOut { outcome: WayOutcome::Answered(200), proxy: None }),
            ProbeQuestion::Charts(request) => {
                let pin = |(chart, key): &(String, String)| ChartPin {
                    chart: chart.clone(),
                    key: key.clone(),
                    version: Some("rehearsed".into()),
                    known: true,
                    found: true,
                    newest: Vec::new(),
                };
                let pins: Vec<ChartPin> = request.charts.iter().map(pin).collect();
                ProbeAnswer::Charts(ChartsFacts { problem: None, index: IndexAnswer::Read(pins.len()), pins, proxy: None })
            }
            ProbeQuestion::Pulls => {
                let answer = PullAnswer::Limit { remaining: 200, of: Some(200), seconds: Some(21_600), source: None };
                ProbeAnswer::Pulls(PullFacts { answer, proxy: None })
            }
            ProbeQuestion::User { .. } | ProbeQuestion::SshKey { .. } | ProbeQuestion::Certificate { .. } | ProbeQuestion::Layout(_) => {
                return None;
            }
        })
    }

    /// The same as a machine sees it.
    fn name_on_machine(&self, name: &str) -> NameAnswer {
        match self.name(name).outcome {
            DnsOutcome::Addresses { addresses, .. } => NameAnswer::Addresses(addresses),
            _ => NameAnswer::NotFound,
        }
    }

    /// The address that the plan expects of a name, or a wrong one where that is rehearsed.
    fn name(&self, name: &str) -> DnsAnswer {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut records = plan.iter().flat_map(|plan| &plan.checks).flat_map(|check| check.kind.records());
        let address = records.find(|record| record.name == name).and_then(|record| record.address.parse::<IpAddr>().ok());
        let wrong = self.has(Fault::DnsWrong) && name.starts_with("api-internal.");
        let outcome = match address {
            Some(_) if wrong => DnsOutcome::Addresses { addresses: vec![IpAddr::from([192, 0, 2, 99])], through: Vec::new() },
            Some(address) => DnsOutcome::Addresses { addresses: vec![address], through: Vec::new() },
            None => DnsOutcome::NoSuchName,
        };
        let servers = vec!["10.77.0.2".into()];
        DnsAnswer { outcome, hosts_file: Vec::new(), servers, alias: None, elsewhere: None, invented: Vec::new() }
    }
}

/// A matrix in which all is open, but what is rehearsed: the firewall between two machines drops what is for the pod network.
fn paths(request: &ReachRequest, closed: bool, down: bool, is_fault_machine: &dyn Fn(&IpAddr) -> bool) -> ReachAnswer {
    let gone = |address: Ipv4Addr| down && is_fault_machine(&IpAddr::V4(address));
    let mut answer = ReachAnswer::default();
    let first = request.machines.iter().find(|machine| !machine.targets.is_empty()).map(|machine| machine.login.name.clone());
    for machine in &request.machines {
        let host = if gone(machine.address) {
            Err(LoginFailure { kind: LoginFailureKind::NotReachable, detail: "no route to host (rehearsed)".into() })
        } else {
            let listens = machine.listen.iter().map(|(protocol, port)| (*protocol, *port, ListenState::Bound)).collect();
            Ok(ReachHost { tool: Some("python3".into()), listens, stayed: true })
        };
        answer.hosts.push((machine.login.name.clone(), host));
        if gone(machine.address) {
            continue;
        }
        for target in machine.targets.iter().filter(|target| !gone(target.address)) {
            let blocked = closed && is_fault_machine(&IpAddr::V4(target.address)) && Some(&machine.login.name) == first.as_ref();
            let said = match target.what {
                What::Mtu(_) => PathAnswer::Mtu(1500),
                What::Port(Protocol::Udp, _) if blocked => PathAnswer::Silent,
                What::Port(..) => PathAnswer::Open(1),
            };
            answer.paths.push((Path { from: Some(machine.login.name.clone()), to: target.to.clone(), what: target.what }, said));
        }
    }
    let local = request.local.iter().filter(|target| !gone(target.address));
    answer.paths.extend(local.map(|target| (Path { from: None, to: target.to.clone(), what: target.what }, PathAnswer::Open(1))));
    answer
}

fn said(text: &str) -> CommandFacts {
    CommandFacts { exit: Some(0), stdout: text.to_owned(), ..CommandFacts::default() }
}

/// Recorded facts with answers to everything that was asked for.
fn complete(facts: &MachineFacts, wants: &MachineWants) -> MachineFacts {
    let mut facts = facts.clone();
    let disk = facts.disks.values().next().cloned().unwrap_or(DiskFacts::default());
    for path in &wants.paths {
        facts.disks.entry(path.clone()).or_insert_with(|| disk.clone());
    }
    for module in &wants.modules {
        facts.modules.entry(module.clone()).or_insert(ModuleState::Loadable);
    }
    for setting in &wants.settings {
        facts.settings.entry(setting.clone()).or_insert(1 << 40);
    }
    for url in &wants.urls {
        facts.ways_out.insert(url.clone(), WayOut { outcome: WayOutcome::Answered(200), proxy: None });
    }
    for command in &wants.commands {
        facts.commands.insert(command.check.clone(), said(""));
    }
    facts
}

impl Probe for RehearsalProbe {
    fn ask(&self, question: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer> {
        match self.answer(&question) {
            // The folders are the scratch folder's; whoever practises plays an ordinary user.
            None if matches!(question, ProbeQuestion::User { .. }) => Box::pin(async move {
                match self.real.ask(question).await {
                    ProbeAnswer::User(facts) => ProbeAnswer::User(UserFacts { uid: 1000, name: "ubuntu".into(), ..facts }),
                    other => other,
                }
            }),
            None => self.real.ask(question),
            Some(answer) => {
                let waits = matches!(
                    question,
                    ProbeQuestion::Machine { .. } | ProbeQuestion::Dns { .. } | ProbeQuestion::Tool { .. } | ProbeQuestion::Reach(_)
                );
                let pause = if waits { self.pause } else { Duration::ZERO };
                Box::pin(async move {
                    tokio::time::sleep(pause).await;
                    answer
                })
            }
        }
    }

    fn mend(&self, order: MendOrder, mut heard: Heard) -> BoxFuture<'_, MendFacts> {
        // Nothing outside the scratch folder is touched: the script is not run, and what it is for is played.
        if order.script.contains("swapoff") {
            self.swap_mended.store(true, Ordering::Relaxed);
        }
        Box::pin(async move {
            tokio::time::sleep(self.pause).await;
            let output = "REHEARSAL: the script was not run\n".to_owned();
            heard(output.as_bytes());
            MendFacts { exit: Some(0), output, problem: None }
        })
    }
}
