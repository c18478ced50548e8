//! `ignores.toml` of a site: findings the operator has decided to live with, each with a reason and for a time.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::install::check::{Ignored, Ignores, Target};
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
    /// Until when, RFC 3339; where older files have none: [`USUAL`] after `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// How long a finding is ignored where nothing else is said.
pub const USUAL: &str = "7d";

/// The longest time a finding may be ignored, days.
const LONGEST_DAYS: i64 = 90;

impl Ignore {
    fn end(&self) -> Option<Timestamp> {
        match &self.until {
            Some(until) => until.parse().ok(),
            None => self.when.parse::<Timestamp>().ok()?.checked_add(duration(USUAL).ok()?).ok(),
        }
    }
}

/// Reads `12h`, `7d` or `2w`.
///
/// # Errors
/// What would be right.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let form = || format!("write a number and h, d or w, as {USUAL}; at most {LONGEST_DAYS}d");
    let text = text.trim();
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<i64>().ok()).filter(|number| *number > 0);
    let hours = match (number, text.chars().last()) {
        (Some(number), Some('h')) => Some(number),
        (Some(number), Some('d')) => number.checked_mul(24),
        (Some(number), Some('w')) => number.checked_mul(24 * 7),
        _ => None,
    };
    hours.filter(|hours| *hours <= LONGEST_DAYS * 24).map(SignedDuration::from_hours).ok_or_else(form)
}

/// The decision to ignore one finding from now on, for a time as `7d`.
///
/// # Errors
/// When the time cannot be read.
pub fn decide(check: &CheckId, target: &Target, reason: &str, who: &str, now: Timestamp, time: &str) -> Result<Ignore, String> {
    let until = now.checked_add(duration(time)?).map_err(|error| error.to_string())?;
    Ok(Ignore {
        check: check.clone(),
        target: target.clone(),
        reason: reason.to_owned(),
        who: who.to_owned(),
        when: now.to_string(),
        until: Some(until.to_string()),
    })
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

/// Ignores as judging takes them, at this time.
#[must_use]
pub fn reasons(ignores: &[Ignore], now: Timestamp) -> Ignores {
    let reason = |one: &Ignore| {
        let end = one.end();
        let until = end.map_or_else(|| "a time that cannot be read".to_owned(), |end| end.strftime("%Y-%m-%d %H:%M UTC").to_string());
        let text = format!("{}, until {until}, {}", one.reason, one.who);
        // A time that nobody can read is no time for ever.
        if end.is_some_and(|end| now < end) { Ignored::Holds(text) } else { Ignored::Over(text) }
    };
    ignores.iter().map(|one| ((one.check.clone(), one.target.clone()), reason(one))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_chosen_and_has_an_end() {
        assert_eq!(duration("7d").unwrap(), SignedDuration::from_hours(168));
        assert_eq!(duration("2w").unwrap(), SignedDuration::from_hours(336));
        assert_eq!(duration(" 12h ").unwrap(), SignedDuration::from_hours(12));
        for wrong in ["", "d", "0d", "-1d", "7", "91d", "99999999999999999d", "for ever", "7ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let one = decide(&"swap.off".parse().unwrap(), &Target::Local, "why", "op", now, "12h").unwrap();
        assert_eq!(one.until.as_deref(), Some("2026-01-01T12:00:00Z"));
        let broken = Ignore { until: Some("soon".into()), ..one };
        assert!(matches!(reasons(&[broken], now).values().next(), Some(Ignored::Over(text)) if text.contains("cannot be read")));
    }

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
            until: None,
        };
        add(&path, ignore("machine:vm1", "first")).unwrap();
        add(&path, ignore("machine:vm2", "other")).unwrap();
        add(&path, ignore("machine:vm1", "second")).unwrap();
        let known = read(&path).unwrap();
        assert_eq!(known.len(), 2);
        let key = ("swap.off".parse().unwrap(), Target::Machine("vm1".parse().unwrap()));
        let at = |text: &str| reasons(&known, text.parse().unwrap())[&key].clone();
        let said = "second, until 2026-01-08 00:00 UTC, op".to_owned();
        assert_eq!(at("2026-01-07T23:59:59Z"), Ignored::Holds(said.clone()));
        assert_eq!(at("2026-01-08T00:00:00Z"), Ignored::Over(said));
        assert!(add(&path, ignore("local", " ")).unwrap_err().to_string().contains("needs a reason"));
        assert!(remove(&path, &key.0, &key.1).unwrap());
        assert!(!remove(&path, &key.0, &key.1).unwrap());
        std::fs::write(&path, "schema = 2").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("schema 2"));
    }
}
