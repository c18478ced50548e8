//! The one integration binary.
#![allow(clippy::expect_used, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

// Tools for tests: not every one of them is in use at every time.
#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod support;
#[allow(dead_code)]
mod terminal;

#[allow(dead_code)]
mod plan_builder;
#[allow(dead_code)]
mod ssh_ways;
mod stage;

mod again;
mod answers;
mod architecture;
mod bad_input;
mod callback;
mod crash;
mod crash_matrix;
mod docs;
mod engine;
mod faults;
mod green;
mod harness;
mod helm_guard;
mod journal_format;
mod kit;
mod lab_certbot;
mod lab_matrix;
mod lab_nfs;
mod lab_paths;
mod lab_run;
mod leftover;
mod logout;
mod machine;
mod machine_again;
mod machine_laws;
mod mini_kit;
mod outputs;
mod profile_guards;
mod profile_guards_v3;
mod profile_mutation;
mod profile_mutation_v3;
mod profile_scripts;
mod prompt_classes;
mod prompts;
mod rehearse;
mod rehearse_screen;
mod rehearse_v3;
mod requirements;
mod runner;
mod screenshots;
mod terraform_live;
mod ui_demo;
mod ui_fix;
mod ui_hosts;
mod ui_keys;
mod ui_log;
mod ui_paths;
mod ui_screens;
mod ui_terminal;
mod v3;
mod v3_charts;
mod v3_machines;
mod v3_prompts;
