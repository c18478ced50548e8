//! What happened in a run and what comes next. Pure: no clock, files, network or processes.

mod commands;
pub mod changes;
pub mod diagnose;
pub mod event;
pub mod machine;
pub mod question;
pub mod redact;
pub mod prompts;
pub mod resume;
mod retry;
pub mod select;
pub mod state;
