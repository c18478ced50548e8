//! `run`, `retry`, `skip`, `answer`: start or go on with a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::common::{Common, Failure, Outcome, ask, ask_secret, note, print};
use crate::adapters::project::Project;
use crate::adapters::secrets::Secrets;
use crate::engine::client::Client;
use crate::engine::setup::{Setup, selected};
use crate::exit::Exit;
use crate::install::ids::{FieldId, PhaseId};
use crate::install::plan::Plan;
use crate::plain::{self, Followed, Format};
use crate::run::event::StopReason;
use crate::run::machine::{Command, Selection};
use crate::run::question::{Answer, Question};
use crate::run::state::State;

/// Arguments of `run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Run this phase alone (repeatable).
    #[arg(long, value_name = "PHASE")]
    pub only: Vec<PhaseId>,
    /// Run from this phase on.
    #[arg(long, value_name = "PHASE")]
    pub from: Option<PhaseId>,
    /// Run up to and with this phase.
    #[arg(long, value_name = "PHASE")]
    pub to: Option<PhaseId>,
    /// Go on without a phase (repeatable).
    #[arg(long, value_name = "PHASE=REASON", value_parser = parse_skip)]
    pub skip: Vec<(PhaseId, String)>,
    /// Leave the open run as it is and begin another.
    #[arg(long)]
    pub new: bool,
    /// Do not ask after the review. A failed check, a question, a destroying plan and a step that may not simply run again still stop.
    #[arg(long)]
    pub yes: bool,
    /// Plain lines, also on a terminal.
    #[arg(long)]
    pub plain: bool,
}

impl RunArgs {
    /// Whether the run is to be watched in the full screen: on a terminal, unless lines are asked for or only part of the plan is to run.
    #[must_use]
    pub fn wants_screen(&self, common: &Common) -> bool {
        let partial = !self.only.is_empty() || self.from.is_some() || self.to.is_some() || !self.skip.is_empty() || self.new;
        !self.plain && !self.yes && !common.json && !partial && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }
}

fn parse_skip(text: &str) -> Result<(PhaseId, String), String> {
    let (phase, reason) = text.split_once('=').ok_or("write PHASE=REASON")?;
    if reason.trim().is_empty() {
        return Err("skipping needs a reason: write PHASE=REASON".into());
    }
    Ok((phase.parse().map_err(|error: crate::install::ids::InvalidId| error.to_string())?, reason.trim().to_owned()))
}

/// Arguments of `retry`.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// The phase, or one step of it; without it the phase that failed.
    #[arg(value_name = "PHASE[/STEP]")]
    pub part: Option<String>,
    /// All its steps, not only from the first that has not succeeded.
    #[arg(long)]
    pub from_start: bool,
    /// A playbook on the hosts alone that failed or could not be reached, where the profile allows that.
    #[arg(long, conflicts_with = "from_start")]
    pub failed_hosts: bool,
}

