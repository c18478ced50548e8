//! A step that prints a million lines of 104 characters, through the attempt runner and the engine, with the full screen attached, the
//! redactor on with twenty secrets and the playbook parser on; and the same output in tmux, in the same run, on the same size of terminal.
//! Before that, keys while 50,000 lines come in each second.
//!
//! Times are user plus system of our processes (full screen with engine, attempt runner), from the moment the step is started. The
//! printing program reports its own time, which is taken off. For tmux they are those of its server and client.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use common::process::{children, own_nanoseconds, peak_kib, time_of, time_with_children};
use common::screen::Screen;
use common::site::{Site, secrets};
use common::{Sample, give_up, machine, need, program, scratch, setting, verdict};

/// Characters of a line, without the line feed.
const WIDTH: usize = 104;
const SECRETS: usize = 20;
/// A key is to be answered within this time.
const KEY_LIMIT: Duration = Duration::from_millis(50);
/// The rate of lines at which that must hold, and for how long keys are pressed meanwhile.
const RATE: usize = 50_000;
const SECONDS: usize = 20;
/// Lines of a rate come in so many stretches a second.
const STRETCHES_A_SECOND: usize = 100;
/// How the help is known on the screen.
const HELP: &str = "╭ Help";
/// Runs of ours for each one of tmux.
const OURS_PER_PAIR: usize = 4;
/// Every so many lines there is a task banner, or a secret.
const BANNER_EVERY: usize = 100;
const SECRET_EVERY: usize = 1000;
/// What stands at the very end of the output.
const LAST: &str = "localhost                  : ok=9999 changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0";
/// The first argument of this program as the printing program.
const PRINT: &str = "print-lines";

/// Line `number`: the mix that a talkative playbook prints. `secret` takes the place of a secret.
fn line(number: usize, secret: &str, out: &mut Vec<u8>) {
    let begin = out.len();
    let written = match number % 4 {
        _ if number.is_multiple_of(BANNER_EVERY) => write!(out, "TASK [role-{number:07} : install packages] "),
        _ if number % SECRET_EVERY == 7 => write!(out, "    \"password_{number:07}\": {secret},"),
        0 => write!(out, "changed: [vm{}] => (item=package-{number:07})", number % 11),
        1 => write!(out, "ok: [vm{}] => (item={{'name': 'module.service[\"{number:07}\"]', 'state': 'present'}})", number % 11),
        2 => write!(out, "    \"stdout_{number:07}\": \"helm upgrade --install: release still pending, waiting for pods\","),
        _ => write!(out, "{number:07} Get:1 http://archive.example.org/ubuntu jammy/main amd64 Packages [1,395 kB]"),
    };
    written.expect("a line in memory");
    if number % SECRET_EVERY == 7 {
        // With its mask instead of the secret the line must be the same otherwise.
        out.resize(out.len() + 40, b'*');
    } else {
        out.resize(begin + WIDTH, b'*');
    }
    out.push(b'\n');
}

