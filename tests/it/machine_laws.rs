//! The laws of the fold, and a machine that nothing breaks: whatever comes in, in whatever order.

use mosip_setup::install::profile::Repeat;
use mosip_setup::run::event::{Event, Failure, Outcome, Recorded};
use mosip_setup::run::fold::{Folding, LineError};
use mosip_setup::run::machine::{Command, Input, Selection};
use mosip_setup::run::question::Answer;
use mosip_setup::run::state::{FoldError, PhaseState, State, fold};

use crate::plan_builder::{Bench, OPERATOR, StepWith as _, chain, confirmation, destroys, failed, id, phase, plan, required, secret, step};

fn whole() -> Vec<Recorded> {
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    bench.run();
    bench.retry("two", false);
    bench.events
}

#[test]
fn an_event_seen_twice_changes_nothing() {
    let events = whole();
    let once = fold(&events).unwrap();
    let mut twice = State::open(&events[0]).unwrap();
    for event in &events[1..] {
        twice.apply(event).unwrap();
        twice.apply(event).unwrap();
        twice.apply(&events[0]).unwrap();
    }
    assert_eq!(twice, once);
}

#[test]
fn a_missing_event_is_an_error() {
    let mut events = whole();
    events.remove(3);
    assert_eq!(fold(&events), Err(FoldError::Gap { last: 2, found: 4 }));
    assert_eq!(fold(&events[1..]), Err(FoldError::NoBeginning));
    assert_eq!(fold(&[]), Err(FoldError::NoBeginning));
    let text = serde_json::to_string(&events[0]).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    let later: Recorded = serde_json::from_str(&text).unwrap();
    assert_eq!(fold(&[later]), Err(FoldError::Format(2)));
}

#[test]
fn an_unknown_kind_advances_and_nothing_else() {
    let events = whole();
    let text = serde_json::to_string(&events[3]).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["kind"] = "weather_reported".into();
    value["seq"] = 3.into();
    let line = value.to_string();
    let unknown: Recorded = serde_json::from_value(value).unwrap();
    assert_eq!(Recorded::parse(line.as_bytes()).unwrap(), unknown);
    assert_eq!(unknown.event, Event::Unknown);
    let before = fold(&events[..3]).unwrap();
    let mut after = before.clone();
    after.apply(&unknown).unwrap();
    assert_eq!(after, State { seq: 3, last: unknown.at, ..before });
}

#[test]
fn a_prefix_of_a_journal_is_a_state_too() {
    let events = whole();
    for length in 1..=events.len() {
        let state = fold(&events[..length]).unwrap();
        assert_eq!(state.seq + 1, length as u64);
        assert!(state.is_complete() == (state.summary() == "done" || state.engine.is_some() && state.is_complete()));
    }
}

mod any_order {
    use super::*;
    use proptest::prelude::*;

    fn busy_plan(changed: &str) -> mosip_setup::install::plan::Plan {
        plan(vec![
            phase("one", &[], vec![step("a").unless("check"), step("b").repeat(Repeat::Ask), step("c").on_retry()]),
            required("two", &["one"], vec![confirmation("q", None), step("b").digest(changed)]),
            phase("three", &["two"], vec![secret("s", Some("Nothing.")), step("b").repeat(Repeat::Never)]),
        ])
    }

    fn command() -> impl Strategy<Value = Command> {
        let name = prop::sample::select(vec!["one", "two", "three", "four"]);
        let some = prop::option::of(name.clone()).prop_map(|name| name.map(id));
        let only = prop::collection::vec(name.clone().prop_map(id), 0..2);
        let question = prop::sample::select(vec!["two/q#1", "two/q#2", "three/s#1", "one/b@9", "nothing"]);
        let text = prop::sample::select(vec!["yes", "no", "canarycanary", ""]);
        prop_oneof![
            4 => Just(Command::Run(Selection::default())),
            2 => (only, some.clone(), some).prop_map(|(only, from, to)| Command::Run(Selection { only, from, to })),
            3 => (name.clone(), any::<bool>()).prop_map(|(phase, from_start)| Command::Retry { phase: id(phase), from_start, step: None, failed_hosts: false }),
            2 => (name, prop::sample::select(vec!["", "why"])).prop_map(|(phase, reason)| Command::Skip { phase: id(phase), reason: reason.into() }),
            3 => (question, text).prop_map(|(question, text)| Command::Answer { question: question.into(), answer: Answer::Text(text.into()) }),
            1 => any::<bool>().prop_map(|now| Command::Stop { now }),
            1 => Just(Command::Settle),
            1 => any::<bool>().prop_map(|new| Command::Replan { plan: Box::new(busy_plan(if new { "new" } else { "b" })), changed: Vec::new() }),
        ]
    }

    #[derive(Debug, Clone)]
    enum Act {
        Command(Box<Command>),
        /// The step that runs ends; else a late answer comes from nowhere.
        End(u8),
        /// The question that is open is answered.
        Answer(&'static str),
        Open,
        Restart,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => command().prop_map(|command| Act::Command(Box::new(command))),
            8 => (0..6_u8).prop_map(Act::End),
            4 => prop::sample::select(vec!["yes", "no", "canarycanary"]).prop_map(Act::Answer),
            1 => Just(Act::Open),
            1 => Just(Act::Restart),
        ]
    }

