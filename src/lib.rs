//! mosip-setup installs MOSIP from one terminal, by driving Ansible, Terraform, Helm and MOSIP's own scripts.
//!
//! Wings, from top to bottom; nothing points back up, and a test keeps it so:
//!
//! - [`cli`]: the command line, thin.
//! - `ui`, `plain`: see a run and send commands.
//! - [`engine`]: executes a plan and owns the journal.
//! - [`adapters`]: one room for each thing outside.
//! - [`run`]: what happened and what comes next. Pure.
//! - [`install`]: what an installation is. Pure.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod cli;
pub mod engine;
pub mod exit;
pub mod install;
pub mod plain;
pub mod run;
pub mod ui;
