//! Sources: the repositories that a profile drives, fetched once at their pinned commits, and the checkouts made of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::install::plan::FileFormat;
use crate::install::profile::{FileOrigin, Profile, Source};
use crate::install::site::{Knobs, SourceOverride};

use super::files::{hcl, yaml};
use super::paths::{PathError, Paths};

/// Why a source cannot be fetched or used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// git is not installed.
    #[error("git cannot be started: {0}. Install it: sudo apt-get install git")]
    NoGit(std::io::Error),
    /// The address cannot be reached or read.
    #[error(
        "{name}: {from} cannot be fetched.\n{detail}\nWithout internet, bring a clone or a bundle of it here (on another machine: git clone --mirror {from}, or git bundle create kit.bundle --all) and give its place: mosip-setup fetch --source {name}=PATH"
    )]
    Unreachable {
        /// The source.
        name: String,
        /// Where it was looked for.
        from: String,
        /// What git said.
        detail: String,
    },
    /// The pinned commit is not there.
    #[error("{name}: {from} does not have the commit {commit}; bring it up to date, or name another commit with ref under [source.{name}]")]
    NoCommit {
        /// The source.
        name: String,
        /// Where it was looked for.
        from: String,
        /// The commit.
        commit: String,
    },
    /// The override's place does not exist.
    #[error("{name}: {path} does not exist; give the folder of a clone, a plain folder or a bundle")]
    NoPath {
        /// The source.
        name: String,
        /// The place.
        path: PathBuf,
    },
    /// A folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A state folder cannot be made.
    #[error(transparent)]
    Path(#[from] PathError),
    /// What was fetched does not fit the profile.
    #[error("{name}: {message}")]
    Layout {
        /// The source.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// A source in the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Its commit.
    pub commit: String,
    /// That it is not the commit tested, in words.
    pub warning: Option<String>,
}

/// What is known of a checkout or fetched source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its commit; none where it is not a git checkout.
    pub commit: Option<String>,
    /// The commit that the profile was tested with.
    pub tested: String,
    /// Paths that the profile needs and that are not there.
    pub missing: Vec<String>,
    /// The profile's message on a layout that does not fit.
    pub refused: Option<String>,
}

impl Inspection {
    /// Why it cannot be used.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        if let Some(message) = &self.refused {
            return Some(message.clone());
        }
        (!self.missing.is_empty()).then(|| format!("this is not the layout the profile drives: there is no {}", self.missing.join(", no ")))
    }

    /// Why it may behave otherwise than tested.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match &self.commit {
            Some(commit) if *commit == self.tested => None,
            Some(commit) => Some(format!("is at commit {commit}; the profile was tested with {}", self.tested)),
            None => Some(format!("is not a git checkout, so its commit is not known; the profile was tested with {}", self.tested)),
        }
    }
}

/// Looks at a checkout: its commit, and whether its layout fits.
#[must_use]
pub fn inspect(folder: &Path, source: &Source) -> Inspection {
    let refused = source.refuse.iter().find(|refusal| folder.join(&refusal.path).exists()).map(|refusal| refusal.message.clone());
    let missing = source.markers.iter().filter(|marker| !folder.join(marker).exists()).cloned().collect();
    Inspection { commit: head(folder), tested: source.commit.clone(), missing, refused }
}

fn head(folder: &Path) -> Option<String> {
    // `.git` must be the folder's own: a checkout inside another repository would answer for that one.
    if !folder.join(".git").exists() {
        return None;
    }
    git(folder, &["rev-parse", "--verify", "HEAD"]).ok()
}

