//! One table: where the focus is and a key → what it does, with the words for footer and help.
//!
//! Whether a letter is text is a property of the focused thing: in a context that takes text, letters never are commands.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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

const fn k(code: KeyCode) -> Key {
    (code, KeyModifiers::NONE)
}
const fn c(letter: char) -> Key {
    (KeyCode::Char(letter), KeyModifiers::NONE)
}
const fn ctrl(letter: char) -> Key {
    (KeyCode::Char(letter), KeyModifiers::CONTROL)
}

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

const fn b(context: Context, keys: &'static [Key], action: Action, label: &'static str, help: &'static str) -> Binding {
    Binding { context, keys, action, label, help }
}

use Action as A;
use Context as C;

const UP: Key = k(KeyCode::Up);
const DOWN: Key = k(KeyCode::Down);
const LEFT: Key = k(KeyCode::Left);
const RIGHT: Key = k(KeyCode::Right);
const TAB: Key = k(KeyCode::Tab);
const ENTER: Key = k(KeyCode::Enter);
const ESC: Key = k(KeyCode::Esc);
const SPACE: Key = c(' ');

/// The table.
pub const TABLE: &[Binding] = &[
    // --- everywhere ---
    b(C::Anywhere, &[UP], A::Up, "", "Move"),
    b(C::Anywhere, &[DOWN], A::Down, "", "Move"),
    b(C::Anywhere, &[LEFT], A::Left, "", "Move"),
    b(C::Anywhere, &[RIGHT], A::Right, "", "Move"),
    b(C::Anywhere, &[TAB], A::Next, "", "Next part; Shift-Tab: the one before"),
    b(C::Anywhere, &[k(KeyCode::BackTab)], A::Previous, "", "Next part; Shift-Tab: the one before"),
    b(C::Anywhere, &[k(KeyCode::PageUp)], A::PageUp, "", "A page, the beginning, the end"),
    b(C::Anywhere, &[k(KeyCode::PageDown)], A::PageDown, "", "A page, the beginning, the end"),
    b(C::Anywhere, &[k(KeyCode::Home)], A::Home, "", "A page, the beginning, the end"),
    b(C::Anywhere, &[k(KeyCode::End)], A::End, "", "A page, the beginning, the end"),
    b(C::Anywhere, &[ENTER], A::Enter, "", "Take, open, go on"),
    b(C::Anywhere, &[SPACE], A::Toggle, "", "Switch, tick"),
    b(C::Anywhere, &[ESC], A::Back, "", "Back"),
    b(C::Anywhere, &[c('?'), k(KeyCode::F(1))], A::Help, "help", "This help; F1 also while typing"),
    b(
        C::Anywhere,
        &[c('q'), ctrl('c')],
        A::Quit,
        "quit",
        "Leave; Ctrl-C also while typing. A run goes on; asks where answers would be lost",
    ),
    // --- start ---
    b(C::Start, &[ENTER], A::Enter, "open", "Open what is selected"),
    b(C::Start, &[c('o')], A::Open, "other file", "Open a site file by its path"),
    b(C::Start, &[c('f')], A::Fetch, "fetch", "Fetch the sources of the selected profile"),
    // --- lines of text ---
    b(C::Entry, &[ENTER], A::Enter, "take", "Take the text"),
    b(C::Entry, &[ESC], A::Back, "cancel", "Leave it as it was"),
    // --- site ---
    b(C::Sections, &[ENTER, RIGHT], A::Enter, "fields", "Go to the fields of the section"),
    b(C::Sections, &[c('c')], A::Continue, "continue", "Go on to the preflight"),
    b(C::Sections, &[c('w'), ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::Sections, &[c('i'), ctrl('o')], A::Import, "import", "Take answers and machines over from a checkout filled in by hand"),
    b(C::Sections, &[ESC], A::Back, "back", "Back to the start screen, or to the run"),
    b(C::TextField, &[ENTER, DOWN], A::Down, "next", "Next field"),
    b(C::TextField, &[UP], A::Up, "", "Previous field"),
    b(C::TextField, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::TextField, &[ESC], A::Back, "sections", "To the sections"),
    b(C::ChoiceField, &[SPACE, RIGHT], A::Toggle, "change", "Next value"),
    b(C::ChoiceField, &[LEFT], A::Left, "", "Previous value"),
    b(C::ChoiceField, &[ENTER, DOWN], A::Down, "next", "Next field"),
    b(C::ChoiceField, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::ChoiceField, &[ESC], A::Back, "sections", "To the sections"),
    b(C::SecretField, &[SPACE, ENTER], A::Enter, "set", "Say where the secret is found, or type it"),
    b(C::SecretField, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::SecretField, &[ESC], A::Back, "sections", "To the sections"),
    b(C::Cell, &[ctrl('n')], A::AddMachine, "add", "Add a machine"),
    b(C::Cell, &[ctrl('d')], A::RemoveMachine, "remove", "Remove the machine; asks first"),
    b(C::Cell, &[ctrl('o')], A::Import, "import", "Take machines and answers over from a checkout filled in by hand"),
    b(C::Cell, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::Cell, &[ESC], A::Back, "sections", "To the sections"),
    b(C::Cell, &[ENTER], A::Down, "below", "Next machine, same column"),
    b(C::Cell, &[TAB], A::Next, "next cell", "Next cell"),
    b(C::RoleCell, &[SPACE, ENTER], A::Enter, "roles", "Tick the machine's roles"),
    b(C::RoleCell, &[ctrl('n')], A::AddMachine, "add", "Add a machine"),
    b(C::RoleCell, &[ctrl('d')], A::RemoveMachine, "remove", "Remove the machine; asks first"),
    b(C::RoleCell, &[ctrl('o')], A::Import, "import", "Take machines and answers over from a checkout filled in by hand"),
    b(C::RoleCell, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::RoleCell, &[ESC], A::Back, "sections", "To the sections"),
    b(C::ButtonCell, &[ENTER, SPACE], A::Enter, "do it", "Add or remove a machine"),
    b(C::ButtonCell, &[ctrl('o')], A::Import, "import", "Take machines and answers over from a checkout filled in by hand"),
    b(C::ButtonCell, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::ButtonCell, &[ESC], A::Back, "sections", "To the sections"),
    b(C::Buttons, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::Buttons, &[LEFT], A::Left, "", "Button to the left"),
    b(C::Buttons, &[RIGHT], A::Right, "", "Button to the right"),
    b(C::Buttons, &[ESC], A::Back, "back", "Back"),
    b(C::AdvancedSearch, &[DOWN, ENTER], A::Down, "list", "To the list"),
    b(C::AdvancedSearch, &[ESC], A::Back, "sections", "To the sections"),
    b(C::AdvancedList, &[ENTER], A::Enter, "change", "Change the setting"),
    b(C::AdvancedList, &[k(KeyCode::Delete), c('d')], A::No, "as template", "Take the change back: the template's value counts"),
    b(C::AdvancedList, &[c('/')], A::Search, "search", "To the search"),
    b(C::AdvancedList, &[ctrl('s')], A::Save, "save", "Write the site file"),
    b(C::AdvancedList, &[ESC], A::Back, "sections", "To the sections"),
    // --- preflight ---
    b(C::Preflight, &[c('c')], A::Continue, "continue", "Go on to the review; not while something blocks"),
    b(C::Preflight, &[c('r')], A::Again, "again", "Check everything again"),
    b(C::Preflight, &[c('w')], A::Watch, "watch", "Check again every few seconds until all is green"),
    b(C::Preflight, &[c('i')], A::Ignore, "ignore", "Ignore this finding for a time, with a reason; again: it counts"),
    b(C::Preflight, &[c('k')], A::HostKeys, "host keys", "Host keys of the machines: look at them, record new ones"),
    b(C::Preflight, &[c('f')], A::Fix, "fix", "The script that puts this finding right: read it, run it"),
    b(C::Preflight, &[c('s')], A::Filter, "show", "Show all, what is not green, what blocks"),
    b(C::Preflight, &[c('v')], A::Switch, "view", "Matrix, list, who reaches whom; there Enter opens a cell"),
    b(C::Preflight, &[ENTER], A::Enter, "", "Go to the buttons"),
    b(C::Preflight, &[ESC], A::Back, "site", "Back to the site"),
    // --- review ---
    b(C::Review, &[c('s')], A::Start, "start", "Start the installation; asks first"),
    b(C::Review, &[k(KeyCode::PageDown)], A::PageDown, "scroll", "A page down on the right; PgUp: up"),
    b(C::Review, &[ENTER], A::Enter, "", "Go to the buttons"),
    b(C::Review, &[ESC], A::Back, "preflight", "Back to the preflight"),
    // --- run ---
    b(C::Run, &[ENTER], A::Enter, "answer", "The question of the phase, where it has one; else its log or failure"),
    b(C::Run, &[c('x')], A::Stop, "stop", "Stop the run; asks first"),
    b(C::Run, &[c('c')], A::Continue, "go on", "Go on with the phases not done"),
    b(C::Run, &[c('f')], A::Full, "full log", "The log on the whole screen, without frames, to copy from"),
    b(C::Run, &[c('/')], A::Search, "search", "Search the log by a regular expression; while it follows, backwards from its end"),
    b(C::Run, &[c('r')], A::Retry, "retry", "Run the phase again from the step that failed"),
    b(C::Run, &[c('R')], A::RetryFromStart, "from start", "Run the phase again from its first step; asks first"),
    b(
        C::Run,
        &[c('h')],
        A::RetryHosts,
        "failed hosts",
        "Run the playbook again on the hosts alone that failed, where the profile allows it",
    ),
    b(C::Run, &[c('s')], A::Skip, "skip", "Go on without the phase; shows what that means and asks why"),
    b(C::Run, &[c('a')], A::Answers, "answers", "Change answers, then come back"),
    b(C::Run, &[c('e')], A::Shell, "shell", "A shell where the step works"),
    b(C::Run, &[c('v')], A::Switch, "summary", "Summary of what was reached so far"),
    b(C::Run, &[c('w')], A::Wrap, "wrap", "Wrap or cut long lines"),
    b(C::Run, &[c('&')], A::Narrow, "filter", "Show only the lines of the log that match"),
    b(C::Run, &[c('u')], A::AllLines, "all lines", "Lift the filter"),
    b(C::Run, &[c('<')], A::FurtherLeft, "", "Log: wide lines to the left; with the log in focus also the arrow"),
    b(C::Run, &[c('>')], A::FurtherRight, "", "Log: wide lines to the right; with the log in focus also the arrow"),
    b(C::Run, &[c('N')], A::FindPrevious, "", "Previous match"),
    b(C::Run, &[c('n')], A::FindNext, "", "Next match"),
    b(C::Run, &[c('}')], A::NextError, "", "Log: next error; one that the playbook ignores is none"),
    b(C::Run, &[c('{')], A::PreviousError, "", "Log: error before"),
    b(C::Run, &[c(')')], A::NextChange, "", "Log: next task or resource that changed something"),
    b(C::Run, &[c('(')], A::PreviousChange, "", "Log: the one before that changed something"),
    b(C::Run, &[c('T')], A::Times, "", "Log: when each line was written (UTC), or not"),
    b(C::Run, &[c('p')], A::Pager, "", "The log in $PAGER, else in less"),
    b(C::Run, &[c('o')], A::SaveLog, "", "Copy the log, or the lines of the filter, to a file"),
    b(C::Run, &[c('k')], A::ScrollUp, "", "Log: a line up"),
    b(C::Run, &[c('j')], A::ScrollDown, "", "Log: a line down"),
    b(C::Run, &[c('g'), k(KeyCode::Home)], A::Home, "", "Log: to the beginning"),
    b(C::Run, &[c('G'), k(KeyCode::End)], A::Follow, "", "Log: to the end, and follow"),
    b(C::Run, &[c('[')], A::EarlierAttempt, "", "Log of the attempt before"),
    b(C::Run, &[c(']')], A::LaterAttempt, "", "Log of the next attempt"),
    b(C::Run, &[c('l')], A::Log, "", "Log or failure panel of a failed phase"),
    b(C::Run, &[c('t')], A::Turn, "tasks", "Log, tasks by host or resources by module, pods of the cluster"),
    b(C::Run, &[c('F')], A::ToFailure, "", "To the line of the log where the failing task is printed"),
    b(C::Run, &[TAB], A::Next, "", "To the log, to the failure panel, back to the phases"),
    b(C::LogFull, &[ESC], A::Back, "back", "Call a search off, lift the filter, back to the run: what comes first"),
    b(C::LogFull, &[c('f')], A::Full, "", "Back to the run"),
    b(C::LogFull, &[UP, c('k')], A::ScrollUp, "", "A line up"),
    b(C::LogFull, &[DOWN, c('j')], A::ScrollDown, "", "A line down"),
    b(C::LogFull, &[c('g'), k(KeyCode::Home)], A::Home, "", "To the beginning"),
    b(C::LogFull, &[c('G'), k(KeyCode::End)], A::Follow, "follow", "To the end, and follow"),
    b(C::LogFull, &[c('/')], A::Search, "search", "Search by a regular expression; while it follows, backwards from its end"),
    b(C::LogFull, &[c('n')], A::FindNext, "", "Next match"),
    b(C::LogFull, &[c('N')], A::FindPrevious, "", "Previous match"),
    b(C::LogFull, &[c('&')], A::Narrow, "filter", "Show only the lines that match"),
    b(C::LogFull, &[c('u')], A::AllLines, "all lines", "Lift the filter"),
    b(C::LogFull, &[c('}')], A::NextError, "error", "Next error; one that the playbook ignores is none"),
    b(C::LogFull, &[c('{')], A::PreviousError, "", "Error before"),
    b(C::LogFull, &[c(')')], A::NextChange, "", "Next task or resource that changed something"),
    b(C::LogFull, &[c('(')], A::PreviousChange, "", "The one before that changed something"),
    b(C::LogFull, &[c('T')], A::Times, "times", "When each line was written (UTC), or not"),
    b(C::LogFull, &[c('<'), LEFT], A::FurtherLeft, "", "Wide lines to the left"),
    b(C::LogFull, &[c('>'), RIGHT], A::FurtherRight, "", "Wide lines to the right"),
    b(C::LogFull, &[c('p')], A::Pager, "pager", "In $PAGER, else in less"),
    b(C::LogFull, &[c('o')], A::SaveLog, "to file", "Copy the log, or the lines of the filter, to a file"),
    b(C::LogFull, &[c('w')], A::Wrap, "wrap", "Wrap or cut long lines"),
    b(C::LogFull, &[c('y')], A::Copy, "copy", "Copy what is shown to the terminal's clipboard"),
    b(C::LogFull, &[c('[')], A::EarlierAttempt, "", "The attempt before"),
    b(C::LogFull, &[c(']')], A::LaterAttempt, "", "The next attempt"),
    b(C::Failure, &[c('r')], A::Retry, "retry", "Run the phase again from the step that failed"),
    b(C::Failure, &[c('R')], A::RetryFromStart, "from start", "Run the phase again from its first step; asks first"),
    b(
        C::Failure,
        &[c('h')],
        A::RetryHosts,
        "failed hosts",
        "Run the playbook again on the hosts alone that failed, where the profile allows it",
    ),
    b(C::Failure, &[c('s')], A::Skip, "skip", "Go on without the phase; shows what that means and asks why"),
    b(C::Failure, &[c('a')], A::Answers, "answers", "Change answers, then come back"),
    b(C::Failure, &[c('e')], A::Shell, "shell", "A shell where the step works"),
    b(C::Failure, &[c('l')], A::Log, "log", "The step's log"),
    b(C::Failure, &[k(KeyCode::PageDown)], A::PageDown, "scroll", "The panel a page down; PgUp: up"),
    b(C::Failure, &[c('j')], A::ScrollDown, "", "The panel a line down"),
    b(C::Failure, &[c('k')], A::ScrollUp, "", "The panel a line up"),
    b(C::Failure, &[c('Y')], A::CopyRemedy, "", "Copy the remedy's commands to the terminal's clipboard"),
    b(C::Failure, &[c('t')], A::Turn, "", "Log, tasks by host or resources by module, pods of the cluster"),
    b(C::Failure, &[c('F')], A::ToFailure, "failing line", "To the line of the log where the failing task is printed"),
    b(C::Failure, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::Failure, &[c('y')], A::Copy, "", "Copy the command to the terminal's clipboard"),
    b(C::Failure, &[ESC], A::Back, "phases", "Back to the phases"),
    // --- summary ---
    b(C::Summary, &[ESC, ENTER], A::Back, "run", "Back to the run"),
    b(C::Summary, &[c('n')], A::NewRun, "new run", "Open a new run of this site; asks first"),
    b(C::Summary, &[k(KeyCode::PageDown)], A::PageDown, "scroll", "A page down; PgUp: up"),
    // --- popups ---
    b(C::Confirm, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::Confirm, &[LEFT, k(KeyCode::BackTab), UP], A::Left, "", "Button to the left"),
    b(C::Confirm, &[RIGHT, TAB, DOWN], A::Right, "other button", "Button to the right"),
    b(C::Confirm, &[c('y')], A::Yes, "", "Yes"),
    b(C::Confirm, &[c('K')], A::StopNow, "", "Kill now, where that is offered"),
    b(C::Confirm, &[ESC, c('n')], A::Back, "cancel", "No"),
    b(C::Pick, &[ENTER, SPACE], A::Enter, "take", "Take what is selected"),
    b(C::Pick, &[ESC], A::Back, "cancel", "Leave it as it was"),
    b(C::Roles, &[SPACE], A::Toggle, "tick", "Tick the role"),
    b(C::Roles, &[ENTER, ESC], A::Back, "done", "Done"),
    b(C::HostKeys, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::HostKeys, &[LEFT, k(KeyCode::BackTab)], A::Left, "", "Button to the left"),
    b(C::HostKeys, &[RIGHT, TAB], A::Right, "other button", "Button to the right"),
    b(C::HostKeys, &[c('y')], A::Yes, "", "Record the new keys"),
    b(C::HostKeys, &[DOWN], A::Down, "scroll", "Further down; up: the arrow up"),
    b(C::HostKeys, &[ESC, c('n')], A::Back, "cancel", "Record nothing"),
    b(C::Fix, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::Fix, &[LEFT, k(KeyCode::BackTab)], A::Left, "", "Button to the left"),
    b(C::Fix, &[RIGHT, TAB], A::Right, "other button", "Button to the right"),
    b(C::Fix, &[c('y')], A::Yes, "", "Run the script on the first machine named"),
    b(C::Fix, &[DOWN], A::Down, "scroll", "Further down; up: the arrow up"),
    b(C::Fix, &[ESC, c('n')], A::Back, "cancel", "Run nothing; not while it runs"),
    b(C::QuestionText, &[ENTER], A::Enter, "answer", "Give the answer"),
    b(C::QuestionText, &[ctrl('o')], A::LeaveOpen, "leave open", "Leave the question open, where that is offered"),
    b(C::QuestionText, &[ESC], A::Back, "later", "Answer later; the run waits"),
    b(C::QuestionChoice, &[ENTER, SPACE], A::Enter, "do it", "Press the button"),
    b(C::QuestionChoice, &[LEFT, k(KeyCode::BackTab)], A::Left, "", "Button to the left"),
    b(C::QuestionChoice, &[RIGHT, TAB], A::Right, "other button", "Button to the right"),
    b(C::QuestionChoice, &[ESC], A::Back, "later", "Answer later; the run waits"),
    b(C::Help, &[ESC, ENTER, c('?'), k(KeyCode::F(1)), c('q')], A::Back, "close", "Close the help"),
];

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
