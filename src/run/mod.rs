//! What happened in a run and what comes next. Pure: no clock, files, network or processes.

pub mod changes;
pub mod cluster;
mod commands;
pub mod detail;
pub mod diagnose;
pub mod event;
pub mod expect;
pub mod fold;
pub mod lines;
pub mod machine;
pub mod needles;
pub mod prompts;
pub mod question;
pub mod redact;
pub mod resume;
mod retry;
pub mod select;
pub mod spot;
pub mod state;
pub mod told;
pub mod waiting;
