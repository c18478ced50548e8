//! Drafts: a site as a file or a form holds it, right or wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::{Condition, Field, FieldKind, Value, ipv4};
use super::profile::{Profile, Relation};
use super::site::{SecretRef, SourceOverride};

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
    /// Its jump host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
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
                return fail("write machine.NAME.address, roles, public_address, user or jump".into());
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
            "jump" => machine.jump = value,
            "roles" => machine.roles = text.split([',', ' ']).filter(|role| !role.is_empty()).map(str::to_owned).collect(),
            _ => return Err("write machine.NAME.address, roles, public_address, user or jump".into()),
        }
        Ok(())
    }
}
