//! What lies above a screen: confirmations, lines of text, choices, questions of the run.

use std::path::PathBuf;

use crossterm::event::KeyEvent;
use jiff::Timestamp;
use secrecy::SecretString;

use super::app::{Leaving, Model, Next, leave};
use super::desk::{Command, Trouble};
use super::input::Line;
use super::keymap::{Action, Context};
use super::{advanced, form, machines, preflight, review, run, start};
use crate::install::check::Target;
use crate::install::field::Field;
use crate::install::ids::{CheckId, FieldId, PhaseId};
use crate::install::profile::Profile;
use crate::run::machine;
use crate::run::question::{Answer, Question, Wanted};

/// What a button does.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Nothing.
    Close,
    /// Fetch the sources.
    Fetch,
    /// Write the site file, then leave.
    SaveAndLeave,
    /// Leave.
    Leave,
    /// Stop the run; at once where `now`; then leave where `leave`.
    Stop {
        /// Kill what runs.
        now: bool,
        /// Leave once it has stopped.
        leave: bool,
    },
    /// Remove a machine.
    RemoveMachine(usize),
    /// Start the installation.
    Start,
    /// Run a phase again from its first step.
    RetryFromStart(PhaseId),
}

/// A button.
#[derive(Debug, Clone, PartialEq)]
pub struct Button {
    /// Its word.
    pub label: &'static str,
    /// A letter that presses it.
    pub letter: Option<char>,
    /// What it does.
    pub then: Then,
}

/// What a line of text is for.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryFor {
    /// The path of a site file to open.
    OpenPath,
    /// The path of a new site file.
    NewPath,
    /// Why a finding is ignored.
    Ignore {
        /// The check.
        check: CheckId,
        /// Where.
        target: Target,
    },
    /// Why a phase is skipped.
    Skip(PhaseId),
    /// A secret to keep in a file.
    SecretValue(Box<Field>),
    /// A reference to a secret.
    SecretReference(FieldId),
    /// The value of a secret that is asked when a run starts.
    Prompted(Box<Field>),
    /// The value of a template's key.
    Knob {
        /// The template.
        template: String,
        /// The key.
        key: String,
        /// The template's value.
        value: Box<toml::Value>,
    },
    /// A search in a log.
    LogSearch,
}

/// A line of text asked for.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The heading.
    pub title: String,
    /// What it is about.
    pub text: String,
    /// The text being typed.
    pub line: Line,
    /// Whether it must not be seen.
    pub masked: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// What it is for.
    pub purpose: EntryFor,
}

/// A question of the run.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The answer being typed.
    pub line: Line,
    /// Which button.
    pub button: usize,
    /// Why the answer was not taken.
    pub problem: Option<String>,
}

/// What lies above a screen.
#[derive(Debug, Clone)]
pub enum Popup {
    /// A text with buttons.
    Confirm {
        /// The heading.
        title: String,
        /// What it is about.
        text: String,
        /// The buttons; the first is the safe one.
        buttons: Vec<Button>,
        /// Which one has the focus.
        selected: usize,
        /// Whether it is about something bad.
        bad: bool,
    },
    /// A line of text.
    Entry(Box<Entry>),
    /// Where a secret is found.
    Secret {
        /// The field.
        field: Box<Field>,
        /// Which line.
        selected: usize,
        /// Whether there is a reference that can be taken back.
        set: bool,
    },
    /// The roles of a machine.
    Roles {
        /// The machine.
        machine: usize,
        /// Which line.
        selected: usize,
    },
    /// A question of the run.
    Question(Box<Asked>),
    /// A fetch goes on.
    Fetching,
    /// The help.
    Help {
        /// Where it was asked for.
        context: Context,
        /// How far it is scrolled.
        top: usize,
    },
}

/// The ways to give a secret: word and explanation.
pub const SECRET_WAYS: [(&str, &str); 5] = [
    ("Type it now", "kept in a file for you alone (0600) beside the site file; the site file only names that file"),
    ("A file has it", "you keep the file; it is read when the secret is needed"),
    ("An environment variable has it", "set before this program is started"),
    ("Ask me when a run starts", "kept in memory only; asked again each time"),
    ("Not set", "take the reference back; a kept file stays where it is"),
];

