//! The terminal is taken and given back: on leaving, on an error and on a panic.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{execute, queue};

static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Holds the terminal in raw mode on its alternate screen; giving it up restores it.
#[derive(Debug)]
#[must_use]
pub struct Terminal(());

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be switched; it is as before then.
    pub fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            // The report of a panic must not be lost on the alternate screen.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        enter()?;
        Ok(Self(()))
    }

    /// Gives the terminal to something else for a while.
    pub fn suspend(&self) {
        restore();
    }

    /// Takes it again.
    ///
    /// # Errors
    /// It cannot be switched.
    pub fn resume(&self) -> io::Result<()> {
        enter()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    let entered = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste));
    if entered.is_err() {
        restore();
    }
    entered
}

/// Gives the terminal back, once. Nothing can be done about a failure here.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        drop(queue!(out, DisableBracketedPaste, LeaveAlternateScreen, Show));
        drop(out.flush());
        drop(disable_raw_mode());
    }
}
