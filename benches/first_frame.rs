//! From the start of the program to the first frame, and to the site's own screen, on a terminal of 120×40.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use common::screen::Screen;
use common::site::Site;
use common::{Sample, machine, program, scratch, setting, verdict};

/// A site of the shipped profile: what the program has to read before it can show it.
fn shipped(site: &Site) -> String {
    let path = site.path("shipped.toml").display().to_string();
    let mut command = std::process::Command::new(program());
    command.env_clear().envs(site.variables()).args(["--state-dir", &site.state(), "new", "--profile", "turing-rke2", "--site", &path]);
    let made = command.output().expect("mosip-setup new");
    assert!(made.status.success(), "mosip-setup new: {}", String::from_utf8_lossy(&made.stderr));
    path
}

fn main() {
    machine("first_frame");
    let rounds = setting("BENCH_ROUNDS", 25);
    let folder = scratch();
    let site = Site::new(folder.path(), 1, 1);
    let path = shipped(&site);
    let state = site.state();
    let (mut any, mut whole, mut version) = (Sample::default(), Sample::default(), Sample::default());
    let mut asked = false;
    for round in 0..rounds + 3 {
        let mut command = std::process::Command::new(program());
        let begun = std::time::Instant::now();
        command.env_clear().envs(site.variables()).arg("--version").stdout(std::process::Stdio::null()).status().expect("--version");
        let bare = begun.elapsed();
        let mut screen = Screen::start(&program(), &["--state-dir", &state, "--site", &path], &site.variables());
        let begun = screen.begun;
        let first = screen.until("a frame", |text| text.contains("mosip-setup"));
        let complete = screen.until("the site's screen", |text| text.contains("Certificates") && text.contains("[Continue]"));
        asked |= screen.asked;
        screen.send("q");
        screen.wait();
        // The first rounds warm the cache.
        if round >= 3 {
            any.time(first - begun);
            whole.time(complete - begun);
            version.time(bare);
        }
    }
    println!("first frame           {}", any.words(1000.0, "ms"));
    println!("the site, complete    {}", whole.words(1000.0, "ms"));
    println!("for comparison: --version {}", version.words(1000.0, "ms"));
    println!("load at the end       {}", common::load());
    println!("asks the terminal before it draws: {}", if asked { "yes (one round trip more on a slow line)" } else { "no" });
    verdict("first frame", any.median() < 0.050, "median under 50 ms");
    verdict("the site, complete", whole.median() < 0.050, "median under 50 ms");
}
