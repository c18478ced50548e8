//! Opens runs: joins the engine that a site has, or starts one, in the background or in this process.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::attempt::{is_locked, read_holder, take_lock, write_holder};
use super::background::{self, Log};
use super::client::{Client, Missed, Past, Update};
use super::driver::{Driver, EngineError};
use super::executor::Executor;
use super::lost;
use super::mood::Mood;
use super::server::{Asked, Asking, Hub, Listening};
use super::setup::{Holder, Setup, SetupError, changed_fields};
use crate::adapters::host_boot;
use crate::adapters::journal::Journal;
use crate::adapters::paths::{self, RunPaths, SitePaths};
use crate::adapters::place;
use crate::adapters::project::{Project, ProjectError};
use crate::adapters::secrets::Secrets;
use crate::install::plan::Plan;
use crate::install::site::SecretRef;
use crate::run::event::{Event, FORMAT, Recorded};
use crate::run::machine::Machine;
use crate::run::redact::Redactor;
use crate::run::state::State;

/// How long an engine that begins or ends may take over it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often one that begins or ends is looked at.
const EVERY: Duration = Duration::from_millis(25);
/// The environment variable with the minutes that an engine waits for somebody while nothing can go on.
pub const IDLE_VARIABLE: &str = "MOSIP_SETUP_IDLE_MINUTES";
/// The same where the variable does not say.
const IDLE_MINUTES: f64 = 30.0;

/// Everything an engine needs to begin.
pub struct Order {
    /// The site.
    pub site_id: String,
    /// Its file, as it was reached.
    pub site_file: String,
    /// The plan.
    pub plan: Plan,
    /// The secrets.
    pub secrets: Secrets,
    /// A new run, also where there is one already.
    pub new: bool,
}

/// How a run is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opening {
    /// A new run, also where there is one already.
    pub new: bool,
    /// In this process.
    pub foreground: bool,
    /// A living engine lets go of the site first, also while something runs.
    pub take_over: bool,
}

/// A run that can be watched and commanded.
#[derive(Debug)]
pub struct Opened {
    /// The connection to its engine.
    pub client: Client,
    /// Whether the engine was at work already.
    pub joined: bool,
    /// The engine, where it lives in this process.
    pub own: Option<Own>,
}

/// An engine in this process.
#[derive(Debug)]
pub struct Own {
    hub: Arc<Hub>,
    ended: tokio::task::JoinHandle<Option<String>>,
}

impl Own {
    /// Ends it; what runs goes on by itself, and the next engine takes it up. Gives why it ended, where it was not asked to.
    pub async fn end(self) -> Option<String> {
        let _ = self.hub.ask(Asked::End, "").await;
        self.ended.await.ok().flatten()
    }
}

/// An engine that holds its site and is about to begin.
pub(super) struct Ready {
    driver: Driver,
    asking: mpsc::Receiver<Asking>,
    socket: Listening,
    run: String,
}

/// An engine at work.
pub(super) struct Working {
    pub run: String,
    pub ended: tokio::task::JoinHandle<Option<String>>,
}

impl Ready {
    pub fn hub(&self) -> Arc<Hub> {
        self.driver.hub.clone()
    }

    pub fn log(&self) -> Arc<Log> {
        self.driver.log.clone()
    }

    pub fn start(self) -> Working {
        let Self { driver, asking, socket, run } = self;
        Working { run, ended: tokio::spawn(driver.run(asking, socket)) }
    }
}

/// What holds a site.
enum Found {
    /// Nothing.
    Free,
    /// An engine that can be talked to.
    Engine(Client),
    /// An engine that begins, ends or was just ended.
    Between,
}

impl Setup {
    /// The engine of a site; none: it has none that can be talked to now.
    ///
    /// # Errors
    /// There is one that does not answer, or not to this program.
    pub fn join(&self, site: &SitePaths) -> Result<Option<Client>, EngineError> {
        match find(site, &self.past)? {
            Found::Engine(client) => Ok(Some(client)),
            Found::Free | Found::Between => Ok(None),
        }
    }

