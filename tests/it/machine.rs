//! The machine of a run and the fold of its journal: what happens next, for every turn a run can take.

use mosip_setup::install::profile::Repeat;
use mosip_setup::run::event::{Decision, Event, Outcome, StopReason};
use mosip_setup::run::machine::{Command, Input, Selection};
use mosip_setup::run::question::{Answer, Wanted};
use mosip_setup::run::state::PhaseState;

use crate::plan_builder::{Bench, OPERATOR, StepWith as _, chain, confirmation, destroys, failed, id, phase, plan, required, secret, step};

#[test]
fn a_run_of_everything_ends_closed() {
    let mut bench = Bench::new(chain());
    bench.run();
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 three/a#1");
    assert_eq!((bench.phases().as_str(), bench.halted), ("done done done", Some(StopReason::Idle)));
    assert!(bench.state.closed && bench.state.is_complete());
    assert!(matches!(bench.events.last().unwrap().event, Event::RunClosed { complete: true }));
    // Once more: nothing is left to do, and it is not closed twice.
    bench.run();
    assert_eq!(bench.executed.len(), 4);
    assert_eq!(bench.events.iter().filter(|event| matches!(event.event, Event::RunClosed { .. })).count(), 1);
}

#[test]
fn a_step_is_on_record_before_it_is_carried_out() {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    let Event::StepStarted { step, attempt: 1, .. } = &bench.events.last().unwrap().event else { panic!("{:?}", bench.events.last()) };
    assert_eq!(step.to_string(), "one/a");
    assert_eq!(bench.state.summary(), "running");
    assert_eq!(bench.phases(), "running pending pending");
}

#[test]
fn a_failure_stops_the_line_and_a_retry_goes_on_where_it_failed() {
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    bench.run();
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1");
    assert_eq!((bench.phases().as_str(), bench.halted), ("done failed pending", Some(StopReason::Failed)));
    let two = bench.state.plan.phase("two").unwrap().clone();
    assert_eq!(bench.state.phase_reason(&two), "timed out");
    bench.retry("two", false);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 two/b#2 three/a#1", "what was selected goes on after the retry");
    assert_eq!((bench.phases().as_str(), bench.halted), ("done done done", Some(StopReason::Idle)));
    assert!(bench.decisions().contains(&&Decision::Retry { phase: id("two"), from_start: false, step: None, hosts: Vec::new() }));
}

#[test]
fn a_failure_of_yesterday_is_taken_up_by_a_new_engine() {
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    bench.run();
    bench.restart();
    bench.run();
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 two/b#2 three/a#1");
    assert!(bench.state.is_complete());
}

#[test]
fn a_retry_by_a_new_engine_goes_on_with_what_was_selected() {
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    bench.run();
    bench.restart();
    bench.retry("two", false);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 two/b#2 three/a#1");
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    let selection = Selection { to: Some(id("two")), ..Selection::default() };
    bench.command(Command::Run(selection));
    bench.restart();
    bench.retry("two", false);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 two/b#2", "three was not selected");
}

#[test]
fn a_retry_from_the_start_runs_every_step_of_the_phase_again() {
    let mut bench = Bench::new(chain()).will("two/b", [failed("timed out")]);
    bench.run();
    bench.retry("two", true);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 two/a#2 two/b#2 three/a#1");
    // A phase that is done is only run again when that is said.
    bench.retry("two", false);
    assert!(bench.rejected.pop().unwrap().contains("--from-start"));
    bench.retry("two", true);
    assert!(bench.ran().ends_with("two/a#3 two/b#3"), "{}", bench.ran());
}

fn with_restart() -> Bench {
    let steps = vec![step("playbook"), step("restart").on_retry(), step("ready")];
    Bench::new(plan(vec![phase("nginx", &[], steps)])).will("nginx/playbook", [failed("no such module")])
}

