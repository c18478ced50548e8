//! The command line: a thin file for each group of verbs.

pub mod asking;
pub mod attach;
pub mod check;
pub mod common;
pub mod desk;
pub mod desk_logs;
pub mod fetch;
pub mod logs;
pub mod new;
pub mod plan;
pub mod profiles;
pub mod rehearse;
pub mod render;
pub mod requirements;
mod retry;
pub mod root;
pub mod run;
pub mod screen;
mod shell;
pub mod site;
pub mod watch;
