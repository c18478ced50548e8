//! The rehearsal: the real engine, runner and parsers over recorded facts and transcripts, in a scratch folder.
//!
//! It implements the engine's ports and nothing else branches on it. What touches only the scratch folder is done for real (the
//! checkout, files, certificates); what would touch machines is replayed.

mod player;
mod probe;
mod spawn;
mod stage;

pub use player::{VERB, play};
pub use probe::RehearsalProbe;
pub use spawn::RehearsalSpawn;
pub use stage::{Fault, Rehearsal, SITE_FILE, StageError};
