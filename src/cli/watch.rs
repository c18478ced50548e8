//! `status`: look at a run from any shell.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::common::{Common, Failure, Outcome, print};
use crate::adapters::history;
use crate::engine::attempt::{is_locked, read_holder};
use crate::engine::attempt_events::AttemptEvents;
use crate::engine::client::{log_path, look};
use crate::engine::setup::{FoundRun, Holder, Setup};
use crate::exit::Exit;
use crate::install::ids::{PhaseId, StepRef};
use crate::install::plan::PlanPhase;
use crate::plain::{about_failure, seconds};
use crate::run::detail::{KnownLine, between};
use crate::run::event::{Failure as StepFailure, Now, Outcome as RunOutcome};
use crate::run::expect::{Band, History, words};
use crate::run::state::{PhaseState, State, StepRecord};
use crate::run::waiting::{Waiting, waiting};

#[derive(Serialize)]
struct Status<'a> {
    run: &'a str,
    state: &'a str,
    rehearsal: bool,
    engine: Option<EngineStatus>,
    phases: Vec<PhaseStatus<'a>>,
    questions: Vec<QuestionStatus<'a>>,
    /// How long the rest takes; none: not known.
    left: Option<Band>,
}

/// The engine that has the run.
#[derive(Serialize)]
struct EngineStatus {
    pid: u32,
    /// The version of its program; none: it does not answer.
    version: Option<String>,
    /// Whether something is under way that ends by itself.
    working: bool,
    /// How many watch it.
    viewers: usize,
}

#[derive(Serialize)]
struct PhaseStatus<'a> {
    id: &'a PhaseId,
    title: &'a str,
    state: PhaseState,
    attempts: u32,
    progress: Option<Progress>,
    reason: String,
    /// What its running step waits for.
    waiting: Option<Waiting>,
    /// How long it takes.
    expected: Option<Band>,
    /// What is known of its failure; none: it has not failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureStatus<'a>>,
}

/// How a step failed.
#[derive(Serialize)]
struct FailureStatus<'a> {
    step: StepRef,
    attempt: u32,
    /// What it printed.
    log: PathBuf,
    /// The task and the host that failed first of those that count, of a playbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    cell: Option<FailedCell>,
    /// What was last wrong in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// Known failures seen while it ran, beside those of `diagnoses`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<KnownLine>,
    #[serde(flatten)]
    failure: &'a StepFailure,
}

#[derive(Serialize)]
struct FailedCell {
    task: String,
    host: String,
}

#[derive(Serialize)]
struct Progress {
    done: u64,
    total: u64,
    unit: String,
    doing: String,
    /// What is known in detail: what goes on, the cluster, known failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Box<Now>>,
}

#[derive(Serialize)]
struct QuestionStatus<'a> {
    id: &'a str,
    text: &'a str,
    secret: bool,
}

/// The last run of the site.
///
/// # Errors
/// There is none, or its journal is damaged.
pub fn found(common: &Common, setup: &Setup) -> Result<FoundRun, Failure> {
    let project = setup.project(&common.site_file()?)?;
    setup.last_run(&project.state()?)?.ok_or_else(|| Failure::usage("this site has no run yet: start one with 'mosip-setup run'"))
}

/// The engine of a site, whether it answers or not.
fn engine_status(found: &FoundRun) -> Option<EngineStatus> {
    let lock = found.folder.root().ancestors().nth(2)?.join("site.lock");
    if !is_locked(&lock) {
        return None;
    }
    if let Ok(engine) = look(found.folder.root()) {
        return Some(EngineStatus { pid: engine.pid, version: Some(engine.tool), working: engine.working, viewers: engine.viewers });
    }
    let pid = read_holder::<Holder>(&lock).map_or(0, |holder| holder.pid);
    Some(EngineStatus { pid, version: None, working: false, viewers: 0 })
}

fn phase_status<'a>(found: &'a FoundRun, history: &History, now: Timestamp, phase: &'a PlanPhase) -> PhaseStatus<'a> {
    let state = &found.state;
    let attempts = state.steps_of(phase).filter_map(|(_, record)| record.map(|record| record.attempts)).max().unwrap_or(0);
    let running = state.steps_of(phase).find(|(_, record)| record.is_some_and(|record| record.is_running()));
    let expected = history.band(phase);
    let mut progress = None;
    let waiting = running.and_then(|(step, record)| {
        let record = record?;
        let log = log_path(found.folder.root(), &step, record.attempts);
        let mut events = AttemptEvents::new(log.parent()?);
        events.update();
        let last = events.progress();
        let asked = state.questions.iter().any(|question| question.step == step);
        let waits = waiting(state.plan.step(&step)?, record.started, last.as_ref(), expected, now);
        progress = last.map(|last| Progress { done: last.done, total: last.total, unit: last.unit, doing: last.doing, now: last.now });
        // A question says itself what is waited for.
        (!asked).then_some(waits)
    });
    let failure = state.steps_of(phase).find_map(|(step, record)| failure_status(found, step, record?));
    PhaseStatus {
        id: &phase.id,
        title: &phase.title,
        state: state.phase_state(phase),
        attempts,
        progress,
        reason: state.phase_reason(phase),
        waiting,
        expected,
        failure,
    }
}

