//! Site files: read, and written so that a person can go on editing them.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::install::field::FieldKind;
use crate::install::problem::Problem;
use crate::install::profile::Profile;
use crate::install::site::{Draft, DraftMachine};
use crate::install::site_reader::{self, SiteFile};

use super::files::atomic;
use super::paths::new_site_id;

/// Why a site file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It cannot be read.
    #[error("the site file {path} cannot be read: {source}. Make one: mosip-setup new --profile ID --site {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a site file, or has problems.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
    /// Somebody else has changed it since it was read.
    #[error("{path} has changed on disk since it was opened, and is not overwritten: open it again, then make your changes once more")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] atomic::WriteError),
    /// No id could be made.
    #[error(transparent)]
    Id(#[from] super::paths::PathError),
    /// The text made does not say what the draft says: a fault of this program.
    #[error("{path} was not written: the text made does not read back as meant; please report this")]
    ReadBack {
        /// The file.
        path: PathBuf,
    },
}

/// A site file as read from disk.
#[derive(Debug, Clone, Default)]
pub struct OpenSite {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// What it says.
    pub file: SiteFile,
    /// Its text when it was read or last saved; none while it has not been saved.
    pub text: Option<String>,
}

impl OpenSite {
    /// A draft that has no file yet.
    ///
    /// # Errors
    /// The path cannot be made absolute.
    pub fn unsaved(path: &Path, draft: Draft) -> Result<Self, SiteError> {
        let path = absolute(path)?;
        Ok(Self { file: SiteFile::of(&path.display().to_string(), draft), path, text: None })
    }

    /// The folder of the file.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, SiteError> {
    std::path::absolute(path).map_err(|source| SiteError::Unreadable { path: path.to_owned(), source })
}

/// Reads a site file.
///
/// # Errors
/// It cannot be read, or is not a site file; its values may still be wrong.
pub fn load(path: &Path) -> Result<OpenSite, SiteError> {
    let text = fs::read_to_string(path).map_err(|source| SiteError::Unreadable { path: path.to_owned(), source })?;
    let file = site_reader::read(&path.display().to_string(), &text).map_err(SiteError::Invalid)?;
    Ok(OpenSite { path: absolute(path)?, file, text: Some(text) })
}

/// Saves a draft into its file, giving it an id when it has none. Comments and order of an existing file stay.
///
/// # Errors
/// The file has changed on disk since it was read, or cannot be written. It is unchanged then.
pub fn save(site: &mut OpenSite, draft: &Draft, profile: &Profile) -> Result<(), SiteError> {
    let mut draft = draft.clone();
    if draft.id.is_empty() {
        draft.id = new_site_id()?;
    }
    let on_disk = match fs::read_to_string(&site.path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(SiteError::Unreadable { path: site.path.clone(), source }),
    };
    // A file that was deleted meanwhile is written anew: nothing of anybody's is lost.
    if on_disk.is_some() && on_disk != site.text {
        return Err(SiteError::Changed { path: site.path.clone() });
    }
    let text = match &on_disk {
        Some(old) => update(old, &draft).ok_or_else(|| SiteError::ReadBack { path: site.path.clone() })?,
        None => fresh(&draft, profile),
    };
    let file = match site_reader::read(&site.path.display().to_string(), &text) {
        Ok(file) if file.draft == draft => file,
        _ => return Err(SiteError::ReadBack { path: site.path.clone() }),
    };
    if on_disk.as_ref() != Some(&text) {
        // It may name hosts and users; secrets are never in it.
        atomic::write(&site.path, text.as_bytes(), 0o600)?;
    }
    site.file = file;
    site.text = Some(text);
    Ok(())
}

