//! The exit codes of the program; part of what is fixed for users.

use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A phase failed.
    PhaseFailed = 1,
    /// Wrong usage, or an invalid site or profile.
    Usage = 2,
    /// The preflight failed.
    PreflightFailed = 3,
    /// Waiting for the operator, with nobody there to answer.
    Waiting = 4,
    /// Another engine holds this site.
    Busy = 5,
    /// The journal or state cannot be written.
    CannotWrite = 6,
    /// Stopped by the operator.
    Stopped = 130,
}

impl Exit {
    /// The code as a number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
