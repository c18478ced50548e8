//! Executes a plan: effects through adapters; owns the journal.

pub mod acme_hook;
pub mod attempt;
pub mod attempt_events;
pub mod background;
pub mod checks;
pub mod client;
mod diagnosis;
pub mod driver;
pub mod executor;
pub mod host_keys;
mod leftover;
mod lost;
pub mod mend;
pub mod opening;
pub mod ports;
pub mod prompter;
pub mod prompting;
pub mod protocol;
mod pump;
pub mod real_probe;
pub mod rehearsal;
pub mod runner;
mod server;
pub mod setup;
pub mod spawn;
mod telling;
pub mod watch;
