//! The preflight: findings as they come in, filters, ignoring with a reason, watching until all is green.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::app::{Model, Screen};
use super::desk::{Again, Command, Trouble};
use super::keymap::{Action, Context};
use super::paths;
use super::popup::{EntryFor, Popup};
use super::{fix, host_keys};
use crate::install::check::{Cause, CheckSpec, Finding, Level, Summary, Target, Verdict};
use crate::install::ids::CheckId;
use crate::install::plan::Plan;

/// Seconds between two rounds of watching.
pub const WATCH_SECONDS: i64 = 5;

/// Which findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// All that is not green.
    NotGreen,
    /// What blocks.
    Blocking,
}

/// How they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Checks in rows, machines in columns.
    #[default]
    Matrix,
    /// One finding a line, failures first.
    List,
    /// Who reaches whom: roles × roles.
    Paths,
}

/// The preflight.
#[derive(Debug, Default)]
pub struct Preflight {
    /// Counts the rounds.
    pub round: u32,
    /// Whether a round is going on.
    pub running: bool,
    /// Whether rounds follow one another until all is green.
    pub watching: bool,
    /// When the last round ended.
    pub ended: Option<Timestamp>,
    /// What will be judged, and what was found; a finding of the round before stays until the new one comes.
    pub cells: BTreeMap<(CheckId, Target), Option<Finding>>,
    /// What this round has judged so far.
    pub judged: usize,
    /// What it will judge.
    pub expected: usize,
    /// Whether this round looks at a part only; the rest stays as it was.
    pub partial: bool,
    /// Whether the review follows by itself once nothing stands in the way.
    pub goes_on: bool,
    /// Which findings are shown.
    pub filter: Filter,
    /// How.
    pub layout: Layout,
    /// The cursor among the paths.
    pub paths: paths::Place,
    /// The cursor.
    pub cursor: Option<(CheckId, Target)>,
    /// Whether the buttons have the focus, and which.
    pub button: Option<usize>,
    /// Why the last round could not be carried through.
    pub trouble: Option<String>,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A heading.
    Group(&'static str),
    /// A check or a name, with its cells from left to right.
    Cells {
        /// What it is called.
        title: String,
        /// Its cells; none where the check does not look.
        cells: Vec<Option<(CheckId, Target)>>,
    },
}

impl Preflight {
    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        if self.button.is_some() { Context::Buttons } else { Context::Preflight }
    }

