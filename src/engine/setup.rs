//! The one way in for front ends: opens sites, makes plans, opens runs. The command line and the full screen use the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::attempt::{is_locked, read_exit, read_holder};
use super::client::{self, Past};
use super::driver::EngineError;
use super::executor::Ports;
use super::real_probe::RealProbe;
use super::rehearsal::{Rehearsal, RehearsalProbe, RehearsalSpawn};
use super::spawn::{ProcessSpawn, SystemClock};
use super::{diagnosis, lost, prompting};
use crate::adapters::files::render::{self, RenderErrors, Rendered, Scope};
use crate::adapters::journal::{Folds, JournalError};
use crate::adapters::paths::{PathError, Paths, RunPaths, SitePaths};
use crate::adapters::process::own_image;
use crate::adapters::project::{Project, ProjectError};
use crate::adapters::secrets::{SecretError, Secrets};
use crate::adapters::user;
use crate::install::change::{Change, FileChange};
use crate::install::ids::{FieldId, PhaseId};
use crate::install::plan::{Plan, PlanPhase};
use crate::install::site::SecretRef;
use crate::run::event::Outcome;
use crate::run::prompts;
use crate::run::select::select;
use crate::run::state::State;

/// Why a site cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The site, its profile or the state folder cannot be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
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

/// Everything front ends need, for the real thing or for a rehearsal.
#[derive(Clone)]
pub struct Setup {
    /// The state folder.
    pub paths: Paths,
    /// The ports.
    pub ports: Ports,
    /// The operator's user name.
    pub user: String,
    /// The rehearsal, where it is one.
    pub rehearsal: Option<Rehearsal>,
    /// How this front end wants what has happened in a run before.
    pub past: Past,
    /// Journals as they were last folded.
    pub folds: Folds,
    pub(super) rehearsed: Option<Arc<RehearsalProbe>>,
}

/// Who holds a site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    /// The engine's process.
    pub pid: u32,
    /// The Unix user.
    pub user: String,
    /// The run whose socket is open; empty: it is not yet.
    #[serde(default)]
    pub run: String,
}

/// A run as found on disk.
pub struct FoundRun {
    /// Its folder.
    pub folder: RunPaths,
    /// Its state.
    pub state: State,
}

impl Setup {
    /// Opens the state folder; one that belongs to a rehearsal gives a rehearsal.
    ///
    /// # Errors
    /// The state folder cannot be made, or there is no home folder.
    pub fn open(state_dir: Option<&Path>) -> Result<Self, PathError> {
        let paths = Paths::open(state_dir)?;
        let spawn = ProcessSpawn { program: own_image() };
        let user = user::name();
        let clock = Arc::new(SystemClock);
        if let Some(rehearsal) = Rehearsal::of(paths.root()) {
            let probe = Arc::new(RehearsalProbe::new(RealProbe::default(), &rehearsal));
            let spawn = RehearsalSpawn { inner: spawn, rehearsal: rehearsal.clone() };
            let ports = Ports { probe: probe.clone(), spawn: Arc::new(spawn), clock };
            return Ok(Self {
                paths,
                ports,
                user,
                rehearsal: Some(rehearsal),
                past: Past::Events,
                folds: Folds::default(),
                rehearsed: Some(probe),
            });
        }
        let ports = Ports { probe: Arc::new(RealProbe::default()), spawn: Arc::new(spawn), clock };
        Ok(Self { paths, ports, user, rehearsal: None, past: Past::Events, folds: Folds::default(), rehearsed: None })
    }

    /// Opens a site file; its answers may still be wrong. It is remembered as the one used last.
    ///
    /// # Errors
    /// It or its profile cannot be read.
    pub fn project(&self, site: &Path) -> Result<Project, SetupError> {
        let project = Project::open(site, self.paths.clone())?;
        // Remembering is a convenience; a state folder that cannot be written is reported where it matters.
        drop(self.paths.remember_site(&project.open.path));
        Ok(project)
    }

    /// Makes the plan of a site.
    ///
    /// # Errors
    /// Answers are missing or wrong, a source is not here, or the profile cannot be filled in.
    pub fn plan(&self, project: &Project) -> Result<Plan, SetupError> {
        let plan = project.plan()?;
        if let Some(source) = plan.sources.keys().find(|source| !project.fetched.contains_key(source.as_str())) {
            return Err(SetupError::NotFetched(source.to_string()));
        }
        if let Some(probe) = &self.rehearsed {
            probe.observe(Arc::new(plan.clone()));
        }
        Ok(plan)
    }

