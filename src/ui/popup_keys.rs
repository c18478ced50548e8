//! Keys in popups, and what is done with what they ask for.

use std::path::PathBuf;

use crossterm::event::KeyEvent;
use secrecy::SecretString;

use super::app::{Model, Next, leave};
use super::desk::Command;
use super::keymap::Action;
use super::popup::{Asked, EntryFor, Popup, Then};
use super::{advanced, failure, fix, form, host_keys, import, log_keys, machines, preflight, review, run, run_keys, start};
use crate::adapters::ignores;
use crate::install::field::Field;
use crate::run::machine;
use crate::run::question::{Answer, Question};

/// Does what a key in the topmost popup means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = usize::from(model.size.1 / 2);
    let Some(popup) = model.popups.last_mut() else { return Vec::new() };
    match popup {
        Popup::Fetching => return Vec::new(),
        Popup::Help { top, .. } => match action {
            Action::Up => *top = top.saturating_sub(1),
            Action::Down => *top += 1,
            Action::PageUp => *top = top.saturating_sub(page),
            Action::PageDown => *top += page,
            Action::Home => *top = 0,
            Action::Back => drop(model.popups.pop()),
            _ => {}
        },
        Popup::Confirm { buttons, selected, top, .. } => match action {
            Action::PageUp => *top = top.saturating_sub(page),
            Action::PageDown => *top += page,
            Action::Left => *selected = selected.saturating_sub(1),
            Action::Right => *selected = (*selected + 1).min(buttons.len() - 1),
            Action::Enter | Action::Toggle => {
                let then = buttons[*selected].then.clone();
                return press(model, then);
            }
            Action::Yes | Action::StopNow => {
                let letter = if action == Action::Yes { 'y' } else { 'K' };
                let then = buttons.iter().find(|button| button.letter == Some(letter)).map(|button| button.then.clone());
                return then.map(|then| press(model, then)).unwrap_or_default();
            }
            Action::Back => drop(model.popups.pop()),
            _ => {}
        },
        Popup::Entry(_) => match action {
            Action::Enter => return take(model),
            Action::Back => {
                model.popups.pop();
                model.review.prompted.clear();
            }
            _ => {}
        },
        Popup::Secret { field, selected, set } => match action {
            Action::Up | Action::Previous => *selected = selected.saturating_sub(1),
            Action::Down | Action::Next => *selected = (*selected + 1).min(if *set { 4 } else { 3 }),
            Action::Enter | Action::Toggle => {
                let (field, selected) = (field.clone(), *selected);
                model.popups.pop();
                secret_way(model, &field, selected);
            }
            Action::Back => drop(model.popups.pop()),
            _ => {}
        },
        Popup::Roles { machine, selected } => {
            let last = model.site.as_ref().map_or(0, |site| site.profile.roles.len().saturating_sub(1));
            match action {
                Action::Up | Action::Previous => *selected = selected.saturating_sub(1),
                Action::Down | Action::Next => *selected = (*selected + 1).min(last),
                Action::Toggle => {
                    let (machine, role) = (*machine, *selected);
                    machines::toggle_role(model, machine, role);
                }
                Action::Back => {
                    model.popups.pop();
                    if let Some(site) = &mut model.site {
                        site.machines.load(&site.draft);
                    }
                }
                _ => {}
            }
        }
        Popup::HostKeys(_) => return host_keys::act(model, action),
        Popup::Fix(_) => return fix::act(model, action),
        Popup::Question(asked) if !asked.armed => asked.since = None,
        Popup::Question(asked) => {
            let asked = (**asked).clone();
            return question(asked, action, model);
        }
    }
    Vec::new()
}

fn question(mut asked: Asked, action: Action, model: &mut Model) -> Vec<Command> {
    let buttons = asked.buttons();
    let id = asked.question.id.clone();
    let answer = |answer: Answer| vec![Command::Engine(Box::new(machine::Command::Answer { question: id.clone(), answer }))];
    let commands = match action {
        Action::Back => {
            model.popups.pop();
            model.say("The question stays open and the run waits; Enter on its phase brings it back");
            return Vec::new();
        }
        Action::Left => {
            asked.button = asked.button.saturating_sub(1);
            Vec::new()
        }
        Action::Right => {
            asked.button = (asked.button + 1).min(buttons.len() - 1);
            Vec::new()
        }
        Action::LeaveOpen if asked.question.optional().is_some() => answer(Answer::Open),
        Action::Enter | Action::Toggle if asked.question.takes_text() => {
            let prompt = asked.question.is_prompt();
            let text = if prompt { asked.line.text().to_owned() } else { asked.line.text().trim().to_owned() };
            if text.is_empty() && !prompt {
                asked.problem = Some("the answer is empty".into());
                Vec::new()
            } else {
                asked.problem = None;
                answer(Answer::Text(text))
            }
        }
        Action::Enter | Action::Toggle => match buttons.get(asked.button).copied() {
            Some("Later") | None => {
                model.popups.pop();
                return Vec::new();
            }
            Some("No") => answer(Answer::Text("no".into())),
            Some("Leave open") => answer(Answer::Open),
            Some(_) => answer(Answer::Text("yes".into())),
        },
        _ => Vec::new(),
    };
    if let Some(Popup::Question(shown)) = model.popups.last_mut() {
        **shown = asked;
    }
    commands
}

