//! What a plan holds beside its steps: files to write, and checks with their texts filled in.

use std::collections::BTreeMap;

use super::{Planner, machine_values};
use crate::install::check::{CheckKind, CheckSpec};
use crate::install::interpolate::expand;
use crate::install::jump::Jump;
use crate::install::plan::{Edit, FileContent, FileFormat, PlanFile};
use crate::install::profile::{EditSpec, FileOrigin, FileSpec, SectionSpec};
use crate::install::site::{KeyProblem, Machine};

impl Planner<'_> {
    // --- files ---

    pub(super) fn file(&mut self, file: &FileSpec) -> PlanFile {
        let key = format!("file.{}", file.target);
        let path = self.path(&key, &file.target);
        let content = match &file.origin {
            FileOrigin::Create { text, lists } => FileContent::Create { text: self.created(&key, text, lists) },
            FileOrigin::Copy { from } => FileContent::Copy { from: self.path(&key, from) },
            FileOrigin::Once { random_hex, unless } => FileContent::Once { random_hex: *random_hex, unless: self.path(&key, unless) },
            FileOrigin::Edit(edit) => self.edit(&key, &file.target, edit),
        };
        PlanFile { path, secret: file.secret, content }
    }

    fn created(&mut self, key: &str, text: &str, lists: &BTreeMap<String, SectionSpec>) -> String {
        for (name, list) in lists {
            let machines: Vec<Machine> = self.site.with_role(list.each.as_str()).cloned().collect();
            let lines: Vec<String> = machines.iter().map(|machine| self.machine_text(key, &list.line, machine)).collect();
            self.values.set(format!("list.{name}"), lines.join("\n"));
        }
        self.expand(key, text)
    }

    fn edit(&mut self, key: &str, target: &str, edit: &EditSpec) -> FileContent {
        let template = self.path(key, &edit.template);
        let fallback = match self.source_path(&edit.template) {
            Some((source, rest)) => format!("{}/{rest}", self.place.fetched.get(&source).cloned().unwrap_or_default()),
            None => template.clone(),
        };
        let format = FileFormat::of(target).unwrap_or(FileFormat::Hcl);
        let mut edits = Vec::new();
        for (table, make) in [(&edit.set, true), (&edit.add, false)] {
            for (name, value) in table {
                let entries: Vec<(Option<String>, String, &toml::Value)> = match (format, value) {
                    (FileFormat::Ini, toml::Value::Table(inner)) => {
                        inner.iter().map(|(key, value)| (Some(name.clone()), key.clone(), value)).collect()
                    }
                    _ => vec![(None, name.clone(), value)],
                };
                for (section, key_name, value) in entries {
                    let value = self.toml_value(&format!("{key}.{name}"), value);
                    edits.push(if make {
                        Edit::Set { section, key: key_name, value }
                    } else {
                        Edit::Add { section, key: key_name, value }
                    });
                }
            }
        }
        for (group, section) in &edit.section {
            let machines: Vec<Machine> = self.site.with_role(section.each.as_str()).cloned().collect();
            let lines = machines.iter().map(|machine| self.host_line(&format!("{key}.section.{group}"), &section.line, machine)).collect();
            edits.push(Edit::Hosts { group: group.clone(), lines });
        }
        if let Some(knobs) = edit.advanced.as_ref().and_then(|name| self.site.advanced.get(name)) {
            edits.extend(knobs.iter().map(|(key, value)| Edit::Set { section: None, key: key.clone(), value: value.clone() }));
        }
        FileContent::Edit { template, fallback, format, edits }
    }

    /// Fills in a value; a text that is one `${field}` takes the type of the field.
    fn toml_value(&mut self, key: &str, value: &toml::Value) -> toml::Value {
        match value {
            toml::Value::String(text) => {
                let only = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('}'));
                if let Some(typed) = only.and_then(|name| self.site.answers.get(name))
                    && !matches!(typed, crate::install::field::Value::Text(_))
                {
                    return typed.to_toml();
                }
                toml::Value::String(self.expand(key, text))
            }
            toml::Value::Array(list) => toml::Value::Array(list.iter().map(|value| self.toml_value(key, value)).collect()),
            other => other.clone(),
        }
    }

    /// A machine's line in an inventory; where it is reached through a jump host, Ansible is told so.
    fn host_line(&mut self, key: &str, text: &str, machine: &Machine) -> String {
        let line = self.machine_text(key, text, machine);
        match self.machine(machine).jump {
            Some(_) if line.contains("ansible_host=") => format!("{line} {}", Jump::for_inventory(&self.place.known_hosts)),
            _ => line,
        }
    }

    pub(super) fn machine_text(&mut self, key: &str, text: &str, machine: &Machine) -> String {
        let own: BTreeMap<String, String> =
            machine_values(self.profile, self.site, machine).into_iter().map(|(item, value)| (format!("machine.{item}"), value)).collect();
        match expand(text, &|name| own.get(name).cloned().or_else(|| self.values.get(name).map(str::to_owned))) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(KeyProblem { key: key.to_owned(), message: error.to_string() });
                String::new()
            }
        }
    }

    // --- checks ---

    pub(super) fn check(&mut self, check: &CheckSpec) -> CheckSpec {
        let key = format!("check.{}", check.id);
        let mut check = check.clone();
        check.remedy = self.expand(&key, &check.remedy);
        if let Some(fix) = &mut check.fix {
            fix.does = self.expand(&key, &fix.does);
            fix.script = self.expand(&key, &fix.script);
        }
        match &mut check.kind {
            CheckKind::Certificate { chain, key: private, names, .. } => {
                *chain = self.path(&key, chain);
                *private = self.path(&key, private);
                *names = names.iter().map(|name| self.expand(&key, name)).filter(|name| !name.is_empty()).collect();
            }
            CheckKind::LocalUser { writable } => *writable = writable.iter().map(|path| self.path(&key, path)).collect(),
            CheckKind::Command { argv, dir, kubeconfig, .. } => {
                argv.iter_mut().for_each(|word| *word = self.expand(&key, word));
                *dir = dir.as_ref().map(|dir| self.path(&key, dir));
                *kubeconfig = kubeconfig.as_ref().map(|path| self.path(&key, path));
            }
            CheckKind::Dns { records } | CheckKind::DnsFromMachines { records } => {
                for record in records.iter_mut() {
                    let texts = [&mut record.name, &mut record.address].into_iter().chain(&mut record.alias_of);
                    texts.for_each(|text| *text = self.expand(&key, text));
                }
            }
            CheckKind::Http { url, address, .. } => {
                *url = self.expand(&key, url);
                *address = address.as_ref().map(|address| self.expand(&key, address));
            }
            CheckKind::RemoteCommand { command, .. } => *command = self.expand(&key, command),
            CheckKind::Egress { urls } | CheckKind::EgressFromMachines { urls } => {
                urls.iter_mut().for_each(|url| *url = self.expand(&key, url))
            }
            CheckKind::Charts { index, file, .. } => {
                *index = self.expand(&key, index);
                *file = file.as_ref().map(|file| self.path(&key, file));
            }
            CheckKind::PortsFree { udp, udp_fields, .. } => {
                udp.extend(std::mem::take(udp_fields).iter().filter_map(|field| self.values.get(field.as_str())?.parse::<u16>().ok()));
            }
            _ => {}
        }
        check
    }
}
