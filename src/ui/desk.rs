//! Effects: what the screens ask for, what they are told, and the trait that performs it.
//!
//! The screens never touch a file, a process or the network. They return [`Command`]s; a [`Desk`] performs them without blocking and
//! answers with [`Told`] through its [`Reply`].

mod told;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::adapters::logs::pattern::Wanted;
use crate::adapters::logs::scan::Matches;
use crate::install::check::{Finding, Target};
use crate::install::facts::HostKeyAnswer;
use crate::install::fix::PlannedFix;
use crate::install::ids::{CheckId, FieldId, MachineName, ProfileId, StepRef};
use crate::install::plan::Plan;
use crate::install::problem::Problem;
use crate::install::profile::Profile;
use crate::install::site::Draft;
use crate::run::machine;

pub use super::log_source::{LogFrom, LogWindow};
pub use told::Told;

/// An effect that the screens ask for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Profiles, known sites and open runs. Answered by [`Told::Overview`].
    LoadOverview,
    /// Reads a site file. Answered by [`Told::Site`].
    LoadSite {
        /// The file, as the operator named it; `~/` may begin it.
        path: PathBuf,
    },
    /// Writes a site file; a draft without identity gets one. Answered by [`Told::Saved`].
    SaveSite {
        /// The file.
        path: PathBuf,
        /// What it is to say.
        draft: Box<Draft>,
    },
    /// Brings the profile's sources into the state directory. Answered by [`Told::Fetching`] and, at the end, [`Told::Fetched`].
    Fetch {
        /// The profile.
        profile: ProfileId,
        /// The site file whose other places for sources count; it may not exist yet.
        site: PathBuf,
    },
    /// Reads the keys of the templates. Answered by [`Told::Knobs`].
    LoadKnobs {
        /// The profile.
        profile: ProfileId,
        /// The site file whose other places for sources count; it may not exist yet.
        site: PathBuf,
    },
    /// Keeps a secret in a file for its owner alone, beside the site file. Answered by [`Told::SecretStored`].
    StoreSecret {
        /// The site file.
        site: PathBuf,
        /// The secret field.
        field: FieldId,
        /// Its value.
        value: SecretString,
    },
    /// Plans a saved site and compares its files. Answered by [`Told::Planned`].
    Plan {
        /// The site file.
        site: PathBuf,
    },
    /// Runs the preflight of a saved site. Answered by [`Told::PreflightStarted`], [`Told::Finding`]s and [`Told::PreflightEnded`].
    Preflight {
        /// The site file.
        site: PathBuf,
        /// Counts the rounds; every answer carries it back.
        round: u32,
        /// What of it.
        again: Again,
    },
    /// Ends a preflight that is going on.
    CancelPreflight,
    /// Ignores a finding, or takes that back. Answered by [`Told::Ignored`].
    Ignore {
        /// The site file.
        site: PathBuf,
        /// The check.
        check: CheckId,
        /// Where.
        target: Target,
        /// Why, and for how long, as `7d`; none: it counts again.
        reason: Option<(String, String)>,
    },
    /// Runs scripts that the operator has seen and agreed to. Answered by [`Told::MendSaid`] and, at the end, [`Told::Mended`].
    Mend {
        /// The site file.
        site: PathBuf,
        /// Exactly what was shown.
        fixes: Vec<PlannedFix>,
    },
    /// Asks all machines of a saved site for their host keys; no login. Answered by [`Told::HostKeys`].
    ScanHostKeys {
        /// The site file.
        site: PathBuf,
    },
    /// Records host keys met for the first time, exactly those the operator has seen. Answered by [`Told::HostKeysRecorded`].
    AcceptHostKeys {
        /// The site file.
        site: PathBuf,
        /// What was shown; keys that are not new are left alone.
        keys: Vec<HostKeySeen>,
    },
    /// Reads an existing checkout's inventories and variables. Answered by [`Told::Imported`].
    Import {
        /// The profile.
        profile: ProfileId,
        /// The site file beside which a profile of its own may lie; it may not exist yet.
        site: PathBuf,
        /// The checkout; `~/` may begin it.
        folder: PathBuf,
    },
    /// Takes up the open run of a site, or opens one. Answered by [`Told::Attached`]; nothing starts before [`Command::Engine`].
    OpenRun {
        /// The site file.
        site: PathBuf,
        /// Values of the secrets that the site answers with `prompt`.
        secrets: BTreeMap<FieldId, SecretString>,
        /// A new run, also where there is one already.
        new: bool,
    },
    /// Joins the engine that a site has. Answered by [`Told::Attached`], or [`Told::Alone`] where it has none.
    Attach {
        /// The site file.
        site: PathBuf,
        /// Hand over answers and secrets as they are now.
        renew: bool,
    },
    /// Reads answers and secrets as they are now, for the engine that is watched. Answered by [`Told::Renewed`].
    Renew {
        /// The site file.
        site: PathBuf,
    },
    /// Sends a command to the engine; the shell does this itself.
    Engine(Box<machine::Command>),
    /// Reads a window of a log. Answered by [`Told::Log`].
    ReadLog(LogRequest),
    /// Looks for a line in a log, in the place of the search before. Answered by [`Told::LogSearching`] and, at the end, [`Told::LogFound`].
    SearchLog(LogSearch),
    /// Finds all lines that a search or a filter wants. Answered by [`Told::LogIndexed`].
    IndexLog(LogIndex),
    /// Calls the search off that goes on.
    CancelSearch,
    /// Copies a log, or what of it is shown, into a new file. Answered by [`Told::LogSaved`].
    SaveLog(LogSave),
    /// Opens a log in the operator's pager; the shell suspends the screen and calls [`Desk::page`].
    Page(PageRequest),
    /// Reads events of an attempt. Answered by [`Told::Events`].
    ReadEvents(EventsRequest),
    /// Reads how long past runs beside this one took. Answered by [`Told::History`].
    LoadHistory {
        /// The run's folder.
        run: PathBuf,
    },
    /// Opens a shell where a step works; the shell suspends the screen and calls [`Desk::shell`].
    Shell(ShellRequest),
    /// Puts a text on the terminal's clipboard (OSC 52); the shell does this itself.
    Copy(String),
    /// Bell and an OSC 9 note: the operator is needed; the shell does this itself.
    Notify(String),
    /// Leaves; the shell ends.
    Quit,
}

