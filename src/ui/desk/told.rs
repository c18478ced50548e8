//! What the screens are told.

use std::path::PathBuf;
use std::sync::Arc;

use super::{EventsRead, FetchProgress, HostKeySeen, Imported, IndexFor, LoadedSite, LogWindow, Overview, Renewal, Trouble};
use crate::adapters::logs::scan::Matches;
use crate::engine::client::Client;
use crate::install::change::FileChange;
use crate::install::check::{Finding, Target};
use crate::install::fix::Mended;
use crate::install::ids::{CheckId, FieldId, MachineName};
use crate::install::plan::Plan;
use crate::install::site::Knobs;

/// What the screens are told.
#[derive(Debug)]
pub enum Told {
    /// What the start screen offers.
    Overview(Result<Overview, Trouble>),
    /// A site file was read.
    Site(Result<Box<LoadedSite>, Trouble>),
    /// A site file was written; its identity.
    Saved(Result<String, Trouble>),
    /// How far a fetch is.
    Fetching(FetchProgress),
    /// A fetch ended.
    Fetched(Result<(), Trouble>),
    /// The keys of the templates.
    Knobs(Result<Arc<Knobs>, Trouble>),
    /// A secret was kept.
    SecretStored {
        /// Its field.
        field: FieldId,
        /// The reference for the site file, as `file:~/site.secrets/x`.
        reference: Result<String, Trouble>,
    },
    /// A plan was made.
    Planned(Result<Box<(Plan, Vec<FileChange>)>, Trouble>),
    /// A preflight begins: what will be judged where.
    PreflightStarted {
        /// The round.
        round: u32,
        /// Everything that will be judged, as far as it is known.
        expected: Vec<(CheckId, Target)>,
    },
    /// Something was judged.
    Finding {
        /// The round.
        round: u32,
        /// What was found.
        finding: Box<Finding>,
    },
    /// A preflight ended.
    PreflightEnded {
        /// The round.
        round: u32,
        /// Why it could not be carried through.
        result: Result<(), Trouble>,
    },
    /// A finding is ignored, or counts again.
    Ignored {
        /// The check.
        check: CheckId,
        /// Where.
        target: Target,
        /// The reason in force.
        result: Result<Option<String>, Trouble>,
    },
    /// A script that puts something right prints a line.
    MendSaid {
        /// Where.
        target: Target,
        /// What.
        line: String,
    },
    /// The scripts have ended, or were not run.
    Mended(Result<Vec<Mended>, Trouble>),
    /// The machines were asked for their host keys.
    HostKeys(Result<Vec<HostKeySeen>, Trouble>),
    /// Host keys were recorded; of which machines.
    HostKeysRecorded(Result<Vec<MachineName>, Trouble>),
    /// A checkout was read.
    Imported(Result<Box<Imported>, Trouble>),
    /// A run can be watched and driven.
    Attached(Result<Client, Trouble>),
    /// The site has no engine to be joined.
    Alone,
    /// Answers and secrets as they are now; the shell hands them to the engine.
    Renewed(Result<Box<Renewal>, Trouble>),
    /// Something to be known when a run has begun: that it would end with the login, or that the operators' known failures cannot be read.
    Warning {
        /// What it is about, as a title.
        title: &'static str,
        /// The warning.
        text: String,
    },
    /// A window of a log.
    Log {
        /// The request's ticket.
        ticket: u64,
        /// What stands there.
        window: Result<LogWindow, Trouble>,
    },
    /// Events of an attempt.
    Events {
        /// The request's ticket.
        ticket: u64,
        /// What was read; nothing where there is no such file.
        read: EventsRead,
    },
    /// How long past runs took.
    History(Box<crate::run::expect::History>),
    /// A search in a log goes on.
    LogSearching {
        /// The search's ticket.
        ticket: u64,
        /// How far it is, an offset.
        at: u64,
    },
    /// So much is known of the lines that are wanted.
    LogIndexed {
        /// The ticket of the request.
        ticket: u64,
        /// What for.
        purpose: IndexFor,
        /// What is known.
        known: Arc<Matches>,
        /// Whether that is all, for now; why it is not.
        ended: Option<Result<(), Trouble>>,
    },
    /// A log was copied; where to, and how many lines.
    LogSaved(Result<(PathBuf, u64), Trouble>),
    /// A search in a log ended.
    LogFound {
        /// The search's ticket.
        ticket: u64,
        /// The offset of the line that has it.
        found: Result<Option<u64>, Trouble>,
    },
}
