//! The engine as a process of its own: many viewers, one of them stuck; an upgrade in the middle; another that takes over; who may talk.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use mosip_setup::adapters::socket;
use mosip_setup::engine::client::{History, look};
use mosip_setup::engine::driver::EngineError;
use mosip_setup::engine::opening::Opening;
use mosip_setup::engine::setup::{Setup, SetupError};
use mosip_setup::run::event::Event;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Hold, PATIENCE, Stage, done, is_alive, signal, wait_for_lock};
use crate::support::{Done, PROGRAM, skip};
use crate::terminal::Terminal;

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Asks the engine itself until it is as expected.
#[track_caller]
fn until(stage: &Stage, what: &str, holds: impl Fn(&mosip_setup::engine::client::Engine) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let run = stage.runs().pop().unwrap();
    while !look(&run).is_ok_and(|engine| holds(&engine)) {
        assert!(Instant::now() < deadline, "waited in vain for {what}: {:?}", look(&run));
        std::thread::yield_now();
    }
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
fn ten_viewers_see_everything_and_one_that_is_stopped_holds_up_nobody() {
    let stage = Stage::new();
    let mut hold = Hold::new(&stage.place, "");
    let starter = piped(stage.rehearsal(&[]));
    hold.arrived();
    // Into files: a pipe that nobody empties would hold up a viewer for another reason.
    let outputs: Vec<_> = (0..10).map(|number| stage.place.path(&format!("viewer-{number}"))).collect();
    let start = |path| stage.command(&["attach", "--json"]).stdin(Stdio::null()).stdout(fs::File::create(path).unwrap()).spawn().unwrap();
    let mut viewers: Vec<Child> = outputs.iter().map(start).collect();
    until(&stage, "eleven viewers", |engine| engine.viewers == 11);
    signal(pid(&viewers[3]), Signal::STOP);
    hold.release();
    done(starter).expect(0);
    for (number, viewer) in viewers.iter_mut().enumerate().filter(|(number, _)| *number != 3) {
        assert!(viewer.wait().unwrap().success(), "viewer {number}");
    }
    // The engine has not waited for the one that was stopped.
    wait_for_lock(&stage.site().join("site.lock"));
    signal(pid(&viewers[3]), Signal::CONT);
    assert!(viewers[3].wait().unwrap().success());
    let journal: Vec<Value> = stage.events().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    for output in &outputs {
        let seen: Vec<Value> = journal_lines(&fs::read_to_string(output).unwrap());
        assert!(seen == journal, "{}: {} of {} events", output.display(), seen.len(), journal.len());
    }
}

/// The journal's own events among what `--json` printed: what a step waits for has no number.
fn journal_lines(out: &str) -> Vec<Value> {
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event.get("seq").is_some()).collect()
}

#[test]
fn an_upgrade_in_the_middle_changes_nothing_for_what_runs() {
    let stage = Stage::new();
    let program = stage.place.path("bin/mosip-setup");
    fs::copy(PROGRAM, &program).unwrap();
    let own = |arguments: &[&str]| {
        let mut command = stage.place.command(&program);
        command.args(arguments);
        command
    };
    let mut hold = Hold::new(&stage.place, "");
    let scratch = stage.scratch().display().to_string();
    let starter = piped(own(&["rehearse", "--headless", "--speed", "5000", "--dir", &scratch]));
    hold.arrived();
    let engine = stage.engine().unwrap();
    // As package managers do it: the old file goes, another takes its name.
    fs::remove_file(&program).unwrap();
    fs::copy(PROGRAM, &program).unwrap();
    fs::OpenOptions::new().append(true).open(&program).unwrap().write_all(b"of tomorrow").unwrap();
    let image = fs::read_link(format!("/proc/{engine}/exe")).unwrap();
    assert!(image.to_str().unwrap().ends_with("(deleted)"), "{}", image.display());
    let state = stage.state_dir().display().to_string();
    let watching = piped(own(&["attach", "--json", "--state-dir", &state]));
    until(&stage, "two viewers", |engine| engine.viewers == 2);
    hold.release();
    // Runners and terminals are started by the old engine, from the old image.
    done(starter).expect(0);
    let watched = done(watching).expect(0);
    assert_eq!(journal_lines(&watched.out).len(), stage.events().len());
    assert_eq!(stage.status()["state"], "done");
}