/// Arguments of `skip`.
#[derive(Debug, Clone, Args)]
pub struct SkipArgs {
    /// The phase.
    pub phase: PhaseId,
    /// Why; recorded with your name.
    #[arg(long)]
    pub reason: String,
    /// Do not ask after the consequences were shown.
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `answer`.
#[derive(Debug, Clone, Args)]
pub struct AnswerArgs {
    /// The question, as 'status' names it.
    pub question: String,
    /// The answer; a secret one is read from the terminal or stdin instead. 'yes' or 'no' where consent is asked.
    pub value: Option<String>,
    /// Leave the question open, where it may be left open.
    #[arg(long, conflicts_with = "value")]
    pub leave_open: bool,
}

/// A site with everything a run needs.
pub struct Prepared {
    /// The site.
    pub project: Project,
    /// Its plan.
    pub plan: Plan,
    /// Its secrets.
    pub secrets: Secrets,
}

/// Opens the site, makes the plan, and asks for the secrets that are to be asked for.
///
/// # Errors
/// Every problem of the site.
pub fn prepare(common: &Common, setup: &Setup) -> Result<Prepared, Failure> {
    let project = setup.project(&common.site_file()?)?;
    let plan = setup.plan(&project)?;
    let mut prompted: BTreeMap<FieldId, SecretString> = BTreeMap::new();
    for field in setup.prompts(&project, &plan)? {
        if let Some(value) = ask_secret(&field) {
            prompted.insert(field, value);
        }
    }
    let secrets = setup.secrets(&project, &plan, &prompted)?;
    Ok(Prepared { project, plan, secrets })
}

/// `run` as plain lines or JSON.
///
/// # Errors
/// The selection does not fit, or the engine cannot start.
pub async fn run(args: &RunArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let selection = Selection { only: args.only.clone(), from: args.from.clone(), to: args.to.clone() };
    check_selection(&setup, &project, &plan, &selection, args)?;
    if !args.yes {
        super::retry::review_stale(common, &setup, &project, &plan, args.new)?;
        review(common, &plan)?;
    }
    let client = setup.open_run(&project, plan, secrets, args.new)?;
    for (phase, reason) in &args.skip {
        client.send(Command::Skip { phase: phase.clone(), reason: reason.clone() });
    }
    client.send(Command::Run(selection));
    finish(follow(client, common, beforehand(&setup)).await?)
}

/// Refuses before anything runs what cannot run.
fn check_selection(setup: &Setup, project: &Project, plan: &Plan, selection: &Selection, args: &RunArgs) -> Result<(), Failure> {
    let known: BTreeSet<&PhaseId> = plan.phases.iter().map(|phase| &phase.id).collect();
    for phase in args.skip.iter().map(|(phase, _)| phase) {
        if !known.contains(phase) {
            return Err(Failure::usage(format!("there is no phase '{phase}'; the phases are {}", phase_names(plan))));
        }
        if plan.phase(phase.as_str()).is_some_and(|phase| phase.skip.is_none()) {
            return Err(Failure::usage(format!("phase '{phase}' cannot be skipped: what follows does not work without it")));
        }
    }
    let found = if args.new { None } else { setup.last_run(&project.state()?)? };
    let state = match found {
        Some(found) => State { plan: plan.clone(), ..found.state },
        None => State::new(plan.clone()),
    };
    selected(&state, selection).map(|_| ()).map_err(Failure::usage)
}

/// The names of a plan's phases, for messages.
#[must_use]
pub fn phase_names(plan: &Plan) -> String {
    plan.phases.iter().map(|phase| phase.id.as_str()).collect::<Vec<_>>().join(", ")
}

fn review(common: &Common, plan: &Plan) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || common.json {
        return Err(Failure::usage("review the plan with 'mosip-setup plan --diff', then run with --yes"));
    }
    for phase in &plan.phases {
        let minutes = phase.expect_minutes.map(|(from, to)| format!(", {from} to {to} min")).unwrap_or_default();
        print(&format!("  {:<16} {}{minutes}\n", phase.id, phase.title))?;
    }
    match ask("Nothing has been touched so far. Start? Type yes:").as_deref().map(str::trim) {
        Some("yes") => Ok(()),
        _ => Err(Failure { exit: Exit::Stopped, message: "not started".into(), problems: Vec::new() }),
    }
}

/// `retry`.
///
/// # Errors
/// There is nothing to retry, or the engine cannot start.
pub async fn retry(args: &RetryArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let found =
        setup.last_run(&project.state()?)?.ok_or_else(|| Failure::usage("this site has no run yet: start one with 'mosip-setup run'"))?;
    let state = State { plan: plan.clone(), ..found.state };
    let command = super::retry::command(args, &state)?;
    super::retry::announce(common, &state)?;
    let client = setup.open_run(&project, plan, secrets, false)?;
    client.send(command);
    finish(follow(client, common, beforehand(&setup)).await?)
}

/// `skip`.
///
/// # Errors
/// The phase cannot be skipped, or the engine cannot start.
pub async fn skip(args: &SkipArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let Some(phase) = plan.phase(args.phase.as_str()) else {
        return Err(Failure::usage(format!("there is no phase '{}'; the phases are {}", args.phase, phase_names(&plan))));
    };
    let Some(meaning) = &phase.skip else {
        return Err(Failure::usage(format!("phase '{}' cannot be skipped: what follows does not work without it", args.phase)));
    };
    if !common.json {
        print(&format!("Skipping '{}' means: {meaning}\n", phase.title))?;
        let blocked: Vec<&str> = plan.dependents(&args.phase).iter().map(|phase| phase.id.as_str()).collect();
        if !blocked.is_empty() {
            print(&format!("These phases need it and are held back unless skipped too: {}\n", blocked.join(", ")))?;
        }
    }
    if !args.yes && std::io::stdin().is_terminal() && ask("Skip it? Type yes:").as_deref().map(str::trim) != Some("yes") {
        return Err(Failure { exit: Exit::Stopped, message: "not skipped".into(), problems: Vec::new() });
    }
    let client = setup.open_run(&project, plan, secrets, false)?;
    client.send(Command::Skip { phase: args.phase.clone(), reason: args.reason.clone() });
    client.send(Command::Settle);
    finish(follow(client, common, None).await?)
}

