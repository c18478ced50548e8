//! Keys on the site screen: sections, fields, buttons; saving and going on.

use crossterm::event::KeyEvent;
use secrecy::SecretString;

use super::app::{Model, Next, Screen, leave};
use super::desk::{Command, Trouble};
use super::keymap::{Action, Context};
use super::popup::{Popup, Then};
use super::site::{BUTTONS, Part, Section, SiteForm};
use super::{advanced, import, machines};
use crate::install::field::{Field, FieldKind};
use crate::install::ids::FieldId;

/// Does what a key on the site screen means.
pub fn act(model: &mut Model, action: Action) -> Vec<Command> {
    match action {
        Action::Save => return save(model, Next::Stay),
        Action::Continue => return go_on(model),
        Action::Import => {
            import::ask(model);
            return Vec::new();
        }
        _ => {}
    }
    let Some(site) = &mut model.site else { return Vec::new() };
    match site.part {
        Part::Sections => sections(model, action),
        Part::Buttons => buttons(model, action),
        Part::Content => match (action, site.section()) {
            (Action::Back, _) => {
                site.part = Part::Sections;
                Vec::new()
            }
            (_, Section::Machines) => machines::act(model, action),
            (_, Section::Advanced) => advanced::act(model, action),
            (_, Section::Fields(_)) => fields(model, action),
        },
    }
}

fn sections(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    let last = site.sections.len() - 1;
    match action {
        Action::Up => site.section = site.section.saturating_sub(1),
        Action::Down => site.section = (site.section + 1).min(last),
        Action::Home | Action::PageUp => site.section = 0,
        Action::End | Action::PageDown => site.section = last,
        Action::Enter | Action::Right | Action::Next | Action::Toggle => {
            enter_content(site, false);
            return load_knobs(model);
        }
        Action::Previous => site.part = Part::Buttons,
        Action::Back => {
            model.screen = if model.run.is_some() { Screen::Run } else { Screen::Start };
            return if model.run.is_some() { Vec::new() } else { vec![Command::LoadOverview] };
        }
        _ => {}
    }
    if matches!(action, Action::Up | Action::Down | Action::Home | Action::End) { load_knobs(model) } else { Vec::new() }
}

/// The templates' keys are read once somebody looks at them.
fn load_knobs(model: &mut Model) -> Vec<Command> {
    match &model.site {
        Some(site) if *site.section() == Section::Advanced && site.knobs.is_none() && site.fetched => {
            vec![Command::LoadKnobs { profile: site.profile.id.clone(), site: site.path.clone() }]
        }
        _ => Vec::new(),
    }
}

fn enter_content(site: &mut SiteForm, from_behind: bool) {
    site.part = Part::Content;
    site.field = if from_behind { site.fields().len().saturating_sub(1) } else { 0 };
    match site.section() {
        Section::Machines => site.machines.enter(&site.draft, from_behind),
        Section::Advanced => site.advanced.enter(),
        Section::Fields(_) => {
            if site.fields().is_empty() {
                site.part = Part::Sections;
            }
        }
    }
    site.load_line();
}

/// Leaves the content to what comes after it: the next section's, or the buttons.
pub fn after_content(site: &mut SiteForm) {
    if site.section + 1 < site.sections.len() {
        site.section += 1;
        enter_content(site, false);
    } else {
        site.part = Part::Buttons;
        site.button = 0;
    }
}

fn fields(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    let last = site.fields().len().saturating_sub(1);
    let context = site.context();
    match action {
        Action::Previous if site.field == 0 => site.part = Part::Sections,
        Action::Up if site.field == 0 => {}
        Action::Up | Action::Previous => site.field -= 1,
        Action::Down | Action::Next if site.field >= last => {
            after_content(site);
            return load_knobs(model);
        }
        Action::Down | Action::Next => site.field += 1,
        Action::PageUp | Action::Home => site.field = 0,
        Action::PageDown | Action::End => site.field = last,
        Action::Toggle | Action::Left if context == Context::ChoiceField => turn(site, action == Action::Left),
        Action::Enter if context == Context::SecretField => {
            if let Some(field) = site.focused() {
                let popup = Popup::secret_choice(field, site.draft.secrets.contains_key(field.id.as_str()));
                model.popups.push(popup);
            }
            return Vec::new();
        }
        _ => {}
    }
    site.load_line();
    Vec::new()
}

/// The next or previous value of a choice, or the other of yes and no.
fn turn(site: &mut SiteForm, backwards: bool) {
    let Some(field) = site.focused().cloned() else { return };
    let current = site.draft.text(&field);
    let next = match field.kind {
        FieldKind::Boolean => (current != "true").to_string(),
        _ => {
            let count = field.values.len().max(1);
            let position = field.values.iter().position(|choice| choice.value == current);
            let next = match (position, backwards) {
                (Some(at), true) => (at + count - 1) % count,
                (Some(at), false) => (at + 1) % count,
                (None, _) => 0,
            };
            field.values.get(next).map(|choice| choice.value.clone()).unwrap_or_default()
        }
    };
    set(site, &field, &next);
}

fn set(site: &mut SiteForm, field: &Field, text: &str) {
    // A wrong text is kept and shown with its problem, which `check` finds again.
    drop(site.draft.set(&site.profile, &SiteForm::key_of(field), text));
    site.check();
}

/// Types into the field in focus.
pub fn type_key(model: &mut Model, key: KeyEvent) {
    let Some(site) = &mut model.site else { return };
    if site.line.key(key) {
        typed(site);
    }
}

