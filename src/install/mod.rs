//! What an installation is: profiles, sites, checks and plans. Pure: no clock, files, network or processes.

pub mod change;
pub mod check;
pub mod draft;
pub mod facts;
pub mod field;
pub mod fix;
pub mod helm;
pub mod ids;
pub mod inquiry;
pub mod interpolate;
pub mod judge;
mod known_names;
pub mod outside;
pub mod plan;
mod plan_files;
pub mod planner;
pub mod problem;
pub mod profile;
pub mod profile_reader;
pub mod profile_rules;
mod profile_step_rules;
pub mod reach;
mod relations;
pub mod requirements;
pub mod site;
pub mod site_reader;
mod validate;
