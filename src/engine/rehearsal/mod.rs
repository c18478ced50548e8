//! The rehearsal: the real engine, runner and parsers over recorded facts and transcripts, in a scratch folder.
//!
//! It implements the engine's ports and nothing else branches on it. What touches only the scratch folder is done for real (the
//! checkout, files, certificates, scripts that ask, with stand-ins for helm and kubectl); what would touch machines is replayed.

mod cluster;
mod miniature;
mod playbook;
mod player;
mod probe;
mod route;
mod spawn;
mod stage;

pub use player::{VERB, play};
pub use probe::RehearsalProbe;
pub use route::Route;
pub use spawn::RehearsalSpawn;
pub use stage::{Fault, Rehearsal, SITE_FILE, StageError};
