//! Sets the stage of a rehearsal: a scratch folder with home, key, certificates, kit and site file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::adapters::issue::{Made, make};
use crate::engine::attempt::make_dir;
use crate::engine::runner::create_private;

static KIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/kit");
const SITE: &str = include_str!("../../../assets/rehearsal/site.toml");

/// The site file's name in the scratch folder.
pub const SITE_FILE: &str = "site.toml";

/// The record in a state folder that says it belongs to a rehearsal.
const MARKER: &str = "rehearsal.json";

/// Something to practise on. Each stops the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One machine does not answer: the preflight says so.
    HostDown,
    /// One machine has swap, now and after a reboot: the preflight says so.
    SwapOn,
    /// One machine presents another host key than the one recorded: the preflight says so, with both fingerprints.
    HostKeyChanged,
    /// api-internal leads to a wrong address: the preflight says so.
    DnsWrong,
    /// The certificate has expired: the preflight says so.
    CertExpired,
    /// The firewall between two cluster nodes drops one port: the matrix of the preflight says so.
    PortClosed,
    /// WireGuard's playbook fails the first time; retrying helps.
    PlaybookFailsOnce,
    /// The apply of MOSIP's services fails the first time; retrying helps.
    ApplyFailsOnce,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::HostDown => "host-down",
            Self::SwapOn => "swap-on",
            Self::HostKeyChanged => "host-key-changed",
            Self::DnsWrong => "dns-wrong",
            Self::CertExpired => "cert-expired",
            Self::PortClosed => "port-closed",
            Self::PlaybookFailsOnce => "playbook-fails-once",
            Self::ApplyFailsOnce => "apply-fails-once",
        })
    }
}

/// Why the stage cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The scratch folder cannot be written.
    #[error("{path}: {source}; give another folder with --dir")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate of the rehearsal cannot be made.
    #[error("the certificate of the rehearsal cannot be made: {0}")]
    Certificate(#[from] openssl::error::ErrorStack),
    /// git is missing or failed.
    #[error("the miniature kit cannot be put under git: {0}; install git, then start again")]
    Git(String),
}

/// What a rehearsal is played with; kept in its state folder, so that every later command there belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The scratch folder.
    pub scratch: PathBuf,
    /// How many times as fast as recorded.
    pub speed: f64,
    /// The faults to practise on.
    pub faults: Vec<Fault>,
    /// Whether questions are answered beforehand, because nobody is there to ask.
    #[serde(default)]
    pub answered: bool,
}

impl Rehearsal {
    /// The rehearsal that a state folder belongs to; none: it is no rehearsal's.
    #[must_use]
    pub fn of(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(state_dir.join(MARKER)).ok()?).ok()
    }

    /// The state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// The operator's home folder, as far as the rehearsal is concerned.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.scratch.join("home")
    }

    /// The site file.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.scratch.join(SITE_FILE)
    }

    /// Makes everything the rehearsal needs.
    ///
    /// # Errors
    /// The folder cannot be written, or git is missing.
    pub fn set(&self) -> Result<(), StageError> {
        let home = self.home();
        for folder in [self.state_dir(), home.join(".ssh"), home.join("certificates"), home.join("secrets")] {
            make_dir(&folder).map_err(|source| StageError::Io { path: folder.clone(), source })?;
        }
        let marker = serde_json::to_vec(self).unwrap_or_default();
        write(&self.state_dir().join(MARKER), &marker)?;
        write(&self.state_dir().join("home"), home.as_os_str().as_encoded_bytes())?;
        let key = openssl::pkey::PKey::generate_ed25519()?.private_key_to_pem_pkcs8()?;
        write(&home.join(".ssh/id_ed25519"), &key)?;
        let mut password = [0_u8; 12];
        openssl::rand::rand_bytes(&mut password)?;
        let password: String = password.iter().map(|byte| format!("{byte:02x}")).collect();
        write(&home.join("secrets/rancher_bootstrap_password"), password.as_bytes())?;
        let days = if self.faults.contains(&Fault::CertExpired) { -1 } else { 80 };
        let Made { chain, key } = make(&["*.sandbox.example.org", "sandbox.example.org"], days)?;
        write(&home.join("certificates/fullchain.pem"), &chain)?;
        write(&home.join("certificates/privkey.pem"), &key)?;
        let kit = self.scratch.join("kit");
        if !kit.join(".git").exists() {
            extract(&KIT, &kit)?;
            commit(&kit)?;
        }
        if !self.site().exists() {
            write(&self.site(), SITE.replace("@KIT@", &kit.display().to_string()).as_bytes())?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    let written = create_private(path).and_then(|mut file| io::Write::write_all(&mut file, bytes));
    written.map_err(|source| StageError::Io { path: path.to_owned(), source })
}

fn extract(folder: &Dir<'_>, target: &Path) -> Result<(), StageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StageError::Io { path, source }
    };
    make_dir(target).map_err(failed(target))?;
    for entry in folder.entries() {
        let path = target.join(entry.path().file_name().unwrap_or_default());
        match entry {
            include_dir::DirEntry::Dir(inner) => extract(inner, &path)?,
            include_dir::DirEntry::File(file) => {
                fs::write(&path, file.contents()).map_err(failed(&path))?;
                if file.contents().starts_with(b"#!") {
                    use std::os::unix::fs::PermissionsExt;
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed(&path))?;
                }
            }
        }
    }
    Ok(())
}

fn commit(kit: &Path) -> Result<(), StageError> {
    let identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org", "-c", "commit.gpgsign=false"];
    let rounds: [&[&str]; 3] = [&["init", "-q", "-b", "main"], &["add", "-A", "-f"], &["commit", "-q", "-m", "Miniature kit"]];
    for arguments in rounds {
        let output = Command::new("git").arg("-C").arg(kit).args(identity).args(arguments).output();
        let output = output.map_err(|error| StageError::Git(error.to_string()))?;
        if !output.status.success() {
            return Err(StageError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(())
}
