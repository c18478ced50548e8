//! The harness itself: a terminal that shows what a program writes, and a place that keeps it apart.

use crate::support::{Done, Place};
use crate::terminal::Terminal;

#[test]
fn a_terminal_shows_output_takes_keys_and_knows_the_end() {
    let place = Place::new();
    let script = "stty -echo; printf '\\033[2J\\033[Hwho? '; read name; printf 'hello %s\\n' \"$name\"; stty size; read _; exit 7";
    let mut terminal = Terminal::start(Terminal::command(&place, "sh", &["-c", script]), 80, 24);
    terminal.until_shows("who?");
    terminal.send("MOSIP<enter>");
    terminal.until_shows("hello MOSIP");
    terminal.until_shows("24 80");
    terminal.send("<c-m>");
    assert_eq!(terminal.wait_exit().exit_code(), 7);
}

#[test]
fn a_terminal_changes_its_size() {
    let place = Place::new();
    let script = "import os, signal, sys\n\
        size = lambda *_: print(*os.get_terminal_size(), flush=True)\n\
        signal.signal(signal.SIGWINCH, size)\n\
        print('ready', flush=True)\n\
        signal.pause()";
    let mut terminal = Terminal::start(Terminal::command(&place, "/usr/bin/python3", &["-c", script]), 80, 24);
    terminal.until_shows("ready");
    terminal.resize(100, 30);
    terminal.until_shows("100 30");
}

#[test]
#[should_panic(expected = "the last screen:\nonly this")]
fn a_terminal_shows_the_last_screen_when_it_waits_in_vain() {
    let place = Place::new();
    let mut terminal = Terminal::start(Terminal::command(&place, "sh", &["-c", "echo only this"]), 80, 24);
    terminal.until_shows("something else");
}

#[test]
fn a_place_hides_the_home_and_the_environment_of_the_machine() {
    let mut place = Place::new();
    place.set("GIVEN", "yes");
    place.program("own-tool", "#!/bin/sh\necho \"$GIVEN $HOME $CARGO_MANIFEST_DIR\"\n");
    let done = Done::of(&mut place.command("own-tool")).expect(0);
    assert_eq!(done.out.trim_end(), format!("yes {}", place.home().display()));
}
