//! Executes a plan: effects through adapters; owns the journal.
pub mod ports;
