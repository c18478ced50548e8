//! `run`, `retry`, `skip`, `answer`: start or go on with a run, in the engine that the site has, or in one of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};

use clap::Args;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};

use super::asking::{AtTerminal, AutoAnswer, ask, ask_for, ask_secret};
use super::common::{Common, Failure, Outcome, note, print};
use crate::adapters::logout;
use crate::adapters::project::Project;
use crate::adapters::secrets::Secrets;
use crate::engine::client::{Client, Update};
use crate::engine::driver::EngineError;
use crate::engine::opening::{Opened, Opening};
use crate::engine::setup::{Setup, selected};
use crate::exit::Exit;
use crate::install::ids::{FieldId, PhaseId};
use crate::install::plan::Plan;
use crate::plain::{self, Followed, Format, Past, Showing};
use crate::run::event::StopReason;
use crate::run::machine::{Command, Selection};
use crate::run::question::Answer;
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
    /// Keep the engine in this process, not in the background: it ends with it. Ctrl-C asks once and stops the run the second time.
    #[arg(long)]
    pub foreground: bool,
    /// Let this program take over from an engine that lives. What runs goes on; it is recorded.
    #[arg(long, conflicts_with = "new")]
    pub take_over: bool,
}

impl RunArgs {
    /// Whether the run is to be watched in the full screen: on a terminal, unless lines are asked for or only part of the plan is to run.
    #[must_use]
    pub fn wants_screen(&self, common: &Common) -> bool {
        let partial = self.is_partial() || self.new || self.foreground || self.take_over;
        !self.plain && !self.yes && !common.json && !partial && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    fn is_partial(&self) -> bool {
        !self.only.is_empty() || self.from.is_some() || self.to.is_some() || !self.skip.is_empty()
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

/// Opens the site, makes the plan, and asks for the secrets that are to be asked for; an engine that lives has been given them.
///
/// # Errors
/// Every problem of the site.
pub fn prepare(common: &Common, setup: &Setup) -> Result<Prepared, Failure> {
    let project = setup.project(&common.site_file()?)?;
    let plan = setup.plan(&project)?;
    if setup.is_held(&project)? {
        let secrets = setup.known_secrets(&project, &plan)?;
        return Ok(Prepared { project, plan, secrets });
    }
    let mut prompted: BTreeMap<FieldId, SecretString> = BTreeMap::new();
    for field in setup.prompts(&project, &plan)? {
        if let Some(value) = ask_secret(&field) {
            prompted.insert(field, value);
        }
    }
    let secrets = setup.secrets(&project, &plan, &prompted)?;
    Ok(Prepared { project, plan, secrets })
}

/// What an engine at work is told that has no time for something else.
fn busy(opened: &Opened) -> Failure {
    EngineError::Held { pid: opened.client.engine().pid }.into()
}

/// `run` as plain lines or JSON.
///
/// # Errors
/// The selection does not fit, or the engine cannot start.
pub async fn run(args: &RunArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let Prepared { project, plan, secrets } = prepare(common, &setup)?;
    let selection = Selection { only: args.only.clone(), from: args.from.clone(), to: args.to.clone() };
    let (state, phases) = check_selection(&setup, &project, &plan, &selection, args)?;
    super::retry::review_stale(common, &setup, &project, &plan, args.new)?;
    if !args.yes {
        review(common, &state, &phases)?;
    }
    warn_of_logout(args.foreground);
    if let Some(trouble) = setup.catalogue_trouble(&project) {
        note(&trouble);
    }
    let opening = Opening { new: args.new, foreground: args.foreground, take_over: args.take_over };
    let opened = setup.open_run(&project, plan, secrets, opening).await?;
    if opened.client.engine().working && opened.joined {
        if args.is_partial() {
            return Err(busy(&opened));
        }
        note(&format!("a run is going on already, in process {}: this is it", opened.client.engine().pid));
        return finish(follow(opened, common, beforehand(&setup), true).await?);
    }
    if opened.joined {
        // What an earlier command selected does not go on by a skip.
        opened.client.send(Command::Settle);
    }
    for (phase, reason) in &args.skip {
        opened.client.send(Command::Skip { phase: phase.clone(), reason: reason.clone() });
    }
    opened.client.send(Command::Run(selection));
    finish(follow(opened, common, beforehand(&setup), false).await?)
}

/// Says beforehand where the system would end the engine when its user logs out.
fn warn_of_logout(foreground: bool) {
    if let (Some(warning), false) = (logout::warning(), foreground) {
        note(&warning.to_string());
    }
}

/// Refuses before anything runs what cannot run; gives how the run stands, and the phases that would run.
fn check_selection(
    setup: &Setup,
    project: &Project,
    plan: &Plan,
    selection: &Selection,
    args: &RunArgs,
) -> Result<(State, Vec<PhaseId>), Failure> {
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
    let mut phases = selected(&state, selection).map_err(Failure::usage)?;
    phases.retain(|phase| args.skip.iter().all(|(skipped, _)| skipped != phase));
    Ok((state, phases))
}

/// The names of a plan's phases, for messages.
#[must_use]
pub fn phase_names(plan: &Plan) -> String {
    plan.phases.iter().map(|phase| phase.id.as_str()).collect::<Vec<_>>().join(", ")
}

fn review(common: &Common, state: &State, phases: &[PhaseId]) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || common.json {
        return Err(Failure::usage("review the plan with 'mosip-setup plan --diff', then run with --yes"));
    }
    for phase in phases.iter().filter_map(|phase| state.plan.phase(phase.as_str())) {
        let minutes = phase.expect_minutes.map(|(from, to)| format!(", {from} to {to} min")).unwrap_or_default();
        print(&format!("  {:<16} {}{minutes}\n", phase.id, phase.title))?;
    }
    let settled = state.plan.phases.iter().filter(|phase| state.phase_state(phase).is_settled()).count();
    let words = if state.begun().next().is_none() {
        "Nothing has been touched so far. Start? Type yes:".to_owned()
    } else {
        format!("{settled} of {} phases are settled. Go on with these? Type yes:", state.plan.phases.len())
    };
    match ask(&words).as_deref().map(str::trim) {
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
    let opened = setup.open_run(&project, plan, secrets, Opening::default()).await?;
    if opened.client.engine().working && opened.joined {
        return Err(busy(&opened));
    }
    opened.client.send(command);
    finish(follow(opened, common, beforehand(&setup), false).await?)
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
    let opened = setup.open_run(&project, plan, secrets, Opening::default()).await?;
    let command = Command::Skip { phase: args.phase.clone(), reason: args.reason.clone() };
    if opened.client.engine().working && opened.joined {
        // What runs goes on; when its turn comes, the phase is passed over.
        tell(opened.client, command).await?;
        note("it is recorded; the run goes on: mosip-setup attach");
        return Ok(Exit::Done);
    }
    // Nothing starts by this: neither before nor after.
    opened.client.send(Command::Settle);
    opened.client.send(command);
    opened.client.send(Command::Settle);
    finish(follow(opened, common, None, false).await?)
}

/// Sends one command and waits until it was taken in; then lets go of the engine.
///
/// # Errors
/// The command cannot be followed, or the engine ended.
pub async fn tell(mut client: Client, command: Command) -> Result<(), Failure> {
    let number = client.send(command);
    loop {
        match client.next().await {
            Some(Update::Accepted(taken)) if taken == number => {
                let mut rest = client.close();
                while rest.recv().await.is_some() {}
                return Ok(());
            }
            Some(Update::Rejected(message)) => return Err(Failure::usage(message)),
            Some(Update::Ended(Some(message))) => return Err(Failure { exit: Exit::CannotWrite, message, problems: Vec::new() }),
            Some(Update::Ended(None)) | None => return Err(Failure::usage("the engine ended before it heard of this; say it again")),
            _ => {}
        }
    }
}

/// `answer`.
///
/// # Errors
/// There is no such question, or the engine cannot start.
pub async fn answer(args: &AnswerArgs, common: &Common) -> Outcome {
    let setup = common.setup()?;
    let project = setup.project(&common.site_file()?)?;
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
            (None, _) => match ask_for(question) {
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
    let opened = match (prepare(common, &setup), setup.join(&project.state()?)?) {
        (Ok(Prepared { project, plan, secrets }), _) => setup.open_run(&project, plan, secrets, Opening::default()).await?,
        (Err(failure), Some(client)) => {
            note(&format!("the run goes on with the answers it has; the site file as it is now cannot be used: {}", failure.message));
            Opened { client, joined: true, own: None }
        }
        (Err(failure), None) => return Err(failure),
    };
    opened.client.send(Command::Answer { question: id, answer });
    finish(follow(opened, common, beforehand(&setup), false).await?)
}

/// Follows a run on stdout until it halts. Questions go to `auto`, else to the terminal, else the run is left waiting. With `as_it_stands`
/// a run that stands still is not waited for.
///
/// Ctrl-C leaves a run in the background going. Where the engine lives in this process it asks, then stops what runs, then kills it.
///
/// # Errors
/// The output is gone.
pub async fn follow(opened: Opened, common: &Common, auto: Option<AutoAnswer<'_>>, as_it_stands: bool) -> Result<Followed, Failure> {
    // What the engine that was started for this has found at its start belongs to what is shown: how a step of an earlier one ended.
    let past = if opened.joined { Past::Nothing } else { Past::Since(opened.client.engine().pid) };
    let showing = Showing { format: format(common), past, as_it_stands };
    watch(opened, common, auto, showing).await
}

fn format(common: &Common) -> Format {
    if common.json { Format::Json } else { Format::Lines }
}

/// The same, showing what is asked for.
///
/// # Errors
/// The output is gone.
pub async fn watch(opened: Opened, common: &Common, auto: Option<AutoAnswer<'_>>, showing: Showing) -> Result<Followed, Failure> {
    let Opened { mut client, own, .. } = opened;
    let interactive = std::io::stdin().is_terminal() && !common.json;
    // Who only watches waits for somebody else to answer.
    let (mut operator, mut given_up) = AtTerminal::new(auto, interactive, showing.past == Past::Whole);
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let signals = if own.is_some() { tokio::spawn(stop_on_signals(client.commander())) } else { tokio::spawn(leave_on_signals(leave)) };
    let leave = async {
        tokio::select! {
            // Without a sender it is never left.
            Ok(()) = left => None,
            Some(()) = given_up.recv() => Some(StopReason::Waiting),
            else => std::future::pending().await,
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let followed = plain::follow(&mut client, showing, &mut out, &mut operator, leave).await;
    drop(operator);
    signals.abort();
    let failed = match own {
        Some(own) => own.end().await,
        None => None,
    };
    let mut followed = followed?;
    if !followed.left {
        plain::let_go(client, showing.format, &mut out, &mut followed).await?;
    }
    followed.error = followed.error.or(failed);
    Ok(followed)
}

/// Ctrl-C while the engine lives in this process: it asks, then it stops what runs, then it kills it. SIGTERM does not ask.
async fn stop_on_signals(send: impl Fn(Command)) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut count = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => count += 1,
            _ = terminate.recv() => count = (count + 1).max(2),
        }
        match count {
            1 => note("Ctrl-C again stops the run: what runs is asked to end, and the run can go on later"),
            2 => {
                note("stopping: what runs is asked to end. Once more kills it");
                send(Command::Stop { now: false });
            }
            _ => send(Command::Stop { now: true }),
        }
    }
}

/// Ctrl-C or SIGTERM while the engine lives in the background: the run goes on.
async fn leave_on_signals(leave: tokio::sync::oneshot::Sender<()>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = leave.send(());
    // An output that nobody takes holds up whoever writes to it.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    note(LEFT);
    std::process::exit(Exit::Stopped.code().into())
}

/// What is said when a run in the background is no longer watched.
const LEFT: &str = "the run goes on in the background. Watch it: mosip-setup attach; stop it: mosip-setup stop";

/// The answers of a rehearsal that has nobody to ask.
fn beforehand(setup: &Setup) -> Option<AutoAnswer<'static>> {
    setup.rehearsal.as_ref().filter(|rehearsal| rehearsal.answered).map(|_| &super::rehearse::answer as AutoAnswer<'static>)
}

/// The exit code of a run that was followed, and a last word about it.
///
/// # Errors
/// The engine could not go on.
pub fn finish(followed: Followed) -> Outcome {
    if followed.left {
        note(LEFT);
        return Ok(Exit::Stopped);
    }
    if followed.state.as_ref().is_some_and(|state| state.handed_over) {
        let message = "another engine took over; the run goes on there: mosip-setup attach".to_owned();
        return Err(Failure { exit: Exit::Busy, message, problems: Vec::new() });
    }
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
