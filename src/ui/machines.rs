//! The table of machines: a cursor over cells, typing, adding, removing, pasting a column.

use crossterm::event::KeyEvent;

use super::app::Model;
use super::desk::Command;
use super::form;
use super::input::Line;
use super::keymap::{Action, Context};
use super::popup::Popup;
use super::site::{Part, SiteForm};
use crate::install::site::{Draft, DraftMachine};

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Column {
    /// The name.
    #[default]
    Name,
    /// The roles.
    Roles,
    /// The private address.
    Address,
    /// The public address.
    Public,
    /// The SSH user.
    User,
    /// A button that removes the machine.
    Remove,
}

/// The columns, from left to right.
pub const COLUMNS: [Column; 6] = [Column::Name, Column::Roles, Column::Address, Column::Public, Column::User, Column::Remove];

impl Column {
    /// Its heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Roles => "Roles",
            Self::Address => "Private address",
            Self::Public => "Public address",
            Self::User => "SSH user",
            Self::Remove => "",
        }
    }

    /// The item of a problem's key.
    #[must_use]
    pub fn item(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Roles => "roles",
            Self::Address => "address",
            Self::Public => "public_address",
            Self::User => "user",
            Self::Remove => "",
        }
    }

    /// What a machine has in it.
    #[must_use]
    pub fn text(self, machine: &DraftMachine) -> String {
        match self {
            Self::Name => machine.name.clone(),
            Self::Roles => machine.roles.join(", "),
            Self::Address => machine.address.clone(),
            Self::Public => machine.public_address.clone().unwrap_or_default(),
            Self::User => machine.user.clone().unwrap_or_default(),
            Self::Remove => String::new(),
        }
    }

    fn set(self, machine: &mut DraftMachine, text: &str) {
        let text = text.trim();
        let option = || (!text.is_empty()).then(|| text.to_owned());
        match self {
            Self::Name => text.clone_into(&mut machine.name),
            Self::Address => text.clone_into(&mut machine.address),
            Self::Public => machine.public_address = option(),
            Self::User => machine.user = option(),
            Self::Roles | Self::Remove => {}
        }
    }
}

/// The cursor in the table.
#[derive(Debug, Clone, Default)]
pub struct Machines {
    /// The row; the one below the last machine adds one.
    pub row: usize,
    /// The column.
    pub column: usize,
    /// The text of the cell.
    pub line: Line,
}

impl Machines {
    /// The column of the cursor.
    #[must_use]
    pub fn column(&self) -> Column {
        COLUMNS[self.column.min(COLUMNS.len() - 1)]
    }

    /// Where the focus is.
    #[must_use]
    pub fn context(&self, draft: &Draft) -> Context {
        match self.column() {
            _ if self.row >= draft.machines.len() => Context::ButtonCell,
            Column::Roles => Context::RoleCell,
            Column::Remove => Context::ButtonCell,
            _ => Context::Cell,
        }
    }

    /// Comes into the table.
    pub fn enter(&mut self, draft: &Draft, from_behind: bool) {
        self.row = if from_behind { draft.machines.len() } else { 0 };
        // The addresses are what a new site lacks.
        self.column = if from_behind { 0 } else { 2 };
        self.load(draft);
    }

    /// Puts the text of the cell on the line.
    pub fn load(&mut self, draft: &Draft) {
        let text = draft.machines.get(self.row).map(|machine| self.column().text(machine)).unwrap_or_default();
        self.line = Line::new(text);
    }

    /// Goes to what a problem's key names after `machine.`.
    pub fn go_to(&mut self, draft: &Draft, rest: &str) {
        let Some((machine, item)) = super::site::machine_of(draft, rest) else { return };
        self.row = draft.machines.iter().position(|other| std::ptr::eq(other, machine)).unwrap_or(0);
        self.column = COLUMNS.iter().position(|column| column.item() == item).unwrap_or(0);
        self.load(draft);
    }
}

