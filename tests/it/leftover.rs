//! What killed runners leave behind, disks that are full, reboots: nothing overlaps, and what happened is said.

use std::fs;

use mosip_setup::engine::attempt::{Holder, Reading, read_exit, read_holder};
use mosip_setup::run::event::{Failure, Outcome};
use rustix::process::Signal;

use crate::runner::{Attempt, ready, script_in};
use crate::stage::{Stage, is_alive, signal, wait_for_lock};
use crate::support::{Done, PROGRAM, skip};

/// An attempt whose runner was killed while its child is at work.
fn orphaned(script: &str, reading: Reading) -> (Attempt, i32) {
    let (attempt, mut runner, child) = ready(script, reading);
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_for_lock(&attempt.spec.lock);
    assert!(is_alive(child), "the child outlives its runner");
    (attempt, child)
}

fn next(attempt: &mut Attempt, script: &str) {
    attempt.spec.dir = attempt.place.path("attempt-2");
    attempt.spec.commands[0].reading = Reading::Plain;
    script_in(attempt, script);
}

const AT_WORK: &str = "trap 'echo interrupted >>\"$HOME\"/said; kill $!; exit 0' INT\ntrap 'echo terminated >>\"$HOME\"/said; kill $!; exit 0' TERM\necho $$ >$PIPE\nwhile :; do sleep 600 & wait; done";

#[test]
fn what_a_killed_runner_left_is_ended_before_the_next_attempt_begins() {
    for (reading, said) in [(Reading::Plain, "terminated\n"), (Reading::Terraform { destroys: Vec::new() }, "interrupted\n")] {
        let (mut attempt, child) = orphaned(AT_WORK, reading);
        next(&mut attempt, &format!("grep -q '^State:.[^Z]' /proc/{child}/status && echo overlap; exit 0"));
        assert_eq!(attempt.run().outcome, Outcome::Done);
        let log = attempt.log();
        assert!(log.contains(&format!("process {child} of an earlier attempt is still at work")) && log.contains("it has ended"), "{log}");
        assert!(!log.contains("overlap") && !is_alive(child), "{log}");
        assert_eq!(fs::read_to_string(attempt.place.home().join("said")).unwrap(), said, "asked as a stop would ask it");
    }
}

#[test]
fn a_child_that_its_runner_could_not_note_is_found_all_the_same() {
    let (mut attempt, child) = orphaned(AT_WORK, Reading::Plain);
    let note = attempt.spec.lock.with_file_name("runner.child");
    let mut noted: serde_json::Value = serde_json::from_str(&fs::read_to_string(&note).unwrap()).unwrap();
    noted["pid"] = 0.into();
    fs::write(&note, noted.to_string()).unwrap();
    next(&mut attempt, "exit 0");
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(attempt.log().contains("of an earlier attempt is still at work") && !is_alive(child), "{}", attempt.log());
}

#[test]
fn a_stop_ends_the_waiting_for_what_was_left() {
    let (mut attempt, child) = orphaned("trap '' TERM INT\necho $$ >$PIPE\nwhile :; do sleep 600 & wait; done", Reading::Plain);
    next(&mut attempt, "echo must not run");
    let runner = attempt.start();
    crate::runner::wait_for_text(&attempt.spec.dir.join("output.log"), "still at work");
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    assert_eq!(attempt.end(runner).outcome, Outcome::Stopped { by: String::new() });
    assert!(!attempt.log().contains("must not run"));
    // The whole group goes, not only its leader.
    let group = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
}

#[test]
fn a_number_that_was_given_away_again_is_left_alone() {
    let (mut attempt, child) = orphaned(AT_WORK, Reading::Plain);
    let note = attempt.spec.lock.with_file_name("runner.child");
    let text = fs::read_to_string(&note).unwrap();
    let mut noted: serde_json::Value = serde_json::from_str(&text).unwrap();
    // The runner may have been killed before it knew the number.
    noted["pid"] = child.into();
    noted["started"] = 1.into();
    fs::write(&note, noted.to_string()).unwrap();
    next(&mut attempt, "exit 0");
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(is_alive(child) && !attempt.log().contains("still at work"), "{}", attempt.log());
    let group = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
}

