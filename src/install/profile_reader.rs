//! Reads a profile file: syntax, `extends`, types. What must hold between its parts is in `install::profile_rules`.
//!
//! All problems of one layer are reported together, each with file, line and key.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::check::{CheckKind, CheckSpec, Level};
use super::field::Condition;
use super::ids::{CheckId, FieldId, PhaseId, RoleId, StepId};
use super::problem::{Lines, Problem, syntax_problem};
use super::profile::{FileOrigin, FileSpec, Phase, Profile, Prompt, Repeat, SCHEMA, Step, StepKind, Terminal};
use super::profile_rules;

/// Finds the text of another profile by its id, for `extends`: (file name, text).
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<(String, String)>;

/// Lists of a profile whose entries are replaced and removed by name when another extends it.
const LISTS: &[(&str, &str)] =
    &[("field", "id"), ("role", "id"), ("check", "id"), ("file", "target"), ("phase", "id"), ("relation", "reason"), ("outcome", "label")];

/// A table of a profile file and where it stands.
#[derive(Clone)]
struct Entry {
    table: Table,
    origin: usize,
    path: String,
}

struct File {
    name: String,
    lines: Lines,
}

struct Reader {
    files: Vec<File>,
    problems: Vec<Problem>,
}

/// Reads a profile.
///
/// # Errors
/// Every problem found, each with its place.
pub fn read(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Profile, Vec<Problem>> {
    let mut reader = Reader { files: Vec::new(), problems: Vec::new() };
    let Some((top, lists)) = reader.layers(file, text, lookup, 0) else { return Err(reader.problems) };
    let profile = reader.profile(top, lists);
    match profile {
        Some((profile, places)) if reader.problems.is_empty() => {
            let problems = profile_rules::check(&profile, &|key| reader.place(&places, key));
            if problems.is_empty() { Ok(profile) } else { Err(problems) }
        }
        _ => Err(reader.problems),
    }
}

/// Top-level values and the entries of each list.
type Layers = (BTreeMap<String, Entry>, BTreeMap<&'static str, Vec<Entry>>);
/// Key as the rules name it (`phase.wireguard`) → where it stands.
type Places = BTreeMap<String, (usize, String)>;

impl Reader {
    fn problem(&mut self, origin: usize, key: &str, message: impl Into<String>) {
        let file = &self.files[origin];
        self.problems.push(Problem { file: file.name.clone(), line: file.lines.find(key), key: key.to_owned(), message: message.into() });
    }

    fn place(&self, places: &Places, key: &str) -> (String, usize) {
        let mut name = key;
        let rest = loop {
            if let Some((origin, path)) = places.get(name) {
                let rest = &key[name.len()..];
                let file = &self.files[*origin];
                return (file.name.clone(), file.lines.find(&format!("{path}{rest}")));
            }
            match name.rfind('.') {
                Some(cut) => name = &name[..cut],
                None => break name,
            }
        };
        let file = &self.files[0];
        (file.name.clone(), file.lines.find(rest))
    }

    fn layers(&mut self, name: &str, text: &str, lookup: Lookup<'_>, depth: usize) -> Option<Layers> {
        let origin = self.files.len();
        self.files.push(File { name: name.to_owned(), lines: Lines::of(text) });
        let mut table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                self.problems.push(syntax_problem(name, text, &error));
                return None;
            }
        };
        match table.get("schema").and_then(Value::as_integer) {
            Some(schema) if schema == i64::from(SCHEMA) => {}
            Some(schema) => {
                self.problem(origin, "schema", format!("schema {schema} is not known; this program reads schema {SCHEMA}"));
                return None;
            }
            None => {
                self.problem(origin, "schema", format!("write schema = {SCHEMA} at the top"));
                return None;
            }
        }
        let (mut top, mut lists): Layers = (BTreeMap::new(), BTreeMap::new());
        if let Some(base) = table.remove("extends") {
            if depth >= 4 {
                self.problem(origin, "extends", "profiles build on one another in a circle, or more than four deep");
                return None;
            }
            let found = base.as_str().and_then(lookup);
            let Some((base_name, base_text)) = found else {
                self.problem(origin, "extends", format!("there is no profile {base}"));
                return None;
            };
            (top, lists) = self.layers(&base_name, &base_text, lookup, depth + 1)?;
        }
        if let Some(removals) = table.remove("remove") {
            self.remove(origin, &removals, &mut lists);
        }
        for (list, key) in LISTS {
            let Some(value) = table.remove(*list) else { continue };
            let Value::Array(entries) = value else {
                self.problem(origin, list, format!("write [[{list}]] for each entry"));
                continue;
            };
            let merged = lists.entry(list).or_default();
            for (number, value) in entries.into_iter().enumerate() {
                let path = format!("{list}[{number}]");
                let Value::Table(table) = value else { continue };
                let same = |entry: &Entry| entry.origin != origin && table.get(*key).is_some() && entry.table.get(*key) == table.get(*key);
                let entry = Entry { table: table.clone(), origin, path };
                match merged.iter().position(same) {
                    Some(position) => merged[position] = entry,
                    None => merged.push(entry),
                }
            }
        }
        for (key, value) in table {
            let inner = Table::from_iter([(key.clone(), value)]);
            match (top.get_mut(&key), inner.get(&key)) {
                // Sources and derived values merge by name, so that a variant changes one of them.
                (Some(entry), Some(Value::Table(new))) if matches!(key.as_str(), "source" | "derive") => {
                    if let Some(Value::Table(old)) = entry.table.get_mut(&key) {
                        old.extend(new.clone());
                    }
                }
                _ => {
                    top.insert(key.clone(), Entry { table: inner, origin, path: key });
                }
            }
        }
        Some((top, lists))
    }

    fn remove(&mut self, origin: usize, removals: &Value, lists: &mut BTreeMap<&'static str, Vec<Entry>>) {
        let names: Vec<String> = removals.as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect();
        for name in names {
            let found = name.split_once(':').and_then(|(list, id)| {
                let (list, key) = LISTS.iter().find(|(known, _)| *known == list)?;
                let entries = lists.get_mut(list)?;
                let position = entries.iter().position(|entry| entry.table.get(*key).and_then(Value::as_str) == Some(id))?;
                entries.remove(position);
                Some(())
            });
            if found.is_none() {
                self.problem(origin, "remove", format!("'{name}' is not in the profile it builds on; write LIST:NAME, as check:swap"));
            }
        }
    }

    fn convert<T: DeserializeOwned>(&mut self, entry: &Entry, mut table: Table) -> Option<T> {
        let mut whole = true;
        // serde stops at the first key that is missing: a stand-in in its place shows the next one. A table has fewer keys than this.
        for _ in 0..64 {
            let error = match Value::Table(table.clone()).try_into::<T>() {
                Ok(value) => return whole.then_some(value),
                Err(error) => error,
            };
            let message = error.message().trim().to_owned();
            let named = message.split('`').nth(1).map(str::to_owned);
            let missing = named.clone().filter(|key| message.starts_with("missing field") && !table.contains_key(key));
            // What a stand-in is not fit for was said already, as missing.
            if whole || missing.is_some() {
                let key = named.map_or_else(|| entry.path.clone(), |key| format!("{}.{key}", entry.path));
                self.problem(entry.origin, &key, message);
            }
            whole = false;
            let key = missing?;
            let fits = |value: &Value| {
                let mut with = table.clone();
                with.insert(key.clone(), value.clone());
                match Value::Table(with).try_into::<T>() {
                    Ok(_) => true,
                    Err(error) => error.message().starts_with("missing field"),
                }
            };
            let stand_ins =
                [Value::String("x".into()), Value::Integer(1), Value::Boolean(true), Value::Array(Vec::new()), Value::Table(Table::new())];
            let stand_in = stand_ins.into_iter().find(fits)?;
            table.insert(key, stand_in);
        }
        None
    }

    fn profile(&mut self, mut top: BTreeMap<String, Entry>, mut lists: BTreeMap<&'static str, Vec<Entry>>) -> Option<(Profile, Places)> {
        let mut places = Places::new();
        let header = ["schema", "id", "title", "summary"];
        let mut head = Table::new();
        for key in header {
            if let Some(entry) = top.remove(key) {
                head.extend(entry.table);
            }
        }
        let sources = top.remove("source");
        let derive = top.remove("derive");
        for entry in top.into_values() {
            self.problem(entry.origin, &entry.path, "there is no such key at the top of a profile");
        }
        let root = Entry { table: Table::new(), origin: 0, path: String::new() };
        let head: Option<Head> = self.convert(&root, head);
        let sources = match sources {
            Some(entry) => {
                places.insert("source".into(), (entry.origin, "source".into()));
                let table = entry.table.clone();
                self.convert::<Sources>(&entry, table)?.source
            }
            None => BTreeMap::new(),
        };
        let mut derived = Vec::new();
        if let Some(entry) = derive {
            places.insert("derive".into(), (entry.origin, "derive".into()));
            for (name, value) in entry.table.get("derive").and_then(Value::as_table).into_iter().flatten() {
                match value.as_str() {
                    Some(text) => derived.push((name.clone(), text.to_owned())),
                    None => self.problem(entry.origin, &format!("derive.{name}"), "write a text in quotes"),
                }
            }
        }
        let mut take = |list: &str| lists.remove(list).unwrap_or_default();
        let (fields, roles, relations, checks, files, phases, outcome) =
            (take("field"), take("role"), take("relation"), take("check"), take("file"), take("phase"), take("outcome"));
        for (list, key, entries) in [
            ("field", "id", &fields),
            ("role", "id", &roles),
            ("check", "id", &checks),
            ("file", "target", &files),
            ("phase", "id", &phases),
        ] {
            for entry in entries {
                if let Some(name) = entry.table.get(key).and_then(Value::as_str) {
                    places.insert(format!("{list}.{name}"), (entry.origin, entry.path.clone()));
                }
            }
        }
        let fields = self.each(&fields);
        let roles = self.each(&roles);
        let relations = self.each(&relations);
        let outcome = self.each(&outcome);
        let checks: Vec<CheckSpec> = checks.iter().filter_map(|entry| self.check(entry)).collect();
        let files: Vec<FileSpec> = files.iter().filter_map(|entry| self.file(entry)).collect();
        let phases: Vec<Phase> = phases.iter().filter_map(|entry| self.phase(entry)).collect();
        let head = head?;
        let profile = Profile {
            id: head.id,
            title: head.title,
            summary: head.summary,
            sources,
            fields,
            roles,
            relations,
            derive: derived,
            checks,
            files,
            phases,
            outcome,
        };
        Some((profile, places))
    }

    fn each<T: DeserializeOwned>(&mut self, entries: &[Entry]) -> Vec<T> {
        entries.iter().filter_map(|entry| self.convert(entry, entry.table.clone())).collect()
    }

    fn check(&mut self, entry: &Entry) -> Option<CheckSpec> {
        let common = split(&entry.table, &["id", "title", "level", "roles", "guards", "provided_by", "on_demand", "when", "remedy", "fix"]);
        // Both, before either is given up: all that is wrong is said.
        let (head, kind) = (self.convert::<CheckHead>(entry, common.0), self.convert::<CheckKind>(entry, common.1));
        let (head, kind) = (head?, kind?);
        Some(CheckSpec {
            id: head.id,
            title: head.title,
            level: head.level,
            roles: head.roles,
            guards: head.guards,
            provided_by: head.provided_by,
            on_demand: head.on_demand,
            when: head.when,
            remedy: head.remedy,
            fix: head.fix,
            kind,
        })
    }

    fn file(&mut self, entry: &Entry) -> Option<FileSpec> {
        let (common, rest) = split(&entry.table, &["target", "secret", "when"]);
        let head: FileHead = self.convert(entry, common)?;
        let (edit, other) = split(&rest, &["edit", "set", "add", "section", "advanced", "hide", "secret_keys"]);
        let origin = if edit.contains_key("edit") {
            if let Some(key) = other.keys().next() {
                self.problem(entry.origin, &format!("{}.{key}", entry.path), format!("'{key}' does not go with edit"));
                return None;
            }
            let mut edit = edit;
            if let Some(template) = edit.remove("edit") {
                edit.insert("template".into(), template);
            }
            FileOrigin::Edit(Box::new(self.convert(entry, edit)?))
        } else {
            self.one_of(entry, &rest, &["edit", "create", "copy", "once"])?
        };
        Some(FileSpec { target: head.target, secret: head.secret, when: head.when, origin })
    }

    /// Converts a table that must hold exactly one of the names of an externally tagged enum.
    fn one_of<T: DeserializeOwned>(&mut self, entry: &Entry, rest: &Table, names: &[&str]) -> Option<T> {
        if let Some(unknown) = rest.keys().find(|key| !names.contains(&key.as_str())) {
            self.problem(
                entry.origin,
                &format!("{}.{unknown}", entry.path),
                format!("'{unknown}' is not known here; expected one of {}", names.join(", ")),
            );
            return None;
        }
        if rest.len() != 1 {
            self.problem(entry.origin, &entry.path, format!("needs exactly one of {}", names.join(", ")));
            return None;
        }
        self.convert(entry, rest.clone())
    }

    fn phase(&mut self, entry: &Entry) -> Option<Phase> {
        let (common, mut rest) = split(
            &entry.table,
            &["id", "title", "help", "needs", "after", "reads", "reads_advanced", "expect_minutes", "document", "skip", "when"],
        );
        let head: PhaseHead = self.convert(entry, common)?;
        let steps = match rest.remove("step") {
            Some(Value::Array(steps)) => steps,
            _ => Vec::new(),
        };
        if let Some(key) = rest.keys().next() {
            self.problem(entry.origin, &format!("{}.{key}", entry.path), format!("'{key}' is not known in a phase"));
        }
        let mut list = Vec::new();
        for (number, value) in steps.into_iter().enumerate() {
            let Value::Table(table) = value else { continue };
            let place = Entry { table, origin: entry.origin, path: format!("{}.step[{number}]", entry.path) };
            list.extend(self.step(&place));
        }
        Some(Phase {
            id: head.id,
            title: head.title,
            help: head.help,
            needs: head.needs,
            after: head.after,
            reads: head.reads,
            reads_advanced: head.reads_advanced,
            expect_minutes: head.expect_minutes.map(|[from, to]| (from, to)),
            document: head.document,
            skip: head.skip,
            when: head.when,
            steps: list,
        })
    }

    fn step(&mut self, entry: &Entry) -> Option<Step> {
        let common = [
            "id",
            "title",
            "when",
            "dir",
            "env",
            "kubeconfig",
            "repeat",
            "verify",
            "unless",
            "on_retry",
            "terminal",
            "prompts",
            "helm",
            "slow_after_minutes",
            "expect",
            "groups",
        ];
        let (head, rest) = split(&entry.table, &common);
        let head: StepHead = self.convert(entry, head)?;
        let action: StepKind = self.one_of(entry, &rest, &["command", "ansible", "terraform", "ssh", "write", "wait", "ask", "check"])?;
        Some(Step {
            id: head.id,
            title: head.title,
            when: head.when,
            dir: head.dir,
            env: head.env,
            kubeconfig: head.kubeconfig,
            repeat: head.repeat,
            verify: head.verify,
            unless: head.unless,
            on_retry: head.on_retry,
            terminal: head.terminal,
            prompts: head.prompts,
            helm: head.helm,
            slow_after_minutes: head.slow_after_minutes,
            hints: super::hints::Hints { expect: head.expect, groups: head.groups },
            action,
        })
    }
}