/// How much of a preflight is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Again {
    /// All of it.
    All,
    /// What is not green in these findings, and what hangs on it.
    Open(Vec<Finding>),
    /// These alone.
    These(Vec<(CheckId, Target)>),
}

/// Which part of which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// The file.
    pub path: PathBuf,
    /// The step.
    pub step: StepRef,
    /// The attempt.
    pub attempt: u32,
    /// Where it begins.
    pub from: LogFrom,
    /// How many lines at most.
    pub lines: usize,
    /// These lines alone, as far as they are known.
    pub filter: Option<(Wanted, Arc<Matches>)>,
    /// With the time of each line.
    pub times: bool,
    /// Carried back, so that an overtaken answer is recognised.
    pub ticket: u64,
}

/// Which events of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsRequest {
    /// The file.
    pub path: PathBuf,
    /// Where what is not known yet begins.
    pub from: u64,
    /// Carried back, so that an overtaken answer is recognised.
    pub ticket: u64,
}

/// Events of an attempt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventsRead {
    /// The events.
    pub told: Vec<crate::run::detail::Told>,
    /// Where what is not known yet begins now.
    pub next: u64,
}

/// A search in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSearch {
    /// The file.
    pub path: PathBuf,
    /// What is looked for.
    pub wanted: Wanted,
    /// The offset of the line where it begins; backwards that line itself is not looked at.
    pub from: u64,
    /// Forwards: not in that line either.
    pub behind: bool,
    /// Forwards, else backwards.
    pub forward: bool,
    /// Carried back.
    pub ticket: u64,
}

/// What all lines are found for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexFor {
    /// To count the matches of a search.
    Search,
    /// To show them alone.
    Filter,
}

/// All lines of a log that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIndex {
    /// The file.
    pub path: PathBuf,
    /// Which lines.
    pub wanted: Wanted,
    /// What is known already: it goes on from there.
    pub known: Arc<Matches>,
    /// What for.
    pub purpose: IndexFor,
    /// Carried back.
    pub ticket: u64,
}

/// A copy of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSave {
    /// The log.
    pub from: PathBuf,
    /// The new file; `~/` may begin it.
    pub to: PathBuf,
    /// These lines alone.
    pub wanted: Option<Wanted>,
    /// With the time before each line.
    pub times: bool,
}

/// A log in the pager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The log.
    pub path: PathBuf,
    /// The offset of the line to begin at.
    pub offset: u64,
}

