//! A log of ten million lines: a search whose only hit is the last line, and a filter, beside `grep -m1` on the same file in the same run;
//! then the same in the full screen: until it first says how far it is, until the hit is shown, and how much memory that takes.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::process::peak_kib;
use common::screen::Screen;
use common::site::Site;
use common::{Sample, give_up, machine, program, scratch, setting, verdict};
use mosip_setup::adapters::logs::pattern::{Pattern, Wanted};
use mosip_setup::adapters::logs::scan::{Matches, find_backward, find_forward};

/// Only the last line has it.
const LAST: &str = "fatal: [vm7]: FAILED! => {\"msg\": \"the last line of all\"}";
const NEEDLE: &str = "the last line of all";
/// A pattern that no literal text helps to find quickly: every line has most of it.
const HARD: &str = "vm[0-9]+.*the l[a-z]st line";
/// Feedback within this time, seconds.
const FEEDBACK: f64 = 0.2;

fn write_log(path: &Path, lines: usize) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a log"));
    for number in 0..lines - 1 {
        let written = match number % 5 {
            _ if number % 100 == 0 => writeln!(out, "TASK [role-{number:07} : install packages] **************************************"),
            0 => writeln!(out, "changed: [vm{}] => (item=package-{number:07})", number % 11),
            1 => writeln!(out, "ok: [vm{}] => (item={{'name': 'module.service[\"{number:07}\"]', 'state': 'present'}})", number % 11),
            2 => writeln!(out, "    \"stdout_{number:07}\": \"helm upgrade --install: release still pending, waiting for pods\","),
            3 => writeln!(out, "module.kernel[0].helm_release.notifier: Still creating... [{}m{}s elapsed]", number % 60, number % 7),
            _ => writeln!(out, "{number:07} Get:1 http://archive.example.org/ubuntu jammy/main amd64 Packages [1,395 kB]"),
        };
        written.expect("a line");
    }
    writeln!(out, "{LAST}").expect("the last line");
    out.flush().expect("the log");
    out.get_ref().metadata().expect("the log").len()
}

fn grep(options: &[&str], pattern: &str, path: &Path) -> f64 {
    let begun = Instant::now();
    let status = Command::new("grep").args(options).arg(pattern).arg(path).env("LC_ALL", "C.UTF-8").stdout(Stdio::null()).status();
    let took = begun.elapsed().as_secs_f64();
    if !status.is_ok_and(|status| status.success()) {
        give_up("grep does not find the line");
    }
    took
}

fn timed(mut what: impl FnMut()) -> f64 {
    let begun = Instant::now();
    what();
    begun.elapsed().as_secs_f64()
}

fn wanted(pattern: &str) -> Wanted {
    Pattern::read(pattern).unwrap_or_else(|error| give_up(&error)).into()
}

/// One pattern: ours against `grep -m1`, with the longest time between two words about how far it is.
fn compare(path: &Path, size: u64, pattern: &str, options: &[&str], rounds: usize) -> (Sample, Sample, Sample) {
    let (mut ours, mut theirs, mut ratio) = (Sample::default(), Sample::default(), Sample::default());
    let wanted = wanted(pattern);
    for _ in 0..rounds {
        let grep = grep(options, pattern, path);
        let mut file = File::open(path).expect("the log");
        let took = timed(|| {
            let found = find_forward(&mut file, &wanted, 0, &mut |_| true).expect("the log");
            assert_eq!(found, Ok(Some(size - LAST.len() as u64 - 1)), "the last line");
        });
        ours.0.push(took);
        theirs.0.push(grep);
        ratio.0.push(took / grep);
    }
    (ours, theirs, ratio)
}

