//! Answers from a checkout that somebody has filled in by hand: asked for, shown, taken over.

use std::path::PathBuf;

use super::app::{Model, Screen};
use super::desk::{Command, Imported, Trouble};
use super::popup::{EntryFor, Popup, Then};
use super::site::SiteForm;
use crate::install::site::{Draft, DraftMachine};

/// Asks for the folder.
pub fn ask(model: &mut Model) {
    model.popups.push(Popup::entry(
        "Import from a checkout",
        "The folder of a checkout of the kit in which inventories and variables are filled in already. It is only read; you see what was \
         found before anything is taken over.",
        "~/",
        EntryFor::ImportFolder,
    ));
}

/// Reads the folder.
pub fn begin(model: &mut Model, folder: PathBuf) -> Vec<Command> {
    let Some(site) = &model.site else { return Vec::new() };
    model.busy = Some(format!("Reading {}", folder.display()));
    vec![Command::Import { profile: site.profile.id.clone(), site: site.path.clone(), folder }]
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// The folder was read: says what was found and asks what to do with it.
pub fn read(model: &mut Model, result: Result<Box<Imported>, Trouble>) {
    model.busy = None;
    if model.screen != Screen::Site {
        return;
    }
    let found = match result {
        Ok(found) => found,
        Err(trouble) => {
            model.popups.push(Popup::trouble("Nothing can be imported", &trouble));
            return;
        }
    };
    let settings: usize = found.draft.advanced.values().map(toml::Table::len).sum();
    let mut text = format!(
        "{} has {}, {} and {}. What is wrong or missing in them shows in the form.",
        found.folder.display(),
        count(found.draft.machines.len(), "machine"),
        count(found.draft.answers.len(), "answer"),
        count(settings, "further setting"),
    );
    let prefix = format!("{}/", found.folder.display());
    for note in &found.notes {
        text.push_str(&format!("\n- {}", note.replace(&prefix, "")));
    }
    model.popups.push(Popup::confirm(
        "Take over what was found?",
        text,
        &[
            ("No", None, Then::Close),
            ("Fill what is empty", Some('y'), Then::TakeOver { found: found.clone(), all: false }),
            ("Replace answers too", None, Then::TakeOver { found, all: true }),
        ],
    ));
}

/// Takes over what was found: what has no answer yet, or all of it.
pub fn take_over(model: &mut Model, found: &Imported, all: bool) {
    let Some(site) = &mut model.site else { return };
    let taken = answers(&mut site.draft, &found.draft, all);
    let machines = table(&mut site.draft.machines, &found.draft.machines, all);
    settle(site);
    let left = machines.left;
    let mut say =
        format!("{} and {} taken over; nothing is written before you save", count(machines.taken, "machine"), count(taken, "answer"));
    if left > 0 {
        say.push_str(&format!(". {} of the checkout have no place in the table: add them by hand", count(left, "machine")));
    }
    model.say(say);
}

fn settle(site: &mut SiteForm) {
    site.check();
    site.load_line();
    site.machines.row = site.machines.row.min(site.draft.machines.len());
    site.machines.load(&site.draft);
}

fn answers(draft: &mut Draft, found: &Draft, all: bool) -> usize {
    let mut taken = 0;
    for (key, value) in &found.answers {
        if all || !draft.answers.contains_key(key) {
            draft.answers.insert(key.clone(), value.clone());
            taken += 1;
        }
    }
    for (template, table) in &found.advanced {
        let own = draft.advanced.entry(template.clone()).or_default();
        for (key, value) in table {
            if all || !own.contains_key(key) {
                own.insert(key.clone(), value.clone());
                taken += 1;
            }
        }
    }
    draft.advanced.retain(|_, table| !table.is_empty());
    taken
}

/// What became of the machines.
struct Placed {
    taken: usize,
    left: usize,
}

fn table(own: &mut Vec<DraftMachine>, found: &[DraftMachine], all: bool) -> Placed {
    if found.is_empty() {
        return Placed { taken: 0, left: 0 };
    }
    // A table that nobody has filled in is only a proposal.
    if all || own.iter().all(|machine| machine.address.is_empty()) {
        *own = found.to_vec();
        return Placed { taken: found.len(), left: 0 };
    }
    let mut placed = Placed { taken: 0, left: 0 };
    for machine in found {
        if let Some(same) = own.iter_mut().find(|own| own.name == machine.name) {
            let before = same.clone();
            if same.address.is_empty() {
                same.address.clone_from(&machine.address);
            }
            same.public_address = same.public_address.take().or(machine.public_address.clone());
            same.user = same.user.take().or(machine.user.clone());
            placed.taken += usize::from(*same != before);
        } else if own.iter().all(|own| own.address != machine.address) {
            placed.left += 1;
        }
    }
    placed
}
