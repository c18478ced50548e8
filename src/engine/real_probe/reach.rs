//! Tries a matrix of paths: agents on all machines listen; when all that can are ready, each tries its targets, and so does this machine.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout, timeout_at};

use super::RealProbe;
use crate::adapters::reach::{self, LIFE_SECONDS, PATIENCE, Reader, Said};
use crate::adapters::session::{Dialogue, Event};
use crate::install::facts::{LoginFailure, LoginFailureKind, Protocol};
use crate::install::ids::MachineName;
use crate::install::reach::{ListenState, Path, PathAnswer, ReachAnswer, ReachHost, ReachMachine, ReachRequest, ReachTarget, What};

/// How long the first machine to listen waits for the last one. Its listeners live longer.
const GATHERING: Duration = Duration::from_secs(LIFE_SECONDS as u64 / 2);

/// How long a machine may take beyond the patience with its paths.
const SLACK: Duration = Duration::from_secs(12);

/// An agent at work.
struct Agent {
    dialogue: Dialogue,
    reader: Reader,
    host: ReachHost,
    ended: bool,
}

pub(super) async fn reach(probe: &RealProbe, request: &ReachRequest) -> ReachAnswer {
    let marker = crate::adapters::host::marker();
    let mut agents = gather(probe, request, &marker).await;
    let listening: BTreeMap<&MachineName, &ReachHost> =
        agents.iter().filter_map(|(name, agent)| agent.as_ref().ok().map(|agent| (*name, &agent.host))).collect();
    // Nothing is sent where nobody could be asked to listen, nor datagrams to what is not ours.
    let sensible = |target: &ReachTarget| match (listening.get(&target.to), target.what) {
        (None, _) => false,
        (Some(host), What::Port(Protocol::Udp, port)) => !host
            .listens
            .iter()
            .any(|(protocol, number, state)| (*protocol, *number) == (Protocol::Udp, port) && matches!(state, ListenState::Busy(_))),
        (Some(host), What::Mtu(port)) => port > 0 && host.listens.contains(&(Protocol::Tcp, port, ListenState::Bound)),
        _ => true,
    };
    let local: Vec<&ReachTarget> = request.local.iter().filter(|target| sensible(target)).collect();
    let wanted: BTreeMap<&MachineName, Vec<(usize, &ReachTarget)>> = request
        .machines
        .iter()
        .map(|machine| (&machine.login.name, machine.targets.iter().enumerate().filter(|(_, target)| sensible(target)).collect()))
        .collect();
    let here = join_all(local.iter().map(|target| async {
        let path = Path { from: None, to: target.to.clone(), what: target.what };
        (path, reach::try_from_here(&marker, target).await)
    }));
    let there = join_all(agents.iter_mut().filter_map(|(name, agent)| Some((*name, agent.as_mut().ok()?))).map(|(name, agent)| {
        let targets = wanted.get(name).cloned().unwrap_or_default();
        agent.run(&marker, name, targets)
    }));
    let (here, there) = tokio::join!(here, there);
    let mut answer = ReachAnswer { hosts: Vec::new(), paths: here };
    answer.paths.extend(there.into_iter().flatten());
    for (name, agent) in agents {
        let host = agent.map(|mut agent| {
            agent.host.stayed = agent.still_there(&marker);
            agent.host
        });
        answer.hosts.push((name.clone(), host));
    }
    answer
}

type Gathered<'a> = Vec<(&'a MachineName, Result<Agent, LoginFailure>)>;

