//! Which names a profile's texts may use between `${` and `}`.

use super::field::FieldKind;
use super::interpolate::names;
use super::profile::Profile;

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