/// `answer`.
///
/// # Errors
/// There is no such question, or the engine cannot start.
pub async fn answer(args: &AnswerArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let found = setup.last_run(&project.state()?)?.ok_or_else(|| Failure::usage("this site has no run yet"))?;
    let Some(question) = found.state.questions.iter().find(|question| question.id == args.question) else {
        let open: Vec<&str> = found.state.questions.iter().map(|question| question.id.as_str()).collect();
        let open = if open.is_empty() { "none is open".to_owned() } else { format!("open: {}", open.join(", ")) };
        return Err(Failure::usage(format!("there is no open question '{}'; {open}", args.question)));
    };
    let answer = if args.leave_open {
        Answer::Open
    } else {
        match (&args.value, question.is_secret()) {
            (Some(_), true) => {
                return Err(Failure::usage("a secret does not stand in a command line: leave the value away and type it, or pipe it in"));
            }
            (Some(value), false) => Answer::Text(value.clone()),
            (None, secret) => match ask_for(question, secret) {
                Some(text) => Answer::Text(text),
                None => {
                    let mut text = String::new();
                    std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::usage(error.to_string()))?;
                    Answer::Text(text.trim_end_matches('\n').to_owned())
                }
            },
        }
    };
    let id = question.id.clone();
    let client = setup.open_run(&project, plan, secrets, false)?;
    client.send(Command::Answer { question: id, answer });
    finish(follow(client, common, beforehand(&setup)).await?)
}

/// Answers questions in the place of an operator.
pub type AutoAnswer<'a> = &'a (dyn Fn(&Question) -> Option<Answer> + Sync);

/// Follows a run on stdout. Questions go to `auto`, else to the terminal, else the run ends waiting. Ctrl-C asks what runs to end, a
/// second one kills it.
///
/// # Errors
/// The output is gone.
pub async fn follow(client: Client, common: &Common, auto: Option<AutoAnswer<'_>>) -> Result<Followed, Failure> {
    let format = if common.json { Format::Json } else { Format::Lines };
    let interactive = std::io::stdin().is_terminal() && !common.json;
    let mut on_halt = |client: &Client, state: &State, reason: StopReason| {
        let (StopReason::Waiting, Some(question)) = (reason, state.questions.last()) else { return false };
        let answer = match auto {
            Some(auto) => auto(question),
            None if interactive => ask_question(question),
            None => None,
        };
        let Some(answer) = answer else { return false };
        client.send(Command::Answer { question: question.id.clone(), answer });
        true
    };
    let stop = client.stopper();
    let signals = tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut now = false;
        loop {
            tokio::select! {
                result = tokio::signal::ctrl_c() => result?,
                _ = terminate.recv() => {}
            }
            stop(now);
            now = true;
        }
        #[expect(unreachable_code, reason = "gives the loop its error type")]
        Ok::<(), std::io::Error>(())
    });
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let followed = plain::follow(client, format, &mut out, &mut on_halt).await;
    signals.abort();
    Ok(followed?)
}

/// The answers of a rehearsal that has nobody to ask.
fn beforehand(setup: &Setup) -> Option<AutoAnswer<'static>> {
    setup.rehearsal.as_ref().filter(|rehearsal| rehearsal.answered).map(|_| &super::rehearse::answer as AutoAnswer<'static>)
}

fn ask_for(question: &Question, secret: bool) -> Option<String> {
    if !secret {
        return ask(&format!("{}:", question.text));
    }
    ask_secret(&question.id).map(|value| value.expose_secret().to_owned())
}

fn ask_question(question: &Question) -> Option<Answer> {
    let hint = match (question.optional(), question.takes_text()) {
        (Some(meaning), _) => format!(" (empty: leave it open: {meaning})"),
        (None, false) => " (yes or no)".to_owned(),
        (None, true) => String::new(),
    };
    note(&format!("{}{hint}", question.text));
    let text = ask_for(question, question.is_secret())?;
    Some(if text.trim().is_empty() && question.optional().is_some() { Answer::Open } else { Answer::Text(text) })
}

/// The exit code of a run that was followed, and a last word about it.
///
/// # Errors
/// The engine could not go on.
pub fn finish(followed: Followed) -> Outcome {
    if let Some(message) = followed.error {
        return Err(Failure { exit: Exit::CannotWrite, message, problems: Vec::new() });
    }
    if let Some(message) = followed.rejected {
        return Err(Failure::usage(message));
    }
    // What a check holds back is a preflight that failed; what a need holds back, a phase that cannot be done.
    let preflight = |state: &State| {
        let last = state.gates.values().max_by_key(|gate| gate.at);
        last.is_some_and(|gate| gate.held.is_none()) && state.running().is_none()
    };
    Ok(match followed.reason {
        StopReason::Idle => Exit::Done,
        StopReason::Failed => Exit::PhaseFailed,
        StopReason::Waiting => Exit::Waiting,
        StopReason::Blocked if followed.state.as_ref().is_some_and(preflight) => Exit::PreflightFailed,
        StopReason::Blocked => Exit::PhaseFailed,
        StopReason::Stopped => Exit::Stopped,
    })
}
