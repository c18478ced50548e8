//! Where the program keeps what it writes: one state folder, with everything of a site below the site's own id.
//!
//! Folders are made when first asked for, for their owner alone (0700); files that hold anything are 0600.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::install::ids::StepRef;

use super::files::atomic;

/// Why a state path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// No home folder, so no state folder.
    #[error("there is no home folder to keep state in: give one with --state-dir")]
    NoHome,
    /// A folder or file cannot be made or read.
    #[error("{path}: {source}. Is the disk full, or does the folder belong to somebody else? Another place: --state-dir")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no random numbers.
    #[error("no random numbers from OpenSSL: {0}")]
    Random(#[from] openssl::error::ErrorStack),
    /// A site without identity.
    #[error("the site file has no id yet: save it first (mosip-setup new)")]
    NoSiteId,
}

impl PathError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// The state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Opens the state folder: the one given, else the XDG one of `mosip-setup`.
    ///
    /// # Errors
    /// There is no home folder, or the folder cannot be made.
    pub fn open(state_dir: Option<&Path>) -> Result<Self, PathError> {
        let root = match state_dir {
            Some(folder) => std::path::absolute(folder).map_err(|source| PathError::io(folder, source))?,
            None => {
                let project = directories::ProjectDirs::from("", "", "mosip-setup").ok_or(PathError::NoHome)?;
                project.state_dir().unwrap_or_else(|| project.data_local_dir()).to_owned()
            }
        };
        make_dir(&root)?;
        Ok(Self { root })
    }

    /// The state folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a source's pinned copy lies; the parent exists, the folder itself only once it is fetched.
    ///
    /// # Errors
    /// The parent cannot be made.
    pub fn source(&self, name: &str, commit: &str) -> Result<PathBuf, PathError> {
        let parent = self.root.join("sources");
        make_dir(&parent)?;
        Ok(parent.join(format!("{name}@{commit}")))
    }

    /// The folders of all sites that have one.
    #[must_use]
    pub fn sites(&self) -> Vec<SitePaths> {
        folders(&self.root.join("sites")).into_iter().map(|root| SitePaths { root }).collect()
    }

    /// The folder of a site.
    ///
    /// # Errors
    /// The id is empty or not made by this program, or the folder cannot be made.
    pub fn site(&self, id: &str) -> Result<SitePaths, PathError> {
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(PathError::NoSiteId);
        }
        let root = self.root.join("sites").join(id);
        make_dir(&root)?;
        Ok(SitePaths { root })
    }

    /// The operator's home folder, where this state folder has one of its own: a rehearsal's does.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.root.join("home")).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    }

    /// The site file used last, where it still exists.
    #[must_use]
    pub fn last_site(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.root.join("last-site")).ok()?;
        let path = PathBuf::from(text.trim_end_matches('\n'));
        path.is_file().then_some(path)
    }

    /// Remembers a site file as the one used last.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_site(&self, site_file: &Path) -> Result<(), PathError> {
        let file = std::path::absolute(site_file).map_err(|source| PathError::io(site_file, source))?;
        keep(&self.root.join("last-site"), format!("{}\n", file.display()).as_bytes())
    }
}

/// The folder of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePaths {
    root: PathBuf,
}

impl SitePaths {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by the engine that runs this site.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("site.lock")
    }

    /// Held by the runner that is at work for this site.
    #[must_use]
    pub fn runner_lock(&self) -> PathBuf {
        self.root.join("runner.lock")
    }

    /// The host keys seen and agreed to.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }

    /// The operators' own catalogue of known failures, beside the shipped one: one for all sites.
    #[must_use]
    pub fn known_issues(&self) -> Option<PathBuf> {
        self.root.ancestors().nth(2).map(|state| state.join("known-issues.toml"))
    }

    /// Findings the operator ignores, with reasons.
    #[must_use]
    pub fn ignores(&self) -> PathBuf {
        self.root.join("ignores.toml")
    }

    /// The findings of the last preflight.
    #[must_use]
    pub fn preflight(&self) -> PathBuf {
        self.root.join("preflight.jsonl")
    }

    /// Digests of the files as last written.
    #[must_use]
    pub fn rendered(&self) -> PathBuf {
        self.root.join("rendered.json")
    }

    /// Answers given in the middle of a run: one file (0600) for each secret field. The folder exists once there is an answer.
    #[must_use]
    pub fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    /// Keeps an answer given in the middle of a run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_answer(&self, field: &str, answer: &str) -> Result<(), PathError> {
        make_dir(&self.answers())?;
        keep(&self.answers().join(field), answer.as_bytes())
    }

    /// The key of this site's digests, 32 random bytes, made once.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn digest_key(&self) -> Result<Vec<u8>, PathError> {
        let path = self.root.join("digest.key");
        match fs::read(&path) {
            Ok(key) if key.len() == 32 => return Ok(key),
            // A torn or foreign file is replaced: every digest then counts as changed, which is safe.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(PathError::io(&path, error)),
        }
        let mut key = vec![0; 32];
        openssl::rand::rand_bytes(&mut key)?;
        keep(&path, &key)?;
        Ok(key)
    }

    /// The folder of a run.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn run(&self, run: &str) -> Result<RunPaths, PathError> {
        let root = self.root.join("runs").join(run);
        make_dir(&root)?;
        Ok(RunPaths { root })
    }

    /// The ids of all runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().and_then(|name| name.to_str().map(str::to_owned));
        folders(&self.root.join("runs")).into_iter().filter_map(name).collect()
    }
}

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    root: PathBuf,
}

