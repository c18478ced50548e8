//! What an operator does with a log: search, filter, jump, copy, page; and what comes of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::app::Model;
use super::desk::{Command, IndexFor, LogWindow, Trouble};
use super::detail_pane::View;
use super::keymap::Action;
use super::layout;
use super::popup::{EntryFor, Popup};
use super::run::{Focus, Run, refresh_log};
use crate::adapters::logs::pattern::Pattern;
use crate::adapters::logs::scan::Matches;

/// Does what a key means that is about the log alone; none: it is about something else.
pub fn act(model: &mut Model, action: Action) -> Option<Vec<Command>> {
    let beside = model.site_path().parent().map(std::path::Path::to_owned).unwrap_or_default();
    let run = model.run.as_mut()?;
    let log = &mut run.log;
    // Beside the phases the arrows are for the log where it has the focus.
    let arrows = run.full || (run.focus == Focus::Log && run.detail.shown() == View::Log);
    let commands = match action {
        Action::Search => {
            let before = log.search.as_ref().map(|found| found.pattern.text().to_owned()).unwrap_or_default();
            let text = "A regular expression. Without upper-case letters the case does not count. Nothing: what is marked is no more.";
            model.popups.push(Popup::entry("Search the log", text, &before, EntryFor::LogSearch));
            Vec::new()
        }
        Action::Narrow => {
            let before = log.filter.as_ref().map(|found| found.pattern.text().to_owned()).unwrap_or_default();
            let text = "Only lines that match this regular expression are shown. Without upper-case letters the case does not count. Nothing: all lines.";
            model.popups.push(Popup::entry("Show only lines with", text, &before, EntryFor::LogFilter));
            Vec::new()
        }
        Action::AllLines => return Some(filter(model, None)),
        Action::FindNext | Action::FindPrevious => match log.search.as_ref().map(|found| found.pattern.clone()) {
            Some(pattern) => {
                let what = format!("/{}", pattern.text());
                log.seek(pattern, what, action == Action::FindNext).into_iter().collect()
            }
            None => return act(model, Action::Search),
        },
        Action::NextError | Action::PreviousError => jump(run, Pattern::errors(), "error", action == Action::NextError),
        Action::NextChange | Action::PreviousChange => jump(run, Pattern::changes(), "change", action == Action::NextChange),
        Action::Times => {
            log.times = !log.times;
            log.again();
            refresh_log(model, false)
        }
        Action::FurtherRight | Action::FurtherLeft => {
            log.sideways(action == Action::FurtherRight);
            Vec::new()
        }
        Action::Right if arrows => {
            log.sideways(true);
            Vec::new()
        }
        Action::Left if arrows && (log.left > 0 || run.full) => {
            log.sideways(false);
            Vec::new()
        }
        Action::SaveLog => {
            let Some((step, attempt, _)) = run.attempts() else { return Some(Vec::new()) };
            let path = beside.join(format!("{}.{}-{attempt}.log", step.phase, step.step));
            let what = if run.log.filter.is_some() { "the lines that are shown" } else { "the whole log" };
            let text = format!(
                "Copies {what} into a new file for you alone (0600), without colours. As the tools wrote it, it lies in {}",
                run.log.path.display()
            );
            model.popups.push(Popup::entry("Copy the log to a file", text, &path.display().to_string(), EntryFor::LogFile));
            Vec::new()
        }
        Action::Pager => log.page().into_iter().collect(),
        Action::Back if log.searching.is_some() => {
            log.searching = None;
            model.say("The search was called off");
            vec![Command::CancelSearch]
        }
        Action::Back if run.full && log.filter.is_some() => return Some(filter(model, None)),
        _ => return None,
    };
    Some(commands)
}

/// Shows the log, where something else stands in its place.
fn show(run: &mut Run) {
    run.detail.view = View::Log;
    if run.shows_failure() {
        run.log_first = true;
        run.focus = Focus::Log;
    }
}

fn jump(run: &mut Run, pattern: Option<Pattern>, what: &str, forward: bool) -> Vec<Command> {
    show(run);
    pattern.and_then(|pattern| run.log.seek(pattern, what.to_owned(), forward)).into_iter().collect()
}

/// What is wrong with a pattern that is being typed.
#[must_use]
pub fn problem(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Pattern::read(text).err() }
}