#[test]
fn a_step_for_retries_runs_after_a_repeated_step_only() {
    let mut bench = with_restart();
    bench.outcomes.clear();
    bench.run();
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("nginx/playbook#1 nginx/ready#1", "done"));
    let mut bench = with_restart();
    bench.run();
    bench.retry("nginx", false);
    assert_eq!(bench.ran(), "nginx/playbook#1 nginx/playbook#2 nginx/restart#1 nginx/ready#1");
    assert_eq!(bench.phases(), "done");
    bench.run();
    assert_eq!(bench.executed.len(), 4, "once is enough");
    bench.retry("nginx", true);
    assert!(bench.ran().ends_with("nginx/playbook#3 nginx/restart#2 nginx/ready#2"), "{}", bench.ran());
}

#[test]
fn a_step_for_retries_survives_an_engine_that_dies_before_it() {
    let mut bench = with_restart();
    bench.run();
    bench.holding = true;
    bench.retry("nginx", false);
    bench.end(Outcome::Done);
    assert_eq!(bench.running.as_ref().unwrap().0.to_string(), "nginx/restart");
    // The engine was killed between the two lines of the journal.
    let at = bench.events.iter().position(|event| matches!(&event.event, Event::StepStarted { step, .. } if step.step == *"restart"));
    bench.events.truncate(at.unwrap());
    bench.restart();
    bench.holding = false;
    bench.run();
    assert!(bench.ran().ends_with("nginx/restart#1 nginx/ready#1"), "{}", bench.ran());
    assert_eq!(bench.phases(), "done");
}

#[test]
fn a_skip_is_recorded_and_holds_back_what_needs_the_phase() {
    let mut bench = Bench::new(chain()).will("two/a", [failed("broken")]);
    bench.run();
    bench.skip("two", "done by hand");
    assert_eq!((bench.phases().as_str(), bench.halted), ("done skipped failed", Some(StopReason::Blocked)));
    assert!(!bench.ran().contains("three"));
    let three = bench.state.plan.phase("three").unwrap().clone();
    assert!(bench.state.phase_reason(&three).contains("needs phase 'two', which was skipped"));
    let skip = &bench.state.skips["two"];
    assert_eq!((skip.by.as_str(), skip.reason.as_str()), (OPERATOR, "done by hand"));
    bench.skip("three", "not wanted");
    assert_eq!((bench.phases().as_str(), bench.halted), ("done skipped skipped", Some(StopReason::Idle)));
    assert!(bench.state.closed);
    // Taking it back.
    bench.retry("two", false);
    assert_eq!(bench.phase("two"), PhaseState::Done);
    assert_eq!(bench.phase("three"), PhaseState::Skipped);
}

#[test]
fn a_skip_is_refused_without_reason_for_required_and_for_running_phases() {
    let mut bench = Bench::new(plan(vec![required("one", &[], vec![step("a")]), phase("two", &[], vec![step("a")])]));
    let before = bench.events.len();
    bench.skip("one", "because");
    bench.skip("two", "  ");
    bench.skip("three", "because");
    assert_eq!(bench.events.len(), before, "what is refused leaves no trace");
    for (message, said) in bench.rejected.iter().zip(["cannot be skipped", "needs a reason", "there is no phase 'three'"]) {
        assert!(message.contains(said), "{message}");
    }
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench.skip("one", "too slow");
    assert!(bench.rejected.pop().unwrap().contains("is running"));
    bench.skip("two", "not wanted");
    assert_eq!(bench.phase("two"), PhaseState::Skipped);
    assert!(bench.running.is_some(), "what runs goes on");
}

#[test]
fn a_skip_of_the_phase_that_asks_goes_on() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![confirmation("ready", None)]), phase("two", &[], vec![step("a")])]));
    bench.run();
    assert_eq!(bench.halted, Some(StopReason::Waiting));
    bench.skip("ask", "later");
    assert!(bench.state.questions.is_empty());
    assert_eq!((bench.phases().as_str(), bench.ran().as_str()), ("skipped done", "two/a#1"));
}

