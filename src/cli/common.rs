//! What all verbs share.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use color_eyre::Report;
use serde::Serialize;

use crate::adapters::paths::{PathError, Paths};
use crate::adapters::project::{Project, ProjectError};
use crate::adapters::sites::SiteError;
use crate::engine::driver::EngineError;
use crate::engine::setup::{Setup, SetupError};
use crate::exit::Exit;
use crate::install::problem::Problem;

/// Options of every verb.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// The site file.
    #[arg(long, global = true, value_name = "FILE", env = "MOSIP_SETUP_SITE")]
    pub site: Option<PathBuf>,
    /// Where the program keeps what it writes for itself; default: the XDG state folder.
    #[arg(long, global = true, value_name = "DIR", env = "MOSIP_SETUP_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Machine output on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a verb gives back.
pub type Outcome = Result<Exit, Failure>;

impl Common {
    /// The state folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn paths(&self) -> Result<Paths, Report> {
        Ok(Paths::open(self.state_dir.as_deref())?)
    }

    /// The site file: the one named; at a terminal else the one used last.
    ///
    /// # Errors
    /// None is named.
    pub fn site_file(&self) -> Result<PathBuf, Failure> {
        if let Some(site) = &self.site {
            return Ok(site.clone());
        }
        if let Ok(setup) = self.setup()
            && let Some(rehearsal) = setup.rehearsal
        {
            return Ok(rehearsal.site());
        }
        let last = std::io::stdin().is_terminal().then(|| Paths::open(self.state_dir.as_deref()).ok()?.last_site()).flatten();
        last.ok_or_else(|| {
            Failure::usage("which site? Name its file with --site FILE, or make one: mosip-setup new --profile ID --site FILE")
        })
    }

    /// Opens the state folder with its ports.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn setup(&self) -> Result<Setup, Failure> {
        Ok(Setup::open(self.state_dir.as_deref())?)
    }

    /// Opens the site with everything that belongs to it, and remembers it as used last.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn project(&self) -> Result<Project, Failure> {
        let file = self.site_file()?;
        let paths = Paths::open(self.state_dir.as_deref()).map_err(ProjectError::from)?;
        let project = Project::open(&file, paths)?;
        // Only a convenience: a state folder that cannot be written shows where something must be written.
        drop(project.paths.remember_site(&project.open.path));
        Ok(project)
    }

    /// Prints a value as JSON.
    ///
    /// # Errors
    /// stdout is gone.
    pub fn print_json<T: Serialize>(&self, value: &T) -> Result<(), Report> {
        print(&format!("{}\n", serde_json::to_string_pretty(value)?))
    }
}

/// A failure that the operator can do something about, with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message.
    pub message: String,
    /// The problems it consists of, where it has several.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// Wrong usage.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), problems: Vec::new() }
    }

    /// Tells the operator, and gives the exit code. With `--json` the problems go to stdout as well.
    ///
    /// # Errors
    /// stdout is gone.
    pub fn report(&self, common: &Common) -> Result<Exit, Report> {
        if common.json {
            common.print_json(&serde_json::json!({ "error": self.message, "problems": self.problems }))?;
        }
        note(&self.message);
        Ok(self.exit)
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let exit = match &error {
            ProjectError::Path(_) | ProjectError::Site(SiteError::Write(_) | SiteError::Id(_)) => Exit::CannotWrite,
            _ => Exit::Usage,
        };
        let message = error.to_string();
        let problems = match error {
            ProjectError::Invalid(problems) | ProjectError::Site(SiteError::Invalid(problems)) => problems,
            _ => Vec::new(),
        };
        Self { exit, message, problems }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let exit = match error {
            SetupError::Project(error) => return error.into(),
            SetupError::Engine(EngineError::Held { .. } | EngineError::Silent { .. } | EngineError::Refused(_)) => Exit::Busy,
            SetupError::Engine(_) | SetupError::Journal(_) => Exit::CannotWrite,
            SetupError::NotFetched(_) | SetupError::Secrets(_) | SetupError::Render(_) => Exit::Usage,
        };
        Self { exit, message: error.to_string(), problems: Vec::new() }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        SetupError::from(error).into()
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self { exit: Exit::CannotWrite, message: error.to_string(), problems: Vec::new() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { exit: Exit::CannotWrite, message: format!("the output cannot be written: {error}"), problems: Vec::new() }
    }
}

impl From<Report> for Failure {
    fn from(error: Report) -> Self {
        Self { exit: Exit::CannotWrite, message: error.to_string(), problems: Vec::new() }
    }
}

/// Prints on stdout. A reader that went away (`| head`) ends the output quietly.
///
/// # Errors
/// stdout cannot be written for another reason.
pub fn print(text: &str) -> Result<(), Report> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says something to the person, on stderr.
pub fn note(text: &str) {
    // Nobody is left to tell when stderr is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// A path as an absolute text.
#[must_use]
pub fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
