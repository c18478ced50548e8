//! Keys on the run screen: scrolling, searching, retrying, skipping, stopping.

use super::app::{Model, Screen};
use super::desk::Command;
use super::detail_pane::View;
use super::keymap::Action;
use super::popup::{EntryFor, Popup, Then};
use super::run::{Focus, Run, engine, refresh_log, retry};
use super::{failure, failure_view, layout, log_keys, popup_keys, review};
use ratatui::layout::Rect;

use crate::install::plan::PlanPhase;
use crate::run::machine::{self, Selection};
use crate::run::state::{PhaseState, State};

/// Does what a key on the run screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    if let Some(commands) = log_keys::act(model, action) {
        return commands;
    }
    let rows = layout::log_rows(model);
    let pane = layout::panel(model);
    let Some(run) = &mut model.run else { return Vec::new() };
    let page = rows.saturating_sub(1).max(1);
    if run.detail.shown() != View::Log && !run.full && !run.shows_failure() && scroll_detail(run, action, page) {
        model.dirty = true;
        return Vec::new();
    }
    if run.shows_failure() && !run.full && scroll_panel(run, action, page, pane) {
        model.dirty = true;
        return Vec::new();
    }
    let scrolls = run.full || run.focus == Focus::Log;
    match action {
        Action::ScrollUp => run.log.up(1),
        Action::ScrollDown => run.log.down(1, rows),
        Action::Up if scrolls => run.log.up(1),
        Action::Down if scrolls => run.log.down(1, rows),
        Action::PageUp => run.log.up(page),
        Action::PageDown => run.log.down(page, rows),
        Action::Home => run.log.home(),
        Action::Follow | Action::End => run.log.end(),
        Action::Wrap => run.log.wrap = Some(!run.wraps()),
        Action::Full => run.full = !run.full,
        Action::EarlierAttempt | Action::LaterAttempt => {
            if let Some((_, attempt, count)) = run.attempts() {
                let next = if action == Action::EarlierAttempt { attempt.saturating_sub(1).max(1) } else { (attempt + 1).min(count) };
                run.attempt = Some(next);
            }
        }
        Action::Turn => {
            run.detail.turn();
            run.log_first |= run.shows_failure();
        }
        Action::ToFailure => return log_keys::to_failure(model),
        Action::Copy => return copy(model),
        Action::CopyRemedy => return copy_remedy(model),
        Action::Back if run.full => run.full = false,
        _ => return steer(model, action),
    }
    let resized = matches!(action, Action::Full | Action::Back);
    refresh_log(model, resized)
}

/// Scrolls the panel of a failed phase; whether the key is one that scrolls.
fn scroll_panel(run: &mut Run, action: Action, page: usize, pane: Rect) -> bool {
    let most = failure_view::most_down(run, pane);
    let top = run.panel_top.min(most);
    run.panel_top = match action {
        Action::ScrollUp => top.saturating_sub(1),
        Action::ScrollDown => (top + 1).min(most),
        Action::PageUp => top.saturating_sub(page),
        Action::PageDown => (top + page).min(most),
        Action::Home => 0,
        Action::Follow | Action::End => most,
        _ => return false,
    };
    true
}

/// Scrolls what the step does in detail; whether the key is one that scrolls. Tasks are read from their end, the rest from its beginning.
fn scroll_detail(run: &mut Run, action: Action, page: usize) -> bool {
    let focus = run.focus == Focus::Log;
    let from_end = run.detail.shown() == View::Work && !run.detail.details.tasks.is_empty();
    let (up, lines) = match action {
        Action::ScrollUp => (true, 1),
        Action::ScrollDown => (false, 1),
        Action::Up if focus => (true, 1),
        Action::Down if focus => (false, 1),
        Action::PageUp => (true, page),
        Action::PageDown => (false, page),
        Action::Home => (true, usize::MAX),
        Action::Follow | Action::End => (false, usize::MAX),
        _ => return false,
    };
    let most = run.detail.details.tasks.len().max(run.detail.details.resources.len()).max(200);
    let scrolled = run.detail.scrolled;
    run.detail.scrolled = if up == from_end { scrolled.saturating_add(lines).min(most) } else { scrolled.saturating_sub(lines) };
    true
}

