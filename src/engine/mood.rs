//! What an engine remembers between two inputs, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

use super::server::ends;
use crate::run::event::StopReason;

/// How long an engine that was just started waits for whoever it was started for.
const FIRST: Duration = Duration::from_secs(30);

/// What the loop remembers between two inputs.
#[derive(Debug, Default)]
pub(super) struct Mood {
    /// Why it halted last; none: nothing was asked of this engine yet, or it goes on.
    pub halted: Option<StopReason>,
    pub halts: u64,
    pub progress: u64,
    /// Whether anybody has told it to do anything.
    pub asked: bool,
    /// Why the last command could not be followed.
    pub rejected: Option<String>,
    /// Who asked what runs to stop.
    pub stopper: Option<String>,
    /// It ends as soon as nothing is under way.
    pub leaving: bool,
    /// It ends now, whatever runs.
    pub handed_over: bool,
    /// It lives in a front end that goes.
    pub dismissed: bool,
}

/// When an engine ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    No,
    /// As soon as nobody watches, which is so now.
    Alone,
    /// Whoever watches.
    Now,
    At(Instant),
}

impl Mood {
    /// Whether it ends as soon as nothing is under way, whoever watches. What is closed has nothing to come.
    pub fn is_ending(&self, closed: bool) -> bool {
        self.leaving || (closed && self.asked && self.halted.is_some())
    }

    /// When it ends: with something under way or not, a run that is closed or not, so many who watch, nothing to do since then, and so much
    /// patience with an operator who is awaited.
    pub fn over(&self, working: bool, closed: bool, watching: usize, since: Instant, patience: Duration) -> Over {
        if self.handed_over || self.dismissed {
            return Over::Now;
        }
        if working {
            return Over::No;
        }
        if self.is_ending(closed) {
            return Over::Now;
        }
        match self.halted {
            _ if watching > 0 => Over::No,
            // A step of an earlier engine may have ended before the front end that started this one has reached it; and who looked in and
            // left was not the one it was started for.
            _ if !self.asked => Over::At(since + FIRST),
            Some(reason) if ends(reason) => Over::Alone,
            None => Over::At(since + FIRST),
            Some(_) => Over::At(since + patience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_waits_for_whoever_it_was_started_for_and_then_only_for_the_operator() {
        let (since, patience) = (Instant::now(), Duration::from_secs(1800));
        let over = |mood: &Mood, watching| mood.over(false, false, watching, since, patience);
        for reason in [None, Some(StopReason::Idle), Some(StopReason::Stopped), Some(StopReason::Failed), Some(StopReason::Waiting)] {
            let mut mood = Mood { halted: reason, ..Mood::default() };
            assert_eq!(over(&mood, 0), Over::At(since + FIRST), "{reason:?}: nobody has reached it yet");
            assert_eq!(over(&mood, 1), Over::No, "{reason:?}");
            mood.asked = true;
            let then = match reason {
                None => Over::At(since + FIRST),
                Some(StopReason::Idle | StopReason::Stopped) => Over::Alone,
                Some(_) => Over::At(since + patience),
            };
            assert_eq!(over(&mood, 0), then, "{reason:?}");
            assert_eq!(mood.over(true, false, 0, since, patience), Over::No, "{reason:?}: a step is at work");
            mood.leaving = true;
            assert_eq!(over(&mood, 1), Over::Now, "{reason:?}: it was told to end");
        }
    }

    #[test]
    fn what_is_closed_or_taken_over_ends_whoever_watches() {
        let (since, patience) = (Instant::now(), Duration::from_secs(1800));
        let mut done = Mood { halted: Some(StopReason::Idle), ..Mood::default() };
        assert_eq!(
            done.over(false, true, 0, since, patience),
            Over::At(since + FIRST),
            "the last step ended before anybody has reached it"
        );
        done.asked = true;
        assert_eq!(done.over(false, true, 3, since, patience), Over::Now);
        let taken = Mood { handed_over: true, ..Mood::default() };
        assert_eq!(taken.over(true, false, 3, since, patience), Over::Now, "what runs goes on below its runner");
    }
}
