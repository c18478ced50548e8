//! Plans: profile × site, every phase and step with its real commands. Serialisable; touches nothing; holds no secret.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::check::CheckSpec;
use super::command_words::shell_quote;
use super::field::Field;
use super::helm::HelmSpec;
use super::hints::Hints;
use super::ids::{CheckId, FieldId, MachineName, PhaseId, ProfileId, RoleId, SourceId, StepId, StepRef};
use super::jump::Jump;
use super::profile::{OutcomeLine, Prompt, Repeat, Role, Source, Terminal};
use super::site::{SecretRef, SourceOverride};

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The profile it was made from.
    pub profile: ProfileId,
    /// The profile's title.
    pub title: String,
    /// The site's identity.
    pub site: String,
    /// Phases in the order shown; `needs` and `after` point to earlier ones.
    pub phases: Vec<PlanPhase>,
    /// Files that `write` steps write.
    pub files: Vec<PlanFile>,
    /// The checks that apply, texts filled in.
    pub checks: Vec<CheckSpec>,
    /// The machines, with user and key.
    pub machines: Vec<PlanMachine>,
    /// The profile's roles, for sizes and ports.
    pub roles: Vec<Role>,
    /// The sources with their checkouts.
    pub sources: BTreeMap<SourceId, PlanSource>,
    /// Paths of SSH keys, certificates and the like, by field; for checks that name a field.
    pub paths: BTreeMap<FieldId, String>,
    /// Networks by field; for checks that name a field.
    pub networks: BTreeMap<FieldId, Vec<String>>,
    /// Where each secret is found.
    pub secrets: BTreeMap<FieldId, SecretRef>,
    /// The site's own known_hosts.
    pub known_hosts: String,
    /// What the summary says.
    pub outcome: Vec<OutcomeLine>,
    /// Answers that are hard to change once a phase has begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settled: BTreeMap<FieldId, Settled>,
}

/// An answer that is hard to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// What it is called.
    pub label: String,
    /// The phases that settle it.
    pub by: Vec<PhaseId>,
    /// What changing it costs then.
    pub cost: String,
}

/// A source of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSource {
    /// As the profile has it; `checkout` filled in.
    pub source: Source,
    /// Where the pinned copy lies.
    pub fetched: String,
    /// As the site overrides it.
    pub over: SourceOverride,
}

/// A machine of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMachine {
    /// Its name.
    pub name: MachineName,
    /// Its roles.
    pub roles: Vec<RoleId>,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Its public address.
    pub public_address: Option<String>,
    /// The SSH user.
    pub user: String,
    /// The path of the SSH key, `~` resolved.
    pub key: String,
    /// The jump host that leads to it.
    #[serde(default)]
    pub jump: Option<Jump>,
}

/// A phase of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanPhase {
    /// Its name.
    pub id: PhaseId,
    /// One line.
    pub title: String,
    /// What it does.
    pub help: String,
    /// Phases that must be done before it.
    pub needs: Vec<PhaseId>,
    /// Phases that come before it where they run at all.
    pub after: Vec<PhaseId>,
    /// The answers it depends on, each with a keyed digest of its value.
    pub reads: BTreeMap<FieldId, String>,
    /// The answers that its steps and the files they write name, each with a keyed digest of its value: to say why it is stale.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<FieldId, String>,
    /// Expected time, minutes, from and to.
    pub expect_minutes: Option<(u32, u32)>,
    /// Where upstream describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// What skipping it means; none: it cannot be skipped.
    pub skip: Option<String>,
    /// What it does, in order.
    pub steps: Vec<PlanStep>,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Its name in the phase.
    pub id: StepId,
    /// One line.
    pub title: String,
    /// Working folder, absolute.
    pub dir: Option<String>,
    /// Environment of its commands; may name secrets as `${secret.ID}`.
    pub env: BTreeMap<String, String>,
    /// Whether it may run again.
    pub repeat: Repeat,
    /// Checks that must hold after it.
    pub verify: Vec<CheckId>,
    /// Checks that, when all hold, make it unnecessary.
    pub unless: Vec<CheckId>,
    /// Runs only when the phase is retried after a failure.
    pub on_retry: bool,
    /// What its commands see as terminal.
    pub terminal: Terminal,
    /// Prompts answered for it.
    pub prompts: Vec<Prompt>,
    /// How the `helm` of its scripts is guarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmSpec>,
    /// Minutes without output after which it is marked slow.
    pub slow_after_minutes: u32,
    /// What it does.
    pub action: Action,
    /// What is known about its course; no part of the digest.
    #[serde(default, skip_serializing_if = "Hints::is_empty")]
    pub hints: Hints,
    /// A keyed digest of all this, of the files it writes and of the answers it reads.
    pub digest: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// One command.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// One playbook.
    Ansible {
        /// The whole command line.
        argv: Vec<String>,
        /// The inventory, absolute.
        inventory: String,
        /// How many `TASK` banners it prints; none: not known.
        tasks: Option<u32>,
        /// What `ansible-inventory --list` must show: group → host → address (none where the group names the host without one).
        model: BTreeMap<String, BTreeMap<String, Option<String>>>,
        /// Whether it may run again on the hosts alone that failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        limit_retry: bool,
    },
    /// init, plan and apply of one root: the step's folder.
    Terraform {
        /// Variable files, relative to the folder.
        var_files: Vec<String>,
        /// How many resources a first apply makes; none: not known.
        resources: Option<u32>,
    },
    /// A command on machines, one after the other.
    Ssh {
        /// The command line for each machine.
        commands: Vec<Vec<String>>,
        /// The machines, in the same order.
        machines: Vec<MachineName>,
        /// Keep stdout in this file instead of the log.
        save: Option<String>,
    },
    /// Files to write.
    Write {
        /// Their paths.
        paths: Vec<String>,
    },
    /// A check repeated until it holds.
    Wait {
        /// The check.
        check: CheckId,
        /// Seconds between two looks.
        every_seconds: u32,
        /// Minutes after which the step fails.
        timeout_minutes: u32,
    },
    /// A question to the operator.
    Ask {
        /// One line.
        text: String,
        /// What to do to be able to answer.
        detail: String,
        /// The secret field that keeps the answer, with its rules; none: a confirmation.
        field: Option<Box<Field>>,
        /// What leaving it open means; none: it must be answered.
        optional: Option<String>,
    },
    /// Checks that must hold.
    Check {
        /// The checks.
        checks: Vec<CheckId>,
    },
}

