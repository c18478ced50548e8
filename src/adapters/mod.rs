//! One room for each thing outside.

pub mod files;
pub mod paths;
pub mod profiles;
pub mod secrets;
pub mod sites;
pub mod sources;
