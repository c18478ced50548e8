//! The matrix of paths in the preflight: roles × roles, opened to machines × machines, opened to ports.

use std::collections::BTreeSet;

use super::keymap::Action;
use super::preflight::Preflight;
use crate::install::check::{Finding, Target, Verdict};
use crate::install::ids::{CheckId, RoleId};
use crate::install::plan::Plan;
use crate::install::reach::{LOCAL, ends, parts, with_roles};

/// How a finding begins that is about a cause said elsewhere.
const SAME: &str = "the same cause as ";

/// A check on a path.
pub type Key = (CheckId, Target);

/// Where the cursor is in the matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Row and column among the roles.
    pub roles: (usize, usize),
    /// Row and column among the machines of those roles, where they are opened.
    pub machines: Option<(usize, usize)>,
}

/// What a cell of the matrix stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// Nothing looks there.
    Empty,
    /// All paths are open.
    Open,
    /// All was skipped.
    Skipped,
    /// Some are not tried yet.
    Pending,
    /// Some are doubtful, or blocked where that does not matter.
    Warned,
    /// Some could not be told.
    Unknown,
    /// Some are blocked.
    Blocked,
}

/// A cell of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its paths, in order.
    pub keys: Vec<Key>,
}

/// One table: labels of rows and columns, and the cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Where paths begin.
    pub rows: Vec<String>,
    /// Where they end.
    pub columns: Vec<String>,
    /// Row by row.
    pub cells: Vec<Vec<Cell>>,
}

impl Table {
    /// The cell at a place; none outside.
    #[must_use]
    pub fn at(&self, place: (usize, usize)) -> Option<&Cell> {
        self.cells.get(place.0)?.get(place.1)
    }
}

/// Whether a finding is about a path from machine to machine.
#[must_use]
pub fn is_path(key: &Key) -> bool {
    parts(&key.1).is_some()
}

fn spread<'a>(plan: &'a Plan, pick: impl Fn(&'a [RoleId], &'a [RoleId]) -> &'a [RoleId]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (from, to) in plan.checks.iter().filter_map(|check| ends(&check.kind)) {
        for role in pick(from, to) {
            let there = role.as_str() == LOCAL || plan.machines.iter().any(|machine| machine.roles.contains(role));
            if there && !found.iter().any(|known| known == role.as_str()) {
                found.push(role.to_string());
            }
        }
    }
    // This machine first, then as the profile has its roles.
    let order = |name: &String| plan.roles.iter().position(|role| role.id == **name).map_or(0, |at| at + 1);
    found.sort_by_key(order);
    found
}

fn names(plan: &Plan, role: &str) -> Vec<String> {
    if role == LOCAL {
        return vec![LOCAL.to_owned()];
    }
    let role: Vec<RoleId> = role.parse().into_iter().collect();
    with_roles(plan, &role).map(|machine| machine.name.to_string()).collect()
}

/// Roles × roles.
#[must_use]
pub fn by_role(preflight: &Preflight, plan: &Plan) -> Table {
    let (rows, columns) = (spread(plan, |from, _| from), spread(plan, |_, to| to));
    let between = |from: &String, to: &String| {
        let (sources, targets): (BTreeSet<String>, BTreeSet<String>) =
            (names(plan, from).into_iter().collect(), names(plan, to).into_iter().collect());
        let looks = |check: &CheckId| {
            let ends = plan.check(check.as_str()).and_then(|check| ends(&check.kind));
            ends.is_some_and(|(one, other)| one.iter().any(|role| *role == **from) && other.iter().any(|role| *role == **to))
        };
        let inside = |key: &&Key| {
            looks(&key.0) && parts(&key.1).is_some_and(|(source, target, _)| sources.contains(source) && targets.contains(target))
        };
        Cell { keys: preflight.cells.keys().filter(inside).cloned().collect() }
    };
    let cells = rows.iter().map(|from| columns.iter().map(|to| between(from, to)).collect()).collect();
    Table { rows, columns, cells }
}

/// Machines × machines of one cell of the roles.
#[must_use]
pub fn by_machine(plan: &Plan, table: &Table, at: (usize, usize)) -> Table {
    let (Some(from), Some(to), Some(cell)) = (table.rows.get(at.0), table.columns.get(at.1), table.at(at)) else {
        return Table::default();
    };
    let (rows, columns) = (names(plan, from), names(plan, to));
    let between = |source: &String, target: &String| {
        let inside = |key: &&Key| parts(&key.1).is_some_and(|(from, to, _)| (from, to) == (source.as_str(), target.as_str()));
        Cell { keys: cell.keys.iter().filter(inside).cloned().collect() }
    };
    let cells = rows.iter().map(|source| columns.iter().map(|target| between(source, target)).collect()).collect();
    Table { rows, columns, cells }
}

