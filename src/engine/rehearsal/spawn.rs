//! Attempts of a rehearsal: the real runner, with a transcript's player in the place of each command.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use super::miniature::{is_stood_in_for, script_that_asks};
use super::playbook;
use super::player::{Line, VERB};
use super::stage::{Fault, Rehearsal};
use crate::adapters::kubectl::Look;
use crate::engine::attempt::{AttemptSpec, CommandSpec, Ended, Reading, make_dir};
use crate::engine::ports::{BoxFuture, Report, Spawn};
use crate::engine::runner::create_private;
use crate::engine::spawn::ProcessSpawn;
use crate::install::profile::Terminal;
use crate::run::event::{Failure, Outcome};

/// Runs attempts as replays.
#[derive(Debug, Clone)]
pub struct RehearsalSpawn {
    /// Runs the runner.
    pub inner: ProcessSpawn,
    /// What is rehearsed.
    pub rehearsal: Rehearsal,
}

impl Spawn for RehearsalSpawn {
    fn run(&self, mut spec: AttemptSpec, report: Report) -> BoxFuture<'static, Ended> {
        match self.replace(&mut spec) {
            Ok(()) => self.inner.run(spec, report),
            Err(error) => {
                let failure = Failure { message: format!("the transcript cannot be prepared: {error}"), ..Failure::default() };
                Box::pin(async { Ended { outcome: Outcome::Failed(failure), took_ms: 0, log_bytes: 0 } })
            }
        }
    }

    fn adopt(&self, dir: PathBuf, lock: PathBuf, report: Report) -> BoxFuture<'static, Option<Ended>> {
        self.inner.adopt(dir, lock, report)
    }

    fn cancel(&self, dir: PathBuf, lock: PathBuf, now: bool) -> BoxFuture<'static, ()> {
        self.inner.cancel(dir, lock, now)
    }
}

impl RehearsalSpawn {
    /// Puts a player in the place of each command that is not done for real.
    fn replace(&self, spec: &mut AttemptSpec) -> std::io::Result<()> {
        make_dir(&spec.dir)?;
        let folder =
            |path: Option<&Path>| path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (step, attempt) = (folder(spec.dir.parent()), folder(Some(&spec.dir)));
        // There is no cluster to look at; under some faults there is a recorded answer of one.
        let faults = || self.rehearsal.faults.iter().filter(|_| attempt == "1");
        spec.cluster = match faults().find_map(|fault| self.read(&format!("{step}.cluster@{fault}"))) {
            Some(lines) => {
                let path = keep(&spec.dir, "replay-cluster.jsonl", &lines)?;
                let argv = vec![self.inner.program.display().to_string(), VERB.into(), self.rehearsal.speed.to_string(), path];
                Some(Look { argv, env: std::collections::BTreeMap::new(), kubeconfig: String::new() })
            }
            None => None,
        };
        let asks = spec.helm.is_some() || spec.terminal == Terminal::Pty;
        for (number, command) in spec.commands.iter_mut().enumerate() {
            // Scripts ask at their terminal, and what they call is stood in for.
            let scripted = asks || command.argv.first().is_some_and(|program| program == "bash" || is_stood_in_for(program));
            if scripted && self.rehearsal.profile.has_scripts() && self.read(&step).is_none() {
                // No machine is reached: its script is the miniature here.
                if command.argv.first().is_some_and(|program| program.ends_with("ssh")) {
                    let script = spec.prompts.last().and_then(|prompt| script_that_asks(&prompt.text));
                    let path = script.map(|path| self.rehearsal.scratch.join(path));
                    command.shown = Some(std::mem::take(&mut command.argv));
                    command.argv = match path {
                        Some(path) => vec!["bash".to_owned(), path.display().to_string()],
                        None => vec!["echo".to_owned(), "(rehearsal) ssh was not run".to_owned()],
                    };
                    command.dir = None;
                }
                self.surround(command);
                continue;
            }
            let lines = match &command.reading {
                Reading::Inventory { model } => vec![Line { out: Some(inventory(model)), ..Line::default() }],
                _ => self.transcript(&step, &attempt, command),
            };
            if lines.first().is_some_and(|line| line.real) {
                if self.rehearsal.profile.has_scripts() {
                    self.surround(command);
                }
                continue;
            }
            let path = keep(&spec.dir, &format!("replay-{number}.jsonl"), &lines)?;
            command.shown = Some(std::mem::take(&mut command.argv));
            command.argv = vec![self.inner.program.display().to_string(), VERB.into(), self.rehearsal.speed.to_string(), path];
            command.dir = None;
        }
        Ok(())
    }

    fn transcript(&self, step: &str, attempt: &str, command: &CommandSpec) -> Vec<Line> {
        // Terraform's three commands have a transcript each.
        let part = match (&command.reading, command.argv.get(1)) {
            (Reading::Terraform { .. }, Some(verb)) => format!(".{verb}"),
            _ => String::new(),
        };
        let shown = format!("{step}{part}");
        let fault = self.rehearsal.faults.iter().filter(|_| attempt == "1").find_map(|fault| self.read(&format!("{shown}@{fault}")));
        let played = || {
            // Its arguments and files say what it would do.
            let dir = command.dir.as_deref().filter(|_| matches!(command.reading, Reading::Playbook { .. }))?;
            let fails = step == FAILS_ONCE && attempt == "1" && self.rehearsal.faults.contains(&Fault::PlaybookFailsOnce);
            playbook::transcript(&command.argv, dir, fails)
        };
        fault.or_else(|| self.read(&shown)).or_else(played).unwrap_or_else(|| {
            let said = format!("(rehearsal) {} was not run", command.argv.first().map(String::as_str).unwrap_or_default());
            vec![Line { after_ms: 400, out: Some(said), ..Line::default() }]
        })
    }

    /// Puts the stand-ins first on PATH, and the rehearsal's home in the place of the operator's.
    fn surround(&self, command: &mut CommandSpec) {
        let inherited = std::env::var("PATH").unwrap_or_default();
        command.env.insert("PATH".to_owned(), format!("{}:{inherited}", self.rehearsal.programs().display()));
        command.env.insert("HOME".to_owned(), self.rehearsal.home().display().to_string());
        command.env.extend(Cluster::new(&self.rehearsal.scratch).environment(self.rehearsal.speed));
    }

    fn read(&self, name: &str) -> Option<Vec<Line>> {
        let text = self.rehearsal.profile.recording(name)?;
        Some(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// The playbook that fails once where that is rehearsed and no transcript says how.
const FAILS_ONCE: &str = "wireguard.ports";

/// Writes a transcript into an attempt's folder; its path.
fn keep(dir: &Path, name: &str, lines: &[Line]) -> std::io::Result<String> {
    let path = dir.join(name);
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    create_private(&path)?.write_all(&text)?;
    Ok(path.display().to_string())
}

/// What `ansible-inventory --list` would print of an inventory that is as it should be.
fn inventory(model: &std::collections::BTreeMap<String, std::collections::BTreeMap<String, Option<String>>>) -> String {
    let mut variables = serde_json::Map::new();
    let mut list = serde_json::Map::new();
    for (group, hosts) in model {
        for (host, address) in hosts {
            if let Some(address) = address {
                variables.insert(host.clone(), serde_json::json!({ "ansible_host": address }));
            }
        }
        list.insert(group.clone(), serde_json::json!({ "hosts": hosts.keys().collect::<Vec<_>>() }));
    }
    list.insert("_meta".into(), serde_json::json!({ "hostvars": variables }));
    serde_json::Value::Object(list).to_string()
}
