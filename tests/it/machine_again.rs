//! Running again at the level that fits, prompts of the step that runs, and answers that are hard to change.

use std::collections::BTreeMap;

use mosip_setup::install::ids::StepRef;
use mosip_setup::install::plan::{Action, Plan, PlanStep, Settled};
use mosip_setup::install::profile::Repeat;
use mosip_setup::run::event::{Decision, Event, Failure, Held, Outcome, Prompted, StopReason};
use mosip_setup::run::machine::{Command, Input, Selection};
use mosip_setup::run::question::Wanted;
use mosip_setup::run::state::PhaseState;

use crate::plan_builder::{Bench, OPERATOR, StepWith as _, chain, destroys, failed, id, phase, plan, secret, step};

fn playbook(name: &str, limit_retry: bool) -> PlanStep {
    let argv = ["ansible-playbook", "-i", "hosts.ini", "all.yml"].map(str::to_owned).to_vec();
    let action = Action::Ansible { argv, inventory: "hosts.ini".into(), tasks: None, model: BTreeMap::new(), limit_retry };
    PlanStep { action, ..step(name) }
}

fn failed_on(hosts: &[&str]) -> Outcome {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Outcome::Failed(Failure { message: "ended with exit code 2".into(), hosts, ..Failure::default() })
}

fn nodes(limit_retry: bool) -> Bench {
    let steps = vec![step("before"), playbook("upgrade", limit_retry), step("after")];
    Bench::new(plan(vec![phase("nodes", &[], steps), phase("next", &["nodes"], vec![step("a")])]))
}

#[test]
fn a_step_is_retried_by_name_also_where_it_succeeded() {
    let mut bench = Bench::new(chain());
    bench.run();
    bench.retry_step("two/b", false);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/b#1 three/a#1 two/b#2");
    assert!(bench.state.is_complete());
    assert!(bench.decisions().contains(&&Decision::Retry { phase: id("two"), from_start: false, step: Some(id("b")), hosts: Vec::new() }));
    // What comes before it must have succeeded.
    let mut bench = Bench::new(chain()).will("two/a", [failed("no")]);
    bench.run();
    bench.retry_step("two/b", false);
    assert!(bench.rejected.pop().unwrap().contains("step 'a' comes before 'b' and has not succeeded"));
    bench.retry_step("two/c", false);
    assert!(bench.rejected.pop().unwrap().contains("no step 'c'; its steps are a, b"));
    bench.retry_step("two/a", false);
    assert_eq!(bench.ran(), "one/a#1 two/a#1 two/a#2 two/b#1 three/a#1");
}

#[test]
fn a_step_for_retries_can_be_asked_for() {
    let steps = vec![step("playbook"), step("restart").on_retry(), step("ready")];
    let mut bench = Bench::new(plan(vec![phase("nginx", &[], steps)]));
    bench.run();
    bench.retry_step("nginx/restart", false);
    assert_eq!((bench.ran().as_str(), bench.phases().as_str()), ("nginx/playbook#1 nginx/ready#1 nginx/restart#1", "done"));
    bench.run();
    assert_eq!(bench.executed.len(), 3, "once is what was asked for");
}

#[test]
fn a_step_that_may_run_once_only_is_not_run_again_from_the_start_either() {
    let steps = vec![step("once").repeat(Repeat::Never), step("asks").repeat(Repeat::Ask), step("a")];
    let mut bench = Bench::new(plan(vec![phase("one", &[], steps)]));
    bench.run();
    bench.retry("one", true);
    assert_eq!((bench.ran().as_str(), bench.halted), ("one/once#1 one/asks#1 one/a#1", Some(StopReason::Blocked)));
    assert_eq!(bench.state.gates["one"].held, Some(Held::Once));
    bench.retry_step("one/asks", false);
    assert_eq!(bench.question().wanted, Wanted::Repeat, "and what is asked about is asked about");
}

