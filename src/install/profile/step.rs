//! Phases of a profile and their steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::install::field::Condition;
use crate::install::helm::HelmSpec;
use crate::install::hints::Hints;
use crate::install::ids::{CheckId, FieldId, PhaseId, RoleId, StepId};

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