    /// The findings so far.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.cells.values().flatten()
    }

    /// How many there are of each verdict.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self.findings())
    }

    /// The buttons below the findings: word and effect.
    #[must_use]
    pub fn buttons(&self) -> Vec<(&'static str, Action)> {
        let mut buttons = vec![("Continue", Action::Continue), ("Check again", Action::Again), ("Back to the site", Action::Back)];
        if self.strangers() > 0 {
            buttons.insert(1, ("Host keys", Action::HostKeys));
        }
        buttons
    }

    /// On how many machines something is said about a host key that stands in the way.
    #[must_use]
    pub fn strangers(&self) -> usize {
        let about = |finding: &&Finding| finding.cause.is_some_and(Cause::is_host_key);
        self.findings().filter(about).count()
    }

    /// How many block.
    #[must_use]
    pub fn blocking(&self) -> usize {
        self.findings().filter(|finding| finding.blocks()).count()
    }

    /// Whether everything was judged and nothing blocks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.cells.is_empty() && !self.running && self.trouble.is_none() && self.blocking() == 0
    }

    /// The finding under the cursor.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.cells.get(self.cursor.as_ref()?)?.as_ref()
    }

    fn passes(&self, key: &(CheckId, Target)) -> bool {
        let finding = self.cells.get(key).and_then(Option::as_ref);
        match self.filter {
            Filter::All => true,
            Filter::NotGreen => finding.is_none_or(|finding| !matches!(finding.verdict, Verdict::Pass | Verdict::Skipped)),
            Filter::Blocking => finding.is_some_and(Finding::blocks),
        }
    }

    /// The findings of the list, the worst first.
    #[must_use]
    pub fn list(&self) -> Vec<(CheckId, Target)> {
        // Open paths are many, and have a matrix of their own.
        let worth = |key: &&(CheckId, Target)| !paths::is_path(key) || self.rank(key) < 5;
        let mut keys: Vec<_> = self.cells.keys().filter(|key| self.passes(key)).filter(worth).cloned().collect();
        keys.sort_by_key(|key| self.rank(key));
        keys
    }

    fn rank(&self, key: &(CheckId, Target)) -> u8 {
        match self.cells.get(key).and_then(Option::as_ref) {
            Some(finding) if finding.blocks() && finding.verdict == Verdict::Fail => 0,
            Some(finding) if finding.blocks() => 1,
            Some(Finding { verdict: Verdict::Warn, .. }) => 2,
            Some(Finding { verdict: Verdict::Fail | Verdict::Unknown, .. }) => 3,
            None => 4,
            Some(Finding { verdict: Verdict::Skipped, .. }) => 5,
            Some(_) => 6,
        }
    }

    /// The rows of the matrix: machines, the deployment node, names and paths; in each group rows with the worst first.
    #[must_use]
    pub fn rows(&self, plan: &Plan) -> Vec<Row> {
        let machines: Vec<Target> = plan.machines.iter().map(|machine| Target::Machine(machine.name.clone())).collect();
        let mut groups: [Vec<(u8, usize, Row)>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        let order = |check: &CheckId| plan.checks.iter().position(|spec| spec.id == *check).unwrap_or(usize::MAX);
        let title = |check: &CheckId| plan.check(check.as_str()).map_or_else(|| check.to_string(), |spec: &CheckSpec| spec.title.clone());
        let mut checks: Vec<&CheckId> = self.cells.keys().map(|(check, _)| check).collect();
        checks.dedup();
        for check in checks {
            let of_check: Vec<&(CheckId, Target)> = self.cells.keys().filter(|(other, _)| other == check).collect();
            let shown: Vec<&(CheckId, Target)> = of_check.into_iter().filter(|key| self.passes(key)).collect();
            let worst = |keys: &[&(CheckId, Target)]| keys.iter().map(|key| self.rank(key)).min().unwrap_or(9);
            let on_machines: Vec<_> = shown.iter().copied().filter(|(_, target)| machines.contains(target)).collect();
            if !on_machines.is_empty() {
                let cell = |target: &Target| on_machines.iter().find(|key| key.1 == *target).map(|key| (*key).clone());
                let row = Row::Cells { title: title(check), cells: machines.iter().map(cell).collect() };
                groups[1].push((worst(&on_machines), order(check), row));
            }
            // Paths are many: the worst stands for all of a check, and the matrix of paths has each.
            if let Some(key) = shown.iter().copied().filter(|key| paths::is_path(key)).min_by_key(|key| self.rank(key)) {
                let row = Row::Cells { title: title(check), cells: vec![Some(key.clone())] };
                groups[2].push((self.rank(key), order(check), row));
            }
            for key in shown.into_iter().filter(|key| !machines.contains(&key.1) && !paths::is_path(key)) {
                let (group, name) = match &key.1 {
                    Target::Local | Target::Machine(_) => (0, title(check)),
                    // Several checks may look at one name: github.com is on the way to many things.
                    Target::Name(name) if self.cells.keys().any(|other| other.1 == key.1 && other.0 != key.0) => {
                        (2, format!("{name}: {}", title(check)))
                    }
                    Target::Name(name) => (2, name.clone()),
                    Target::Path(path) => (2, path.clone()),
                };
                groups[group].push((worst(&[key]), order(check), Row::Cells { title: name, cells: vec![Some(key.clone())] }));
            }
        }
        let mut rows = Vec::new();
        for (name, mut group) in ["This deployment node", "Machines", "Names and addresses"].into_iter().zip(groups) {
            if group.is_empty() {
                continue;
            }
            group.sort_by_key(|(rank, order, _)| (*rank, *order));
            rows.push(Row::Group(name));
            rows.extend(group.into_iter().map(|(_, _, row)| row));
        }
        rows
    }
}

/// Whether a finding is about a host key that is not the one recorded.
#[must_use]
pub fn is_about_host_key(finding: &Finding) -> bool {
    matches!(finding.target, Target::Machine(_)) && finding.verdict != Verdict::Pass && finding.observed.contains("host key")
}

