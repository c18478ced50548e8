//! The desk of the full screen: performs what the screens ask for, each in a task of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::desk_logs::{self, Turns};
use crate::adapters::history;
use crate::adapters::ignores;
use crate::adapters::import;
use crate::adapters::logout;
use crate::adapters::project::{Project, ProjectError};
use crate::adapters::sites::{self, OpenSite, SiteError};
use crate::adapters::{profiles, sources};
use crate::engine::attempt::is_locked;
use crate::engine::attempt_events::{read_piece, told_in};
use crate::engine::checks::{CheckRequest, run_checks};
use crate::engine::client::{Client, Past};
use crate::engine::host_keys::{self, HostKeyReport};
use crate::engine::mend::{Consent, mend};
use crate::engine::opening::{Opened, Opening};
use crate::engine::setup::{Setup, SetupError};
use crate::engine::watch::Watching;
use crate::install::change::FileChange;
use crate::install::check::{Ignored, Target};
use crate::install::fix::{Mended, PlannedFix};
use crate::install::ids::{CheckId, FieldId, MachineName, ProfileId};
use crate::install::plan::Plan;
use crate::install::profile::Profile;
use crate::install::site::{Draft, Knobs, SourceOverride};
use crate::run::state::State;
use crate::ui::desk::{
    Again, Command, Desk, EventsRead, FetchProgress, HostKeySeen, Imported, IndexFor, LoadedSite, Overview, PageRequest, ProfileEntry,
    Renewal, Reply, RunEntry, ShellRequest, SiteEntry, Told, Trouble,
};

/// How much of an attempt's events the screen is given at once, bytes: taking it in must not keep a key waiting.
const EVENTS_AT_ONCE: u64 = 64 * 1024;

/// Performs commands over the engine's setup.
pub struct SetupDesk {
    setup: Setup,
    /// Site files as last read, so that a change by somebody else is noticed when they are saved.
    open: BTreeMap<PathBuf, OpenSite>,
    preflight: Option<tokio::task::JoinHandle<()>>,
    /// In logs: the search, the count of its matches, the lines of the filter. A new one calls off the one before.
    searches: Turns,
    counts: Turns,
    filters: Turns,
}

impl SetupDesk {
    /// A desk over this setup.
    #[must_use]
    pub fn new(mut setup: Setup) -> Self {
        let turns = Turns::default;
        setup.past = Past::State(setup.folds.clone());
        Self { setup, open: BTreeMap::new(), preflight: None, searches: turns(), counts: turns(), filters: turns() }
    }

    fn save(&mut self, path: &Path, draft: &Draft) -> Result<String, Trouble> {
        let path = self.resolve(path);
        let mut open = match self.open.remove(&path) {
            Some(open) => open,
            None => OpenSite::unsaved(&path, draft.clone()).map_err(|error| trouble(&error))?,
        };
        let saved = profiles::load_for_site(&draft.profile, &open.folder())
            .map_err(|error| trouble(&error))
            .and_then(|profile| sites::save(&mut open, draft, &profile).map_err(|error| site_trouble(&error)));
        let id = open.file.draft.id.clone();
        drop(self.setup.paths.remember_site(&path));
        self.open.insert(path, open);
        saved.map(|()| id)
    }

    fn load(&mut self, path: &Path) -> Result<Box<LoadedSite>, Trouble> {
        let path = self.resolve(path);
        let project = self.setup.project(&path).map_err(|error| setup_trouble(&error))?;
        let fetched = project.profile.sources.keys().all(|source| project.fetched.contains_key(source.as_str()));
        let run = self.run_of(&project.open.file.draft.id);
        self.open.insert(path.clone(), project.open.clone());
        Ok(Box::new(LoadedSite { path, draft: project.open.file.draft.clone(), profile: Arc::new(project.profile), fetched, run }))
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        let path = match (path.strip_prefix("~"), directories::BaseDirs::new()) {
            (Ok(rest), Some(dirs)) => dirs.home_dir().join(rest),
            _ => path.to_owned(),
        };
        std::path::absolute(&path).unwrap_or(path)
    }

    fn run_of(&self, id: &str) -> Option<RunEntry> {
        let folder = self.setup.paths.site(id).ok()?;
        let found = self.setup.last_run(&folder).ok()??;
        let state = &found.state;
        let engine = is_locked(&folder.lock());
        Some(RunEntry { id: state.run.clone(), state: state.summary().to_owned(), note: note(state, self.setup.ports.clock.now()), engine })
    }

