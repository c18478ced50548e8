//! Coming back to a run of 100,000 events with a log of 1 GiB: from the start of the program to the first full screen. And what its engine
//! costs while nothing happens.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::process::{rss_kib, time_of};
use common::screen::Screen;
use common::site::Site;
use common::{Sample, give_up, machine, program, scratch, setting, verdict};
use mosip_setup::adapters::journal;
use mosip_setup::install::ids::StepRef;
use mosip_setup::run::event::{Event, Failure, Outcome, Recorded};

const LAST_LINE: &str = "the last line of a long log";

/// The newest run's folder.
fn run(site: &Site) -> PathBuf {
    let mut runs: Vec<PathBuf> =
        std::fs::read_dir(site.path("state/sites/be0c/runs")).expect("the runs").flatten().map(|entry| entry.path()).collect();
    runs.sort();
    runs.pop().unwrap_or_else(|| give_up("there is no run"))
}

/// Makes the run's history as long as that of a run with many thousand attempts; gives the number of the next one.
fn lengthen(path: &Path, events: usize) -> u32 {
    let step: StepRef = "print/lines".parse().expect("the step's name");
    let known = journal::read(path).expect("the journal");
    let last = known.last().expect("an event");
    let mut text = std::fs::read(path).expect("the journal");
    let mut attempt = 1;
    for number in 0..events {
        let event = if number.is_multiple_of(2) {
            attempt += 1;
            Event::StepStarted { step: step.clone(), attempt, digest: "5b1f".repeat(16), hosts: Vec::new() }
        } else {
            let outcome = Outcome::Failed(Failure { message: "ansible-playbook ended with exit code 2".into(), ..Failure::default() });
            Event::StepFinished { step: step.clone(), attempt, outcome, took_ms: 61_234, log_bytes: 104_857_600 }
        };
        let recorded = Recorded { seq: last.seq + 1 + number as u64, at: last.at, event };
        serde_json::to_writer(&mut text, &recorded).expect("an event");
        text.push(b'\n');
    }
    std::fs::write(path, text).expect("the journal");
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
    let attempt = lengthen(&run.join("journal.jsonl"), events);
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
    let mut whole = Sample::default();
    let mut engine = 0;
    for round in 0..rounds + 2 {
        let mut screen = Screen::start(&program(), &["--state-dir", &site.state(), "--site", &site.site(), "attach"], &site.variables());
        let begun = screen.begun;
        let complete = screen.until("phases, state and the end of the log", shown);
        screen.send("q");
        screen.wait();
        if round >= 2 {
            whole.time(complete - begun);
        }
        engine = holder(&site);
    }
    let _ = watching.kill();
    let _ = watching.wait();
    let (silent, _) = idle(engine);
    println!("first full screen     {} ({events} events, {bytes} MiB of log)", whole.words(1000.0, "ms"));
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
