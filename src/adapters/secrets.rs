//! Secrets: found where the site says, kept in memory, given out only to files and processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::install::ids::FieldId;
use crate::install::profile::Profile;
use crate::install::site::SecretRef;

/// The least length of a secret, bytes: shorter ones cannot be found in output again without hiding half of it.
pub const LEAST_BYTES: usize = 6;

/// Why a secret cannot be used. Never holds its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("secret.{field}: the environment variable {name} is not set; export it before starting, or use file:PATH")]
    NoVariable {
        /// The field.
        field: FieldId,
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("secret.{field}: {path} cannot be read: {source}")]
    Unreadable {
        /// The field.
        field: FieldId,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("secret.{field}: {path} {problem}; make it yours alone: chmod 600 {path}")]
    Exposed {
        /// The field.
        field: FieldId,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Too short, empty, of several lines, or not what the field takes.
    #[error("secret.{field}: the value {problem}")]
    Unfit {
        /// The field.
        field: FieldId,
        /// What is wrong; without the value.
        problem: String,
    },
    /// It is asked at the terminal, and nobody has been asked.
    #[error("secret.{field}: is asked at the terminal, and there is none; use env:NAME or file:PATH")]
    NoPrompt {
        /// The field.
        field: FieldId,
    },
}

/// The values of a site's secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<FieldId, SecretString>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

/// Where secrets are looked for.
pub struct Lookup<'a> {
    /// The operator's home folder, for `~/`.
    pub home: &'a Path,
    /// The folder of answers given in a run (one file for each field); these win over references.
    pub answers: Option<&'a Path>,
    /// Asks for a secret with `prompt`; gives none where there is nobody to ask.
    pub prompt: &'a dyn Fn(&FieldId) -> Option<SecretString>,
    /// Reads an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Secrets {
    /// Resolves every reference. A secret that the site does not name and nobody answered is absent.
    ///
    /// # Errors
    /// All secrets that cannot be used.
    pub fn resolve(
        references: &BTreeMap<FieldId, SecretRef>,
        profile: Option<&Profile>,
        lookup: &Lookup<'_>,
    ) -> Result<Self, Vec<SecretError>> {
        let mut secrets = Self::default();
        let mut errors = Vec::new();
        for (field, reference) in references {
            // An answer in a run wins, so the reference need not even resolve.
            let answered = lookup.answers.is_some_and(|folder| folder.join(field.as_str()).is_file());
            if answered {
                continue;
            }
            match find(field, reference, lookup).and_then(|value| fit(field, value, profile)) {
                Ok(value) => drop(secrets.values.insert(field.clone(), value)),
                Err(error) => errors.push(error),
            }
        }
        for entry in lookup.answers.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten() {
            let Some(field) = entry.file_name().to_str().and_then(|name| name.parse::<FieldId>().ok()) else { continue };
            match read_file(&field, &entry.path()) {
                // An answer left open is an empty file.
                Ok(value) if value.expose_secret().is_empty() => drop(secrets.values.remove(&field)),
                Ok(value) => match fit(&field, value, profile) {
                    Ok(value) => drop(secrets.values.insert(field, value)),
                    Err(error) => errors.push(error),
                },
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(secrets) } else { Err(errors) }
    }

    /// Takes a value that has been checked elsewhere, as an answer just given.
    pub fn insert(&mut self, field: FieldId, value: SecretString) {
        self.values.insert(field, value);
    }

    /// The value of a secret.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&SecretString> {
        self.values.get(field)
    }

    /// Field → value, to hand them to a process of this program through a pipe or its own socket; nowhere else.
    #[must_use]
    pub fn exposed(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(field, value)| (field.to_string(), value.expose_secret().to_owned())).collect()
    }

    /// All values, for redaction.
    pub fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }

    /// Replaces every `${secret.ID}`; one that is not set becomes empty. Nothing else in the text is touched.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${secret.") {
            let name_start = start + "${secret.".len();
            let Some(length) = rest[name_start..].find('}') else { break };
            result.push_str(&rest[..start]);
            if let Some(value) = self.values.get(&rest[name_start..name_start + length]) {
                result.push_str(value.expose_secret());
            }
            rest = &rest[name_start + length + 1..];
        }
        result.push_str(rest);
        result
    }
}

