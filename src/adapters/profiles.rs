//! Profiles: those that come with the program, and those read from disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::install::problem::Problem;
use crate::install::profile::Profile;
use crate::install::profile_reader;

/// The shipped profiles: (file name in messages, text).
const SHIPPED: &[(&str, &str)] = &[
    ("profiles/turing-rke2.toml", include_str!("../../profiles/turing-rke2.toml")),
    ("profiles/v3-onprem.toml", include_str!("../../profiles/v3-onprem.toml")),
    ("profiles/v3-onprem-nodns.toml", include_str!("../../profiles/v3-onprem-nodns.toml")),
];

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no profile of this name, and no such file.
    #[error("there is no profile '{name}': the shipped ones are {known}; for one of your own give the path of its file, ending in .toml")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names of the shipped profiles.
        known: String,
    },
    /// The file cannot be read.
    #[error("the profile {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The profile has problems.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What the start screen says of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileEntry {
    /// Its name.
    pub id: String,
    /// One line.
    pub title: String,
    /// A paragraph.
    pub summary: String,
}

/// The name of a shipped profile's file without folder and ending: also its id.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// Loads a shipped profile by its name, or a profile file by its path (a text with `/` or ending in `.toml`).
///
/// # Errors
/// There is none, it cannot be read, or it has problems (each with file, line and key).
pub fn load(id_or_path: &str) -> Result<Profile, ProfileError> {
    let is_path = id_or_path.contains('/') || Path::new(id_or_path).extension().is_some_and(|ending| ending == "toml");
    if is_path { load_file(Path::new(id_or_path)) } else { load_shipped(id_or_path) }
}

/// Loads the profile that a site names: shipped, or beside the site file as `NAME.toml`, or by path (relative to the site file's folder).
///
/// # Errors
/// As [`load`].
pub fn load_for_site(name: &str, site_dir: &Path) -> Result<Profile, ProfileError> {
    if SHIPPED.iter().any(|(file, _)| stem(file) == name) {
        return load_shipped(name);
    }
    let beside = if name.ends_with(".toml") { site_dir.join(name) } else { site_dir.join(format!("{name}.toml")) };
    if beside.is_file() { load_file(&beside) } else { load(name) }
}

fn load_shipped(id: &str) -> Result<Profile, ProfileError> {
    let Some((file, text)) = SHIPPED.iter().find(|(file, _)| stem(file) == id) else {
        return Err(ProfileError::Unknown { name: id.to_owned(), known: ids().join(", ") });
    };
    // They never change, and are wanted at every turn: saving, planning and each round of checks.
    static READ: Mutex<BTreeMap<&str, Profile>> = Mutex::new(BTreeMap::new());
    let known = READ.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
    if let Some(profile) = known {
        return Ok(profile);
    }
    let profile = profile_reader::read(file, text, &|base| lookup(base, None)).map_err(ProfileError::Invalid)?;
    READ.lock().unwrap_or_else(PoisonError::into_inner).insert(file, profile.clone());
    Ok(profile)
}

fn load_file(path: &Path) -> Result<Profile, ProfileError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Unreadable { path: path.to_owned(), source })?;
    let folder = path.parent().map(Path::to_owned);
    profile_reader::read(&path.display().to_string(), &text, &|base| lookup(base, folder.as_deref())).map_err(ProfileError::Invalid)
}

/// Finds the profile that another extends: in the same folder, else a shipped one.
fn lookup(id: &str, folder: Option<&Path>) -> Option<(String, String)> {
    let beside = folder.map(|folder| folder.join(format!("{id}.toml")));
    if let Some(path) = beside
        && let Ok(text) = std::fs::read_to_string(&path)
    {
        return Some((path.display().to_string(), text));
    }
    SHIPPED.iter().find(|(file, _)| stem(file) == id).map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
}

/// The names of the shipped profiles.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    SHIPPED.iter().map(|(file, _)| stem(file)).collect()
}

/// The shipped profiles, for lists.
#[must_use]
pub fn list() -> Vec<ProfileEntry> {
    ids()
        .into_iter()
        .filter_map(|id| load_shipped(id).ok())
        .map(|profile| ProfileEntry { id: profile.id.to_string(), title: profile.title, summary: profile.summary.trim().to_owned() })
        .collect()
}

#[cfg(test)]
#[path = "profiles_tests.rs"]
mod tests;
