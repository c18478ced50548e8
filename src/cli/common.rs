//! What all verbs share: the global options, opening a site, and which error means which exit code.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use crate::engine::driver::EngineError;
use crate::engine::setup::{ReadySite, Setup, SetupError};
use crate::exit::Exit;

/// Options every verb takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// The site file.
    #[arg(long, global = true, value_name = "FILE", env = "MOSIP_SETUP_SITE")]
    pub site: Option<PathBuf>,
    /// Where everything is kept that the program writes for itself; default: the XDG state folder.
    #[arg(long, global = true, value_name = "DIR", env = "MOSIP_SETUP_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Machine output on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
}

/// An error for people, with the exit code it means.
#[derive(Debug)]
pub struct Failure {
    /// What is said on stderr.
    pub message: String,
    /// The exit code.
    pub exit: Exit,
}

impl Failure {
    /// Wrong usage.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Usage }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let exit = match &error {
            SetupError::Engine(EngineError::Held { .. }) => Exit::Busy,
            SetupError::Engine(_) | SetupError::Journal(_) | SetupError::Path(_) => Exit::CannotWrite,
            _ => Exit::Usage,
        };
        Self { message: error.to_string(), exit }
    }
}

impl From<crate::adapters::paths::PathError> for Failure {
    fn from(error: crate::adapters::paths::PathError) -> Self {
        Self { message: error.to_string(), exit: Exit::CannotWrite }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { message: format!("the output cannot be written: {error}"), exit: Exit::CannotWrite }
    }
}

/// What a verb gives back.
pub type Outcome = Result<Exit, Failure>;

impl Common {
    /// Opens the state folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn setup(&self) -> Result<Setup, Failure> {
        Ok(Setup::open(self.state_dir.as_deref())?)
    }

    /// The site file: the one named, else the one of a rehearsal, else, on a terminal, the one used last.
    ///
    /// # Errors
    /// There is none.
    pub fn site_file(&self, setup: &Setup) -> Result<PathBuf, Failure> {
        if let Some(site) = &self.site {
            return Ok(site.clone());
        }
        if let Some(rehearsal) = &setup.rehearsal {
            return Ok(rehearsal.site());
        }
        let last = if std::io::stdin().is_terminal() { setup.paths.last_site() } else { None };
        last.ok_or_else(|| Failure::usage("name the site file with --site FILE; 'mosip-setup new' makes one"))
    }

    /// Opens a site whose answers are complete and right.
    ///
    /// # Errors
    /// Every problem of it.
    pub fn ready(&self, setup: &Setup) -> Result<ReadySite, Failure> {
        Ok(setup.ready(&self.site_file(setup)?)?)
    }
}

/// Writes a line on stdout.
///
/// # Errors
/// The output is gone.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(())
}

/// Writes a value as JSON on stdout.
///
/// # Errors
/// The output is gone.
pub fn say_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Asks for a text on the terminal; a secret is not shown. None where there is no terminal.
#[must_use]
pub fn ask(prompt: &str, secret: bool) -> Option<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    {
        let mut error = std::io::stderr().lock();
        let _ = write!(error, "{prompt} ");
        let _ = error.flush();
    }
    let before = rustix::termios::tcgetattr(&stdin).ok();
    if let (true, Some(before)) = (secret, &before) {
        let mut quiet = before.clone();
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Flush, &quiet);
    }
    let mut text = String::new();
    let read = stdin.read_line(&mut text);
    if let (true, Some(before)) = (secret, &before) {
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Flush, before);
        let _ = writeln!(std::io::stderr().lock());
    }
    read.ok().filter(|length| *length > 0).map(|_| text.trim_end_matches('\n').to_owned())
}
