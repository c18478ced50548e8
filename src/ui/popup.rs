//! What lies above a screen: confirmations, lines of text, choices, questions of the run.

use jiff::Timestamp;

use super::desk::{Imported, Trouble};
use super::fix::FixUp;
use super::host_keys::HostKeys;
use super::input::Line;
use super::keymap::Context;
use crate::install::check::Target;
use crate::install::field::Field;
use crate::install::ids::{CheckId, FieldId, PhaseId, StepRef};
use crate::install::profile::Profile;
use crate::run::question::{Question, Wanted};

/// What a button does.
#[derive(Debug, Clone)]
pub enum Then {
    /// Nothing.
    Close,
    /// Fetch the sources.
    Fetch,
    /// Write the site file, then leave.
    SaveAndLeave,
    /// Leave.
    Leave,
    /// Stop the run; at once where `now`.
    Stop {
        /// Kill what runs.
        now: bool,
    },
    /// Remove a machine.
    RemoveMachine(usize),
    /// Take over what an import has found.
    TakeOver {
        /// What was found.
        found: Box<Imported>,
        /// Also where there is an answer already.
        all: bool,
    },
    /// Open the site's run as it stands.
    OpenRun,
    /// Open a new run of the site.
    NewRun,
    /// Start the installation.
    Start,
    /// Run a phase again from its first step.
    RetryFromStart(PhaseId),
    /// Go on with what is not done.
    GoOn,
    /// Open a shell where a step works.
    Shell {
        /// The step.
        step: StepRef,
        /// With its secrets.
        secrets: bool,
    },
}

/// A button.
#[derive(Debug, Clone)]
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
    /// The folder of a checkout to import from.
    ImportFolder,
    /// Why a finding is ignored.
    Ignore {
        /// The check.
        check: CheckId,
        /// Where.
        target: Target,
    },
    /// For how long it is ignored.
    IgnoreFor {
        /// The check.
        check: CheckId,
        /// Where.
        target: Target,
        /// Why.
        reason: String,
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
    /// Which lines of a log are shown alone.
    LogFilter,
    /// The file a log is copied to.
    LogFile,
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
    /// Whether keys are for it: a question that comes up by itself must not take what was typed before it was seen.
    pub armed: bool,
    /// Since when it has been shown without a key being pressed.
    pub since: Option<Timestamp>,
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
        /// How far the text is scrolled, where there is not room for all of it.
        top: usize,
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
    /// The host keys of the machines.
    HostKeys(Box<HostKeys>),
    /// The script that puts a finding right.
    Fix(Box<FixUp>),
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
        Self::Confirm { title: title.to_owned(), text: text.into(), buttons, selected: 0, top: 0, bad: false }
    }

    /// Something that did not work.
    #[must_use]
    pub fn trouble(title: &str, trouble: &Trouble) -> Self {
        let mut text = trouble.message.clone();
        for problem in &trouble.problems {
            // An error of one problem says it in its message already.
            let said = problem.to_string();
            if !trouble.message.contains(&said) {
                text.push_str(&format!("\n{said}"));
            }
        }
        let buttons = vec![Button { label: "Close", letter: Some('y'), then: Then::Close }];
        Self::Confirm { title: title.to_owned(), text, buttons, selected: 0, top: 0, bad: true }
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
    pub fn question(question: Question, armed: bool) -> Self {
        Self::Question(Box::new(Asked { question, line: Line::default(), button: 0, problem: None, armed, since: None }))
    }

    /// Whether it asks about leaving.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::Confirm { buttons, .. } if buttons.iter().any(|button| matches!(button.then, Then::Leave)))
    }

    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        match self {
            Self::Confirm { .. } | Self::Fetching => Context::Confirm,
            Self::Entry(_) => Context::Entry,
            Self::Secret { .. } => Context::Pick,
            Self::Roles { .. } => Context::Roles,
            Self::HostKeys(_) => Context::HostKeys,
            Self::Question(asked) if asked.question.takes_text() => Context::QuestionText,
            Self::Fix(_) => Context::Fix,
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
            Wanted::Confirmation { .. } => vec!["Later", "Yes", "No"],
            Wanted::Repeat => vec!["Later", "Run it again", "No"],
            Wanted::Destroy { .. } => vec!["Later", "Let it destroy", "No"],
            Wanted::Change { .. } => vec!["Later", "Go on", "No"],
            Wanted::Secret { .. } | Wanted::Prompt { .. } => vec!["Later", "Answer"],
        };
        if self.question.optional().is_some() {
            buttons.push("Leave open");
        }
        buttons
    }
}

/// The time of day, UTC, to the second.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}