#[test]
fn a_narrow_run_with_an_unmet_need_is_refused_naming_it() {
    let select = |only: &[&str], from: Option<&str>, to: Option<&str>| Selection {
        only: only.iter().map(|phase| id(phase)).collect(),
        from: from.map(id),
        to: to.map(id),
    };
    let mut bench = Bench::new(chain());
    for (selection, said) in [
        (select(&["two"], None, None), "phase 'two' needs phase 'one'"),
        (select(&["one", "three"], None, None), "phase 'three' needs phase 'two'"),
        (select(&[], Some("two"), None), "phase 'two' needs phase 'one'"),
        (select(&["four"], None, None), "there is no phase 'four'; the phases are one, two, three"),
        (select(&[], None, Some("four")), "there is no phase 'four'"),
        (select(&[], Some("two"), Some("one")), "--from names a phase that comes after --to"),
    ] {
        bench.command(Command::Run(selection));
        let message = bench.rejected.pop().unwrap();
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(bench.events.len(), 2, "nothing ran, nothing is on record");
    bench.command(Command::Run(select(&[], None, Some("two"))));
    assert_eq!((bench.phases().as_str(), bench.halted), ("done done pending", Some(StopReason::Idle)));
    bench.record(Event::EngineStopped { reason: StopReason::Idle });
    assert_eq!(bench.state.summary(), "idle", "a part that succeeded leaves the run idle");
    bench.restart();
    bench.command(Command::Run(select(&["three"], None, None)));
    assert!(bench.state.is_complete());
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 three/a#1");
}

#[test]
fn a_step_that_is_not_needed_says_why_and_is_not_carried_out() {
    let steps = vec![step("install").unless("tools.there"), step("use")];
    let mut bench = Bench::new(plan(vec![phase("tools", &[], steps)]));
    bench.unneeded.insert(id("tools/install"), "it is there".into());
    bench.run();
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("tools/use#1", "done"));
    let outcome = bench.state.step(&id("tools/install")).unwrap().outcome.clone();
    assert_eq!(outcome, Some(Outcome::Unneeded { reason: "it is there".into() }));
    let mut bench = Bench::new(bench.state.plan.clone());
    bench.run();
    assert_eq!(bench.ran(), "tools/install#1 tools/use#1");
}

#[test]
fn a_closed_gate_holds_a_phase_back_until_it_is_judged_open() {
    let mut bench = Bench::new(chain());
    bench.gates.insert(id("two"), [vec!["swap.off on machine:vm1: on".to_owned()]].into());
    bench.run();
    assert_eq!((bench.phases().as_str(), bench.halted), ("done failed pending", Some(StopReason::Blocked)));
    assert_eq!(bench.state.step(&id("two/a")), None, "a gate holds back before the first step");
    let two = bench.state.plan.phase("two").unwrap().clone();
    assert_eq!(bench.state.phase_reason(&two), "swap.off on machine:vm1: on");
    bench.retry("two", false);
    assert!(bench.state.is_complete());
}

#[test]
fn a_step_that_is_asked_about_runs_again_after_consent_only() {
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a").repeat(Repeat::Ask)])])).will("one/a", [failed("no")]);
    bench.run();
    bench.retry("one", false);
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Waiting)));
    assert_eq!(bench.question().wanted, Wanted::Repeat);
    assert!(!bench.question().is_secret());
    bench.answer("no");
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Blocked)));
    bench.retry("one", false);
    bench.answer("perhaps");
    assert!(bench.rejected.pop().unwrap().contains("yes or no"));
    bench.answer("yes");
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("one/a#1 one/a#2", "done"));
}

#[test]
fn consent_holds_for_one_repetition() {
    let mut bench =
        Bench::new(plan(vec![phase("one", &[], vec![step("a").repeat(Repeat::Ask)])])).will("one/a", [failed("1"), failed("2")]);
    bench.run();
    bench.retry("one", false);
    bench.answer("yes");
    assert_eq!(bench.halted, Some(StopReason::Failed));
    bench.retry("one", false);
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1 one/a#2", Some(StopReason::Waiting)));
}

#[test]
fn consent_is_not_lost_with_the_engine() {
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a").repeat(Repeat::Ask)])])).will("one/a", [failed("no")]);
    bench.run();
    bench.retry("one", false);
    bench.restart();
    bench.answer("yes");
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("one/a#1 one/a#2", "done"));
}

