//! Parts of the rules between the parts of a profile.

use super::check::CheckKind;
use super::profile::{FileOrigin, Profile};

/// What is wrong with what the profile says about changed answers: key and message.
pub(super) fn changes(profile: &Profile) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for field in &profile.fields {
        let key = format!("field.{}.settled_by", field.id);
        if !field.settled_by.is_empty() && field.hard_to_change.is_empty() {
            problems.push((key.clone(), "say in hard_to_change what a change costs then".to_owned()));
        }
        for id in &field.settled_by {
            match profile.phase(id.as_str()) {
                None => problems.push((key.clone(), format!("there is no phase '{id}'"))),
                Some(phase) if !phase.reads.contains(&field.id) => {
                    problems.push((key.clone(), format!("phase '{id}' must have '{}' under reads: a change is told from that", field.id)));
                }
                Some(_) => {}
            }
        }
    }
    for phase in &profile.phases {
        for name in &phase.reads_advanced {
            let known =
                profile.files.iter().any(|file| matches!(&file.origin, FileOrigin::Edit(edit) if edit.advanced.as_ref() == Some(name)));
            if !known {
                problems.push((format!("phase.{}.reads_advanced", phase.id), format!("no file has the name '{name}' under advanced")));
            }
        }
    }
    problems
}

/// The regular expressions of a check, by key.
pub(super) fn patterns(kind: &CheckKind) -> Vec<(&'static str, &str)> {
    let pairs: Vec<(&'static str, &Option<String>)> = match kind {
        CheckKind::Tool { pattern, .. } => vec![("pattern", pattern)],
        CheckKind::Command { stdout, stdout_not, .. } => vec![("stdout", stdout), ("stdout_not", stdout_not)],
        CheckKind::RemoteCommand { stdout, .. } => vec![("stdout", stdout)],
        _ => vec![],
    };
    pairs.into_iter().filter_map(|(name, pattern)| pattern.as_deref().map(|pattern| (name, pattern))).collect()
}

/// `kit:path` without the source's name.
pub(super) fn strip_source(profile: &Profile, text: &str) -> String {
    match text.split_once(':') {
        Some((source, rest)) if profile.sources.contains_key(source) => rest.to_owned(),
        _ => text.to_owned(),
    }
}

pub(super) fn texts_of(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(list) => list.iter().flat_map(texts_of).collect(),
        toml::Value::Table(table) => table.values().flat_map(texts_of).collect(),
        _ => vec![],
    }
}
