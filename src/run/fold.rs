//! The fold of a journal from its lines. What a later line replaces is not taken apart: a long run has thousands of failures with all that
//! was known of each, and its state keeps the last of every step.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::event::{Event, Failure, Outcome, Recorded};
use super::state::{FoldError, State};
use crate::install::ids::StepRef;

/// How far into a line its kind is looked for: behind the number and the time.
const HEAD: usize = 128;

/// Why a line cannot follow.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no event.
    #[error(transparent)]
    Damaged(#[from] serde_json::Error),
    /// It is one, and does not belong there.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// A fold under way.
#[derive(Debug, Clone, Default)]
pub struct Folding {
    state: Option<State>,
    /// The line of the failure with which a step ended last; empty: it did not end so, or has begun again.
    failed: BTreeMap<StepRef, Vec<u8>>,
    turn: Option<Recorded>,
}

/// A line that says how a step ended, without the details of a failure.
#[derive(Deserialize)]
struct Ended<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    step: StepRef,
    attempt: u32,
    #[serde(borrow)]
    outcome: Brief<'a>,
    took_ms: u64,
    log_bytes: u64,
}

#[derive(Deserialize)]
struct Brief<'a> {
    #[serde(borrow)]
    result: Cow<'a, str>,
}

/// The failure of a step without its details; none: the line is something else.
fn failure(line: &[u8]) -> Option<(StepRef, Recorded)> {
    memchr::memmem::find(line.get(..HEAD)?, br#""kind":"step_finished""#)?;
    let Ended { seq, at, kind, step, attempt, outcome, took_ms, log_bytes } = serde_json::from_slice(line).ok()?;
    if kind != "step_finished" || outcome.result != "failed" {
        return None;
    }
    let outcome = Outcome::Failed(Failure::default());
    Some((step.clone(), Recorded { seq, at, event: Event::StepFinished { step, attempt, outcome, took_ms, log_bytes } }))
}

impl Folding {
    /// Takes in the next line; gives its number.
    ///
    /// # Errors
    /// It is no event, or cannot follow; then nothing has changed.
    pub fn line(&mut self, line: &[u8]) -> Result<u64, LineError> {
        let (recorded, details) = match failure(line) {
            Some((step, recorded)) => (recorded, Some(step)),
            None => (Recorded::parse(line)?, None),
        };
        let seq = recorded.seq;
        match &mut self.state {
            None => self.state = Some(State::open(&recorded)?),
            Some(state) if seq <= state.seq => return Ok(seq),
            Some(state) => state.apply(&recorded)?,
        }
        if let Event::StepStarted { step, .. } | Event::StepFinished { step, .. } = &recorded.event
            && let Some(before) = self.failed.get_mut(step)
        {
            before.clear();
        }
        if let Some(step) = details {
            self.failed.entry(step).or_default().extend_from_slice(line);
        }
        if is_turn(&recorded.event) {
            self.turn = Some(recorded);
        }
        Ok(seq)
    }

    /// What has come of it, none: there was no line; and the last event that a screen turns to, a failure without its details.
    ///
    /// # Errors
    /// The details of a failure that counts are damaged.
    pub fn end(self) -> Result<Option<(State, Option<Recorded>)>, LineError> {
        let Some(mut state) = self.state else { return Ok(None) };
        for (step, line) in self.failed.into_iter().filter(|(_, line)| !line.is_empty()) {
            if let (Event::StepFinished { outcome, .. }, Some(record)) = (Recorded::parse(&line)?.event, state.steps.get_mut(&step)) {
                record.outcome = Some(outcome);
            }
        }
        Ok(Some((state, self.turn)))
    }
}

/// Whether a screen that goes with what happens turns to this.
fn is_turn(event: &Event) -> bool {
    match event {
        Event::StepStarted { .. } | Event::Gate { open: false, .. } => true,
        Event::StepFinished { outcome, .. } => !outcome.is_success(),
        _ => false,
    }
}
