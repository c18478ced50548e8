//! The run: phases and steps, the log of one of them, what an operator asks of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::app::{Model, Screen};
use super::desk::{Command, EventsRead};
use super::detail_pane::{DetailPane, View};
use super::keymap::Context;
use super::log_pane::LogPane;
use super::popup::Popup;
use super::{layout, popup_keys, review};
use crate::engine::client::{Update, log_path};
use crate::install::ids::{PhaseId, StepId, StepRef};
use crate::install::plan::PlanPhase;
use crate::run::event::{Event, Failure, Outcome, Progress, Recorded, StopReason};
use crate::run::expect::History;
use crate::run::machine::{self, Selection};
use crate::run::state::{PhaseState, State};

/// The part of the screen that has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// Phases and steps.
    #[default]
    Phases,
    /// The log.
    Log,
    /// The panel of a failed phase, and which of its buttons.
    Failure(usize),
}

/// A line of the list: a phase, or a step of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The phase.
    pub phase: PhaseId,
    /// The step.
    pub step: Option<StepId>,
}

/// The run.
#[derive(Debug, Default)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What is known of it.
    pub state: Option<State>,
    /// Whether the history has been read.
    pub live: bool,
    /// Where running steps stand.
    pub progress: BTreeMap<StepRef, (u32, Progress)>,
    /// The line under the cursor.
    pub cursor: Option<Place>,
    /// Whether the cursor goes with what runs.
    pub auto: bool,
    /// What has the focus.
    pub focus: Focus,
    /// Whether a failed phase shows its log instead of the panel.
    pub log_first: bool,
    /// The log.
    pub log: LogPane,
    /// What the step does in detail.
    pub detail: DetailPane,
    /// How long past runs took.
    pub history: History,
    /// How far the panel of a failed phase is scrolled.
    pub panel_top: usize,
    /// The attempt shown, where it is not the last.
    pub attempt: Option<u32>,
    /// Whether the log has the whole screen.
    pub full: bool,
    /// Why nothing goes on.
    pub halted: Option<StopReason>,
    /// The engine has ended; with a reason where it was not asked to.
    pub ended: Option<Option<String>>,
    /// A command was sent that makes it go on.
    pub pushed: bool,
    /// Something has happened since this screen joined it.
    pub moved: bool,
}