impl RunPaths {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run's id: the name of its folder.
    #[must_use]
    pub fn id(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("engine.sock")
    }

    /// The folder of one attempt, counted from 1; made when absent.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn attempt(&self, step: &StepRef, attempt: u32) -> Result<AttemptPaths, PathError> {
        let root = self.root.join("steps").join(step.folder()).join(attempt.to_string());
        make_dir(&root)?;
        Ok(AttemptPaths { root })
    }
}

/// The folder of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptPaths {
    root: PathBuf,
}

impl AttemptPaths {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the commands printed, redacted.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("output.log")
    }

    /// What the parsers made of it.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// How it ended; absent while it runs.
    #[must_use]
    pub fn exit(&self) -> PathBuf {
        self.root.join("exit.json")
    }
}

/// Makes a folder, and the parents it lacks, for their owner alone.
///
/// # Errors
/// It cannot be made.
pub fn make_dir(path: &Path) -> Result<(), PathError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| PathError::io(path, source))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|source| PathError::io(path, source))
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    atomic::write(path, bytes, 0o600).map_err(|error| PathError::io(path, error.source))
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// A new site id: 32 random hexadecimal digits.
///
/// # Errors
/// No random numbers.
pub fn new_site_id() -> Result<String, PathError> {
    random_hex(32)
}

/// A new run id: the time given (UTC, to the second), so that ids sort by it, and eight random digits.
///
/// # Errors
/// No random numbers.
pub fn new_run_id(now: jiff::Timestamp) -> Result<String, PathError> {
    Ok(format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), random_hex(8)?))
}

/// Random hexadecimal digits.
///
/// # Errors
/// No random numbers.
pub fn random_hex(digits: usize) -> Result<String, PathError> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    openssl::rand::rand_bytes(&mut bytes)?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folders_are_private_and_the_key_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::open(Some(&scratch.path().join("state"))).unwrap();
        let site = paths.site("abc").unwrap();
        let key = site.digest_key().unwrap();
        assert_eq!((key.len(), site.digest_key().unwrap() == key), (32, true));
        assert_eq!(mode(&site.root().join("digest.key")), 0o600);
        let run = site.run(&new_run_id(jiff::Timestamp::UNIX_EPOCH).unwrap()).unwrap();
        assert!(run.id().starts_with("19700101T000000Z-"));
        let step = StepRef { phase: "wireguard".parse().unwrap(), step: "playbook".parse().unwrap() };
        let attempt = run.attempt(&step, 1).unwrap();
        assert!(attempt.root().ends_with("steps/wireguard.playbook/1"));
        for folder in [paths.root(), site.root(), run.root(), attempt.root()] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        assert_eq!(site.runs(), [run.id()]);
        assert_eq!(paths.sites().len(), 1);
    }

    #[test]
    fn ids_cannot_climb_out() {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::open(Some(scratch.path())).unwrap();
        for id in ["", "..", "a/b"] {
            assert!(paths.site(id).is_err(), "{id}");
        }
    }

    #[test]
    fn the_last_site_is_remembered_while_it_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::open(Some(scratch.path())).unwrap();
        let file = scratch.path().join("site.toml");
        fs::write(&file, "").unwrap();
        paths.remember_site(&file).unwrap();
        assert_eq!(paths.last_site(), Some(file.clone()));
        fs::remove_file(&file).unwrap();
        assert_eq!(paths.last_site(), None);
    }

    #[test]
    fn random_digits_have_the_length_asked() {
        for digits in [1, 8, 31, 64] {
            assert_eq!(random_hex(digits).unwrap().len(), digits);
        }
    }
}