    /// The secrets that are to be asked for, because the site says so and no run has been given them yet.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn prompts(&self, project: &Project, plan: &Plan) -> Result<Vec<FieldId>, SetupError> {
        let answers = project.state()?.answers();
        let asked = plan.secrets.iter().filter(|(_, reference)| **reference == SecretRef::Prompt).map(|(field, _)| field.clone());
        Ok(asked.filter(|field| !answers.join(field.as_str()).is_file()).collect())
    }

    /// Resolves the secrets of a site; `prompted` has those that were asked for.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn secrets(&self, project: &Project, plan: &Plan, prompted: &BTreeMap<FieldId, SecretString>) -> Result<Secrets, SetupError> {
        project.secrets(plan, &|field| prompted.get(field).cloned())?.map_err(SetupError::Secrets)
    }

    /// The secrets that can be had without asking anybody.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn known_secrets(&self, project: &Project, plan: &Plan) -> Result<Secrets, SetupError> {
        let mut known = plan.clone();
        known.secrets.retain(|_, reference| *reference != SecretRef::Prompt);
        project.secrets(&known, &|_| None)?.map_err(SetupError::Secrets)
    }

    /// What is wrong with the operators' own catalogue of known failures; none: nothing, or there is none.
    #[must_use]
    pub fn catalogue_trouble(&self, project: &Project) -> Option<String> {
        diagnosis::check_own(project.state().ok()?.known_issues().as_deref()).err()
    }

    /// Whether an engine holds a site.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn is_held(&self, project: &Project) -> Result<bool, SetupError> {
        Ok(is_locked(&project.state()?.lock()))
    }

    /// What writing the files of a plan would change; touches nothing.
    ///
    /// # Errors
    /// A template lacks a key or cannot be read.
    pub fn changes(&self, project: &Project, plan: &Plan) -> Result<Vec<FileChange>, SetupError> {
        let secrets = project.preview_secrets(plan)?;
        let files = render::render(plan, Scope { only: None, preview: true }, &secrets, &project.render_state()?)?;
        Ok(files.iter().map(file_change).collect())
    }

    /// The newest run of a site that is not closed for good; none: there is none.
    ///
    /// # Errors
    /// Its journal is damaged.
    pub fn last_run(&self, folder: &SitePaths) -> Result<Option<FoundRun>, SetupError> {
        let Some(id) = folder.runs().pop() else { return Ok(None) };
        let run = folder.run(&id).map_err(ProjectError::from)?;
        if !run.journal().is_file() {
            return Ok(None);
        }
        let journal = run.journal();
        let Some((mut state, _)) = self.folds.up_to(&journal, u64::MAX)?.end(&journal)? else { return Ok(None) };
        // The journal cannot know that its engine was killed, nor whether it waits for somebody; lock and engine do.
        if is_locked(&folder.lock()) && state.engine.is_some() {
            if let Ok(engine) = client::look(run.root()) {
                (state.engine, state.idle) = (Some(engine.pid), !engine.working);
            }
        } else {
            // A step outlives its engine: while its runner is at work the run is running, whoever began it.
            let runner = folder.runner_lock();
            let at_work = state.running().is_some() && is_locked(&runner);
            if at_work {
                show_prompt(&mut state, &run);
            }
            state.engine = if at_work { read_holder::<super::attempt::Holder>(&runner).map(|holder| holder.pid) } else { None };
            settle(&mut state, folder, &run);
        }
        Ok(Some(FoundRun { folder: run, state }))
    }

    /// The phases of a run that are done.
    #[must_use]
    pub fn done(&self, state: &State) -> BTreeSet<PhaseId> {
        state.plan.phases.iter().filter(|phase| state.phase_state(phase).satisfies()).map(|phase| phase.id.clone()).collect()
    }

    /// The phases of a run that have begun: what is found on machines may be their own work.
    #[must_use]
    pub fn begun(&self, state: &State) -> BTreeSet<PhaseId> {
        state.begun().map(|phase| phase.id.clone()).collect()
    }
}

/// How a step stands whose engine is gone: its runner may be at work still, or have left its record, or neither.
fn settle(state: &mut State, folder: &SitePaths, run: &RunPaths) {
    let Some((step, record)) = state.at_work().map(|(step, record)| (step.clone(), record.attempts)) else { return };
    if is_locked(&folder.runner_lock()) {
        return;
    }
    let attempt = run.root().join("steps").join(step.folder()).join(record.to_string());
    let outcome = read_exit(&attempt)
        .map_or_else(|| Outcome::Interrupted { reason: lost::reason(state, &folder.runner_lock()) }, |ended| ended.outcome);
    if let Some(record) = state.steps.get_mut(&step) {
        record.outcome = Some(outcome);
    }
    state.questions.retain(|question| question.step != step);
}

/// What a step asks whose engine is gone: nobody has written it down.
fn show_prompt(state: &mut State, run: &RunPaths) {
    let Some((step, attempt)) = state.at_work().map(|(step, record)| (step.clone(), record.attempts)) else { return };
    let asked = prompting::asked(&run.root().join("steps").join(step.folder()).join(attempt.to_string()));
    state.questions.retain(|question| question.step != step);
    state.questions.extend(asked.map(|prompt| prompts::question(&step, attempt, &prompt)));
}

/// The answers by which two plans differ, by field.
#[must_use]
pub fn changed_fields(old: &Plan, new: &Plan) -> Vec<String> {
    let reads = |plan: &Plan| -> BTreeMap<String, String> {
        plan.phases.iter().flat_map(PlanPhase::answers).map(|(field, digest)| (field.to_string(), digest)).collect()
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