/// The text of a new site file: every question with its explanation; those not answered as comments.
#[must_use]
pub fn fresh(draft: &Draft, profile: &Profile) -> String {
    let mut text = format!(
        "# A site for mosip-setup: {}\n# Lines that begin with # show defaults and examples; take the # away to change them.\n\nschema = 1\nid = {}\nprofile = {}\n",
        profile.title,
        toml::Value::String(draft.id.clone()),
        toml::Value::String(draft.profile.clone()),
    );
    for section in profile.sections() {
        text.push_str(&format!("\n# ---- {section} ----\n"));
        for field in profile.fields.iter().filter(|field| field.section == section && field.kind != FieldKind::Secret) {
            text.push('\n');
            comment(&mut text, &field.label);
            comment(&mut text, &field.help);
            if !field.values.is_empty() {
                let values: Vec<String> = field.values.iter().map(|choice| format!("{} ({})", choice.value, choice.label)).collect();
                comment(&mut text, &format!("One of: {}", values.join(", ")));
            }
            match (draft.answers.get(field.id.as_str()), &field.default, &field.example) {
                (Some(answer), ..) => text.push_str(&format!("{} = {answer}\n", field.id)),
                (None, Some(default), _) => text.push_str(&format!("# {} = {default}\n", field.id)),
                (None, None, Some(example)) => text.push_str(&format!("# {} = {}\n", field.id, toml::Value::String(example.clone()))),
                (None, None, None) => text.push_str(&format!("# {} = \"\"\n", field.id)),
            }
        }
    }
    // Answers to fields that the profile does not know stay where the operator can see and correct them.
    for (key, answer) in draft.answers.iter().filter(|(key, _)| profile.field(key).is_none()) {
        text.push_str(&format!("\n{key} = {answer}\n"));
    }
    text.push_str("\n# ---- Machines ----\n#\n");
    for role in &profile.roles {
        comment(&mut text, &format!("{}: {}. {}", role.id, role.title, role.help));
    }
    for machine in &draft.machines {
        text.push_str(&format!("\n[[machine]]\n{}", machine_table(machine)));
    }
    text.push_str(
        "\n# ---- Secrets: where each is found, never the secret itself: env:NAME, file:PATH (mode 0600) or prompt ----\n\n[secret]\n",
    );
    for field in profile.fields.iter().filter(|field| field.kind == FieldKind::Secret) {
        // A condition that does not hold makes nothing needed.
        let condition = field.when.as_ref().map(|when| (&when.field, when.is.as_deref().unwrap_or("given")));
        comment(
            &mut text,
            &match (field.required, condition) {
                (true, None) => format!("{} (needed)", field.label),
                (true, Some((other, value))) => format!("{} (needed where {other} is {value})", field.label),
                (false, _) => field.label.clone(),
            },
        );
        match draft.secrets.get(field.id.as_str()) {
            Some(reference) => text.push_str(&format!("{} = {}\n", field.id, toml::Value::String(reference.clone()))),
            None => text.push_str(&format!("# {} = \"file:~/.mosip-secrets/{}\"\n", field.id, field.id)),
        }
    }
    for (key, reference) in draft.secrets.iter().filter(|(key, _)| profile.field(key).is_none()) {
        text.push_str(&format!("{key} = {}\n", toml::Value::String(reference.clone())));
    }
    let mut rest = DocumentMut::new();
    update_advanced(&mut rest, draft);
    update_sources(&mut rest, draft);
    let rest = rest.to_string();
    if !rest.is_empty() {
        text.push('\n');
        text.push_str(rest.trim_start());
    }
    text
}