impl Run {
    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        match self.focus {
            _ if self.full => Context::LogFull,
            Focus::Failure(_) if self.failure().is_some() => Context::Failure,
            _ => Context::Run,
        }
    }

    /// Whether a step is running or about to, or a question holds one.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let Some(state) = &self.state else { return false };
        if self.ended.is_some() || !self.live {
            return false;
        }
        // A closed run has nothing to come, also before the engine has said so.
        state.running().is_some() || (self.pushed && !state.closed)
    }

    /// The phase under the cursor.
    #[must_use]
    pub fn phase(&self) -> Option<&PlanPhase> {
        self.state.as_ref()?.plan.phase(self.cursor.as_ref()?.phase.as_str())
    }

    /// The step whose log is shown: the one under the cursor, else the running or the last begun one of the phase.
    #[must_use]
    pub fn step(&self) -> Option<StepRef> {
        let state = self.state.as_ref()?;
        let cursor = self.cursor.as_ref()?;
        if let Some(step) = &cursor.step {
            return Some(StepRef { phase: cursor.phase.clone(), step: step.clone() });
        }
        let phase = state.plan.phase(cursor.phase.as_str())?;
        let begun = state.steps_of(phase).filter_map(|(step, record)| Some((step, record?.started?)));
        begun.max_by_key(|(_, started)| *started).map(|(step, _)| step)
    }

    /// The failure of the phase under the cursor: the step and what is known.
    #[must_use]
    pub fn failure(&self) -> Option<(StepRef, Failure)> {
        let state = self.state.as_ref()?;
        let phase = self.phase()?;
        if !matches!(state.phase_state(phase), PhaseState::Failed | PhaseState::Interrupted | PhaseState::Stopped) {
            return None;
        }
        if let Some(gate) = state.gates.get(&phase.id) {
            let step = phase.steps.first().map(|step| StepRef { phase: phase.id.clone(), step: step.id.clone() })?;
            let failure = Failure {
                message: match gate.held {
                    None => "Checks that guard this phase do not pass.".into(),
                    Some(_) => gate.blocking.join("; "),
                },
                lines: if gate.held.is_none() { gate.blocking.clone() } else { Vec::new() },
                hint: match gate.held {
                    None => "Put them right, or ignore one in the preflight with a reason; then retry.".into(),
                    Some(_) => String::new(),
                },
                ..Failure::default()
            };
            return Some((step, failure));
        }
        state.steps_of(phase).find_map(|(step, record)| match record?.outcome.as_ref()? {
            Outcome::Failed(failure) => Some((step, failure.clone())),
            outcome @ (Outcome::Interrupted { .. } | Outcome::Stopped { .. }) => {
                Some((step, Failure { message: outcome.reason(), ..Failure::default() }))
            }
            _ => None,
        })
    }

    /// Whether the panel of a failed phase is shown.
    #[must_use]
    pub fn shows_failure(&self) -> bool {
        !self.log_first && self.failure().is_some()
    }

    /// Whether what the step does in detail stands below its log, where there is room.
    #[must_use]
    pub fn splits(&self) -> bool {
        !self.full && self.detail.shown() == View::Log && self.detail.has_work() && !self.shows_failure()
    }

    /// The lines of the list: all phases, and the steps of the one under the cursor and of those that run.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let Some(state) = &self.state else { return Vec::new() };
        let mut places = Vec::new();
        for phase in &state.plan.phases {
            places.push(Place { phase: phase.id.clone(), step: None });
            let open = self.cursor.as_ref().is_some_and(|cursor| cursor.phase == phase.id);
            if open || state.phase_state(phase) == PhaseState::Running {
                let shown = phase.steps.iter().filter(|step| {
                    let reference = StepRef { phase: phase.id.clone(), step: step.id.clone() };
                    !step.on_retry || state.step(&reference).is_some()
                });
                places.extend(shown.map(|step| Place { phase: phase.id.clone(), step: Some(step.id.clone()) }));
            }
        }
        places
    }

    /// The attempt whose log is shown, and how many there were.
    #[must_use]
    pub fn attempts(&self) -> Option<(StepRef, u32, u32)> {
        let step = self.step()?;
        let count = self.state.as_ref()?.step(&step).map_or(0, |record| record.attempts);
        (count > 0).then(|| (step, self.attempt.unwrap_or(count).clamp(1, count), count))
    }

    /// Whether long lines of the log are wrapped. Beside the phases what comes in is read line by line, so they are cut, until somebody
    /// scrolls back to read one.
    #[must_use]
    pub fn wraps(&self) -> bool {
        self.log.wrap.unwrap_or(self.full || !self.log.follow)
    }

    fn follow_event(&mut self, event: &Recorded) {
        match &event.event {
            Event::StepStarted { step, .. } if self.auto => {
                self.cursor = Some(Place { phase: step.phase.clone(), step: Some(step.step.clone()) });
                self.attempt = None;
                self.log_first = false;
                if matches!(self.focus, Focus::Failure(_)) {
                    self.focus = Focus::Phases;
                }
            }
            Event::StepFinished { step, outcome, .. } => {
                self.progress.remove(step);
                if self.auto && !outcome.is_success() {
                    self.panel_top = 0;
                    self.cursor = Some(Place { phase: step.phase.clone(), step: None });
                    self.focus = Focus::Failure(0);
                    self.log_first = false;
                }
            }
            Event::Gate { phase, open: false, .. } if self.auto => {
                self.cursor = Some(Place { phase: phase.clone(), step: None });
                self.focus = Focus::Failure(0);
                self.log_first = false;
            }
            _ => {}
        }
    }
}

/// A command to the engine.
#[must_use]
pub fn engine(command: machine::Command) -> Command {
    Command::Engine(Box::new(command))
}

/// The shell holds a client of a run.
pub fn joined(model: &mut Model, folder: PathBuf) -> Vec<Command> {
    model.busy = None;
    model.screen = Screen::Run;
    model.run = Some(Run { folder: folder.clone(), auto: true, log: LogPane::new(), ..Run::default() });
    vec![Command::LoadHistory { run: folder }]
}

/// The engine tells something.
pub fn updated(model: &mut Model, update: Update) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    model.dirty = true;
    let mut commands = Vec::new();
    match update {
        Update::Event(event) => {
            let folded = match &mut run.state {
                Some(state) => state.apply(&event),
                None => State::open(&event).map(|state| run.state = Some(state)),
            };
            if let Err(error) = folded {
                model.complain(format!("The journal cannot be followed: {error}"));
                return Vec::new();
            }
            if matches!(event.event, Event::StepStarted { .. }) {
                run.halted = None;
            }
            run.follow_event(&event);
            run.moved |= run.live;
            if run.live {
                let open = run.state.as_ref().map(|state| state.questions.clone()).unwrap_or_default();
                popup_keys::close_answered(model, &open);
                if let Event::QuestionAsked { question } = &event.event {
                    popup_keys::raise(model, question);
                    commands.push(Command::Notify(question.text.clone()));
                }
            }
        }
        Update::Past { state, turn } => {
            run.state = Some(*state);
            if let Some(event) = turn {
                run.follow_event(&event);
            }
        }
        Update::Live => commands.extend(live(model)),
        Update::Accepted(_) => {}
        Update::Progress { step, attempt, progress } => {
            run.progress.insert(step, (attempt, progress));
        }
        Update::Rejected(reason) => {
            run.pushed = run.state.as_ref().is_some_and(|state| state.running().is_some());
            match model.popups.last_mut() {
                Some(Popup::Question(asked)) => asked.problem = Some(reason),
                _ => model.complain(reason),
            }
        }
        Update::Halted(reason) => commands.extend(halted(model, reason)),
        // Said once; that the channel closes afterwards is no news.
        Update::Ended(_) if run.ended.is_some() => {}
        Update::Ended(reason) => {
            run.pushed = false;
            if let Some(reason) = &reason {
                commands.push(Command::Notify(reason.clone()));
            }
            run.ended = Some(reason);
            if run.state.as_ref().is_some_and(|state| state.handed_over) {
                // The next engine is about to begin: this screen goes on with it.
                model.review.living = true;
                commands.extend(review::open_run(model, false));
            }
        }
    }
    // While the history comes in, no log is worth reading.
    if model.run.as_ref().is_some_and(|run| run.live) {
        commands.extend(refresh_log(model, false));
    }
    commands
}

