//! Carries out single steps: through runners where there are commands, in this process where there are none.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::attempt::{AttemptSpec, CommandSpec, Ended, Reading, log, make_dir, release_exit, reserve_exit, trouble};
use super::checks::{CheckRequest, Scope, run_checks};
use super::ports::{Clock, Probe, Report, Spawn};
use super::prompting;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::files::render::{self, Change, RenderState};
use crate::adapters::ignores;
use crate::adapters::kubectl::Look;
use crate::adapters::logs::times::MarkedLog;
use crate::adapters::paths::{RunPaths, SitePaths};
use crate::adapters::secrets::{LEAST_BYTES, Secrets};
use crate::install::check::{Finding, Gate, Verdict};
use crate::install::ids::{CheckId, PhaseId, StepRef};
use crate::install::plan::{Action, Plan, PlanStep, TERRAFORM_PLAN_FILE};
use crate::install::profile::Prompt;
use crate::run::event::{Failure, Outcome, Progress, Prompted};
use crate::run::redact::Redactor;

/// The engine's ports.
#[derive(Clone)]
pub struct Ports {
    /// Collects facts.
    pub probe: Arc<dyn Probe>,
    /// Starts attempts.
    pub spawn: Arc<dyn Spawn>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// What an attempt may do beside what its step says.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// What Terraform may destroy or replace.
    pub destroys: Vec<String>,
    /// The hosts a playbook is limited to; empty: all.
    pub hosts: Vec<String>,
}

/// Carries out steps of one run.
pub struct Executor {
    ports: Ports,
    site: SitePaths,
    run: RunPaths,
    secrets: Mutex<Secrets>,
    attempt: Mutex<Option<PathBuf>>,
    stop: watch::Sender<bool>,
    whole: AtomicBool,
}

