//! The one integration binary.
#![allow(clippy::expect_used, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

// Tools for tests: not every one of them is in use at every time.
#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod support;
#[allow(dead_code)]
mod terminal;

mod architecture;
mod docs;
mod harness;
mod kit;
mod mini_kit;