#[test]
fn a_runner_killed_alone_says_that_its_child_is_still_at_work_and_the_retry_ends_it() {
    let stage = Stage::new();
    let mut hold = crate::stage::Hold::new(&stage.place, "");
    let engine = stage
        .rehearsal(&[])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let step = hold.arrived();
    stage.unanswered();
    let holder: Holder = read_holder(&stage.site().join("runner.lock")).unwrap();
    signal(i32::try_from(holder.pid).unwrap(), Signal::KILL);
    let ended = crate::stage::done(engine).expect(1);
    assert!(ended.out.contains("still at work, and is ended before the next attempt begins"), "{}", ended.out);
    assert!(is_alive(step));
    let retry = stage.command(&["retry"]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let second = hold.arrived();
    assert!(!is_alive(step) && second != step, "the first is gone before the second begins");
    hold.release();
    crate::stage::done(retry).expect(4);
}

#[test]
fn a_reboot_of_the_deployment_node_is_recognised() {
    let stage = Stage::new();
    let mut hold = crate::stage::Hold::new(&stage.place, "");
    let mut viewer = stage.rehearsal(&[]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let step = hold.arrived();
    stage.unanswered();
    let holder: Holder = read_holder(&stage.site().join("runner.lock")).unwrap();
    signal(stage.engine().unwrap(), Signal::KILL);
    viewer.wait().unwrap();
    signal(i32::try_from(holder.pid).unwrap(), Signal::KILL);
    signal(step, Signal::KILL);
    wait_for_lock(&stage.site().join("runner.lock"));
    // The boot in which the engine was started was another one.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for path in [stage.runs().pop().unwrap().join("journal.jsonl"), stage.site().join("runner.child")] {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(boot.trim()), "{}", path.display());
        fs::write(&path, text.replace(boot.trim(), "00000000-0000-4000-8000-000000000000")).unwrap();
    }
    let status = stage.status();
    assert_eq!(status["phases"][0]["state"], "interrupted", "{status}");
    let reason = status["phases"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the deployment node was restarted at about 20"), "{reason}");
    hold.release();
    let ended = stage.run(&["run", "--yes"]).expect(4);
    assert!(ended.out.contains("the deployment node was restarted at about"), "{}", ended.out);
    assert_eq!(stage.begun("tools/checkout"), 2);
}

/// Runs an attempt whose folder is on a disk of so many bytes; `before` and `after` are shell commands around it.
fn on_a_disk(size: &str, script: &str) -> Option<(Attempt, Done)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut attempt = Attempt::new("");
    script_in(&mut attempt, script);
    let disk = attempt.place.path("disk");
    fs::create_dir(&disk).unwrap();
    attempt.spec.dir = disk.join("attempt");
    attempt.spec.commands[0].env.insert("DISK".into(), disk.display().to_string());
    let spec = attempt.place.path("spec.json");
    fs::write(&spec, serde_json::to_vec(&attempt.spec).unwrap()).unwrap();
    let kept = attempt.place.path("kept");
    let shell = format!(
        "mount -t tmpfs -o size={size} tmpfs '{0}' || exit 99; {PROGRAM} __attempt <'{1}'; code=$?; cp -r '{0}/attempt' '{2}' 2>/dev/null; exit $code",
        disk.display(),
        spec.display(),
        kept.display()
    );
    let ended = Done::of(attempt.place.command("unshare").args(["--mount", "sh", "-c", &shell]).stdin(std::process::Stdio::null()));
    (ended.code != 99).then_some((attempt, ended))
}

#[test]
fn a_disk_that_fills_during_a_step_does_not_hide_how_it_ended() {
    let fill = "cat /dev/zero >\"$DISK\"/filler 2>/dev/null; echo 'a line that has no room'; exit 7";
    let Some((attempt, ended)) = on_a_disk("4m", fill) else { skip!("mount", "may not mount") };
    ended.expect(0);
    let kept = attempt.place.path("kept");
    let Outcome::Failed(failure) = read_exit(&kept).expect("a record, in the room taken beforehand").outcome else { panic!("no failure") };
    assert_eq!(failure.exit, Some(7));
    // A command that succeeds and whose log is lost is no success, and says why.
    let fill = "cat /dev/zero >\"$DISK\"/filler 2>/dev/null; for i in {1..2000}; do echo 'a line that has no room'; done; exit 0";
    let Some((attempt, ended)) = on_a_disk("4m", fill) else { skip!("mount", "may not mount") };
    ended.expect(0);
    let Some(Outcome::Failed(Failure { message, hint, .. })) = read_exit(&attempt.place.path("kept")).map(|ended| ended.outcome) else {
        panic!("{}", attempt.place.path("kept").display())
    };
    assert!(message.contains("the disk is full: the log cannot be written") && hint.contains("Make room"), "{message} {hint}");
}

#[test]
fn a_disk_that_is_full_before_a_step_begins_nothing_and_says_so() {
    let Some((attempt, ended)) = on_a_disk("32k", "touch \"$HOME\"/begun; exit 0") else { skip!("mount", "may not mount") };
    assert_eq!(ended.code, 28, "{}", ended.err);
    assert!(!attempt.place.home().join("begun").exists(), "nothing was begun");
}
