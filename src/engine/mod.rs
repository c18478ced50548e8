//! Executes a plan: effects through adapters; owns the journal.

pub mod attempt;
pub mod checks;
pub mod client;
pub mod host_keys;
pub mod ports;
pub mod pump;
pub mod real_probe;
pub mod runner;
pub mod spawn;