/// Does what a key in the table means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    let count = site.draft.machines.len();
    let last = COLUMNS.len() - 1;
    let table = &mut site.machines;
    match action {
        Action::Up if table.row > 0 => table.row -= 1,
        Action::Down if table.row < count => table.row += 1,
        Action::Down => {
            form::after_content(site);
            return Vec::new();
        }
        Action::PageUp => table.row = 0,
        Action::PageDown => table.row = count,
        Action::Left => table.column = table.column.saturating_sub(1),
        Action::Right => table.column = (table.column + 1).min(last),
        Action::Next if table.row >= count => {
            form::after_content(site);
            return Vec::new();
        }
        Action::Next => {
            table.column += 1;
            if table.column > last {
                (table.row, table.column) = (table.row + 1, 0);
            }
        }
        Action::Previous if table.row == 0 && table.column == 0 => site.part = Part::Sections,
        Action::Previous if table.column == 0 || table.row >= count => (table.row, table.column) = (table.row.saturating_sub(1), last),
        Action::Previous => table.column -= 1,
        Action::AddMachine => add(site),
        Action::RemoveMachine => {
            let row = table.row;
            form::ask_to_remove(model, row);
            return Vec::new();
        }
        Action::Enter | Action::Toggle if table.row >= count => add(site),
        Action::Enter | Action::Toggle => match table.column() {
            Column::Roles => {
                let machine = table.row;
                model.popups.push(Popup::Roles { machine, selected: 0 });
                return Vec::new();
            }
            Column::Remove => {
                let row = table.row;
                form::ask_to_remove(model, row);
                return Vec::new();
            }
            _ => {}
        },
        _ => {}
    }
    site.machines.load(&site.draft);
    Vec::new()
}

fn add(site: &mut SiteForm) {
    let number = site.draft.machines.len() + 1;
    let free =
        (number..).map(|number| format!("machine-{number}")).find(|name| site.draft.machines.iter().all(|other| other.name != *name));
    site.draft.machines.push(DraftMachine { name: free.unwrap_or_default(), ..DraftMachine::default() });
    (site.machines.row, site.machines.column) = (number - 1, 0);
    site.check();
}

/// Removes a machine.
pub fn remove(model: &mut Model, machine: usize) {
    let Some(site) = &mut model.site else { return };
    if machine < site.draft.machines.len() {
        let gone = site.draft.machines.remove(machine);
        site.machines.row = site.machines.row.min(site.draft.machines.len());
        site.machines.load(&site.draft);
        site.check();
        model.say(format!("{} is not in the site any more", gone.name));
    }
}

/// Ticks or unticks a role.
pub fn toggle_role(model: &mut Model, machine: usize, role: usize) {
    let Some(site) = &mut model.site else { return };
    let (Some(role), Some(machine)) = (site.profile.roles.get(role), site.draft.machines.get_mut(machine)) else { return };
    let id = role.id.to_string();
    match machine.roles.iter().position(|own| *own == id) {
        Some(at) => drop(machine.roles.remove(at)),
        None => machine.roles.push(id),
    }
    // In the order of the profile.
    let order = |id: &String| site.profile.roles.iter().position(|role| role.id == *id.as_str());
    machine.roles.sort_by_key(order);
    site.check();
}

/// Types into the cell.
pub fn type_key(model: &mut Model, key: KeyEvent) {
    use crossterm::event::KeyCode;
    let Some(site) = &mut model.site else { return };
    let table = &mut site.machines;
    // At the ends of the text the cursor goes on to the next cell.
    let leaves = match key.code {
        KeyCode::Left => table.line.at_start().then_some(Action::Left),
        KeyCode::Right => table.line.at_end().then_some(Action::Right),
        _ => None,
    };
    if let Some(action) = leaves {
        drop(act(model, action));
    } else if table.line.key(key) {
        write(site);
    }
}

fn write(site: &mut SiteForm) {
    let column = site.machines.column();
    let text = site.machines.line.text().to_owned();
    if let Some(machine) = site.draft.machines.get_mut(site.machines.row) {
        column.set(machine, &text);
    }
    site.check();
}

/// Pastes: one line into the cell, several lines down the column.
pub fn paste(model: &mut Model, text: &str) {
    let Some(site) = &mut model.site else { return };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() < 2 {
        site.machines.line.paste(text);
        write(site);
        return;
    }
    let (column, row) = (site.machines.column(), site.machines.row);
    let room = site.draft.machines.len().saturating_sub(row);
    for (machine, line) in site.draft.machines[row..].iter_mut().zip(&lines) {
        let clean: String = line.chars().filter(|letter| !letter.is_control()).collect();
        column.set(machine, &clean);
    }
    site.machines.load(&site.draft);
    site.check();
    let filled = lines.len().min(room);
    model.say(match lines.len().saturating_sub(room) {
        0 => format!("{filled} cells filled, downwards"),
        more => format!("{filled} cells filled; {more} lines had no machine: add machines (Ctrl-N) and paste again"),
    });
}
