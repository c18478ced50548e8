//! The review: phases, commands and file diffs before anything is touched; starting a run.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use super::app::{Model, Next, Screen};
use super::desk::{Command, Trouble};
use super::keymap::{Action, Context};
use super::popup::{EntryFor, Popup, Then};
use super::preflight;
use crate::install::change::{Change, FileChange};
use crate::install::field::{Field, FieldKind};
use crate::install::ids::FieldId;
use crate::install::plan::{Plan, PlanPhase};
use crate::install::site::SecretRef;

/// The part of the screen that has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// The list.
    #[default]
    List,
    /// What is shown of the selected line.
    Detail,
    /// The buttons.
    Buttons(usize),
}

/// The review.
#[derive(Debug, Default)]
pub struct Review {
    /// The plan.
    pub plan: Option<Plan>,
    /// What would become of the files.
    pub files: Vec<FileChange>,
    /// Which line: the phases, then the files.
    pub selected: usize,
    /// How far the right side is scrolled.
    pub top: usize,
    /// What has the focus.
    pub focus: Focus,
    /// Secrets asked for so far before the run is opened.
    pub prompted: BTreeMap<FieldId, SecretString>,
    /// Whether the run shall begin once it is open.
    pub begin: bool,
    /// Whether it shall be a new one.
    pub new: bool,
    /// Whether the site has an engine, as far as is known: then it is joined, and has its secrets.
    pub living: bool,
}

/// The buttons below the plan.
pub const BUTTONS: [&str; 2] = ["Start the installation", "Back to the preflight"];

impl Review {
    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        if matches!(self.focus, Focus::Buttons(_)) { Context::Buttons } else { Context::Review }
    }

    /// Gives the focus to the list.
    pub fn focus_list(&mut self) {
        self.focus = Focus::List;
        self.top = 0;
    }

    /// How many lines the list has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.phases.len()) + self.files.len()
    }
}

/// A plan was made, or not.
pub fn planned(model: &mut Model, result: Result<Box<(Plan, Vec<FileChange>)>, Trouble>) -> Vec<Command> {
    model.busy = None;
    let next = std::mem::take(&mut model.next);
    let (plan, files) = match result {
        Ok(made) => *made,
        Err(trouble) => {
            model.popups.push(Popup::trouble("No plan can be made", &trouble));
            return Vec::new();
        }
    };
    let before = model.run.as_ref().and_then(|run| run.state.as_ref()).map(|state| state.plan.clone());
    model.review = Review { plan: Some(plan.clone()), files, ..Review::default() };
    match (next, before) {
        (Next::Continue, Some(before)) => {
            model.screen = Screen::Run;
            if before == plan {
                model.say("The answers are as they were");
            } else {
                tell_stale(model, &plan);
            }
            // A secret that was typed again stands where it stood: the plan does not show it.
            vec![Command::Renew { site: model.site_path() }]
        }
        (Next::Continue, None) => preflight::enter(model),
        _ => Vec::new(),
    }
}

/// Says which phases the new answers make stale, and what was settled before.
fn tell_stale(model: &mut Model, plan: &Plan) {
    let Some(state) = model.run.as_ref().and_then(|run| run.state.as_ref()) else { return };
    let stale = state.stale_with(plan);
    if stale.is_empty() {
        model.say("The run goes by the new answers; nothing that is done depends on them");
        return;
    }
    let mut text = String::from("These phases are done with the answers before, and run again when the run goes on:\n");
    for (phase, reason) in &stale {
        text.push_str(&format!("\n{phase}: {reason}"));
    }
    for costly in state.costly(plan) {
        text.push_str(&format!("\n\n{} was settled when phase {} began. {}", costly.label, costly.by, costly.cost));
    }
    model.popups.push(Popup::confirm("The run goes by the new answers", text, &[("Close", Some('y'), Then::Close)]));
}

/// The answers that differ between two plans, as far as a phase reads them.
#[must_use]
pub fn changed(before: &Plan, after: &Plan) -> Vec<String> {
    let reads = |plan: &Plan| -> BTreeMap<FieldId, String> { plan.phases.iter().flat_map(PlanPhase::answers).collect() };
    let (before, after) = (reads(before), reads(after));
    let names: BTreeSet<&FieldId> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(ToString::to_string).collect()
}