#[test]
fn an_engine_of_another_protocol_and_a_user_who_may_not_are_told_so() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let path = stage.runs().pop().unwrap().join("engine.sock");
    let say = |line: &str| {
        let mut stream = socket::connect(&path).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut said).unwrap();
        serde_json::from_str::<Value>(&said).unwrap_or_default()
    };
    let refused = say("{\"kind\":\"hello\",\"versions\":[7,9],\"tool\":\"9.0.0\",\"watch\":true}\n");
    assert_eq!(refused["kind"], "refused");
    assert!(refused["reason"].as_str().unwrap().contains("--take-over"), "{refused}");
    let newer = say("{\"kind\":\"hello\",\"versions\":[1,9],\"tool\":\"9.0.0\",\"watch\":true,\"more\":1}\n");
    assert_eq!((newer["kind"].as_str(), newer["version"].as_u64()), (Some("hello"), Some(1)));
    assert_eq!(say("{\"kind\":\"leave\"}\n")["kind"], "refused", "the first line says who it is");
    if !rustix::process::geteuid().is_root() {
        skip!("mount", "needs root");
    }
    // Whoever the folders let through by mistake is still refused by the engine itself.
    let open = format!(
        "chmod 0777 '{}'; p='{}'; while [ \"$p\" != / ]; do chmod o+x \"$p\"; p=$(dirname \"$p\"); done",
        path.display(),
        path.display()
    );
    Done::of(Command::new("sh").args(["-c", &open])).expect(0);
    let script = format!(
        "import os, socket\nos.chdir({:?})\ns = socket.socket(socket.AF_UNIX)\ns.connect('engine.sock')\n\
         print(s.makefile().readline())",
        path.parent().unwrap()
    );
    let stranger = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", &script];
    let told = Done::of(Command::new("setpriv").args(stranger)).expect(0);
    assert!(told.out.contains("\"refused\"") && told.out.contains("belongs to root"), "{}{}", told.out, told.err);
}

#[test]
fn another_engine_takes_over_from_a_living_one_when_told_to() {
    let stage = Stage::new();
    let mut hold = Hold::new(&stage.place, "");
    let starter = piped(stage.rehearsal(&[]));
    let step = hold.arrived();
    stage.unanswered();
    let old = stage.engine().unwrap();
    let next = piped(stage.command(&["run", "--yes", "--take-over"]));
    let left = done(starter).expect(5);
    assert!(left.err.contains("another engine took over"), "{}", left.err);
    until(&stage, "the next engine at work", |engine| i32::try_from(engine.pid).unwrap() != old && engine.working);
    assert!(!is_alive(old) && is_alive(step), "only the engine has gone");
    hold.release();
    done(next).expect(4);
    assert_eq!((stage.begun("tools/checkout"), hold.pids().len()), (1, 1), "it was carried out once");
    let events = stage.events();
    assert!(events.iter().any(|event| matches!(&event.event, Event::HandedOver { by } if !by.is_empty())));
    assert_eq!(stage.status()["state"], "waiting");
    assert_eq!(stage.status()["engine"]["working"], false, "it waits for the answer");
    // Stopped there, it does not wait for anybody; the question stays, and who answers it goes on.
    let stopped = stage.run(&["stop"]).expect(0);
    assert!(stopped.out.contains("the question stays open"), "{}", stopped.out);
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["questions"].as_array().unwrap().len()), (Some("stopped"), 1), "{status}");
    assert!(stage.phases().contains(&"rancher-import=stopped".to_owned()), "{status}");
    stage.run(&["attach"]).expect(130);
}