#[test]
fn a_step_that_may_run_once_only_is_never_run_again() {
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a").repeat(Repeat::Never)]), phase("two", &[], vec![step("a")])]))
        .will("one/a", [failed("half done")]);
    bench.run();
    for from_start in [false, true] {
        bench.retry("one", from_start);
        assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Blocked)));
    }
    bench.skip("one", "finished by hand");
    assert_eq!(bench.ran(), "one/a#1 two/a#1");
}

#[test]
fn a_secret_answer_is_kept_outside_the_journal() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![secret("token", None), step("use")])]));
    bench.run();
    assert!(bench.question().is_secret());
    for bad in ["", "short", "CANARYCANARY"] {
        bench.answer(bad);
        let message = bench.rejected.pop().unwrap();
        assert!(bad.is_empty() || !message.contains(bad), "{message}");
        assert!(bench.kept.is_empty());
    }
    bench.leave_open();
    assert!(bench.rejected.pop().unwrap().contains("must be answered"));
    bench.answer(" canarycanary ");
    assert_eq!(bench.kept, [("token".to_owned(), "canarycanary".to_owned())]);
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("ask/use#1", "done"));
    assert!(bench.events.iter().all(|event| !serde_json::to_string(event).unwrap().contains("canarycanary")));
    assert_eq!(bench.state.answered.values().collect::<Vec<_>>(), [&None]);
}

#[test]
fn a_confirmation_is_yes_or_no() {
    let asks = || Bench::new(plan(vec![phase("ask", &[], vec![confirmation("made", None)]), phase("two", &["ask"], vec![step("a")])]));
    let mut bench = asks();
    bench.run();
    bench.answer("yes");
    assert_eq!(bench.phases(), "done done");
    let mut bench = asks();
    bench.run();
    bench.answer("no");
    assert_eq!((bench.phases().as_str(), bench.halted), ("failed pending", Some(StopReason::Failed)));
    bench.retry("ask", false);
    bench.answer("yes");
    assert_eq!(bench.phases(), "done done");
}

#[test]
fn an_optional_question_left_open_is_a_warning() {
    for asks in [confirmation("record", Some("No record.")), secret("token", Some("No import."))] {
        let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![asks]), phase("two", &["ask"], vec![step("a")])]));
        bench.run();
        bench.leave_open();
        assert_eq!(bench.phases(), "warned done", "what was left open does not count as done");
        let phase = bench.state.plan.phase("ask").unwrap().clone();
        assert!(bench.state.phase_reason(&phase).starts_with("left open: No "));
    }
}

#[test]
fn a_question_that_is_not_open_cannot_be_answered() {
    let mut bench = Bench::new(chain());
    bench.command(Command::Answer { question: "one/a#1".into(), answer: Answer::Text("yes".into()) });
    assert!(bench.rejected.pop().unwrap().contains("no open question"));
}

#[test]
fn a_question_survives_the_engine_that_asked_it() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![secret("token", None)]), phase("two", &["ask"], vec![step("a")])]));
    bench.run();
    bench.restart();
    assert_eq!(bench.state.summary(), "waiting");
    bench.answer("canarycanary");
    assert_eq!(bench.phase("ask"), PhaseState::Done);
}

#[test]
fn a_plan_that_destroys_waits_for_consent_and_is_then_told_what_it_may_destroy() {
    let mut bench = Bench::new(chain()).will("one/a", [destroys(&["helm_release.keycloak", "x.y"])]);
    bench.run();
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Waiting)));
    assert!(bench.question().detail.contains("helm_release.keycloak, x.y"));
    // Another engine, the same question.
    bench.restart();
    bench.answer("yes");
    assert_eq!(bench.executed[1], ("one/a#2".to_owned(), vec!["helm_release.keycloak".to_owned(), "x.y".to_owned()]));
    assert!(bench.decisions().iter().any(|decision| matches!(decision, Decision::Confirm { destroys, .. } if destroys.len() == 2)));
    let mut bench = Bench::new(chain()).will("one/a", [destroys(&["x.y"]), destroys(&["z.z"])]);
    bench.run();
    bench.answer("yes");
    assert_eq!(bench.halted, Some(StopReason::Waiting), "consent to one is not consent to another");
    bench.answer("no");
    assert_eq!((bench.phase("one"), bench.halted), (PhaseState::Failed, Some(StopReason::Blocked)));
    assert_eq!(bench.executed.len(), 2);
}

