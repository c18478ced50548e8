//! Questions about the world outside and their answers: charts in a repository's index, images that a registry still gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::WayOutcome;

/// Which chart versions are pinned, and where they should be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartsRequest {
    /// The address of the repository's `index.yaml`.
    pub index: String,
    /// Where the versions stand; none: they stand in `charts`.
    pub file: Option<ChartsFile>,
    /// Chart and the key of its version, or the version itself.
    pub charts: Vec<(String, String)>,
}

/// A file that pins versions of charts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartsFile {
    /// The tfvars template.
    pub template: String,
    /// The same in the fetched copy, while there is no checkout.
    pub fallback: String,
    /// What the site sets in it: key → text.
    pub set: BTreeMap<String, String>,
}

/// What a repository has of the charts that are pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartsFacts {
    /// Why the versions pinned could not be read.
    pub problem: Option<String>,
    /// What fetching the index gave.
    pub index: IndexAnswer,
    /// The charts asked about.
    pub pins: Vec<ChartPin>,
    /// The proxy it went through.
    pub proxy: Option<String>,
}

/// What fetching an index gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexAnswer {
    /// It was read to its end; it lists this many charts.
    Read(usize),
    /// It is no index: lists nothing.
    NotAnIndex,
    /// It is larger than this many bytes.
    TooLarge(u64),
    /// It answered with another status.
    Status(u16),
    /// It could not be had.
    NoWay(WayOutcome),
}

/// One chart that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartPin {
    /// The chart.
    pub chart: String,
    /// The key of its version; empty where no file pins it.
    pub key: String,
    /// The version pinned, empty where any will do; none: the file has no such key.
    pub version: Option<String>,
    /// Whether the index has the chart at all.
    pub known: bool,
    /// Whether it has that version.
    pub found: bool,
    /// The versions it lists first: its newest.
    pub newest: Vec<String>,
}

/// What a registry says about the images it still gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullFacts {
    /// What it said.
    pub answer: PullAnswer,
    /// The proxy it went through.
    pub proxy: Option<String>,
}

/// What a registry said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullAnswer {
    /// So many in a time.
    Limit {
        /// Images still to be had.
        remaining: u32,
        /// Of so many.
        of: Option<u32>,
        /// In so many seconds.
        seconds: Option<u32>,
        /// Whose share it is: the public address.
        source: Option<String>,
    },
    /// It names no limit.
    NoLimit,
    /// The limit is reached already.
    Exhausted,
    /// It could not be asked.
    NoWay(WayOutcome),
}
