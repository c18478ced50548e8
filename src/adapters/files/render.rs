//! Renders the files of a plan, shows what would change, and writes them.
//!
//! A file is always made from its template and the answers, never from what stands there. What stands there is compared with what this
//! program last wrote: where somebody else has changed it since, that is a conflict, and the file is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::adapters::paths::random_hex;
use crate::adapters::secrets::Secrets;
use crate::install::interpolate::secrets as secret_names;
use crate::install::plan::{Edit, FileContent, FileFormat, Plan, PlanFile};

use super::{EditError, atomic, diff, hcl, ini, yaml};

/// What writing a file would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is not there yet.
    Create,
    /// This program wrote it, and it changes.
    Edit,
    /// It stays as it is.
    Same,
    /// Somebody else has changed or made it; it is kept unless the operator says otherwise.
    Conflict,
    /// It is deliberately left alone; `note` says why.
    Keep,
}

/// One file as it would be.
#[derive(Clone)]
pub struct Rendered {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// What writing it would do.
    pub change: Change,
    /// How it differs from what stands there; secrets are not shown.
    pub diff: String,
    /// Why it is kept or in conflict.
    pub note: String,
    bytes: Vec<u8>,
    once: bool,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rendered").field("path", &self.path).field("change", &self.change).finish_non_exhaustive()
    }
}

impl Rendered {
    /// What would stand in it; may hold secrets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a file cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template cannot be edited.
    #[error("{template}: {source}")]
    Template {
        /// The template.
        template: PathBuf,
        /// Why.
        source: EditError,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}. {advice}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// What to do.
        advice: String,
    },
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] crate::adapters::paths::PathError),
    /// The plan has no file of this path.
    #[error("the plan writes no file {0}")]
    NotPlanned(String),
}

/// All that went wrong; nothing has been written.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RenderErrors(pub Vec<RenderError>);

/// What this program last wrote: path → keyed digest. Kept in the site's `rendered.json`.
#[derive(Debug, Clone, Default)]
pub struct RenderState {
    key: Vec<u8>,
    file: PathBuf,
    digests: BTreeMap<String, String>,
}

impl RenderState {
    /// Reads the state; an absent or torn file is an empty one, and every file then counts as somebody else's.
    #[must_use]
    pub fn load(file: &Path, key: Vec<u8>) -> Self {
        let digests = fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { key, file: file.to_owned(), digests }
    }

    fn digest(&self, bytes: &[u8]) -> String {
        // The MAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(bytes);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn wrote(&self, path: &Path, bytes: &[u8]) -> bool {
        self.digests.get(&path.display().to_string()).is_some_and(|known| *known == self.digest(bytes))
    }

    fn note(&mut self, path: &Path, bytes: &[u8]) {
        let digest = self.digest(bytes);
        self.digests.insert(path.display().to_string(), digest);
    }

    fn save(&self) -> Result<(), atomic::WriteError> {
        let text = serde_json::to_vec_pretty(&self.digests).unwrap_or_default();
        atomic::write(&self.file, &text, 0o600)
    }
}

/// Which files, and how strictly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The paths to render; none: all of the plan.
    pub only: Option<&'a [String]>,
    /// Files whose source a phase has yet to make (a certificate not obtained yet) are kept instead of failing.
    pub preview: bool,
}