impl Action {
    /// The kind as profiles and JSON write it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Ansible { .. } => "ansible",
            Self::Terraform { .. } => "terraform",
            Self::Ssh { .. } => "ssh",
            Self::Write { .. } => "write",
            Self::Wait { .. } => "wait",
            Self::Ask { .. } => "ask",
            Self::Check { .. } => "check",
        }
    }
}

/// One command as it will be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working folder.
    pub dir: Option<String>,
    /// Names of the environment variables set for it.
    pub env: Vec<String>,
}

/// Name of the saved plan in a Terraform root; removed after every attempt.
pub const TERRAFORM_PLAN_FILE: &str = ".mosip-setup.tfplan";

/// How long a command that was asked to end may take before it is killed, seconds.
pub const STOP_GRACE_SECONDS: u64 = 20;
/// The same for Terraform, which finishes the resource it is at: killed earlier, it leaves its lock or half a state.
pub const TERRAFORM_STOP_GRACE_SECONDS: u64 = 15 * 60;

impl PlanPhase {
    /// The answers it depends on, declared or named, each with its digest.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<FieldId, String> {
        self.names.iter().chain(&self.reads).map(|(field, digest)| (field.clone(), digest.clone())).collect()
    }
}

impl PlanStep {
    /// How long the step may take to end when it is asked to, seconds.
    #[must_use]
    pub fn stop_grace_seconds(&self) -> u64 {
        if matches!(self.action, Action::Terraform { .. }) { TERRAFORM_STOP_GRACE_SECONDS } else { STOP_GRACE_SECONDS }
    }

    /// The commands it runs when it is limited to some hosts; none: all. Only a playbook can be.
    #[must_use]
    pub fn commands_on(&self, hosts: &[String]) -> Vec<CommandLine> {
        let mut lines = self.commands();
        if let (Action::Ansible { .. }, Some(line), false) = (&self.action, lines.first_mut(), hosts.is_empty()) {
            // The hosts that failed are among those of a limit that is there already.
            if let Some(at) = line.argv.iter().position(|word| word == "--limit") {
                line.argv.drain(at..(at + 2).min(line.argv.len()));
            }
            let at = line.argv.len().saturating_sub(1);
            line.argv.splice(at..at, ["--limit".to_owned(), hosts.join(",")]);
        }
        lines
    }

    /// A command of it that failed, as an operator types it in any shell: with its folder, and of Terraform for people, without the saved plan,
    /// which is gone by then.
    #[must_use]
    pub fn by_hand(&self, failed: &str) -> String {
        let mut words: Vec<String> = failed.split(' ').map(str::to_owned).collect();
        if let Action::Terraform { var_files, .. } = &self.action {
            let of_ours =
                |word: &String| word == "-json" || word == "-input=false" || word == TERRAFORM_PLAN_FILE || word.starts_with("-out=");
            words.retain(|word| !of_ours(word));
            if words.iter().any(|word| word == "apply") {
                words.extend(var_files.iter().map(|file| shell_quote(&format!("-var-file={file}"))));
            }
        }
        let command = words.join(" ");
        match &self.dir {
            Some(dir) if !command.is_empty() => format!("cd {} && {command}", shell_quote(dir)),
            _ => command,
        }
    }