fn failure_status<'a>(found: &FoundRun, step: StepRef, record: &'a StepRecord) -> Option<FailureStatus<'a>> {
    let Some(RunOutcome::Failed(failure)) = &record.outcome else { return None };
    let log = log_path(found.folder.root(), &step, record.attempts);
    let mut events = AttemptEvents::new(log.parent()?);
    events.update();
    let details = events.details();
    let cell = details.failing().map(|(row, host, _)| FailedCell { task: row.name.clone(), host: host.to_owned() });
    let cluster = details.cluster.as_ref().and_then(|(_, cluster)| cluster.cause("")).map(|cause| cause.text);
    let new = |known: &&KnownLine| failure.diagnoses.iter().all(|hit| hit.id != known.id);
    let seen = details.known.iter().filter(new).cloned().collect();
    Some(FailureStatus { step, attempt: record.attempts, log, cell, cluster, seen, failure })
}

/// How long the rest of a run takes, the running phase's time so far taken off.
fn left(state: &State, history: &History, now: Timestamp) -> Option<Band> {
    let running = state.running().map(|(step, record)| {
        let begun = record.started.map_or(0, |started| between(started, now));
        let before = state.plan.phase(step.phase.as_str()).map_or(0, |phase| state.phase_times(phase).1);
        (&step.phase, (begun + before) / 1000)
    });
    history.left(state, running)
}

/// `status`.
///
/// # Errors
/// There is no run, or its journal is damaged.
pub fn status(common: &Common) -> Outcome {
    let setup = common.setup()?;
    let found = found(common, &setup)?;
    let state: &State = &found.state;
    let (history, now) = (history::read(found.folder.root()), Timestamp::now());
    let left = left(state, &history, now);
    let phases: Vec<PhaseStatus<'_>> = state.plan.phases.iter().map(|phase| phase_status(&found, &history, now, phase)).collect();
    let questions = state
        .questions
        .iter()
        .map(|question| QuestionStatus { id: &question.id, text: &question.text, secret: question.is_secret() })
        .collect();
    if common.json {
        let (engine, rehearsal) = (engine_status(&found), state.rehearsal);
        common.print_json(&Status { run: &state.run, state: state.summary(), rehearsal, engine, phases, questions, left })?;
        return Ok(Exit::Done);
    }
    if state.rehearsal {
        print("REHEARSAL: nothing here is installed anywhere\n")?;
    }
    print(&format!("run {} is {}, opened {}\n", state.run, state.summary(), state.opened.strftime("%Y-%m-%d %H:%M UTC")))?;
    if let Some(engine) = engine_status(&found) {
        let doing = match (&engine.version, engine.working) {
            (None, _) => "does not answer",
            (_, true) => "is at work",
            (_, false) => "waits",
        };
        let watched = match engine.viewers {
            0 => String::new(),
            1 => "; 1 watches".to_owned(),
            count => format!("; {count} watch"),
        };
        print(&format!("engine: process {} {doing}{watched}\n", engine.pid))?;
    }
    for (status, phase) in phases.iter().zip(&state.plan.phases) {
        let word = format!("{:?}", status.state).to_lowercase();
        let took = state.phase_times(phase).1;
        let took = if took > 0 { seconds(took) } else { String::new() };
        let progress = status.progress.as_ref().map(|progress| format!(" {} of {}", progress.done, progress.total)).unwrap_or_default();
        let reason = if status.reason.is_empty() { String::new() } else { format!("  {}", status.reason) };
        let line = format!("  {word:<12}{:<18}{took:>14}{progress}{reason}", status.id);
        print(&format!("{}\n", line.trim_end()))?;
        if let Some(waits) = &status.waiting {
            print(&format!("{:14}waits for {}, {}{}\n", "", waits.what, seconds(waits.seconds * 1000), after(&waits.verdict())))?;
            if !waits.cause.is_empty() {
                print(&format!("{:14}cause: {}\n", "", waits.cause))?;
            }
        }
        if let Some(failed) = &status.failure {
            let mut lines = about_failure(failed.failure, state.plan.step(&failed.step));
            lines.extend(failed.cluster.iter().map(|cause| format!("cluster: {cause}")));
            lines.extend(failed.seen.iter().map(|known| format!("seen: {}: {}", known.title, known.line)));
            lines.extend(phase.document.iter().map(|document| format!("upstream: {document}")));
            lines.push(format!("its output: mosip-setup logs {} --errors; go on: mosip-setup retry {}", failed.step, phase.id));
            for line in lines {
                print(&format!("{:14}{line}\n", ""))?;
            }
        }
    }
    if let Some(left) = left.filter(|_| state.summary() == "running") {
        print(&format!("to the end: {} ({})\n", words(left.from, left.to), left.source.words()))?;
    }
    for question in &state.questions {
        print(&format!("question {}: {}\n", question.id, question.text))?;
        print(&format!("  answer it: mosip-setup answer '{}'\n", question.id))?;
    }
    Ok(Exit::Done)
}

/// A part of a sentence behind a comma, where there is one.
fn after(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {text}") }
}
