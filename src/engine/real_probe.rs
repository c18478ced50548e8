//! The real probe: questions answered by the adapters.

mod reach;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::adapters::session::{Place, Sessions, Shared};
use crate::adapters::ssh::{Canceller, Limits, Login, Output};
use crate::adapters::{certificates, charts, host, layout, net, ssh, tools, user};
use crate::install::facts::{CommandFacts, HostKeyAnswer, LoginFailure, LoginFailureKind, MachineAnswer, MachineFacts, MendFacts};
use crate::install::inquiry::{MachineWants, MendOrder, SshLogin};

use super::mend;
use super::ports::{BoxFuture, Heard, Probe, ProbeAnswer, ProbeQuestion};

/// Asks the real world.
#[derive(Debug, Clone)]
pub struct RealProbe {
    /// The SSH port of the machines.
    pub ssh_port: u16,
    /// Limits of one SSH session.
    pub ssh: Limits,
    /// For a TCP connection.
    pub tcp: Duration,
    /// For a DNS name.
    pub dns: Duration,
    /// For a web address.
    pub http: Duration,
    /// For the index of a Helm repository, tens of megabytes.
    pub index: Duration,
    /// For a version command, the local probe and git.
    pub tool: Duration,
    /// The SSH sessions in use.
    pub sessions: Arc<Sessions>,
}

impl Default for RealProbe {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let sessions = Arc::default();
        Self {
            ssh_port: 22,
            ssh: Limits::default(),
            tcp: seconds(3),
            dns: seconds(6),
            http: seconds(15),
            index: seconds(60),
            tool: seconds(20),
            sessions,
        }
    }
}

/// Closes the sessions of a question that nobody waits for any more.
pub(super) struct CancelOnDrop(pub(super) Canceller);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Probe for RealProbe {
    fn ask(&self, question: ProbeQuestion) -> BoxFuture<'_, ProbeAnswer> {
        Box::pin(self.answer(question))
    }

    fn mend(&self, order: MendOrder, heard: Heard) -> BoxFuture<'_, MendFacts> {
        Box::pin(mend::run(self.ssh_port, order, heard))
    }
}

impl RealProbe {
    async fn answer(&self, question: ProbeQuestion) -> ProbeAnswer {
        match question {
            ProbeQuestion::Machine { login, wants } => self.machine(login, wants).await,
            ProbeQuestion::HostKey { login } => self.host_key(login).await,
            ProbeQuestion::Local { paths } => self.local(paths).await,
            ProbeQuestion::User { folders } => blocking(move || ProbeAnswer::User(user::look(&folders))).await,
            ProbeQuestion::Tool { command, arguments } => ProbeAnswer::Tool(tools::tool(&command, &arguments, self.tool).await),
            ProbeQuestion::SshKey { path } => blocking(move || ProbeAnswer::SshKey(certificates::private_key(Path::new(&path)))).await,
            ProbeQuestion::Certificate { chain, key } => {
                blocking(move || ProbeAnswer::Certificate(certificates::certificate(Path::new(&chain), Path::new(&key)))).await
            }
            ProbeQuestion::Layout(request) => ProbeAnswer::Layout(layout::look(&request, self.tool).await),
            ProbeQuestion::Command { argv, dir, env, timeout_seconds } => {
                let timeout = Duration::from_secs(u64::from(timeout_seconds));
                let dir = dir.as_deref().map(Path::new);
                ProbeAnswer::Command(tools::run(tools::Request { argv: &argv, dir, env: &env, input: b"", timeout }).await)
            }
            ProbeQuestion::Dns { name, expected } => ProbeAnswer::Dns(net::addresses(&name, expected, self.dns).await),
            ProbeQuestion::Tcp { address, port, banner } => ProbeAnswer::Tcp(net::tcp(address, port, banner, self.tcp).await),
            ProbeQuestion::Http(request) => {
                ProbeAnswer::Http(net::http(&request.url, request.address.as_deref(), request.insecure, self.http).await)
            }
            ProbeQuestion::Reach(request) => ProbeAnswer::Reach(reach::reach(self, &request).await),
            ProbeQuestion::WayOut { url } => ProbeAnswer::WayOut(net::way_out(&url, self.http).await),
            ProbeQuestion::Charts(request) => ProbeAnswer::Charts(charts::look(&request, self.index).await),
            ProbeQuestion::Pulls => ProbeAnswer::Pulls(charts::pulls(charts::DOCKER_TOKEN, charts::DOCKER_MANIFEST, self.http).await),
        }
    }

