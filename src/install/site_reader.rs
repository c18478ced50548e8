//! Reads a site file: TOML text → draft, with the line of every problem.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::problem::{Lines, Problem, syntax_problem};
use super::profile::Profile;
use super::site::{Draft, DraftMachine, KeyProblem, Knobs, Site, SourceOverride};

/// The schema version of site files this program reads.
pub const SCHEMA: i64 = 1;

/// A site file as read.
#[derive(Debug, Clone, Default)]
pub struct SiteFile {
    /// Its name, for messages.
    pub name: String,
    /// What it says.
    pub draft: Draft,
    lines: Lines,
}

/// Reads a site file far enough to be shown and edited; values may still be wrong.
///
/// # Errors
/// The text is not TOML, has another schema, or a part has the wrong shape.
pub fn read(name: &str, text: &str) -> Result<SiteFile, Vec<Problem>> {
    let lines = Lines::of(text);
    let mut table: Table = toml::from_str(text).map_err(|error| vec![syntax_problem(name, text, &error)])?;
    let problem = |key: &str, message: String| Problem { file: name.to_owned(), line: lines.find(key), key: key.to_owned(), message };
    match table.remove("schema") {
        Some(Value::Integer(SCHEMA)) => {}
        Some(other) => {
            return Err(vec![problem("schema", format!("schema {other} is not known; this program reads schema {SCHEMA}"))]);
        }
        None => return Err(vec![problem("schema", format!("is missing: write schema = {SCHEMA} at the top; is this a site file?"))]),
    }
    let mut problems = Vec::new();
    let mut draft = Draft::default();
    let mut text_of = |table: &mut Table, key: &str| match table.remove(key) {
        Some(Value::String(text)) => text,
        Some(_) => {
            problems.push(problem(key, "write a text in quotes".into()));
            String::new()
        }
        None => String::new(),
    };
    draft.id = text_of(&mut table, "id");
    draft.profile = text_of(&mut table, "profile");
    if draft.profile.is_empty() {
        problems.push(problem("profile", "is missing: the name of a profile, as profile = \"turing-rke2\"".into()));
    }
    match table.remove("machine") {
        Some(Value::Array(machines)) => {
            for (number, value) in machines.into_iter().enumerate() {
                match value.try_into::<DraftMachine>() {
                    Ok(machine) => draft.machines.push(machine),
                    Err(error) => problems.push(problem(&format!("machine[{number}]"), error.message().trim().to_owned())),
                }
            }
        }
        Some(_) => problems.push(problem("machine", "write [[machine]] for each machine".into())),
        None => {}
    }
    match table.remove("secret") {
        Some(Value::Table(secrets)) => {
            for (key, value) in secrets {
                match value {
                    Value::String(text) => drop(draft.secrets.insert(key, text)),
                    _ => problems
                        .push(problem(&format!("secret.{key}"), "a secret is given by reference: env:NAME, file:PATH or prompt".into())),
                }
            }
        }
        Some(_) => problems.push(problem("secret", "write [secret] and below it FIELD = \"file:PATH\"".into())),
        None => {}
    }
    match table.remove("advanced") {
        Some(Value::Table(templates)) => {
            for (key, value) in templates {
                match value {
                    Value::Table(knobs) => drop(draft.advanced.insert(key, knobs)),
                    _ => {
                        problems.push(problem(&format!("advanced.{key}"), "write [advanced.\"TEMPLATE\"] and below it KEY = value".into()))
                    }
                }
            }
        }
        Some(_) => problems.push(problem("advanced", "write [advanced.\"TEMPLATE\"] and below it KEY = value".into())),
        None => {}
    }
    match table.remove("source").map(Value::try_into::<BTreeMap<String, SourceOverride>>) {
        Some(Ok(sources)) => draft.sources = sources,
        Some(Err(error)) => problems.push(problem("source", error.message().trim().to_owned())),
        None => {}
    }
    draft.answers = table.into_iter().collect();
    if problems.is_empty() { Ok(SiteFile { name: name.to_owned(), draft, lines }) } else { Err(problems) }
}

impl SiteFile {
    /// A draft without a file, as a form holds it.
    #[must_use]
    pub fn of(name: &str, draft: Draft) -> Self {
        Self { name: name.to_owned(), draft, lines: Lines::default() }
    }

    /// Checks everything the profile asks.
    ///
    /// # Errors
    /// All problems, each with its line.
    pub fn validate(&self, profile: &Profile, knobs: Option<&Knobs>) -> Result<Site, Vec<Problem>> {
        self.draft.validate(profile, knobs).map_err(|problems| problems.into_iter().map(|problem| self.locate(problem)).collect())
    }

    fn locate(&self, problem: KeyProblem) -> Problem {
        // Machines are written as a list and named by their name.
        let by_number = problem.key.strip_prefix("machine.").and_then(|rest| {
            let (name, item) = rest.rsplit_once('.')?;
            let number = self
                .draft
                .machines
                .iter()
                .position(|machine| machine.name == name)
                .or_else(|| name.parse::<usize>().ok()?.checked_sub(1))?;
            Some(format!("machine[{number}].{item}"))
        });
        let line = self.lines.find(by_number.as_deref().unwrap_or(&problem.key));
        Problem { file: self.name.clone(), line, key: problem.key, message: problem.message }
    }
}
