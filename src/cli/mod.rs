//! The command line: a file for each group of verbs, each thin.

pub mod check;
