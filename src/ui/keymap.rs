//! One table: where the focus is and a key → what it does, with the words for footer and help.
//!
//! Whether a letter is text is a property of the focused thing: in a context that takes text, letters never are commands.

mod table;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use table::TABLE;

/// Where the focus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Everywhere else has been asked.
    Anywhere,
    /// The list of the start screen.
    Start,
    /// A line of text in a popup: a path, a reason, a value.
    Entry,
    /// The sections of a site.
    Sections,
    /// A field that takes text.
    TextField,
    /// A field with a choice, or yes and no.
    ChoiceField,
    /// A field with a secret.
    SecretField,
    /// A cell of the machines that takes text.
    Cell,
    /// The roles of a machine.
    RoleCell,
    /// A button in the table of machines.
    ButtonCell,
    /// A row of buttons.
    Buttons,
    /// The search among the further settings.
    AdvancedSearch,
    /// The list of further settings.
    AdvancedList,
    /// Findings.
    Preflight,
    /// The plan.
    Review,
    /// Phases and steps of a run.
    Run,
    /// The log on the whole screen.
    LogFull,
    /// The panel of a failed phase.
    Failure,
    /// The summary.
    Summary,
    /// A popup with buttons.
    Confirm,
    /// A popup with a list to pick from.
    Pick,
    /// The popup with the roles.
    Roles,
    /// The popup with the machines' host keys.
    HostKeys,
    /// The popup with the script that puts a finding right.
    Fix,
    /// A question that takes text.
    QuestionText,
    /// A question that takes yes or no.
    QuestionChoice,
    /// The help.
    Help,
}

impl Context {
    /// Whether letters are text here.
    #[must_use]
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Entry | Self::TextField | Self::Cell | Self::AdvancedSearch | Self::QuestionText)
    }

    /// What it is called in the help.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Everywhere",
            Self::Start => "Start",
            Self::Entry => "A line of text",
            Self::Sections => "Sections of the site",
            Self::TextField => "A text field",
            Self::ChoiceField => "A choice",
            Self::SecretField => "A secret",
            Self::Cell | Self::RoleCell | Self::ButtonCell => "The table of machines",
            Self::Buttons => "Buttons",
            Self::AdvancedSearch | Self::AdvancedList => "Further settings",
            Self::Preflight => "Preflight",
            Self::Review => "Review",
            Self::Run => "Run",
            Self::LogFull => "The log on the whole screen",
            Self::Failure => "A failed phase",
            Self::Summary => "Summary",
            Self::HostKeys => "Host keys of the machines",
            Self::Fix => "The script for a finding",
            Self::Confirm | Self::Pick | Self::Roles => "A choice to make",
            Self::QuestionText | Self::QuestionChoice => "A question of the run",
            Self::Help => "Help",
        }
    }
}

/// What a key does. What that means is up to whatever has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each does")]
pub enum Action {
    Up,
    Down,
    Left,
    Right,
    Next,
    Previous,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Toggle,
    Back,
    Help,
    Quit,
    Continue,
    Open,
    Fetch,
    Save,
    AddMachine,
    RemoveMachine,
    Again,
    Watch,
    Ignore,
    HostKeys,
    Fix,
    Import,
    NewRun,
    Filter,
    Switch,
    Start,
    Retry,
    RetryFromStart,
    RetryHosts,
    Skip,
    Answers,
    Shell,
    Stop,
    StopNow,
    ScrollUp,
    ScrollDown,
    Follow,
    Search,
    Narrow,
    AllLines,
    NextError,
    PreviousError,
    NextChange,
    PreviousChange,
    Times,
    FurtherLeft,
    FurtherRight,
    SaveLog,
    Pager,
    FindNext,
    FindPrevious,
    Wrap,
    Full,
    EarlierAttempt,
    LaterAttempt,
    Copy,
    Log,
    Turn,
    CopyRemedy,
    ToFailure,
    LeaveOpen,
    Yes,
    No,
}

/// A key as the table has it.
pub type Key = (KeyCode, KeyModifiers);

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where it holds.
    pub context: Context,
    /// The keys.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// The word in the footer; empty: it is not shown there.
    pub label: &'static str,
    /// The sentence in the help.
    pub help: &'static str,
}

