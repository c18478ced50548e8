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
    terminal.send("r");
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
