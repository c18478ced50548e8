//! A log through parser, redactor and catalogue together, on one core, beside `grep -c` for one fixed pattern on the same log.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use common::site::secrets;
use common::{Sample, give_up, machine, scratch, setting, verdict};
use mosip_setup::adapters::ansible::Playbook;
use mosip_setup::run::diagnose::{Catalogue, SHIPPED};
use mosip_setup::run::redact::{Redactor, Stream};
use mosip_setup::run::spot::Spotter;

/// The line that both look for, once, at the very end.
const LAST: &[u8] = b"Failed to pull image: toomanyrequests: You have reached your pull rate limit.\n";

/// The mix that a talkative playbook prints.
fn write_log(path: &std::path::Path, bytes: usize) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a log"));
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        let line = match number % 5 {
            _ if number % 100 == 0 => format!("\nTASK [role-{number:07} : install packages] **************************************\n"),
            0 => format!("changed: [vm{}] => (item=package-{number:07})\n", number % 11),
            1 => format!("ok: [vm{}] => (item={{'name': 'module.service[\"{number:07}\"]', 'state': 'present'}})\n", number % 11),
            2 => format!("    \"stdout_{number:07}\": \"helm upgrade --install: release still pending, waiting for pods\",\n"),
            3 => format!("module.kernel[0].helm_release.notifier: Still creating... [{}m{}s elapsed]\n", number % 60, number % 7),
            _ => format!("{number:07} Get:1 http://archive.example.org/ubuntu jammy/main amd64 Packages [1,395 kB]\n"),
        };
        out.write_all(line.as_bytes()).expect("a line");
        written += line.len();
        number += 1;
    }
    out.write_all(LAST).expect("the last line");
    out.flush().expect("the log");
}

/// Seconds from the first byte to the last hit, and how many hits there were.
fn ours(path: &std::path::Path, redactor: &Redactor, fresh: &Spotter, parse: bool) -> (f64, usize) {
    let begun = Instant::now();
    let mut log = File::open(path).expect("the log");
    let (mut spotter, mut playbook, mut stream) = (fresh.clone(), Playbook::new(0), Stream::new(redactor));
    let (mut buffer, mut clean, mut partial, mut hits) = (vec![0; 64 * 1024], Vec::new(), Vec::new(), 0);
    loop {
        let length = log.read(&mut buffer).expect("a piece of the log");
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while let (true, Some(end)) = (parse, memchr::memchr(b'\n', rest)) {
            if partial.is_empty() {
                playbook.line(&rest[..end]);
            } else {
                partial.extend_from_slice(&rest[..end]);
                playbook.line(&partial);
                partial.clear();
            }
            rest = &rest[end + 1..];
        }
        if parse {
            partial.extend_from_slice(rest);
            drop((playbook.take_seen(), playbook.take_printed()));
        }
        stream.feed(&buffer[..length], &mut clean);
        spotter.feed(&clean, |_| hits += 1);
        clean.clear();
    }
    stream.finish(&mut clean);
    spotter.feed(&clean, |_| hits += 1);
    spotter.finish(|_| hits += 1);
    (begun.elapsed().as_secs_f64(), hits)
}

fn grep(path: &std::path::Path) -> f64 {
    let begun = Instant::now();
    let found = Command::new("grep").args(["-c", "toomanyrequests"]).arg(path).stderr(Stdio::null()).output().expect("grep");
    if String::from_utf8_lossy(&found.stdout).trim() != "1" {
        give_up("grep did not find the one line");
    }
    begun.elapsed().as_secs_f64()
}

fn main() {
    machine("stream");
    let (megabytes, rounds) = (setting("BENCH_MEGABYTES", 1024), setting("BENCH_ROUNDS", 5));
    let folder = scratch();
    let path = folder.path().join("output.log");
    write_log(&path, megabytes << 20);
    let secrets = secrets(20);
    let redactor = Redactor::new(secrets.iter().map(String::as_str)).expect("a redactor");
    let begun = Instant::now();
    let fresh = Spotter::new(Arc::new(Catalogue::read(SHIPPED).expect("the catalogue")));
    println!("  the catalogue is ready after {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    // Once each, so that both find the log in memory.
    let (_, hits) = ours(&path, &redactor, &fresh, true);
    if hits == 0 {
        give_up("the known failure in the last line was not recognised");
    }
    grep(&path);
    let (mut greps, mut all, mut ratios) = (Sample::default(), Sample::default(), Sample::default());
    for _ in 0..rounds {
        let (bare, (whole, _)) = (grep(&path), ours(&path, &redactor, &fresh, true));
        println!("  grep -c {bare:.2} s, parser, redactor and catalogue {whole:.2} s");
        greps.0.push(bare);
        all.0.push(whole);
        ratios.0.push(whole / bare);
    }
    println!("grep -c                        {}", greps.words(1.0, "s"));
    println!("parser, redactor, catalogue    {}", all.words(1.0, "s"));
    println!("ratio of each pair             {}", ratios.words(1.0, ""));
    verdict("one core", ratios.median() <= 3.0, "median ratio at most 3");
}
