//! Profiles: a kind of installation as data.
//!
//! These are the types a profile file is read into. Reading, `extends` and the consistency rules are in `install::profile_reader`.

mod step;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::CheckSpec;
use super::field::{Condition, Field};
use super::ids::{FieldId, PhaseId, ProfileId, RoleId, SourceId};

pub use step::{
    AnsibleSpec, AskSpec, Phase, Prompt, Repeat, SshSpec, Step, StepKind, TasksEach, Terminal, TerraformSpec, WaitSpec, WriteSpec,
};

/// The schema version this program reads.
pub const SCHEMA: u32 = 1;

/// A kind of installation.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub id: ProfileId,
    /// One line.
    pub title: String,
    /// A paragraph for the start screen.
    pub summary: String,
    /// The repositories it drives.
    pub sources: BTreeMap<SourceId, Source>,
    /// Its questions, in the order asked.
    pub fields: Vec<Field>,
    /// Its machine roles.
    pub roles: Vec<Role>,
    /// Relations between answers.
    pub relations: Vec<Relation>,
    /// Values made from answers, in order: later ones may use earlier ones.
    pub derive: Vec<(String, String)>,
    /// Its checks.
    pub checks: Vec<CheckSpec>,
    /// The files it writes.
    pub files: Vec<FileSpec>,
    /// Its phases, in the order shown.
    pub phases: Vec<Phase>,
    /// What the summary screen says when the run is done.
    pub outcome: Vec<OutcomeLine>,
}

/// A public repository at a pinned commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where it is published.
    pub git: String,
    /// The commit tested, 40 hexadecimal digits.
    #[serde(rename = "ref")]
    pub commit: String,
    /// Where its working checkout lives; interpolated.
    pub checkout: String,
    /// Paths that must exist in it.
    #[serde(default)]
    pub markers: Vec<String>,
    /// Layouts that look alike and do not fit.
    #[serde(default)]
    pub refuse: Vec<Refusal>,
    /// Patterns for the checkout's `.git/info/exclude`, so that rendered files and secrets are never committed.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// A layout that does not fit this profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A path whose presence gives it away.
    pub path: String,
    /// What it is, and what fits it.
    pub message: String,
}

/// A machine role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub id: RoleId,
    /// One line.
    pub title: String,
    /// What such a machine does.
    #[serde(default)]
    pub help: String,
    /// How many machines have it.
    pub count: Count,
    /// Processors each needs; 0: not sized by this role.
    #[serde(default)]
    pub cpu: u32,
    /// Memory each needs, GiB.
    #[serde(default)]
    pub ram_gib: u32,
    /// Disk each needs, GiB.
    #[serde(default)]
    pub disk_gib: u32,
    /// The names the wizard proposes; `{n}` counts from 1.
    #[serde(default)]
    pub name: String,
    /// Whether such a machine needs a public address as well.
    #[serde(default)]
    pub public_address: bool,
    /// The field with the SSH user, where it is not the site's own.
    #[serde(default)]
    pub user_field: Option<FieldId>,
    /// The field with the SSH key, where it is not the site's own.
    #[serde(default)]
    pub key_field: Option<FieldId>,
    /// Ports others must reach on it; for requirements and the firewall remedy.
    #[serde(default)]
    pub tcp: Vec<u16>,
    /// The same for UDP.
    #[serde(default)]
    pub udp: Vec<u16>,
}

/// How many machines have a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// At least.
    #[serde(default)]
    pub min: usize,
    /// At most; none: any number.
    #[serde(default)]
    pub max: Option<usize>,
    /// What a new site starts with.
    #[serde(default)]
    pub default: usize,
}

