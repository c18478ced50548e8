//! Why a step counts as cut off, as far as that can be told afterwards.

use std::path::Path;

use super::spawn::left;
use crate::adapters::host_boot;
use crate::run::state::State;

/// Neither is there.
const NO_TRACE: &str = "neither its process nor its exit record was found";

/// Why the step that a journal shows as running left no record. `lock` is the runner's, which nobody holds.
#[must_use]
pub fn reason(state: &State, lock: &Path) -> String {
    let now = host_boot::id();
    if state.boot.is_empty() || now.is_empty() || state.boot == now {
        return format!("{NO_TRACE}{}", left(lock));
    }
    match host_boot::time() {
        Some(at) => format!("the deployment node was restarted at about {}, in the middle of it", at.strftime("%Y-%m-%d %H:%M UTC")),
        None => "the deployment node was restarted in the middle of it".to_owned(),
    }
}