/// Starts the agents; once one is ready, the others have half its life to follow.
async fn gather<'a>(probe: &RealProbe, request: &'a ReachRequest, marker: &str) -> Gathered<'a> {
    let mut starting: FuturesUnordered<_> =
        request.machines.iter().map(|machine| async move { (&machine.login.name, start(probe, machine, marker).await) }).collect();
    let mut gathered: Gathered<'a> = Vec::new();
    let mut end: Option<Instant> = None;
    loop {
        let next = match end {
            None => starting.next().await,
            Some(end) => match timeout_at(end, starting.next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        let Some((name, agent)) = next else { break };
        if agent.is_ok() && end.is_none() {
            end = Some(Instant::now() + GATHERING);
        }
        gathered.push((name, agent));
    }
    drop(starting);
    for machine in &request.machines {
        let name = &machine.login.name;
        if !gathered.iter().any(|(known, _)| *known == name) {
            let detail = format!(
                "{}@{}: not ready to listen within {} s after the first machine was",
                machine.login.user,
                machine.address,
                GATHERING.as_secs()
            );
            gathered.push((name, Err(LoginFailure { kind: LoginFailureKind::Timeout, detail })));
        }
    }
    gathered
}

async fn start(probe: &RealProbe, machine: &ReachMachine, marker: &str) -> Result<Agent, LoginFailure> {
    let session = probe.session(&machine.login);
    let script = reach::script(marker, machine.address, &machine.listen, LIFE_SECONDS);
    let dialogue = session.dialogue("exec sh -s", script.into_bytes(), reach::ANSWER_LIMIT);
    let mut agent = Agent { dialogue, reader: Reader::default(), host: ReachHost::default(), ended: false };
    loop {
        for said in agent.hear(marker).await? {
            match said {
                Said::Tool(tool) => {
                    agent.host.tool = tool;
                    // What a program before it has said is void.
                    agent.host.listens.clear();
                }
                Said::Listen(protocol, port, state) => agent.host.listens.push((protocol, port, state)),
                Said::Ready => return Ok(agent),
                Said::Path(..) | Said::Done => {}
            }
        }
        if agent.ended {
            let noise = agent.reader.noise.trim();
            let noise = if noise.is_empty() { "nothing" } else { noise };
            let detail =
                format!("{}@{}: the test listeners did not start; the machine printed: {noise}", machine.login.user, machine.address);
            return Err(LoginFailure { kind: LoginFailureKind::Probe, detail });
        }
    }
}

impl Agent {
    /// The next lines; none but the end once it is over.
    async fn hear(&mut self, marker: &str) -> Result<Vec<Said>, LoginFailure> {
        match self.dialogue.next().await {
            Some(Event::Bytes(bytes, _)) => Ok(self.reader.take(marker, &bytes)),
            Some(Event::Sent(_)) => Ok(Vec::new()),
            Some(Event::Ended(Err(failure))) => {
                self.ended = true;
                Err(failure)
            }
            Some(Event::Ended(Ok(_))) | None => {
                self.ended = true;
                Ok(Vec::new())
            }
        }
    }

    /// Has the targets tried; what came back, as far as it did.
    async fn run(&mut self, marker: &str, name: &MachineName, targets: Vec<(usize, &ReachTarget)>) -> Vec<(Path, PathAnswer)> {
        let mut answers = Vec::new();
        if targets.is_empty() || self.host.tool.is_none() {
            return answers;
        }
        self.dialogue.write(reach::order(targets.iter().copied()).into_bytes());
        let find = |number: usize| targets.iter().find(|(known, _)| *known == number).map(|(_, target)| *target);
        let all = async {
            while let (false, Ok(said)) = (self.ended, self.hear(marker).await) {
                for one in said {
                    match one {
                        Said::Path(number, answer) => answers.extend(
                            find(number)
                                .map(|target| (Path { from: Some(name.clone()), to: target.to.clone(), what: target.what }, answer)),
                        ),
                        Said::Done => return,
                        Said::Tool(_) | Said::Listen(..) | Said::Ready => {}
                    }
                }
            }
        };
        // What did not come in time is missing, and said to be.
        let _ = timeout(PATIENCE * 2 + SLACK, all).await;
        answers
    }

    fn still_there(&mut self, marker: &str) -> bool {
        while let Some(event) = self.dialogue.at_once() {
            match event {
                Event::Ended(_) => self.ended = true,
                Event::Bytes(bytes, _) => drop(self.reader.take(marker, &bytes)),
                Event::Sent(_) => {}
            }
        }
        !self.ended && self.host.tool.is_some()
    }
}
