//! The whole screen as a value: model, messages, and what a message makes of the model. No files, no clock, no processes.

use std::path::{Path, PathBuf};

use crossterm::event::KeyEvent;
use jiff::Timestamp;
use ratatui::Frame;

use super::desk::{Command, Told, Trouble};
use super::keymap::{self, Action, Context};
use super::popup::Popup;
use super::preflight::Preflight;
use super::review::Review;
use super::run::Run;
use super::site::SiteForm;
use super::start::Start;
use super::theme::Look;
use super::{
    advanced, fix, form, help, host_keys, import, log_keys, machines, popup_keys, preflight, preflight_view, review, review_view, run,
    run_keys, run_view, start, summary, widgets,
};
use crate::engine::client::Update;

/// Below this width or height the screen says so and draws nothing else.
pub const LEAST: (u16, u16) = (60, 15);

/// Which screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Screen {
    /// What to do.
    Start,
    /// The answers.
    Site,
    /// The findings.
    Preflight,
    /// The plan.
    Review,
    /// The run.
    Run,
    /// What was reached.
    Summary,
}

/// What happened.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// A text was pasted.
    Paste(String),
    /// The terminal has another size: columns, rows.
    Resize(u16, u16),
    /// Time has passed.
    Tick(Timestamp),
    /// A desk tells something; never [`Told::Attached`] with a client, which the shell keeps.
    Told(Told),
    /// The shell holds a client of the run in this folder.
    Joined(PathBuf),
    /// The engine tells something.
    Update(Update),
    /// What the terminal was lent to, a shell or a pager, has ended; with a reason where it could not be started.
    TakenBack(Option<String>),
    /// Somebody outside asks the program to end.
    Terminate,
    /// The terminal is gone.
    Gone,
}

/// What is done once a site is written and planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// Nothing more.
    #[default]
    Stay,
    /// To the preflight, or back to the run with a new plan.
    Continue,
    /// The program ends.
    Leave,
}

/// A line about what just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub text: String,
    /// Whether it is bad.
    pub bad: bool,
}

/// Everything the screen shows.
#[derive(Debug)]
pub struct Model {
    /// Columns and rows.
    pub size: (u16, u16),
    /// What the terminal can show.
    pub look: Look,
    /// Whether this is a rehearsal.
    pub rehearsal: bool,
    /// The time of the last tick.
    pub now: Timestamp,
    /// Which screen is shown.
    pub screen: Screen,
    /// The start screen.
    pub start: Start,
    /// The site being answered.
    pub site: Option<SiteForm>,
    /// The preflight.
    pub preflight: Preflight,
    /// The plan.
    pub review: Review,
    /// The run.
    pub run: Option<Run>,
    /// How far the summary is scrolled.
    pub summary_top: usize,
    /// What lies above the screen, the last on top.
    pub popups: Vec<Popup>,
    /// What just happened.
    pub notice: Option<Notice>,
    /// What the desk is doing.
    pub busy: Option<String>,
    /// What comes after that.
    pub next: Next,
    /// Whether the program is being left; the run, if there is one, goes on.
    pub leaving: bool,
    /// Whether the screen must be drawn again.
    pub dirty: bool,
}

impl Model {
    /// A model that shows the start screen.
    #[must_use]
    pub fn new(size: (u16, u16), look: Look, rehearsal: bool, now: Timestamp) -> Self {
        Self {
            size,
            look,
            rehearsal,
            now,
            screen: Screen::Start,
            start: Start::default(),
            site: None,
            preflight: Preflight::default(),
            review: Review::default(),
            run: None,
            summary_top: 0,
            popups: Vec::new(),
            notice: None,
            busy: None,
            next: Next::Stay,
            leaving: false,
            dirty: true,
        }
    }

    /// What is done first: the overview, a site where one was named, and its open run where `open_run` says so.
    pub fn begin(&mut self, site: Option<&Path>, open_run: bool) -> Vec<Command> {
        self.start.resume = open_run && site.is_some();
        let mut commands = vec![Command::LoadOverview];
        if let Some(path) = site {
            self.busy = Some(format!("Reading {}", path.display()));
            commands.push(Command::LoadSite { path: path.to_owned() });
        }
        commands
    }

    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        if let Some(popup) = self.popups.last() {
            return popup.context();
        }
        match self.screen {
            Screen::Start => Context::Start,
            Screen::Site => self.site.as_ref().map_or(Context::Start, SiteForm::context),
            Screen::Preflight => self.preflight.context(),
            Screen::Review => self.review.context(),
            Screen::Run => self.run.as_ref().map_or(Context::Start, Run::context),
            Screen::Summary => Context::Summary,
        }
    }

    /// The screen's own context while a button of it has the focus.
    #[must_use]
    pub fn behind_buttons(&self) -> Context {
        match self.screen {
            Screen::Site => Context::Sections,
            Screen::Preflight => Context::Preflight,
            Screen::Review => Context::Review,
            _ => Context::Buttons,
        }
    }

    /// Says something in the status line.
    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: false });
    }

    /// Says in the status line what is wrong.
    pub fn complain(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), bad: true });
    }

    /// Whether a step is running or about to.
    #[must_use]
    pub fn run_is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(Run::is_busy)
    }

    /// The site file, where there is one.
    #[must_use]
    pub fn site_path(&self) -> PathBuf {
        self.site.as_ref().map(|site| site.path.clone()).unwrap_or_default()
    }

    /// How often a tick is wanted, milliseconds.
    #[must_use]
    pub fn tick_milliseconds(&self) -> u64 {
        let unseen = matches!(self.popups.last(), Some(Popup::Question(asked)) if !asked.armed);
        if unseen || (self.screen == Screen::Run && self.run_is_busy()) { 100 } else { 500 }
    }
}