/// The finding of a path, or the one that says its cause.
#[must_use]
pub fn cause<'a>(preflight: &'a Preflight, key: &Key) -> Option<&'a Finding> {
    let finding = preflight.cells.get(key)?.as_ref()?;
    let elsewhere = finding.observed.strip_prefix(SAME).filter(|_| finding.verdict == Verdict::Skipped).and_then(|rest| {
        let (check, target) = rest.split_once(" on ")?;
        preflight.cells.get(&(check.parse().ok()?, Target::try_from(target.to_owned()).ok()?))?.as_ref()
    });
    Some(elsewhere.unwrap_or(finding))
}

/// What one path stands for.
#[must_use]
pub fn colour_of(preflight: &Preflight, key: &Key) -> Colour {
    match cause(preflight, key) {
        None => Colour::Pending,
        Some(finding) => match finding.verdict {
            Verdict::Pass => Colour::Open,
            Verdict::Skipped => Colour::Skipped,
            Verdict::Warn => Colour::Warned,
            Verdict::Fail | Verdict::Unknown if finding.ignored.is_some() => Colour::Warned,
            Verdict::Unknown => Colour::Unknown,
            Verdict::Fail => Colour::Blocked,
        },
    }
}

/// What a cell stands for: the worst of its paths; and how many of them are not open.
#[must_use]
pub fn colour(preflight: &Preflight, cell: &Cell) -> (Colour, usize) {
    let colours: Vec<Colour> = cell.keys.iter().map(|key| colour_of(preflight, key)).collect();
    let worst = colours.iter().copied().max().unwrap_or(Colour::Empty);
    (worst, colours.iter().filter(|one| **one != Colour::Open).count())
}

/// The tables shown: the roles, and the machines where they are opened.
#[must_use]
pub fn tables(preflight: &Preflight, plan: &Plan) -> (Table, Option<Table>) {
    let roles = by_role(preflight, plan);
    let machines = preflight.paths.machines.map(|_| by_machine(plan, &roles, preflight.paths.roles));
    (roles, machines)
}

/// The cell under the cursor.
#[must_use]
pub fn selected(preflight: &Preflight, plan: &Plan) -> Option<Cell> {
    let (roles, machines) = tables(preflight, plan);
    match (machines, preflight.paths.machines) {
        (Some(machines), Some(at)) => machines.at(at).cloned(),
        _ => roles.at(preflight.paths.roles).cloned(),
    }
}

/// Does what a key means in the matrix; whether it meant anything.
pub fn act(preflight: &mut Preflight, plan: &Plan, action: Action) -> bool {
    let (roles, machines) = tables(preflight, plan);
    match (action, preflight.paths.machines) {
        (Action::Enter | Action::Toggle, None) => {
            if roles.at(preflight.paths.roles).is_some_and(|cell| !cell.keys.is_empty()) {
                preflight.paths.machines = Some((0, 0));
                let opened = by_machine(plan, &roles, preflight.paths.roles);
                preflight.paths.machines = Some(first(preflight, &opened));
            }
        }
        (Action::Enter | Action::Toggle | Action::Back, Some(_)) => preflight.paths.machines = None,
        (Action::Back, None) => return false,
        _ => {
            let table = machines.as_ref().unwrap_or(&roles);
            let place = preflight.paths.machines.unwrap_or(preflight.paths.roles);
            let (rows, columns) = (table.rows.len().saturating_sub(1), table.columns.len().saturating_sub(1));
            let next = match action {
                Action::Up | Action::PageUp => (place.0.saturating_sub(1), place.1),
                Action::Down | Action::PageDown => ((place.0 + 1).min(rows), place.1),
                Action::Left => (place.0, place.1.saturating_sub(1)),
                Action::Right => (place.0, (place.1 + 1).min(columns)),
                Action::Home => (0, 0),
                Action::End => (rows, columns),
                _ => return false,
            };
            match &mut preflight.paths.machines {
                Some(at) => *at = next,
                None => preflight.paths.roles = next,
            }
        }
    }
    point(preflight, plan);
    true
}

/// Where a table is worth looking at first: its worst cell.
fn first(preflight: &Preflight, table: &Table) -> (usize, usize) {
    let mut best = ((0, 0), Colour::Empty);
    for (row, cells) in table.cells.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (found, _) = colour(preflight, cell);
            if found > best.1 {
                best = ((row, column), found);
            }
        }
    }
    best.0
}

/// Comes to the matrix: the cursor goes to the worst cell.
pub fn enter(preflight: &mut Preflight, plan: &Plan) {
    preflight.paths = Place { roles: first(preflight, &by_role(preflight, plan)), machines: None };
    point(preflight, plan);
}

/// Lets the cursor of the preflight follow: it stands on the finding that says the most about the cell.
fn point(preflight: &mut Preflight, plan: &Plan) {
    let Some(cell) = selected(preflight, plan) else { return };
    let worst = cell.keys.iter().rev().max_by_key(|key| colour_of(preflight, key));
    preflight.cursor = worst.map(|key| match cause(preflight, key) {
        Some(finding) => (finding.check.clone(), finding.target.clone()),
        None => key.clone(),
    });
}