/// Searches the log for what was typed.
pub fn search(model: &mut Model, text: &str) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    let pattern = if text.is_empty() { None } else { Pattern::read(text).ok() };
    show(run);
    run.log.set_search(pattern.clone());
    let Some(pattern) = pattern else { return Vec::new() };
    // From the end it goes backwards: what just happened matters most.
    let forward = !run.log.follow;
    run.log.hit = None;
    let mut commands: Vec<Command> = run.log.seek(pattern, format!("/{text}"), forward).into_iter().collect();
    commands.extend(refresh_log(model, false));
    commands
}

/// Shows lines alone that have a pattern, or all of them again.
pub fn filter(model: &mut Model, text: Option<&str>) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    let pattern = text.filter(|text| !text.is_empty()).and_then(|text| Pattern::read(text).ok());
    show(run);
    run.log.set_filter(pattern);
    refresh_log(model, false)
}

/// Copies the log to where was typed.
pub fn save(model: &mut Model, path: PathBuf) -> Vec<Command> {
    let command = model.run.as_ref().and_then(|run| run.log.save(path));
    if command.is_some() {
        model.say("Copying the log");
    }
    command.into_iter().collect()
}

/// Goes to the place in the log where the failing cell's failure is printed.
pub fn to_failure(model: &mut Model) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    let Some((row, host, cell)) = run.detail.details.failing() else {
        model.say("No task of this attempt has failed");
        return Vec::new();
    };
    let said = format!("{} on {host}", row.name);
    let (offset, begins) = cell.printed.clone().unwrap_or((0, format!("[{host}")));
    run.log_first = true;
    run.focus = Focus::Log;
    run.detail.view = View::Log;
    let pattern = Pattern::literal(&begins);
    run.log.set_filter(None);
    run.log.set_search(pattern.clone());
    let command = pattern.and_then(|pattern| run.log.seek_from(pattern, said.clone(), (offset, false), true));
    model.say(said);
    command.into_iter().collect()
}

/// A window of a log came; whether it changed what is shown.
pub fn arrived(model: &mut Model, ticket: u64, window: Result<LogWindow, Trouble>) -> (bool, Vec<Command>) {
    let Some(run) = &mut model.run else { return (false, Vec::new()) };
    let changed = run.log.arrived(ticket, window.map_err(|trouble| trouble.message));
    // Nothing else: to ask for the end again at once would be to read without a pause.
    (changed, run.log.index_requests())
}

/// More is known of the lines that are wanted.
pub fn indexed(model: &mut Model, ticket: u64, purpose: IndexFor, known: Arc<Matches>, ended: Option<Result<(), Trouble>>) -> Vec<Command> {
    let rows = layout::log_rows(model);
    let Some(run) = &mut model.run else { return Vec::new() };
    if !run.log.indexed(ticket, purpose, known, ended.is_some()) {
        return Vec::new();
    }
    model.dirty = true;
    if let Some(Err(trouble)) = ended {
        model.complain(trouble.message);
        return Vec::new();
    }
    run.log.requests(rows)
}

/// A search is so far.
pub fn searching(model: &mut Model, ticket: u64, at: u64) {
    if model.run.as_mut().is_some_and(|run| run.log.is_at(ticket, at)) {
        model.dirty = true;
    }
}

/// A search in a log ended.
pub fn found(model: &mut Model, ticket: u64, found: Result<Option<u64>, Trouble>) -> Vec<Command> {
    let Some(run) = &mut model.run else { return Vec::new() };
    let Some(what) = run.log.found(ticket, found.as_ref().ok().copied().flatten()) else { return Vec::new() };
    model.dirty = true;
    match found {
        Ok(Some(_)) => {}
        Ok(None) if what.starts_with('/') => model.say(format!("No further line matches {what}")),
        Ok(None) => model.say(format!("No further {what} in this direction")),
        Err(trouble) => model.complain(trouble.message),
    }
    refresh_log(model, false)
}

/// The log was copied, or not.
pub fn saved(model: &mut Model, result: Result<(PathBuf, u64), Trouble>) {
    match result {
        Ok((path, lines)) => model.say(format!("{lines} lines are in {} (0600)", path.display())),
        Err(trouble) => model.popups.push(Popup::trouble("The log was not copied", &trouble)),
    }
}