/// The printing program: writes the lines, so many a second or, with 0, as fast as they are read, and how long it ran into a file.
fn print(count: usize, times: &Path, rate: usize) {
    let begun = Instant::now();
    let at_once = rate / STRETCHES_A_SECOND;
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let secrets = secrets(SECRETS);
    let mut text = Vec::with_capacity(WIDTH * 2);
    out.write_all(b"PLAY [all] ****\n\n").expect("the lines are read");
    for number in 0..count {
        text.clear();
        line(number, &secrets[number / SECRET_EVERY % SECRETS], &mut text);
        out.write_all(&text).expect("the lines are read");
        if at_once > 0 && (number + 1).is_multiple_of(at_once) {
            out.flush().expect("the lines are read");
            let due = begun + Duration::from_secs_f64((number + 1) as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    write!(out, "\nPLAY RECAP *****\n{LAST}\n\n").expect("the lines are read");
    out.flush().expect("the lines are read");
    std::fs::write(times, own_nanoseconds().to_string()).expect("the time of the printing program");
}

/// Compares the log with what was printed, byte by byte; gives its length.
fn check_log(path: &Path, count: usize) -> u64 {
    let mut log = BufReader::with_capacity(1 << 20, std::fs::File::open(path).unwrap_or_else(|error| give_up(&format!("no log: {error}"))));
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let mut length = log.read_until(b'\n', &mut found).expect("the log");
    assert!(found.starts_with(b"$ ansible-playbook "), "the log begins with the command");
    let mut expect = |text: &[u8], what: &str| {
        found.clear();
        length += log.read_until(b'\n', &mut found).expect("the log");
        if found != text {
            let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            give_up(&format!("the log differs at {what}:\n  {}  instead of\n  {}", shown(&found), shown(text)));
        }
    };
    expect(b"PLAY [all] ****\n", "the beginning");
    expect(b"\n", "the beginning");
    for number in 0..count {
        wanted.clear();
        line(number, "(secret)", &mut wanted);
        expect(&wanted, &format!("line {number}"));
    }
    for text in ["\n", "PLAY RECAP *****\n", &format!("{LAST}\n"), "\n", ""] {
        expect(text.as_bytes(), "the end");
    }
    length as u64
}

#[derive(Default)]
struct Ours {
    time: Sample,
    runner: Sample,
    wall: Sample,
    keys: Sample,
    /// The same keys before the step begins: what the machine makes of a key when nothing is printed.
    quiet_keys: Sample,
    peak: Sample,
    printer: Sample,
    frames: Sample,
}

/// Opens the help, or closes it, and gives the time to the frame that shows it; then lets some time pass, so that keys come at any time
/// of a frame.
fn key(screen: &mut Screen, pause: &mut u64, watch: impl FnMut(&Screen)) -> Duration {
    let shown = screen.text().contains(HELP);
    let sent = Instant::now();
    screen.send(if shown { "q" } else { "?" });
    let answered = screen.until_or("the answer to a key", |text| text.contains(HELP) != shown, watch);
    *pause = (*pause * 7 + 5) % 31;
    let next = Instant::now() + Duration::from_millis(10 + *pause);
    while Instant::now() < next {
        screen.pass(next);
    }
    answered.saturating_duration_since(sent)
}

/// One run of ours.
fn ours(site: &Site, count: usize, into: &mut Ours) {
    let _ = std::fs::remove_dir_all(site.path("state"));
    let mut screen = Screen::start(&program(), &["--state-dir", &site.state(), "--site", &site.site()], &site.variables());
    screen.until("the site", |text| text.contains("[Continue]"));
    screen.send("c");
    screen.until("the preflight", |text| text.contains("1 pass") && text.contains("checked at"));
    screen.send("c");
    screen.until("the review", |text| text.contains("lines.yml"));
    let mut pause = 3_u64;
    for _ in 0..12 {
        into.quiet_keys.time(key(&mut screen, &mut pause, |_| {}));
    }
    screen.send("s");
    screen.until("the question", |text| text.contains("Start") && text.contains("Cancel") || text.contains("cancel"));
    // The preflight's commands are among it.
    let idle = time_with_children(screen.pid());
    let begun = Instant::now();
    screen.send("y");
    screen.until("the first lines", |text| text.contains("vm1") || text.contains("helm upgrade"));
    let below = |parent: u32, verb: &str| children(parent).into_iter().find(|(_, line)| line.contains(verb)).map_or(0, |(pid, _)| pid);
    let engine = below(screen.pid(), "__engine");
    let runner = below(engine, "__attempt");
    let (mut own_peak, mut runner_peak, mut runner_time) = (0, 0, Duration::ZERO);
    let mut slow = Vec::new();
    while screen.note.is_empty() {
        let watch = |screen: &Screen| {
            own_peak = own_peak.max(peak_kib(screen.pid()));
            runner_peak = runner_peak.max(peak_kib(runner));
            runner_time = runner_time.max(time_of(runner));
        };
        let at = begun.elapsed();
        let took = key(&mut screen, &mut pause, watch);
        into.keys.time(took);
        if took > KEY_LIMIT {
            slow.push(format!("{:.0} ms at {:.2} s", took.as_secs_f64() * 1000.0, at.as_secs_f64()));
        }
    }
    let wall = begun.elapsed();
    into.wall.time(wall);
    own_peak = own_peak.max(peak_kib(screen.pid()));
    if screen.text().contains(HELP) {
        screen.send("q");
        screen.until("no help", |text| !text.contains(HELP));
    }
    if !screen.note.contains("is done") {
        give_up(&format!("the run did not end well: {}\n{}", screen.note, screen.text()));
    }
    // Runner and printing program have ended and count as the engine's children.
    let used = (time_with_children(screen.pid()) + time_with_children(engine)).saturating_sub(idle);
    screen.send("q");
    screen.wait_or("y");
    let printed: u64 = std::fs::read_to_string(site.path("times")).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let printer = Duration::from_nanos(printed);
    into.printer.time(printer);
    into.time.time(used.saturating_sub(printer));
    into.runner.time(runner_time);
    into.peak.0.push((own_peak + runner_peak) as f64 / 1024.0);
    into.frames.0.push(screen.frames as f64);
    let length = check_log(&site.attempt().join("output.log"), count);
    if !slow.is_empty() {
        println!("  slow keys in a run of {:.2} s: {}", wall.as_secs_f64(), slow.join(", "));
    }
    println!("  ours {:.2} s processor, {length} bytes in the log, all as printed", into.time.0.last().unwrap_or(&0.0));
}

/// One run of tmux: (processor time of server and client, wall time).
fn tmux(site: &Site, tmux: &Path, printer: &str) -> (Duration, Duration) {
    let tmux = tmux.display().to_string();
    let socket = site.path("tmux.socket").display().to_string();
    let command = format!("{printer}; echo printed it a{}l; sleep 600", "l");
    let begun = Instant::now();
    let mut screen = Screen::start(&tmux, &["-S", &socket, "-f", "/dev/null", "new-session", &command], &site.variables());
    let end = screen.until_written("printed it all");
    let ask = |arguments: &[&str]| {
        let done = std::process::Command::new(&tmux).args(["-S", &socket]).args(arguments).output().expect("tmux");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    let server: u32 =
        ask(&["display-message", "-p", "#{pid}"]).parse().unwrap_or_else(|_| give_up("tmux does not say its server's process"));
    let time = time_of(server) + time_of(screen.pid());
    ask(&["kill-server"]);
    screen.wait();
    (time, end - begun)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, count, rate, times, ..] = &arguments[..]
        && verb == PRINT
    {
        print(count.parse().expect("a number of lines"), Path::new(times), rate.parse().expect("a number of lines"));
        return;
    }
    machine("million_lines");
    let multiplexer = need("tmux", "install it (apt-get install tmux): the target is a ratio to what it takes");
    let (rounds, count) = (setting("BENCH_ROUNDS", 5), setting("BENCH_LINES", 1_000_000));
    let folder = scratch();
    let site = Site::new(folder.path(), SECRETS, count / BANNER_EVERY);
    let own = std::env::current_exe().expect("this program");
    let printing = |count: usize, rate: usize| format!("'{}' {PRINT} {count} {rate} '{}'", own.display(), site.path("times").display());
    let printer = printing(count, 0);
    let (mut measured, mut paced) = (Ours::default(), Ours::default());
    let lines = RATE * setting("BENCH_SECONDS", SECONDS);
    site.program("ansible-playbook", &format!("#!/bin/sh\nexec {}\n", printing(lines, RATE)));
    ours(&site, lines, &mut paced);
    site.program("ansible-playbook", &format!("#!/bin/sh\nexec {printer}\n"));
    let (mut peer, mut peer_wall) = (Sample::default(), Sample::default());
    let mut ratios = Sample::default();
    for _ in 0..rounds {
        // Ours is short: run more often, it gives enough keys for a p99.
        let mut of_pair = Sample::default();
        for _ in 0..OURS_PER_PAIR {
            ours(&site, count, &mut measured);
            of_pair.0.extend(measured.time.0.last());
        }
        let (time, wall) = tmux(&site, &multiplexer, &printer);
        println!("  tmux {:.2} s processor", time.as_secs_f64());
        ratios.0.push(of_pair.median() / time.as_secs_f64());
        peer.time(time);
        peer_wall.time(wall);
    }
    println!("processor time, ours      {}", measured.time.words(1.0, "s"));
    println!("  of which the runner     {}", measured.runner.words(1.0, "s"));
    println!("processor time, tmux      {}", peer.words(1.0, "s"));
    println!("ratio of each pair        {}", ratios.words(1.0, ""));
    println!("the printing program      {} (left out)", measured.printer.words(1.0, "s"));
    println!("wall time, ours           {}", measured.wall.words(1.0, "s"));
    println!("wall time, tmux           {}", peer_wall.words(1.0, "s"));
    let keys = |keys: &Sample| format!("{}; p99 {:.1} ms", keys.words(1000.0, "ms"), keys.quantile(0.99) * 1000.0);
    println!("a key to its frame        {}", keys(&measured.keys));
    println!("at {RATE} lines a second  {}, {} of processor time", keys(&paced.keys), paced.time.words(1.0, "s"));
    println!("the same before the step  {}", keys(&measured.quiet_keys));
    println!("peak memory, both         {}", measured.peak.words(1.0, "MiB"));
    println!("frames                    {}", measured.frames.words(1.0, ""));
    println!("load at the end           {}", common::load());
    verdict("processor time", ratios.median() <= 1.0 / 3.0, "median ratio to tmux at most 0.33");
    verdict("keys at 50,000 lines a second", paced.keys.quantile(0.99) <= KEY_LIMIT.as_secs_f64(), "p99 within 50 ms");
    verdict("keys at full speed", measured.keys.quantile(0.99) <= KEY_LIMIT.as_secs_f64(), "p99 within 50 ms");
    verdict("memory", measured.peak.quantile(1.0) < 64.0, "peak under 64 MiB");
}
