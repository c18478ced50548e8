//! Sets the stage of a rehearsal: a scratch folder with home, key, certificates, sources and site file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::miniature;
use super::route::Route;
use crate::adapters::issue::{Made, make};
use crate::engine::attempt::make_dir;
use crate::engine::runner::create_private;

static KIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/kit");

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
    /// The apply of MOSIP's services fails the first time; retrying helps. turing-rke2 only.
    ApplyFailsOnce,
    /// One release of a script fails the first time: retrying removes it alone and goes on. V3 only.
    ReleaseFailsOnce,
    /// A script asks what nobody expects of it: the question is put to you. V3 only.
    PromptUnknown,
    /// The kubeconfig of the MOSIP cluster leads to another cluster, until you retry. V3 only.
    WrongKubeconfig,
}

impl Fault {
    /// Whether it can happen on a route.
    #[must_use]
    pub fn is_of(self, route: Route) -> bool {
        match self {
            Self::ApplyFailsOnce => route == Route::Kit,
            Self::ReleaseFailsOnce | Self::PromptUnknown | Self::WrongKubeconfig => route.has_scripts(),
            // There is no DNS, and the certificates are made by the run.
            Self::DnsWrong | Self::CertExpired => route != Route::V3NoDns,
            Self::HostDown | Self::SwapOn | Self::HostKeyChanged | Self::PortClosed | Self::PlaybookFailsOnce => true,
        }
    }
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
            Self::ReleaseFailsOnce => "release-fails-once",
            Self::PromptUnknown => "prompt-unknown",
            Self::WrongKubeconfig => "wrong-kubeconfig",
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
    #[error("the miniature sources cannot be put under git: {0}; install git, then start again")]
    Git(String),
}

/// What a rehearsal is played with; kept in its state folder, so that every later command there belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The scratch folder.
    pub scratch: PathBuf,
    /// The profile that is rehearsed.
    #[serde(default)]
    pub profile: Route,
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
        for secret in self.profile.secrets() {
            let mut password = [0_u8; 12];
            openssl::rand::rand_bytes(&mut password)?;
            let password: String = password.iter().map(|byte| format!("{byte:02x}")).collect();
            write(&home.join("secrets").join(secret), password.as_bytes())?;
        }
        let days = if self.faults.contains(&Fault::CertExpired) { -1 } else { 80 };
        let mut names = vec!["*.sandbox.example.org", "sandbox.example.org"];
        if self.profile.has_scripts() {
            names.extend(["rancher.example.org", "keycloak.example.org"]);
        }
        let Made { chain, key } = make(&names, days)?;
        write(&home.join("certificates/fullchain.pem"), &chain)?;
        write(&home.join("certificates/privkey.pem"), &key)?;
        let mut site = self.profile.site();
        for source in self.sources() {
            let folder = self.scratch.join(source);
            if !folder.join(".git").exists() {
                self.make_source(source, &folder)?;
                commit(&folder)?;
            }
            site = site.replace(&format!("@{source}@"), &folder.display().to_string());
        }
        if self.profile.has_scripts() {
            self.make_cluster()?;
        }
        if !self.site().exists() {
            write(&self.site(), site.as_bytes())?;
        }
        Ok(())
    }

    fn sources(&self) -> &'static [&'static str] {
        if self.profile.has_scripts() { miniature::SOURCES } else { &["kit"] }
    }

    fn make_source(&self, source: &str, folder: &Path) -> Result<(), StageError> {
        if !self.profile.has_scripts() {
            return extract(&KIT, folder);
        }
        for mut file in miniature::files(source) {
            if self.faults.contains(&Fault::PromptUnknown) {
                file.ask_unexpectedly();
            }
            write_program(&folder.join(file.path), &file.text)?;
        }
        Ok(())
    }

    /// What stands for the clusters and for the programs that would touch them.
    fn make_cluster(&self) -> Result<(), StageError> {
        let cluster = Cluster::new(&self.scratch);
        for file in miniature::stand_ins() {
            write_program(&self.programs().join(file.path), &file.text)?;
        }
        make_dir(cluster.folder()).map_err(|source| StageError::Io { path: cluster.folder().to_owned(), source })?;
        for name in Cluster::failures(&self.faults) {
            write(&cluster.folder().join(name), b"")?;
        }
        Ok(())
    }

    /// The folder with the stand-ins of programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.scratch.join("bin")
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    let written = create_private(path).and_then(|mut file| io::Write::write_all(&mut file, bytes));
    written.map_err(|source| StageError::Io { path: path.to_owned(), source })
}

/// Writes a file that may be run where it begins as a script does.
fn write_program(path: &Path, text: &str) -> Result<(), StageError> {
    write(path, text.as_bytes())?;
    if text.starts_with("#!") {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).map_err(|source| StageError::Io { path: path.to_owned(), source })?;
    }
    Ok(())
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
    let rounds: [&[&str]; 3] = [&["init", "-q", "-b", "main"], &["add", "-A", "-f"], &["commit", "-q", "-m", "Miniature"]];
    for arguments in rounds {
        let output = Command::new("git").arg("-C").arg(kit).args(identity).args(arguments).output();
        let output = output.map_err(|error| StageError::Git(error.to_string()))?;
        if !output.status.success() {
            return Err(StageError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(())
}
