//! Sites: one operator's valid answers to a profile.
//!
//! A [`Draft`] is what a file or a form holds, right or wrong; [`Draft::validate`] turns it into a [`Site`], in which every value is valid.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::field::{Condition, Value};
use super::ids::{FieldId, MachineName, ProfileId, RoleId, SourceId};

pub use super::draft::{Draft, DraftMachine, KeyProblem, Knobs};

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
    /// Its jump host, where it is not the site's own: a machine's name or `user@address`.
    #[serde(default)]
    pub jump: Option<String>,
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