/// Whether a key does something as things stand: others are not offered below the screen.
#[must_use]
pub fn useful(run: &Run, action: Action) -> bool {
    let Some(state) = &run.state else { return false };
    let busy = run.is_busy();
    let gone = run.ended.is_some();
    let failed = run.failure().is_some();
    let log = run.attempts().is_some();
    let phase_state = run.phase().map(|phase| state.phase_state(phase));
    let asked = state.questions.iter().any(|question| run.phase().is_some_and(|phase| phase.id == question.step.phase));
    match action {
        Action::Stop => busy,
        Action::Retry | Action::RetryFromStart => !busy && !gone && failed,
        Action::Shell => !busy && failed,
        Action::RetryHosts => !busy && !gone && run.phase().is_some_and(|phase| state.failed_on_hosts(phase).is_some()),
        Action::Answers => !busy && !gone && !state.is_complete(),
        Action::Continue => !busy && !state.is_complete() && (gone || !failed),
        Action::Switch => !busy && !failed,
        Action::Skip => {
            let skippable = run.phase().is_some_and(|phase| phase.skip.is_some());
            let settled = phase_state.is_none_or(PhaseState::satisfies);
            !gone && skippable && !settled && (asked || phase_state != Some(PhaseState::Running))
        }
        Action::Enter => asked || matches!(run.focus, Focus::Failure(_)),
        Action::Full | Action::Search | Action::Wrap | Action::Copy | Action::Narrow | Action::Pager | Action::SaveLog | Action::Times => {
            log && (run.full || run.log_first || !failed)
        }
        Action::AllLines => run.log.filter.is_some(),
        Action::CopyRemedy => run.failure().is_some_and(|(_, failure)| failure.diagnoses.iter().any(|hit| !hit.commands.is_empty())),
        Action::Turn => run.detail.has_work() || run.detail.has_cluster(),
        Action::ToFailure => run.detail.details.failing().is_some(),
        Action::Follow => log && !run.log.follow,
        _ => true,
    }
}

fn copy_remedy(model: &mut Model) -> Vec<Command> {
    let failure = model.run.as_ref().and_then(|run| run.failure()).map(|(_, failure)| failure);
    let commands = failure.and_then(|failure| failure.diagnoses.into_iter().find(|hit| !hit.commands.is_empty())).map(|hit| hit.commands);
    let Some(commands) = commands else {
        model.say("No commands are known that would help");
        return Vec::new();
    };
    model.say("Copied to the terminal's clipboard, where the terminal allows it");
    vec![Command::Copy(commands.join("\n") + "\n")]
}

fn copy(model: &mut Model) -> Vec<Command> {
    let Some(run) = &model.run else { return Vec::new() };
    let text = match run.failure() {
        Some((step, failure)) if !run.full && !failure.command.is_empty() => failure::by_hand(run, &step, &failure),
        _ => run.log.window.lines.iter().map(|line| super::text::plain(&super::text::tame(&line.text)) + "\n").collect(),
    };
    model.say("Copied to the terminal's clipboard, where the terminal allows it");
    vec![Command::Copy(text)]
}

/// Keys that move the focus or ask something of the run.
fn steer(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    let has_failure = run.shows_failure();
    match (run.focus, action) {
        (Focus::Failure(at), Action::Left) => run.focus = Focus::Failure(at.saturating_sub(1)),
        (Focus::Failure(at), Action::Right) => run.focus = Focus::Failure((at + 1).min(failure::buttons(run).len() - 1)),
        (Focus::Failure(at), Action::Enter | Action::Toggle) if has_failure => {
            let chosen = failure::buttons(run).get(at).map_or(Action::Retry, |(_, action)| *action);
            return ask_of_run(model, chosen);
        }
        (Focus::Failure(_), Action::Back | Action::Up | Action::Previous) => run.focus = Focus::Phases,
        (Focus::Phases, Action::Next | Action::Right) => run.focus = if has_failure { Focus::Failure(0) } else { Focus::Log },
        (_, Action::Next | Action::Previous | Action::Back | Action::Left) => run.focus = Focus::Phases,
        (Focus::Phases, Action::Up | Action::Down) => {
            move_cursor(run, action == Action::Up);
            return refresh_log(model, false);
        }
        (Focus::Phases, Action::Enter | Action::Toggle) => {
            let phase = run.cursor.as_ref().map(|cursor| cursor.phase.clone());
            let open = run.state.as_ref().map(|state| state.questions.clone()).unwrap_or_default();
            if let Some(question) = open.iter().find(|question| Some(&question.step.phase) == phase.as_ref()) {
                popup_keys::ask(model, question);
            } else {
                run.focus = if has_failure { Focus::Failure(0) } else { Focus::Log };
            }
        }
        _ => return ask_of_run(model, action),
    }
    Vec::new()
}

fn move_cursor(run: &mut Run, up: bool) {
    let places = run.places();
    let at = run.cursor.as_ref().and_then(|cursor| places.iter().position(|place| place == cursor)).unwrap_or(0);
    let next = if up { at.saturating_sub(1) } else { (at + 1).min(places.len().saturating_sub(1)) };
    run.cursor = places.get(next).cloned();
    run.panel_top = 0;
    run.attempt = None;
    // Back on what runs, the cursor goes with it again.
    let running = run.state.as_ref().and_then(State::running).map(|(step, _)| step.clone());
    run.auto = match (&running, &run.cursor) {
        (Some(step), Some(cursor)) => cursor.step.as_ref() == Some(&step.step) && cursor.phase == step.phase,
        (None, _) => true,
        _ => false,
    };
}

