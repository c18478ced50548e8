//! The command line: a thin file for each group of verbs.

pub mod common;
pub mod fetch;
pub mod new;
pub mod plan;
pub mod profiles;
pub mod render;
pub mod site;
