//! The full screen: sees a run and sends commands; knows the client, never the engine's inside.
//!
//! Elm-shaped: [`app::Model`], [`app::Msg`], [`app::update`], [`app::view`] are pure. [`shell`] owns the terminal, [`desk::Desk`] performs
//! the effects.

pub mod advanced;
pub mod advanced_view;
pub mod app;
pub mod desk;
pub mod detail_pane;
pub mod failure;
pub mod failure_view;
pub mod fix;
pub mod form;
pub mod form_view;
pub mod help;
pub mod host_keys;
pub mod import;
pub mod input;
pub mod keymap;
pub mod layout;
pub mod log_keys;
pub mod log_pane;
pub mod log_source;
pub mod machines;
pub mod machines_view;
pub mod paths;
pub mod paths_view;
pub mod popup;
pub mod popup_keys;
pub mod popup_view;
pub mod preflight;
pub mod preflight_view;
pub mod progress_view;
pub mod review;
pub mod review_view;
pub mod run;
pub mod run_keys;
pub mod run_view;
pub mod shell;
pub mod site;
pub mod start;
pub mod summary;
pub mod svg;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod widgets;
