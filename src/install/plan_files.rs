//! The files of a plan: templates with their edits, texts, copies.

use std::collections::BTreeMap;

use super::plan::{Edit, FileContent, FileFormat, PlanFile};
use super::planner::Planner;
use super::profile::{EditSpec, FileOrigin, FileSpec, SectionSpec};
use super::site::Machine;

impl Planner<'_> {
    /// One file, filled in.
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
            let lines =
                machines.iter().map(|machine| self.machine_text(&format!("{key}.section.{group}"), &section.line, machine)).collect();
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
                    && !matches!(typed, super::field::Value::Text(_))
                {
                    return typed.to_toml();
                }
                toml::Value::String(self.expand(key, text))
            }
            toml::Value::Array(list) => toml::Value::Array(list.iter().map(|value| self.toml_value(key, value)).collect()),
            other => other.clone(),
        }
    }
}
