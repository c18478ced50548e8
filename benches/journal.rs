//! The journal: one event to disk, many events read and folded; and the redactor beside `grep` on the same text, as an orientation.
//! The append is wall time, for the disk is in it; all else is processor time.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::process::{own_nanoseconds, time_of_children};
use common::site::{Site, secrets};
use common::{Sample, give_up, machine, scratch, setting, verdict};
use jiff::Timestamp;
use mosip_setup::adapters::journal::{self, Journal};
use mosip_setup::install::ids::StepRef;
use mosip_setup::run::event::{Event, Outcome, Recorded};
use mosip_setup::run::redact::{Redactor, Stream};
use mosip_setup::run::state;

/// A whole run's first event, as the program writes it.
fn opening(site: &Site) -> Recorded {
    site.program("ansible-playbook", "#!/bin/sh\nprintf 'PLAY RECAP ***\\nlocalhost : ok=1 changed=0 unreachable=0 failed=0\\n'\n");
    let done = site.command(&["run", "--yes", "--plain"]).output().expect("mosip-setup run");
    if !done.status.success() {
        give_up(&format!("mosip-setup run: {}", String::from_utf8_lossy(&done.stderr)));
    }
    let run = site.attempt().ancestors().nth(3).map(|run| run.join("journal.jsonl")).unwrap_or_default();
    journal::read(&run).expect("its journal").into_iter().next().expect("an event")
}

fn step_event(number: usize, step: &StepRef) -> Event {
    let attempt = u32::try_from(number / 2 + 1).unwrap_or(u32::MAX);
    if number.is_multiple_of(2) {
        Event::StepStarted { step: step.clone(), attempt, digest: "5b1f".repeat(16), hosts: Vec::new() }
    } else {
        Event::StepFinished { step: step.clone(), attempt, outcome: Outcome::Done, took_ms: 61_234, log_bytes: 104_857_600 }
    }
}

/// Processor time of this thread since then: what else the machine does is not in it.
fn since(begun: u64) -> Duration {
    Duration::from_nanos(own_nanoseconds() - begun)
}

fn main() {
    machine("journal");
    let (appends, folded, megabytes) = (setting("BENCH_APPENDS", 300), setting("BENCH_EVENTS", 100_000), setting("BENCH_MEGABYTES", 100));
    let folder = scratch();
    let site = Site::new(folder.path(), 20, 1);
    let first = opening(&site);
    let step: StepRef = "print/lines".parse().expect("the step's name");

    let path = folder.path().join("journal.jsonl");
    let (mut open, _) = Journal::open(&path).expect("a journal");
    open.append(first.at, first.event.clone()).expect("an event");
    let mut sample = Sample::default();
    for number in 0..appends {
        let begun = Instant::now();
        open.append(Timestamp::now(), step_event(number, &step)).expect("an event");
        sample.time(begun.elapsed());
    }
    println!("append with fsync     {}; p99 {:.2} ms", sample.words(1000.0, "ms"), sample.quantile(0.99) * 1000.0);

    let mut text = serde_json::to_vec(&first).expect("an event");
    text.push(b'\n');
    for number in 0..folded {
        let recorded = Recorded { seq: number as u64 + 1, at: first.at, event: step_event(number, &step) };
        serde_json::to_writer(&mut text, &recorded).expect("an event");
        text.push(b'\n');
    }
    std::fs::write(&path, &text).expect("a journal");
    let (mut reading, mut folding) = (Sample::default(), Sample::default());
    for _ in 0..setting("BENCH_ROUNDS", 7) {
        let begun = own_nanoseconds();
        let events = journal::read(&path).expect("the journal");
        reading.time(since(begun));
        let begun = own_nanoseconds();
        let state = state::fold(&events).expect("a state");
        folding.time(since(begun));
        assert_eq!(state.seq, folded as u64, "every event counts");
    }
    println!("read {folded} events   {}", reading.words(1000.0, "ms"));
    println!("fold {folded} events   {}", folding.words(1000.0, "ms"));

    redactor(folder.path(), megabytes);
    println!("load at the end       {}", common::load());
    verdict("append", sample.median() < 0.100, "never in the way: median under 100 ms");
    verdict("read and fold", reading.median() + folding.median() < 1.0, "a start is not felt: under 1 s together");
}

/// The redactor and `grep -c -F` look for the same twenty values in the same text.
fn redactor(folder: &std::path::Path, megabytes: usize) {
    let mut text = Vec::with_capacity((megabytes + 1) << 20);
    let secrets = secrets(20);
    let mut number = 0_usize;
    while text.len() < megabytes << 20 {
        number += 1;
        let secret = if number.is_multiple_of(1000) { secrets[number / 1000 % 20].as_str() } else { "a value that is none" };
        writeln!(
            text,
            "changed: [vm{}] => (item=package-{number:07}) {{'state': 'present', 'key': '{secret}'}} {:>20}",
            number % 11,
            "pending"
        )
        .expect("text in memory");
    }
    let (data, values) = (folder.join("text"), folder.join("values"));
    std::fs::write(&data, &text).expect("the text");
    std::fs::write(&values, secrets.join("\n")).expect("the values");
    let redactor = Redactor::new(secrets.iter().map(String::as_str)).expect("a redactor");
    let (mut ours, mut grep) = (Sample::default(), Sample::default());
    let has_grep = which::which("grep").is_ok();
    for _ in 0..setting("BENCH_ROUNDS", 7) {
        let mut out = Vec::with_capacity(256 * 1024);
        let mut stream = Stream::new(&redactor);
        let mut masks = 0;
        let begun = own_nanoseconds();
        for piece in text.chunks(64 * 1024) {
            stream.feed(piece, &mut out);
            black_box(&out);
            masks += memchr::memmem::find_iter(&out, "(secret)").count();
            out.clear();
        }
        stream.finish(&mut out);
        ours.time(since(begun));
        assert_eq!(masks, number / 1000, "every secret is removed");
        if has_grep {
            let begun = time_of_children();
            let command =
                Command::new("grep").env("LC_ALL", "C").args(["-c", "-F", "-f"]).args([&values, &data]).stdout(Stdio::piped()).output();
            grep.time(time_of_children() - begun);
            let found = command.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default();
            assert_eq!(found, (number / 1000).to_string(), "grep finds the same");
        }
    }
    let speed = |sample: &Sample| text.len() as f64 / 1e6 / sample.median();
    println!("redactor, {megabytes} MiB     {}, {:.0} MB/s", ours.words(1000.0, "ms"), speed(&ours));
    if has_grep {
        println!("grep -c -F, the same  {}, {:.0} MB/s", grep.words(1000.0, "ms"), speed(&grep));
    } else {
        println!("grep is not on PATH: no comparison");
    }
}
