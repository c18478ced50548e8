//! What must hold between the parts of a profile.

use std::collections::BTreeSet;

use regex::Regex;

use self::texts::{patterns, strip_source, texts_of};
use super::check::CheckKind;
use super::field::{Field, FieldKind};
use super::helm::HelmSpec;
use super::interpolate::{names, secrets};
use super::known_names::unknown_names;
use super::plan::FileFormat;
use super::problem::Problem;
use super::profile::{FileOrigin, Phase, Profile, Prompt, Relation, Step, StepKind, WriteSpec};
use super::rule_parts;

/// Where a key of the profile stands: (file, line).
pub type Place<'a> = &'a dyn Fn(&str) -> (String, usize);

/// Checks a profile; every problem is reported.
#[must_use]
pub fn check(profile: &Profile, place: Place<'_>) -> Vec<Problem> {
    let mut rules = Rules { profile, place, problems: Vec::new() };
    rules.unique();
    rules.sources();
    rules.fields();
    rules.roles_and_relations();
    rules.derived();
    rules.checks();
    rules.files();
    rules.phases();
    for (key, message) in rule_parts::changes(profile) {
        rules.problem(&key, message);
    }
    rules.problems
}

mod texts;

struct Rules<'a> {
    profile: &'a Profile,
    place: Place<'a>,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        let (file, line) = (self.place)(key);
        self.problems.push(Problem { file, line, key: key.to_owned(), message: message.into() });
    }

    fn unique(&mut self) {
        let profile = self.profile;
        let lists: [(&str, Vec<String>); 5] = [
            ("field", profile.fields.iter().map(|field| field.id.to_string()).collect()),
            ("role", profile.roles.iter().map(|role| role.id.to_string()).collect()),
            ("check", profile.checks.iter().map(|check| check.id.to_string()).collect()),
            ("file", profile.files.iter().map(|file| file.target.clone()).collect()),
            ("phase", profile.phases.iter().map(|phase| phase.id.to_string()).collect()),
        ];
        for (list, names) in lists {
            let mut seen = BTreeSet::new();
            for name in names {
                if !seen.insert(name.clone()) {
                    self.problem(&format!("{list}.{name}"), format!("there are two {list}s '{name}'"));
                }
            }
        }
        for (key, empty) in [("field", profile.fields.is_empty()), ("phase", profile.phases.is_empty())] {
            if empty {
                self.problem(key, format!("a profile needs at least one [[{key}]]"));
            }
        }
    }

    fn sources(&mut self) {
        for (id, source) in &self.profile.sources {
            let key = format!("source.{id}");
            if source.commit.len() != 40 || !source.commit.chars().all(|c| c.is_ascii_hexdigit()) {
                self.problem(&format!("{key}.ref"), "write the whole commit, 40 hexadecimal digits: tags and branches move");
            }
            self.text(&format!("{key}.checkout"), &source.checkout, false);
        }
    }

    fn fields(&mut self) {
        for field in &self.profile.fields {
            let key = format!("field.{}", field.id);
            if let Some(condition) = &field.when {
                self.field_exists(&format!("{key}.when"), condition.field.as_str());
            }
            if field.kind == FieldKind::Choice && field.values.is_empty() {
                self.problem(&format!("{key}.values"), "a choice needs values");
            }
            if let Some(pattern) = &field.pattern
                && let Err(error) = Regex::new(pattern)
            {
                self.problem(&format!("{key}.pattern"), format!("not a regular expression: {error}"));
            }
            self.default(&key, field);
        }
    }

    fn default(&mut self, key: &str, field: &Field) {
        let key = format!("{key}.default");
        match &field.default {
            Some(_) if field.kind == FieldKind::Secret => self.problem(&key, "a secret has no default"),
            Some(toml::Value::String(text)) if text.contains("${") => self.text(&key, &text.clone(), false),
            Some(value) => {
                if let Err(error) = field.accept(value) {
                    self.problem(&key, error.0);
                }
            }
            None => {}
        }
    }

    fn field_exists(&mut self, key: &str, field: &str) {
        if self.profile.field(field).is_none() {
            self.problem(key, format!("there is no field '{field}'"));
        }
    }

    fn role_exists(&mut self, key: &str, role: &str) {
        if self.profile.role(role).is_none() {
            self.problem(key, format!("there is no role '{role}'"));
        }
    }

    fn check_exists(&mut self, key: &str, check: &str) {
        if self.profile.check(check).is_none() {
            self.problem(key, format!("there is no check '{check}'"));
        }
    }

    fn text(&mut self, key: &str, text: &str, with_machine: bool) {
        for name in unknown_names(self.profile, text, with_machine) {
            self.problem(key, format!("${{{name}}} stands for nothing: there is no such field, derived value, machine or role value"));
        }
        if text.matches("${").count() > text.matches('}').count() {
            self.problem(key, "'${' without '}'");
        }
    }

    fn no_secret(&mut self, key: &str, text: &str, where_to: &str) {
        if !secrets(text).is_empty() {
            self.problem(key, format!("a secret must not stand in {where_to}; give it in the environment or a file"));
        }
    }

    fn roles_and_relations(&mut self) {
        for role in &self.profile.roles {
            for field in role.user_field.iter().chain(&role.key_field) {
                self.field_exists(&format!("role.{}", role.id), field.as_str());
            }
        }
        for relation in &self.profile.relations {
            let (roles, fields): (Vec<&str>, Vec<&str>) = match relation {
                Relation::OneOf { role, of, .. } => (std::iter::once(role).chain(of).map(super::ids::RoleId::as_str).collect(), vec![]),
                Relation::Within { role, within, .. } => (vec![role.as_str(), within.as_str()], vec![]),
                Relation::Apart { roles, .. } => (roles.iter().map(super::ids::RoleId::as_str).collect(), vec![]),
                Relation::Below { field, domain, .. } => (vec![], vec![field.as_str(), domain.as_str()]),
                Relation::NoOverlap { fields, .. } => (vec![], fields.iter().map(super::ids::FieldId::as_str).collect()),
                Relation::Inside { roles, field, .. } => (roles.iter().map(super::ids::RoleId::as_str).collect(), vec![field.as_str()]),
            };
            for role in roles {
                self.role_exists("relation", role);
            }
            for field in fields {
                self.field_exists("relation", field);
            }
        }
    }

    fn derived(&mut self) {
        for (name, text) in &self.profile.derive {
            let key = format!("derive.{name}");
            if self.profile.field(name).is_some() {
                self.problem(&key, "a field has this name already");
            }
            self.text(&key, &text.clone(), false);
            self.no_secret(&key, text, "a derived value");
        }
    }

    fn checks(&mut self) {
        for check in &self.profile.checks {
            let key = format!("check.{}", check.id);
            for role in &check.roles {
                self.role_exists(&format!("{key}.roles"), role.as_str());
            }
            for phase in check.guards.iter().chain(&check.provided_by) {
                if self.profile.phase(phase.as_str()).is_none() {
                    self.problem(&key, format!("there is no phase '{phase}'"));
                }
            }
            if let Some(condition) = &check.when {
                self.field_exists(&format!("{key}.when"), condition.field.as_str());
            }
            if check.remedy.is_empty() && !check.on_demand {
                self.problem(&format!("{key}.remedy"), "say what to do when it is not green");
            }
            let mut texts: Vec<&str> = vec![&check.remedy];
            if let Some(fix) = &check.fix {
                texts.extend([fix.does.as_str(), fix.script.as_str()]);
                self.fix(&format!("{key}.fix"), check, fix);
            }
            match &check.kind {
                CheckKind::Certificate { chain, key, names, .. } => {
                    texts.extend([chain.as_str(), key.as_str()]);
                    texts.extend(names.iter().map(String::as_str));
                }
                CheckKind::SshKey { field } => self.field_exists(&key, field.as_str()),
                CheckKind::Layout { source } if !self.profile.sources.contains_key(source) => {
                    self.problem(&format!("{key}.source"), format!("there is no source '{source}'"));
                }
                CheckKind::CidrOverlap { fields, .. } => fields.iter().for_each(|field| self.field_exists(&key, field.as_str())),
                CheckKind::Command { argv, dir, kubeconfig, .. } => {
                    texts.extend(argv.iter().chain(dir).chain(kubeconfig).map(String::as_str));
                    if argv.is_empty() {
                        self.problem(&format!("{key}.argv"), "must not be empty");
                    }
                }
                CheckKind::Dns { records } | CheckKind::DnsFromMachines { records } => {
                    texts.extend(records.iter().flat_map(|record| [record.name.as_str(), record.address.as_str()]))
                }
                CheckKind::Http { url, address, .. } => texts.extend(std::iter::once(url).chain(address).map(String::as_str)),
                CheckKind::LocalUser { writable } => texts.extend(writable.iter().map(String::as_str)),
                CheckKind::RemoteCommand { command, .. } => texts.push(command),
                CheckKind::PortsBetween { from, to, .. } | CheckKind::PathMtu { from, to, .. } => self.paths(&key, check, from, to),
                CheckKind::Egress { urls } | CheckKind::EgressFromMachines { urls } => texts.extend(urls.iter().map(String::as_str)),
                CheckKind::PortsFree { udp_fields, .. } => udp_fields.iter().for_each(|field| self.field_exists(&key, field.as_str())),
                CheckKind::Charts { index, file, .. } => {
                    texts.push(index);
                    if let Some(file) = file
                        && !self.profile.files.iter().any(|known| known.target == *file)
                    {
                        self.problem(&format!("{key}.file"), format!("the profile writes no file '{file}'"));
                    }
                }
                _ => {}
            }
            for text in texts {
                self.text(&key, &strip_source(self.profile, text), false);
                self.no_secret(&key, text, "a check");
            }
            for (name, pattern) in patterns(&check.kind) {
                if let Err(error) = Regex::new(pattern) {
                    self.problem(&format!("{key}.{name}"), format!("not a regular expression: {error}"));
                }
            }
        }
    }

    fn files(&mut self) {
        for file in &self.profile.files {
            let key = format!("file.{}", file.target);
            self.text(&key, &strip_source(self.profile, &file.target), false);
            if let Some(condition) = &file.when {
                self.field_exists(&format!("{key}.when"), condition.field.as_str());
            }
            match &file.origin {
                FileOrigin::Create { text, lists } => {
                    let own = |name: &String| name.strip_prefix("list.").is_some_and(|name| lists.contains_key(name));
                    let rest =
                        names(text).into_iter().filter(own).fold(text.clone(), |text, name| text.replace(&format!("${{{name}}}"), ""));
                    self.text(&key, &rest, false);
                    for list in lists.values() {
                        self.role_exists(&format!("{key}.lists"), list.each.as_str());
                        self.text(&format!("{key}.lists"), &list.line, true);
                        self.no_secret(&format!("{key}.lists"), &list.line, "a line for each machine");
                    }
                    self.secret_file(&key, file.secret, text);
                }
                FileOrigin::Copy { from } => self.text(&key, &strip_source(self.profile, from), false),
                FileOrigin::Once { random_hex, unless } => {
                    self.text(&key, &strip_source(self.profile, unless), false);
                    if *random_hex < 32 {
                        self.problem(&key, "random_hex must be at least 32 digits: it is a credential");
                    }
                }
                FileOrigin::Edit(edit) => {
                    let format = FileFormat::of(&file.target);
                    if format.is_none() {
                        self.problem(&key, "edit works on files that end in .ini, .yml, .yaml or .tfvars");
                    }
                    for section in edit.section.values() {
                        self.role_exists(&format!("{key}.section"), section.each.as_str());
                        self.text(&format!("{key}.section"), &section.line, true);
                    }
                    if !edit.section.is_empty() && format != Some(FileFormat::Ini) {
                        self.problem(&format!("{key}.section"), "only inventories (.ini) have host sections");
                    }
                    for (name, value) in edit.set.iter().chain(&edit.add) {
                        for text in texts_of(value) {
                            self.text(&format!("{key}.{name}"), &text, false);
                            self.secret_file(&key, file.secret, &text);
                        }
                        if format == Some(FileFormat::Ini) && !value.is_table() {
                            self.problem(&format!("{key}.{name}"), "in an inventory, write set.\"SECTION\" = { key = value }");
                        }
                    }
                }
            }
        }
    }

    fn secret_file(&mut self, key: &str, secret: bool, text: &str) {
        if !secret && !secrets(text).is_empty() {
            self.problem(key, "the file holds a secret: write secret = true, so that only its owner can read it");
        }
    }

    fn phases(&mut self) {
        let mut before: BTreeSet<&str> = BTreeSet::new();
        for phase in &self.profile.phases {
            let key = format!("phase.{}", phase.id);
            for (name, list) in [("needs", &phase.needs), ("after", &phase.after)] {
                for other in list {
                    if !before.contains(other.as_str()) {
                        self.problem(&format!("{key}.{name}"), format!("'{other}' is not a phase that stands before this one"));
                    }
                }
            }
            before.insert(phase.id.as_str());
            for field in &phase.reads {
                self.field_exists(&format!("{key}.reads"), field.as_str());
            }
            if let Some(condition) = &phase.when {
                self.field_exists(&format!("{key}.when"), condition.field.as_str());
            }
            if let Some((from, to)) = phase.expect_minutes
                && from > to
            {
                self.problem(&format!("{key}.expect_minutes"), "write the shorter time first");
            }
            if phase.steps.is_empty() {
                self.problem(&key, "a phase needs at least one [[phase.step]]");
            }
            let mut names = BTreeSet::new();
            for (number, step) in phase.steps.iter().enumerate() {
                let key = format!("{key}.step[{number}]");
                if !names.insert(step.id.as_str()) {
                    self.problem(&key, format!("there are two steps '{}' in this phase", step.id));
                }
                self.step(&key, phase, step);
            }
        }
    }

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

    fn step(&mut self, key: &str, phase: &Phase, step: &Step) {
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
        for problem in step.hints.problems(matches!(step.action, StepKind::Terraform(_))) {
            self.problem(key, problem);
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