    fn overview(&self) -> Overview {
        let entry = |id: &&str| {
            let profile = profiles::load(id).ok()?;
            let fetched = sources::fetched(&profile, &BTreeMap::new(), &self.setup.paths);
            let fetched = profile.sources.keys().all(|source| fetched.contains_key(source.as_str()));
            Some(ProfileEntry { profile: Arc::new(profile), fetched })
        };
        let last = self.setup.rehearsal.as_ref().map(|rehearsal| rehearsal.site()).or_else(|| self.setup.paths.last_site());
        let site = |path: PathBuf| {
            let open = sites::load(&path).ok()?;
            let draft = &open.file.draft;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let title = draft.answers.get("domain").and_then(|domain| domain.as_str()).map_or(name, str::to_owned);
            Some(SiteEntry { title, profile: draft.profile.clone(), run: self.run_of(&draft.id), path })
        };
        let suggested = std::env::current_dir().unwrap_or_default().join("site.toml");
        Overview {
            profiles: profiles::ids().iter().filter_map(entry).collect(),
            sites: last.into_iter().filter_map(site).collect(),
            suggested,
        }
    }
}

impl Desk for SetupDesk {
    fn begin(&mut self, command: Command, reply: &Reply) {
        let (setup, told) = (self.setup.clone(), reply.clone());
        match command {
            Command::LoadOverview => told.tell(Told::Overview(Ok(self.overview()))),
            Command::LoadSite { path } => {
                let loaded = self.load(&path);
                told.tell(Told::Site(loaded));
            }
            Command::SaveSite { path, draft } => {
                let saved = self.save(&path, &draft);
                told.tell(Told::Saved(saved));
            }
            Command::Fetch { profile, site } => drop(tokio::task::spawn_blocking(move || {
                let outcome = fetch(&setup, &profile, &site, &told);
                told.tell(Told::Fetched(outcome));
            })),
            Command::LoadKnobs { profile, site } => drop(tokio::task::spawn_blocking(move || {
                told.tell(Told::Knobs(knobs(&setup, &profile, &site).map(Arc::new)));
            })),
            Command::StoreSecret { site, field, value } => drop(tokio::task::spawn_blocking(move || {
                let reference = store_secret(&site, &field, &value);
                told.tell(Told::SecretStored { field, reference });
            })),
            Command::Plan { site } => drop(tokio::task::spawn_blocking(move || {
                told.tell(Told::Planned(plan(&setup, &site).map(Box::new)));
            })),
            Command::Preflight { site, round, again } => {
                self.cancel_preflight();
                self.preflight = Some(tokio::spawn(async move {
                    let result = preflight(&setup, &site, round, again, &told).await;
                    told.tell(Told::PreflightEnded { round, result });
                }));
            }
            Command::CancelPreflight => self.cancel_preflight(),
            Command::Ignore { site, check, target, reason } => drop(tokio::task::spawn_blocking(move || {
                let result = ignore(&setup, &site, &check, &target, reason);
                told.tell(Told::Ignored { check, target, result });
            })),
            Command::Mend { site, fixes } => drop(tokio::spawn(async move {
                let result = run_fixes(&setup, &site, fixes, &told).await;
                told.tell(Told::Mended(result));
            })),
            Command::ScanHostKeys { site } => drop(tokio::spawn(async move {
                let result = scan_host_keys(&setup, &site).await;
                told.tell(Told::HostKeys(result));
            })),
            Command::AcceptHostKeys { site, keys } => drop(tokio::task::spawn_blocking(move || {
                told.tell(Told::HostKeysRecorded(accept_host_keys(&setup, &site, keys)));
            })),
            Command::Import { profile, site, folder } => {
                let folder = self.resolve(&folder);
                drop(tokio::task::spawn_blocking(move || {
                    told.tell(Told::Imported(import_from(&profile, &site, folder).map(Box::new)));
                }));
            }
            Command::Attach { site, renew } => drop(tokio::task::spawn_blocking(move || {
                told.tell(match attach(&setup, &site, renew) {
                    Ok(Some(client)) => Told::Attached(Ok(client)),
                    Ok(None) => Told::Alone,
                    Err(trouble) => Told::Attached(Err(trouble)),
                });
            })),
            Command::Renew { site } => drop(tokio::task::spawn_blocking(move || {
                told.tell(Told::Renewed(renewal(&setup, &site).map(Box::new)));
            })),
            Command::OpenRun { site, secrets, new } => drop(tokio::spawn(async move {
                let opened = open_run(&setup, &site, &secrets, new).await;
                let begun = opened.as_ref().is_ok_and(|opened| !opened.joined);
                told.tell(Told::Attached(opened.map(|opened| opened.client)));
                if begun {
                    let trouble = setup.project(&site).ok().and_then(|project| setup.catalogue_trouble(&project));
                    let warnings = [("Your known failures", trouble), ("Before you leave", logout::warning())];
                    for (title, text) in warnings.into_iter().filter_map(|(title, text)| Some((title, text?))) {
                        told.tell(Told::Warning { title, text });
                    }
                }
            })),
            Command::ReadLog(request) => drop(tokio::task::spawn_blocking(move || desk_logs::read(&request, &told))),
            Command::SearchLog(search) => {
                let on = self.searches.begin();
                drop(tokio::task::spawn_blocking(move || desk_logs::search(&search, &on, &told)));
            }
            Command::CancelSearch => drop(self.searches.begin()),
            Command::IndexLog(index) => {
                let on = match index.purpose {
                    IndexFor::Search => self.counts.begin(),
                    IndexFor::Filter => self.filters.begin(),
                };
                drop(tokio::task::spawn_blocking(move || desk_logs::index(index, &on, &told)));
            }
            Command::SaveLog(mut save) => {
                save.to = self.resolve(&save.to);
                drop(tokio::task::spawn_blocking(move || told.tell(Told::LogSaved(desk_logs::save(&save)))));
            }
            Command::ReadEvents(request) => drop(tokio::task::spawn_blocking(move || {
                // A step without events has none to show.
                let read = read_piece(&request.path, request.from, EVENTS_AT_ONCE).map_or_else(
                    |_| EventsRead { told: Vec::new(), next: request.from },
                    |(lines, next)| EventsRead { told: told_in(&lines), next },
                );
                told.tell(Told::Events { ticket: request.ticket, read });
            })),
            Command::LoadHistory { run } => drop(tokio::task::spawn_blocking(move || {
                told.tell(Told::History(Box::new(history::read(&run))));
            })),
            Command::Engine(_) | Command::Shell(_) | Command::Page(_) | Command::Copy(_) | Command::Notify(_) | Command::Quit => {}
        }
    }

