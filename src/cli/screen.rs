//! The full screen: the wizard, and the rehearsal in it.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::common::{Common, Failure, Outcome, note, print};
use super::desk::SetupDesk;
use super::rehearse::{RehearseArgs, stage};
use crate::engine::setup::Setup;
use crate::exit::Exit;
use crate::ui::shell::{UiOptions, run};
use crate::ui::theme::Look;

/// The wizard: opens the site named, or offers the one used last; with `open_run` at its open run, where there is one.
///
/// # Errors
/// There is no terminal, or the state folder cannot be used.
pub async fn wizard(common: &Common, open_run: bool) -> Outcome {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the wizard needs a terminal. Without one: 'mosip-setup new' writes a site file, 'check', 'plan' and 'run --yes' do the rest; see --help",
        ));
    }
    let setup = common.setup()?;
    let site = common.site.clone().or_else(|| setup.rehearsal.as_ref().map(|rehearsal| rehearsal.site()));
    // A run that goes on is what whoever starts the program wants to see.
    let lives = |site: &PathBuf| setup.project(site).ok().and_then(|project| setup.is_held(&project).ok()).unwrap_or_default();
    let going_on = site.clone().or_else(|| setup.paths.last_site()).filter(lives);
    let open_run = open_run || going_on.is_some();
    let site = site.or(going_on);
    show(setup, site, open_run).await
}

/// The rehearsal in the full screen.
///
/// # Errors
/// As [`wizard`], or the stage cannot be set.
pub async fn rehearse(args: &RehearseArgs) -> Outcome {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage("the rehearsal's wizard needs a terminal; without one: rehearse --headless"));
    }
    let (common, setup) = stage(args)?;
    let exit = show(setup, common.site, false).await;
    let state = common.state_dir.unwrap_or_default();
    note(&format!(
        "REHEARSAL in {}; look at it again: mosip-setup --state-dir {}",
        state.parent().unwrap_or(&state).display(),
        state.display()
    ));
    exit
}

async fn show(setup: Setup, site: Option<PathBuf>, open_run: bool) -> Outcome {
    let options = UiOptions { rehearsal: setup.rehearsal.is_some(), site, open_run, look: Look::detect(|name| std::env::var(name).ok()) };
    let exited = run(Box::new(SetupDesk::new(setup)), options).await?;
    if !exited.text.is_empty() {
        print(&format!("{}\n", exited.text.trim_end()))?;
    }
    Ok(match exited.run {
        Some("failed") => Exit::PhaseFailed,
        Some("waiting") => Exit::Waiting,
        Some("stopped") => Exit::Stopped,
        _ => Exit::Done,
    })
}
