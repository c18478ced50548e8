//! The answers that a phase names: in its steps and in the files they write.

use std::collections::{BTreeMap, BTreeSet};

use super::field::Field;
use super::ids::FieldId;
use super::interpolate::{names, secrets};
use super::plan::Settled;
use super::profile::{FileOrigin, FileSpec, Phase, Profile, Step, StepKind, WriteSpec};
use super::site::Site;

/// The fields whose answers the steps of a phase and the files they write name, directly or through derived values and the places of checkouts.
pub(super) fn fields<'a>(profile: &'a Profile, site: &Site, phase: &Phase) -> BTreeSet<&'a FieldId> {
    let mut texts: Vec<String> = Vec::new();
    for step in phase.steps.iter().filter(|step| site.holds(step.when.as_ref())) {
        texts.extend(step_texts(step));
        texts.extend(written(profile, site, step).flat_map(file_texts));
    }
    let mut named = BTreeSet::new();
    while let Some(text) = texts.pop() {
        let source = text.split_once(':').and_then(|(name, _)| profile.sources.iter().find(|(id, _)| id.as_str() == name));
        texts.extend(source.map(|(_, source)| source.checkout.clone()));
        let found = names(&text);
        texts.extend(profile.derive.iter().filter(|(name, _)| found.contains(name)).map(|(_, text)| text.clone()));
        let fields = found.iter().map(|name| name.strip_prefix("secret.").unwrap_or(name));
        named.extend(fields.filter_map(|name| profile.field(name)).map(|field| &field.id));
    }
    named
}

/// The secrets in the files that a step writes, each with its reference; empty: it writes none that holds one.
pub(super) fn secrets_of(profile: &Profile, site: &Site, step: &Step) -> BTreeMap<String, String> {
    let texts = written(profile, site, step).flat_map(file_texts);
    let named = texts.flat_map(|text| secrets(&text));
    named.filter_map(|name| site.secrets.get(name.as_str()).map(ToString::to_string).map(|reference| (name, reference))).collect()
}

/// The files that a step writes.
fn written<'a>(profile: &'a Profile, site: &'a Site, step: &'a Step) -> impl Iterator<Item = &'a FileSpec> {
    let wanted = |file: &&FileSpec| match &step.action {
        StepKind::Write(WriteSpec::All(_)) => true,
        StepKind::Write(WriteSpec::Targets(targets)) => targets.contains(&file.target),
        _ => false,
    };
    profile.files.iter().filter(|file| site.holds(file.when.as_ref())).filter(wanted)
}

/// The texts of a step that are filled in.
fn step_texts(step: &Step) -> Vec<String> {
    let mut texts: Vec<String> = step.env.values().chain(&step.dir).chain(&step.kubeconfig).cloned().collect();
    texts.extend(step.prompts.iter().flat_map(|prompt| [prompt.text.clone(), prompt.answer.clone()]));
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
fn file_texts(file: &FileSpec) -> Vec<String> {
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

/// The answers that are hard to change once a phase has begun.
pub(super) fn settled(profile: &Profile) -> BTreeMap<FieldId, Settled> {
    let settled = profile.fields.iter().filter(|field| !field.settled_by.is_empty());
    let entry = |field: &Field| Settled { label: field.label.clone(), by: field.settled_by.clone(), cost: field.hard_to_change.clone() };
    settled.map(|field| (field.id.clone(), entry(field))).collect()
}
