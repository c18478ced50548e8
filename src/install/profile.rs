//! Profiles: a kind of installation as data.
//!
//! These are the types a profile file is read into. Reading, `extends` and the consistency rules are in `install::profile_reader`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::CheckSpec;
use super::field::{Condition, Field};
use super::helm::HelmSpec;
use super::hints::Hints;
use super::ids::{CheckId, FieldId, PhaseId, ProfileId, RoleId, SourceId, StepId};

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

/// What an operator retries, skips or runs alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name.
    pub id: PhaseId,
    /// One line.
    pub title: String,
    /// What it does, for the review.
    pub help: String,
    /// Phases that must be done before it.
    pub needs: Vec<PhaseId>,
    /// Phases that come before it where they run at all.
    pub after: Vec<PhaseId>,
    /// The answers it depends on; beside those its steps and files name.
    pub reads: Vec<FieldId>,
    /// The names under `[advanced]` whose further settings it depends on.
    pub reads_advanced: Vec<String>,
    /// Expected time, minutes, from and to.
    pub expect_minutes: Option<(u32, u32)>,
    /// Where upstream describes it: an address to read on.
    pub document: Option<String>,
    /// What skipping it means; a phase without this text cannot be skipped.
    pub skip: Option<String>,
    /// Present only when this holds.
    pub when: Option<Condition>,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// One action of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name in the phase.
    pub id: StepId,
    /// One line; made from the action where absent.
    pub title: Option<String>,
    /// Present only when this holds.
    pub when: Option<Condition>,
    /// Working folder, as `kit:ansible/wireguard`.
    pub dir: Option<String>,
    /// Environment beside the engine's own; values interpolated, `${secret.ID}` allowed.
    pub env: BTreeMap<String, String>,
    /// KUBECONFIG of its commands; interpolated.
    pub kubeconfig: Option<String>,
    /// Whether it may run again.
    pub repeat: Repeat,
    /// Checks that must hold after it, beside exit code 0.
    pub verify: Vec<CheckId>,
    /// Checks that, when all hold, make it unnecessary.
    pub unless: Vec<CheckId>,
    /// Runs only when the phase is retried after a failure.
    pub on_retry: bool,
    /// What its commands see as terminal.
    pub terminal: Terminal,
    /// Prompts answered for it: exact text → answer.
    pub prompts: Vec<Prompt>,
    /// How the `helm` of its scripts is guarded; none: it is the real one.
    pub helm: Option<HelmSpec>,
    /// Minutes without output after which it is marked slow.
    pub slow_after_minutes: Option<u32>,
    /// What is known about its course.
    pub hints: Hints,
    /// What it does.
    pub action: StepKind,
}

/// Whether a step may run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Any number of times.
    #[default]
    Safe,
    /// After the operator has agreed.
    Ask,
    /// Not once it has begun.
    Never,
}

/// What a command sees as its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terminal {
    /// A pipe, and no input.
    #[default]
    Pipe,
    /// A pseudo-terminal, for scripts that prompt.
    Pty,
}

/// A prompt and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The exact text, without the newline; colours are ignored; interpolated.
    pub text: String,
    /// What is typed, followed by Enter; interpolated, `${secret.ID}` allowed.
    pub answer: String,
    /// How often it may appear; more is an error.
    #[serde(default = "Prompt::once")]
    pub times: u32,
    /// The text is a whole line, ended before the script reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_line: bool,
    /// It must appear: a script that ended without asking has not done its work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Answered only when this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// The script that asks, as `kit:path`: nothing is started when the text does not stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The text as it stands in that script, where variables or quoting make it differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

impl Default for Prompt {
    fn default() -> Self {
        let (text, answer) = (String::new(), String::new());
        Self { text, answer, times: 1, whole_line: false, required: false, when: None, script: None, written: None }
    }
}

impl Prompt {
    fn once() -> u32 {
        1
    }

    /// The text to look for in the script.
    #[must_use]
    pub fn written(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text).trim()
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// One command.
    Command(Vec<String>),
    /// One playbook.
    Ansible(AnsibleSpec),
    /// init, plan and apply of one root.
    Terraform(TerraformSpec),
    /// A command on each machine of a role, with the system's own `ssh`.
    Ssh(SshSpec),
    /// The profile's files: all (`write = true`) or those named.
    Write(WriteSpec),
    /// A check repeated until it holds.
    Wait(WaitSpec),
    /// A question to the operator.
    Ask(AskSpec),
    /// Checks that must hold for the phase to go on.
    Check(Vec<CheckId>),
}

/// One playbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsibleSpec {
    /// The inventory, relative to the step's folder.
    pub inventory: String,
    /// The playbook, relative to the step's folder.
    pub playbook: String,
    /// How many hosts at a time.
    #[serde(default)]
    pub forks: Option<u32>,
    /// Hosts or groups it is limited to.
    #[serde(default)]
    pub limit: Option<String>,
    /// Whether it may run again on the hosts alone that failed: where the hosts do not depend on one another, and nothing is lost of a
    /// handler that was notified before.
    #[serde(default)]
    pub limit_retry: bool,
    /// Further arguments; interpolated.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// How many `TASK` banners a run prints: a fixed part.
    #[serde(default)]
    pub tasks: Option<u32>,
    /// And this many more for each machine of some roles.
    #[serde(default)]
    pub tasks_each: Option<TasksEach>,
}

/// Task banners that come once for each machine that has one of some roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TasksEach {
    /// The roles.
    pub roles: Vec<RoleId>,
    /// How many.
    pub tasks: u32,
}

/// One Terraform root: the step's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerraformSpec {
    /// Variable files, relative to the step's folder.
    #[serde(default)]
    pub var_files: Vec<String>,
    /// How many resources a first apply makes, for expectations.
    #[serde(default)]
    pub resources: Option<u32>,
}

/// A command over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshSpec {
    /// The role whose machines run it, one after the other.
    pub role: RoleId,
    /// A POSIX shell command; interpolated, also with `${machine.…}`.
    pub command: String,
    /// Run it with sudo.
    #[serde(default)]
    pub sudo: bool,
    /// Keep its stdout in this file (0600) instead of the log; interpolated.
    #[serde(default)]
    pub save: Option<String>,
}

/// Which files a `write` step writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WriteSpec {
    /// All of the profile's.
    All(bool),
    /// Those with these targets.
    Targets(Vec<String>),
}

/// A check repeated until it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitSpec {
    /// The check.
    pub check: CheckId,
    /// Seconds between two looks.
    #[serde(default = "WaitSpec::default_every")]
    pub every_seconds: u32,
    /// Minutes after which the step fails.
    pub timeout_minutes: u32,
}

impl WaitSpec {
    fn default_every() -> u32 {
        10
    }
}

/// A question to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskSpec {
    /// The question, one line.
    pub text: String,
    /// What to do to be able to answer; interpolated.
    #[serde(default)]
    pub detail: String,
    /// A secret field that the answer is kept in; without it the answer is a confirmation.
    #[serde(default)]
    pub field: Option<FieldId>,
    /// Whether the question may be left open (the answer is then empty), and what that means.
    #[serde(default)]
    pub optional: Option<String>,
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