/// Pastes into the field in focus.
pub fn paste(model: &mut Model, text: &str) {
    let Some(site) = &mut model.site else { return };
    site.line.paste(text);
    typed(site);
}

fn typed(site: &mut SiteForm) {
    let Some(field) = site.focused().cloned() else { return };
    let text = site.line.text().trim().to_owned();
    set(site, &field, &text);
}

fn buttons(model: &mut Model, action: Action) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    match action {
        Action::Left => site.button = site.button.saturating_sub(1),
        Action::Right => site.button = (site.button + 1).min(BUTTONS.len() - 1),
        Action::Up | Action::Previous => enter_content(site, true),
        Action::Next | Action::Back => site.part = Part::Sections,
        Action::Enter | Action::Toggle => {
            return match site.button {
                0 => go_on(model),
                1 => save(model, Next::Stay),
                _ => {
                    site.part = Part::Sections;
                    sections(model, Action::Back)
                }
            };
        }
        _ => {}
    }
    Vec::new()
}

/// Goes on to the preflight, or back to the run; not while an answer is missing or wrong.
pub fn go_on(model: &mut Model) -> Vec<Command> {
    let Some(site) = &mut model.site else { return Vec::new() };
    site.check();
    site.insisted = true;
    if let Some(problem) = site.problems.first().cloned() {
        let count = site.problems.len();
        site.go_to(&problem);
        model.complain(match count {
            1 => format!("One answer is missing or wrong: {} {}", problem.key, problem.message),
            _ => format!("{count} answers are missing or wrong; this is the first: {} {}", problem.key, problem.message),
        });
        return Vec::new();
    }
    if !site.fetched {
        let popup = Popup::fetch_consent(&site.profile);
        model.popups.push(popup);
        return Vec::new();
    }
    save(model, Next::Continue)
}

/// Writes the site file.
pub fn save(model: &mut Model, next: Next) -> Vec<Command> {
    let Some(site) = &model.site else { return Vec::new() };
    model.busy = Some(format!("Writing {}", site.path.display()));
    model.next = next;
    vec![Command::SaveSite { path: site.path.clone(), draft: Box::new(site.draft.clone()) }]
}

/// A site file was written, or not.
pub fn saved(model: &mut Model, result: Result<String, Trouble>) -> Vec<Command> {
    model.busy = None;
    let Some(site) = &mut model.site else { return Vec::new() };
    let id = match result {
        Ok(id) => id,
        Err(trouble) => {
            model.next = Next::Stay;
            model.popups.push(Popup::trouble("The site file cannot be written", &trouble));
            return Vec::new();
        }
    };
    site.draft.id = id;
    site.saved = Some(site.draft.clone());
    let path = site.path.clone();
    match std::mem::take(&mut model.next) {
        Next::Leave => leave(model),
        Next::Continue => {
            model.next = Next::Continue;
            model.busy = Some("Making the plan and comparing files".into());
            vec![Command::Plan { site: path }]
        }
        Next::Stay => {
            let open = model.site.as_ref().map_or(0, |site| site.problems.len());
            model.say(match open {
                0 => format!("Saved {}", path.display()),
                _ => format!("Saved {} as it is; {open} answers are still missing or wrong", path.display()),
            });
            Vec::new()
        }
    }
}

/// Begins to keep a typed secret.
pub fn store_secret(model: &mut Model, field: FieldId, value: &str) -> Vec<Command> {
    model.busy = Some("Keeping the secret".into());
    vec![Command::StoreSecret { site: model.site_path(), field, value: SecretString::from(value.to_owned()) }]
}

/// A secret was kept, or not.
pub fn secret_stored(model: &mut Model, field: &FieldId, reference: Result<String, Trouble>) {
    model.busy = None;
    let Some(site) = &mut model.site else { return };
    match reference {
        Ok(reference) => {
            site.draft.secrets.insert(field.to_string(), reference.clone());
            site.check();
            model.say(format!("Kept in a file for you alone; the site refers to it as {reference}"));
        }
        Err(trouble) => model.popups.push(Popup::trouble("The secret cannot be kept", &trouble)),
    }
}

/// Sets a secret's reference, or takes it back where the text is empty.
pub fn set_secret(model: &mut Model, field: &FieldId, reference: &str) -> Result<(), String> {
    let Some(site) = &mut model.site else { return Ok(()) };
    let outcome = site.draft.set(&site.profile, &format!("secret.{field}"), reference);
    site.check();
    outcome.map_err(|problem| problem.message)
}

/// What is done when the fetch before going on has been consented to.
#[must_use]
pub fn fetch(model: &mut Model) -> Vec<Command> {
    let (profile, site) = match (&model.site, model.start.chosen()) {
        (Some(site), _) => (site.profile.id.clone(), site.path.clone()),
        (None, Some(profile)) => (profile.id.clone(), model.start.overview.suggested.clone()),
        _ => return Vec::new(),
    };
    model.start.fetching = Some(super::desk::FetchProgress::default());
    model.popups.push(Popup::Fetching);
    vec![Command::Fetch { profile, site }]
}

/// Asks before a machine is removed.
pub fn ask_to_remove(model: &mut Model, machine: usize) {
    let Some(site) = &model.site else { return };
    let Some(name) = site.draft.machines.get(machine).map(|machine| machine.name.clone()) else { return };
    model.popups.push(Popup::confirm(
        "Remove a machine",
        format!("Remove {} from the site? Nothing happens on the machine itself.", if name.is_empty() { "this machine" } else { &name }),
        &[("Keep it", None, Then::Close), ("Remove it", Some('y'), Then::RemoveMachine(machine))],
    ));
}
