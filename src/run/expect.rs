//! How long phases take: from past runs of the same site, else the profile's figures. Ranges, never a percentage. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::state::{PhaseState, State};
use crate::install::ids::PhaseId;
use crate::install::plan::{Action, PlanPhase};

/// Where a range comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// So many past runs of this site.
    PastRuns(u32),
    /// The profile's figures.
    Profile,
}

impl Source {
    /// In words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::PastRuns(1) => "last time here".into(),
            Self::PastRuns(count) => format!("{count} runs here"),
            Self::Profile => "the profile's figures".into(),
        }
    }
}

/// A range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Band {
    /// Seconds, the shorter.
    pub from: u64,
    /// Seconds, the longer.
    pub to: u64,
    /// Where it comes from.
    pub source: Source,
}

impl Band {
    /// Of the profile, in minutes.
    #[must_use]
    pub fn of_profile((from, to): (u32, u32)) -> Self {
        Self { from: u64::from(from) * 60, to: u64::from(to) * 60, source: Source::Profile }
    }

    /// Whether so many seconds are still normal. Half as long again as the longer time is: the ranges come from few runs.
    #[must_use]
    pub fn is_normal(&self, seconds: u64) -> bool {
        seconds <= (self.to + self.to / 2).max(60)
    }
}

/// How long the phases of past runs of a site took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    phases: BTreeMap<PhaseId, Vec<u64>>,
}

impl History {
    /// Takes in a past run. Only phases that went through at once count: others say how long trouble takes.
    pub fn add(&mut self, state: &State) {
        for phase in &state.plan.phases {
            let went = matches!(state.phase_state(phase), PhaseState::Done | PhaseState::Warned);
            let once = state.steps_of(phase).all(|(_, record)| record.is_none_or(|record| record.attempts <= 1));
            let seconds = state.phase_times(phase).1 / 1000;
            if went && once && seconds > 0 && !waits_for_people(phase) {
                self.phases.entry(phase.id.clone()).or_default().push(seconds);
            }
        }
    }

    /// How long a phase takes; none: nothing is known.
    #[must_use]
    pub fn band(&self, phase: &PlanPhase) -> Option<Band> {
        if let Some(past) = self.phases.get(&phase.id).filter(|past| !past.is_empty()) {
            let (least, most) = (past.iter().min().copied().unwrap_or(0), past.iter().max().copied().unwrap_or(0));
            // One run says where it lies, not how far it spreads.
            let (from, to) = if past.len() == 1 { (least * 4 / 5, most * 5 / 4) } else { (least, most) };
            return Some(Band { from, to, source: Source::PastRuns(u32::try_from(past.len()).unwrap_or(u32::MAX)) });
        }
        phase.expect_minutes.map(Band::of_profile)
    }

    /// What is left of a run whose running phase has taken so many seconds already; none where something to come is not known.
    #[must_use]
    pub fn left(&self, state: &State, running: Option<(&PhaseId, u64)>) -> Option<Band> {
        let mut left = Band { from: 0, to: 0, source: Source::PastRuns(u32::MAX) };
        for phase in state.plan.phases.iter().filter(|phase| !state.phase_state(phase).is_settled()) {
            let band = self.band(phase)?;
            let gone = running.filter(|(id, _)| **id == phase.id).map_or(0, |(_, seconds)| seconds);
            left.from += band.from.saturating_sub(gone);
            left.to += band.to.saturating_sub(gone);
            left.source = match (left.source, band.source) {
                (Source::PastRuns(a), Source::PastRuns(b)) => Source::PastRuns(a.min(b)),
                _ => Source::Profile,
            };
        }
        (left.to > 0).then_some(left)
    }
}

fn waits_for_people(phase: &PlanPhase) -> bool {
    phase.steps.iter().any(|step| matches!(step.action, Action::Ask { .. }))
}

/// A range in words: `8 – 15 min`, `1 h 10 – 4 h`.
#[must_use]
pub fn words(from: u64, to: u64) -> String {
    let minutes = |seconds: u64| seconds.div_ceil(60);
    let (from, to) = (minutes(from), minutes(to));
    let one = |minutes: u64| match (minutes / 60, minutes % 60) {
        (0, rest) => format!("{rest} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, rest) => format!("{hours} h {rest:02}"),
    };
    match (from, to) {
        _ if from >= to => one(to),
        (0, _) => format!("up to {}", one(to)),
        _ if to < 60 => format!("{from} – {to} min"),
        _ => format!("{} – {}", one(from), one(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_words() {
        for (from, to, expected) in [
            (480, 900, "8 – 15 min"),
            (4_200, 14_400, "1 h 10 – 4 h"),
            (0, 600, "up to 10 min"),
            (60, 60, "1 min"),
            (3_600, 3_600, "1 h"),
            (1_800, 5_400, "30 min – 1 h 30"),
        ] {
            assert_eq!(words(from, to), expected);
        }
    }

    #[test]
    fn half_as_long_again_is_normal() {
        let band = Band::of_profile((2, 10));
        assert!(band.is_normal(600) && band.is_normal(900) && !band.is_normal(901));
        assert!(Band { from: 0, to: 1, source: Source::PastRuns(1) }.is_normal(60), "a minute is never long");
    }
}
