//! Fix-ups: runs scripts that the operator has seen and agreed to, records who ran what where, and says how it ended.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::io::AsyncReadExt as _;

use crate::adapters::preflight_log::{self, Entry, LogError};
use crate::adapters::ssh::{self, Canceller, Limits};
use crate::install::check::Target;
use crate::install::facts::MendFacts;
use crate::install::fix::{Mended, PlannedFix};
use crate::install::inquiry::MendOrder;
use crate::install::plan::Plan;
use crate::install::planner::shell_quote;
use crate::run::redact::{Redactor, Stream};

use super::checks::{MACHINES_AT_ONCE, ssh_login};
use super::ports::{Clock, Heard, Probe};
use super::real_probe;

/// How long a script may take: packages come over slow links.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How much of its output is kept, bytes.
const OUTPUT: usize = 64 * 1024;

/// Where a script is cut off because of its output, bytes: cutting it off may leave things half-done.
const FLOOD: usize = 64 * 1024 * 1024;

/// Who agreed, and where that is written down.
#[derive(Clone, Copy)]
pub struct Consent<'a> {
    /// The operator.
    pub who: &'a str,
    /// `preflight.jsonl` of the site.
    pub log: &'a Path,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// Runs fixes, machines side by side, fixes of one machine one after the other. Each is written down before it begins and when it has ended.
/// `heard` gets what they print, line by line.
///
/// # Errors
/// When the consent cannot be written down: then nothing further is run.
pub async fn mend(
    plan: &Plan,
    fixes: Vec<PlannedFix>,
    consent: Consent<'_>,
    probe: &dyn Probe,
    heard: &(dyn Fn(&Target, &str) + Send + Sync),
) -> Result<Vec<Mended>, LogError> {
    let mut by_place: Vec<(Target, Vec<PlannedFix>)> = Vec::new();
    for fix in fixes {
        match by_place.iter_mut().find(|(target, _)| *target == fix.target) {
            Some((_, list)) => list.push(fix),
            None => by_place.push((fix.target.clone(), vec![fix])),
        }
    }
    let jobs = by_place.into_iter().map(|(_, fixes)| async move {
        let mut ended = Vec::new();
        for fix in fixes {
            ended.push(one(plan, fix, consent, probe, heard).await?);
        }
        Ok::<Vec<Mended>, LogError>(ended)
    });
    let results: Vec<Result<Vec<Mended>, LogError>> = stream::iter(jobs).buffered(MACHINES_AT_ONCE).collect().await;
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}

async fn one(
    plan: &Plan,
    fix: PlannedFix,
    consent: Consent<'_>,
    probe: &dyn Probe,
    heard: &(dyn Fn(&Target, &str) + Send + Sync),
) -> Result<Mended, LogError> {
    let entry = |facts: Option<&MendFacts>| Entry::of_fix(&fix, consent.who, &consent.clock.now().to_string(), facts);
    let login = match &fix.target {
        Target::Machine(name) => {
            let machine = plan.machines.iter().find(|machine| machine.name == *name);
            let Some(machine) = machine else {
                let problem = Some(format!("there is no machine {name} in the plan"));
                return Ok(Mended { fix, facts: MendFacts { problem, ..MendFacts::default() } });
            };
            Some(ssh_login(plan, machine))
        }
        _ => None,
    };
    preflight_log::append(consent.log, &entry(None))?;
    let order = MendOrder { login, script: fix.fix.script.clone(), sudo: fix.fix.sudo };
    // What it prints is passed on in whole lines, without what looks like a secret.
    let Ok(redactor) = Redactor::new([]) else { return Ok(Mended { fix, facts: problem("its output cannot be kept clean".to_owned()) }) };
    let mut lines = Lines { stream: Stream::new(&redactor), held: Vec::new() };
    let (sender, mut said) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    // Nobody listening is no reason to stop a script half-way.
    let hear: Heard = Box::new(move |piece| drop(sender.send(piece.to_vec())));
    let mut running = probe.mend(order, hear);
    let mut facts = loop {
        tokio::select! {
            biased;
            Some(piece) = said.recv() => lines.take(&piece, &mut |line| heard(&fix.target, line)),
            facts = &mut running => break facts,
        }
    };
    drop(running);
    while let Ok(piece) = said.try_recv() {
        lines.take(&piece, &mut |line| heard(&fix.target, line));
    }
    lines.end(&mut |line| heard(&fix.target, line));
    facts.output = redactor.text(&facts.output);
    preflight_log::append(consent.log, &entry(Some(&facts)))?;
    Ok(Mended { fix, facts })
}

