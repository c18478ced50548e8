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
mod stage;

mod architecture;
mod harness;
mod kit;
mod machine;
mod mini_kit;
mod rehearse;
