//! `status` and `logs`: look at a run from any shell.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::common::{Common, Failure, Outcome, print};
use super::run::phase_names;
use crate::engine::attempt::is_locked;
use crate::engine::attempt_events::AttemptEvents;
use crate::engine::client::log_path;
use crate::engine::setup::{FoundRun, Setup};
use crate::exit::Exit;
use crate::install::ids::{PhaseId, StepId, StepRef};
use crate::install::plan::PlanPhase;
use crate::plain::seconds;
use crate::run::state::{PhaseState, State};

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// PHASE, or PHASE/STEP.
    #[arg(value_name = "PHASE[/STEP]")]
    pub step: String,
    /// Which attempt; without it the last.
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Go on as the log grows, until the step has ended.
    #[arg(long, short)]
    pub follow: bool,
}

#[derive(Serialize)]
struct Status<'a> {
    run: &'a str,
    state: &'a str,
    rehearsal: bool,
    phases: Vec<PhaseStatus<'a>>,
    questions: Vec<QuestionStatus<'a>>,
}

#[derive(Serialize)]
struct PhaseStatus<'a> {
    id: &'a PhaseId,
    title: &'a str,
    state: PhaseState,
    attempts: u32,
    progress: Option<Progress>,
    reason: String,
}

#[derive(Serialize)]
struct Progress {
    done: u64,
    total: u64,
}

#[derive(Serialize)]
struct QuestionStatus<'a> {
    id: &'a str,
    text: &'a str,
    secret: bool,
}

fn found(common: &Common, setup: &Setup) -> Result<FoundRun, Failure> {
    let project = setup.project(&common.site_file()?)?;
    setup.last_run(&project.state()?)?.ok_or_else(|| Failure::usage("this site has no run yet: start one with 'mosip-setup run'"))
}

fn phase_status<'a>(found: &'a FoundRun, phase: &'a PlanPhase) -> PhaseStatus<'a> {
    let state = &found.state;
    let attempts = state.steps_of(phase).filter_map(|(_, record)| record.map(|record| record.attempts)).max().unwrap_or(0);
    let running = state.steps_of(phase).find(|(_, record)| record.is_some_and(|record| record.is_running()));
    let progress = running.and_then(|(step, record)| {
        let log = log_path(found.folder.root(), &step, record?.attempts);
        let mut events = AttemptEvents::new(log.parent()?);
        events.update();
        let last = events.progress()?;
        Some(Progress { done: last.done, total: last.total })
    });
    PhaseStatus {
        id: &phase.id,
        title: &phase.title,
        state: state.phase_state(phase),
        attempts,
        progress,
        reason: state.phase_reason(phase),
    }
}

/// `status`.
///
/// # Errors
/// There is no run, or its journal is damaged.
pub fn status(common: &Common) -> Outcome {
    let setup = common.setup()?;
    let found = found(common, &setup)?;
    let state: &State = &found.state;
    let phases: Vec<PhaseStatus<'_>> = state.plan.phases.iter().map(|phase| phase_status(&found, phase)).collect();
    let questions = state
        .questions
        .iter()
        .map(|question| QuestionStatus { id: &question.id, text: &question.text, secret: question.is_secret() })
        .collect();
    if common.json {
        common.print_json(&Status { run: &state.run, state: state.summary(), rehearsal: state.rehearsal, phases, questions })?;
        return Ok(Exit::Done);
    }
    if state.rehearsal {
        print("REHEARSAL: nothing here is installed anywhere\n")?;
    }
    print(&format!("run {} is {}, opened {}\n", state.run, state.summary(), state.opened.strftime("%Y-%m-%d %H:%M UTC")))?;
    for (status, phase) in phases.iter().zip(&state.plan.phases) {
        let word = format!("{:?}", status.state).to_lowercase();
        let took = state.phase_times(phase).1;
        let took = if took > 0 { seconds(took) } else { String::new() };
        let progress = status.progress.as_ref().map(|progress| format!(" {} of {}", progress.done, progress.total)).unwrap_or_default();
        let reason = if status.reason.is_empty() { String::new() } else { format!("  {}", status.reason) };
        let line = format!("  {word:<12}{:<18}{took:>14}{progress}{reason}", status.id);
        print(&format!("{}\n", line.trim_end()))?;
    }
    for question in &state.questions {
        print(&format!("question {}: {}\n", question.id, question.text))?;
        print(&format!("  answer it: mosip-setup answer '{}'\n", question.id))?;
    }
    Ok(Exit::Done)
}

/// `logs`.
///
/// # Errors
/// There is no such phase, step or attempt.
pub fn logs(args: &LogsArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let found = found(common, &setup)?;
    let (step, attempt) = choose(&found.state, args)?;
    let path = log_path(found.folder.root(), &step, attempt);
    let mut file = File::open(&path)
        .map_err(|error| Failure::usage(format!("there is no log of attempt {attempt} of {step}: {}: {error}", path.display())))?;
    let mut out = std::io::stdout().lock();
    let mut read = 0_u64;
    let mut buffer = vec![0; 64 * 1024];
    let lock = found.folder.root().ancestors().nth(2).map(|site| site.join("runner.lock")).unwrap_or_default();
    loop {
        let ended = path.with_file_name("exit.json").exists() || !is_locked(&lock);
        file.seek(SeekFrom::Start(read))?;
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            read += length as u64;
            out.write_all(&buffer[..length])?;
        }
        out.flush()?;
        if !args.follow || ended {
            return Ok(Exit::Done);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn choose(state: &State, args: &LogsArgs) -> Result<(StepRef, u32), Failure> {
    let (phase, step) = args.step.split_once('/').map_or((args.step.as_str(), None), |(phase, step)| (phase, Some(step)));
    let Some(planned) = state.plan.phase(phase) else {
        return Err(Failure::usage(format!("there is no phase '{phase}'; the phases are {}", phase_names(&state.plan))));
    };
    let step: StepRef = match step {
        Some(step) => {
            let names: Vec<&str> = planned.steps.iter().map(|step| step.id.as_str()).collect();
            let id: Option<StepId> = planned.steps.iter().find(|known| known.id == *step).map(|step| step.id.clone());
            let id =
                id.ok_or_else(|| Failure::usage(format!("phase '{phase}' has no step '{step}'; its steps are {}", names.join(", "))))?;
            StepRef { phase: planned.id.clone(), step: id }
        }
        None => {
            let begun = state.steps_of(planned).filter(|(_, record)| record.is_some_and(|record| record.attempts > 0)).last();
            begun.map(|(step, _)| step).ok_or_else(|| Failure::usage(format!("phase '{phase}' has not begun")))?
        }
    };
    let last = state.step(&step).map_or(0, |record| record.attempts);
    let attempt = args.attempt.unwrap_or(last);
    if attempt == 0 || attempt > last {
        return Err(Failure::usage(format!("{step} has {last} attempt(s)")));
    }
    Ok((step, attempt))
}