/// What a message makes of the model, and which effects it wants.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Command> {
    match msg {
        Msg::Key(key) => {
            model.dirty = true;
            model.notice = None;
            press(model, key)
        }
        Msg::Paste(text) => {
            model.dirty = true;
            if is_too_small(model.size) { Vec::new() } else { paste(model, &text) }
        }
        Msg::Resize(columns, rows) => {
            model.size = (columns, rows);
            model.dirty = true;
            run::refresh_log(model, true)
        }
        Msg::Tick(now) => {
            // Clocks on the screen count seconds.
            model.dirty |= now.as_second() != model.now.as_second() && (model.screen == Screen::Run || model.preflight.watching);
            model.now = now;
            popup_keys::seen(model);
            let mut commands = preflight::tick(model);
            if model.screen == Screen::Run {
                commands.extend(run::refresh_log(model, false));
            }
            commands
        }
        Msg::Told(told) => tell(model, told),
        Msg::Joined(folder) => {
            model.dirty = true;
            run::joined(model, folder)
        }
        Msg::Update(update) => run::updated(model, update),
        Msg::TakenBack(reason) => {
            model.dirty = true;
            if let Some(reason) = reason {
                model.complain(reason);
            }
            Vec::new()
        }
        // Nobody has asked the run to stop: its engine is a process of its own, and goes on.
        Msg::Gone | Msg::Terminate => leave(model),
    }
}

fn is_too_small((columns, rows): (u16, u16)) -> bool {
    columns < LEAST.0 || rows < LEAST.1
}

fn press(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    // What cannot be seen is not decided; leaving is asked about, or done where nothing is lost.
    if is_too_small(model.size) {
        let leaves = keymap::action(Context::Anywhere, key) == Some(Action::Quit);
        return if leaves { quit(model) } else { Vec::new() };
    }
    let context = model.context();
    // On a button the keys of its screen hold as well.
    let behind = if context == Context::Buttons { model.behind_buttons() } else { context };
    let Some(action) = keymap::action(context, key).or_else(|| keymap::action(behind, key)) else {
        return type_key(model, key);
    };
    match action {
        Action::Help => {
            model.popups.push(Popup::Help { context, top: 0 });
            Vec::new()
        }
        Action::Quit => quit(model),
        _ if !model.popups.is_empty() => popup_keys::act(model, action),
        _ => match model.screen {
            Screen::Start => start::act(model, action),
            Screen::Site => form::act(model, action),
            Screen::Preflight => preflight::act(model, action),
            Screen::Review => review::act(model, action),
            Screen::Run => run_keys::act(model, action),
            Screen::Summary => summary::act(model, action),
        },
    }
}

fn type_key(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    if !model.popups.is_empty() {
        return popup_keys::type_key(model, key);
    }
    if model.screen == Screen::Site {
        match model.context() {
            Context::TextField => form::type_key(model, key),
            Context::Cell => machines::type_key(model, key),
            Context::AdvancedSearch => advanced::type_key(model, key),
            _ => {}
        }
    }
    Vec::new()
}

fn paste(model: &mut Model, text: &str) -> Vec<Command> {
    if !model.popups.is_empty() {
        popup_keys::paste(model, text);
    } else if model.screen == Screen::Site {
        match model.context() {
            Context::TextField => form::paste(model, text),
            Context::Cell => machines::paste(model, text),
            Context::AdvancedSearch => advanced::paste(model, text),
            _ => {}
        }
    }
    Vec::new()
}