#[test]
fn a_state_folder_with_a_long_name_has_an_engine_too() {
    let stage = Stage::new();
    let deep = stage.place.path(&"long/".repeat(40)).join("scratch");
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    let dir = deep.display().to_string();
    let mut hold = Hold::new(&stage.place, "");
    let mut command = stage.place.command(PROGRAM);
    let starter = piped({
        command.args(["rehearse", "--headless", "--speed", "5000", "--dir", &dir]);
        command
    });
    hold.arrived();
    let state = deep.join("state").display().to_string();
    let attached = piped({
        let mut command = stage.place.command(PROGRAM);
        command.args(["attach", "--json", "--state-dir", &state]);
        command
    });
    hold.release();
    assert!(deep.join("state/sites/rehearsal-0000/runs").display().to_string().len() > 200);
    done(starter).expect(0);
    assert!(done(attached).expect(0).out.contains("\"run_closed\""));
}

#[test]
fn of_two_engines_started_at_once_exactly_one_has_the_site() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    let (state, site) = (stage.state_dir(), stage.scratch().join("site.toml"));
    let barrier = Arc::new(Barrier::new(2));
    // Who loses a race waits half a second before it believes that: a hundred rounds are for `tests/run --long`.
    let rounds = if std::env::var_os("MOSIP_SETUP_LONG").is_some() { 100 } else { 15 };
    // In threads: a lock belongs to an open file, so two of them are as good as two processes, and a hundred rounds take less time.
    let contender = || {
        let (state, site, barrier) = (state.clone(), site.clone(), barrier.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let setup = Setup::open(Some(&state)).unwrap();
            let project = setup.project(&site).unwrap();
            let plan = setup.plan(&project).unwrap();
            let secrets = setup.known_secrets(&project, &plan).unwrap();
            let mut won = 0;
            for _ in 0..rounds {
                barrier.wait();
                let opening = Opening { foreground: true, ..Opening::default() };
                let opened = runtime.block_on(setup.open_run(&project, plan.clone(), secrets.clone(), opening));
                barrier.wait();
                match opened {
                    Ok(opened) => {
                        won += 1;
                        assert_eq!(runtime.block_on(opened.own.unwrap().end()), None);
                    }
                    Err(SetupError::Engine(EngineError::Held { pid })) => assert_eq!(pid, std::process::id()),
                    Err(error) => panic!("{error}"),
                }
            }
            won
        })
    };
    let (one, other) = (contender(), contender());
    assert_eq!(one.join().unwrap() + other.join().unwrap(), rounds);
    let started = stage.events().iter().filter(|event| matches!(event.event, Event::EngineStarted { .. })).count();
    assert_eq!((started, stage.runs().len()), (rounds, 1));
}

#[test]
fn two_runs_started_at_once_are_one_run_with_two_viewers() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    let marker = serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] });
    fs::write(stage.state_dir().join("rehearsal.json"), marker.to_string()).unwrap();
    let started: Vec<Child> = (0..4).map(|_| piped(stage.command(&["run", "--yes"]))).collect();
    for run in started {
        let run = done(run);
        // One of them may have been told that a phase is running already.
        assert!([0, 2, 4].contains(&run.code), "{}{}", run.out, run.err);
    }
    let engines = stage.events().iter().filter(|event| matches!(event.event, Event::EngineStarted { .. })).count();
    assert_eq!((engines, stage.runs().len(), stage.begun("tools/checkout")), (1, 1, 1));
}

#[test]
fn a_clock_that_was_set_back_disturbs_nothing() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    stage.retire();
    let journal = stage.runs().pop().unwrap().join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let year = |text: &str| text.split_once("\"at\":\"").unwrap().1[..4].to_owned();
    // What has happened so far has happened in ten years, by the clock of then.
    let later = format!("\"at\":\"{}", year(&text).parse::<u32>().unwrap() + 10);
    fs::write(&journal, text.replace(&format!("\"at\":\"{}", year(&text)), &later)).unwrap();
    stage.run(&["status"]).expect(0);
    stage.run(&["retry"]).expect(4);
    assert_eq!(stage.begun("wireguard/playbook"), 2);
    let mut seen = 0;
    let whole = fs::metadata(&journal).unwrap().len();
    History::new(&journal)
        .read_to(whole, &mut |event| {
            event.seq == {
                seen += 1;
                seen - 1
            }
        })
        .unwrap();
    assert_eq!(seen as usize, stage.events().len(), "in the order in which it happened");
}

