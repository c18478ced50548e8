//! Everything that belongs to one site file, opened together: profile, state, sources, answers and plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::install::ids::FieldId;
use crate::install::plan::Plan;
use crate::install::planner::{self, Place};
use crate::install::problem::Problem;
use crate::install::profile::Profile;
use crate::install::site::{Knobs, Site};

use super::files::render::RenderState;
use super::paths::{PathError, Paths, SitePaths};
use super::profiles::{self, ProfileError};
use super::secrets::{Lookup, SecretError, Secrets};
use super::sites::{self, OpenSite, SiteError};
use super::sources;

/// Why a project cannot be opened or planned.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The site file.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The state folder.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Answers that are missing or wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
    /// There is no home folder or user.
    #[error("the operator's {0} is not known: set it in the environment")]
    Operator(&'static str),
}

/// A site file with its profile and state; the answers may still be wrong.
#[derive(Debug, Clone)]
pub struct Project {
    /// The site file.
    pub open: OpenSite,
    /// Its profile.
    pub profile: Profile,
    /// The state folder.
    pub paths: Paths,
    /// Where the sources lie that are fetched.
    pub fetched: BTreeMap<String, PathBuf>,
    /// The templates' keys, where they are fetched.
    pub knobs: Knobs,
}

impl Project {
    /// Opens a site file.
    ///
    /// # Errors
    /// It or its profile cannot be read.
    pub fn open(site_file: &Path, paths: Paths) -> Result<Self, ProjectError> {
        Self::with(sites::load(site_file)?, paths)
    }

    /// The same for a site file already read, or not yet saved.
    ///
    /// # Errors
    /// The profile cannot be read.
    pub fn with(open: OpenSite, paths: Paths) -> Result<Self, ProjectError> {
        let profile = profiles::load_for_site(&open.file.draft.profile, &open.folder())?;
        let mut project = Self { open, profile, paths, fetched: BTreeMap::new(), knobs: Knobs::new() };
        project.refresh();
        Ok(project)
    }

    /// Looks again which sources are fetched.
    pub fn refresh(&mut self) {
        self.fetched = sources::fetched(&self.profile, &self.open.file.draft.sources, &self.paths);
        self.knobs = sources::knobs(&self.profile, &self.fetched);
    }

    /// Checks the answers.
    ///
    /// # Errors
    /// All problems, with their lines.
    pub fn validate(&self) -> Result<Site, ProjectError> {
        let knobs = (!self.knobs.is_empty()).then_some(&self.knobs);
        self.open.file.validate(&self.profile, knobs).map_err(ProjectError::Invalid)
    }

    /// The site's folder in the state folder.
    ///
    /// # Errors
    /// The site has no id yet, or the folder cannot be made.
    pub fn state(&self) -> Result<SitePaths, ProjectError> {
        Ok(self.paths.site(&self.open.file.draft.id)?)
    }

    /// What a plan needs to know about this place.
    ///
    /// # Errors
    /// The operator's home is not known, or the state folder cannot be used.
    pub fn place(&self) -> Result<Place, ProjectError> {
        let state = self.state()?;
        let home = home(&self.paths)?;
        let user = super::user::name();
        Ok(Place {
            home: home.display().to_string(),
            user,
            site_dir: self.open.folder().display().to_string(),
            known_hosts: state.known_hosts().display().to_string(),
            fetched: self.source_places()?,
            program: super::process::own_path().display().to_string(),
            digest_key: state.digest_key()?,
        })
    }

    /// Where each source lies or will lie: a plan can be made before anything is fetched.
    fn source_places(&self) -> Result<BTreeMap<String, String>, ProjectError> {
        let none = Default::default();
        let over = |name: &str| self.open.file.draft.sources.get(name).unwrap_or(&none);
        let place = |(id, source): (&crate::install::ids::SourceId, &crate::install::profile::Source)| {
            let folder = sources::place(id.as_str(), source, over(id.as_str()), &self.paths)?;
            Ok((id.to_string(), folder.display().to_string()))
        };
        self.profile.sources.iter().map(place).collect()
    }

    /// The plan.
    ///
    /// # Errors
    /// The answers are not valid, or a text of the profile cannot be filled in.
    pub fn plan(&self) -> Result<Plan, ProjectError> {
        let site = self.validate()?;
        planner::plan(&self.profile, &site, &self.place()?).map_err(|problems| {
            let file = format!("profile {}", self.profile.id);
            let problem = |(key, message)| Problem { file: file.clone(), line: 0, key, message };
            ProjectError::Invalid(problems.into_iter().map(|found| problem((found.key, found.message))).collect())
        })
    }

    /// What was last rendered.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn render_state(&self) -> Result<RenderState, ProjectError> {
        let state = self.state()?;
        Ok(RenderState::load(&state.rendered(), state.digest_key()?))
    }

    /// The site's secrets; `prompt` asks for those that are asked at the terminal.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn secrets(
        &self,
        plan: &Plan,
        prompt: &dyn Fn(&FieldId) -> Option<SecretString>,
    ) -> Result<Result<Secrets, Vec<SecretError>>, ProjectError> {
        let (home, answers) = (home(&self.paths)?, self.state()?.answers());
        let lookup = Lookup { home: &home, answers: Some(&answers), prompt, environment: &|name| std::env::var(name).ok() };
        Ok(Secrets::resolve(&plan.secrets, Some(&self.profile), &lookup))
    }

    /// Secrets for showing files before a run: what cannot be found yet is stood in for, so that the rest can be seen.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn preview_secrets(&self, plan: &Plan) -> Result<Secrets, ProjectError> {
        let (home, answers) = (home(&self.paths)?, self.state()?.answers());
        let lookup = Lookup { home: &home, answers: Some(&answers), prompt: &|_| None, environment: &|name| std::env::var(name).ok() };
        let mut secrets = Secrets::resolve(&BTreeMap::new(), Some(&self.profile), &lookup).unwrap_or_default();
        let alone = Lookup { answers: None, ..lookup };
        for (field, reference) in &plan.secrets {
            if secrets.get(field.as_str()).is_none() {
                let one = BTreeMap::from([(field.clone(), reference.clone())]);
                let found = Secrets::resolve(&one, Some(&self.profile), &alone).ok().and_then(|found| found.get(field.as_str()).cloned());
                secrets.insert(field.clone(), found.unwrap_or_else(|| SecretString::from("(not known yet)".to_owned())));
            }
        }
        Ok(secrets)
    }
}

fn home(paths: &Paths) -> Result<PathBuf, ProjectError> {
    if let Some(home) = paths.home() {
        return Ok(home);
    }
    let base = directories::BaseDirs::new().ok_or(ProjectError::Operator("home folder (HOME)"))?;
    Ok(base.home_dir().to_owned())
}
