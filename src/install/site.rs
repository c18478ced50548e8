//! Sites: one operator's answers to a profile.
//!
//! A [`Draft`] is what a file or a form holds, right or wrong; [`Draft::validate`] turns it into a [`Site`], in which every value is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::field::{Cidr, Condition, Field, FieldKind, Value, ipv4};
use super::ids::{FieldId, MachineName, ProfileId, RoleId, SourceId};
use super::interpolate::expand;
use super::profile::{Profile, Relation};

/// Where a secret's value is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// `env:NAME`: an environment variable of the program.
    Env(String),
    /// `file:PATH`: the text of a file without the newline at its end.
    File(String),
    /// `prompt`: asked at the terminal when a run starts.
    Prompt,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(formatter, "env:{name}"),
            Self::File(path) => write!(formatter, "file:{path}"),
            Self::Prompt => formatter.write_str("prompt"),
        }
    }
}

impl std::str::FromStr for SecretRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                Ok(Self::Env(name.to_owned()))
            }
            Some(("file", path)) if path.starts_with('/') || path.starts_with("~/") => Ok(Self::File(path.to_owned())),
            Some(("file", _)) => Err("write an absolute path, or one that begins with ~/".into()),
            None if text == "prompt" => Ok(Self::Prompt),
            // The text is not repeated: it may be the secret itself.
            _ => Err("a secret is given by reference: env:NAME, file:PATH or prompt".into()),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}

/// One machine, valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name, also in inventories.
    pub name: MachineName,
    /// Its roles, at least one.
    pub roles: Vec<RoleId>,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Its public address, where it has one: an address or a name.
    pub public_address: Option<String>,
    /// Its SSH user, where it is not the site's own.
    pub user: Option<String>,
}

impl Machine {
    /// Whether it has a role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }
}

/// Another place or commit for a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceOverride {
    /// Another address.
    #[serde(default)]
    pub git: Option<String>,
    /// A folder or bundle on this machine.
    #[serde(default)]
    pub path: Option<String>,
    /// Another commit.
    #[serde(default, rename = "ref")]
    pub commit: Option<String>,
}

/// Valid answers to a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Made once; runs belong to it, wherever the file is moved.
    pub id: String,
    /// The profile it answers.
    pub profile: ProfileId,
    /// The answers given and the defaults taken; secret fields are not here.
    pub answers: BTreeMap<FieldId, Value>,
    /// The machines, in the order written.
    pub machines: Vec<Machine>,
    /// References to secrets.
    pub secrets: BTreeMap<FieldId, SecretRef>,
    /// Further keys of templates, by the name the profile gives the template.
    pub advanced: BTreeMap<String, toml::Table>,
    /// Other places of sources.
    pub sources: BTreeMap<SourceId, SourceOverride>,
}

impl Site {
    /// The machines with a role, in order.
    pub fn with_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Machine> {
        self.machines.iter().filter(move |machine| machine.has_role(role))
    }

    /// Whether a condition holds.
    #[must_use]
    pub fn holds(&self, condition: Option<&Condition>) -> bool {
        let Some(condition) = condition else { return true };
        let answer = self.answers.get(&condition.field);
        match &condition.is {
            Some(wanted) => answer.is_some_and(|answer| answer.to_string() == *wanted),
            None => answer.is_some_and(|answer| !answer.is_empty()) || self.secrets.contains_key(&condition.field),
        }
    }
}

/// One machine as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftMachine {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Its private address.
    #[serde(default)]
    pub address: String,
    /// Its public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<String>,
    /// Its SSH user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A site as written, right or wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// The site's identity; empty until it is first saved.
    pub id: String,
    /// The profile's name.
    pub profile: String,
    /// Answers by key.
    pub answers: BTreeMap<String, toml::Value>,
    /// Machines.
    pub machines: Vec<DraftMachine>,
    /// Secret references by key.
    pub secrets: BTreeMap<String, String>,
    /// Further keys of templates.
    pub advanced: BTreeMap<String, toml::Table>,
    /// Other places of sources.
    pub sources: BTreeMap<String, SourceOverride>,
}

/// What is wrong with one key of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProblem {
    /// The dotted key, as `machine.vm1.address`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The keys of a template that may stand under `[advanced]`: key → value of the template.
pub type Knobs = BTreeMap<String, BTreeMap<String, toml::Value>>;