#[test]
fn a_stop_is_graceful_and_the_run_goes_on_from_there() {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench.command(Command::Stop { now: false });
    assert_eq!((bench.cancels.as_slice(), bench.halted), ([false].as_slice(), None), "it waits for the step to end");
    bench.command(Command::Stop { now: true });
    assert_eq!(bench.cancels, [false, true]);
    bench.end(Outcome::Stopped { by: OPERATOR.into() });
    assert_eq!((bench.phases().as_str(), bench.halted), ("stopped pending pending", Some(StopReason::Stopped)));
    bench.holding = false;
    bench.run();
    assert_eq!(bench.ran(), "one/a#1 one/a#2 two/a#1 two/b#1 three/a#1");
    // A step that succeeds in spite of the stop is done, and nothing follows it.
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench.command(Command::Stop { now: false });
    bench.end(Outcome::Done);
    assert_eq!((bench.phases().as_str(), bench.halted), ("done pending pending", Some(StopReason::Stopped)));
    assert_eq!((bench.executed.len(), bench.state.summary()), (1, "stopped"));
}

#[test]
fn a_stop_while_nobody_has_answered_leaves_the_question() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![confirmation("ready", None)])]));
    bench.run();
    bench.command(Command::Stop { now: false });
    assert_eq!(bench.halted, Some(StopReason::Stopped));
    // Nobody is waited for: it was stopped, also for an engine that only looks in.
    bench.restart();
    let stands = |bench: &Bench| (bench.state.summary(), bench.phase("ask"), bench.state.questions.len());
    assert_eq!(stands(&bench), ("stopped", PhaseState::Stopped, 1));
    assert!(bench.state.phase_reason(&bench.state.plan.phases[0]).contains(OPERATOR));
    bench.answer("yes");
    assert_eq!(bench.phases(), "done");
    // Asked to go on, it waits again.
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![confirmation("ready", None)])]));
    bench.run();
    bench.command(Command::Stop { now: false });
    bench.run();
    assert_eq!(stands(&bench), ("waiting", PhaseState::Running, 1));
    assert_eq!(bench.question().id, "ask/ready#2");
}

#[test]
fn a_phase_that_is_skipped_at_its_question_has_nothing_at_work() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![confirmation("ready", None)]), phase("two", &[], vec![step("a")])]));
    bench.run();
    bench.skip("ask", "later");
    assert_eq!((bench.phases().as_str(), bench.state.running(), bench.state.questions.len()), ("skipped done", None, 0));
}

#[test]
fn changed_answers_make_the_phases_stale_that_read_them_and_those_run_again() {
    let steps = |digest: &str| vec![step("a").digest(digest)];
    let make = |second: &str| {
        plan(vec![
            phase("one", &[], steps("1")),
            phase("two", &[], steps(second)),
            phase("three", &["two"], steps("3")),
            phase("four", &["one"], steps("4")),
        ])
    };
    let mut bench = Bench::new(make("2"));
    bench.run();
    bench.command(Command::Replan { plan: Box::new(make("changed")), changed: vec!["domain".into()] });
    assert_eq!(bench.phases(), "done stale done done", "exactly those that read it");
    assert!(!bench.state.is_complete());
    let two = bench.state.plan.phase("two").unwrap().clone();
    assert!(bench.state.phase_reason(&two).contains("changed"));
    // Another engine knows it as well.
    bench.restart();
    assert_eq!(bench.phases(), "done stale done done");
    bench.executed.clear();
    bench.run();
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("two/a#2", "done done done done"));
    assert!(bench.state.is_complete());
}

#[test]
fn answers_do_not_change_under_a_running_step() {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    let before = bench.events.len();
    bench.command(Command::Replan { plan: Box::new(chain()), changed: Vec::new() });
    assert!(bench.rejected.pop().unwrap().contains("while a step is running"));
    assert_eq!(bench.events.len(), before);
}

/// A run whose engine died while `one/a` was running.
fn orphaned() -> Bench {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench.restart();
    bench.holding = false;
    bench
}

