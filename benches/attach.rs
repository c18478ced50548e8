//! Coming back to a run of 100,000 events with a log of 1 GiB: from the start of the program to the first full screen. And what its engine
//! costs while nothing happens.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::process::{peak_kib, rss_kib, time_of};
use common::screen::Screen;
use common::site::Site;
use common::{Sample, give_up, machine, program, scratch, setting, verdict};
use mosip_setup::adapters::journal;
use mosip_setup::install::check::{Finding, Level, Target, Verdict};
use mosip_setup::install::ids::{PhaseId, StepRef};
use mosip_setup::run::diagnose::{Confidence, Hit};
use mosip_setup::run::event::{Decision, Event, Failure, Outcome, Recorded};
use mosip_setup::run::question::{Question, Wanted};

const LAST_LINE: &str = "the last line of a long log";

/// The newest run's folder.
fn run(site: &Site) -> PathBuf {
    let mut runs: Vec<PathBuf> =
        std::fs::read_dir(site.path("state/sites/be0c/runs")).expect("the runs").flatten().map(|entry| entry.path()).collect();
    runs.sort();
    runs.pop().unwrap_or_else(|| give_up("there is no run"))
}

/// A failure as the engine writes it, about 1,500 bytes: the command, the lines that matter, a known failure with cause and remedy.
fn failure(attempt: u32) -> Failure {
    let host = format!("vm{}", attempt % 12);
    let line =
        format!("fatal: [{host}]: FAILED! => {{\"attempts\": 10, \"changed\": false, \"msg\": \"Status code was -1 and not [200]\"}}");
    Failure {
        message: format!("ansible-playbook ended with exit code 2: task 'wait for the API' failed on {host}"),
        command: "ansible-playbook -i inventory/hosts.ini --extra-vars @answers.json --limit all playbooks/cluster.yml".into(),
        exit: Some(2),
        lines: vec![line.clone(); 6],
        hint: "Look at the log of the machine that is named, put it right, then retry the failed hosts.".into(),
        known: vec!["api-not-ready".into()],
        diagnoses: vec![Hit {
            id: "api-not-ready".into(),
            title: "The cluster's API does not answer yet".into(),
            cause: "The control plane takes longer to start than the playbook waits, mostly because images are pulled over a slow link."
                .into(),
            remedy: "Wait until the images are there, then retry; the step goes on where it was.".into(),
            commands: vec!["sudo crictl images".into(), "sudo journalctl -u rke2-server --since -10min".into()],
            confidence: Confidence::Medium,
            source: String::new(),
            line,
        }],
        hosts: vec![host],
        ..Failure::default()
    }
}

/// A finding of the checks that guard the phase, in words of usual length.
fn finding(number: usize, phase: &PhaseId) -> Event {
    let target = Target::Machine(format!("vm{}", number % 12).parse().expect("a machine's name"));
    let finding = Finding {
        check: format!("bench-check-{}", number % 60).parse().expect("a check's name"),
        target,
        level: Level::Fail,
        verdict: Verdict::Pass,
        observed: "48 GiB free of 64 GiB in /var/lib".into(),
        expected: "at least 40 GiB free where images are kept".into(),
        remedy: "Make room, or give the machine a larger disk.".into(),
        guards: vec![phase.clone()],
        ignored: None,
        cause: None,
    };
    Event::Finding { phase: Some(phase.clone()), finding }
}

/// Makes the run's history as long as that of a run with many thousand attempts; gives the number of the next one. Of ten events one is a
/// retry, four are findings, one opens the gate, one begins the step, two are a question and its answer, and one ends it as failed, with
/// all that is known. With `hard` every second event is such a failure, and the others begin the step.
fn lengthen(path: &Path, events: usize, hard: bool) -> u32 {
    let step: StepRef = "print/lines".parse().expect("the step's name");
    let phase = step.phase.clone();
    let known = journal::read(path).expect("the journal");
    let last = known.last().expect("an event");
    let mut text = std::fs::read(path).expect("the journal");
    let mut attempt = 1;
    for number in 0..events {
        let turn = if hard { [6, 9][number % 2] } else { number % 10 };
        let id = format!("{step}#{attempt}");
        let event = match turn {
            0 => {
                let decision = Decision::Retry { phase: phase.clone(), from_start: false, step: None, hosts: Vec::new() };
                Event::OperatorDecided { decision, by: "operator".into() }
            }
            1..=4 => finding(number, &phase),
            5 => Event::Gate { phase: phase.clone(), open: true, ignored: 0, blocking: Vec::new(), held: None },
            6 => {
                attempt += 1;
                Event::StepStarted { step: step.clone(), attempt, digest: "5b1f".repeat(16), hosts: Vec::new() }
            }
            7 => {
                let wanted = Wanted::Prompt { number: 1, secret: false };
                let (text, detail) = ("Continue with these versions? [y/N]".into(), "The command asks at its terminal.".into());
                Event::QuestionAsked { question: Question { id, step: step.clone(), text, detail, wanted } }
            }
            8 => Event::QuestionAnswered { id, by: "operator".into(), answer: Some("y".into()) },
            _ => {
                let outcome = Outcome::Failed(failure(attempt));
                Event::StepFinished { step: step.clone(), attempt, outcome, took_ms: 61_234, log_bytes: 104_857_600 }
            }
        };
        let recorded = Recorded { seq: last.seq + 1 + number as u64, at: last.at, event };
        serde_json::to_writer(&mut text, &recorded).expect("an event");
        text.push(b'\n');
    }
    std::fs::write(path, &text).expect("the journal");
    println!("journal               {:.1} MiB", text.len() as f64 / 1024.0 / 1024.0);
    attempt + 1
}

