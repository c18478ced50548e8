//! `logs`: what a step printed, all of it or the lines that are wanted.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::common::{Common, Failure, Outcome, note};
use super::run::phase_names;
use super::watch::found;
use crate::adapters::logs::copy::{Copying, Form};
use crate::adapters::logs::pattern::{Pattern, Wanted};
use crate::adapters::logs::times::Times;
use crate::engine::attempt::is_locked;
use crate::engine::client::log_path;
use crate::exit::Exit;
use crate::install::ids::{StepId, StepRef};
use crate::run::state::State;

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
    /// Only lines that match a regular expression; without upper-case letters in it the case does not count.
    #[arg(long, short, value_name = "PATTERN")]
    pub grep: Option<String>,
    /// Only lines that say that something failed; not where the playbook ignores it.
    #[arg(long, conflicts_with = "changes")]
    pub errors: bool,
    /// Only lines that say that something was changed: tasks of Ansible, resources of Terraform.
    #[arg(long)]
    pub changes: bool,
    /// Before each line when it was written, to the second, in UTC.
    #[arg(long)]
    pub timestamps: bool,
}

/// `logs`. To a terminal it prints colours, but nothing else that would do something to it; elsewhere the log as it is.
///
/// # Errors
/// There is no such phase, step or attempt, or no such pattern.
pub fn logs(args: &LogsArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let found = found(common, &setup)?;
    let (step, attempt) = choose(&found.state, args)?;
    let wanted = wanted(args)?;
    let path = log_path(found.folder.root(), &step, attempt);
    let mut file = File::open(&path)
        .map_err(|error| Failure::usage(format!("there is no log of attempt {attempt} of {step}: {}: {error}", path.display())))?;
    let stdout = std::io::stdout();
    let form = if stdout.is_terminal() { Form::Safe } else { Form::Raw };
    let mut out = BufWriter::with_capacity(64 * 1024, stdout.lock());
    let lock = found.folder.root().ancestors().nth(2).map(|site| site.join("runner.lock")).unwrap_or_default();
    let (mut read, mut lines, mut untimed) = (0, 0, args.timestamps);
    loop {
        let ended = path.with_file_name("exit.json").exists() || !is_locked(&lock);
        // While it grows, so do its marks.
        let times = args.timestamps.then(|| Times::of(&path)).flatten();
        untimed &= times.is_none();
        let copying = Copying { wanted: wanted.as_ref(), times: times.as_ref(), form };
        let written = copying.copy(&mut file, read, args.follow && !ended, &mut out).and_then(|copied| out.flush().map(|()| copied));
        let copied = match written {
            Ok(copied) => copied,
            // Whoever reads it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Err(error) => return Err(error.into()),
        };
        read = copied.next;
        lines += copied.lines;
        if !args.follow || ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    say_what_is_missing(wanted.is_some() && lines == 0, untimed, &path);
    Ok(Exit::Done)
}

fn say_what_is_missing(no_lines: bool, untimed: bool, path: &Path) {
    if no_lines {
        note(&format!("no such line in {}", path.display()));
    }
    if untimed {
        note("no times were kept of this attempt: it ran under an earlier version of this program");
    }
}

fn wanted(args: &LogsArgs) -> Result<Option<Wanted>, Failure> {
    let kind = if args.errors { Pattern::errors() } else { Pattern::changes().filter(|_| args.changes) };
    let pattern = args.grep.as_deref().map(Pattern::read).transpose().map_err(|error| Failure::usage(format!("--grep: {error}")))?;
    Ok(match (kind, pattern) {
        (Some(kind), also) => Some(Wanted { pattern: kind, also }),
        (None, pattern) => pattern.map(Wanted::from),
    })
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
