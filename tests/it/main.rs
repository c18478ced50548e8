//! The one integration binary.

mod screenshots;
mod ui_demo;
mod ui_keys;
mod ui_screens;
mod ui_terminal;