/// Does what a key on the review screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let page = usize::from(model.size.1 / 2).max(1);
    if action == Action::Start {
        ask_to_start(model);
        return Vec::new();
    }
    let review = &mut model.review;
    let last = review.count().saturating_sub(1);
    match (review.focus, action) {
        (_, Action::PageDown) => review.top += page,
        (_, Action::PageUp) => review.top = review.top.saturating_sub(page),
        (Focus::Buttons(_), Action::Back) | (_, Action::Back) => model.screen = Screen::Preflight,
        (Focus::List, Action::Up) => (review.selected, review.top) = (review.selected.saturating_sub(1), 0),
        (Focus::List, Action::Down) => (review.selected, review.top) = ((review.selected + 1).min(last), 0),
        (Focus::List, Action::Home) => (review.selected, review.top) = (0, 0),
        (Focus::List, Action::End) => (review.selected, review.top) = (last, 0),
        (Focus::List, Action::Right | Action::Next) => review.focus = Focus::Detail,
        (Focus::List, Action::Enter) | (Focus::Detail, Action::Next | Action::Enter) => review.focus = Focus::Buttons(0),
        (Focus::List, Action::Previous) => review.focus = Focus::Buttons(0),
        (Focus::Detail, Action::Up) => review.top = review.top.saturating_sub(1),
        (Focus::Detail, Action::Down) => review.top += 1,
        (Focus::Detail, Action::Home) => review.top = 0,
        (Focus::Detail, Action::Left | Action::Previous) => review.focus = Focus::List,
        (Focus::Buttons(_), Action::Next | Action::Up) => review.focus = Focus::List,
        (Focus::Buttons(_), Action::Previous) => review.focus = Focus::Detail,
        (Focus::Buttons(at), Action::Left) => review.focus = Focus::Buttons(at.saturating_sub(1)),
        (Focus::Buttons(at), Action::Right) => review.focus = Focus::Buttons((at + 1).min(BUTTONS.len() - 1)),
        (Focus::Buttons(0), Action::Enter | Action::Toggle) => ask_to_start(model),
        (Focus::Buttons(_), Action::Enter | Action::Toggle) => model.screen = Screen::Preflight,
        _ => {}
    }
    Vec::new()
}

fn ask_to_start(model: &mut Model) {
    let count = |change: Change| model.review.files.iter().filter(|file| file.change == change).count();
    let machines = model.review.plan.as_ref().map_or(0, |plan| plan.machines.len());
    let conflicts = count(Change::Conflict);
    let mut text = format!(
        "From here on things are changed: {} files are written on this node, then {machines} machines are set up.",
        count(Change::Create) + count(Change::Edit)
    );
    if conflicts > 0 {
        text.push_str(&format!(" {conflicts} files were edited by hand since the last time: they are kept as they are."));
    }
    let ignored = model.preflight.findings().filter(|finding| finding.ignored.is_some()).count();
    if ignored > 0 {
        text.push_str(&format!(" {ignored} findings are ignored by you."));
    }
    if model.rehearsal {
        text.push_str("\nThis is a rehearsal: nothing outside a scratch folder is touched.");
    }
    model.popups.push(Popup::confirm(
        "Start the installation?",
        text,
        &[("Not yet", None, Then::Close), ("Start", Some('y'), Then::Start)],
    ));
}

/// Opens the run and lets it begin.
pub fn start(model: &mut Model) -> Vec<Command> {
    open_run(model, true)
}

/// Asks before a new run is opened beside one that is there.
pub fn ask_for_new_run(model: &mut Model) {
    if model.run_is_busy() {
        model.complain("The run goes on: stop it first, from the run screen with x");
        return;
    }
    let Some(state) = model.run.as_ref().and_then(|run| run.state.as_ref()) else { return };
    let open = if state.is_complete() { "" } else { " This one is not finished: to go on with it, go back to the run instead." };
    model.popups.push(Popup::confirm(
        "Open a new run?",
        format!(
            "A new run begins with the first phase again, with the answers as they are now. Phases that find their work done are quick. Run \
             {} and its logs are kept.{open}\nNothing starts yet: the new run is opened, and waits for you.",
            state.run
        ),
        &[("No", None, Then::Close), ("Open a new run", Some('y'), Then::NewRun)],
    ));
}

/// Opens a new run.
pub fn new_run(model: &mut Model) -> Vec<Command> {
    model.review.new = true;
    open_run(model, false)
}

/// Opens the run of the site, after asking for secrets that are only asked for.
pub fn open_run(model: &mut Model, begin: bool) -> Vec<Command> {
    model.review.begin = begin;
    let Some(site) = &model.site else { return Vec::new() };
    // An engine that lives has been given them.
    let ask = !model.review.living || model.review.new;
    let missing = site.profile.fields.iter().find(|field: &&Field| {
        let asked = site.draft.secrets.get(field.id.as_str()).is_some_and(|text| text.parse() == Ok(SecretRef::Prompt));
        ask && field.kind == FieldKind::Secret && asked && !model.review.prompted.contains_key(&field.id)
    });
    if let Some(field) = missing {
        let popup = Popup::entry(
            &field.label,
            "The site asks for this secret when a run starts. It is kept in memory only.",
            "",
            EntryFor::Prompted(Box::new(field.clone())),
        );
        model.popups.push(popup);
        return Vec::new();
    }
    model.busy = Some("Opening the run".into());
    if model.review.living && !model.review.new {
        return vec![Command::Attach { site: model.site_path(), renew: begin }];
    }
    let secrets = std::mem::take(&mut model.review.prompted);
    let new = std::mem::take(&mut model.review.new);
    vec![Command::OpenRun { site: model.site_path(), secrets, new }]
}

/// A secret was typed before the run is opened.
pub fn prompted(model: &mut Model, field: FieldId, value: SecretString) -> Vec<Command> {
    model.review.prompted.insert(field, value);
    let begin = model.review.begin;
    open_run(model, begin)
}