fn comment(text: &mut String, words: &str) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() > 110 {
            text.push_str(&format!("# {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        text.push_str(&format!("# {line}\n"));
    }
}

/// Changes an existing text so that it says what the draft says; none where the text is not TOML.
fn update(text: &str, draft: &Draft) -> Option<String> {
    let mut text = comment_out(text, draft)?;
    for (key, answer) in &draft.answers {
        uncomment(&mut text, None, key, &answer.to_string());
    }
    for (key, reference) in &draft.secrets {
        uncomment(&mut text, Some("[secret]"), key, &toml::Value::String(reference.clone()).to_string());
    }
    let mut document: DocumentMut = text.parse().ok()?;
    for (key, text) in [("id", &draft.id), ("profile", &draft.profile)] {
        set(document.as_table_mut(), key, value(text.as_str()));
    }
    for (key, answer) in &draft.answers {
        set(document.as_table_mut(), key, item(answer)?);
    }
    update_machines(&mut document, draft);
    let secrets = draft.secrets.iter().map(|(key, text)| (key.clone(), value(text.as_str()))).collect();
    update_table(document.as_table_mut(), "secret", secrets, true);
    update_advanced(&mut document, draft);
    update_sources(&mut document, draft);
    Some(document.to_string())
}

/// Keys at the top of a site file that are no answers.
const FIXED: [&str; 7] = ["schema", "id", "profile", "machine", "secret", "advanced", "source"];

/// Answers and secrets taken back become comments: what the operator wrote above them stays, and so does the old value, for another time.
fn comment_out(text: &str, draft: &Draft) -> Option<String> {
    let document = toml_edit::Document::parse(text).ok()?;
    let mut spans = Vec::new();
    let mut note = |table: &Table, is_gone: &dyn Fn(&str) -> bool| {
        for (key, item) in table.iter().filter(|(key, _)| is_gone(key)) {
            let start = table.key(key).and_then(toml_edit::Key::span).map(|span| span.start);
            spans.extend(start.zip(item.span().map(|span| span.end)));
        }
    };
    note(document.as_table(), &|key| !FIXED.contains(&key) && !draft.answers.contains_key(key));
    if let Some(secrets) = document.get("secret").and_then(Item::as_table) {
        note(secrets, &|key| !draft.secrets.contains_key(key));
    }
    let mut result = String::with_capacity(text.len());
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let end = offset + line.len();
        if spans.iter().any(|(from, to)| *from < end && *to > offset) {
            result.push_str("# ");
        }
        result.push_str(line);
        offset = end;
    }
    Some(result)
}

/// Gives an answer in the place of its commented example, where there is one in the right part of the file and the key is not set yet.
fn uncomment(text: &mut String, section: Option<&str>, key: &str, value: &str) {
    let (mut here, mut offset, mut place) = (section.is_none(), 0, None);
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            here = section == Some(line.trim());
        }
        let setting = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        if here && setting(line) {
            return;
        }
        if here && place.is_none() && line.strip_prefix("# ").is_some_and(setting) {
            place = Some(offset..offset + line.trim_end_matches('\n').len());
        }
        offset += line.len();
    }
    if let Some(place) = place {
        text.replace_range(place, &format!("{key} = {value}"));
    }
}

fn item(value: &toml::Value) -> Option<Item> {
    let parsed: DocumentMut = format!("v = {value}").parse().ok()?;
    let mut item = parsed.get("v")?.clone();
    if let Some(value) = item.as_value_mut() {
        value.decor_mut().clear();
    }
    Some(item)
}

/// Sets a key; a value that is there already keeps its comments, and one that says the same is not touched.
fn set(table: &mut Table, key: &str, new: Item) {
    let same = |old: &Item| match (old.as_value(), new.as_value()) {
        (Some(old), Some(new)) => plain(old) == plain(new),
        _ => false,
    };
    match table.get_mut(key) {
        Some(old) if same(old) => {}
        Some(old) => match (old.as_value_mut(), new.as_value()) {
            (Some(old), Some(new)) => {
                let decor = old.decor().clone();
                *old = new.clone();
                *old.decor_mut() = decor;
            }
            _ => *old = new,
        },
        None => drop(table.insert(key, new)),
    }
}

fn plain(value: &toml_edit::Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    match toml::from_str::<toml::Table>(&format!("v = {value}")) {
        Ok(table) => format!("{table:?}"),
        Err(_) => value.to_string(),
    }
}

