//! Why a running step waits: for what, since when, whether that is normal so far, and after that the likely cause. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::cluster::Cause;
use super::detail::{Active, between};
use super::event::{Now, Progress};
use super::expect::{Band, words};
use crate::install::hints::module_name;
use crate::install::plan::{Action, PlanStep};

/// Whether a wait is normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Normal {
    /// So far it is.
    SoFar,
    /// It takes longer than it should.
    Longer,
    /// Nothing is known about how long it takes.
    Unknown,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// For what: a task with its host, a resource.
    pub what: String,
    /// How many other things go on beside it.
    pub others: u32,
    /// Since when.
    pub since: Option<Timestamp>,
    /// For so many seconds.
    pub seconds: u64,
    /// Whether that is normal.
    pub normal: Normal,
    /// How long it takes, where that is known.
    pub expected: Option<Band>,
    /// What it does in that time; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The likely cause, with the evidence; empty: none is known, or none is needed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// Minutes without output, where that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_minutes: Option<u64>,
}

/// What a running step waits for; `begun` is when it was started, `phase` how long its phase takes.
#[must_use]
pub fn waiting(step: &PlanStep, begun: Option<Timestamp>, progress: Option<&Progress>, phase: Option<Band>, now: Timestamp) -> Waiting {
    let none = Now::default();
    let known = progress.and_then(|progress| progress.now.as_deref()).unwrap_or(&none);
    let first = known.active.first();
    let doing = progress.map(|progress| progress.doing.as_str()).unwrap_or_default();
    let (what, since) = match first {
        Some(active) => (told(active), Some(active.since)),
        None if doing.is_empty() => (step.title.clone(), begun),
        None => (doing.to_owned(), progress.and_then(|progress| progress.since).or(begun)),
    };
    let seconds = since.map_or(0, |since| between(since, now) / 1000);
    let hint = step.hints.expected(first.map_or(doing, |active| &active.name));
    // Where nothing is known about the part, the phase as a whole says whether it is late.
    let step_seconds = begun.map_or(0, |begun| between(begun, now) / 1000);
    let (expected, normal) = match (hint, phase) {
        (Some(hint), _) => {
            let band = Band::of_profile(hint.minutes);
            (Some(band), if band.is_normal(seconds) { Normal::SoFar } else { Normal::Longer })
        }
        (None, Some(band)) => (Some(band), if band.is_normal(step_seconds) { Normal::SoFar } else { Normal::Longer }),
        (None, None) => (None, Normal::Unknown),
    };
    let last = progress.and_then(|progress| progress.last_output).or(begun);
    let silent = last.map_or(0, |last| between(last, now) / 60_000);
    let silent_minutes = (step.slow_after_minutes > 0 && silent >= u64::from(step.slow_after_minutes)).then_some(silent);
    let late = normal == Normal::Longer || silent_minutes.is_some();
    Waiting {
        what,
        others: u32::try_from(known.active.len().saturating_sub(1)).unwrap_or(u32::MAX),
        since,
        seconds,
        normal,
        expected,
        note: hint.map(|hint| hint.note.clone()).unwrap_or_default(),
        cause: cause(step, known, first, late),
        silent_minutes,
    }
}

fn told(active: &Active) -> String {
    let mut told = if active.place.is_empty() || active.name.starts_with(&active.place) {
        active.name.clone()
    } else {
        format!("{} on {}", active.name, active.place)
    };
    if !active.item.is_empty() {
        told.push_str(&format!(", behind {}", active.item));
    }
    match active.retries_left {
        Some(1) => told.push_str(", 1 try left"),
        Some(left) => told.push_str(&format!(", {left} tries left")),
        None => {}
    }
    told
}

/// The likely cause. What does not go away by waiting is named at once, anything else when it takes too long.
fn cause(step: &PlanStep, known: &Now, first: Option<&Active>, late: bool) -> String {
    let module = match &step.action {
        Action::Terraform { .. } => first.map(|active| module_name(&active.place)).unwrap_or_default(),
        _ => "",
    };
    let cluster: Option<Cause> = known.cluster.as_ref().and_then(|cluster| cluster.cause(module));
    if let Some(cause) = cluster.filter(|cause| late || cause.hard) {
        return cause.text;
    }
    match known.known.last() {
        Some(line) if late => format!("{}: {}", line.title, line.line),
        _ => String::new(),
    }
}

impl Waiting {
    /// Whether it is normal, in words: `normal so far: 15 – 30 min (the profile's figures)`.
    #[must_use]
    pub fn verdict(&self) -> String {
        let silent = self.silent_minutes.map(|minutes| format!("no output for {minutes} min")).unwrap_or_default();
        let Some(band) = self.expected else { return silent };
        let range = format!("{} ({})", words(band.from, band.to), band.source.words());
        let verdict = match self.normal {
            Normal::Longer => format!("longer than normal: {range}"),
            _ => format!("normal so far: {range}"),
        };
        if silent.is_empty() { verdict } else { format!("{verdict}, {silent}") }
    }
}