fn press(model: &mut Model, then: Then) -> Vec<Command> {
    model.popups.pop();
    match then {
        Then::Close => Vec::new(),
        Then::Fetch => form::fetch(model),
        Then::SaveAndLeave => form::save(model, Next::Leave),
        Then::Leave => leave(model),
        Then::Stop { now } => {
            model.say(match (run_keys::only_asks(model), now) {
                (true, _) => "Stopped; the question stays open",
                (false, true) => "Killing the step that runs",
                (false, false) => "Asked the step that runs to end; x again offers to kill it",
            });
            vec![Command::Engine(Box::new(machine::Command::Stop { now }))]
        }
        Then::RemoveMachine(machine) => {
            machines::remove(model, machine);
            Vec::new()
        }
        Then::TakeOver { found, all } => {
            import::take_over(model, &found, all);
            Vec::new()
        }
        Then::OpenRun => review::open_run(model, false),
        Then::NewRun => review::new_run(model),
        Then::Start => review::start(model),
        Then::RetryFromStart(phase) => run::retry(model, phase, true),
        Then::GoOn => run_keys::go_on(model),
        Then::Shell { step, secrets } => failure::shell(model, step, secrets),
    }
}

fn secret_way(model: &mut Model, field: &Field, way: usize) {
    let outcome = match way {
        0 => {
            let text = format!("{} It is kept in a file for you alone (0600) beside the site file and never shown again.", field.help);
            let entry = EntryFor::SecretValue(Box::new(field.clone()));
            model.popups.push(Popup::entry(&field.label, text.trim(), "", entry));
            Ok(())
        }
        1 | 2 => {
            let (text, line) = if way == 1 {
                ("The file that has the secret, and nothing else, as file:~/secrets/x.", "file:~/")
            } else {
                ("The environment variable that has the secret, as env:RANCHER_PASSWORD.", "env:")
            };
            model.popups.push(Popup::entry(&field.label, text, line, EntryFor::SecretReference(field.id.clone())));
            Ok(())
        }
        3 => form::set_secret(model, &field.id, "prompt"),
        _ => form::set_secret(model, &field.id, ""),
    };
    if let Err(message) = outcome {
        model.complain(message);
    }
}

