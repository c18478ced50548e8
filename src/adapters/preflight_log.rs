//! `preflight.jsonl` of a site: who ran which fix where, and how it ended. One JSON object a line, only ever appended.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::install::check::Target;
use crate::install::facts::MendFacts;
use crate::install::fix::PlannedFix;
use crate::install::ids::CheckId;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339.
    pub at: String,
    /// `fix_started` or `fix_ended`.
    pub kind: String,
    /// Who agreed to it.
    pub who: String,
    /// The check.
    pub check: CheckId,
    /// Where it ran.
    pub target: Target,
    /// Whether it ran as root.
    pub sudo: bool,
    /// The script, exactly as shown and run.
    pub script: String,
    /// Exit code; none: it is running, or did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// What it printed, its beginning.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Why it did not begin or did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Entry {
    /// The line for a fix that begins (no facts) or has ended.
    #[must_use]
    pub fn of_fix(fix: &PlannedFix, who: &str, at: &str, facts: Option<&MendFacts>) -> Self {
        let facts_or_none = facts.cloned().unwrap_or_default();
        Self {
            at: at.to_owned(),
            kind: if facts.is_some() { "fix_ended" } else { "fix_started" }.to_owned(),
            who: who.to_owned(),
            check: fix.check.clone(),
            target: fix.target.clone(),
            sudo: fix.fix.sudo,
            script: fix.fix.script.clone(),
            exit: facts_or_none.exit,
            output: facts_or_none.output,
            problem: facts_or_none.problem,
        }
    }
}

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}; nothing is run that cannot be recorded", path.display())]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// Appends a line and brings it to the disk. The file is its owner's alone.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, entry: &Entry) -> Result<(), LogError> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(&line)?;
        file.sync_data()
    };
    write().map_err(|source| LogError { path: path.to_owned(), source })
}
