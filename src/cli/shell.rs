//! `shell`: the operator's own shell where a step works, with its folder and environment.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command as Process;

use clap::Args;
use color_eyre::Report;

use super::asking::ask;
use super::common::{Common, Failure, Outcome};
use super::retry::part_of;
use super::run::{Prepared, prepare, tell};
use crate::adapters::secrets::Secrets;
use crate::engine::opening::Opening;
use crate::exit::Exit;
use crate::install::ids::StepRef;
use crate::install::plan::{Plan, PlanStep};
use crate::install::planner::shell_quote;
use crate::run::machine::Command;
use crate::run::state::State;

/// Arguments of `shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// The phase, or one step of it; without a step the one that failed, else the last that was begun, else the first.
    #[arg(value_name = "PHASE[/STEP]")]
    pub part: String,
    /// Also the variables that hold secrets; asks first.
    #[arg(long)]
    pub with_secrets: bool,
}

/// `shell`.
///
/// # Errors
/// There is no run or no such step, or the journal cannot be written.
pub async fn run(args: &ShellArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let found =
        setup.last_run(&project.state()?)?.ok_or_else(|| Failure::usage("this site has no run yet: a shell needs a step of one"))?;
    let (phase, step) = part_of(&plan, &args.part)?;
    let state = State { plan: plan.clone(), ..found.state };
    let reference = match step.map(|step| StepRef { phase: phase.clone(), step }).or_else(|| last_step(&state, phase.as_str())) {
        Some(reference) => reference,
        None => return Err(Failure::usage(format!("phase '{phase}' has no step"))),
    };
    if args.with_secrets {
        let words =
            "Secrets of this step will be in the environment of the shell, where every program started from it can read them.\nType yes:";
        if !std::io::stdin().is_terminal() || ask(words).as_deref().map(str::trim) != Some("yes") {
            return Err(Failure { exit: Exit::Stopped, message: "no shell was opened".into(), problems: Vec::new() });
        }
    }
    // Who opened it is on record before it opens.
    let opened = setup.open_run(&project, plan.clone(), secrets.clone(), Opening::default()).await?;
    tell(opened.client, Command::Shell { step: reference.clone(), secrets: args.with_secrets }).await?;
    open(&plan, &reference, args.with_secrets.then_some(&secrets)).map_err(|error| Failure::usage(format!("no shell: {error}")))?;
    Ok(Exit::Done)
}

/// The step of a phase that failed, else the last that was begun, else the first.
fn last_step(state: &State, phase: &str) -> Option<StepRef> {
    let phase = state.plan.phase(phase)?;
    let begun = |(_, record): &(StepRef, Option<&crate::run::state::StepRecord>)| record.is_some_and(|record| record.attempts > 0);
    let failed = state.steps_of(phase).find(|(_, record)| {
        let outcome = record.and_then(|record| record.outcome.as_ref());
        outcome.is_some_and(|outcome| !outcome.is_success())
    });
    let step = failed.or_else(|| state.steps_of(phase).filter(begun).last()).or_else(|| state.steps_of(phase).next());
    step.map(|(reference, _)| reference)
}

/// Opens the operator's shell where a step works, and waits until it is left. Values that hold secrets are set only where they are given.
///
/// # Errors
/// The plan has no such step, or the shell cannot be started.
pub fn open(plan: &Plan, reference: &StepRef, secrets: Option<&Secrets>) -> std::io::Result<()> {
    let step = plan.step(reference).ok_or_else(|| std::io::Error::other(format!("the plan has no step {reference}")))?;
    let dir = step.dir.as_deref().map(Path::new);
    let there = dir.filter(|dir| dir.is_dir());
    banner(step, reference, there.is_none().then_some(dir).flatten(), secrets.is_some()).map_err(std::io::Error::other)?;
    let shell = std::env::var("SHELL").ok().filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let mut command = Process::new(shell);
    command.env("MOSIP_SETUP_SHELL", reference.to_string());
    for (name, value) in &step.env {
        match (secrets, value.contains("${secret.")) {
            (Some(secrets), true) => drop(command.env(name, secrets.expand(value))),
            (None, true) => {}
            (_, false) => drop(command.env(name, value)),
        }
    }
    if secrets.is_some() {
        // What is typed with secrets at hand is not kept.
        command.env("HISTFILE", "/dev/null");
    }
    if let Some(dir) = there {
        command.current_dir(dir);
    }
    command.status().map(|_| ())
}

/// Where the shell is, and what the step would do there by hand.
fn banner(step: &PlanStep, reference: &StepRef, missing: Option<&Path>, secrets: bool) -> Result<(), Report> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nmosip-setup: shell of step {reference}, {}", step.title)?;
    if let Some(dir) = missing {
        writeln!(out, "  its folder does not exist yet: {}", dir.display())?;
    } else if let Some(dir) = &step.dir {
        writeln!(out, "  folder   {dir}")?;
    }
    for (name, value) in &step.env {
        let hidden = value.contains("${secret.");
        let shown = if hidden { if secrets { "(secret, set)" } else { "(secret, not set)" } } else { value.as_str() };
        writeln!(out, "  {name}={shown}")?;
    }
    for (number, line) in step.commands().iter().enumerate() {
        let words: Vec<String> = line.argv.iter().map(|word| shell_quote(word)).collect();
        writeln!(out, "  {} {}", if number == 0 { "by hand " } else { "        " }, words.join(" "))?;
    }
    writeln!(out, "  leave it with 'exit' or Ctrl-D; the run stays as it is\n")?;
    Ok(())
}