#[test]
fn a_stale_socket_and_a_stale_lock_are_taken_for_what_they_are() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let engine = stage.engine().unwrap();
    signal(engine, Signal::KILL);
    wait_for_lock(&stage.site().join("site.lock"));
    assert!(stage.runs().pop().unwrap().join("engine.sock").exists() && stage.site().join("site.lock").exists());
    let status = stage.status();
    assert_eq!((status["state"].as_str(), status["engine"].is_null()), (Some("failed"), true), "{status}");
    let looked = stage.run(&["attach"]).expect(1);
    assert!(
        looked.out.contains("FAILED   wireguard/playbook") && looked.err.contains("no engine is at work"),
        "{}{}",
        looked.out,
        looked.err
    );
    stage.run(&["retry"]).expect(4);
    assert_ne!(stage.engine(), Some(engine));
}

/// A rehearsal that waits for the import address on a terminal, where lines are shown.
fn asked_at_a_terminal(stage: &Stage) -> (Terminal, String) {
    stage.rehearse(&["--fault", "host-down"]).expect(3);
    let marker = serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] });
    fs::write(stage.state_dir().join("rehearsal.json"), marker.to_string()).unwrap();
    let state = stage.state_dir().display().to_string();
    let mut terminal = Terminal::start(Terminal::command(&stage.place, PROGRAM, &["run", "--yes", "--state-dir", &state]), 120, 40);
    terminal.until_shows("(not shown): ");
    let question = stage.status()["questions"][0]["id"].as_str().unwrap().to_owned();
    (terminal, question)
}

#[test]
fn a_question_at_a_terminal_is_taken_back_when_another_shell_answers_it() {
    let stage = Stage::new();
    let (mut terminal, question) = asked_at_a_terminal(&stage);
    assert!(terminal.raw.contains(&7), "it rings");
    terminal.send("half an answer");
    let address = "https://rancher.sandbox.example.org/v3/import/abcdefghijkl_c-m-abcdefgh.yaml";
    stage.run_with(&["answer", &question], address).expect(0);
    let screen = terminal.until("the end of the run, without a key", |screen| screen.contains("complete every phase is done"));
    assert!(!screen.contains("half an answer"), "{screen}");
    assert!(terminal.wait_exit().success());
    let text = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(text.contains(&format!("answered {question} by ")), "{text}");
}

#[test]
fn a_question_at_a_terminal_is_left_by_ctrl_c_and_by_the_end_of_input() {
    for (key, code) in [("<c-c>", 130), ("<c-d>", 4)] {
        let stage = Stage::new();
        let (mut terminal, question) = asked_at_a_terminal(&stage);
        terminal.send(key);
        assert_eq!(terminal.wait_exit().exit_code(), code, "{key}");
        assert_eq!(stage.status()["questions"][0]["id"], question.as_str(), "it stays open");
    }
}

#[test]
fn going_on_at_a_terminal_names_what_would_run_and_nothing_else() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let state = stage.state_dir().display().to_string();
    let mut terminal = Terminal::start(Terminal::command(&stage.place, PROGRAM, &["run", "--plain", "--state-dir", &state]), 120, 40);
    let screen = terminal.until_shows("4 of 14 phases are settled. Go on with these? Type yes:");
    let listed: Vec<&str> =
        screen.lines().filter(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((listed.len(), listed[0], listed[9]), (10, "wireguard", "verification"), "{screen}");
    terminal.send("no<enter>");
    assert_eq!(terminal.wait_exit().exit_code(), 130);
    assert_eq!(stage.begun("wireguard/playbook"), 1);
}
