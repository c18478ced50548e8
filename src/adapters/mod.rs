//! One room for each thing outside.

pub mod files;
pub mod import;
pub mod paths;
pub mod profiles;
pub mod project;
pub mod secrets;
pub mod sites;
pub mod sources;
