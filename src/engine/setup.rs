//! The one way in for front ends: opens sites, makes plans, opens runs. The command line and the full screen use the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::attempt::{is_locked, read_holder, take_lock, write_holder};
use super::client::Client;
use super::driver::{Driver, EngineError};
use super::executor::{Executor, Ports};
use super::real_probe::RealProbe;
use super::rehearsal::{Rehearsal, RehearsalProbe, RehearsalSpawn};
use super::spawn::{ProcessSpawn, SystemClock};
use crate::adapters::files::render::{self, RenderErrors, RenderState, Rendered, Scope};
use crate::adapters::journal::{self, Journal, JournalError};
use crate::adapters::paths::{self, PathError, Paths, RunPaths, SitePaths};
use crate::adapters::profiles::{self, ProfileError};
use crate::adapters::secrets::{Lookup, SecretError, Secrets};
use crate::adapters::sites::{self, OpenSite, SiteError};
use crate::adapters::sources;
use crate::install::change::{Change, FileChange};
use crate::install::ids::FieldId;
use crate::install::plan::Plan;
use crate::install::planner::{self, Place};
use crate::install::problem::Problem;
use crate::install::profile::Profile;
use crate::install::site::{Knobs, SecretRef, Site};
use crate::run::event::{Event, FORMAT, Recorded};
use crate::run::machine::{Machine, select};
use crate::run::state::{self, State};

/// Why a site cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A state path cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The site file cannot be used.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Answers are wrong or missing.
    #[error("the site has {} problem(s):\n{}", .0.len(), lines(.0))]
    Problems(Vec<Problem>),
    /// Sources are not there.
    #[error("the source '{0}' is not here yet: fetch it with 'mosip-setup fetch'")]
    NotFetched(String),
    /// Secrets cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Secrets(Vec<SecretError>),
    /// Files cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderErrors),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}

/// Everything front ends need, for the real thing or for a rehearsal.
#[derive(Clone)]
pub struct Setup {
    /// The state folder.
    pub paths: Paths,
    /// The ports.
    pub ports: Ports,
    /// The operator's home folder.
    pub home: PathBuf,
    /// The operator's user name.
    pub user: String,
    /// The rehearsal, where it is one.
    pub rehearsal: Option<Rehearsal>,
    rehearsed: Option<Arc<RehearsalProbe>>,
    program: PathBuf,
}

/// A site whose answers are complete and right.
pub struct ReadySite {
    /// The file.
    pub open: OpenSite,
    /// Its profile.
    pub profile: Profile,
    /// Its answers.
    pub site: Site,
    /// Its folder in the state.
    pub folder: SitePaths,
}

/// Who holds a site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    /// The engine's process.
    pub pid: u32,
    /// The Unix user.
    pub user: String,
}

/// A run as found on disk.
pub struct FoundRun {
    /// Its folder.
    pub folder: RunPaths,
    /// Its state.
    pub state: State,
    /// Its events.
    pub events: Vec<Recorded>,
}

