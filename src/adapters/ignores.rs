//! `ignores.toml` of a site: findings the operator has decided to live with, each with a reason.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::install::check::{Ignores, Target};
use crate::install::ids::CheckId;

/// One finding ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// The check.
    pub check: CheckId,
    /// On this target alone.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub who: String,
    /// When, RFC 3339.
    pub when: String,
}

/// Why ignores could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct IgnoresError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub reason: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    #[serde(default)]
    ignore: Vec<Ignore>,
}

/// Reads a site's ignores; without a file there are none.
///
/// # Errors
/// When the file cannot be read, is not valid, or belongs to another schema.
pub fn read(path: &Path) -> Result<Vec<Ignore>, IgnoresError> {
    let fail = |reason: String| IgnoresError { path: path.to_owned(), reason };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(format!("cannot be read: {error}"))),
    };
    let file: File = toml::from_str(&text).map_err(|error| fail(format!("is not valid: {}", error.message())))?;
    if file.schema != 1 {
        return Err(fail(format!("has schema {}, and this program reads schema 1", file.schema)));
    }
    Ok(file.ignore)
}

/// Writes a site's ignores, in one piece, mode 0600.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, ignores: &[Ignore]) -> Result<(), IgnoresError> {
    let fail = |reason: String| IgnoresError { path: path.to_owned(), reason: format!("cannot be written: {reason}") };
    let text = toml::to_string(&File { schema: 1, ignore: ignores.to_vec() }).map_err(|error| fail(error.to_string()))?;
    let store = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    store().map_err(|error| fail(error.to_string()))
}

/// Adds an ignore, or replaces the one for the same check and target.
///
/// # Errors
/// When the file cannot be read or written, or the reason is empty.
pub fn add(path: &Path, ignore: Ignore) -> Result<(), IgnoresError> {
    if ignore.reason.trim().is_empty() {
        return Err(IgnoresError { path: path.to_owned(), reason: "an ignored finding needs a reason".to_owned() });
    }
    let mut ignores = read(path)?;
    ignores.retain(|known| (&known.check, &known.target) != (&ignore.check, &ignore.target));
    ignores.push(ignore);
    write(path, &ignores)
}

/// Takes an ignore back; whether there was one.
///
/// # Errors
/// When the file cannot be read or written.
pub fn remove(path: &Path, check: &CheckId, target: &Target) -> Result<bool, IgnoresError> {
    let mut ignores = read(path)?;
    let before = ignores.len();
    ignores.retain(|known| (&known.check, &known.target) != (check, target));
    if ignores.len() == before {
        return Ok(false);
    }
    write(path, &ignores).map(|()| true)
}

/// Ignores as judging takes them.
#[must_use]
pub fn reasons(ignores: &[Ignore]) -> Ignores {
    ignores.iter().map(|one| ((one.check.clone(), one.target.clone()), one.reason.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_are_added_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site/ignores.toml");
        assert!(read(&path).unwrap().is_empty());
        let ignore = |target: &str, reason: &str| Ignore {
            check: "swap.off".parse().unwrap(),
            target: target.to_owned().try_into().unwrap(),
            reason: reason.into(),
            who: "op".into(),
            when: "2026-01-01T00:00:00Z".into(),
        };
        add(&path, ignore("machine:vm1", "first")).unwrap();
        add(&path, ignore("machine:vm2", "other")).unwrap();
        add(&path, ignore("machine:vm1", "second")).unwrap();
        let known = read(&path).unwrap();
        assert_eq!(known.len(), 2);
        let key = ("swap.off".parse().unwrap(), Target::Machine("vm1".parse().unwrap()));
        assert_eq!(reasons(&known)[&key], "second");
        assert!(add(&path, ignore("local", " ")).unwrap_err().to_string().contains("needs a reason"));
        assert!(remove(&path, &key.0, &key.1).unwrap());
        assert!(!remove(&path, &key.0, &key.1).unwrap());
        std::fs::write(&path, "schema = 2").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("schema 2"));
    }
}