/// Output on its way to whoever watches.
struct Lines<'a> {
    stream: Stream<'a>,
    held: Vec<u8>,
}

impl Lines<'_> {
    fn take(&mut self, piece: &[u8], say: &mut dyn FnMut(&str)) {
        self.stream.feed(piece, &mut self.held);
        while let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            say(String::from_utf8_lossy(&line).trim_end());
        }
    }

    fn end(mut self, say: &mut dyn FnMut(&str)) {
        self.stream.finish(&mut self.held);
        if !self.held.is_empty() {
            say(String::from_utf8_lossy(&self.held).trim_end());
        }
    }
}

/// The command line for a shell: the script stops at the first command that fails, reads nothing, and says all on one stream.
fn command_line(order: &MendOrder) -> String {
    let sudo = if order.sudo { "sudo -n " } else { "" };
    let script = format!("set -eu\n{}\n", order.script.trim_end());
    format!(
        "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; LC_ALL=C.UTF-8; DEBIAN_FRONTEND=noninteractive; export PATH LC_ALL DEBIAN_FRONTEND\n\
         exec {sudo}sh -c {} </dev/null 2>&1\n",
        shell_quote(&script)
    )
}

/// Runs an order in the real world.
pub(super) async fn run(ssh_port: u16, order: MendOrder, heard: Heard) -> MendFacts {
    let text = command_line(&order);
    match order.login {
        Some(login) => {
            let canceller = Canceller::default();
            let _guard = real_probe::CancelOnDrop(canceller.clone());
            let work = tokio::task::spawn_blocking(move || {
                let mut heard = heard;
                let limits = Limits { total: LIMIT, output: FLOOD, ..Limits::default() };
                let place = real_probe::ssh_login(&login, ssh_port);
                let result = ssh::run_heard(&place, &limits, &canceller, "exec sh -s", text.as_bytes(), &mut |piece| heard(piece));
                drop(openssl::error::ErrorStack::get());
                match result {
                    Ok(output) => MendFacts {
                        exit: output.exit,
                        output: String::from_utf8_lossy(&output.bytes[..output.bytes.len().min(OUTPUT)]).into_owned(),
                        problem: output
                            .cut_off
                            .map(|failure| failure.detail)
                            .or_else(|| output.flooded.then(|| format!("printed more than {} MiB and was cut off", FLOOD / 1024 / 1024))),
                    },
                    Err(failure) => MendFacts { problem: Some(failure.detail), ..MendFacts::default() },
                }
            });
            work.await.unwrap_or_else(|error| problem(format!("the script's session ended: {error}")))
        }
        None => local(&text, heard).await,
    }
}

fn problem(text: String) -> MendFacts {
    MendFacts { problem: Some(text), ..MendFacts::default() }
}

async fn local(text: &str, mut heard: Heard) -> MendFacts {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return problem(format!("sh cannot be started: {error}")),
    };
    let Some(mut output) = child.stdout.take() else { return problem("its output cannot be read".to_owned()) };
    let (mut kept, mut buffer) = (Vec::new(), vec![0_u8; 16 * 1024]);
    let work = async {
        while let Ok(count) = output.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            heard(&buffer[..count]);
            let room = OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, work).await;
    let output = String::from_utf8_lossy(&kept).into_owned();
    match ended {
        Ok(Ok(status)) => MendFacts { exit: status.code(), output, problem: None },
        Ok(Err(error)) => MendFacts { output, ..problem(format!("cannot be waited for: {error}")) },
        Err(_) => MendFacts { output, ..problem(format!("did not end within {} minutes", LIMIT.as_secs() / 60)) },
    }
}

#[cfg(test)]
mod tests;