impl Setup {
    /// Opens the state folder; one that belongs to a rehearsal gives a rehearsal.
    ///
    /// # Errors
    /// The state folder cannot be made, or there is no home folder.
    pub fn open(state_dir: Option<&Path>) -> Result<Self, PathError> {
        let paths = Paths::open(state_dir)?;
        let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        let spawn = ProcessSpawn { program: program.clone() };
        let user = rustix_user();
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()).ok_or(PathError::NoHome)?;
        let clock = Arc::new(SystemClock);
        if let Some(rehearsal) = Rehearsal::of(paths.root()) {
            let probe = Arc::new(RehearsalProbe::new(RealProbe::default(), rehearsal.faults.clone(), rehearsal.speed));
            let spawn = RehearsalSpawn { inner: spawn, speed: rehearsal.speed, faults: rehearsal.faults.clone() };
            let ports = Ports { probe: probe.clone(), spawn: Arc::new(spawn), clock };
            return Ok(Self { paths, ports, home: rehearsal.home(), user, rehearsal: Some(rehearsal), rehearsed: Some(probe), program });
        }
        let ports = Ports { probe: Arc::new(RealProbe::default()), spawn: Arc::new(spawn), clock };
        Ok(Self { paths, ports, home, user, rehearsal: None, rehearsed: None, program })
    }

    /// Reads a site file and its profile; answers may still be wrong.
    ///
    /// # Errors
    /// One of both cannot be read.
    pub fn read(&self, site: &Path) -> Result<(OpenSite, Profile), SetupError> {
        let open = sites::load(site)?;
        let profile = profiles::load_for_site(&open.file.draft.profile, &open.folder())?;
        Ok((open, profile))
    }

    /// Reads a site file whose answers must be complete and right.
    ///
    /// # Errors
    /// Also all problems of its answers, each with its line.
    pub fn ready(&self, site: &Path) -> Result<ReadySite, SetupError> {
        let (open, profile) = self.read(site)?;
        let knobs = self.knobs(&profile, &open);
        let knobs = (!knobs.is_empty()).then_some(&knobs);
        let valid = open.file.validate(&profile, knobs).map_err(SetupError::Problems)?;
        let folder = self.paths.site(&valid.id)?;
        // Remembering is a convenience; a state folder that cannot be written is reported where it matters.
        drop(self.paths.remember_site(&open.path));
        Ok(ReadySite { open, profile, site: valid, folder })
    }

    /// The keys of the profile's templates, where its sources are here.
    #[must_use]
    pub fn knobs(&self, profile: &Profile, open: &OpenSite) -> Knobs {
        sources::knobs(profile, &sources::fetched(profile, &open.file.draft.sources, &self.paths))
    }

    /// Makes the plan of a site.
    ///
    /// # Errors
    /// A source is not here, or the profile cannot be filled in.
    pub fn plan(&self, ready: &ReadySite) -> Result<Plan, SetupError> {
        let fetched = sources::fetched(&ready.profile, &ready.open.file.draft.sources, &self.paths);
        for source in ready.profile.sources.keys() {
            if fetched.get(source.as_str()).is_none_or(|folder| !folder.is_dir()) {
                return Err(SetupError::NotFetched(source.to_string()));
            }
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let place = Place {
            home: text(&self.home),
            user: self.user.clone(),
            site_dir: text(&ready.open.folder()),
            known_hosts: text(&ready.folder.known_hosts()),
            fetched: fetched.iter().map(|(name, folder)| (name.clone(), text(folder))).collect(),
            program: text(&self.program),
            digest_key: ready.folder.digest_key()?,
        };
        let plan = planner::plan(&ready.profile, &ready.site, &place).map_err(|problems| {
            let file = ready.profile.id.to_string();
            SetupError::Problems(
                problems
                    .into_iter()
                    .map(|problem| Problem { file: file.clone(), line: 0, key: problem.key, message: problem.message })
                    .collect(),
            )
        })?;
        if let Some(probe) = &self.rehearsed {
            probe.observe(Arc::new(plan.clone()));
        }
        Ok(plan)
    }

    /// The secrets a site answers with `prompt` and that no run has been given yet.
    #[must_use]
    pub fn prompts(&self, ready: &ReadySite) -> Vec<FieldId> {
        let asked = ready.site.secrets.iter().filter(|(_, reference)| **reference == SecretRef::Prompt);
        asked.map(|(field, _)| field.clone()).filter(|field| !ready.folder.answers().join(field.as_str()).is_file()).collect()
    }

    /// Resolves the secrets of a site.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn secrets(&self, ready: &ReadySite, prompted: &BTreeMap<FieldId, SecretString>) -> Result<Secrets, SetupError> {
        let answers = ready.folder.answers();
        let lookup = Lookup {
            home: &self.home,
            answers: Some(&answers),
            prompt: &|field| prompted.get(field).cloned(),
            environment: &|name| std::env::var(name).ok(),
        };
        Secrets::resolve(&ready.site.secrets, Some(&ready.profile), &lookup).map_err(SetupError::Secrets)
    }

    /// Renders the files of a plan without writing; secrets that cannot be had yet are left out.
    ///
    /// # Errors
    /// A template lacks a key or cannot be read.
    pub fn preview(&self, ready: &ReadySite, plan: &Plan) -> Result<Vec<Rendered>, SetupError> {
        let secrets = self.secrets(ready, &BTreeMap::new()).unwrap_or_default();
        let state = RenderState::load(&ready.folder.rendered(), ready.folder.digest_key()?);
        Ok(render::render(plan, Scope { only: None, preview: true }, &secrets, &state)?)
    }

    /// What writing the files would change.
    ///
    /// # Errors
    /// As [`Setup::preview`].
    pub fn changes(&self, ready: &ReadySite, plan: &Plan) -> Result<Vec<FileChange>, SetupError> {
        Ok(self.preview(ready, plan)?.iter().map(file_change).collect())
    }

    /// The newest run of a site that is not closed for good; none: there is none.
    ///
    /// # Errors
    /// Its journal is damaged.
    pub fn last_run(&self, folder: &SitePaths) -> Result<Option<FoundRun>, SetupError> {
        let Some(id) = folder.runs().pop() else { return Ok(None) };
        let run = folder.run(&id)?;
        if !run.journal().is_file() {
            return Ok(None);
        }
        let events = journal::read(&run.journal())?;
        if events.is_empty() {
            return Ok(None);
        }
        let mut state = state::fold(&events).map_err(EngineError::from)?;
        // The journal cannot know that its engine was killed; the lock does.
        if !is_locked(&folder.lock()) {
            state.engine = None;
        }
        Ok(Some(FoundRun { folder: run, state, events }))
    }

    /// Takes the site, continues its open run or opens one, and starts the engine.
    ///
    /// # Errors
    /// Another engine holds the site, or the journal cannot be used.
    pub fn open_run(&self, ready: &ReadySite, plan: Plan, secrets: Secrets, new: bool) -> Result<Client, SetupError> {
        let lock = self.hold(&ready.folder)?;
        let found = if new { None } else { self.last_run(&ready.folder)? };
        let run = match &found {
            Some(found) => found.folder.clone(),
            None => ready.folder.run(&paths::new_run_id(self.ports.clock.now())?)?,
        };
        let (mut journal, mut events) = Journal::open(&run.journal())?;
        if events.is_empty() {
            let opened = Event::RunOpened {
                format: FORMAT,
                tool: env!("CARGO_PKG_VERSION").to_owned(),
                run: run.id(),
                site_file: ready.open.path.display().to_string(),
                rehearsal: self.rehearsal.is_some(),
                plan: Box::new(plan),
            };
            events.push(journal.append(self.ports.clock.now(), opened)?);
        } else {
            let state = state::fold(&events).map_err(EngineError::from)?;
            if state.plan != plan && state.running().is_none() {
                let changed = changed_fields(&state.plan, &plan);
                events.push(journal.append(self.ports.clock.now(), Event::PlanChanged { plan: Box::new(plan), changed })?);
            }
        }
        let state = state::fold(&events).map_err(EngineError::from)?;
        let executor = Arc::new(Executor::new(self.ports.clone(), ready.folder.clone(), run.clone(), secrets));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default();
        let driver = Driver { journal, state, machine: Machine::default(), executor, lock, user: self.user.clone(), boot };
        Ok(driver.start(events, run.root().to_owned()))
    }

    fn hold(&self, folder: &SitePaths) -> Result<fs::File, EngineError> {
        let path = folder.lock();
        let io = |source| EngineError::Io { path: folder.lock(), source };
        let Some(lock) = take_lock(&path).map_err(io)? else {
            return Err(EngineError::Held { pid: read_holder::<Holder>(&path).map_or(0, |holder| holder.pid) });
        };
        write_holder(&lock, &Holder { pid: std::process::id(), user: self.user.clone() }).map_err(io)?;
        Ok(lock)
    }
}

/// The answers by which two plans differ, by field.
#[must_use]
pub fn changed_fields(old: &Plan, new: &Plan) -> Vec<String> {
    let reads = |plan: &Plan| -> BTreeMap<String, String> {
        plan.phases.iter().flat_map(|phase| &phase.reads).map(|(field, digest)| (field.to_string(), digest.clone())).collect()
    };
    let (old, new) = (reads(old), reads(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// What a rendered file changes, for people.
#[must_use]
pub fn file_change(file: &Rendered) -> FileChange {
    let change = match file.change {
        render::Change::Create => Change::Create,
        render::Change::Edit => Change::Edit,
        render::Change::Same | render::Change::Keep => Change::Same,
        render::Change::Conflict => Change::Conflict,
    };
    FileChange { path: file.path.display().to_string(), change, diff: file.diff.clone() }
}

/// Whether a selection can run in this state; the phases it means.
///
/// # Errors
/// A phase that does not exist, or whose needs are neither done nor selected.
pub fn selected(state: &State, selection: &crate::run::machine::Selection) -> Result<Vec<crate::install::ids::PhaseId>, String> {
    select(state, selection)
}

fn rustix_user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    entry.and_then(|line| line.split(':').next()).map_or(uid.clone(), str::to_owned)
}
