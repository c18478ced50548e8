//! Engines and runners that are stopped, killed, doubled, or left without disk in the middle of a step.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use mosip_setup::engine::attempt::{Holder, is_locked, read_exit, read_holder};
use mosip_setup::run::event::{Event, Outcome, StopReason};
use rustix::process::Signal;

use crate::stage::{Hold, Stage, done, is_alive, signal, wait_for_lock};
use crate::support::{Done, PROGRAM, skip};

const STEP: &str = "tools/checkout";

/// A rehearsal that has come to the step that waits: what watches it, its engine, the step.
struct Held {
    hold: Hold,
    viewer: Child,
    engine: i32,
    step: i32,
}

fn held(stage: &Stage) -> Held {
    let mut hold = Hold::new(&stage.place, "");
    let viewer = piped(stage.rehearsal(&[]));
    let step = hold.arrived();
    stage.unanswered();
    Held { hold, viewer, engine: stage.engine().expect("an engine"), step }
}

impl Held {
    /// Kills the engine, and waits until its site is free. The viewer says so and ends.
    fn kill_engine(&mut self, stage: &Stage) {
        signal(self.engine, Signal::KILL);
        wait_for_lock(&stage.site().join("site.lock"));
    }
}

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// A rehearsal that is set up and not yet run, with a step that waits.
fn staged(stage: &Stage) -> Hold {
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    let marker = serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] });
    fs::write(stage.state_dir().join("rehearsal.json"), marker.to_string()).unwrap();
    Hold::new(&stage.place, "")
}

fn runner(stage: &Stage) -> i32 {
    let holder: Holder = read_holder(&stage.site().join("runner.lock")).expect("who runs the step");
    i32::try_from(holder.pid).unwrap()
}

fn outcomes(stage: &Stage) -> Vec<Outcome> {
    let events = stage.events().into_iter();
    events
        .filter_map(|recorded| match recorded.event {
            Event::StepFinished { step, outcome, .. } if step.to_string() == STEP => Some(outcome),
            _ => None,
        })
        .collect()
}

/// Answers the import question and lets the run end.
fn finish(stage: &Stage) {
    stage.run(&["run", "--yes"]).expect(4);
    let address = "https://rancher.sandbox.example.org/v3/import/abcdefghijkl_c-m-abcdefgh.yaml";
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    stage.run_with(&["answer", &question], address).expect(0);
    stage.run(&["run", "--yes"]).expect(0);
    assert_eq!(stage.status()["state"], "done");
}

#[test]
fn while_an_engine_is_at_work_others_watch_it_and_no_second_one_starts() {
    let stage = Stage::new();
    let mut held = held(&stage);
    for verb in
        [&["run", "--yes", "--foreground"][..], &["run", "--yes", "--only", "tools"], &["retry", "tools"], &["run", "--yes", "--new"]]
    {
        let refused = stage.run(verb).expect(5);
        assert!(refused.err.contains(&format!("process {}", held.engine)), "{verb:?}: {}", refused.err);
    }
    assert_eq!(stage.runs().len(), 1, "a refused engine leaves no run");
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["phases"][0]["state"].as_str()), (Some("running"), Some("running")));
    assert_eq!(status["engine"]["working"], true);
    stage.run(&["logs", "tools/checkout"]).expect(0);
    // A skip is recorded by the engine at work, and takes effect when its turn comes.
    for phase in ["wireguard", "rancher-import"] {
        stage.run(&["skip", phase, "--reason", "not wanted here"]).expect(0);
    }
    let joined = piped(stage.command(&["run", "--yes"]));
    let watching = piped(stage.command(&["attach", "--json"]));
    held.hold.release();
    done(held.viewer).expect(0);
    let joined = done(joined).expect(0);
    assert!(joined.err.contains("a run is going on already") && joined.out.contains("complete"), "{}{}", joined.out, joined.err);
    let watched = done(watching).expect(0);
    let lines = watched.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    // What a step waits for is told in between, and has no number.
    let events: Vec<serde_json::Value> = lines.filter(|line| line.get("seq").is_some()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].clone()).collect();
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), (Some("run_opened"), Some("engine_stopped")), "the whole of it");
    assert_eq!(events.len(), stage.events().len());
    assert_eq!(held.hold.pids().len(), 1);
    assert!(stage.phases().contains(&"wireguard=skipped".to_owned()));
    assert_eq!(stage.engine(), None, "a finished run needs no engine");
}

