//! What must hold of the steps of a profile.

use super::field::FieldKind;
use super::helm::HelmSpec;
use super::profile::{Phase, Prompt, Step, StepKind, WriteSpec};
use super::profile_rules::{Rules, strip_source};

impl Rules<'_> {
    fn helm(&mut self, key: &str, step: &Step, helm: &HelmSpec) {
        if !matches!(step.action, StepKind::Command(_)) {
            self.problem(key, "only a command can have its helm guarded");
        }
        for rule in &helm.release {
            if rule.id.split('/').filter(|part| !part.is_empty()).count() != 2 {
                self.problem(key, format!("write the release '{}' as NAMESPACE/RELEASE", rule.id));
            }
            if rule.reason.is_empty() {
                self.problem(key, format!("say why '{}' is treated in another way: the reason is shown", rule.id));
            }
            for word in &rule.add {
                self.text(key, word, false);
                self.no_secret(key, word, "a command line, where every user of the machine can read it");
            }
        }
    }

    fn prompt(&mut self, key: &str, step: &Step, prompt: &Prompt) {
        self.text(key, &prompt.text, false);
        self.no_secret(key, &prompt.text, "a prompt");
        self.text(key, &prompt.answer, false);
        if prompt.text.trim().is_empty() {
            self.problem(key, "a prompt needs its text: an empty one is everywhere");
        }
        if let Some(condition) = &prompt.when {
            self.field_exists(&format!("{key}.when"), condition.field.as_str());
        }
        if let Some(script) = &prompt.script {
            self.text(key, &strip_source(self.profile, script), false);
        }
        if prompt.written.is_some() && prompt.script.is_none() {
            self.problem(key, "written needs script, the file in which it stands");
        }
        if step.terminal == super::profile::Terminal::Pipe {
            self.problem(key, "prompts need terminal = \"pty\"");
        }
    }

    pub(super) fn step(&mut self, key: &str, phase: &Phase, step: &Step) {
        for check in step.verify.iter().chain(&step.unless) {
            self.check_exists(key, check.as_str());
        }
        if let Some(condition) = &step.when {
            self.field_exists(&format!("{key}.when"), condition.field.as_str());
        }
        for (name, text) in &step.env {
            self.text(&format!("{key}.env.{name}"), text, false);
        }
        for text in step.dir.iter().chain(&step.kubeconfig) {
            self.text(key, &strip_source(self.profile, text), false);
        }
        for prompt in &step.prompts {
            self.prompt(&format!("{key}.prompts"), step, prompt);
        }
        if let Some(helm) = &step.helm {
            self.helm(&format!("{key}.helm"), step, helm);
        }
        match &step.action {
            StepKind::Command(argv) => {
                if argv.is_empty() {
                    self.problem(&format!("{key}.command"), "must not be empty");
                }
                for word in argv {
                    self.text(&format!("{key}.command"), word, false);
                    self.no_secret(&format!("{key}.command"), word, "a command line, where every user of the machine can read it");
                }
            }
            StepKind::Ansible(spec) => {
                if step.dir.is_none() {
                    self.problem(&format!("{key}.dir"), "an ansible step needs dir: inventory and playbook are relative to it");
                }
                for word in spec.arguments.iter().chain(&spec.limit) {
                    self.text(&format!("{key}.ansible"), word, false);
                    self.no_secret(&format!("{key}.ansible"), word, "a command line");
                }
                if spec
                    .arguments
                    .iter()
                    .any(|word| word == "--verbose" || (word.starts_with("-v") && word.trim_start_matches('-').chars().all(|c| c == 'v')))
                {
                    self.problem(&format!("{key}.ansible.arguments"), "-v prints keys and tokens into the log");
                }
                if let Some(each) = &spec.tasks_each {
                    for role in &each.roles {
                        self.role_exists(&format!("{key}.ansible.tasks_each"), role.as_str());
                    }
                }
            }
            StepKind::Terraform(_) => {
                if step.dir.is_none() {
                    self.problem(&format!("{key}.dir"), "a terraform step needs dir, the root it applies");
                }
            }
            StepKind::Ssh(spec) => {
                self.role_exists(&format!("{key}.ssh.role"), spec.role.as_str());
                self.text(&format!("{key}.ssh.command"), &spec.command, true);
                self.no_secret(&format!("{key}.ssh.command"), &spec.command, "a command line");
                if let Some(save) = &spec.save {
                    self.text(&format!("{key}.ssh.save"), &strip_source(self.profile, save), false);
                }
            }
            StepKind::Write(WriteSpec::Targets(targets)) => {
                for target in targets {
                    if !self.profile.files.iter().any(|file| file.target == *target) {
                        self.problem(&format!("{key}.write"), format!("there is no [[file]] with target '{target}'"));
                    }
                }
            }
            StepKind::Write(WriteSpec::All(all)) => {
                if !all {
                    self.problem(&format!("{key}.write"), "write true, or the targets to write");
                }
            }
            StepKind::Wait(spec) => self.check_exists(&format!("{key}.wait"), spec.check.as_str()),
            StepKind::Ask(spec) => {
                self.text(&format!("{key}.ask"), &spec.text, false);
                self.text(&format!("{key}.ask"), &spec.detail, false);
                if let Some(field) = &spec.field {
                    match self.profile.field(field.as_str()) {
                        Some(field) if field.kind == FieldKind::Secret => {}
                        Some(_) => self.problem(&format!("{key}.ask.field"), "only a secret field can be answered in the middle of a run"),
                        None => self.field_exists(&format!("{key}.ask.field"), field.as_str()),
                    }
                    if !phase.reads.is_empty() && !phase.reads.contains(field) {
                        self.problem(&format!("{key}.ask.field"), format!("the phase must name '{field}' under reads"));
                    }
                }
            }
            StepKind::Check(checks) => {
                for check in checks {
                    self.check_exists(&format!("{key}.check"), check.as_str());
                }
            }
        }
    }
}