/// Checks an answer for a secret field, as it is typed.
///
/// # Errors
/// What is wrong, without the value.
pub fn check_answer(profile: &Profile, field: &FieldId, value: &str) -> Result<(), String> {
    problem_of(field, value, Some(profile)).map_or(Ok(()), Err)
}

fn problem_of(field: &FieldId, value: &str, profile: Option<&Profile>) -> Option<String> {
    if value.is_empty() {
        return Some("is empty".into());
    }
    if value.len() < LEAST_BYTES {
        return Some(format!("is shorter than {LEAST_BYTES} bytes: it could not be kept out of logs"));
    }
    let problem = profile?.field(field.as_str())?.parse(value).err()?;
    // Messages of fields may repeat the text; a secret's must not.
    Some(if problem.0.contains(value) { "does not have the form this field takes".into() } else { problem.0 })
}

fn fit(field: &FieldId, value: SecretString, profile: Option<&Profile>) -> Result<SecretString, SecretError> {
    match problem_of(field, value.expose_secret(), profile) {
        Some(problem) => Err(SecretError::Unfit { field: field.clone(), problem }),
        None => Ok(value),
    }
}

fn find(field: &FieldId, reference: &SecretRef, lookup: &Lookup<'_>) -> Result<SecretString, SecretError> {
    match reference {
        SecretRef::Env(name) => (lookup.environment)(name)
            .map(SecretString::from)
            .ok_or_else(|| SecretError::NoVariable { field: field.clone(), name: name.clone() }),
        SecretRef::File(path) => {
            let path = path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| lookup.home.join(rest));
            read_file(field, &path)
        }
        SecretRef::Prompt => (lookup.prompt)(field).ok_or_else(|| SecretError::NoPrompt { field: field.clone() }),
    }
}

fn read_file(field: &FieldId, path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |source| SecretError::Unreadable { field: field.clone(), path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let exposed = |problem| SecretError::Exposed { field: field.clone(), path: path.to_owned(), problem };
    if metadata.mode() & 0o077 != 0 {
        return Err(exposed("can be read by others"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(exposed("belongs to somebody else"));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn resolve(references: &[(&str, SecretRef)], home: &Path, answers: Option<&Path>) -> Result<Secrets, Vec<String>> {
        let references = references.iter().map(|(field, reference)| (field.parse().unwrap(), reference.clone())).collect();
        let lookup =
            Lookup { home, answers, prompt: &|_| None, environment: &|name| (name == "SET").then(|| "from-environment".to_owned()) };
        Secrets::resolve(&references, None, &lookup).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn found_where_the_site_says() {
        let home = tempfile::tempdir().unwrap();
        file(home.path(), "good", "hunter22\n", 0o600);
        let secrets = resolve(&[("a", SecretRef::File("~/good".into())), ("b", SecretRef::Env("SET".into()))], home.path(), None).unwrap();
        assert_eq!(secrets.expand("x ${secret.a}/${secret.b}${secret.c} ${y} $${z}"), "x hunter22/from-environment ${y} $${z}");
        assert!(!format!("{secrets:?}").contains("hunter22"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        let home = tempfile::tempdir().unwrap();
        file(home.path(), "open", "hunter22", 0o644);
        file(home.path(), "short", "abcde\n", 0o600);
        for (reference, wanted) in [
            (SecretRef::File("~/open".into()), "can be read by others"),
            (SecretRef::File("~/short".into()), "shorter than 6"),
            (SecretRef::File("~/none".into()), "cannot be read"),
            (SecretRef::Env("NOPE".into()), "NOPE is not set"),
            (SecretRef::Prompt, "there is none"),
        ] {
            let errors = resolve(&[("a", reference)], home.path(), None).unwrap_err();
            assert!(errors[0].contains(wanted) && !errors[0].contains("abcde"), "{errors:?}");
        }
    }

    #[test]
    fn an_answer_in_a_run_wins() {
        let home = tempfile::tempdir().unwrap();
        let answers = tempfile::tempdir().unwrap();
        file(answers.path(), "a", "answered", 0o600);
        file(answers.path(), "b", "", 0o600);
        let secrets = resolve(&[("a", SecretRef::Env("NOPE".into()))], home.path(), Some(answers.path())).unwrap();
        assert_eq!(secrets.expand("${secret.a}|${secret.b}"), "answered|");
    }
}
