//! Executes a plan: effects through adapters; owns the journal.

pub mod checks;
pub mod host_keys;
pub mod ports;
pub mod real_probe;
