//! The one integration binary.

mod screenshots;
mod ui_demo;