/// The full screen on a step that prints the log: (search to first feedback, to the hit, filter to first feedback, to the line, peak MiB).
fn on_screen(log: &Path, lines: usize) -> [f64; 5] {
    let folder = scratch();
    let site = Site::new(folder.path(), 2, lines);
    site.program("ansible-playbook", &format!("#!/bin/sh\nexec cat '{}'\n", log.display()));
    // It ends as failed: the last line says so.
    drop(site.command(&["run", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).status());
    let mut screen = Screen::start(&program(), &["attach", "--state-dir", &site.state(), "--site", &site.site()], &site.variables());
    screen.until("the failed step", |text| text.contains("▸ Retry"));
    screen.send("l");
    screen.until("its log", |text| text.contains("Log of"));
    screen.send("fg");
    screen.until("the beginning of the log", |text| text.starts_with("$ ansible-playbook"));
    let mut type_and_wait = |key: &str, title: &str, feedback: &str, hit: &str| {
        screen.send(key);
        screen.until(title, |text| text.contains(title));
        screen.send(NEEDLE);
        screen.until("what was typed", |text| text.contains(NEEDLE));
        let begun = Instant::now();
        screen.send("\r");
        let first = screen.until("first feedback", |text| text.contains(feedback) || text.contains(hit));
        let found = screen.until("the last line", |text| text.contains(hit));
        ((first - begun).as_secs_f64(), (found - begun).as_secs_f64())
    };
    let search = type_and_wait("/", "Search the log", "searching", "msg\": \"the last line");
    // From the beginning again, where the line is out of sight.
    let filter = type_and_wait("g&", "Show only lines", "FILTER", "msg\": \"the last line");
    let peak = peak_kib(screen.pid()) as f64 / 1024.0;
    screen.send("q");
    screen.wait();
    [search.0, search.1, filter.0, filter.1, peak]
}

fn main() {
    machine("log_search");
    let (rounds, lines) = (setting("BENCH_ROUNDS", 5), setting("BENCH_LINES", 10_000_000));
    let folder = scratch();
    let path = folder.path().join("output.log");
    let size = write_log(&path, lines);
    println!("log        {lines} lines, {:.0} MB", size as f64 / 1e6);
    let mut holds = true;
    for (what, pattern, options) in
        [("text", NEEDLE, &["-m1"][..]), ("text, -i", NEEDLE, &["-m1", "-i"]), ("expression", HARD, &["-m1", "-E"])]
    {
        let (ours, theirs, ratio) = compare(&path, size, pattern, options, rounds);
        println!("search, {what:<12} ours {}; grep {}; ratio {}", ours.words(1.0, "s"), theirs.words(1.0, "s"), ratio.words(1.0, ""));
        holds &= ratio.median() <= 2.0;
    }
    let (mut backward, mut filter) = (Sample::default(), Sample::default());
    for _ in 0..rounds {
        let mut file = File::open(&path).expect("the log");
        let nowhere = wanted("nowhere to be found");
        backward.0.push(timed(|| assert_eq!(find_backward(&mut file, &nowhere, u64::MAX, &mut |_| true).expect("the log"), Ok(None))));
        let mut matches = Matches::default();
        let kept = wanted(NEEDLE);
        filter.0.push(timed(|| assert_eq!(matches.extend(&mut file, &kept, &mut |_| true).expect("the log"), Ok(()))));
        assert_eq!(matches.count(), 1);
    }
    println!("backwards, nothing found  {}", backward.words(1.0, "s"));
    println!("filter, the last line     {}", filter.words(1.0, "s"));
    verdict("search", holds, "median ratio to grep -m1 at most 2, each pattern");
    let mut seen: [Sample; 5] = Default::default();
    for _ in 0..rounds.min(3) {
        for (sample, value) in seen.iter_mut().zip(on_screen(&path, lines)) {
            sample.0.push(value);
        }
    }
    let [feedback, hit, filter_feedback, filter_hit, peak] = seen;
    println!("screen, search: feedback  {}", feedback.words(1000.0, "ms"));
    println!("screen, search: the hit   {}", hit.words(1.0, "s"));
    println!("screen, filter: feedback  {}", filter_feedback.words(1000.0, "ms"));
    println!("screen, filter: the line  {}", filter_hit.words(1.0, "s"));
    println!("peak memory of the screen {}", peak.words(1.0, "MiB"));
    println!("load at the end           {}", common::load());
    verdict("feedback", feedback.quantile(1.0).max(filter_feedback.quantile(1.0)) <= FEEDBACK, "within 200 ms, also at its slowest");
    verdict("memory", peak.quantile(1.0) < 64.0, "peak under 64 MiB");
}