/// Takes the text of the topmost popup.
fn take(model: &mut Model) -> Vec<Command> {
    let Some(Popup::Entry(entry)) = model.popups.last() else { return Vec::new() };
    let entry = entry.clone();
    // In a pattern blanks at its ends are part of it.
    let pattern = matches!(entry.purpose, EntryFor::LogSearch | EntryFor::LogFilter);
    let text = if pattern { entry.line.text() } else { entry.line.text().trim() }.to_owned();
    let refuse = |model: &mut Model, problem: String| {
        if let Some(Popup::Entry(entry)) = model.popups.last_mut() {
            entry.problem = Some(problem);
        }
        Vec::new()
    };
    let problem = match &entry.purpose {
        EntryFor::LogSearch | EntryFor::LogFilter => log_keys::problem(&text),
        EntryFor::OpenPath | EntryFor::NewPath | EntryFor::LogFile if text.is_empty() => Some("write the path of a file".to_owned()),
        EntryFor::ImportFolder if text.is_empty() => Some("write the path of a folder".to_owned()),
        EntryFor::NewPath if !has_toml_ending(&text) => Some("a site file ends in .toml".to_owned()),
        EntryFor::Ignore { .. } | EntryFor::Skip(_) if text.is_empty() => Some("write why; it is kept with the run".to_owned()),
        EntryFor::SecretValue(field) | EntryFor::Prompted(field) => {
            if text.len() < 6 {
                Some("is shorter than 6 bytes: too short to be kept out of logs".to_owned())
            } else {
                // A rule's message may repeat the text, which must not be seen.
                field.parse(&text).err().map(|problem| problem.0.replace(&text, "it"))
            }
        }
        EntryFor::Knob { value, .. } => advanced::parse(&text, value).err(),
        EntryFor::IgnoreFor { .. } => ignores::duration(&text).err(),
        _ => None,
    };
    if let Some(problem) = problem {
        return refuse(model, problem);
    }
    match entry.purpose {
        EntryFor::SecretReference(field) => {
            if let Err(problem) = form::set_secret(model, &field, &text) {
                return refuse(model, problem);
            }
            model.popups.pop();
            Vec::new()
        }
        EntryFor::Knob { template, key, value } => {
            let outcome = model.site.as_mut().map_or(Ok(()), |site| advanced::set(site, &template, &key, Some((&text, &value))));
            if let Err(problem) = outcome {
                return refuse(model, problem);
            }
            model.popups.pop();
            Vec::new()
        }
        purpose => {
            model.popups.pop();
            match purpose {
                EntryFor::OpenPath => start::open(model, PathBuf::from(text)),
                EntryFor::ImportFolder => import::begin(model, PathBuf::from(text)),
                EntryFor::NewPath => start::create(model, PathBuf::from(text)),
                EntryFor::Ignore { check, target } => {
                    let entry = EntryFor::IgnoreFor { check, target, reason: text };
                    let say = "For how long? Hours, days or weeks, as 12h, 7d, 2w; at most 90d. After that it counts again.";
                    model.popups.push(Popup::entry("Ignore this finding", say, ignores::USUAL, entry));
                    Vec::new()
                }
                EntryFor::IgnoreFor { check, target, reason } => preflight::ignore(model, check, target, Some((reason, text))),
                EntryFor::Skip(phase) => run::skip(model, phase, text),
                EntryFor::SecretValue(field) => form::store_secret(model, field.id, &text),
                EntryFor::Prompted(field) => review::prompted(model, field.id, SecretString::from(text)),
                EntryFor::LogSearch => log_keys::search(model, &text),
                EntryFor::LogFilter => log_keys::filter(model, Some(&text)),
                EntryFor::LogFile => log_keys::save(model, PathBuf::from(text)),
                EntryFor::SecretReference(_) | EntryFor::Knob { .. } => Vec::new(),
            }
        }
    }
}

fn has_toml_ending(text: &str) -> bool {
    std::path::Path::new(text).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// Types into the topmost popup.
pub fn type_key(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    match model.popups.last_mut() {
        Some(Popup::Entry(entry)) => {
            entry.line.key(key);
            entry.problem = match &entry.purpose {
                EntryFor::Knob { value, .. } => advanced::parse(entry.line.text(), value).err(),
                EntryFor::LogSearch | EntryFor::LogFilter => log_keys::problem(entry.line.text()),
                _ => None,
            };
        }
        Some(Popup::Question(asked)) if !asked.armed => asked.since = None,
        Some(Popup::Question(asked)) => {
            asked.problem = None;
            asked.line.key(key);
        }
        _ => {}
    }
    Vec::new()
}

/// Pastes into the topmost popup.
pub fn paste(model: &mut Model, text: &str) {
    match model.popups.last_mut() {
        Some(Popup::Entry(entry)) => entry.line.paste(text),
        Some(Popup::Question(asked)) if asked.armed => asked.line.paste(text),
        _ => {}
    }
}

/// Closes the questions that were answered elsewhere.
pub fn close_answered(model: &mut Model, open: &[Question]) {
    model.popups.retain(|popup| match popup {
        Popup::Question(asked) => open.iter().any(|question| question.id == asked.question.id),
        _ => true,
    });
}

/// How long a question that came up by itself must have been shown, with no key pressed, before keys are for it, milliseconds.
const SEEN_AFTER: i64 = 300;

/// Shows a question that came up by itself: what is being typed is not meant for it.
pub fn raise(model: &mut Model, question: &Question) {
    show(model, question, false);
}

/// Time has passed: a question that has been seen takes keys from now on.
pub fn seen(model: &mut Model) {
    let now = model.now;
    if let Some(Popup::Question(asked)) = model.popups.last_mut()
        && !asked.armed
    {
        match asked.since {
            None => asked.since = Some(now),
            Some(since) if now.as_millisecond() - since.as_millisecond() >= SEEN_AFTER => {
                asked.armed = true;
                model.dirty = true;
            }
            Some(_) => {}
        }
    }
}

/// Shows a question that the operator has called up, where it is not shown yet.
pub fn ask(model: &mut Model, question: &Question) {
    show(model, question, true);
}

fn show(model: &mut Model, question: &Question, armed: bool) {
    let shown = |popup: &Popup| matches!(popup, Popup::Question(asked) if asked.question.id == question.id);
    if !model.popups.iter().any(shown) {
        model.popups.push(Popup::question(question.clone(), armed));
    }
}
