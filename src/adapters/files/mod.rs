//! Files of the site: edits in place that leave everything else as it is, and writes that are whole or not at all.

pub mod atomic;
pub mod diff;
mod edit;
pub mod hcl;
pub mod ini;
pub mod render;
pub mod yaml;

pub use edit::EditError;
use edit::append_line;
