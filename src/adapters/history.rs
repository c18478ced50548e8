//! How long the phases of past runs of a site took, read from their journals.

use std::path::Path;

use super::journal;
use crate::run::expect::History;

/// How many past runs count, the latest first.
const MOST: usize = 8;

/// The past runs beside a run's folder; that run itself is left out. A journal that cannot be read says nothing.
#[must_use]
pub fn read(run: &Path) -> History {
    let mut history = History::default();
    let Some(runs) = run.parent().and_then(|runs| std::fs::read_dir(runs).ok()) else { return history };
    let mut others: Vec<_> = runs.flatten().map(|entry| entry.path()).filter(|path| path.file_name() != run.file_name()).collect();
    // A run's name begins with the time when it was opened.
    others.sort();
    for other in others.iter().rev().take(MOST) {
        if let Ok(Some(state)) = journal::fold(&other.join("journal.jsonl")) {
            history.add(&state);
        }
    }
    history
}