    /// Joins the engine of a site, or starts one that continues its open run or opens one. A living engine hears of answers and secrets
    /// as they are now.
    ///
    /// # Errors
    /// Another engine holds the site and this is not to be joined to it, or the journal cannot be used.
    pub async fn open_run(&self, project: &Project, plan: Plan, secrets: Secrets, opening: Opening) -> Result<Opened, SetupError> {
        let site = project.state()?;
        let begun = Instant::now();
        let mut asked = false;
        loop {
            match blocking(|| find(&site, &self.past))? {
                Found::Engine(client) if opening.take_over || opening.new => {
                    let pid = client.engine().pid;
                    if !asked && !blocking(|| handed_over(client, opening.take_over)) {
                        return Err(EngineError::Held { pid }.into());
                    }
                    asked = true;
                }
                Found::Engine(client) if opening.foreground => return Err(EngineError::Held { pid: client.engine().pid }.into()),
                Found::Engine(client) => {
                    client.renew(plan, secrets.exposed());
                    return Ok(Opened { client, joined: true, own: None });
                }
                Found::Free => {
                    let order = Order {
                        site_id: project.open.file.draft.id.clone(),
                        site_file: project.open.path.display().to_string(),
                        plan: plan.clone(),
                        secrets: secrets.clone(),
                        new: opening.new,
                    };
                    let started = if opening.foreground { self.here(&site, order) } else { self.apart(&site, order) };
                    match started {
                        Err(SetupError::Engine(EngineError::Held { .. })) if !opening.foreground => {}
                        other => return other,
                    }
                }
                Found::Between => {}
            }
            if begun.elapsed() > PATIENCE {
                let pid = read_holder::<Holder>(&site.lock()).map_or(0, |holder| holder.pid);
                return Err(EngineError::Held { pid }.into());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn here(&self, site: &SitePaths, order: Order) -> Result<Opened, SetupError> {
        let ready = self.engine(order)?;
        let hub = ready.hub();
        let working = ready.start();
        let client = self.reach(site, &working.run)?;
        Ok(Opened { client, joined: false, own: Some(Own { hub, ended: working.ended }) })
    }

    fn apart(&self, site: &SitePaths, order: Order) -> Result<Opened, SetupError> {
        let hidden = order.plan.secrets.values().filter_map(|reference| match reference {
            SecretRef::Env(name) => Some(name.clone()),
            _ => None,
        });
        let hidden: Vec<String> = hidden.collect();
        let run = blocking(|| background::launch(self.paths.root(), order, &hidden))?;
        Ok(Opened { client: self.reach(site, &run)?, joined: false, own: None })
    }

    fn reach(&self, site: &SitePaths, run: &str) -> Result<Client, SetupError> {
        let run = site.run(run).map_err(ProjectError::from)?;
        let start = |why: &str| EngineError::Start(format!("the engine that was started cannot be reached: {why}"));
        blocking(|| Client::connect(run.root(), self.past.clone())).map_err(|missed| {
            SetupError::from(match missed {
                Missed::Nobody => start("nobody listens on its socket; see engine.log in the run's folder"),
                Missed::Silent => start("it does not answer"),
                Missed::Refused(reason) => EngineError::Refused(reason),
            })
        })
    }

    /// Takes the site, continues its open run or opens one, and opens the socket.
    ///
    /// # Errors
    /// Another engine holds the site, or the journal cannot be used.
    pub(super) fn engine(&self, order: Order) -> Result<Ready, SetupError> {
        let Order { site_id, site_file, plan, secrets, new } = order;
        let site = self.paths.site(&site_id).map_err(ProjectError::from)?;
        let lock = self.hold(&site)?;
        if let Some(probe) = &self.rehearsed {
            probe.observe(Arc::new(plan.clone()));
        }
        let newest = site.runs().pop().filter(|_| !new).map(|id| site.run(&id)).transpose().map_err(ProjectError::from)?;
        // A run that has no event yet was never opened: its engine was ended before.
        let run = match newest {
            Some(run) => run,
            None => {
                let id = paths::new_run_id(self.ports.clock.now()).map_err(ProjectError::from)?;
                site.run(&id).map_err(ProjectError::from)?
            }
        };
        let (journal, state) = self.journal(&run, site_file, plan)?;
        let redactor = Redactor::new(secrets.values().map(ExposeSecret::expose_secret)).ok();
        let log = Arc::new(Log::new(run.root().join("engine.log"), redactor));
        let executor = Arc::new(Executor::new(self.ports.clone(), site.clone(), run.clone(), secrets));
        let lost = lost::reason(&state, &site.runner_lock());
        let (hub, asking) = Hub::new(run.id(), log.clone());
        let rehearsed = self.rehearsed.clone();
        let observe = move |plan: &Plan| {
            if let Some(probe) = &rehearsed {
                probe.observe(Arc::new(plan.clone()));
            }
        };
        let mut driver = Driver {
            journal,
            state,
            machine: Machine::default(),
            executor,
            lock,
            user: self.user.clone(),
            boot: host_boot::id(),
            lost,
            hub: hub.clone(),
            log,
            patience: patience(std::env::var(IDLE_VARIABLE).ok().as_deref()),
            observe: Arc::new(observe),
            mood: Mood::default(),
        };
        driver.begin()?;
        let path = run.socket();
        let socket = Listening::open(&path, hub).map_err(|source| EngineError::Io { path, source })?;
        // Now that it can be reached, it says where.
        let holder = Holder { pid: std::process::id(), user: self.user.clone(), run: run.id() };
        write_holder(&driver.lock, &holder).map_err(|source| EngineError::Io { path: site.lock(), source })?;
        driver.log.say(&format!("engine {} of {}", env!("CARGO_PKG_VERSION"), self.user));
        Ok(Ready { driver, asking, socket, run: run.id() })
    }

    fn journal(&self, run: &RunPaths, site_file: String, plan: Plan) -> Result<(Journal, State), SetupError> {
        let mut state: Option<State> = None;
        let mut wrong = None;
        let mut fold = |event: &Recorded| {
            let folded = match &mut state {
                Some(state) => state.apply(event),
                None => State::open(event).map(|opened| state = Some(opened)),
            };
            wrong = wrong.take().or(folded.err());
        };
        let mut journal = Journal::open_with(&run.journal(), &mut |event| fold(&event))?;
        if journal.length() == 0 {
            let opened = Event::RunOpened {
                format: FORMAT,
                tool: env!("CARGO_PKG_VERSION").to_owned(),
                run: run.id(),
                site_file,
                rehearsal: self.rehearsal.is_some(),
                plan: Box::new(plan.clone()),
            };
            fold(&journal.append(self.ports.clock.now(), opened)?);
        }
        if let Some(wrong) = wrong {
            return Err(EngineError::from(wrong).into());
        }
        let Some(mut state) = state else { return Err(EngineError::from(crate::run::state::FoldError::NoBeginning).into()) };
        // Under a process the plan stays as it is; a question is no process.
        if state.plan != plan && state.at_work().is_none() {
            let changed = changed_fields(&state.plan, &plan);
            let recorded = journal.append(self.ports.clock.now(), Event::PlanChanged { plan: Box::new(plan), changed })?;
            state.apply(&recorded).map_err(EngineError::from)?;
        }
        Ok((journal, state))
    }

    fn hold(&self, folder: &SitePaths) -> Result<fs::File, EngineError> {
        let path = folder.lock();
        let io = |source| EngineError::Io { path: folder.lock(), source };
        if let Some(kind) = place::shared(folder.root()).map_err(io)? {
            return Err(EngineError::Remote { path: folder.root().to_owned(), kind });
        }
        let Some(lock) = take_lock(&path).map_err(io)? else {
            return Err(EngineError::Held { pid: read_holder::<Holder>(&path).map_or(0, |holder| holder.pid) });
        };
        write_holder(&lock, &Holder { pid: std::process::id(), user: self.user.clone(), run: String::new() }).map_err(io)?;
        Ok(lock)
    }
}

/// How long an engine waits for somebody, from what the environment says.
fn patience(minutes: Option<&str>) -> Duration {
    let minutes = minutes.and_then(|text| text.parse::<f64>().ok()).filter(|minutes| minutes.is_finite() && *minutes >= 0.0);
    Duration::from_secs_f64(minutes.unwrap_or(IDLE_MINUTES).min(60.0 * 24.0 * 365.0) * 60.0)
}

/// Does what waits for another process without holding up the runtime's other tasks.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Looks for the engine of a site. The lock is the truth about whether there is one.
fn find(site: &SitePaths, past: &Past) -> Result<Found, EngineError> {
    if !is_locked(&site.lock()) {
        return Ok(Found::Free);
    }
    let holder = read_holder::<Holder>(&site.lock());
    let pid = holder.as_ref().map_or(0, |holder| holder.pid);
    let Some(run) = holder.map(|holder| holder.run).filter(|run| !run.is_empty()) else { return Ok(Found::Between) };
    match Client::connect(&site.root().join("runs").join(run), past.clone()) {
        Ok(client) => Ok(Found::Engine(client)),
        Err(Missed::Nobody) => Ok(Found::Between),
        Err(Missed::Silent) => Err(EngineError::Silent { pid }),
        Err(Missed::Refused(reason)) => Err(EngineError::Refused(reason)),
    }
}

/// Asks an engine to let go of its site; whether it does.
fn handed_over(mut client: Client, busy: bool) -> bool {
    client.hand_over(busy);
    while let Some(update) = client.next_blocking() {
        match update {
            Update::Accepted(_) | Update::Ended(_) => return true,
            Update::Rejected(_) => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_engine_waits() {
        assert_eq!(patience(None), Duration::from_secs(30 * 60));
        assert_eq!(patience(Some("0")), Duration::ZERO);
        assert_eq!(patience(Some("0.5")), Duration::from_secs(30));
        for wrong in ["", "-1", "NaN", "soon"] {
            assert_eq!(patience(Some(wrong)), Duration::from_secs(30 * 60), "{wrong}");
        }
    }
}
