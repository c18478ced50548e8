//! The command line as a whole: verbs, hidden verbs, and what each error means for the exit code.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use clap::{Parser, Subcommand};
use color_eyre::Report;

use super::asking;
use super::common::{Common, Failure, Outcome, note};
use super::{attach, check, fetch, logs, new, plan, profiles, rehearse, render, requirements, run, screen, shell, site, watch};
use crate::adapters::process::{ON_TERMINAL, become_on_terminal};
use crate::engine::acme_hook::{self, Challenge};
use crate::engine::attempt::{self, AttemptSpec};
use crate::engine::{background, helm_guard, rehearsal, runner};
use crate::exit::Exit;

/// Installs MOSIP from one terminal: asks for the site, checks every machine, and drives Ansible, Terraform and Helm while you watch.
///
/// Without a command: the wizard. It opens the site used last, or starts a new one.
#[derive(Debug, Parser)]
#[command(name = "mosip-setup", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Root {
    /// Options of every verb.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 a phase failed, 2 usage or invalid site or profile, 3 preflight failed, \
4 waiting for the operator, 5 another engine holds this site, 6 the journal or state cannot be written, 130 stopped by the operator.";

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring a profile's sources at their pinned commits into the state folder
    Fetch(fetch::FetchArgs),
    /// Write a commented site file
    New(new::NewArgs),
    /// Look at a site's answers
    Site(site::SiteArgs),
    /// List, show and check profiles
    Profiles(profiles::ProfilesArgs),
    /// Say what the network and VM teams must provide: machines, ports, DNS records, certificates, ways out
    Requirements(requirements::RequirementsArgs),
    /// Run the preflight: every check, all findings in one pass
    Check(check::CheckArgs),
    /// Show phases, commands and file differences; touches nothing
    Plan(plan::PlanArgs),
    /// Write the site's files and stop
    Render(render::RenderArgs),
    /// Start or go on with the run, and watch it
    Run(run::RunArgs),
    /// Watch a run that goes on; any number may
    Attach(attach::AttachArgs),
    /// Stop the run: what runs is asked to end; it can go on later
    Stop(attach::StopArgs),
    /// Say where the run stands
    Status,
    /// Show what a step printed
    Logs(logs::LogsArgs),
    /// Run a phase again
    Retry(run::RetryArgs),
    /// Go on without a phase
    Skip(run::SkipArgs),
    /// A shell where a step works: its folder and its environment
    Shell(shell::ShellArgs),
    /// Answer a question of the run
    Answer(run::AnswerArgs),
    /// Practise: the whole wizard and run on a rehearsal site; nothing outside a scratch folder is touched
    Rehearse(rehearse::RehearseArgs),
}

/// Runs the program; gives the exit code.
///
/// # Errors
/// Only what the operator can do nothing about.
pub fn main() -> Result<Exit, Report> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(exit) = hidden(&arguments)? {
        return Ok(exit);
    }
    // clap ends the program itself for --help, --version and wrong usage (exit code 2).
    let root = Root::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(dispatch(&root));
    // A probe that hangs in the system must not keep the program from ending.
    runtime.shutdown_background();
    exit
}

/// The verbs that the program calls itself with.
fn hidden(arguments: &[String]) -> Result<Option<Exit>, Report> {
    let rest = arguments.get(2..).unwrap_or_default();
    match arguments.get(1).map(String::as_str) {
        Some(attempt::VERB) => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            let spec: AttemptSpec = serde_json::from_slice(&text)?;
            if let Err(error) = runner::run(spec) {
                note(&error.to_string());
                // Where nothing can be written, the exit code is all that can be said.
                std::process::exit(error.code());
            }
            Ok(Some(Exit::Done))
        }
        Some(background::VERB) => {
            background::run()?;
            Ok(Some(Exit::Done))
        }
        Some(ON_TERMINAL) => Err(become_on_terminal(rest).into()),
        Some(acme_hook::VERB) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let challenge = Challenge::from_environment(|name| std::env::var(name).ok())?;
            runtime.block_on(acme_hook::run(&challenge))?;
            Ok(Some(Exit::Done))
        }
        Some(helm_guard::VERB) => std::process::exit(helm_guard::run(rest)?),
        Some(rehearsal::VERB) => {
            let (speed, path) =
                (rest.first().and_then(|speed| speed.parse().ok()).unwrap_or(1.0), rest.get(1).map(String::as_str).unwrap_or_default());
            let code = rehearsal::play(Path::new(path), speed, &mut std::io::stdout().lock())?;
            std::process::exit(code);
        }
        _ => Ok(None),
    }
}

async fn dispatch(root: &Root) -> Result<Exit, Report> {
    let common = &root.common;
    let outcome: Outcome = match &root.verb {
        Some(Verb::Fetch(args)) => return fetch::run(args, common),
        Some(Verb::New(args)) => return new::run(args, common),
        Some(Verb::Site(args)) => return site::run(args, common),
        Some(Verb::Profiles(args)) => return profiles::run(args, common),
        Some(Verb::Requirements(args)) => return requirements::run(args, common),
        Some(Verb::Plan(args)) => return plan::run(args, common),
        Some(Verb::Render(args)) => return render::run(args, common),
        Some(Verb::Check(args)) => check_site(args, common).await,
        Some(Verb::Run(args)) if args.wants_screen(common) => screen::wizard(common, true).await,
        Some(Verb::Run(args)) => run::run(args, common).await,
        Some(Verb::Attach(args)) => attach::attach(args, common).await,
        Some(Verb::Stop(args)) => attach::stop(args, common).await,
        Some(Verb::Status) => watch::status(common),
        Some(Verb::Logs(args)) => logs::logs(args, common),
        Some(Verb::Retry(args)) => run::retry(args, common).await,
        Some(Verb::Skip(args)) => run::skip(args, common).await,
        Some(Verb::Shell(args)) => shell::run(args, common).await,
        Some(Verb::Answer(args)) => run::answer(args, common).await,
        Some(Verb::Rehearse(args)) if args.headless => rehearse::headless(args, common.json).await,
        Some(Verb::Rehearse(args)) => screen::rehearse(args).await,
        None => screen::wizard(common, false).await,
    };
    match outcome {
        Ok(exit) => Ok(exit),
        Err(failure) => failure.report(common),
    }
}

async fn check_site(args: &check::CheckArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let project = setup.project(&common.site_file()?)?;
    let plan = setup.plan(&project)?;
    let site = project.state()?;
    let (done, begun) = match setup.last_run(&site)? {
        Some(found) => (setup.done(&found.state), setup.begun(&found.state)),
        None => (BTreeSet::new(), BTreeSet::new()),
    };
    if setup.rehearsal.is_some() {
        note("REHEARSAL: these are recorded facts");
    }
    let ask = |prompt: &str| asking::ask(prompt).map(|answer| matches!(answer.trim(), "y" | "Y" | "yes"));
    let place = check::CheckPlace {
        plan: &plan,
        ignores: &site.ignores(),
        log: &site.preflight(),
        who: &setup.user,
        clock: &*setup.ports.clock,
        done,
        begun,
        json: common.json,
        ask: &ask,
    };
    let code = check::run(args, &place, &*setup.ports.probe, &mut std::io::stdout()).await;
    match code {
        Ok(check::BLOCKED) => Ok(Exit::PreflightFailed),
        Ok(_) => Ok(Exit::Done),
        Err(error) => {
            let exit = if error.code() == 2 { Exit::Usage } else { Exit::CannotWrite };
            Err(Failure { exit, message: error.to_string(), problems: Vec::new() })
        }
    }
}
