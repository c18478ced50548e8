//! A rehearsal from the full screen, in a terminal of its own: a failure retried, the question answered, to the summary.

use crate::stage::Stage;
use crate::support::PROGRAM;
use crate::terminal::Terminal;

const ADDRESS: &str = "https://rancher.sandbox.example.org/v3/import/canary0123456789abcdef_c-m-canary01.yaml";

#[test]
fn a_failure_is_retried_and_the_question_answered_from_the_screen() {
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let state = stage.state_dir().display().to_string();
    let mut terminal = Terminal::start(Terminal::command(&stage.place, PROGRAM, &["run", "--state-dir", &state]), 110, 32);
    terminal.until_shows("WireGuard bastion failed");
    let screen = terminal.until_shows("TLS handshake timeout");
    assert!(screen.contains("REHEARSAL"), "{screen}");
    // A shell where the step works, and back.
    terminal.send("e");
    terminal.until_shows("shell of step wireguard/playbook");
    terminal.send("echo $MOSIP_SETUP_SHELL is here");
    terminal.send("<enter>");
    terminal.until_shows("wireguard/playbook is here");
    terminal.send("exit");
    terminal.send("<enter>");
    terminal.until_shows("TLS handshake timeout");
    terminal.send("e");
    terminal.until_shows("shell of step wireguard/playbook");
    // A key that is there before the screen is taken back is not lost.
    terminal.send("exit<enter>r");
    let screen = terminal.until_shows("Rancher's import address for the MOSIP cluster");
    assert!(screen.contains("REHEARSAL"), "{screen}");
    // What is typed before a question has been seen is not meant for it.
    terminal.until("the question to take keys", |screen| screen.contains("│  ›"));
    terminal.send(ADDRESS);
    terminal.send("<enter>");
    let screen = terminal.until_shows("What is where");
    assert!(screen.contains("REHEARSAL"), "{screen}");
    terminal.send("q");
    let ended = terminal.wait_exit();
    assert_eq!(ended.exit_code(), 0, "{}", terminal.screen());
    assert!(!String::from_utf8_lossy(&terminal.raw).contains("canary0123456789"), "a secret answer is not shown");
    assert_eq!(stage.status()["state"], "done");
    assert_eq!(stage.begun("wireguard/playbook"), 2);
}

#[test]
fn the_wizard_without_a_terminal_says_what_to_do_instead() {
    let stage = Stage::new();
    let refused = stage.place.run(&[]).expect(2);
    assert!(refused.err.contains("needs a terminal") && refused.err.contains("run --yes"), "{}", refused.err);
    let refused = stage.place.run(&["rehearse"]).expect(2);
    assert!(refused.err.contains("--headless"), "{}", refused.err);
}

#[test]
fn the_log_is_searched_copied_and_paged_from_the_screen_and_from_a_shell() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    stage.rehearse(&["--fault", "playbook-fails-once"]).expect(1);
    let state = stage.state_dir().display().to_string();
    let mut command = Terminal::command(&stage.place, PROGRAM, &["run", "--state-dir", &state]);
    command.env("PAGER", "sh -c 'echo PAGER HAS IT; tail -n 3 \"$0\"; read answer; echo got $answer'");
    let mut terminal = Terminal::start(command, 110, 32);
    terminal.until_shows("WireGuard bastion failed");
    // To the place where the failing task is printed, then the whole screen.
    terminal.send("lf");
    terminal.until_shows("$ ansible-playbook");
    terminal.send("&");
    terminal.until_shows("Show only lines with");
    terminal.send("^TASK");
    terminal.send("<enter>");
    let screen = terminal.until_shows("FILTER ^TASK (");
    assert!(!screen.contains("PLAY RECAP"), "{screen}");
    terminal.send("T");
    terminal.until_shows("UTC");
    terminal.send("o");
    terminal.until_shows("Copy the log to a file");
    terminal.send("<enter>");
    let screen = terminal.until_shows("lines are in");
    let line = screen.lines().find(|line| line.contains("lines are in")).unwrap_or_default().to_owned();
    let path = line.split_whitespace().find(|word| word.starts_with('/')).unwrap_or_default().to_owned();
    let copied = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}\n{screen}"));
    assert!(copied.lines().count() > 1 && copied.lines().all(|line| line.contains(" TASK [") && line.as_bytes()[2] == b':'), "{copied}");
    assert_eq!(std::fs::metadata(&path).expect("the copy").permissions().mode() & 0o777, 0o600);
    // The pager gets the terminal in its usual mode, and gives it back.
    terminal.send("p");
    terminal.until_shows("PAGER HAS IT");
    assert!(!terminal.state().alternate_screen());
    // An interrupt there ends the pager alone.
    terminal.send("<c-c>");
    terminal.until("the log again", |screen| screen.contains("FILTER ^TASK ("));
    assert!(terminal.state().alternate_screen());
    terminal.send("q");
    terminal.wait_exit();
    // The same from a shell.
    let logs = |arguments: &[&str]| stage.run(&[&["logs", "wireguard"], arguments].concat());
    let tasks = logs(&["--grep", "^TASK", "--timestamps"]).expect(0);
    assert_eq!(tasks.out, copied);
    let errors = logs(&["--errors"]).expect(0);
    assert!(!errors.out.is_empty() && errors.out.lines().all(|line| line.contains("fatal: [")), "{}", errors.out);
    assert!(logs(&["--errors", "--grep", "nowhere"]).expect(0).err.contains("no such line"));
    let refused = logs(&["--grep", "fatal: ["]).expect(2);
    assert!(refused.err.contains("--grep: no regular expression") && refused.err.contains("unclosed"), "{}", refused.err);
    let run = stage.runs().pop().expect("a run");
    std::fs::remove_file(run.join("steps/wireguard.playbook/1/output.times")).expect("the marks");
    let untimed = logs(&["--timestamps", "--grep", "^TASK"]).expect(0);
    assert!(untimed.err.contains("no times were kept") && untimed.out.lines().all(|line| line.starts_with("TASK")), "{}", untimed.err);
}