#[test]
fn an_engine_in_the_foreground_is_stopped_by_signals_and_the_run_goes_on_later() {
    for (name, often) in [(Signal::TERM, 1), (Signal::INT, 2)] {
        let stage = Stage::new();
        let mut hold = staged(&stage);
        let mut engine = piped(stage.command(&["run", "--yes", "--foreground"]));
        let step = hold.arrived();
        let runner = runner(&stage);
        assert_eq!(stage.engine(), Some(pid(&engine)), "it is this process");
        let mut said = BufReader::new(engine.stderr.take().unwrap()).lines().map(Result::unwrap);
        for count in 1..=often {
            signal(pid(&engine), name);
            let line = said.next().unwrap();
            assert_eq!(line.contains("Ctrl-C again stops the run"), count < often, "{line}");
        }
        let ended = done(engine).expect(130);
        assert!(ended.out.contains("stopped  tools/checkout by "), "{}", ended.out);
        stopped(&stage, &mut hold, runner, step);
    }
}

/// What holds after a step was stopped; and it goes on.
fn stopped(stage: &Stage, hold: &mut Hold, runner: i32, step: i32) {
    assert!(!is_alive(runner) && !is_alive(step), "what was started is gone");
    assert!(!is_locked(&stage.site().join("runner.lock")) && !is_locked(&stage.site().join("site.lock")));
    assert!(matches!(outcomes(stage).as_slice(), [Outcome::Stopped { by }] if !by.is_empty()));
    let last = stage.events().pop().unwrap().event;
    assert!(matches!(last, Event::EngineStopped { reason: StopReason::Stopped }), "{last:?}");
    assert_eq!(stage.status()["state"], "stopped");
    hold.release();
    finish(stage);
    assert_eq!(stage.begun(STEP), 2);
}

#[test]
fn a_run_in_the_background_outlives_who_watches_and_is_stopped_from_any_shell() {
    for (name, stop) in [(Signal::INT, &["stop"][..]), (Signal::TERM, &["stop", "--now"]), (Signal::KILL, &[])] {
        let stage = Stage::new();
        let mut held = held(&stage);
        let runner = runner(&stage);
        signal(pid(&held.viewer), name);
        let left = done(held.viewer);
        if name == Signal::KILL {
            assert_eq!(left.code, 137);
        } else {
            assert!(
                left.code == 130 && left.err.contains("goes on in the background") && left.err.contains("mosip-setup attach"),
                "{left:?}"
            );
        }
        assert!(is_alive(held.engine) && is_alive(runner) && is_alive(held.step), "the run goes on");
        if stop.is_empty() {
            // Whoever ends the engine itself means a stop that can be gone on from.
            signal(held.engine, Signal::TERM);
            wait_for_lock(&stage.site().join("site.lock"));
        } else {
            let ended = stage.run(stop).expect(0);
            assert!(ended.out.contains("stopped  tools/checkout by "), "{}", ended.out);
            assert_eq!(ended.out.contains("is asked to end"), stop.len() == 1, "{}", ended.out);
        }
        stopped(&stage, &mut held.hold, runner, held.step);
        assert!(stage.run(&["stop"]).expect(0).err.contains("nothing is running"));
    }
}