/// Comes to the preflight and starts a round.
pub fn enter(model: &mut Model) -> Vec<Command> {
    model.screen = Screen::Preflight;
    model.preflight = Preflight { round: model.preflight.round, ..Preflight::default() };
    again(model)
}

/// Starts a whole round.
pub fn again(model: &mut Model) -> Vec<Command> {
    again_with(model, Again::All)
}

/// Starts a round, or a part of one.
pub fn again_with(model: &mut Model, again: Again) -> Vec<Command> {
    let preflight = &mut model.preflight;
    preflight.round += 1;
    preflight.running = true;
    preflight.partial = again != Again::All;
    preflight.judged = 0;
    preflight.trouble = None;
    let round = preflight.round;
    vec![Command::Preflight { site: model.site_path(), round, again }]
}

/// A round begins.
pub fn started(model: &mut Model, round: u32, expected: Vec<(CheckId, Target)>) {
    let preflight = &mut model.preflight;
    if round != preflight.round {
        return;
    }
    let mut before = std::mem::take(&mut preflight.cells);
    preflight.expected = expected.len();
    preflight.cells = expected.into_iter().map(|key| (key.clone(), before.remove(&key).flatten())).collect();
    if preflight.partial {
        before.append(&mut preflight.cells);
        preflight.cells = before;
    }
    if preflight.cursor.as_ref().is_none_or(|cursor| !preflight.cells.contains_key(cursor)) {
        preflight.cursor = None;
    }
}

/// Something was judged. Whether the screen is another for it: while watching, what is as it was changes nothing.
pub fn found(model: &mut Model, round: u32, finding: Finding) -> bool {
    let preflight = &mut model.preflight;
    if round != preflight.round {
        return false;
    }
    preflight.judged += 1;
    let key = (finding.check.clone(), finding.target.clone());
    let same = matches!(preflight.cells.get(&key), Some(Some(before)) if before.says_the_same(&finding));
    if !same {
        preflight.cells.insert(key, Some(finding));
    }
    !(same && preflight.watching)
}

/// A round ended.
pub fn ended(model: &mut Model, round: u32, result: Result<(), Trouble>) -> Vec<Command> {
    if round != model.preflight.round {
        return Vec::new();
    }
    let now = model.now;
    let preflight = &mut model.preflight;
    preflight.running = false;
    preflight.ended = Some(now);
    preflight.trouble = result.err().map(|trouble| trouble.message);
    // What was expected and never came says so by staying open; it does not count as judged.
    preflight.cells.retain(|_, finding| finding.is_some());
    if preflight.cursor.is_none() {
        preflight.cursor = first(preflight, model.review.plan.as_ref());
    }
    let (green, strangers) = (preflight.is_open(), preflight.strangers());
    if strangers > 0 {
        let machines = if strangers == 1 { "1 machine is".to_owned() } else { format!("{strangers} machines are") };
        model.say(format!("{machines} not known by host key yet: k shows the keys, to compare and record them"));
        return Vec::new();
    }
    if preflight.watching && green {
        preflight.watching = false;
        let goes_on = std::mem::take(&mut preflight.goes_on) && model.popups.is_empty();
        let mut commands = if goes_on { go_on(model) } else { Vec::new() };
        if !goes_on {
            model.say("Nothing stands in the way any more: c goes on");
        }
        commands.push(Command::Notify("Preflight: nothing stands in the way".into()));
        return commands;
    }
    Vec::new()
}

/// Where the cursor stands at first: on the gravest finding, and where all is green on the first row.
fn first(preflight: &Preflight, plan: Option<&Plan>) -> Option<(CheckId, Target)> {
    let gravest = preflight.list().into_iter().next()?;
    let top = |plan: &Plan| {
        preflight.rows(plan).into_iter().find_map(|row| match row {
            Row::Cells { cells, .. } => cells.into_iter().flatten().next(),
            Row::Group(_) => None,
        })
    };
    let open = preflight.rank(&gravest) < 5 || preflight.layout != Layout::Matrix;
    if open { Some(gravest) } else { plan.and_then(top).or(Some(gravest)) }
}

