//! Texts of a profile: which a check has, and what a fix may say.

use super::Rules;
use crate::install::check::{CheckKind, CheckSpec};
use crate::install::fix;
use crate::install::ids::RoleId;
use crate::install::profile::Profile;
use crate::install::reach::LOCAL;

impl Rules<'_> {
    pub(super) fn fix(&mut self, key: &str, check: &CheckSpec, fix: &fix::Fix) {
        if check.on_demand || !fix::has_a_place(&check.kind) {
            self.problem(key, "a fix needs a finding of the preflight on a machine or on the deployment node");
        }
        for (name, text) in [("does", &fix.does), ("script", &fix.script)] {
            if text.trim().is_empty() {
                self.problem(&format!("{key}.{name}"), "must not be empty: it is what the operator agrees to");
            }
        }
        if let Some(what) = fix::destroys(&fix.script) {
            self.problem(&format!("{key}.script"), format!("{what} is no fix: leave it to the operator, and say so in the remedy"));
        }
    }

    pub(super) fn paths(&mut self, key: &str, check: &CheckSpec, from: &[RoleId], to: &[RoleId]) {
        for role in from.iter().filter(|role| role.as_str() != LOCAL) {
            self.role_exists(&format!("{key}.from"), role.as_str());
        }
        to.iter().for_each(|role| self.role_exists(&format!("{key}.to"), role.as_str()));
        for (name, empty) in [("from", from.is_empty()), ("to", to.is_empty())] {
            if empty {
                self.problem(&format!("{key}.{name}"), "name at least one role");
            }
        }
        if !check.roles.is_empty() {
            self.problem(&format!("{key}.roles"), "this kind has `from` and `to` instead");
        }
        if self.profile.role(LOCAL).is_some() {
            self.problem(&format!("{key}.from"), "a role is called 'local', which means the deployment node here");
        }
        if let CheckKind::PortsBetween { ports, .. } = &check.kind {
            if ports.is_empty() {
                self.problem(&format!("{key}.ports"), "name at least one port");
            }
            for one in ports.iter().filter(|one| one.tcp.is_some() == one.udp.is_some()) {
                self.problem(&format!("{key}.ports"), format!("'{}' needs either tcp or udp", one.purpose));
            }
        }
    }
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
