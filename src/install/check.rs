//! Checks: what a profile asks of the deployment node, the machines, the network and the running clusters, and what was found.
//!
//! A check is data; judging is a pure function of facts (`install::judge`), collecting facts is the adapters' work.

mod kind;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::field::Condition;
use super::fix::Fix;
use super::ids::{CheckId, MachineName, PhaseId, RoleId};

pub use kind::{CheckKind, DnsRecord};

/// What a finding that is not green means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Reported; blocks nothing.
    Warn,
    /// Blocks the phases it guards; the operator may ignore it on one target, with a reason.
    Fail,
    /// Blocks, and cannot be ignored.
    Strict,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected, on a check of level `warn`.
    Warn,
    /// Not as expected, on a check of level `fail` or `strict`.
    Fail,
    /// Not judged, with the reason in `observed`.
    Skipped,
    /// Could not be told (timeout, unreadable answer): never counts as pass.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        })
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The deployment node itself.
    Local,
    /// One machine.
    Machine(MachineName),
    /// A DNS name.
    Name(String),
    /// A path through the network, `A→B:port/proto`.
    Path(String),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => formatter.write_str("local"),
            Self::Machine(name) => write!(formatter, "machine:{name}"),
            Self::Name(name) => write!(formatter, "name:{name}"),
            Self::Path(path) => formatter.write_str(path),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = super::ids::InvalidId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "local" {
            Ok(Self::Local)
        } else if let Some(name) = text.strip_prefix("machine:") {
            name.parse().map(Self::Machine)
        } else if let Some(name) = text.strip_prefix("name:") {
            Ok(Self::Name(name.to_owned()))
        } else {
            Ok(Self::Path(text))
        }
    }
}

/// One check of one target, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: CheckId,
    /// Where.
    pub target: Target,
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub verdict: Verdict,
    /// What was seen, in words; for a skipped check the reason.
    pub observed: String,
    /// What would be right.
    pub expected: String,
    /// What to do.
    pub remedy: String,
    /// The phases it guards; empty: the whole run.
    pub guards: Vec<PhaseId>,
    /// The operator's reason for ignoring it, where there is one.
    pub ignored: Option<String>,
    /// The kind of cause, where a front end can do something about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// Causes that front ends recognise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A machine's host key is not known yet.
    HostKeyUnknown,
    /// A machine presents another host key than the one recorded.
    HostKeyChanged,
    /// A machine presents a host key that is marked as revoked.
    HostKeyRevoked,
}

impl Cause {
    /// Whether it is about a machine's host key.
    #[must_use]
    pub fn is_host_key(self) -> bool {
        matches!(self, Self::HostKeyUnknown | Self::HostKeyChanged | Self::HostKeyRevoked)
    }
}

impl Finding {
    /// Whether another finding of the same check and target says the same. Measured values that never stand still (seconds,
    /// gigabytes) are no news.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        static MEASURED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\d+(\.\d+)? (ms|s|GiB|MiB)\b").ok());
        let still = |text: &str| MEASURED.as_ref().map_or_else(|| text.to_owned(), |measured| measured.replace_all(text, "#").into_owned());
        (self.verdict, self.level, &self.ignored) == (other.verdict, other.level, &other.ignored)
            && (self.observed == other.observed || still(&self.observed) == still(&other.observed))
    }

    /// Whether it stands in the way: a failure or an unknown that nobody ignored.
    #[must_use]
    pub fn blocks(&self) -> bool {
        match self.verdict {
            Verdict::Fail => self.ignored.is_none() || self.level == Level::Strict,
            Verdict::Unknown => self.level != Level::Warn && (self.ignored.is_none() || self.level == Level::Strict),
            Verdict::Pass | Verdict::Warn | Verdict::Skipped => false,
        }
    }
}

/// How many findings there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// As expected.
    pub pass: usize,
    /// Not blocking.
    pub warn: usize,
    /// Blocking, unless ignored.
    pub fail: usize,
    /// Not judged.
    pub skipped: usize,
    /// Could not be told.
    pub unknown: usize,
}

impl Summary {
    /// Counts findings.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            match finding.verdict {
                Verdict::Pass => summary.pass += 1,
                Verdict::Warn => summary.warn += 1,
                Verdict::Fail => summary.fail += 1,
                Verdict::Skipped => summary.skipped += 1,
                Verdict::Unknown => summary.unknown += 1,
            }
        }
        summary
    }
}

/// One rule of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Its name.
    pub id: CheckId,
    /// What it is about, in a few words.
    pub title: String,
    /// How much it matters.
    pub level: Level,
    /// The machines it looks at, by role; empty: all machines (for the kinds that look at machines).
    pub roles: Vec<RoleId>,
    /// The phases it guards: judged before the wizard's run and again just before each; empty: the whole run.
    pub guards: Vec<PhaseId>,
    /// The phase that provides the thing: before it is done the check is skipped.
    pub provided_by: Option<PhaseId>,
    /// Whether only phases use it (`verify`, `unless`, `wait`, gates), never the preflight.
    pub on_demand: bool,
    /// Applies only when this holds.
    pub when: Option<Condition>,
    /// What to do when it is not green.
    pub remedy: String,
    /// The remedy as a script, where it is one.
    #[serde(default)]
    pub fix: Option<Fix>,
    /// What it looks at.
    pub kind: CheckKind,
}

/// Whether a run or a phase may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// What stands in the way.
    pub blocking: Vec<Finding>,
    /// What would stand in the way, had the operator not ignored it.
    pub ignored: Vec<Finding>,
}

impl Gate {
    /// Sorts findings into those that block and those ignored.
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut gate = Self { blocking: Vec::new(), ignored: Vec::new() };
        for finding in findings {
            if finding.blocks() {
                gate.blocking.push(finding.clone());
            } else if finding.ignored.is_some() && matches!(finding.verdict, Verdict::Fail | Verdict::Unknown) {
                gate.ignored.push(finding.clone());
            }
        }
        gate
    }

    /// Whether nothing blocks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.blocking.is_empty()
    }
}

/// What the operator has said about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// It does not count; why, until when and who.
    Holds(String),
    /// It did not count for a time that is over; why, until when and who.
    Over(String),
}

/// What is ignored, or was: (check, target) → reason.
pub type Ignores = BTreeMap<(CheckId, Target), Ignored>;