#[test]
fn a_killed_engine_leaves_its_step_at_work_and_the_next_one_takes_it_over() {
    let stage = Stage::new();
    let mut held = held(&stage);
    let runner = runner(&stage);
    held.kill_engine(&stage);
    let (mut hold, step) = (held.hold, held.step);
    let viewer = done(held.viewer).expect(6);
    assert!(viewer.err.contains("ended from outside") && viewer.err.contains("takes it up"), "{}", viewer.err);
    assert!(is_alive(runner) && is_alive(step), "neither runner nor step went with the engine");
    assert!(is_locked(&stage.site().join("runner.lock")) && !is_locked(&stage.site().join("site.lock")));
    let next = stage.command(&["run", "--yes"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hold.release();
    done(next).expect(4);
    assert!(!is_alive(runner));
    assert_eq!(outcomes(&stage), [Outcome::Done]);
    assert_eq!((stage.begun(STEP), hold.pids().len()), (1, 1), "it was carried out once");
    let attempts = fs::read_dir(stage.runs().pop().unwrap().join("steps/tools.checkout")).unwrap().count();
    assert_eq!(attempts, 1);
    finish(&stage);
}

#[test]
fn a_step_that_ended_while_there_was_no_engine_is_not_run_again() {
    let stage = Stage::new();
    let mut held = held(&stage);
    held.kill_engine(&stage);
    let mut hold = held.hold;
    hold.release();
    wait_for_lock(&stage.site().join("runner.lock"));
    let attempt = stage.runs().pop().unwrap().join("steps/tools.checkout/1");
    assert_eq!(read_exit(&attempt).unwrap().outcome, Outcome::Done);
    finish(&stage);
    assert_eq!((stage.begun(STEP), hold.pids().len()), (1, 1));
    assert_eq!(outcomes(&stage), [Outcome::Done]);
}

#[test]
fn an_adopted_step_is_verified_like_any_other() {
    let stage = Stage::new();
    let mut held = held(&stage);
    held.kill_engine(&stage);
    let mut hold = held.hold;
    let next = stage.command(&["run", "--yes"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hold.pretend();
    hold.release();
    let ended = done(next).expect(1);
    assert!(ended.out.contains("it ended without error, but checkout.exists does not hold"), "{}", ended.out);
    assert!(outcomes(&stage).iter().all(|outcome| matches!(outcome, Outcome::Failed(_))), "{:?}", outcomes(&stage));
}

#[test]
fn a_step_that_was_killed_with_engine_and_runner_is_interrupted_and_run_again() {
    let stage = Stage::new();
    let mut held = held(&stage);
    let runner = runner(&stage);
    held.kill_engine(&stage);
    let (mut hold, step) = (held.hold, held.step);
    signal(runner, Signal::KILL);
    signal(step, Signal::KILL);
    wait_for_lock(&stage.site().join("runner.lock"));
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["phases"][0]["state"].as_str()), (Some("failed"), Some("interrupted")), "{status}");
    hold.release();
    finish(&stage);
    assert!(matches!(outcomes(&stage).as_slice(), [Outcome::Interrupted { reason }, Outcome::Done] if !reason.is_empty()));
    assert_eq!((stage.begun(STEP), hold.pids().len()), (2, 2));
}

#[test]
fn a_runner_that_is_killed_alone_is_an_interruption() {
    let stage = Stage::new();
    let Held { mut hold, viewer, step, .. } = held(&stage);
    signal(runner(&stage), Signal::KILL);
    let ended = done(viewer).expect(1);
    assert!(ended.out.contains("cut off  tools/checkout"), "{}", ended.out);
    signal(step, Signal::KILL);
    assert_eq!(stage.status()["state"], "failed");
    hold.release();
    stage.run(&["retry"]).expect(4);
    finish(&stage);
    assert_eq!(stage.begun(STEP), 2);
}

#[test]
fn engines_killed_at_every_event_lose_nothing() {
    // Where an engine may die is between two lines of its journal: every beginning of one must be a run that goes on.
    let whole = Stage::new();
    whole.rehearse(&[]).expect(0);
    let journal = whole.runs().pop().unwrap().join("journal.jsonl");
    let lines: Vec<String> = fs::read_to_string(&journal).unwrap().lines().map(str::to_owned).collect();
    let cuts: Vec<usize> = (1..lines.len()).filter(|number| !lines[number - 1].contains("\"kind\":\"finding\"")).collect();
    // A few of them, spread over the run, through the whole program; all of them through the fold.
    for number in &cuts {
        let events: Vec<_> = lines[..*number].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        mosip_setup::run::state::fold(&events).unwrap();
    }
    let steps = whole.runs().pop().unwrap().join("steps");
    for number in cuts.iter().step_by(17) {
        fs::write(&journal, lines[..*number].join("\n") + "\n").unwrap();
        // What had not begun by then has left nothing.
        let kept: Vec<&String> = lines[..*number].iter().filter(|line| line.contains("step_started")).collect();
        for folder in fs::read_dir(&steps).unwrap().map(|entry| entry.unwrap().path()) {
            let name = folder.file_name().unwrap().to_str().unwrap().replacen('.', "/", 1);
            if !kept.iter().any(|line| line.contains(&format!("\"step\":\"{name}\""))) {
                fs::remove_dir_all(&folder).unwrap();
            }
        }
        let code = whole.run(&["run", "--yes"]).code;
        if code == 4 {
            finish(&whole);
        } else {
            assert_eq!(code, 0, "after event {number}: {}", lines[number - 1]);
        }
        assert_eq!(whole.status()["state"], "done", "after event {number}");
    }
}

#[test]
fn a_full_disk_stops_the_line_and_room_lets_it_go_on() {
    if !rustix::process::geteuid().is_root() {
        skip!("mount", "needs root");
    }
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    let marker = serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] });
    fs::write(stage.state_dir().join("rehearsal.json"), marker.to_string()).unwrap();
    let runs = stage.site().join("runs");
    fs::create_dir_all(&runs).unwrap();
    // The first step that is carried out by a program fills the disk of the runs.
    let fill = format!(
        "if [ ! -e {0}/filled ]; then echo >{0}/filled; cat /dev/zero >{1}/filler 2>/dev/null; fi",
        stage.place.path("hold").display(),
        runs.display()
    );
    let mut hold = Hold::new(&stage.place, &fill);
    hold.release();
    let script = format!(
        "mount -t tmpfs -o size=8m tmpfs '{runs}' || exit 99\n\
         {PROGRAM} run --yes --state-dir '{state}' >first.out 2>first.err; echo \"first $?\"\n\
         grep -c '\"step_started\"' '{runs}'/*/journal.jsonl; tail -c 1 '{runs}'/*/journal.jsonl | xxd -p; rm '{runs}/filler'\n\
         {PROGRAM} run --yes --state-dir '{state}' >second.out 2>second.err; echo \"second $?\"\n",
        runs = runs.display(),
        state = stage.state_dir().display(),
    );
    let ended = Done::of(stage.place.command("unshare").args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()));
    let said = |name: &str| fs::read_to_string(stage.place.home().join(name)).unwrap_or_default();
    if ended.code == 99 {
        skip!("mount", "may not mount");
    }
    // What is left of the journal's last page decides whether the engine can still say that the step was cut off.
    let (one, six) = (ended.out.contains("first 1\n"), ended.out.contains("first 6\n"));
    assert!(one || six, "{}{}{}{}", ended.out, ended.err, said("first.out"), said("first.err"));
    assert_eq!(six, said("first.err").contains("check that the disk is not full"), "{}", said("first.err"));
    // What the step had taken beforehand for its record is free again: enough for the journal, not for another step.
    assert!(six || said("first.out").contains("the disk is full"), "{}", said("first.out"));
    assert!(!said("first.out").contains("done     certificates"), "no further step is carried out");
    assert!(ended.out.contains("\n0a\n"), "no half line is left: {}", ended.out);
    assert!(ended.out.contains("second 4\n"), "{}{}{}", ended.out, said("second.out"), said("second.err"));
}

#[test]
fn a_journal_that_cannot_be_written_lets_no_step_begin() {
    if !rustix::process::geteuid().is_root() {
        skip!("mount", "needs root");
    }
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.retire();
    let journal = stage.runs().pop().unwrap().join("journal.jsonl");
    let before = fs::read(&journal).unwrap();
    // Not even root writes through a mount that is read only.
    let script = format!(
        "mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}' || exit 99; exec {PROGRAM} retry --state-dir '{1}'",
        journal.display(),
        stage.state_dir().display()
    );
    let ended = Done::of(stage.place.command("unshare").args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()));
    if ended.code == 99 {
        skip!("mount", "may not mount");
    }
    let refused = ended.expect(6);
    assert!(refused.err.contains("journal.jsonl") && refused.err.contains("folder is yours"), "{}", refused.err);
    assert_eq!(fs::read(&journal).unwrap(), before);
    let attempts = fs::read_dir(stage.runs().pop().unwrap().join("steps/wireguard.playbook")).unwrap().count();
    assert_eq!(attempts, 1, "nothing was begun");
    stage.run(&["retry"]).expect(4);
}