impl Draft {
    /// A new draft with the profile's default machines, without addresses.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        let mut machines: Vec<DraftMachine> = Vec::new();
        for role in &profile.roles {
            let template = if role.name.is_empty() { format!("{}-{{n}}", role.id) } else { role.name.clone() };
            for number in 1..=role.count.default {
                let name = template.replace("{n}", &number.to_string());
                match machines.iter_mut().find(|machine| machine.name == name) {
                    Some(machine) => machine.roles.push(role.id.to_string()),
                    None => machines.push(DraftMachine { name, roles: vec![role.id.to_string()], ..DraftMachine::default() }),
                }
            }
        }
        // A wider role is split among narrower ones: the first machine gets the first, the others the second.
        for relation in &profile.relations {
            let Relation::OneOf { role, of, .. } = relation else { continue };
            let mut taken = false;
            for machine in machines.iter_mut().filter(|machine| machine.roles.contains(&role.to_string())) {
                let has_one = machine.roles.iter().any(|own| of.iter().any(|role| role == own.as_str()));
                let next = if taken { of.get(1) } else { of.first() };
                taken = true;
                if let (false, Some(next)) = (has_one, next) {
                    machine.roles.push(next.to_string());
                }
            }
        }
        Self { profile: profile.id.to_string(), machines, ..Self::default() }
    }

    /// The text of an answer: the one given, else the default; empty where there is neither.
    #[must_use]
    pub fn text(&self, field: &Field) -> String {
        let show = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if field.kind == FieldKind::Secret {
            return self.secrets.get(field.id.as_str()).cloned().unwrap_or_default();
        }
        self.answers.get(field.id.as_str()).or(field.default.as_ref()).map(show).unwrap_or_default()
    }

    /// Whether a condition holds for the draft as it is.
    #[must_use]
    pub fn holds(&self, profile: &Profile, condition: Option<&Condition>) -> bool {
        let Some(condition) = condition else { return true };
        let text = profile.field(condition.field.as_str()).map(|field| self.text(field)).unwrap_or_default();
        condition.is.as_ref().map_or(!text.is_empty(), |wanted| text == *wanted)
    }

    /// Sets a value by its dotted key, as `--set` and the form do: `FIELD`, `machine.NAME.KEY`, `secret.FIELD`, `advanced.NAME.KEY`,
    /// `source.NAME.KEY`. An empty text takes an answer back.
    ///
    /// # Errors
    /// The key is not known, or the text does not fit its type.
    pub fn set(&mut self, profile: &Profile, key: &str, text: &str) -> Result<(), KeyProblem> {
        let fail = |message: String| Err(KeyProblem { key: key.to_owned(), message });
        if let Some(rest) = key.strip_prefix("machine.") {
            let Some((name, item)) = rest.rsplit_once('.') else {
                return fail("write machine.NAME.address, roles, public_address or user".into());
            };
            return self.set_machine(name, item, text).or_else(fail);
        }
        if let Some(field) = key.strip_prefix("secret.") {
            if profile.field(field).is_none_or(|field| field.kind != FieldKind::Secret) {
                return fail("there is no such secret in the profile".into());
            }
            return match text.parse::<SecretRef>() {
                Ok(reference) => {
                    self.secrets.insert(field.to_owned(), reference.to_string());
                    Ok(())
                }
                Err(_) if text.is_empty() => {
                    self.secrets.remove(field);
                    Ok(())
                }
                Err(message) => fail(message),
            };
        }
        if let Some(rest) = key.strip_prefix("advanced.") {
            let Some((name, knob)) = rest.rsplit_once('.') else { return fail("write advanced.TEMPLATE.KEY".into()) };
            let table = self.advanced.entry(name.trim_matches('"').to_owned()).or_default();
            if text.is_empty() {
                table.remove(knob);
            } else {
                let value = toml::from_str::<toml::Table>(&format!("v = {text}")).ok().and_then(|mut parsed| parsed.remove("v"));
                table.insert(knob.to_owned(), value.unwrap_or_else(|| toml::Value::String(text.to_owned())));
            }
            return Ok(());
        }
        if let Some(rest) = key.strip_prefix("source.") {
            let Some((name, item)) = rest.rsplit_once('.') else { return fail("write source.NAME.git, path or ref".into()) };
            let entry = self.sources.entry(name.to_owned()).or_default();
            let value = (!text.is_empty()).then(|| text.to_owned());
            match item {
                "git" => entry.git = value,
                "path" => entry.path = value,
                "ref" => entry.commit = value,
                _ => return fail("write source.NAME.git, path or ref".into()),
            }
            return Ok(());
        }
        let Some(field) = profile.field(key) else { return fail("there is no such field in the profile".into()) };
        if field.kind == FieldKind::Secret {
            return fail(format!("this is a secret: set secret.{key} to env:NAME, file:PATH or prompt"));
        }
        if text.is_empty() {
            self.answers.remove(key);
            return Ok(());
        }
        // A wrong text is kept as written, so that a form shows what was typed beside the problem.
        let value = field.parse(text);
        self.answers.insert(key.to_owned(), value.as_ref().map_or_else(|_| toml::Value::String(text.to_owned()), Value::to_toml));
        value.map(|_| ()).or_else(|error| fail(error.0))
    }

    fn set_machine(&mut self, name: &str, item: &str, text: &str) -> Result<(), String> {
        let position = self.machines.iter().position(|machine| machine.name == name).unwrap_or_else(|| {
            self.machines.push(DraftMachine { name: name.to_owned(), ..DraftMachine::default() });
            self.machines.len() - 1
        });
        let machine = &mut self.machines[position];
        let value = (!text.is_empty()).then(|| text.to_owned());
        match item {
            "address" => {
                machine.address = text.to_owned();
                if !text.is_empty() {
                    ipv4(text).map_err(|error| error.0)?;
                }
            }
            "public_address" => machine.public_address = value,
            "user" => machine.user = value,
            "roles" => machine.roles = text.split([',', ' ']).filter(|role| !role.is_empty()).map(str::to_owned).collect(),
            _ => return Err("write machine.NAME.address, roles, public_address or user".into()),
        }
        Ok(())
    }

    /// Checks everything a profile asks of a site.
    ///
    /// # Errors
    /// All problems, in the order of the profile, never only the first.
    pub fn validate(&self, profile: &Profile, knobs: Option<&Knobs>) -> Result<Site, Vec<KeyProblem>> {
        let mut problems = Problems::default();
        let mut site = Site {
            id: self.id.clone(),
            profile: profile.id.clone(),
            answers: BTreeMap::new(),
            machines: Vec::new(),
            secrets: BTreeMap::new(),
            advanced: self.advanced.clone(),
            sources: BTreeMap::new(),
        };
        if self.profile != profile.id.as_str() {
            problems.add("profile", format!("the site answers profile '{}', not '{}'", self.profile, profile.id));
        }
        self.check_answers(profile, &mut site, &mut problems);
        self.check_secrets(profile, &mut site, &mut problems);
        self.check_machines(profile, &mut site, &mut problems);
        self.check_advanced(profile, knobs, &mut problems);
        for (name, entry) in &self.sources {
            match name.parse::<SourceId>() {
                Ok(id) if profile.sources.contains_key(&id) => drop(site.sources.insert(id, entry.clone())),
                _ => problems.add(format!("source.{name}"), "the profile has no such source"),
            }
        }
        for relation in &profile.relations {
            check_relation(relation, profile, &site, &mut problems);
        }
        if problems.0.is_empty() { Ok(site) } else { Err(problems.0) }
    }

    fn check_answers(&self, profile: &Profile, site: &mut Site, problems: &mut Problems) {
        for field in profile.fields.iter().filter(|field| field.kind != FieldKind::Secret) {
            let key = field.id.as_str();
            if !self.holds(profile, field.when.as_ref()) {
                continue;
            }
            let outcome = match self.answers.get(key) {
                Some(value) => field.accept(value).map(Some),
                None => match &field.default {
                    // A default may be made from other answers; what those cannot fill yet is their problem, not this one's.
                    Some(toml::Value::String(text)) if text.contains("${") => {
                        let value = |name: &str| profile.field(name).map(|field| self.text(field)).filter(|text| !text.is_empty());
                        match expand(text, &|name| value(name).or_else(|| name.contains('.').then(|| format!("${{{name}}}")))) {
                            Ok(text) if text.contains("${") => Ok(Some(Value::Text(text))),
                            Ok(text) => field.parse(&text).map(Some),
                            Err(_) => continue,
                        }
                    }
                    Some(value) => field.accept(value).map(Some),
                    None => Ok(None),
                },
            };
            match outcome {
                Ok(Some(value)) => drop(site.answers.insert(field.id.clone(), value)),
                Ok(None) if field.required => problems.add(key, format!("is missing: {}", field.label)),
                Ok(None) => drop(site.answers.insert(field.id.clone(), Value::Text(String::new()))),
                Err(error) => problems.add(key, error.0),
            }
        }
        for key in self.answers.keys().filter(|key| profile.field(key).is_none()) {
            problems.add(key, "there is no such field in the profile");
        }
    }

    fn check_secrets(&self, profile: &Profile, site: &mut Site, problems: &mut Problems) {
        for field in profile.fields.iter().filter(|field| field.kind == FieldKind::Secret) {
            let key = format!("secret.{}", field.id);
            match self.secrets.get(field.id.as_str()).map(|text| text.parse::<SecretRef>()) {
                Some(Ok(reference)) => drop(site.secrets.insert(field.id.clone(), reference)),
                Some(Err(message)) => problems.add(key, message),
                None if field.required && self.holds(profile, field.when.as_ref()) => {
                    problems.add(key, format!("is missing: {} (env:NAME, file:PATH or prompt)", field.label));
                }
                None => {}
            }
        }
        for key in self.secrets.keys().filter(|key| profile.field(key).is_none_or(|field| field.kind != FieldKind::Secret)) {
            problems.add(format!("secret.{key}"), "there is no such secret in the profile");
        }
    }

    fn check_machines(&self, profile: &Profile, site: &mut Site, problems: &mut Problems) {
        let mut addresses: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for (number, draft) in self.machines.iter().enumerate() {
            let label = if draft.name.is_empty() { format!("{}", number + 1) } else { draft.name.clone() };
            let key = |item: &str| format!("machine.{label}.{item}");
            let name = match draft.name.parse::<MachineName>() {
                Ok(name) if !name.as_str().contains('_') => Some(name),
                Ok(_) => {
                    problems.add(key("name"), "no underscore: the name becomes the machine's host name");
                    None
                }
                Err(error) => {
                    problems.add(key("name"), error.to_string());
                    None
                }
            };
            if !names.insert(&draft.name) {
                problems.add(key("name"), "two machines have this name");
            }
            let address = match ipv4(&draft.address) {
                Ok(address) => {
                    if let Some(other) = addresses.insert(address, &draft.name) {
                        problems.add(
                            key("address"),
                            format!("{address} is also the address of {other}; one machine may have several roles, written once"),
                        );
                    }
                    Some(address)
                }
                Err(_) if draft.address.is_empty() => {
                    problems.add(key("address"), "is missing: the private IPv4 address");
                    None
                }
                Err(error) => {
                    problems.add(key("address"), error.0);
                    None
                }
            };
            let mut roles: Vec<RoleId> = Vec::new();
            for role in &draft.roles {
                match profile.role(role) {
                    Some(known) if roles.contains(&known.id) => problems.add(key("roles"), format!("'{role}' stands twice")),
                    Some(known) => roles.push(known.id.clone()),
                    None => problems.add(key("roles"), format!("'{role}' is not a role of this profile: {}", role_names(profile))),
                }
            }
            if draft.roles.is_empty() {
                problems.add(key("roles"), format!("is missing: one or more of {}", role_names(profile)));
            }
            let needs_public = roles.iter().any(|role| profile.role(role.as_str()).is_some_and(|role| role.public_address));
            match &draft.public_address {
                None if needs_public => problems.add(key("public_address"), "is missing: machines with this role are reached from outside"),
                Some(text) if ipv4(text).is_err() && super::field::host_name(text).is_err() => {
                    problems.add(key("public_address"), format!("'{text}' is neither an IPv4 address nor a full host name"));
                }
                _ => {}
            }
            if let Some(user) = &draft.user
                && !is_user_name(user)
            {
                problems.add(key("user"), format!("'{user}' is not a user name"));
            }
            if let (Some(name), Some(address)) = (name, address) {
                site.machines.push(Machine {
                    name,
                    roles,
                    address,
                    public_address: draft.public_address.clone(),
                    user: draft.user.clone(),
                });
            }
        }
        for role in &profile.roles {
            let count = self.machines.iter().filter(|machine| machine.roles.iter().any(|own| role.id == own.as_str())).count();
            if count < role.count.min {
                problems
                    .add("machine", format!("{} of at least {} machines with role '{}' ({})", count, role.count.min, role.id, role.title));
            }
            if let Some(max) = role.count.max
                && count > max
            {
                problems.add("machine", format!("{count} machines with role '{}', at most {max} fit ({})", role.id, role.title));
            }
        }
    }

    fn check_advanced(&self, profile: &Profile, knobs: Option<&Knobs>, problems: &mut Problems) {
        for (name, table) in &self.advanced {
            let edit = profile.files.iter().find_map(|file| match &file.origin {
                super::profile::FileOrigin::Edit(edit) if edit.advanced.as_deref() == Some(name) => Some(edit),
                _ => None,
            });
            let Some(edit) = edit else {
                problems.add(format!("advanced.{name}"), "the profile has no template of this name");
                continue;
            };
            for (key, value) in table {
                let path = format!("advanced.{name}.{key}");
                if edit.set.contains_key(key) || edit.add.contains_key(key) {
                    problems.add(path, "a field of the site sets this key already");
                } else if let Some(reason) = edit.hide.get(key) {
                    problems.add(path, format!("is not offered: {reason}"));
                } else if edit.secret_keys.contains(key) {
                    problems.add(path, "is a secret; it is set through its field and a reference under [secret]");
                } else if let Some(template) = knobs.and_then(|knobs| knobs.get(name)) {
                    match template.get(key) {
                        None => problems.add(path, "the template has no such key"),
                        Some(old) if !old.same_type(value) => {
                            problems.add(
                                path,
                                format!("the template has {} {old} here, not {}", article(old.type_str()), article(value.type_str())),
                            );
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
}

fn article(kind: &str) -> String {
    if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") }
}

fn is_user_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && text.len() <= 32
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

fn role_names(profile: &Profile) -> String {
    profile.roles.iter().map(|role| role.id.as_str()).collect::<Vec<_>>().join(", ")
}

#[derive(Default)]
struct Problems(Vec<KeyProblem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(KeyProblem { key: key.into(), message: message.into() });
    }
}

fn check_relation(relation: &Relation, profile: &Profile, site: &Site, problems: &mut Problems) {
    let text = |field: &FieldId| site.answers.get(field).map(ToString::to_string).unwrap_or_default();
    let cidrs = |field: &FieldId| -> Vec<Cidr> { text(field).split(',').filter_map(|part| Cidr::parse(part.trim()).ok()).collect() };
    match relation {
        Relation::OneOf { role, of, reason } => {
            for machine in &site.machines {
                let parts: Vec<&str> = of.iter().filter(|part| machine.has_role(part.as_str())).map(RoleId::as_str).collect();
                let names: Vec<&str> = of.iter().map(RoleId::as_str).collect();
                let key = format!("machine.{}.roles", machine.name);
                match (machine.has_role(role.as_str()), parts.len()) {
                    (true, 1) | (false, 0) => {}
                    (true, 0) => {
                        problems.add(key, format!("a machine with role '{role}' also needs one of {}: {reason}", names.join(", ")))
                    }
                    (true, _) => problems.add(key, format!("only one of {} fits: {reason}", parts.join(", "))),
                    (false, _) => problems.add(key, format!("'{}' goes with role '{role}': {reason}", parts.join(", "))),
                }
            }
        }
        Relation::Within { role, within, reason } => {
            for machine in site.with_role(role.as_str()).filter(|machine| !machine.has_role(within.as_str())) {
                problems.add(format!("machine.{}.roles", machine.name), format!("role '{role}' goes with role '{within}': {reason}"));
            }
        }
        Relation::Apart { roles, reason } => {
            for machine in &site.machines {
                let together: Vec<&str> = roles.iter().filter(|role| machine.has_role(role.as_str())).map(RoleId::as_str).collect();
                if together.len() > 1 {
                    problems.add(
                        format!("machine.{}.roles", machine.name),
                        format!("{} cannot be one machine: {reason}", together.join(" and ")),
                    );
                }
            }
        }
        Relation::Below { field, domain, reason } => {
            let (name, parent) = (text(field), text(domain));
            let label = name.strip_suffix(&parent).and_then(|rest| rest.strip_suffix('.'));
            if !name.is_empty() && !parent.is_empty() && label.is_none_or(|label| label.is_empty() || label.contains('.')) {
                problems.add(field.as_str(), format!("{name} does not lie directly below {parent}: {reason}"));
            }
        }
        Relation::NoOverlap { fields, machines, with, reason } => {
            let used: Vec<Cidr> = with.iter().filter_map(|text| Cidr::parse(text).ok()).collect();
            for field in fields {
                for own in cidrs(field) {
                    for other in used.iter().filter(|other| own.overlaps(other)) {
                        problems.add(field.as_str(), format!("{own} overlaps {other}: {reason}"));
                    }
                }
            }
            for machine in site.machines.iter().filter(|_| *machines) {
                if let Some(other) = used.iter().find(|other| other.contains(machine.address)) {
                    problems.add(format!("machine.{}.address", machine.name), format!("{} lies in {other}: {reason}", machine.address));
                }
            }
        }
        Relation::Inside { roles, field, reason } => {
            let networks = cidrs(field);
            let concerned = |machine: &&Machine| roles.is_empty() || roles.iter().any(|role| machine.has_role(role.as_str()));
            for machine in site.machines.iter().filter(concerned) {
                if !networks.is_empty() && !networks.iter().any(|network| network.contains(machine.address)) {
                    let label = profile.field(field.as_str()).map_or(field.as_str(), |field| field.label.as_str());
                    problems.add(
                        field.as_str(),
                        format!("{} ({}) is not in {} ({label}): {reason}", machine.address, machine.name, text(field)),
                    );
                }
            }
        }
    }
}
