//! `rehearse`: the whole wizard and run against a rehearsal site.

use std::path::PathBuf;

use clap::Args;

use super::common::{Common, Failure, Outcome, note, print};
use super::run::{finish, follow, prepare};
use crate::adapters::sources;
use crate::engine::checks::{CheckRequest, run_checks};
use crate::engine::opening::Opening;
use crate::engine::rehearsal::{Fault, Rehearsal, Route};
use crate::engine::setup::Setup;
use crate::exit::Exit;
use crate::install::check::Gate;
use crate::install::site::SourceOverride;
use crate::run::machine::{Command, Selection};
use crate::run::question::{Answer, Question, Wanted};

/// The address that the rehearsal's operator copies from Rancher; it leads nowhere.
const IMPORT_ADDRESS: &str =
    "https://rancher.sandbox.example.org/v3/import/rehearsal000000000000000000000000000000000000000000000_c-m-rehearse.yaml";

/// Arguments of `rehearse`.
#[derive(Debug, Clone, Args)]
pub struct RehearseArgs {
    /// The profile to rehearse.
    #[arg(long, value_name = "ID", default_value = "turing-rke2")]
    pub profile: Route,
    /// Something to practise on (repeatable).
    #[arg(long, value_name = "NAME")]
    pub fault: Vec<Fault>,
    /// How many times as fast as a real run.
    #[arg(long, value_name = "N", default_value = "60", value_parser = parse_speed)]
    pub speed: f64,
    /// Without the full screen: questions are answered beforehand.
    #[arg(long)]
    pub headless: bool,
    /// The scratch folder; without it a new one below the folder for temporary files.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed > 0.0).ok_or_else(|| "write a number above 0".into())
}

/// Sets the stage and brings the source, so that every later command finds a site that is ready.
///
/// # Errors
/// The scratch folder cannot be written, or git is missing.
pub fn stage(args: &RehearseArgs) -> Result<(Common, Setup), Failure> {
    let profile = args.profile;
    if let Some(fault) = args.fault.iter().find(|fault| !fault.is_of(profile)) {
        let others = [Route::Kit, Route::V3, Route::V3NoDns].into_iter().filter(|route| fault.is_of(*route));
        let names: Vec<&str> = others.map(Route::profile).collect();
        let message = format!("the fault '{fault}' cannot happen with {}: it belongs to {}", profile.profile(), names.join(", "));
        return Err(Failure::usage(message));
    }
    let scratch = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => tempfile::Builder::new().prefix("mosip-setup-rehearsal-").tempdir()?.keep(),
    };
    let rehearsal = Rehearsal { scratch, profile, speed: args.speed, faults: args.fault.clone(), answered: args.headless };
    rehearsal.set().map_err(|error| Failure { exit: Exit::CannotWrite, message: error.to_string(), problems: Vec::new() })?;
    let common = Common { site: Some(rehearsal.site()), state_dir: Some(rehearsal.state_dir()), json: false };
    let setup = common.setup()?;
    let project = setup.project(&rehearsal.site())?;
    let none = SourceOverride::default();
    for (id, source) in &project.profile.sources {
        let over = project.open.file.draft.sources.get(id.as_str()).unwrap_or(&none);
        sources::fetch(id.as_str(), source, over, &setup.paths, &mut |_| ()).map_err(|error| Failure::usage(error.to_string()))?;
    }
    Ok((common, setup))
}

/// `rehearse --headless`.
///
/// # Errors
/// The stage cannot be set, or the engine cannot start.
pub async fn headless(args: &RehearseArgs, json: bool) -> Outcome {
    let (mut common, setup) = stage(args)?;
    common.json = json;
    note("REHEARSAL: nothing outside the scratch folder is touched");
    let prepared = prepare(&common, &setup)?;
    let findings = run_checks(&CheckRequest::preflight(&prepared.plan), &*setup.ports.probe, None).await;
    let gate = Gate::of(&findings);
    for finding in &gate.blocking {
        let line =
            format!("{} {} on {}: {}; expected: {}", finding.verdict, finding.check, finding.target, finding.observed, finding.expected);
        if json { note(&line) } else { print(&format!("{line}\n  do: {}\n", finding.remedy))? }
    }
    let exit = if gate.is_open() {
        let opened = setup.open_run(&prepared.project, prepared.plan, prepared.secrets, Opening::default()).await?;
        opened.client.send(Command::Run(Selection::default()));
        finish(follow(opened, &common, Some(&answer), false).await?)?
    } else {
        Exit::PreflightFailed
    };
    let state = common.state_dir.unwrap_or_default();
    note(&format!("REHEARSAL in {}", state.parent().unwrap_or(&state).display()));
    // After the preflight there is no run yet that could be retried.
    let next = match exit {
        Exit::Done => None,
        Exit::PreflightFailed => Some("look again: mosip-setup check"),
        _ => Some("go on: mosip-setup retry"),
    };
    if let Some(next) = next {
        note(&format!("{next} --state-dir {}", state.display()));
    }
    Ok(exit)
}

/// What the rehearsal's operator answers.
#[must_use]
pub fn answer(question: &Question) -> Option<Answer> {
    Some(Answer::Text(match question.wanted {
        Wanted::Secret { .. } => IMPORT_ADDRESS.to_owned(),
        Wanted::Confirmation { .. } | Wanted::Repeat | Wanted::Destroy { .. } | Wanted::Change { .. } => "yes".to_owned(),
        // No transcript asks at its terminal.
        Wanted::Prompt { .. } => return None,
    }))
}