fn tell(model: &mut Model, told: Told) -> Vec<Command> {
    let dirty = std::mem::replace(&mut model.dirty, true);
    match told {
        Told::Overview(result) => start::overview(model, result),
        Told::Site(result) => start::loaded(model, result),
        Told::Fetching(progress) => {
            model.start.fetching = Some(progress);
            Vec::new()
        }
        Told::Fetched(result) => start::fetched(model, result),
        Told::Saved(result) => form::saved(model, result),
        Told::Knobs(result) => {
            match (result, &mut model.site) {
                (Ok(knobs), Some(site)) => {
                    site.knobs = Some(knobs);
                    site.check();
                }
                (Err(trouble), Some(site)) => site.advanced.trouble = Some(trouble.message),
                _ => {}
            }
            Vec::new()
        }
        Told::SecretStored { field, reference } => {
            form::secret_stored(model, &field, reference);
            Vec::new()
        }
        Told::Planned(result) => review::planned(model, result),
        Told::PreflightStarted { round, expected } => {
            preflight::started(model, round, expected);
            Vec::new()
        }
        Told::Finding { round, finding } => {
            // A finding that says what is shown already is no reason to draw.
            model.dirty = preflight::found(model, round, *finding) || dirty;
            Vec::new()
        }
        Told::PreflightEnded { round, result } => preflight::ended(model, round, result),
        Told::Ignored { check, target, result } => {
            preflight::ignored(model, &check, &target, result);
            Vec::new()
        }
        Told::MendSaid { target, line } => {
            fix::said(model, target, line);
            Vec::new()
        }
        Told::Mended(result) => fix::mended(model, result),
        Told::HostKeys(result) => {
            host_keys::seen(model, result);
            Vec::new()
        }
        Told::HostKeysRecorded(result) => host_keys::recorded(model, result),
        Told::Imported(result) => {
            import::read(model, result);
            Vec::new()
        }
        // With answers, the shell hands them on.
        Told::Renewed(result) => {
            if let Err(trouble) = result {
                model.popups.push(Popup::trouble("The engine cannot be told of the answers", &trouble));
            }
            Vec::new()
        }
        Told::Attached(result) => {
            model.busy = None;
            if let Err(trouble) = result {
                model.popups.push(Popup::trouble("The run cannot be opened", &trouble));
            }
            Vec::new()
        }
        Told::Warning { title, text } => {
            model.popups.push(Popup::trouble(title, &Trouble::new(text)));
            Vec::new()
        }
        Told::Alone => {
            // It has ended since: one is started, after asking for what it needs.
            model.review.living = false;
            let begin = model.review.begin;
            review::open_run(model, begin)
        }
        Told::Log { ticket, window } => {
            // Drawn only where it changed something, or where a key is still to be shown.
            let (changed, commands) = log_keys::arrived(model, ticket, window);
            model.dirty = changed || dirty;
            commands
        }
        Told::Events { ticket, read } => run::events_arrived(model, ticket, &read),
        Told::History(history) => run::history_arrived(model, *history),
        Told::LogSearching { ticket, at } => {
            model.dirty = dirty;
            log_keys::searching(model, ticket, at);
            Vec::new()
        }
        Told::LogIndexed { ticket, purpose, known, ended } => {
            model.dirty = dirty;
            log_keys::indexed(model, ticket, purpose, known, ended)
        }
        Told::LogSaved(result) => {
            log_keys::saved(model, result);
            Vec::new()
        }
        Told::LogFound { ticket, found } => log_keys::found(model, ticket, found),
    }
}

/// Asks where something would be lost, else leaves.
fn quit(model: &mut Model) -> Vec<Command> {
    if model.popups.last().is_some_and(Popup::is_leaving) {
        return Vec::new();
    }
    if model.site.as_ref().is_some_and(SiteForm::is_changed) {
        model.popups.push(Popup::leave_unsaved());
        Vec::new()
    } else {
        leave(model)
    }
}

/// Ends the program.
pub fn leave(model: &mut Model) -> Vec<Command> {
    model.leaving = true;
    vec![Command::Quit]
}

/// Draws the model.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if is_too_small((area.width, area.height)) {
        widgets::too_small(frame, area, model.rehearsal);
    } else {
        let full = model.screen == Screen::Run && model.run.as_ref().is_some_and(|run| run.full);
        if full {
            run_view::full_log(model, frame, area);
        } else {
            let body = widgets::page(model, frame, area);
            match model.screen {
                Screen::Start => start::view(model, frame, body),
                Screen::Site => super::form_view::view(model, frame, body),
                Screen::Preflight => preflight_view::view(model, frame, body),
                Screen::Review => review_view::view(model, frame, body),
                Screen::Run => run_view::view(model, frame, body),
                Screen::Summary => summary::view(model, frame, body),
            }
        }
        let area = super::layout::page(area, model.rehearsal).body;
        let depth = model.popups.len();
        for (number, popup) in model.popups.iter().enumerate() {
            match popup {
                Popup::Help { context, top } => help::view(*context, *top, frame, area),
                other => super::popup_view::view(model, other, frame, area, number + 1 == depth),
            }
        }
    }
    model.look.apply(frame.buffer_mut());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::log_source::LogWindow;

    #[test]
    fn a_log_that_changed_nothing_takes_no_frame_away_from_a_key() {
        let mut model = Model::new((120, 40), Look::default(), false, Timestamp::UNIX_EPOCH);
        for dirty in [false, true] {
            model.dirty = dirty;
            drop(update(&mut model, Msg::Told(Told::Log { ticket: 1, window: Ok(LogWindow::default()) })));
            assert_eq!(model.dirty, dirty);
        }
    }
}