/// A relation between answers that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Relation {
    /// Every machine with `role` has exactly one of `of`, and no other machine has one of them.
    OneOf {
        /// The role.
        role: RoleId,
        /// The roles it splits into.
        of: Vec<RoleId>,
        /// Why.
        reason: String,
    },
    /// Every machine with `role` also has `within`.
    Within {
        /// The narrower role.
        role: RoleId,
        /// The wider role.
        within: RoleId,
        /// Why.
        reason: String,
    },
    /// No machine has two of these roles.
    Apart {
        /// The roles.
        roles: Vec<RoleId>,
        /// Why.
        reason: String,
    },
    /// A host name lies directly below a domain.
    Below {
        /// The field with the name.
        field: FieldId,
        /// The field with the domain.
        domain: FieldId,
        /// Why.
        reason: String,
    },
    /// Networks that must not overlap networks the installation uses itself.
    NoOverlap {
        /// Fields with networks.
        fields: Vec<FieldId>,
        /// Whether machine addresses are compared as well.
        #[serde(default)]
        machines: bool,
        /// Networks in use.
        with: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Every machine's address lies in a network given in a field.
    Inside {
        /// The roles whose private addresses are compared; empty: all.
        #[serde(default)]
        roles: Vec<RoleId>,
        /// The field with the networks.
        field: FieldId,
        /// Why.
        reason: String,
    },
}

/// One file to write.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSpec {
    /// Where, as `kit:path/in/checkout` or an interpolated path.
    pub target: String,
    /// Whether it is written for its owner alone (0600).
    pub secret: bool,
    /// Written only when this holds.
    pub when: Option<Condition>,
    /// How it comes about.
    pub origin: FileOrigin,
}

/// How a file comes about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOrigin {
    /// A copy of a template with values edited in place. The format follows the target's ending: `.ini`, `.yml`/`.yaml`, `.tfvars`.
    Edit(Box<EditSpec>),
    /// Text of the profile's own, interpolated.
    Create {
        /// The whole text.
        text: String,
        /// Lines for each machine of a role; `${list.NAME}` in the text stands for them.
        #[serde(default)]
        lists: BTreeMap<String, SectionSpec>,
    },
    /// A copy of a file of the operator's; interpolated path.
    Copy {
        /// Where it is read.
        from: String,
    },
    /// Random hexadecimal digits, written once and never again, and only while `unless` does not exist.
    Once {
        /// How many digits.
        random_hex: usize,
        /// A file whose presence shows that it is too late; interpolated.
        unless: String,
    },
}

/// Edits of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditSpec {
    /// The template, as `kit:path.tmp`.
    pub template: String,
    /// Values to set: keys that the template must have. In an INI file the keys are sections, the values tables.
    #[serde(default)]
    pub set: toml::Table,
    /// Values to add when absent, each on a line of its own. In an INI file as above; a missing section is made.
    #[serde(default)]
    pub add: toml::Table,
    /// Host lines of inventory groups, replaced as a whole.
    #[serde(default)]
    pub section: BTreeMap<String, SectionSpec>,
    /// The name under `[advanced]` in a site file for any further key of this template.
    #[serde(default)]
    pub advanced: Option<String>,
    /// Keys never offered under that name, with the reason.
    #[serde(default)]
    pub hide: BTreeMap<String, String>,
    /// Keys whose values are secrets.
    #[serde(default)]
    pub secret_keys: Vec<String>,
}

/// The host lines of one inventory group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionSpec {
    /// The role whose machines are listed.
    pub each: RoleId,
    /// One line, with `${machine.name}`, `${machine.address}`, `${machine.public_address}`, `${machine.user}`.
    pub line: String,
}

/// One line of the summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeLine {
    /// What it is, as `Rancher`.
    pub label: String,
    /// Where it is or how it is found; interpolated, no secrets.
    pub value: String,
    /// Shown only when this phase is done.
    #[serde(default)]
    pub phase: Option<PhaseId>,
}

impl Profile {
    /// The field with this name.
    #[must_use]
    pub fn field(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == *id)
    }

    /// The role with this name.
    #[must_use]
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == *id)
    }

    /// The check with this name.
    #[must_use]
    pub fn check(&self, id: &str) -> Option<&CheckSpec> {
        self.checks.iter().find(|check| check.id == *id)
    }

    /// The phase with this name.
    #[must_use]
    pub fn phase(&self, id: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.id == *id)
    }

    /// The sections of the fields, each once, in order.
    #[must_use]
    pub fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<&str> = Vec::new();
        for field in &self.fields {
            if !sections.contains(&field.section.as_str()) {
                sections.push(&field.section);
            }
        }
        sections
    }
}