/// Where a source lies once it is fetched.
///
/// # Errors
/// The state folder cannot be made.
pub fn place(name: &str, source: &Source, over: &SourceOverride, paths: &Paths) -> Result<PathBuf, PathError> {
    let elsewhere = over.path.as_deref().or(over.git.as_deref());
    let label = match (elsewhere, &over.commit) {
        (Some(from), commit) => {
            let digest = Sha256::digest(format!("{from}\n{}", commit.as_deref().unwrap_or_default()));
            format!("other-{}", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        (None, Some(commit)) => commit.clone(),
        (None, None) => source.commit.clone(),
    };
    paths.source(name, &label)
}

/// Where each source of a profile lies; only those already fetched.
#[must_use]
pub fn fetched(profile: &Profile, overrides: &BTreeMap<String, SourceOverride>, paths: &Paths) -> BTreeMap<String, PathBuf> {
    let none = SourceOverride::default();
    profile
        .sources
        .iter()
        .filter_map(|(id, source)| {
            let over = overrides.get(id.as_str()).unwrap_or(&none);
            let folder = place(id.as_str(), source, over, paths).ok()?;
            folder.is_dir().then(|| (id.to_string(), folder))
        })
        .collect()
}

/// Fetches a source into the state folder. What is there already is used again, but for a place of the operator's own, which may have
/// changed. Lines of progress go to `progress`.
///
/// # Errors
/// It cannot be reached, lacks the commit, or has a layout that does not fit.
pub fn fetch(
    name: &str,
    source: &Source,
    over: &SourceOverride,
    paths: &Paths,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    let target = place(name, source, over, paths)?;
    let elsewhere = over.path.is_some() || over.git.is_some();
    if !elsewhere && target.is_dir() && head(&target).is_some() {
        progress(&format!("{name}: already here"));
        return checked(name, source, target);
    }
    bring(name, source, over, target, paths, progress)
}

/// Fetches the pinned commit from another place (a clone or bundle carried here by hand) to where sites look for the published one.
///
/// # Errors
/// As [`fetch`]; also where the place has not the pinned commit.
pub fn fetch_pinned(
    name: &str,
    source: &Source,
    from: &SourceOverride,
    paths: &Paths,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    let target = place(name, source, &SourceOverride::default(), paths)?;
    let over = SourceOverride { commit: Some(source.commit.clone()), ..from.clone() };
    if let Some(path) = over.path.as_deref().map(Path::new)
        && path.is_dir()
        && !is_repository(path)
    {
        // Its commit cannot be known, so it cannot stand for the pinned one.
        return Err(SourceError::NoCommit { name: name.to_owned(), from: path.display().to_string(), commit: source.commit.clone() });
    }
    bring(name, source, &over, target, paths, progress)
}

fn bring(
    name: &str,
    source: &Source,
    over: &SourceOverride,
    target: PathBuf,
    paths: &Paths,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    let parent = target.parent().unwrap_or(paths.root());
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SourceError::Io { path, source }
    };
    let scratch = tempfile::Builder::new().prefix(".fetch-").tempdir_in(parent).map_err(io(parent))?;
    let folder = scratch.path().join("source");
    match over.path.as_deref().map(Path::new) {
        Some(path) if !path.exists() => return Err(SourceError::NoPath { name: name.to_owned(), path: path.to_owned() }),
        Some(path) if path.is_dir() && !is_repository(path) => {
            progress(&format!("{name}: copying {}", path.display()));
            copy(path, &folder).map_err(io(path))?;
            adopt(name, &folder)?;
        }
        Some(path) => clone(name, &path.display().to_string(), source, over, &folder, progress)?,
        None => clone(name, over.git.as_deref().unwrap_or(&source.git), source, over, &folder, progress)?,
    }
    if let Some(message) = inspect(&folder, source).error() {
        return Err(SourceError::Layout { name: name.to_owned(), message });
    }
    if target.exists() {
        fs::remove_dir_all(&target).map_err(io(&target))?;
    }
    fs::rename(&folder, &target).map_err(io(&target))?;
    checked(name, source, target)
}

fn checked(name: &str, source: &Source, path: PathBuf) -> Result<Fetched, SourceError> {
    let inspection = inspect(&path, source);
    match inspection.error() {
        Some(message) => Err(SourceError::Layout { name: name.to_owned(), message }),
        None => Ok(Fetched { warning: inspection.warning(), commit: inspection.commit.unwrap_or_default(), path }),
    }
}

/// Makes the working checkout of a fetched source, where there is none yet; true where it was made.
///
/// # Errors
/// The place is taken by something else, or cannot be written.
pub fn check_out(name: &str, fetched: &Path, checkout: &Path, progress: &mut dyn FnMut(&str)) -> Result<bool, SourceError> {
    if checkout.join(".git").exists() {
        return Ok(false);
    }
    let failed = |message: String| SourceError::Layout { name: name.to_owned(), message };
    if !fetched.is_dir() {
        return Err(failed("is not fetched yet: mosip-setup fetch".into()));
    }
    if fs::read_dir(checkout).is_ok_and(|mut entries| entries.next().is_some()) {
        let place = checkout.display();
        return Err(failed(format!("{place} is not a git checkout and not empty: name another folder in the site file, or move it away")));
    }
    progress(&format!("{name}: checking out to {}", checkout.display()));
    let (from, to) = (fetched.display().to_string(), checkout.display().to_string());
    git(Path::new("/"), &["clone", "--quiet", "--no-hardlinks", "--", &from, &to]).map_err(failed)?;
    Ok(true)
}

/// A clone, or a bare repository as `git clone --mirror` makes it.
fn is_repository(folder: &Path) -> bool {
    folder.join(".git").exists() || (folder.join("HEAD").is_file() && folder.join("objects").is_dir())
}

fn clone(
    name: &str,
    from: &str,
    source: &Source,
    over: &SourceOverride,
    folder: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<(), SourceError> {
    progress(&format!("{name}: git clone {from}"));
    let mut child = command(None)
        .args(["clone", "--progress", "--no-checkout", "--no-hardlinks", "--", from])
        .arg(folder)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(SourceError::NoGit)?;
    let mut last: Vec<String> = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // Progress is drawn over itself with carriage returns.
        for chunk in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            for line in String::from_utf8_lossy(&chunk).split('\r').map(str::trim).filter(|line| !line.is_empty()) {
                progress(line);
                last.push(line.to_owned());
            }
        }
    }
    let ended = child.wait().map_err(SourceError::NoGit)?;
    if !ended.success() {
        let detail = last.split_off(last.len().saturating_sub(3)).join("\n");
        return Err(SourceError::Unreachable { name: name.to_owned(), from: from.to_owned(), detail });
    }
    let commit = over.commit.as_ref().unwrap_or(&source.commit);
    let checkout = |what: &str| git(folder, &["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", what]);
    if checkout(commit).is_ok() {
        return Ok(());
    }
    // Some hosts hand out a commit that no branch leads to, when asked for it by name.
    if git(folder, &["fetch", "--quiet", "origin", commit]).is_ok() && checkout(commit).is_ok() {
        return Ok(());
    }
    // A place of the operator's own, without a commit named: what is there counts, and the difference is a warning.
    let own = (over.path.is_some() || over.git.is_some()) && over.commit.is_none();
    if own && ["origin/HEAD", "HEAD"].iter().any(|what| checkout(what).is_ok()) {
        return Ok(());
    }
    Err(SourceError::NoCommit { name: name.to_owned(), from: from.to_owned(), commit: commit.clone() })
}

