//! Turns a draft into a site: every value valid, every relation holding, or all that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::draft::{Draft, KeyProblem, Knobs};
use super::field::{FieldKind, Value, ipv4};
use super::ids::{MachineName, RoleId, SourceId};
use super::interpolate::expand;
use super::jump::Jump;
use super::profile::Profile;
use super::relations::check_relation;
use super::site::{Machine, SecretRef, Site};

/// Machines of a site at most. Every pair of them may have to reach each other, and each is asked in a session of its own.
pub(crate) const MACHINE_LIMIT: usize = 500;

impl Draft {
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
                        match expand(text, &|name| value(name).or_else(|| is_of_the_place(name).then(|| format!("${{{name}}}")))) {
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
        if self.machines.len() > MACHINE_LIMIT {
            // One sentence, and not one for each of them.
            problems.add("machine", format!("{} machines, and {MACHINE_LIMIT} are the most that this program takes", self.machines.len()));
            return;
        }
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
            let address_of = |name: &str| {
                let other = self.machines.iter().find(|other| other.name == name && other.name != draft.name)?;
                other.address.parse().ok()
            };
            if let Some(jump) = &draft.jump
                && let Err(problem) = Jump::parse(jump, &address_of)
            {
                problems.add(key("jump"), problem);
            }
            if let (Some(name), Some(address)) = (name, address) {
                site.machines.push(Machine {
                    name,
                    roles,
                    address,
                    public_address: draft.public_address.clone(),
                    user: draft.user.clone(),
                    jump: draft.jump.clone(),
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

/// Names whose values only the planner knows: it fills them in.
fn is_of_the_place(name: &str) -> bool {
    name.contains('.') || matches!(name, "home" | "user" | "program" | "known_hosts")
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

/// Problems found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<KeyProblem>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(KeyProblem { key: key.into(), message: message.into() });
    }
}
