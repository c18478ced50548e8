//! Executes a plan: effects through adapters; owns the journal.

pub mod attempt;
pub mod client;
pub mod ports;
pub mod pump;
pub mod runner;
pub mod spawn;
