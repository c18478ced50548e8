//! The cluster of a rehearsal of scripts: a folder in which the stand-ins of helm and kubectl leave a file for what they made.

use std::fs;
use std::path::{Path, PathBuf};

use super::stage::Fault;
use crate::install::facts::CommandFacts;

/// Where scripts find that folder.
pub const VARIABLE: &str = "REHEARSAL_CLUSTER";
/// Where they find how many seconds an install takes.
pub const PAUSE_VARIABLE: &str = "REHEARSAL_PAUSE";

/// The seconds that an install takes at speed 1.
const INSTALL_SECONDS: f64 = 20.0;

/// The release that fails once where that is rehearsed.
const FAILS: &str = "kernel.otpmanager";

/// The cluster's folder.
#[derive(Debug, Clone)]
pub struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    /// Below a scratch folder.
    #[must_use]
    pub fn new(scratch: &Path) -> Self {
        Self { folder: scratch.join("cluster") }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What scripts are given in their environment.
    #[must_use]
    pub fn environment(&self, speed: f64) -> [(String, String); 2] {
        let pause = format!("{:.3}", (INSTALL_SECONDS / speed.max(0.001)).min(INSTALL_SECONDS));
        [(VARIABLE.to_owned(), self.folder.display().to_string()), (PAUSE_VARIABLE.to_owned(), pause)]
    }

    /// What is to fail once: a file each, which goes with the failure.
    #[must_use]
    pub fn failures(faults: &[Fault]) -> Vec<String> {
        let named = faults.iter().filter_map(|fault| match fault {
            Fault::ReleaseFailsOnce => Some(format!("fails.{FAILS}")),
            Fault::WrongKubeconfig => Some("wrong".to_owned()),
            _ => None,
        });
        named.collect()
    }

    /// What a look at the cluster answers: whether releases and objects are there, and whether it is the site's.
    ///
    /// None: the command does not look at a cluster.
    #[must_use]
    pub fn look(&self, argv: &[String], env: &[(String, String)]) -> Option<CommandFacts> {
        let (kubeconfig, script) = (env.iter().find(|(name, _)| name == "KUBECONFIG"), argv.get(2)?);
        let kubeconfig = kubeconfig.and_then(|(_, path)| Path::new(path).file_name()).unwrap_or_default();
        if script.contains("kubectl config view") {
            return Some(self.whose(argv, &kubeconfig.to_string_lossy()));
        }
        // Namespace, releases, workloads, jobs, objects.
        let [_, _, _, _, namespace, releases, _, _, objects] = argv else { return None };
        let cluster = self.folder.join(kubeconfig);
        let is_there = |name: &str| fs::read_to_string(cluster.join(name)).is_ok_and(|state| state.trim() != "failed");
        let wants: Vec<(&str, String)> = match releases.split_whitespace().collect::<Vec<_>>() {
            none if none.is_empty() => {
                objects.split_whitespace().map(|one| (one, format!("{namespace}.{}", one.replace('/', ".")))).collect()
            }
            releases => releases.into_iter().map(|one| (one, format!("{namespace}.release.{one}"))).collect(),
        };
        let missing: Vec<&str> = wants.iter().filter(|(_, file)| !is_there(file)).map(|(name, _)| *name).collect();
        let (exit, said) = if missing.is_empty() {
            (0, format!("{namespace}: {} as it should be", wants.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")))
        } else {
            (1, format!("{namespace}: {} is not there", missing.join(", ")))
        };
        Some(CommandFacts { exit: Some(exit), stdout: format!("{said}\n"), ..CommandFacts::default() })
    }

    /// Whether the kubeconfig leads to the site's cluster.
    fn whose(&self, argv: &[String], kubeconfig: &str) -> CommandFacts {
        let servers = argv.get(4).map(String::as_str).unwrap_or_default();
        let mark = self.folder.join("wrong");
        // The other cluster is met where most is at stake, and put right by the time of the next look.
        if !kubeconfig.ends_with("_obs_config") && mark.exists() {
            drop(fs::remove_file(mark));
            let said = format!("the kubeconfig leads to https://192.0.2.77:6443, which is none of the site's servers ({servers})\n");
            return CommandFacts { exit: Some(1), stdout: said, ..CommandFacts::default() };
        }
        CommandFacts {
            exit: Some(0),
            stdout: format!("https://{}:6443\n", servers.split(',').next().unwrap_or_default()),
            ..CommandFacts::default()
        }
    }
}