    fn outcome(number: u8) -> Outcome {
        match number {
            0 => failed("no"),
            1 => destroys(&["x.y"]),
            2 => Outcome::Stopped { by: OPERATOR.into() },
            3 => Outcome::Interrupted { reason: "gone".into() },
            _ => Outcome::Done,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever comes in whatever order: no panic, no gap, no step twice at once, and never a step whose phase was skipped,
        /// whose needs are not done, or that may run only once and has run.
        #[test]
        fn nothing_breaks_the_machine(acts in prop::collection::vec(act(), 1..40), blocked in prop::collection::vec(any::<bool>(), 0..6)) {
            let mut bench = Bench::new(busy_plan("b"));
            bench.holding = true;
            bench.gates.insert(id("one"), blocked.iter().map(|closed| if *closed { vec!["closed".to_owned()] } else { Vec::new() }).collect());
            for act in acts {
                let before = bench.executed.len();
                match act {
                    Act::Command(command) => bench.command(*command),
                    Act::End(number) if bench.running.is_some() => bench.end(outcome(number)),
                    Act::End(_) => bench.input(Input::NeedJudged { step: id("one/a"), unneeded: None }),
                    Act::Answer(text) if !bench.state.questions.is_empty() => bench.answer(text),
                    Act::Open if !bench.state.questions.is_empty() => bench.leave_open(),
                    Act::Answer(_) | Act::Open => {}
                    Act::Restart => {
                        bench.restart();
                        let orphan = bench.state.running().map(|(step, record)| (step.clone(), record.attempts));
                        if let Some((step, attempt)) = orphan.filter(|(step, _)| bench.state.questions.iter().all(|question| question.step != *step)) {
                            bench.input(Input::Adopted { step: step.clone(), attempt });
                            bench.running = Some((step, attempt));
                        }
                    }
                }
                prop_assert!(bench.executed.len() <= before + 1, "two steps at once");
                if let Some((started, _)) = bench.executed.get(before) {
                    let (step, attempt) = started.split_once('#').unwrap();
                    let step: mosip_setup::install::ids::StepRef = id(step);
                    let phase = bench.state.plan.phase(step.phase.as_str()).unwrap().clone();
                    prop_assert!(!bench.state.skips.contains_key(&step.phase), "{started} of a skipped phase");
                    for need in &phase.needs {
                        let state = bench.state.phase_state_of(need).unwrap();
                        prop_assert!(matches!(state, PhaseState::Done | PhaseState::Warned | PhaseState::Stale), "{started} while {need} is {state:?}");
                    }
                    prop_assert!(started != "three/b#2", "what may run once ran twice");
                    prop_assert_eq!(bench.state.step(&step).unwrap().attempts.to_string(), attempt);
                }
            }
            for (number, event) in bench.events.iter().enumerate() {
                prop_assert_eq!(event.seq, number as u64);
            }
        }
    }
}

/// A run with many failures of several steps: the last of one counts, the others were begun again.
fn with_failures() -> Vec<Recorded> {
    let details = |number: u32| {
        Outcome::Failed(Failure {
            message: format!("try {number} failed with \"kind\":\"step_finished\""),
            command: "ansible-playbook site.yml".into(),
            exit: Some(2),
            lines: vec![format!("fatal: [vm{number}]: UNREACHABLE!")],
            hosts: vec![format!("vm{number}")],
            ..Failure::default()
        })
    };
    let mut bench = Bench::new(chain()).will("two/b", [details(1), details(2), details(3), Outcome::Done]).will("three/a", [details(4)]);
    bench.run();
    for _ in 0..3 {
        bench.retry("two", false);
    }
    bench.events
}

#[test]
fn a_fold_of_lines_is_the_fold_of_their_events_at_every_length() {
    let events = with_failures();
    let failures = events.iter().filter(|event| matches!(&event.event, Event::StepFinished { outcome: Outcome::Failed(_), .. })).count();
    assert!(failures >= 3, "{failures}");
    let mut folding = Folding::default();
    for (index, event) in events.iter().enumerate() {
        let line = serde_json::to_vec(event).unwrap();
        assert_eq!(Recorded::parse(&line).unwrap(), *event);
        assert_eq!(folding.line(&line).unwrap(), event.seq);
        assert_eq!(folding.line(&line).unwrap(), event.seq, "a line seen twice changes nothing");
        let (state, _) = folding.clone().end().unwrap().unwrap();
        assert_eq!(state, fold(&events[..=index]).unwrap(), "after event {index}");
    }
    let mut folding = Folding::default();
    folding.line(&serde_json::to_vec(&events[0]).unwrap()).unwrap();
    let gap = folding.line(&serde_json::to_vec(&events[2]).unwrap()).unwrap_err();
    assert!(matches!(gap, LineError::Fold(FoldError::Gap { last: 0, found: 2 })), "{gap}");
    assert!(Folding::default().end().unwrap().is_none());
}