#[test]
fn a_playbook_is_retried_on_the_hosts_that_failed() {
    let mut bench = nodes(true).will("nodes/upgrade", [failed_on(&["vm2", "vm5"]), failed_on(&["vm5"])]);
    bench.run();
    let hosts = |bench: &Bench| bench.state.failed_hosts(&id("nodes/upgrade")).to_vec();
    assert_eq!(hosts(&bench), ["vm2", "vm5"]);
    let limited = |failed_hosts| Command::Retry { phase: id("nodes"), from_start: false, step: None, failed_hosts };
    bench.command(limited(true));
    assert_eq!((bench.limits.last().unwrap().join(","), bench.halted), ("vm2,vm5".to_owned(), Some(StopReason::Failed)));
    assert_eq!(hosts(&bench), ["vm5"], "what is left is smaller");
    // The decision is on record: an engine that dies before the step begins does not lose it.
    bench.holding = true;
    bench.command(limited(true));
    let at = bench.events.iter().rposition(|event| matches!(event.event, Event::StepStarted { .. })).unwrap();
    bench.events.truncate(at);
    bench.restart();
    bench.holding = false;
    bench.run();
    assert_eq!(bench.limits[bench.limits.len() - 3..], [vec!["vm5".to_owned()], vec![], vec![]]);
    assert!(bench.state.is_complete());
    let started: Vec<Vec<String>> = bench
        .events
        .iter()
        .filter_map(|event| match &event.event {
            Event::StepStarted { step, hosts, .. } if step.step == *"upgrade" => Some(hosts.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(started, [vec![], vec!["vm2".to_owned(), "vm5".to_owned()], vec!["vm5".to_owned()]]);
}

#[test]
fn hosts_are_limited_only_where_that_is_right() {
    let limited = || Command::Retry { phase: id("nodes"), from_start: false, step: None, failed_hosts: true };
    // The profile does not allow it.
    let mut bench = nodes(false).will("nodes/upgrade", [failed_on(&["vm2"])]);
    bench.run();
    bench.command(limited());
    assert!(bench.rejected.pop().unwrap().contains("retry the phase"));
    // The whole phase means all hosts again.
    let mut bench = nodes(true).will("nodes/upgrade", [failed_on(&["vm2"])]);
    bench.run();
    bench.retry("nodes", false);
    assert_eq!(bench.limits.iter().flatten().count(), 0);
    // Answers have changed since: the others need the new ones too.
    let mut bench = nodes(true).will("nodes/upgrade", [failed_on(&["vm2"])]);
    bench.run();
    let mut other = bench.state.plan.clone();
    other.phases[0].steps[1].digest = "other".into();
    bench.command(Command::Replan { plan: Box::new(other), changed: vec!["ssh_user".into()] });
    bench.command(limited());
    assert!(bench.rejected.pop().unwrap().contains("must run on all hosts"));
}

#[test]
fn the_command_of_a_limited_attempt_says_so() {
    let step = playbook("upgrade", true);
    let argv = |step: &PlanStep, hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        step.commands_on(&hosts)[0].argv.join(" ")
    };
    assert_eq!(argv(&step, &["vm2", "vm5"]), "ansible-playbook -i hosts.ini --limit vm2,vm5 all.yml");
    assert_eq!(argv(&step, &[]), "ansible-playbook -i hosts.ini all.yml");
    let words = ["ansible-playbook", "-i", "hosts.ini", "--limit", "nodes", "all.yml"].map(str::to_owned).to_vec();
    let action = Action::Ansible { argv: words, inventory: "hosts.ini".into(), tasks: None, model: BTreeMap::new(), limit_retry: true };
    assert_eq!(argv(&PlanStep { action, ..step }, &["vm2"]), "ansible-playbook -i hosts.ini --limit vm2 all.yml");
}

#[test]
fn a_retry_runs_what_it_needs_and_what_is_stale_first() {
    let mut bench = Bench::new(chain()).will("three/a", [failed("no")]);
    bench.run();
    let mut other = bench.state.plan.clone();
    other.phases[0].steps[0].digest = "other".into();
    bench.command(Command::Replan { plan: Box::new(other), changed: vec!["domain".into()] });
    assert_eq!(bench.phase("one"), PhaseState::Stale);
    bench.retry("three", false);
    assert!(bench.ran().ends_with("one/a#2 three/a#2"), "{}", bench.ran());
    let mut again = bench.state.plan.clone();
    again.phases[0].steps[0].digest = "another".into();
    again.phases[1].steps[0].digest = "another".into();
    bench.command(Command::Replan { plan: Box::new(again), changed: vec!["domain".into()] });
    bench.command(Command::Run(Selection { only: vec![id("two")], ..Selection::default() }));
    assert!(bench.ran().ends_with("one/a#3 two/a#2"), "{}", bench.ran());
}

#[test]
fn a_release_that_failed_while_it_was_made_is_called_that() {
    let tainted = |outcome: Outcome, which: &[&str]| match outcome {
        Outcome::Failed(failure) => Outcome::Failed(Failure { tainted: which.iter().map(|name| (*name).to_owned()).collect(), ..failure }),
        other => other,
    };
    let ask = |outcome| {
        let mut bench = Bench::new(plan(vec![phase("tf", &[], vec![step("apply")])])).will("tf/apply", [outcome]);
        bench.run();
        bench.question().clone()
    };
    let only = ask(tainted(destroys(&["helm_release.keycloak"]), &["helm_release.keycloak"]));
    assert!(only.text.contains("failed while being created") && only.detail.contains("helm_release.keycloak"), "{only:?}");
    let mixed = ask(tainted(destroys(&["helm_release.keycloak", "helm_release.minio"]), &["helm_release.keycloak"]));
    assert!(mixed.text.contains("destroy or replace 2"), "{mixed:?}");
    assert!(mixed.detail.contains("an earlier apply failed while it created: helm_release.keycloak"), "{mixed:?}");
    let plain = ask(destroys(&["helm_release.minio"]));
    assert!(plain.text.contains("destroy or replace 1") && !plain.detail.contains("failed while"), "{plain:?}");
}

#[test]
fn an_answer_that_cannot_be_kept_starts_nothing() {
    let mut bench = Bench::new(plan(vec![phase("ask", &[], vec![secret("token", None), step("use")])]));
    bench.run();
    bench.refusing = true;
    let before = bench.events.len();
    bench.answer("canarycanary");
    assert_eq!((bench.rejected.pop().as_deref(), bench.events.len()), (Some("refused"), before));
    assert_eq!((bench.executed.len(), bench.state.questions.len()), (0, 1), "the question stays open");
    bench.refusing = false;
    bench.answer("canarycanary");
    assert_eq!(bench.ran(), "ask/use#1");
}

fn prompt(number: u32, secret: bool) -> Option<Prompted> {
    Some(Prompted { number, text: "Continue?".into(), before: vec!["It will take long.".into()], secret })
}

fn prompted(bench: &mut Bench, prompt: Option<Prompted>) {
    let (step, attempt) = bench.running.clone().unwrap();
    bench.input(Input::Prompted { step, attempt, prompt });
}

fn at_work() -> Bench {
    let mut bench = Bench::new(chain());
    bench.holding = true;
    bench.run();
    bench
}

#[test]
fn a_prompt_of_the_running_step_is_a_question_and_the_step_goes_on() {
    let mut bench = at_work();
    prompted(&mut bench, prompt(1, false));
    assert_eq!((bench.state.questions.len(), bench.halted), (1, Some(StopReason::Waiting)));
    let question = bench.question().clone();
    assert_eq!((question.id.as_str(), question.text.as_str()), ("one/a#1.1", "Continue?"));
    assert!(question.detail.contains("It will take long.") && !question.is_secret() && question.takes_text());
    assert_eq!((bench.state.summary(), bench.phase("one")), ("waiting", PhaseState::Running));
    // The same prompt is not asked twice.
    prompted(&mut bench, prompt(1, false));
    assert_eq!(bench.events.iter().filter(|event| matches!(event.event, Event::QuestionAsked { .. })).count(), 1);
    for bad in ["two\nlines", &"x".repeat(3000)] {
        bench.answer(bad);
        assert!(bench.rejected.pop().is_some());
    }
    bench.leave_open();
    assert!(bench.rejected.pop().unwrap().contains("must be answered"));
    bench.answer("yes");
    assert_eq!(bench.typed, ["one/a#1.1=yes"]);
    assert_eq!(bench.state.answered["one/a#1.1"].as_deref(), Some("yes"));
    assert!(bench.state.questions.is_empty() && bench.running.is_some(), "the step is the same attempt");
    // It asks again: that is another question. An empty answer is one, too.
    prompted(&mut bench, None);
    prompted(&mut bench, prompt(2, false));
    bench.answer("");
    assert_eq!(bench.typed.last().unwrap(), "one/a#1.2=");
    bench.holding = false;
    bench.end(Outcome::Done);
    assert!(bench.state.is_complete());
}

#[test]
fn a_secret_typed_at_a_prompt_is_not_on_record() {
    let mut bench = at_work();
    prompted(&mut bench, prompt(1, true));
    assert!(bench.question().is_secret());
    bench.answer("canary-4711");
    assert_eq!(bench.typed, ["one/a#1.1=canary-4711"]);
    assert_eq!(bench.state.answered["one/a#1.1"], None);
    assert!(bench.events.iter().all(|event| !serde_json::to_string(event).unwrap().contains("canary-4711")));
}

#[test]
fn a_prompt_that_goes_by_itself_takes_its_question_along() {
    let mut bench = at_work();
    prompted(&mut bench, prompt(1, false));
    prompted(&mut bench, None);
    assert!(bench.state.questions.is_empty());
    assert!(matches!(&bench.events.last().unwrap().event, Event::QuestionAnswered { by, answer: None, .. } if by.is_empty()));
    // And one whose step has failed.
    prompted(&mut bench, prompt(2, false));
    bench.end(failed("nobody answered"));
    assert!(bench.state.questions.is_empty());
    assert_eq!(bench.phase("one"), PhaseState::Failed);
}

#[test]
fn a_prompt_waits_while_there_is_no_engine() {
    let mut bench = at_work();
    prompted(&mut bench, prompt(1, false));
    bench.restart();
    let step: StepRef = id("one/a");
    bench.input(Input::Adopted { step: step.clone(), attempt: 1 });
    bench.running = Some((step, 1));
    prompted(&mut bench, prompt(1, false));
    assert_eq!(bench.state.questions.len(), 1, "it is asked already");
    assert_eq!(bench.halted, Some(StopReason::Waiting));
    bench.answer("yes");
    assert_eq!(bench.typed, ["one/a#1.1=yes"]);
    // Whoever answers wants the run to go on with what was selected.
    bench.holding = false;
    bench.end(Outcome::Done);
    assert!(bench.state.is_complete(), "{}", bench.phases());
    // An answer that was lost on its way is asked for again.
    let mut bench = at_work();
    prompted(&mut bench, prompt(1, false));
    bench.refusing = true;
    bench.answer("yes");
    assert_eq!(bench.state.questions.len(), 1);
}

/// A plan whose phase `cluster` reads a domain, which it settles.
fn settled(value: &str) -> Plan {
    let with = |name: &str| {
        let mut phase = phase(name, &[], vec![step("a").digest(&format!("{name}-{value}"))]);
        phase.reads.insert(id("domain"), value.into());
        phase
    };
    let mut plan = plan(vec![phase("tools", &[], vec![step("a")]), with("cluster"), with("services")]);
    let cost = "Everything is installed anew.".to_owned();
    plan.settled.insert(id("domain"), Settled { label: "MOSIP domain".into(), by: vec![id("cluster")], cost });
    plan
}

fn change(bench: &mut Bench, value: &str) {
    bench.command(Command::Replan { plan: Box::new(settled(value)), changed: vec!["domain".into()] });
}

#[test]
fn what_was_settled_is_changed_only_in_full_knowledge() {
    let mut bench = Bench::new(settled("a.org"));
    bench.command(Command::Run(Selection { to: Some(id("tools")), ..Selection::default() }));
    change(&mut bench, "b.org");
    assert_eq!(bench.state.costly(&bench.state.plan), [], "before the cluster stands it costs nothing");
    bench.run();
    assert!(bench.state.is_complete());
    change(&mut bench, "c.org");
    assert_eq!(bench.phases(), "done stale stale");
    let cluster = bench.state.plan.phase("cluster").unwrap().clone();
    assert_eq!(bench.state.phase_reason(&cluster), "changed since it ran: domain");
    let count = bench.executed.len();
    bench.run();
    assert_eq!((bench.executed.len(), bench.halted), (count, Some(StopReason::Waiting)));
    let question = bench.question().clone();
    assert!(question.text.contains("MOSIP domain") && question.detail.contains("Everything is installed anew."), "{question:?}");
    // No: changed back, nothing is asked and nothing is stale.
    bench.answer("no");
    assert_eq!((bench.executed.len(), bench.halted), (count, Some(StopReason::Blocked)));
    change(&mut bench, "b.org");
    assert_eq!(bench.phases(), "done done done");
    bench.run();
    assert_eq!((bench.executed.len(), bench.state.questions.len()), (count, 0));
    // Yes: on record, and asked once.
    change(&mut bench, "c.org");
    bench.run();
    bench.answer("yes");
    assert_eq!(bench.phases(), "done done done");
    let fields = vec!["domain".to_owned()];
    assert!(bench.decisions().contains(&&Decision::Accept { fields }));
    assert_eq!(bench.executed.len(), count + 2);
    bench.restart();
    bench.run();
    assert!(bench.state.questions.is_empty());
    // Another value is another question.
    change(&mut bench, "d.org");
    bench.retry("services", false);
    assert!(matches!(bench.question().wanted, Wanted::Change { .. }));
}

#[test]
fn a_shell_is_on_record_and_nothing_else() {
    let mut bench = Bench::new(chain()).will("one/a", [failed("no")]);
    bench.run();
    let ran = bench.ran();
    bench.command(Command::Shell { step: id("one/a"), secrets: true });
    assert!(bench.decisions().contains(&&Decision::Shell { step: id("one/a"), secrets: true }));
    assert_eq!((bench.ran(), bench.phases().as_str(), OPERATOR), (ran, "failed pending pending", "asha"));
}