/// The next round of watching, when it is due.
pub fn tick(model: &mut Model) -> Vec<Command> {
    let preflight = &model.preflight;
    let due = preflight.ended.is_some_and(|ended| model.now.as_second() - ended.as_second() >= WATCH_SECONDS);
    if model.screen == Screen::Preflight && preflight.watching && !preflight.running && due {
        let known = preflight.findings().cloned().collect();
        again_with(model, Again::Open(known))
    } else {
        Vec::new()
    }
}

/// A finding is ignored, or counts again.
pub fn ignored(model: &mut Model, check: &CheckId, target: &Target, result: Result<Option<String>, Trouble>) {
    match result {
        Ok(reason) => {
            if let Some(Some(finding)) = model.preflight.cells.get_mut(&(check.clone(), target.clone())) {
                finding.ignored = reason;
            }
        }
        Err(trouble) => model.popups.push(Popup::trouble("The decision cannot be kept", &trouble)),
    }
}

/// Asks the desk to ignore a finding, or to count it again.
pub fn ignore(model: &mut Model, check: CheckId, target: Target, reason: Option<(String, String)>) -> Vec<Command> {
    vec![Command::Ignore { site: model.site_path(), check, target, reason }]
}

/// Does what a key on the preflight screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    match action {
        Action::Continue => return go_on(model),
        Action::Again => return if model.preflight.running { Vec::new() } else { again(model) },
        Action::HostKeys => return host_keys::ask(model),
        Action::Fix => return fix::ask(model),
        _ => {}
    }
    if let Some(button) = model.preflight.button {
        return match action {
            Action::Left => {
                model.preflight.button = Some(button.saturating_sub(1));
                Vec::new()
            }
            Action::Right => {
                model.preflight.button = Some((button + 1).min(model.preflight.buttons().len() - 1));
                Vec::new()
            }
            Action::Up | Action::Previous | Action::Next => {
                model.preflight.button = None;
                Vec::new()
            }
            Action::Enter | Action::Toggle => match model.preflight.buttons().get(button) {
                Some((_, Action::Back)) | None => back(model),
                Some((_, action)) => act(model, *action),
            },
            Action::Back => back(model),
            _ => Vec::new(),
        };
    }
    let preflight = &mut model.preflight;
    if let (Layout::Paths, Some(plan)) = (preflight.layout, &model.review.plan)
        && paths::act(preflight, plan, action)
    {
        return Vec::new();
    }
    match action {
        Action::Next | Action::Enter | Action::Previous => preflight.button = Some(0),
        Action::Back => return back(model),
        Action::Watch => {
            preflight.watching = !preflight.watching;
            preflight.goes_on = false;
            if preflight.watching && !preflight.running {
                let known = preflight.findings().cloned().collect();
                return again_with(model, Again::Open(known));
            }
        }
        Action::Filter => {
            preflight.filter = match preflight.filter {
                Filter::All => Filter::NotGreen,
                Filter::NotGreen => Filter::Blocking,
                Filter::Blocking => Filter::All,
            };
            // The detail below is about a row that can be seen.
            if preflight.cursor.as_ref().is_some_and(|cursor| !preflight.passes(cursor)) {
                preflight.cursor = first(preflight, model.review.plan.as_ref());
            }
        }
        Action::Switch => {
            let has_paths = preflight.cells.keys().any(paths::is_path);
            preflight.layout = match preflight.layout {
                Layout::Matrix => Layout::List,
                Layout::List if has_paths => Layout::Paths,
                Layout::List | Layout::Paths => Layout::Matrix,
            };
            if let (Layout::Paths, Some(plan)) = (preflight.layout, &model.review.plan) {
                paths::enter(preflight, plan);
            }
        }
        Action::Ignore => return ask_to_ignore(model),
        _ => move_cursor(model, action),
    }
    Vec::new()
}

fn back(model: &mut Model) -> Vec<Command> {
    model.preflight.button = None;
    model.preflight.watching = false;
    model.screen = Screen::Site;
    if std::mem::take(&mut model.preflight.running) { vec![Command::CancelPreflight] } else { Vec::new() }
}