    async fn machine(&self, login: SshLogin, wants: MachineWants) -> ProbeAnswer {
        let marker = host::marker();
        let script = host::script(&marker, &wants, true);
        let output = self.session(&login).run("exec sh -s", script.into_bytes(), self.ssh.output).await;
        let result = output.and_then(|output| read_machine(&login, &self.ssh, &marker, &output));
        ProbeAnswer::Machine(result.map_or_else(MachineAnswer::Failed, |facts| MachineAnswer::Facts(Box::new(facts))))
    }

    /// The session with a machine, shared with whoever else asks it something now.
    fn session(&self, login: &SshLogin) -> Arc<Shared> {
        let place = Place {
            address: login.address,
            port: self.ssh_port,
            user: login.user.clone(),
            key: login.key.clone().into(),
            known_hosts: login.known_hosts.clone().into(),
            jump: login.jump.clone(),
        };
        self.sessions.get(&place, &self.ssh)
    }

    async fn host_key(&self, login: SshLogin) -> ProbeAnswer {
        let (port, limits) = (self.ssh_port, self.ssh);
        let canceller = Canceller::default();
        let _guard = CancelOnDrop(canceller.clone());
        blocking(move || {
            let answer = ssh::scan_host_key(&ssh_login(&login, port), &limits, &canceller);
            ProbeAnswer::HostKey(answer)
        })
        .await
    }

    async fn local(&self, paths: Vec<String>) -> ProbeAnswer {
        let marker = host::marker();
        let script = host::size_script(&marker, paths);
        let argv = ["sh".to_owned(), "-s".to_owned()];
        let request = tools::Request { argv: &argv, dir: None, env: &[], input: script.as_bytes(), timeout: self.tool };
        let result: CommandFacts = tools::run(request).await;
        if result.timed_out {
            return ProbeAnswer::Failed(format!("the probe script did not end within {} s on this machine", self.tool.as_secs()));
        }
        match host::parse(&marker, result.stdout.as_bytes()) {
            Ok(answer) => ProbeAnswer::Local(Box::new(answer.facts)),
            Err(error) => ProbeAnswer::Failed(result.problem.unwrap_or_else(|| error.to_string())),
        }
    }
}

pub(super) fn ssh_login(login: &SshLogin, port: u16) -> Login<'_> {
    Login {
        address: login.address,
        port,
        user: &login.user,
        key: Path::new(&login.key),
        known_hosts: Path::new(&login.known_hosts),
        jump: login.jump.as_ref(),
    }
}

fn read_machine(login: &SshLogin, limits: &Limits, marker: &str, output: &Output) -> Result<MachineFacts, LoginFailure> {
    let answer = host::parse(marker, &output.bytes).map_err(|error| {
        let flood = if output.flooded {
            format!("; it printed more than {} KiB, the rest was not read", limits.output / 1024)
        } else {
            String::new()
        };
        let detail = format!("{}@{}: {error}{flood}", login.user, login.address);
        output.cut_off.clone().unwrap_or(LoginFailure { kind: LoginFailureKind::Probe, detail })
    })?;
    let mut facts = answer.facts;
    // Its clock was read between sending the command and receiving the line: the middle is the best guess, half of it the doubt.
    let window = host::clock_offset(marker, &output.bytes).and_then(|offset| output.arrived(offset));
    let sent = output.sent.duration_since(UNIX_EPOCH).ok();
    if let (Some(window), Some(sent), Some(clock)) = (window, sent, answer.clock) {
        let half = window.as_secs_f64() / 2.0;
        facts.clock_skew_seconds = Some(clock - (sent.as_secs_f64() + half));
        facts.clock_uncertainty_seconds = half;
    }
    Ok(facts)
}

async fn blocking(work: impl FnOnce() -> ProbeAnswer + Send + 'static) -> ProbeAnswer {
    // libssh2 tries a key in several formats, and what OpenSSL says about those that do not fit stays with the thread: the next TLS
    // connection there would take it for its own error.
    let clean = || {
        let answer = work();
        drop(openssl::error::ErrorStack::get());
        answer
    };
    match tokio::task::spawn_blocking(clean).await {
        Ok(answer) => answer,
        Err(error) => ProbeAnswer::Failed(format!("the probe stopped: {error}")),
    }
}

/// A scan of host keys needs nothing but the address; for callers that have no plan yet.
pub(crate) fn failed_scan(reason: String) -> HostKeyAnswer {
    HostKeyAnswer::Failed(LoginFailure { kind: LoginFailureKind::Probe, detail: reason })
}

#[cfg(test)]
mod tests;