fn live(model: &mut Model) -> Vec<Command> {
    let begin = std::mem::take(&mut model.review.begin);
    let Some(run) = &mut model.run else { return Vec::new() };
    run.live = true;
    let Some(state) = &run.state else { return Vec::new() };
    if run.cursor.is_none() {
        let interesting = |phase: &&PlanPhase| !state.phase_state(phase).is_settled();
        let first = state.plan.phases.iter().find(interesting).or(state.plan.phases.first());
        run.cursor = first.map(|phase| Place { phase: phase.id.clone(), step: None });
    }
    if run.failure().is_some() {
        run.focus = Focus::Failure(0);
    }
    if state.is_complete() && !begin {
        model.screen = Screen::Summary;
        model.summary_top = 0;
    }
    let open = state.questions.clone();
    let replan = match &model.review.plan {
        Some(plan) if *plan != state.plan => {
            Some(machine::Command::Replan { plan: Box::new(plan.clone()), changed: review::changed(&state.plan, plan) })
        }
        _ => None,
    };
    let mut commands = Vec::new();
    if begin {
        run.pushed = true;
        commands.extend(replan.map(engine));
        commands.push(engine(machine::Command::Run(Selection::default())));
    }
    for question in &open {
        popup_keys::raise(model, question);
    }
    commands
}

fn halted(model: &mut Model, reason: StopReason) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    // How it stood when this screen joined it is on the screen already.
    let news = run.pushed || run.halted.is_some() || run.moved;
    run.halted = Some(reason);
    run.pushed = false;
    if let Some(state) = &mut run.state {
        state.idle = true;
    }
    let complete = run.state.as_ref().is_some_and(State::is_complete);
    let mut commands = Vec::new();
    if !run.live || !news {
        return commands;
    }
    match reason {
        StopReason::Idle if complete => {
            model.screen = Screen::Summary;
            model.summary_top = 0;
            commands.push(Command::Notify("The installation is done".into()));
        }
        StopReason::Failed => commands.push(Command::Notify("A phase failed".into())),
        StopReason::Blocked => commands.push(Command::Notify("A phase cannot begin".into())),
        StopReason::Idle | StopReason::Waiting | StopReason::Stopped => {}
    }
    commands
}

/// Brings the log pane to what the cursor is on, and asks for a window where one is due.
pub fn refresh_log(model: &mut Model, again: bool) -> Vec<Command> {
    let rows = layout::log_rows(model);
    let Some(run) = &mut model.run else { return Vec::new() };
    match run.attempts() {
        Some((step, attempt, _)) => {
            let path = log_path(&run.folder, &step, attempt);
            let running = run.state.as_ref().and_then(|state| state.step(&step)).is_some_and(|record| record.is_running());
            let of = (step, attempt);
            let ended = run.log.of.as_ref() == Some(&of) && !running && run.log.window.size == 0;
            run.detail.show(Some(of.clone()), &path);
            run.log.show(Some(of), path);
            if running || ended {
                run.log.grown();
                run.detail.grown();
            }
        }
        None => {
            run.detail.show(None, Path::new(""));
            run.log.show(None, PathBuf::new());
        }
    }
    if again {
        run.log.again();
    }
    run.log.requests(rows).into_iter().chain(run.detail.request()).collect()
}

/// Events of an attempt came.
pub fn events_arrived(model: &mut Model, ticket: u64, read: &EventsRead) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    if run.detail.arrived(ticket, read) {
        model.dirty = true;
    }
    run.detail.request().into_iter().collect()
}

/// It is known how long past runs took.
pub fn history_arrived(model: &mut Model, history: History) -> Vec<Command> {
    if let Some(run) = &mut model.run {
        run.history = history;
        model.dirty = true;
    }
    Vec::new()
}

/// Runs a phase again.
pub fn retry(model: &mut Model, phase: PhaseId, from_start: bool) -> Vec<Command> {
    again(model, machine::Command::Retry { phase, from_start, step: None, failed_hosts: false })
}

/// Runs part of a phase again.
pub fn again(model: &mut Model, command: machine::Command) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    run.auto = true;
    run.pushed = true;
    run.halted = None;
    vec![engine(command)]
}

/// Goes on without a phase.
pub fn skip(model: &mut Model, phase: PhaseId, reason: String) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    run.auto = true;
    run.focus = Focus::Phases;
    vec![engine(machine::Command::Skip { phase, reason })]
}
