//! `attach` and `stop`: watch a run that goes on, and end it, from any shell.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use super::common::{Common, Failure, Outcome, note};
use super::run::{finish, watch};
use super::screen;
use crate::adapters::journal;
use crate::engine::attempt::{Holder, is_locked, read_holder};
use crate::engine::opening::Opened;
use crate::engine::setup::{Setup, SetupError};
use crate::exit::Exit;
use crate::plain::{self, Format, Past, Showing};
use crate::run::event::StopReason;
use crate::run::machine::Command;
use crate::run::state::State;

/// Arguments of `attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Plain lines, also on a terminal.
    #[arg(long)]
    pub plain: bool,
}

impl AttachArgs {
    /// Whether the run is to be watched in the full screen.
    #[must_use]
    pub fn wants_screen(&self, common: &Common) -> bool {
        !self.plain && !common.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }
}

/// Arguments of `stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Kill what runs instead of asking it to end. Terraform may leave its lock or half a state behind.
    #[arg(long)]
    pub now: bool,
}

/// `attach`.
///
/// # Errors
/// The site has no run, or its engine does not talk to this program.
pub async fn attach(args: &AttachArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let project = setup.project(&common.site_file()?)?;
    let site = project.state()?;
    if args.wants_screen(common) {
        return screen::wizard(common, true).await;
    }
    let format = if common.json { Format::Json } else { Format::Lines };
    if let Some(client) = setup.join(&site)? {
        let opened = Opened { client, joined: true, own: None };
        return finish(watch(opened, common, None, Showing { format, past: Past::Whole, as_it_stands: true }).await?);
    }
    let found = setup.last_run(&site)?.ok_or_else(|| Failure::usage("this site has no run yet: start one with 'mosip-setup run'"))?;
    plain::show(
        &journal::read(&found.folder.journal()).map_err(SetupError::from)?,
        format,
        &mut std::io::BufWriter::new(std::io::stdout()),
    )?;
    let state = &found.state;
    if state.running().is_some() && state.engine.is_some() {
        note("no engine is at work, but the step that it began goes on: take it up with 'mosip-setup run'");
    } else {
        note("no engine is at work; go on with 'mosip-setup run'");
    }
    Ok(exit_of(state))
}

/// The exit code of a run that is only looked at.
fn exit_of(state: &State) -> Exit {
    match state.summary() {
        "failed" => Exit::PhaseFailed,
        "waiting" => Exit::Waiting,
        "stopped" => Exit::Stopped,
        _ => Exit::Done,
    }
}

/// `stop`. Waits until what runs has ended.
///
/// # Errors
/// The engine does not talk to this program.
pub async fn stop(args: &StopArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let project = setup.project(&common.site_file()?)?;
    let site = project.state()?;
    let Some(client) = setup.join(&site)? else {
        let lock = site.runner_lock();
        if is_locked(&lock) {
            return stop_runner(&setup, &lock, args.now).await;
        }
        note("nothing is running");
        return Ok(Exit::Done);
    };
    let _ = client.send(Command::Stop { now: args.now });
    let opened = Opened { client, joined: true, own: None };
    let format = if common.json { Format::Json } else { Format::Lines };
    let followed = watch(opened, common, None, Showing { format, past: Past::Nothing, as_it_stands: false }).await?;
    let stopped = followed.reason == StopReason::Stopped;
    match finish(followed)? {
        Exit::Stopped if stopped => Ok(Exit::Done),
        other => Ok(other),
    }
}

/// A step outlives its engine; without one its runner is asked directly, and the next engine reads how it ended.
async fn stop_runner(setup: &Setup, lock: &std::path::Path, now: bool) -> Outcome {
    let Some(holder) = read_holder::<Holder>(lock) else {
        return Err(Failure::usage("what runs cannot be told; see 'mosip-setup status'"));
    };
    note("no engine is at work; the step that it began is asked to end. Ctrl-C leaves it to that; once more with --now kills it");
    setup.ports.spawn.cancel(holder.dir, lock.to_owned(), now).await;
    while is_locked(lock) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    note("it has ended; the next 'mosip-setup run' takes in how");
    Ok(Exit::Done)
}
