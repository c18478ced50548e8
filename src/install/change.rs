//! What writing a file would change, for the review and for `plan --json`.

use serde::{Deserialize, Serialize};

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Create,
    /// It is edited.
    Edit,
    /// It stays as it is.
    Same,
    /// Somebody edited it since it was last written: it is kept, and the difference shown.
    Conflict,
}

/// One file and what would change in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// What happens to it.
    pub change: Change,
    /// A unified diff; secrets show as `(secret, changed)`.
    pub diff: String,
}