impl Popup {
    /// A text with buttons: word, letter, effect. The first is the safe one and has the focus.
    #[must_use]
    pub fn confirm(title: &str, text: impl Into<String>, buttons: &[(&'static str, Option<char>, Then)]) -> Self {
        let buttons = buttons.iter().map(|(label, letter, then)| Button { label, letter: *letter, then: then.clone() }).collect();
        Self::Confirm { title: title.to_owned(), text: text.into(), buttons, selected: 0, bad: false }
    }

    /// Something that did not work.
    #[must_use]
    pub fn trouble(title: &str, trouble: &Trouble) -> Self {
        let mut text = trouble.message.clone();
        for problem in trouble.problems.iter().take(12) {
            text.push_str(&format!("\n{problem}"));
        }
        if trouble.problems.len() > 12 {
            text.push_str(&format!("\nand {} more", trouble.problems.len() - 12));
        }
        let buttons = vec![Button { label: "Close", letter: Some('y'), then: Then::Close }];
        Self::Confirm { title: title.to_owned(), text, buttons, selected: 0, bad: true }
    }

    /// A line of text.
    #[must_use]
    pub fn entry(title: &str, text: impl Into<String>, line: &str, purpose: EntryFor) -> Self {
        let masked = matches!(purpose, EntryFor::SecretValue(_) | EntryFor::Prompted(_));
        let entry = Entry { title: title.to_owned(), text: text.into(), line: Line::new(line), masked, problem: None, purpose };
        Self::Entry(Box::new(entry))
    }

    /// Where a secret is found.
    #[must_use]
    pub fn secret_choice(field: &Field, set: bool) -> Self {
        Self::Secret { field: Box::new(field.clone()), selected: 0, set }
    }

    /// Consent to fetch a profile's sources.
    #[must_use]
    pub fn fetch_consent(profile: &Profile) -> Self {
        let mut text =
            String::from("This profile drives public repositories. They are fetched once, at a fixed commit, before anything else:\n");
        for source in profile.sources.values() {
            text.push_str(&format!("\n{}\nat {}\n", source.git, source.commit));
        }
        text.push_str("\nNothing is installed by this, and nothing leaves this machine but the request.");
        Self::confirm("Fetch the sources?", text, &[("Fetch", Some('y'), Then::Fetch), ("Not now", None, Then::Close)])
    }

    /// Leaving while a run goes on.
    #[must_use]
    pub fn leave_running(stopping: bool) -> Self {
        if stopping {
            return Self::confirm(
                "The run is stopping",
                "The step that runs was asked to end. Terraform may take some minutes to leave its state in order. Killing it now can leave a \
                 locked state or half-made resources behind.",
                &[("Wait for it", None, Then::Close), ("Kill it and leave", Some('K'), Then::Stop { now: true, leave: true })],
            );
        }
        Self::confirm(
            "Leave while the run goes on?",
            "The run lives in this program: leaving stops it. The step that runs is asked to end, what is done stays done, and the run can be \
             taken up again where it stopped.",
            &[("Stay", None, Then::Close), ("Stop the run and leave", Some('y'), Then::Stop { now: false, leave: true })],
        )
    }

    /// Leaving with answers that are not written.
    #[must_use]
    pub fn leave_unsaved() -> Self {
        Self::confirm(
            "Leave without saving?",
            "Some answers are not in the site file yet.",
            &[("Stay", None, Then::Close), ("Save and leave", Some('y'), Then::SaveAndLeave), ("Leave without saving", None, Then::Leave)],
        )
    }

    /// A question of the run.
    #[must_use]
    pub fn question(question: Question) -> Self {
        Self::Question(Box::new(Asked { question, line: Line::default(), button: 0, problem: None }))
    }

    /// Whether it asks about leaving.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        let leaves = |then: &Then| matches!(then, Then::Leave | Then::Stop { leave: true, .. });
        matches!(self, Self::Confirm { buttons, .. } if buttons.iter().any(|button| leaves(&button.then)))
    }

    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        match self {
            Self::Confirm { .. } | Self::Fetching => Context::Confirm,
            Self::Entry(_) => Context::Entry,
            Self::Secret { .. } => Context::Pick,
            Self::Roles { .. } => Context::Roles,
            Self::Question(asked) if asked.question.is_secret() => Context::QuestionText,
            Self::Question(_) => Context::QuestionChoice,
            Self::Help { .. } => Context::Help,
        }
    }
}

impl Asked {
    /// The buttons of a question that takes no text.
    #[must_use]
    pub fn buttons(&self) -> Vec<&'static str> {
        let mut buttons = match self.question.wanted {
            Wanted::Confirmation { .. } => vec!["Later", "Done", "No"],
            Wanted::Repeat => vec!["Later", "Run it again", "No"],
            Wanted::Destroy { .. } => vec!["Later", "Let it destroy", "No"],
            Wanted::Secret { .. } => vec!["Later", "Answer"],
        };
        if self.question.optional().is_some() {
            buttons.push("Leave open");
        }
        buttons
    }
}

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
        Popup::Confirm { buttons, selected, .. } => match action {
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
        Action::Enter | Action::Toggle if asked.question.is_secret() => {
            let text = asked.line.text().trim().to_owned();
            if text.is_empty() {
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
        Then::Stop { now, leave: leaving } => {
            if leaving {
                model.leaving = Leaving::Stopping;
            }
            model.say(if now { "Killing the step that runs" } else { "Asked the step that runs to end; x again offers to kill it" });
            vec![Command::Engine(Box::new(machine::Command::Stop { now }))]
        }
        Then::RemoveMachine(machine) => {
            machines::remove(model, machine);
            Vec::new()
        }
        Then::Start => review::start(model),
        Then::RetryFromStart(phase) => run::retry(model, phase, true),
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
    let text = entry.line.text().trim().to_owned();
    let refuse = |model: &mut Model, problem: String| {
        if let Some(Popup::Entry(entry)) = model.popups.last_mut() {
            entry.problem = Some(problem);
        }
        Vec::new()
    };
    let problem = match &entry.purpose {
        EntryFor::OpenPath | EntryFor::NewPath if text.is_empty() => Some("write the path of a file".to_owned()),
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
                EntryFor::NewPath => start::create(model, PathBuf::from(text)),
                EntryFor::Ignore { check, target } => preflight::ignore(model, check, target, Some(text)),
                EntryFor::Skip(phase) => run::skip(model, phase, text),
                EntryFor::SecretValue(field) => form::store_secret(model, field.id, &text),
                EntryFor::Prompted(field) => review::prompted(model, field.id, SecretString::from(text)),
                EntryFor::LogSearch => run::search(model, text),
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
            entry.problem = None;
            entry.line.key(key);
            if let EntryFor::Knob { value, .. } = &entry.purpose {
                entry.problem = advanced::parse(entry.line.text(), value).err();
            }
        }
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
        Some(Popup::Question(asked)) => asked.line.paste(text),
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

/// Shows a question, where it is not shown yet.
pub fn ask(model: &mut Model, question: &Question) {
    let shown = |popup: &Popup| matches!(popup, Popup::Question(asked) if asked.question.id == question.id);
    if !model.popups.iter().any(shown) {
        model.popups.push(Popup::question(question.clone()));
    }
}

/// The time of day, UTC, to the second.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}
