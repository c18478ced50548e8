//! Executes a plan: effects through adapters; owns the journal.

pub mod acme_hook;
pub mod attempt;
pub mod attempt_events;
pub mod checks;
pub mod client;
mod diagnosis;
pub mod driver;
pub mod executor;
pub mod helm_guard;
pub mod host_keys;
mod leftover;
mod lost;
pub mod mend;
pub mod ports;
pub mod prompter;
pub mod prompting;
mod pump;
pub mod real_probe;
pub mod rehearsal;
pub mod runner;
pub mod setup;
pub mod spawn;
mod telling;
pub mod watch;