impl Executor {
    /// For one run of one site.
    #[must_use]
    pub fn new(ports: Ports, site: SitePaths, run: RunPaths, secrets: Secrets) -> Self {
        Self {
            ports,
            site,
            run,
            secrets: Mutex::new(secrets),
            attempt: Mutex::new(None),
            stop: watch::Sender::new(false),
            whole: AtomicBool::new(false),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempt_dir(&self, step: &StepRef, attempt: u32) -> PathBuf {
        self.run.root().join("steps").join(step.folder()).join(attempt.to_string())
    }

    fn runner_lock(&self) -> PathBuf {
        self.site.runner_lock()
    }

    /// What the attempt of a step asks at its terminal and waits for; none: nothing.
    #[must_use]
    pub fn asked(&self, step: &StepRef, attempt: u32) -> Option<Prompted> {
        prompting::asked(&self.attempt_dir(step, attempt))
    }

    /// Sends the answer to a prompt of an attempt.
    ///
    /// # Errors
    /// Nobody waits for it any more.
    pub fn answer(&self, step: &StepRef, attempt: u32, number: u32, text: &str) -> Result<(), String> {
        prompting::send(&self.attempt_dir(step, attempt), number, text)
    }

    /// Keeps the answer to a secret field, for this run and later ones.
    ///
    /// # Errors
    /// It is too short to be kept out of logs, or cannot be written.
    pub fn keep_secret(&self, field: &str, value: &str) -> Result<(), String> {
        let id = field.parse().map_err(|error: crate::install::ids::InvalidId| error.to_string())?;
        if value.len() < LEAST_BYTES {
            return Err(format!("the answer has fewer than {LEAST_BYTES} bytes: it could not be kept out of logs"));
        }
        self.site.keep_answer(field, value).map_err(|error| error.to_string())?;
        self.secrets().insert(id, SecretString::from(value));
        Ok(())
    }

    /// Takes over secrets as they are now.
    pub fn renew(&self, values: impl IntoIterator<Item = (String, SecretString)>) {
        let mut secrets = self.secrets();
        for (field, value) in values {
            if let Ok(field) = field.parse() {
                secrets.insert(field, value);
            }
        }
    }

    async fn checks(&self, plan: &Plan, scope: Scope) -> Vec<Finding> {
        self.checks_when(plan, scope, &[], &[]).await
    }

    async fn checks_when(&self, plan: &Plan, scope: Scope, done: &[PhaseId], begun: &[PhaseId]) -> Vec<Finding> {
        let ignores = ignores::read(&self.site.ignores()).map(|list| ignores::reasons(&list, self.ports.clock.now())).unwrap_or_default();
        let (done, begun) = (done.iter().cloned().collect(), begun.iter().cloned().collect());
        let request = CheckRequest { scope, done, begun, ignores, ..CheckRequest::preflight(plan) };
        run_checks(&request, &*self.ports.probe, None).await
    }

    /// Judges the checks that guard a phase, given the phases that are done, and those that have begun.
    pub async fn gate(&self, plan: &Plan, phase: &PhaseId, done: &[PhaseId], begun: &[PhaseId]) -> (Gate, Vec<Finding>) {
        // What guards the whole run is judged before this engine's first phase, until it has been let through once.
        let whole = !self.whole.load(Ordering::Acquire);
        let scope = if whole { Scope::WholeAndGuards(phase.clone()) } else { Scope::Guards(phase.clone()) };
        let mut findings = self.checks_when(plan, scope, done, begun).await;
        let gate = Gate::of(&findings);
        if gate.is_open() {
            self.whole.store(true, Ordering::Release);
        }
        // Open paths are hundreds, and each finding of a gate goes to disk: those that say nothing are left out.
        findings.retain(|finding| {
            crate::install::reach::parts(&finding.target).is_none() || !matches!(finding.verdict, Verdict::Pass | Verdict::Skipped)
        });
        (gate, findings)
    }

    /// Why a step is not needed; none: it is.
    pub async fn unneeded(&self, plan: &Plan, step: &StepRef) -> Option<String> {
        let planned = plan.step(step)?;
        let findings = self.checks(plan, Scope::Named(planned.unless.clone())).await;
        let all = !findings.is_empty() && findings.iter().all(|finding| finding.verdict == Verdict::Pass);
        let seen: Vec<&str> = findings.iter().map(|finding| finding.observed.as_str()).collect();
        all.then(|| format!("already so: {}", seen.join("; ")))
    }

    /// Carries out a step to its end.
    pub async fn execute(&self, plan: &Plan, step: &StepRef, attempt: u32, allowed: Allowed, report: Report) -> Ended {
        let begun = Instant::now();
        let dir = self.attempt_dir(step, attempt);
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(dir.clone());
        self.stop.send_replace(false);
        let Some(planned) = plan.step(step) else { return own(begun, failure("the plan has no such step"), 0) };
        let mut ended = match &planned.action {
            Action::Command { .. } | Action::Ansible { .. } | Action::Terraform { .. } | Action::Ssh { .. } => {
                match self.specify(planned, dir.clone(), allowed) {
                    Ok(spec) => self.ports.spawn.run(spec, report).await,
                    Err(message) => own(begun, failure(message), 0),
                }
            }
            _ => self.execute_here(plan, planned, dir.clone(), begun, &report).await,
        };
        if ended.outcome.is_success() && !planned.verify.is_empty() {
            self.verify(plan, planned, &dir, &mut ended).await;
        }
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        ended
    }

    /// Waits for an attempt of an earlier engine; none: it left no trace.
    pub async fn adopt(&self, plan: &Plan, step: &StepRef, attempt: u32, report: Report) -> Option<Ended> {
        let dir = self.attempt_dir(step, attempt);
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(dir.clone());
        let mut ended = self.ports.spawn.adopt(dir.clone(), self.runner_lock(), report).await;
        // The runner knows exit codes; what must hold beside them is for an engine to see, whichever it is.
        if let (Some(ended), Some(planned)) = (&mut ended, plan.step(step))
            && ended.outcome.is_success()
            && !planned.verify.is_empty()
        {
            self.verify(plan, planned, &dir, ended).await;
        }
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        ended
    }

    /// Ends what runs.
    pub async fn cancel(&self, now: bool) {
        self.stop.send_replace(true);
        let dir = self.attempt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(dir) = dir {
            self.ports.spawn.cancel(dir, self.runner_lock(), now).await;
        }
    }

    /// What the runner is told.
    fn specify(&self, step: &PlanStep, dir: PathBuf, allowed: Allowed) -> Result<AttemptSpec, String> {
        let Allowed { destroys, hosts } = allowed;
        let secrets = self.secrets();
        let mut env = std::collections::BTreeMap::new();
        for (name, value) in &step.env {
            env.insert(name.clone(), secrets.expand(value));
        }
        let folder = step.dir.as_ref().map(PathBuf::from);
        let mut remove = Vec::new();
        let reading = match &step.action {
            Action::Ansible { tasks, model, .. } => Reading::Playbook {
                tasks: tasks.map_or(0, u64::from),
                // Limited to some hosts, a play for others has nothing to do.
                empty_groups: !hosts.is_empty() || model.values().any(std::collections::BTreeMap::is_empty),
            },
            Action::Terraform { .. } => {
                remove.extend(folder.as_ref().map(|folder| folder.join(TERRAFORM_PLAN_FILE)));
                Reading::Terraform { destroys }
            }
            Action::Ssh { save: Some(path), .. } => Reading::Save { path: path.into() },
            _ => Reading::Plain,
        };
        let mut commands: Vec<CommandSpec> = step
            .commands_on(&hosts)
            .into_iter()
            .map(|line| CommandSpec { argv: line.argv, dir: folder.clone(), env: env.clone(), reading: reading.clone(), shown: None })
            .collect();
        // Ansible drops a whole inventory for one malformed line and still ends with exit code 0, so the inventory is read back first.
        if let Action::Ansible { inventory, model, .. } = &step.action
            && !model.is_empty()
        {
            let argv = ["ansible-inventory", "-i", inventory, "--list"].map(str::to_owned).to_vec();
            commands.insert(0, CommandSpec { argv, dir: folder, env, reading: Reading::Inventory { model: model.clone() }, shown: None });
        }
        scripts_ask(&step.prompts)?;
        let mut prompts = step.prompts.clone();
        for prompt in &mut prompts {
            prompt.answer = secrets.expand(&prompt.answer);
        }
        Ok(AttemptSpec {
            dir,
            lock: self.runner_lock(),
            commands,
            terminal: step.terminal,
            prompts,
            helm: step.helm.clone(),
            secrets: secrets.values().map(|value| value.expose_secret().to_owned()).collect(),
            remove,
            known_issues: self.site.known_issues(),
            cluster: step.env.get("KUBECONFIG").map(|kubeconfig| Look::at(kubeconfig)),
        })
    }

    async fn execute_here(&self, plan: &Plan, step: &PlanStep, dir: PathBuf, begun: Instant, report: &Report) -> Ended {
        let redactor = Redactor::new(self.secrets().values().map(SecretString::expose_secret));
        let redactor = match redactor {
            Ok(redactor) => redactor,
            Err(error) => return own(begun, failure(error.to_string()), 0),
        };
        // A step that is carried out here leaves no record of its own, but on a full disk it does not begin either.
        let room = make_dir(&dir).and_then(|()| reserve_exit(&dir));
        let opened = room.and_then(|()| release_exit(&dir)).and_then(|()| MarkedLog::open(&log(&dir)));
        let mut output = match opened {
            Ok(output) => output,
            Err(error) => return own(begun, Outcome::Failed(trouble(&format!("{} cannot be written", dir.display()), &error)), 0),
        };
        let mut say = |line: &str| {
            // A line that cannot be kept is only not seen: the outcome says what happened.
            let _ = writeln!(output, "{}", redactor.text(line));
        };
        let outcome = match &step.action {
            Action::Write { paths } => self.write(plan, paths, &mut say),
            Action::Wait { check, every_seconds, timeout_minutes } => {
                let (every, limit) =
                    (Duration::from_secs(u64::from(*every_seconds)), Duration::from_secs(u64::from(*timeout_minutes) * 60));
                self.wait(plan, check, every, limit, report, &mut say).await
            }
            Action::Check { checks } => self.check(plan, checks, &mut say).await,
            _ => failure("this step is a question"),
        };
        let log_bytes = log(&dir).metadata().map_or(0, |metadata| metadata.len());
        own(begun, outcome, log_bytes)
    }

    fn write(&self, plan: &Plan, paths: &[String], say: &mut dyn FnMut(&str)) -> Outcome {
        let key = match self.site.digest_key() {
            Ok(key) => key,
            Err(error) => return failure(error.to_string()),
        };
        let mut state = RenderState::load(&self.site.rendered(), key);
        let rendered = render::render(plan, render::Scope { only: Some(paths), preview: false }, &self.secrets(), &state);
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(errors) => {
                let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
                lines.iter().for_each(|line| say(line));
                return Outcome::Failed(Failure {
                    message: "files cannot be rendered; nothing was written".into(),
                    lines,
                    ..Failure::default()
                });
            }
        };
        for file in &rendered {
            let what = match file.change {
                Change::Create => "created",
                Change::Edit => "edited",
                Change::Same => "same",
                Change::Conflict => "KEPT, edited by hand",
                Change::Keep => "left alone",
            };
            let note = if file.note.is_empty() { String::new() } else { format!(" ({})", file.note) };
            say(&format!("{what}: {}{note}", file.path.display()));
        }
        let written = render::write(&rendered, &BTreeSet::new(), &mut state).and_then(|written| render::exclude(plan).map(|()| written));
        match written {
            Err(error) => {
                say(&error.to_string());
                failure(error.to_string())
            }
            Ok(written) if written.conflicts.is_empty() => Outcome::Done,
            Ok(written) => {
                let lines: Vec<String> = written.conflicts.iter().map(|path| path.display().to_string()).collect();
                Outcome::Failed(Failure {
                    message: format!("{} file(s) were edited by hand since they were written; they are kept, and your answers are not in them", lines.len()),
                    lines,
                    hint: "See 'mosip-setup plan --diff'. Bring the edits into the site file ([advanced]), or let go of them with 'mosip-setup render --overwrite PATH' (a copy is kept); then retry.".into(),
                    ..Failure::default()
                })
            }
        }
    }

    async fn wait(
        &self,
        plan: &Plan,
        check: &CheckId,
        every: Duration,
        limit: Duration,
        report: &Report,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Outcome {
        let begun = Instant::now();
        let since = self.now();
        let mut stop = self.stop.subscribe();
        let mut last = String::new();
        loop {
            let findings = self.checks(plan, Scope::Named(vec![check.clone()])).await;
            let open: Vec<&Finding> =
                findings.iter().filter(|finding| !matches!(finding.verdict, Verdict::Pass | Verdict::Skipped)).collect();
            if !findings.is_empty() && open.is_empty() {
                say("it holds");
                return Outcome::Done;
            }
            let seen = open.iter().map(|finding| format!("{}: {}", finding.target, finding.observed)).collect::<Vec<_>>().join("; ");
            if seen != last {
                say(&format!("waiting: {seen}"));
                last.clone_from(&seen);
            }
            report(Progress {
                done: begun.elapsed().as_secs(),
                total: limit.as_secs(),
                unit: "seconds".into(),
                doing: seen.clone(),
                since: Some(since),
                ..Progress::default()
            });
            if begun.elapsed() >= limit {
                let hint = open.first().map(|finding| finding.remedy.clone()).unwrap_or_default();
                let message = format!("it did not come about within {} minutes", limit.as_secs() / 60);
                return Outcome::Failed(Failure { message, hint, lines: vec![seen], ..Failure::default() });
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                _ = stop.wait_for(|stop| *stop) => return Outcome::Stopped { by: String::new() },
            }
        }
    }

    async fn check(&self, plan: &Plan, checks: &[CheckId], say: &mut (dyn FnMut(&str) + Send)) -> Outcome {
        let findings = self.checks(plan, Scope::Named(checks.to_vec())).await;
        judge(&findings, say)
    }

    /// Exit code 0 is not success: the checks named under `verify` must hold.
    async fn verify(&self, plan: &Plan, step: &PlanStep, dir: &std::path::Path, ended: &mut Ended) {
        let findings = self.checks(plan, Scope::Named(step.verify.clone())).await;
        let mut output = log(dir).exists().then(|| MarkedLog::open(&log(dir)).ok()).flatten();
        let mut say = |line: &str| {
            if let Some(output) = &mut output {
                let _ = writeln!(output, "verify: {line}");
            }
        };
        match judge(&findings, &mut say) {
            Outcome::Done => {}
            Outcome::Failed(mut failure) => {
                failure.message = format!("it ended without error, but {}", failure.message);
                ended.outcome = Outcome::Failed(failure);
            }
            other => ended.outcome = other,
        }
    }
}

/// Whether each script still asks what it is answered; a script that was changed is not started.
fn scripts_ask(prompts: &[Prompt]) -> Result<(), String> {
    for prompt in prompts {
        let Some(script) = &prompt.script else { continue };
        let text = std::fs::read(script).map_err(|error| format!("nothing was started: the script {script} cannot be read: {error}"))?;
        if !String::from_utf8_lossy(&text).contains(prompt.written()) {
            return Err(format!(
                "nothing was started: the script {script} does not ask '{}': it is not the version that this profile knows, or was changed",
                prompt.written()
            ));
        }
    }
    Ok(())
}

fn judge(findings: &[Finding], say: &mut dyn FnMut(&str)) -> Outcome {
    let line = |finding: &Finding| format!("{} {} on {}: {}", finding.verdict, finding.check, finding.target, finding.observed);
    findings.iter().for_each(|finding| say(&line(finding)));
    let gate = Gate::of(findings);
    if let Some(first) = gate.blocking.first() {
        return Outcome::Failed(Failure {
            message: format!("{} does not hold on {}: {}", first.check, first.target, first.observed),
            hint: first.remedy.clone(),
            lines: gate.blocking.iter().map(|finding| format!("{}; expected: {}", line(finding), finding.expected)).collect(),
            ..Failure::default()
        });
    }
    let warned: Vec<String> = findings.iter().filter(|finding| finding.verdict == Verdict::Warn).map(line).collect();
    if warned.is_empty() { Outcome::Done } else { Outcome::Warned { reason: warned.join("; ") } }
}

fn failure(message: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure { message: message.into(), ..Failure::default() })
}

fn own(begun: Instant, outcome: Outcome, log_bytes: u64) -> Ended {
    Ended { outcome, took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), log_bytes }
}