/// Renders files of a plan; touches nothing.
///
/// # Errors
/// All templates that lack a key or cannot be read, and all values that do not fit.
pub fn render(plan: &Plan, scope: Scope<'_>, secrets: &Secrets, state: &RenderState) -> Result<Vec<Rendered>, RenderErrors> {
    let mut errors = Vec::new();
    let mut rendered = Vec::new();
    if let Some(only) = scope.only {
        errors.extend(only.iter().filter(|path| plan.file(path).is_none()).map(|path| RenderError::NotPlanned(path.clone())));
    }
    for file in plan.files.iter().filter(|file| scope.only.is_none_or(|only| only.contains(&file.path))) {
        match one(file, scope, secrets, state) {
            Ok(file) => rendered.push(file),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(rendered) } else { Err(RenderErrors(errors)) }
}

fn one(file: &PlanFile, scope: Scope<'_>, secrets: &Secrets, state: &RenderState) -> Result<Rendered, RenderError> {
    let path = PathBuf::from(&file.path);
    let mode = if file.secret { 0o600 } else { 0o644 };
    let keep = |note: String| Rendered {
        path: path.clone(),
        mode,
        change: Change::Keep,
        diff: String::new(),
        note,
        bytes: Vec::new(),
        once: false,
    };
    let current = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(RenderError::Unreadable { path, source, advice: "Check who owns it".into() }),
    };
    let mut untouched = None;
    let bytes = match &file.content {
        FileContent::Create { text } => secrets.expand(text).into_bytes(),
        FileContent::Copy { from } => match fs::read(from) {
            Ok(bytes) => bytes,
            Err(error) if scope.preview && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(keep(format!("{from} does not exist yet")));
            }
            Err(source) => {
                let advice = "Is the path right, and may this user read it?".to_owned();
                return Err(RenderError::Unreadable { path: from.into(), source, advice });
            }
        },
        FileContent::Once { random_hex: digits, unless } => {
            if current.is_some() {
                return Ok(keep("is written once and never again".into()));
            }
            if Path::new(unless).exists() {
                return Ok(keep(format!("{unless} exists, so it is too late for this file")));
            }
            random_hex(*digits)?.into_bytes()
        }
        FileContent::Edit { template, fallback, format, edits } => {
            let (template, text) = read_template(template, fallback)?;
            let result = apply(*format, &text, edits, secrets).map_err(|source| RenderError::Template { template, source })?;
            untouched = Some(text);
            result.into_bytes()
        }
    };
    let once = matches!(file.content, FileContent::Once { .. });
    let (change, note) = match &current {
        None => (Change::Create, String::new()),
        Some(current) if *current == bytes => (Change::Same, String::new()),
        // A plain copy of the template, as the guides have people make it, is nobody's work.
        Some(current) if state.wrote(&path, current) || untouched.as_ref().is_some_and(|text| text.as_bytes() == current) => {
            (Change::Edit, String::new())
        }
        Some(_) if state.digests.contains_key(&file.path) => {
            (Change::Conflict, "was changed by hand since it was last written, and is kept".to_owned())
        }
        Some(_) => (Change::Conflict, "was not written by this program, and is kept".to_owned()),
    };
    let diff =
        if change == Change::Same { String::new() } else { shown_diff(file, current.as_deref(), untouched.as_deref(), &bytes, secrets) };
    Ok(Rendered { path, mode, change, diff, note, bytes, once })
}

/// A file that is not there yet is compared with its template.
fn shown_diff(file: &PlanFile, current: Option<&[u8]>, template: Option<&str>, bytes: &[u8], secrets: &Secrets) -> String {
    let keys: BTreeSet<&str> = match &file.content {
        FileContent::Edit { edits, .. } => edits.iter().filter_map(secret_key).collect(),
        FileContent::Create { text } if secret_names(text).is_empty() => BTreeSet::new(),
        // Nothing of a secret file without known keys is shown: a private key, a token.
        FileContent::Create { .. } => return diff::hidden(current.is_some()),
        FileContent::Copy { .. } | FileContent::Once { .. } if file.secret => return diff::hidden(current.is_some()),
        FileContent::Copy { .. } | FileContent::Once { .. } => BTreeSet::new(),
    };
    let old = current.or(template.map(str::as_bytes)).unwrap_or_default();
    let old = String::from_utf8_lossy(old).into_owned();
    diff::shown(&file.path, &old, &String::from_utf8_lossy(bytes), &keys, secrets)
}

fn secret_key(edit: &Edit) -> Option<&str> {
    match edit {
        Edit::Set { key, value, .. } | Edit::Add { key, value, .. } => {
            value.as_str().is_some_and(|text| !secret_names(text).is_empty()).then_some(key)
        }
        Edit::Hosts { .. } => None,
    }
}