/// Makes a plain folder a repository of one commit, so that a working checkout comes about in the same way as any other.
fn adopt(name: &str, folder: &Path) -> Result<(), SourceError> {
    let identity = ["-c", "user.name=mosip-setup", "-c", "user.email=mosip-setup@localhost", "-c", "commit.gpgsign=false"];
    let commit = [&identity[..], &["commit", "--quiet", "--no-verify", "--allow-empty", "-m", "Copy of a folder"]].concat();
    for arguments in [&["init", "--quiet"][..], &["add", "--force", "--all"], &commit] {
        git(folder, arguments).map_err(|message| SourceError::Layout { name: name.to_owned(), message })?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (old, new, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            copy(&old, &new)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&old)?, &new)?;
        } else if kind.is_file() {
            fs::copy(&old, &new)?;
        }
    }
    Ok(())
}

fn command(folder: Option<&Path>) -> Command {
    let mut command = Command::new("git");
    if let Some(folder) = folder {
        command.arg("-C").arg(folder);
    }
    // Without a name for the first branch git gives advice, also where it clones what stands at no branch.
    command.args(["-c", "init.defaultBranch=main"]);
    // A question for a password would hang where nobody sees it.
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    command
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = command(Some(folder))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The keys of all templates that may be set under `[advanced]`, with the templates' values, from the fetched sources.
#[must_use]
pub fn knobs(profile: &Profile, fetched: &BTreeMap<String, PathBuf>) -> Knobs {
    let mut knobs = Knobs::new();
    for file in &profile.files {
        let FileOrigin::Edit(edit) = &file.origin else { continue };
        let Some(name) = &edit.advanced else { continue };
        let Some((source, rest)) = edit.template.split_once(':') else { continue };
        let Some(text) = fetched.get(source).and_then(|folder| fs::read_to_string(folder.join(rest)).ok()) else { continue };
        let values = match FileFormat::of(&file.target) {
            Some(FileFormat::Yaml) => yaml::read(&text),
            Some(FileFormat::Hcl) => hcl::read(&text),
            Some(FileFormat::Ini) | None => continue,
        };
        // A template that cannot be read is reported where it is rendered.
        if let Ok(values) = values {
            knobs.insert(name.clone(), values);
        }
    }
    knobs
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