/// Where a shell opens.
#[derive(Debug, Clone, PartialEq)]
pub struct ShellRequest {
    /// The site file, whose secrets may be wanted.
    pub site: PathBuf,
    /// The plan of the run.
    pub plan: Box<Plan>,
    /// The step.
    pub step: StepRef,
    /// Whether its secrets are in the environment, too.
    pub secrets: bool,
}

/// Something that did not work, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trouble {
    /// One sentence.
    pub message: String,
    /// Places in files.
    pub problems: Vec<Problem>,
}

impl Trouble {
    /// A trouble of one sentence.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), problems: Vec::new() }
    }
}

/// A profile to choose from.
#[derive(Debug, Clone)]
pub struct ProfileEntry {
    /// The profile.
    pub profile: Arc<Profile>,
    /// Whether its sources are in the state directory.
    pub fetched: bool,
}

/// A site known from before.
#[derive(Debug, Clone)]
pub struct SiteEntry {
    /// Its file.
    pub path: PathBuf,
    /// What to call it: its domain, or its file name.
    pub title: String,
    /// Its profile.
    pub profile: String,
    /// Its open run, where there is one.
    pub run: Option<RunEntry>,
}

/// A run that can be taken up.
#[derive(Debug, Clone)]
pub struct RunEntry {
    /// Its name.
    pub id: String,
    /// One word, as `status --json` has it.
    pub state: String,
    /// A sentence, as `failed in main-cluster 3 hours ago`.
    pub note: String,
    /// Whether an engine has it: then it is joined, and nothing need be asked first.
    pub engine: bool,
}

/// What the start screen offers.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// The profiles.
    pub profiles: Vec<ProfileEntry>,
    /// The sites, the last used first.
    pub sites: Vec<SiteEntry>,
    /// Where a new site file is proposed.
    pub suggested: PathBuf,
}

/// A site file as read.
#[derive(Debug, Clone)]
pub struct LoadedSite {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub draft: Draft,
    /// Its profile.
    pub profile: Arc<Profile>,
    /// Whether the profile's sources are in the state directory.
    pub fetched: bool,
    /// Its open run, where there is one.
    pub run: Option<RunEntry>,
}

/// The host key that a machine presents, against what is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeySeen {
    /// The machine.
    pub machine: MachineName,
    /// Its address.
    pub address: Ipv4Addr,
    /// What it presents.
    pub answer: HostKeyAnswer,
}

/// What an existing checkout says.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The folder.
    pub folder: PathBuf,
    /// What was found, right or wrong.
    pub draft: Draft,
    /// Files read, and what could not be taken over.
    pub notes: Vec<String>,
}

/// How far a fetch is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchProgress {
    /// The source.
    pub source: String,
    /// What is being done.
    pub doing: String,
    /// Percent; none: not known.
    pub percent: Option<u8>,
}

/// What an engine is told after answers were edited.
#[derive(Debug)]
pub struct Renewal {
    /// The plan.
    pub plan: Plan,
    /// Every secret that is known without asking, by its field.
    pub secrets: BTreeMap<String, SecretString>,
}

/// Where a desk sends what came of a command. Cheap to clone; a screen that is gone hears nothing.
#[derive(Debug, Clone)]
pub struct Reply(mpsc::UnboundedSender<Told>);

impl Reply {
    /// A reply and the end where it is heard.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells the screens something.
    pub fn tell(&self, told: Told) {
        drop(self.0.send(told));
    }
}

/// Performs the effects of the screens.
pub trait Desk: Send {
    /// Begins a command and returns at once (within a few milliseconds); what comes of it is told later, from a task of its own.
    ///
    /// [`Command::Engine`], [`Command::Shell`], [`Command::Page`], [`Command::Copy`], [`Command::Notify`] and [`Command::Quit`] never come here.
    fn begin(&mut self, command: Command, reply: &Reply);

    /// Opens a shell on the terminal and returns when it ends. The screen is suspended meanwhile, runs go on.
    ///
    /// # Errors
    /// The shell cannot be started.
    fn shell(&mut self, request: &ShellRequest) -> std::io::Result<()>;

    /// Opens a log in the operator's pager and returns when it ends. The screen is suspended meanwhile, runs go on.
    ///
    /// # Errors
    /// There is no pager, or it cannot be started.
    fn page(&mut self, request: &PageRequest) -> std::io::Result<()>;
}