fn go_on(model: &mut Model) -> Vec<Command> {
    let blocking = model.preflight.blocking();
    if model.preflight.watching && (model.preflight.running || blocking > 0) {
        let goes_on = !model.preflight.goes_on;
        model.preflight.goes_on = goes_on;
        model.say(if goes_on { "The review follows as soon as nothing stands in the way; c again: stay here" } else { "Stays here" });
        return Vec::new();
    }
    if model.preflight.running {
        model.complain("The preflight is still going on");
    } else if blocking > 0 {
        model.complain(format!("{blocking} findings block. Put them right and press r, or ignore one with i and a reason"));
        model.preflight.button = None;
        model.preflight.cursor = model.preflight.list().into_iter().next();
    } else if !model.preflight.is_open() {
        model.complain("The preflight was not carried through; press r");
    } else {
        model.preflight.watching = false;
        model.screen = Screen::Review;
        model.review.focus_list();
    }
    Vec::new()
}

fn ask_to_ignore(model: &mut Model) -> Vec<Command> {
    let Some(finding) = model.preflight.finding().cloned() else { return Vec::new() };
    if finding.ignored.is_some() {
        return ignore(model, finding.check, finding.target, None);
    }
    if finding.level == Level::Strict && matches!(finding.verdict, Verdict::Fail | Verdict::Unknown) {
        model.complain("This one cannot be ignored: the installation does not work with it");
    } else if finding.blocks() {
        model.popups.push(Popup::entry(
            "Ignore this finding",
            format!(
                "{} on {}: {}\nOnly this check on this target is ignored. Why? The reason is kept with the run, with your name.",
                finding.check, finding.target, finding.observed
            ),
            "",
            EntryFor::Ignore { check: finding.check, target: finding.target },
        ));
    } else {
        model.say("This finding blocks nothing");
    }
    Vec::new()
}

fn move_cursor(model: &mut Model, action: Action) {
    let page = usize::from(model.size.1 / 3).max(1);
    let Some(plan) = &model.review.plan else { return };
    let preflight = &mut model.preflight;
    if preflight.layout == Layout::List {
        let list = preflight.list();
        let at = preflight.cursor.as_ref().and_then(|cursor| list.iter().position(|key| key == cursor));
        let last = list.len().saturating_sub(1);
        let next = step(at, last, page, action);
        preflight.cursor = list.get(next).cloned().or(preflight.cursor.take());
        return;
    }
    let rows: Vec<Vec<Option<(CheckId, Target)>>> = preflight
        .rows(plan)
        .into_iter()
        .filter_map(|row| match row {
            Row::Cells { cells, .. } => Some(cells),
            Row::Group(_) => None,
        })
        .collect();
    let place = preflight.cursor.as_ref().and_then(|cursor| {
        rows.iter()
            .enumerate()
            .find_map(|(row, cells)| cells.iter().position(|cell| cell.as_ref() == Some(cursor)).map(|column| (row, column)))
    });
    let (row, column) = place.unwrap_or((0, 0));
    let next = match action {
        Action::Left | Action::Right => {
            let cells = rows.get(row).map(Vec::as_slice).unwrap_or_default();
            let seek = |mut columns: Box<dyn Iterator<Item = usize>>| columns.find_map(|column| cells.get(column).cloned().flatten());
            if action == Action::Left { seek(Box::new((0..column).rev())) } else { seek(Box::new(column + 1..cells.len())) }
        }
        _ => {
            let target = step(place.map(|(row, _)| row), rows.len().saturating_sub(1), page, action);
            rows.get(target).and_then(|cells| {
                let near = |cells: &[Option<(CheckId, Target)>]| {
                    let filled = cells.iter().enumerate().filter(|(_, cell)| cell.is_some());
                    filled.min_by_key(|(at, _)| at.abs_diff(column)).and_then(|(_, cell)| cell.clone())
                };
                near(cells)
            })
        }
    };
    if next.is_some() {
        preflight.cursor = next;
    }
}

fn step(at: Option<usize>, last: usize, page: usize, action: Action) -> usize {
    let Some(at) = at else { return 0 };
    match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => (at + 1).min(last),
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => (at + page).min(last),
        Action::Home => 0,
        Action::End => last,
        _ => at,
    }
}