fn ask_of_run(model: &mut Model, action: Action) -> Vec<Command> {
    let busy = model.run_is_busy();
    let Some(run) = &mut model.run else { return Vec::new() };
    let Some(phase) = run.phase().cloned() else { return Vec::new() };
    match action {
        Action::Continue if busy => model.say("The run goes on already"),
        // Its engine has ended: the next one takes up what runs, and goes on.
        Action::Continue if run.ended.is_some() => return review::open_run(model, true),
        Action::Continue => return ask_to_go_on(model),
        Action::Retry | Action::RetryFromStart | Action::RetryHosts | Action::Answers if busy => {
            model.complain("A step is running: stop it first (x), or wait until it has ended");
        }
        Action::Retry => return retry(model, phase.id, false),
        Action::RetryHosts => return failure::retry_hosts(model, &phase),
        Action::RetryFromStart => model.popups.push(Popup::confirm(
            "Run the whole phase again?",
            format!("All {} steps of \"{}\" run again, also those that succeeded.", phase.steps.len(), phase.title),
            &[("No", None, Then::Close), ("Run it again", Some('y'), Then::RetryFromStart(phase.id.clone()))],
        )),
        Action::Skip => ask_to_skip(model, &phase),
        Action::Answers => {
            model.screen = Screen::Site;
            model.say("Change answers, then Continue: the run goes on with the new ones");
        }
        Action::Shell => return failure::ask_for_shell(model, &phase),
        Action::Log => {
            run.log_first = !run.log_first;
            run.focus = if run.log_first { Focus::Log } else { Focus::Failure(0) };
            return refresh_log(model, true);
        }
        Action::Stop => ask_to_stop(model),
        Action::Switch => {
            model.screen = Screen::Summary;
            model.summary_top = 0;
        }
        _ => {}
    }
    Vec::new()
}

/// Goes on with what is not done; asks first where that means running something again because answers have changed.
fn ask_to_go_on(model: &mut Model) -> Vec<Command> {
    let stale = model.run.as_ref().and_then(|run| run.state.as_ref()).map(|state| state.stale_with(&state.plan)).unwrap_or_default();
    if stale.is_empty() {
        return go_on(model);
    }
    let list: Vec<String> = stale.iter().map(|(phase, reason)| format!("{phase}: {reason}")).collect();
    model.popups.push(Popup::confirm(
        "Run these phases again?",
        format!("They are done, but with other answers, and run again before what follows them:\n\n{}", list.join("\n")),
        &[("Not now", None, Then::Close), ("Go on", Some('y'), Then::GoOn)],
    ));
    Vec::new()
}

/// Goes on with what is not done.
pub fn go_on(model: &mut Model) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    run.auto = true;
    run.pushed = true;
    run.halted = None;
    vec![engine(machine::Command::Run(Selection::default()))]
}

fn ask_to_skip(model: &mut Model, phase: &PlanPhase) {
    let Some(state) = model.run.as_ref().and_then(|run| run.state.as_ref()) else { return };
    let phase_state = state.phase_state(phase);
    if phase_state.satisfies() {
        model.say(format!("\"{}\" is done: there is nothing to skip", phase.title));
        return;
    }
    if phase_state == PhaseState::Running && state.running().is_some_and(|(step, _)| step.phase == phase.id) && state.questions.is_empty() {
        model.complain(format!("\"{}\" is running: stop it first (x)", phase.title));
        return;
    }
    let Some(meaning) = &phase.skip else {
        model.complain(format!("\"{}\" cannot be skipped: what follows does not work without it", phase.title));
        return;
    };
    let dependents: Vec<&str> = state.plan.dependents(&phase.id).iter().map(|phase| phase.title.as_str()).collect();
    let blocked = if dependents.is_empty() {
        "No other phase needs it.".to_owned()
    } else {
        format!("These need it and will not run, unless skipped too: {}.", dependents.join("; "))
    };
    let text = format!("{meaning}\n{blocked}\nIt never counts as done. Why? Your name, the time and the reason are kept.");
    model.popups.push(Popup::entry(&format!("Skip \"{}\"", phase.title), text, "", EntryFor::Skip(phase.id.clone())));
}

/// Whether nothing holds the run but a question.
pub fn only_asks(model: &Model) -> bool {
    let state = model.run.as_ref().and_then(|run| run.state.as_ref());
    state.is_some_and(|state| state.at_work().is_none() && !state.questions.is_empty())
}

fn ask_to_stop(model: &mut Model) {
    if !model.run_is_busy() {
        model.say("Nothing is running");
        return;
    }
    if only_asks(model) {
        model.popups.push(Popup::confirm(
            "Stop the run?",
            "Nothing runs: the run waits for your answer. Stopped, it waits for nobody. The question stays open, and the run can go on later.",
            &[("Let it wait", None, Then::Close), ("Stop", Some('y'), Then::Stop { now: false })],
        ));
        return;
    }
    model.popups.push(Popup::confirm(
        "Stop the run?",
        "The step that runs is asked to end; Terraform may take some minutes to leave its state in order. What is done stays done, and the \
         run can go on later.\nKilling it now can leave a locked state or half-made resources behind.",
        &[
            ("Let it run", None, Then::Close),
            ("Stop", Some('y'), Then::Stop { now: false }),
            ("Kill it now", Some('K'), Then::Stop { now: true }),
        ],
    ));
}
