//! Two hundred short tasks: `ansible-playbook` in a shell against the same through `mosip-setup run --yes`, in interleaved pairs.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

mod common;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::process::time_of_children;
use common::site::Site;
use common::{Sample, give_up, machine, need, scratch, setting, verdict, write};

/// (wall time, processor time of the command and everything it waited for)
fn timed(mut command: Command, what: &str) -> (Duration, Duration) {
    let (begun, before) = (Instant::now(), time_of_children());
    let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("a command of the bench");
    let took = begun.elapsed();
    if !done.status.success() {
        give_up(&format!("{what} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr)));
    }
    (took, time_of_children() - before)
}

fn main() {
    machine("ansible_overhead");
    let _ = need("ansible-playbook", "install ansible-core 2.14 or later");
    let _ = need("setsid", "it comes with util-linux");
    let (rounds, tasks) = (setting("BENCH_ROUNDS", 5), setting("BENCH_TASKS", 200));
    let folder = scratch();
    let site = Site::new(folder.path(), 20, tasks);
    let mut playbook = String::from("- hosts: all\n  gather_facts: false\n  tasks:\n");
    for number in 0..tasks {
        let _ = write!(
            playbook,
            "    - name: task {number}\n      ansible.builtin.debug:\n        msg: \"message {number} of a short task\"\n"
        );
    }
    write(&site.path("lines.yml"), &playbook);
    // Both in a session of their own, as a shell in a terminal is: where the scheduler shares the processor out by session, a command in
    // the session of a busy build would seem slow.
    let shell = || {
        let mut command = Command::new("setsid");
        command.env_clear().envs(site.variables()).env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_RETRY_FILES_ENABLED", "0");
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.args(["--wait", "sh", "-c", "ansible-playbook -i hosts.ini lines.yml | cat"]);
        command
    };
    // Each run is a new one, or the program would rightly say that all is done.
    let ours = || site.command(&["run", "--yes", "--plain", "--new"]);
    // An engine of its own is nobody's child, and its time not counted: for processor time it lives in the program.
    let in_one = || site.command(&["run", "--yes", "--plain", "--new", "--foreground"]);
    timed(shell(), "ansible-playbook");
    timed(ours(), "mosip-setup run");
    let log = std::fs::read_to_string(site.attempt().join("output.log")).unwrap_or_default();
    let banners = log.matches("TASK [task ").count();
    if banners != tasks {
        give_up(&format!("{banners} tasks in the log instead of {tasks}"));
    }
    let (mut plain, mut driven, mut ratios, mut processor) = (Sample::default(), Sample::default(), Sample::default(), Sample::default());
    for round in 0..rounds {
        // Who goes first changes, so that a warm-up or a slow drift favours neither.
        let (bare, through) = if round % 2 == 0 {
            let bare = timed(shell(), "ansible-playbook");
            (bare, timed(ours(), "mosip-setup run"))
        } else {
            let through = timed(ours(), "mosip-setup run");
            (timed(shell(), "ansible-playbook"), through)
        };
        let ((bare, bare_processor), (through, _)) = (bare, through);
        let (_, through_processor) = timed(in_one(), "mosip-setup run --foreground");
        println!("  shell {:.2} s, through mosip-setup {:.2} s", bare.as_secs_f64(), through.as_secs_f64());
        processor.0.push(through_processor.as_secs_f64() / bare_processor.as_secs_f64());
        plain.time(bare);
        driven.time(through);
        ratios.0.push(through.as_secs_f64() / bare.as_secs_f64());
    }
    println!("in a shell            {}", plain.words(1.0, "s"));
    println!("through mosip-setup   {}", driven.words(1.0, "s"));
    println!("ratio of each pair    {}", ratios.words(1.0, ""));
    println!("ratio, processor time {}", processor.words(1.0, ""));
    println!("load at the end       {}", common::load());
    verdict("wall time", ratios.median() <= 1.05, "median ratio at most 1.05");
}
