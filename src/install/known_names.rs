//! The texts of a profile that are filled in, and the names they may use between `${` and `}`.

use super::field::FieldKind;
use super::interpolate::names;
use super::profile::{FileOrigin, FileSpec, Profile, Step, StepKind};

/// The names a text of the profile may use; for `profiles check`.
#[must_use]
pub fn unknown_names(profile: &Profile, text: &str, with_machine: bool) -> Vec<String> {
    let derived = |name: &str| profile.derive.iter().any(|(known, _)| known == name);
    let known = |name: &str| -> bool {
        let mut parts = name.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("home" | "user" | "known_hosts" | "program"), None, None) => true,
            (Some("site"), Some("dir"), None) => true,
            (Some("source" | "checkout"), Some(source), None) => profile.sources.contains_key(source),
            (Some("machine"), Some("name" | "address" | "public_address" | "user"), None) => with_machine,
            (Some("machine"), Some(_), Some("name" | "address" | "public_address" | "user")) => true,
            (Some("role"), Some(role), Some("names" | "addresses" | "count" | "first" | "first_name" | "first_public")) => {
                profile.role(role).is_some()
            }
            (Some("secret"), Some(field), None) => profile.field(field).is_some_and(|field| field.kind == FieldKind::Secret),
            _ => derived(name) || profile.field(name).is_some_and(|field| field.kind != FieldKind::Secret),
        }
    };
    names(text).into_iter().filter(|name| !known(name)).collect()
}

/// The texts of a step that are filled in.
pub fn step_texts(step: &Step) -> Vec<String> {
    let mut texts: Vec<String> = step.env.values().chain(&step.dir).chain(&step.kubeconfig).cloned().collect();
    texts.extend(step.prompts.iter().flat_map(|prompt| [prompt.text.clone(), prompt.answer.clone()]));
    texts.extend(step.helm.iter().flat_map(|helm| &helm.release).flat_map(|rule| rule.add.iter().cloned()));
    match &step.action {
        StepKind::Command(argv) => texts.extend(argv.iter().cloned()),
        StepKind::Ansible(spec) => texts.extend(spec.limit.iter().chain(&spec.arguments).cloned()),
        StepKind::Ssh(spec) => texts.extend(std::iter::once(&spec.command).chain(&spec.save).cloned()),
        StepKind::Ask(spec) => texts.extend([spec.text.clone(), spec.detail.clone()]),
        StepKind::Terraform(_) | StepKind::Write(_) | StepKind::Wait(_) | StepKind::Check(_) => {}
    }
    texts
}

/// The texts of a file that are filled in.
pub fn file_texts(file: &FileSpec) -> Vec<String> {
    fn values(value: &toml::Value, texts: &mut Vec<String>) {
        match value {
            toml::Value::String(text) => texts.push(text.clone()),
            toml::Value::Array(list) => list.iter().for_each(|value| values(value, texts)),
            toml::Value::Table(table) => table.values().for_each(|value| values(value, texts)),
            _ => {}
        }
    }
    let mut texts = vec![file.target.clone()];
    match &file.origin {
        FileOrigin::Create { text, lists } => {
            texts.push(text.clone());
            texts.extend(lists.values().map(|list| list.line.clone()));
        }
        FileOrigin::Copy { from } => texts.push(from.clone()),
        FileOrigin::Once { unless, .. } => texts.push(unless.clone()),
        FileOrigin::Edit(edit) => {
            edit.set.values().chain(edit.add.values()).for_each(|value| values(value, &mut texts));
            texts.extend(edit.section.values().map(|section| section.line.clone()));
        }
    }
    texts
}