    /// The commands it runs, in order. Write, wait, ask and check steps have none: the engine does them itself.
    #[must_use]
    pub fn commands(&self) -> Vec<CommandLine> {
        let line = |argv: Vec<String>| CommandLine { argv, dir: self.dir.clone(), env: self.env.keys().cloned().collect() };
        match &self.action {
            Action::Command { argv } | Action::Ansible { argv, .. } => vec![line(argv.clone())],
            Action::Terraform { var_files, .. } => {
                let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
                let mut plan = words("terraform plan -input=false -json");
                plan.push(format!("-out={TERRAFORM_PLAN_FILE}"));
                plan.extend(var_files.iter().map(|file| format!("-var-file={file}")));
                let mut apply = words("terraform apply -input=false -json");
                apply.push(TERRAFORM_PLAN_FILE.to_owned());
                vec![line(words("terraform init -input=false -json")), line(plan), line(apply)]
            }
            Action::Ssh { commands, .. } => commands.iter().cloned().map(line).collect(),
            Action::Write { .. } | Action::Wait { .. } | Action::Ask { .. } | Action::Check { .. } => Vec::new(),
        }
    }
}

impl PlanStep {
    /// What is done to its commands that their own lines do not show: prompts answered, calls of `helm` changed. One line each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let answer = |prompt: &Prompt| {
            let shown = match (prompt.answer.contains("${secret."), prompt.answer.is_empty()) {
                (true, _) => "a secret",
                (false, true) => "Enter alone",
                (false, false) => prompt.answer.as_str(),
            };
            format!("answers '{}' with {shown}", prompt.text.trim())
        };
        let guarded = self.helm.iter().flat_map(HelmSpec::lines);
        self.prompts.iter().map(answer).chain(guarded).collect()
    }
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// Its path, absolute.
    pub path: String,
    /// Whether it is for its owner alone.
    pub secret: bool,
    /// How it comes about.
    pub content: FileContent,
}

/// How a planned file comes about. Texts may name secrets as `${secret.ID}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileContent {
    /// A template with values edited in place.
    Edit {
        /// The template in the working checkout.
        template: String,
        /// The same in the fetched source, read while there is no checkout yet.
        fallback: String,
        /// Its format.
        format: FileFormat,
        /// The edits, in order.
        edits: Vec<Edit>,
    },
    /// A text.
    Create {
        /// The whole text.
        text: String,
    },
    /// A copy of a file.
    Copy {
        /// Where it is read.
        from: String,
    },
    /// Random hexadecimal digits, written once.
    Once {
        /// How many digits.
        random_hex: usize,
        /// A file whose presence shows that it is too late.
        unless: String,
    },
}

/// A format edited in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Ansible inventory.
    Ini,
    /// YAML.
    Yaml,
    /// Terraform variables.
    Hcl,
}

impl FileFormat {
    /// The format of a file by its ending.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let ending = path.rsplit('.').next()?;
        match ending {
            "ini" => Some(Self::Ini),
            "yml" | "yaml" => Some(Self::Yaml),
            "tfvars" => Some(Self::Hcl),
            _ => None,
        }
    }
}

/// One edit of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Edit {
    /// Sets a key that the template has.
    Set {
        /// The INI section; none in YAML and HCL.
        section: Option<String>,
        /// The key.
        key: String,
        /// Its value.
        value: toml::Value,
    },
    /// Adds a key where it is absent, else sets it.
    Add {
        /// The INI section; none in YAML and HCL.
        section: Option<String>,
        /// The key.
        key: String,
        /// Its value.
        value: toml::Value,
    },
    /// Replaces the host lines of an inventory group; its comments stay.
    Hosts {
        /// The group.
        group: String,
        /// The lines.
        lines: Vec<String>,
    },
}

impl Plan {
    /// The phase with this name.
    #[must_use]
    pub fn phase(&self, id: &str) -> Option<&PlanPhase> {
        self.phases.iter().find(|phase| phase.id == *id)
    }

    /// A step.
    #[must_use]
    pub fn step(&self, step: &StepRef) -> Option<&PlanStep> {
        self.phase(step.phase.as_str())?.steps.iter().find(|candidate| candidate.id == step.step)
    }

    /// The check with this name.
    #[must_use]
    pub fn check(&self, id: &str) -> Option<&CheckSpec> {
        self.checks.iter().find(|check| check.id == *id)
    }

    /// The digest of an answer that some phase reads; none: no phase does.
    #[must_use]
    pub fn read(&self, field: &str) -> Option<&str> {
        self.phases.iter().find_map(|phase| phase.reads.get(field).or(phase.names.get(field))).map(String::as_str)
    }

    /// The file with this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&PlanFile> {
        self.files.iter().find(|file| file.path == *path)
    }

    /// The phases that need a phase, directly or through others.
    #[must_use]
    pub fn dependents(&self, phase: &PhaseId) -> Vec<&PlanPhase> {
        let mut found: Vec<&PlanPhase> = Vec::new();
        for candidate in &self.phases {
            let needs_one = candidate.needs.iter().any(|need| need == phase || found.iter().any(|known| known.id == *need));
            if needs_one {
                found.push(candidate);
            }
        }
        found
    }
}