/// The engine's process.
fn holder(site: &Site) -> u32 {
    let text = std::fs::read(site.path("state/sites/be0c/site.lock")).expect("who holds the site");
    let holder: serde_json::Value = serde_json::from_slice(&text).expect("who holds the site");
    u32::try_from(holder["pid"].as_u64().unwrap_or(0)).unwrap_or(0)
}

/// Processor time over ten seconds as percent of a core, and resident memory, MiB.
fn idle(engine: u32) -> (f64, f64) {
    let (before, begun) = (time_of(engine), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let used = time_of(engine).saturating_sub(before);
    (used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0, rss_kib(engine) as f64 / 1024.0)
}

fn main() {
    machine("attach");
    let (events, bytes, rounds) = (setting("BENCH_EVENTS", 100_000), setting("BENCH_LOG_MIB", 1024), setting("BENCH_ROUNDS", 15));
    let folder = scratch();
    let site = Site::new(folder.path(), 5, 1);
    site.program("ansible-playbook", "#!/bin/sh\nexit 2\n");
    let _ = site.command(&["run", "--yes", "--plain"]).output().expect("mosip-setup run");
    let _ = site.command(&["stop"]).output().expect("mosip-setup stop");
    let run = run(&site);
    let attempt = lengthen(&run.join("journal.jsonl"), events, setting("BENCH_HARD", 0) > 0);
    let dir = run.join("steps/print.lines").join(attempt.to_string());
    std::fs::create_dir_all(&dir).expect("the attempt's folder");
    let mut log = std::fs::File::create(dir.join("output.log")).expect("a log");
    let line = "TASK [a task with a name of some length] *****************************************************************\nok: [vm1]\n";
    let block = line.repeat(1024 * 1024 / line.len());
    for _ in 0..bytes {
        log.write_all(block.as_bytes()).expect("a log");
    }
    log.seek(SeekFrom::End(0)).expect("a log");
    site.program("ansible-playbook", &format!("#!/bin/sh\necho '{LAST_LINE}'\nexec sleep 3600\n"));
    let mut watching =
        site.command(&["run", "--yes", "--plain"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mosip-setup run");
    let shown = |text: &str| text.contains(LAST_LINE);
    let (mut whole, mut processor, mut memory) = (Sample::default(), Sample::default(), Sample::default());
    let mut engine = 0;
    for round in 0..rounds + 2 {
        let mut screen = Screen::start(&program(), &["--state-dir", &site.state(), "--site", &site.site(), "attach"], &site.variables());
        let begun = screen.begun;
        let complete = screen.until("phases, state and the end of the log", shown);
        let (used, peak) = (time_of(screen.pid()), peak_kib(screen.pid()));
        screen.send("q");
        screen.wait();
        if round >= 2 {
            whole.time(complete - begun);
            processor.time(used);
            memory.0.push(peak as f64 / 1024.0);
        }
        engine = holder(&site);
    }
    let _ = watching.kill();
    let _ = watching.wait();
    let (silent, _) = idle(engine);
    println!("first full screen     {} ({events} events, {bytes} MiB of log)", whole.words(1000.0, "ms"));
    println!("its processor time    {}", processor.words(1000.0, "ms"));
    println!("its peak memory       {}", memory.words(1.0, "MiB"));
    println!("engine, a silent step {silent:.2} % of a core, {:.1} MiB resident", rss_kib(engine) as f64 / 1024.0);
    let _ = site.command(&["stop"]).output().expect("mosip-setup stop");
    site.program("ansible-playbook", "#!/bin/sh\nexit 2\n");
    let _ = site.command(&["run", "--yes", "--plain"]).output().expect("mosip-setup run");
    let (share, resident) = idle(holder(&site));
    println!("engine, waiting       {share:.2} % of a core, {resident:.1} MiB resident");
    println!("load at the end       {}", common::load());
    let _ = site.command(&["stop"]).output().expect("mosip-setup stop");
    verdict("first full screen", whole.median() < 0.300, "median under 300 ms");
    verdict("engine, waiting", share < 1.0 && resident < 32.0, "under 1 % of a core and 32 MiB");
}