fn adopt(bench: &mut Bench) {
    bench.input(Input::Adopted { step: id("one/a"), attempt: 1 });
}

fn adopted_ends(bench: &mut Bench, outcome: Outcome) {
    bench.input(Input::Ended { step: id("one/a"), attempt: 1, outcome, took_ms: 5, log_bytes: 7 });
}

#[test]
fn a_runner_that_outlived_its_engine_is_adopted_and_never_started_twice() {
    let mut bench = orphaned();
    adopt(&mut bench);
    bench.run();
    assert_eq!(bench.rejected, [""; 0], "a run over an adopted step is a run of what comes after it");
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", None));
    adopted_ends(&mut bench, Outcome::Done);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 three/a#1");
    assert!(bench.state.is_complete());
}

#[test]
fn an_adopted_step_that_ends_before_anybody_asks_starts_nothing() {
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a"), step("b")]), phase("two", &["one"], vec![step("a")])]));
    bench.holding = true;
    bench.run();
    bench.restart();
    bench.holding = false;
    adopt(&mut bench);
    adopted_ends(&mut bench, Outcome::Done);
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Idle)));
    // Whoever started the engine for a run says so a moment later, and is not told that something runs already.
    bench.run();
    assert_eq!((bench.ran().as_str(), bench.rejected.len()), ("one/a#1 one/b#1 two/a#1", 0));
    // It was the last: the run is closed all the same.
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a")])]));
    bench.holding = true;
    bench.run();
    bench.restart();
    adopt(&mut bench);
    adopted_ends(&mut bench, Outcome::Done);
    assert!(bench.state.closed && bench.state.is_complete());
}

#[test]
fn an_adopted_step_that_fails_stops_the_line() {
    let mut bench = orphaned();
    adopt(&mut bench);
    bench.run();
    adopted_ends(&mut bench, failed("timed out"));
    assert_eq!((bench.phases().as_str(), bench.halted), ("failed pending pending", Some(StopReason::Failed)));
    bench.retry("one", false);
    assert!(bench.state.is_complete(), "the run that was asked for goes on after the retry");
    // Whoever retries what the dead engine was at means the same.
    let mut bench = orphaned();
    adopt(&mut bench);
    bench.retry("one", false);
    adopted_ends(&mut bench, Outcome::Interrupted { reason: "no trace".into() });
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("one/a#1 one/a#2", "done pending pending"));
}

#[test]
fn a_step_that_left_no_trace_is_interrupted_and_runs_again_by_the_table() {
    let interrupted = || Outcome::Interrupted { reason: "no trace".into() };
    let mut bench = orphaned();
    adopt(&mut bench);
    bench.run();
    adopted_ends(&mut bench, interrupted());
    assert_eq!(bench.ran(), "one/a#1 one/a#2 two/a#1 two/b#1 three/a#1");
    let mut bench = Bench::new(plan(vec![phase("one", &[], vec![step("a").repeat(Repeat::Ask)])]));
    bench.holding = true;
    bench.run();
    bench.restart();
    adopt(&mut bench);
    bench.run();
    adopted_ends(&mut bench, interrupted());
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/a#1", Some(StopReason::Waiting)), "what may not simply repeat is asked about");
    // Nobody asked for a run: it is only recorded.
    let mut bench = orphaned();
    adopt(&mut bench);
    adopted_ends(&mut bench, interrupted());
    assert_eq!((bench.phases().as_str(), bench.halted), ("interrupted pending pending", Some(StopReason::Failed)));
    assert_eq!(bench.executed.len(), 1);
}

#[test]
fn one_thing_at_a_time() {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench.run();
    bench.retry("one", true);
    assert_eq!(bench.rejected.len(), 2);
    assert_eq!(bench.executed.len(), 1);
    // An answer of a judge that is late or was never asked changes nothing.
    let before = bench.events.len();
    bench.input(Input::GateJudged { phase: id("one"), blocking: vec!["late".into()], ignored: 0 });
    bench.input(Input::NeedJudged { step: id("two/a"), unneeded: Some("late".into()) });
    assert_eq!(bench.events.len(), before);
}