    fn shell(&mut self, request: &ShellRequest) -> std::io::Result<()> {
        let secrets = request.secrets.then(|| {
            let project = self.setup.project(&request.site)?;
            self.setup.secrets(&project, &request.plan, &BTreeMap::new())
        });
        let secrets = secrets.transpose().map_err(std::io::Error::other)?;
        super::shell::open(&request.plan, &request.step, secrets.as_ref())
    }

    fn page(&mut self, request: &PageRequest) -> std::io::Result<()> {
        desk_logs::page(request)
    }
}

impl SetupDesk {
    fn cancel_preflight(&mut self) {
        if let Some(running) = self.preflight.take() {
            running.abort();
        }
    }
}

fn trouble(error: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

fn site_trouble(error: &SiteError) -> Trouble {
    let problems = if let SiteError::Invalid(problems) = error { problems.clone() } else { Vec::new() };
    Trouble { problems, ..trouble(error) }
}

fn setup_trouble(error: &SetupError) -> Trouble {
    match error {
        SetupError::Project(ProjectError::Invalid(problems)) => {
            Trouble { message: format!("the site has {} problem(s)", problems.len()), problems: problems.clone() }
        }
        SetupError::Project(ProjectError::Site(error)) => site_trouble(error),
        other => trouble(other),
    }
}

/// One sentence about a run.
fn note(state: &State, now: Timestamp) -> String {
    let of = |wanted: &[crate::run::state::PhaseState]| {
        state.plan.phases.iter().find(|phase| wanted.contains(&state.phase_state(phase))).map(|phase| phase.title.clone())
    };
    let hours = now.duration_since(state.last).as_secs() / 3600;
    let ago = if hours < 1 { "less than an hour ago".to_owned() } else { format!("{hours} h ago") };
    use crate::run::state::PhaseState as P;
    let place =
        of(&[P::Failed, P::Interrupted, P::Stopped, P::Running, P::Pending]).map(|title| format!(" at {title}")).unwrap_or_default();
    format!("{}{place}, {ago}", state.summary())
}

fn profile_and_overrides(id: &ProfileId, site: &Path) -> Result<(Profile, BTreeMap<String, SourceOverride>), Trouble> {
    let folder = site.parent().map(Path::to_owned).unwrap_or_default();
    let profile = profiles::load_for_site(id.as_str(), &folder).map_err(|error| trouble(&error))?;
    let overrides = sites::load(site).map(|open| open.file.draft.sources).unwrap_or_default();
    Ok((profile, overrides))
}

fn fetch(setup: &Setup, id: &ProfileId, site: &Path, told: &Reply) -> Result<(), Trouble> {
    let (profile, overrides) = profile_and_overrides(id, site)?;
    let none = SourceOverride::default();
    for (name, source) in &profile.sources {
        let name = name.as_str();
        let mut progress = |line: &str| {
            let percent = line.split('%').next().and_then(|before| before.split_whitespace().last()).and_then(|word| word.parse().ok());
            let percent = percent.filter(|percent| *percent <= 100 && line.contains('%'));
            told.tell(Told::Fetching(FetchProgress { source: name.to_owned(), doing: line.to_owned(), percent }));
        };
        sources::fetch(name, source, overrides.get(name).unwrap_or(&none), &setup.paths, &mut progress).map_err(|error| trouble(&error))?;
    }
    Ok(())
}

fn knobs(setup: &Setup, id: &ProfileId, site: &Path) -> Result<Knobs, Trouble> {
    let (profile, overrides) = profile_and_overrides(id, site)?;
    Ok(sources::knobs(&profile, &sources::fetched(&profile, &overrides, &setup.paths)))
}

/// Keeps a secret in `SITE.secrets/FIELD`, for its owner alone, and gives the reference for the site file.
fn store_secret(site: &Path, field: &FieldId, value: &SecretString) -> Result<String, Trouble> {
    let folder = site.with_extension("secrets");
    crate::adapters::paths::make_dir(&folder).map_err(|error| trouble(&error))?;
    let path = folder.join(field.as_str());
    crate::adapters::files::atomic::write(&path, value.expose_secret().as_bytes(), 0o600).map_err(|error| trouble(&error))?;
    Ok(format!("file:{}", path.display()))
}

fn project_and_plan(setup: &Setup, site: &Path) -> Result<(Project, Plan), Trouble> {
    let project = setup.project(site).map_err(|error| setup_trouble(&error))?;
    let plan = setup.plan(&project).map_err(|error| setup_trouble(&error))?;
    Ok((project, plan))
}

fn plan(setup: &Setup, site: &Path) -> Result<(Plan, Vec<FileChange>), Trouble> {
    let (project, plan) = project_and_plan(setup, site)?;
    let changes = setup.changes(&project, &plan).map_err(|error| setup_trouble(&error))?;
    Ok((plan, changes))
}

async fn preflight(setup: &Setup, site: &Path, round: u32, again: Again, told: &Reply) -> Result<(), Trouble> {
    let (project, plan) = project_and_plan(setup, site)?;
    let folder = project.state().map_err(|error| trouble(&error))?;
    let found = setup.last_run(&folder).map_err(|error| setup_trouble(&error))?;
    let (done, begun) = found.map(|found| (setup.done(&found.state), setup.begun(&found.state))).unwrap_or_default();
    let ignores = ignores::read(&folder.ignores()).map_err(|error| trouble(&error))?;
    let ignores = ignores::reasons(&ignores, setup.ports.clock.now());
    let mut request = CheckRequest { done, begun, ignores, ..CheckRequest::preflight(&plan) };
    request.pairs = match again {
        Again::All => None,
        Again::Open(findings) => Some(Watching::new(findings).pairs(&request)),
        Again::These(pairs) => Some(pairs.into_iter().collect()),
    };
    let expected =
        request.checks().into_iter().flat_map(|check| request.targets(check).into_iter().map(|target| (check.id.clone(), target)));
    told.tell(Told::PreflightStarted { round, expected: expected.collect() });
    let (sender, mut findings) = tokio::sync::mpsc::unbounded_channel();
    // A task of its own, so that a finding is told while the checks are at work; it ends with the sender.
    let told = told.clone();
    let forward = tokio::spawn(async move {
        while let Some(finding) = findings.recv().await {
            told.tell(Told::Finding { round, finding: Box::new(finding) });
        }
    });
    run_checks(&request, &*setup.ports.probe, Some(&sender)).await;
    drop(sender);
    // All findings are told before the end of the round.
    forward.await.map_err(|error| trouble(&error))
}

/// Ignores a finding for a time, or counts it again; gives the words in force.
fn ignore(setup: &Setup, site: &Path, check: &CheckId, target: &Target, why: Option<(String, String)>) -> Result<Option<String>, Trouble> {
    let project = setup.project(site).map_err(|error| setup_trouble(&error))?;
    let path = project.state().map_err(|error| trouble(&error))?.ignores();
    let Some((reason, time)) = why else {
        ignores::remove(&path, check, target).map_err(|error| trouble(&error))?;
        return Ok(None);
    };
    let now = setup.ports.clock.now();
    let ignore = ignores::decide(check, target, &reason, &setup.user, now, &time).map_err(Trouble::new)?;
    let said = ignores::reasons(std::slice::from_ref(&ignore), now).into_values().next();
    ignores::add(&path, ignore).map_err(|error| trouble(&error))?;
    Ok(said.map(|said| match said {
        Ignored::Holds(text) | Ignored::Over(text) => text,
    }))
}

/// Runs what was shown, where it still is what the plan says.
async fn run_fixes(setup: &Setup, site: &Path, fixes: Vec<PlannedFix>, told: &Reply) -> Result<Vec<Mended>, Trouble> {
    let (project, plan) = project_and_plan(setup, site)?;
    let planned = |fix: &PlannedFix| plan.check(fix.check.as_str()).and_then(|check| check.fix.as_ref()) == Some(&fix.fix);
    if !fixes.iter().all(planned) {
        return Err(Trouble::new("the answers or the profile have changed since the script was shown; look at it again"));
    }
    let log = project.state().map_err(|error| trouble(&error))?.preflight();
    let consent = Consent { who: &setup.user, log: &log, clock: &*setup.ports.clock };
    let heard = |target: &Target, line: &str| told.tell(Told::MendSaid { target: target.clone(), line: line.to_owned() });
    mend(&plan, fixes, consent, &*setup.ports.probe, &heard).await.map_err(|error| trouble(&error))
}

async fn scan_host_keys(setup: &Setup, site: &Path) -> Result<Vec<HostKeySeen>, Trouble> {
    let (_, plan) = project_and_plan(setup, site)?;
    let reports = host_keys::scan(&plan, &*setup.ports.probe).await;
    let seen = |report: HostKeyReport| HostKeySeen { machine: report.machine, address: report.address, answer: report.answer };
    Ok(reports.into_iter().map(seen).collect())
}

/// Records what the operator has seen, not what a second look would find.
fn accept_host_keys(setup: &Setup, site: &Path, keys: Vec<HostKeySeen>) -> Result<Vec<MachineName>, Trouble> {
    let (_, plan) = project_and_plan(setup, site)?;
    let report = |seen: HostKeySeen| HostKeyReport { machine: seen.machine, address: seen.address, answer: seen.answer };
    let reports: Vec<HostKeyReport> = keys.into_iter().map(report).collect();
    host_keys::accept_new(&plan, &reports, 22).map_err(|error| trouble(&error))
}

fn import_from(profile: &ProfileId, site: &Path, folder: PathBuf) -> Result<Imported, Trouble> {
    let beside = site.parent().map(Path::to_owned).unwrap_or_default();
    let profile = profiles::load_for_site(profile.as_str(), &beside).map_err(|error| trouble(&error))?;
    let found = import::import(&profile, &folder).map_err(Trouble::new)?;
    Ok(Imported { folder, draft: found.draft, notes: found.notes })
}

async fn open_run(setup: &Setup, site: &Path, secrets: &BTreeMap<FieldId, SecretString>, new: bool) -> Result<Opened, Trouble> {
    let (project, plan) = project_and_plan(setup, site)?;
    let resolved = setup.secrets(&project, &plan, secrets).map_err(|error| setup_trouble(&error))?;
    let opened = setup.open_run(&project, plan, resolved, Opening { new, ..Opening::default() }).await;
    opened.map_err(|error| setup_trouble(&error))
}

/// What an engine that lives is told: it has what was asked for when it was started.
fn renewal(setup: &Setup, site: &Path) -> Result<Renewal, Trouble> {
    let (project, plan) = project_and_plan(setup, site)?;
    let secrets = setup.known_secrets(&project, &plan).map_err(|error| setup_trouble(&error))?.exposed();
    Ok(Renewal { plan, secrets: secrets.into_iter().map(|(field, value)| (field, SecretString::from(value))).collect() })
}

/// The engine that a site has; none: it has none.
fn attach(setup: &Setup, site: &Path, renew: bool) -> Result<Option<Client>, Trouble> {
    let project = setup.project(site).map_err(|error| setup_trouble(&error))?;
    let folder = project.state().map_err(|error| trouble(&error))?;
    let client = setup.join(&folder).map_err(|error| trouble(&error))?;
    if let (Some(client), true) = (&client, renew) {
        let Renewal { plan, secrets } = renewal(setup, site)?;
        let _ = client.renew(plan, secrets.into_iter().map(|(field, value)| (field, value.expose_secret().to_owned())).collect());
    }
    Ok(client)
}