/// Reads the template from the working checkout, or from the fetched source while there is none.
fn read_template(template: &str, fallback: &str) -> Result<(PathBuf, String), RenderError> {
    for path in [template, fallback] {
        match fs::read_to_string(path) {
            Ok(text) => return Ok((path.into(), text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(RenderError::Unreadable {
                    path: path.into(),
                    source,
                    advice: "Is it a text, and may this user read it?".into(),
                });
            }
        }
    }
    Err(RenderError::Unreadable {
        path: template.into(),
        source: std::io::ErrorKind::NotFound.into(),
        advice: "Bring the kit here first: mosip-setup fetch".into(),
    })
}

/// Edits a text as the plan says, with secrets filled in. A secret that is not set leaves the template's value, and an added key without a
/// value is left out: "not answered" is not the same as "empty".
///
/// # Errors
/// As the format's own editor.
pub fn apply(format: FileFormat, text: &str, edits: &[Edit], secrets: &Secrets) -> Result<String, EditError> {
    let mut resolved = Vec::new();
    for edit in edits {
        let mut edit = edit.clone();
        let keep = match &mut edit {
            Edit::Set { value, .. } => fill(value, secrets),
            Edit::Add { value, .. } => fill(value, secrets) && value.as_str() != Some(""),
            Edit::Hosts { .. } => true,
        };
        if keep {
            resolved.push(edit);
        } else if let Edit::Set { section, key, .. } = &edit {
            // Left as it is, but it must be there all the same.
            exists(format, text, section.as_deref(), key)?;
        }
    }
    match format {
        FileFormat::Ini => ini::edit(text, &resolved),
        FileFormat::Yaml => yaml::edit(text, &resolved),
        FileFormat::Hcl => hcl::edit(text, &resolved),
    }
}

fn exists(format: FileFormat, text: &str, section: Option<&str>, key: &str) -> Result<(), EditError> {
    let found = match format {
        FileFormat::Ini => ini::variable(&ini::read(text)?, section.unwrap_or_default(), key).is_some(),
        FileFormat::Yaml => yaml::read(text)?.contains_key(key),
        FileFormat::Hcl => hcl::read(text)?.contains_key(key),
    };
    if found { Ok(()) } else { Err(EditError::Missing { key: key.to_owned() }) }
}

/// Fills in secrets; false where the value is nothing but a secret that is not set.
fn fill(value: &mut toml::Value, secrets: &Secrets) -> bool {
    let toml::Value::String(text) = value else { return true };
    let names = secret_names(text);
    if names.is_empty() {
        return true;
    }
    let only = names.len() == 1 && *text == format!("${{secret.{}}}", names[0]);
    if only && secrets.get(&names[0]).is_none() {
        return false;
    }
    *text = secrets.expand(text);
    true
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files made or replaced.
    pub written: Vec<PathBuf>,
    /// Files kept because somebody else changed them.
    pub conflicts: Vec<PathBuf>,
    /// Copies of what stood there before.
    pub backups: Vec<PathBuf>,
}

/// Writes rendered files, each whole or not at all, and remembers what was written. Conflicts are kept, but for those in `overwrite`, of
/// which a copy is made first.
///
/// # Errors
/// The first file that cannot be written; those before it are written and remembered.
pub fn write(rendered: &[Rendered], overwrite: &BTreeSet<PathBuf>, state: &mut RenderState) -> Result<Written, atomic::WriteError> {
    let mut done = Written::default();
    let folders: BTreeSet<&Path> = rendered.iter().filter_map(|file| file.path.parent()).collect();
    folders.into_iter().for_each(atomic::sweep);
    let outcome = rendered.iter().try_for_each(|file| write_one(file, overwrite, state, &mut done));
    // Also after a failure: what has been written must not look like somebody else's work.
    let saved = state.save();
    outcome.and(saved).map(|()| done)
}

fn write_one(
    file: &Rendered,
    overwrite: &BTreeSet<PathBuf>,
    state: &mut RenderState,
    done: &mut Written,
) -> Result<(), atomic::WriteError> {
    match file.change {
        Change::Keep => return Ok(()),
        Change::Same => {
            use std::os::unix::fs::PermissionsExt;
            state.note(&file.path, &file.bytes);
            // A secret that stands there readable for all is put right; a stricter mode than ours is the operator's wish.
            if file.mode == 0o600 {
                return fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600))
                    .map_err(|source| atomic::WriteError::new(&file.path, source));
            }
            return Ok(());
        }
        Change::Conflict if !overwrite.contains(&file.path) => {
            done.conflicts.push(file.path.clone());
            return Ok(());
        }
        Change::Conflict => done.backups.push(back_up(&file.path)?),
        Change::Create | Change::Edit => {}
    }
    if file.once {
        atomic::create_new(&file.path, &file.bytes, file.mode)?;
    } else {
        atomic::write(&file.path, &file.bytes, file.mode)?;
    }
    state.note(&file.path, &file.bytes);
    done.written.push(file.path.clone());
    Ok(())
}

/// Copies a file beside itself under a free name.
fn back_up(path: &Path) -> Result<PathBuf, atomic::WriteError> {
    let bytes = fs::read(path).map_err(|source| atomic::WriteError::new(path, source))?;
    for number in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".before-mosip-setup.{number}"));
        let copy = PathBuf::from(name);
        if !copy.exists() {
            return atomic::create_new(&copy, &bytes, 0o600).map(|()| copy);
        }
    }
    Ok(path.to_owned())
}

/// Adds each source's patterns to its checkout's `.git/info/exclude`, once.
///
/// # Errors
/// The file cannot be written.
pub fn exclude(plan: &Plan) -> Result<(), atomic::WriteError> {
    for source in plan.sources.values() {
        let git = Path::new(&source.source.checkout).join(".git");
        if !git.is_dir() || source.source.exclude.is_empty() {
            continue;
        }
        let file = git.join("info/exclude");
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        let missing: Vec<&String> =
            source.source.exclude.iter().filter(|pattern| !text.lines().any(|line| line == pattern.as_str())).collect();
        if missing.is_empty() {
            continue;
        }
        super::append_line(&mut text, "# Files and secrets of the site, by mosip-setup");
        missing.iter().for_each(|pattern| super::append_line(&mut text, pattern));
        atomic::write(&file, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