/// What a key does where the focus is.
#[must_use]
pub fn action(context: Context, key: KeyEvent) -> Option<Action> {
    // Shift is part of the letter already.
    let modifiers = key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
    let typed = matches!(key.code, KeyCode::Char(_)) && modifiers.is_empty();
    if typed && context.takes_text() {
        return None;
    }
    let find = |context: Context| {
        TABLE.iter().find(|line| line.context == context && line.keys.contains(&(key.code, modifiers))).map(|line| line.action)
    };
    find(context).or_else(|| {
        let moves = matches!(key.code, KeyCode::Left | KeyCode::Right | KeyCode::Home | KeyCode::End);
        if moves && context.takes_text() { None } else { find(Context::Anywhere) }
    })
}

/// How a key is written.
#[must_use]
pub fn name(key: Key) -> String {
    let code = match key.0 {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(letter) if key.1.contains(KeyModifiers::CONTROL) => letter.to_ascii_uppercase().to_string(),
        KeyCode::Char(letter) => letter.to_string(),
        KeyCode::Up => "↑".into(),
        KeyCode::Down => "↓".into(),
        KeyCode::Left => "←".into(),
        KeyCode::Right => "→".into(),
        KeyCode::BackTab => "Shift-Tab".into(),
        KeyCode::PageUp => "PgUp".into(),
        KeyCode::PageDown => "PgDn".into(),
        KeyCode::F(number) => format!("F{number}"),
        other => format!("{other:?}"),
    };
    if key.1.contains(KeyModifiers::CONTROL) { format!("Ctrl-{code}") } else { code }
}

/// The footer of a context: (key, word), the context's own first.
#[must_use]
pub fn footer(context: Context) -> Vec<(String, &'static str)> {
    footer_of(context, &|_| true)
}

/// As [`footer`], with those actions alone that do something now.
#[must_use]
pub fn footer_of(context: Context, useful: &dyn Fn(Action) -> bool) -> Vec<(String, &'static str)> {
    let typing = context.takes_text();
    let of = |wanted: Context| {
        TABLE
            .iter()
            .filter(move |line| line.context == wanted && !line.label.is_empty() && (wanted == Context::Anywhere || useful(line.action)))
    };
    of(context)
        .chain(of(Context::Anywhere).filter(|_| context != Context::Help))
        .filter_map(|line| {
            let usable = |key: &&Key| !(typing && matches!(key.0, KeyCode::Char(_)) && key.1.is_empty());
            line.keys.iter().find(usable).map(|key| (name(*key), line.label))
        })
        .collect()
}

/// The help of a context: (keys, sentence), the context's own first.
#[must_use]
pub fn help(context: Context) -> Vec<(String, &'static str)> {
    let of = |wanted: Context| TABLE.iter().filter(move |line| line.context == wanted);
    let names = |keys: &[Key]| keys.iter().map(|key| name(*key)).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<(String, &'static str)> = Vec::new();
    for line in of(context) {
        match lines.last_mut() {
            // Keys that do the same stand together.
            Some((keys, help)) if *help == line.help => *keys = format!("{keys} {}", names(line.keys)),
            _ => lines.push((names(line.keys), line.help)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        let mut seen = HashSet::new();
        for line in TABLE {
            for key in line.keys {
                assert!(seen.insert((line.context, *key)), "{:?}: {} is bound twice", line.context, name(*key));
            }
            assert!(!line.help.is_empty());
        }
    }

    #[test]
    fn letters_are_text_where_text_is_taken() {
        for context in [Context::TextField, Context::Cell, Context::Entry, Context::AdvancedSearch, Context::QuestionText] {
            for letter in ['q', '?', 'c', ' ', 'K'] {
                assert_eq!(action(context, KeyEvent::from(KeyCode::Char(letter))), None, "{context:?} {letter:?}");
            }
            assert_eq!(action(context, KeyEvent::from(KeyCode::F(1))), Some(Action::Help));
            assert_eq!(action(context, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
        }
        assert_eq!(action(Context::Run, KeyEvent::from(KeyCode::Char('q'))), Some(Action::Quit));
        assert_eq!(action(Context::Run, KeyEvent::new(KeyCode::Char('R'), KeyModifiers::SHIFT)), Some(Action::RetryFromStart));
    }

    #[test]
    fn the_footer_names_keys_that_work_there() {
        for line in TABLE {
            for (key, label) in footer(line.context) {
                assert!(!key.is_empty() && !label.is_empty());
            }
        }
        assert!(footer(Context::TextField).contains(&("Ctrl-C".to_owned(), "quit")));
        assert!(footer(Context::Run).contains(&("q".to_owned(), "quit")));
    }
}