fn update_table(parent: &mut Table, name: &str, entries: Vec<(String, Item)>, keep_empty: bool) {
    if entries.is_empty() && (!keep_empty || !parent.contains_key(name)) {
        parent.remove(name);
        return;
    }
    let table = parent.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let Some(table) = table.as_table_mut() else { return };
    table.retain(|key, _| entries.iter().any(|(known, _)| known == key));
    for (key, new) in entries {
        set(table, &key, new);
    }
}

fn parent<'a>(document: &'a mut DocumentMut, name: &str) -> Option<&'a mut Table> {
    let mut implicit = Table::new();
    implicit.set_implicit(true);
    document.entry(name).or_insert(Item::Table(implicit)).as_table_mut()
}

fn update_advanced(document: &mut DocumentMut, draft: &Draft) {
    if draft.advanced.is_empty() {
        document.remove("advanced");
        return;
    }
    let Some(advanced) = parent(document, "advanced") else { return };
    advanced.retain(|name, _| draft.advanced.contains_key(name));
    for (name, knobs) in &draft.advanced {
        let entries = knobs.iter().filter_map(|(key, value)| Some((key.clone(), item(value)?))).collect();
        advanced.entry(name).or_insert_with(|| Item::Table(Table::new()));
        update_table(advanced, name, entries, true);
    }
}

fn update_sources(document: &mut DocumentMut, draft: &Draft) {
    if draft.sources.is_empty() {
        document.remove("source");
        return;
    }
    let Some(sources) = parent(document, "source") else { return };
    sources.retain(|name, _| draft.sources.contains_key(name));
    for (name, over) in &draft.sources {
        let entries = [("git", &over.git), ("path", &over.path), ("ref", &over.commit)];
        let entries = entries.into_iter().filter_map(|(key, text)| Some((key.to_owned(), value(text.as_deref()?)))).collect();
        sources.entry(name).or_insert_with(|| Item::Table(Table::new()));
        update_table(sources, name, entries, true);
    }
}

fn machine_items(machine: &DraftMachine) -> Vec<(String, Item)> {
    let roles: toml_edit::Array = machine.roles.iter().map(String::as_str).collect();
    let mut items = vec![
        ("name".to_owned(), value(machine.name.as_str())),
        ("roles".to_owned(), value(roles)),
        ("address".to_owned(), value(machine.address.as_str())),
    ];
    for (key, text) in [("public_address", &machine.public_address), ("user", &machine.user), ("jump", &machine.jump)] {
        items.extend(text.as_deref().map(|text| (key.to_owned(), value(text))));
    }
    items
}

fn machine_table(machine: &DraftMachine) -> Table {
    Table::from_iter(machine_items(machine))
}

fn update_machines(document: &mut DocumentMut, draft: &Draft) {
    let old = match document.remove("machine") {
        Some(Item::ArrayOfTables(old)) => old,
        _ => ArrayOfTables::new(),
    };
    if draft.machines.is_empty() {
        return;
    }
    let mut old: Vec<Option<Table>> = old.into_iter().map(Some).collect();
    let mut machines = ArrayOfTables::new();
    for (number, machine) in draft.machines.iter().enumerate() {
        let named = |table: &Option<Table>| table.as_ref().and_then(|table| table.get("name")?.as_str()) == Some(machine.name.as_str());
        // By name; a machine that was renamed is the one in the same place.
        let position = old.iter().position(named).or_else(|| {
            let renamed = old.get(number)?.as_ref()?.get("name").and_then(Item::as_str).unwrap_or_default();
            (!draft.machines.iter().any(|machine| machine.name == renamed)).then_some(number)
        });
        let mut table = position.and_then(|position| old[position].take()).unwrap_or_default();
        let items = machine_items(machine);
        table.retain(|key, _| items.iter().any(|(known, _)| known == key));
        for (key, new) in items {
            set(&mut table, &key, new);
        }
        machines.push(table);
    }
    document.insert("machine", Item::ArrayOfTables(machines));
}

#[cfg(test)]
#[path = "sites_tests.rs"]
mod tests;
