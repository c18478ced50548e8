//! What to do with a step when a run goes on: one decision table, proved against a second copy of it in the tests.

use super::event::Outcome;
use super::state::StepRecord;
use crate::install::plan::PlanStep;
use crate::install::profile::Repeat;

/// How a step ended last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It was never begun.
    None,
    /// It succeeded (done, warned, or not needed).
    Succeeded,
    /// It failed.
    Failed,
    /// The operator stopped it.
    Stopped,
    /// It was cut off.
    Interrupted,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Run it.
    Run,
    /// Keep its success.
    Keep,
    /// Ask the operator before it runs again.
    Ask,
    /// It may not run again; only skipping its phase or a new run helps.
    Refuse,
}

/// The decision table. `same` says that the step is what it was when it last ran; `confirmed`, that the operator has agreed to another run.
#[must_use]
pub fn decide(last: Last, same: bool, repeat: Repeat, confirmed: bool) -> Decision {
    match (last, same, repeat) {
        (Last::None, _, _) => Decision::Run,
        (Last::Succeeded, true, _) => Decision::Keep,
        (_, _, Repeat::Safe) => Decision::Run,
        (_, _, Repeat::Ask) if confirmed => Decision::Run,
        (_, _, Repeat::Ask) => Decision::Ask,
        (_, _, Repeat::Never) => Decision::Refuse,
    }
}

/// Whether a step is what it was when it last ran, and no retry has asked for it again.
#[must_use]
pub fn same(record: Option<&StepRecord>, step: &PlanStep) -> bool {
    record.is_some_and(|record| record.digest == step.digest && !record.forgotten)
}

/// How a step ended last, by its record. A step whose runner is alive is not decided here: it is adopted.
#[must_use]
pub fn last(record: Option<&StepRecord>) -> Last {
    let Some(record) = record.filter(|record| record.attempts > 0) else { return Last::None };
    match &record.outcome {
        Some(outcome) if outcome.is_success() => Last::Succeeded,
        Some(Outcome::Failed(_)) => Last::Failed,
        Some(Outcome::Stopped { .. }) => Last::Stopped,
        _ => Last::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same table, written as a table: last, same, repeat, confirmed → decision; `*` stands for any.
    const ORACLE: &str = "
        none        * *     * run
        succeeded   y *     * keep
        succeeded   n safe  * run
        succeeded   n ask   n ask
        succeeded   n ask   y run
        succeeded   n never * refuse
        failed      * safe  * run
        failed      * ask   n ask
        failed      * ask   y run
        failed      * never * refuse
        stopped     * safe  * run
        stopped     * ask   n ask
        stopped     * ask   y run
        stopped     * never * refuse
        interrupted * safe  * run
        interrupted * ask   n ask
        interrupted * ask   y run
        interrupted * never * refuse
    ";

    #[test]
    fn the_function_agrees_with_the_table() {
        let mut rows = 0;
        for last in [Last::None, Last::Succeeded, Last::Failed, Last::Stopped, Last::Interrupted] {
            for same in [true, false] {
                for repeat in [Repeat::Safe, Repeat::Ask, Repeat::Never] {
                    for confirmed in [true, false] {
                        let names = [
                            format!("{last:?}").to_lowercase(),
                            if same { "y" } else { "n" }.into(),
                            format!("{repeat:?}").to_lowercase(),
                            if confirmed { "y" } else { "n" }.into(),
                        ];
                        let found: Vec<&str> = ORACLE
                            .lines()
                            .map(|line| line.split_whitespace().collect::<Vec<_>>())
                            .filter(|row| row.len() == 5 && row.iter().zip(&names).all(|(cell, name)| *cell == "*" || cell == name))
                            .map(|row| row[4])
                            .collect();
                        assert_eq!(found.len(), 1, "{names:?} is in {} rows", found.len());
                        assert_eq!(format!("{:?}", decide(last, same, repeat, confirmed)).to_lowercase(), found[0], "{names:?}");
                        rows += 1;
                    }
                }
            }
        }
        assert_eq!(rows, 60);
    }
}