/// Splits a table into the named keys and the rest.
fn split(table: &Table, keys: &[&str]) -> (Table, Table) {
    table.clone().into_iter().partition(|(key, _)| keys.contains(&key.as_str()))
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "schema")]
    _schema: u32,
    id: super::ids::ProfileId,
    title: String,
    #[serde(default)]
    summary: String,
}

#[derive(Deserialize)]
struct Sources {
    source: BTreeMap<super::ids::SourceId, super::profile::Source>,
}

#[derive(Deserialize)]
struct CheckHead {
    id: CheckId,
    title: String,
    level: Level,
    #[serde(default)]
    roles: Vec<RoleId>,
    #[serde(default)]
    guards: Vec<PhaseId>,
    #[serde(default)]
    provided_by: Option<PhaseId>,
    #[serde(default)]
    on_demand: bool,
    #[serde(default)]
    when: Option<Condition>,
    #[serde(default)]
    remedy: String,
    #[serde(default)]
    fix: Option<super::fix::Fix>,
}

#[derive(Deserialize)]
struct FileHead {
    target: String,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    when: Option<Condition>,
}

#[derive(Deserialize)]
struct PhaseHead {
    id: PhaseId,
    title: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    needs: Vec<PhaseId>,
    #[serde(default)]
    after: Vec<PhaseId>,
    #[serde(default)]
    reads: Vec<FieldId>,
    #[serde(default)]
    reads_advanced: Vec<String>,
    #[serde(default)]
    expect_minutes: Option<[u32; 2]>,
    #[serde(default)]
    document: Option<String>,
    #[serde(default)]
    skip: Option<String>,
    #[serde(default)]
    when: Option<Condition>,
}

#[derive(Deserialize)]
struct StepHead {
    id: StepId,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    when: Option<Condition>,
    #[serde(default)]
    dir: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    kubeconfig: Option<String>,
    #[serde(default)]
    repeat: Repeat,
    #[serde(default)]
    verify: Vec<CheckId>,
    #[serde(default)]
    unless: Vec<CheckId>,
    #[serde(default)]
    on_retry: bool,
    #[serde(default)]
    terminal: Terminal,
    #[serde(default)]
    prompts: Vec<Prompt>,
    #[serde(default)]
    helm: Option<super::helm::HelmSpec>,
    #[serde(default)]
    slow_after_minutes: Option<u32>,
    #[serde(default)]
    expect: Vec<super::hints::Expect>,
    #[serde(default)]
    groups: Vec<super::hints::Group>,
}
