//! Where systemd ends what a user runs at logout, the whole program says so beforehand, or starts its engine where it outlives the session.
//! What systemd says is recorded: programs of its names on PATH, and a control group bound over this process's own.

use std::fs;
use std::process::Stdio;

use crate::stage::Stage;
use crate::support::{Done, PROGRAM, skip};

/// `run --yes` in a login session of a system that ends sessions with all that runs in them; none: this cannot be made here.
fn run_in_a_session(stage: &Stage, kill: bool, linger: &str) -> Option<Done> {
    let noted = stage.place.path("systemd-run.arguments");
    stage.place.program(
        "busctl",
        &format!("#!/bin/sh\ncase \"$*\" in *KillUserProcesses) echo 'b {kill}';; *KillOnlyUsers|*KillExcludeUsers) echo 'as 0';; *) exit 1;; esac\n"),
    );
    stage.place.program("loginctl", &format!("#!/bin/sh\n[ \"$1\" = show-user ] && echo Linger={linger}\n"));
    let pass_on = format!("#!/bin/sh\necho \"$*\" >'{}'\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n", noted.display());
    stage.place.program("systemd-run", &pass_on);
    let group = stage.place.path("cgroup");
    fs::write(&group, "0::/user.slice/user-1000.slice/session-4.scope\n").unwrap();
    let script = format!(
        "mount --bind '{}' /proc/$$/cgroup || exit 99; exec {PROGRAM} run --yes --state-dir '{}'",
        group.display(),
        stage.state_dir().display()
    );
    let ended = Done::of(stage.place.command("unshare").args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()));
    (ended.code != 99).then_some(ended)
}

#[test]
fn a_logout_that_would_end_the_engine_is_said_beforehand_or_got_around() {
    if !rustix::process::geteuid().is_root() {
        skip!("mount", "needs root");
    }
    for (kill, linger, warned, apart) in [(true, "no", true, false), (true, "yes", false, true), (false, "no", false, false)] {
        let stage = Stage::new();
        stage.rehearse(&["--fault", "host-down"]).expect(3);
        let marker = serde_json::json!({ "scratch": stage.scratch(), "speed": 5000.0, "faults": [] });
        fs::write(stage.state_dir().join("rehearsal.json"), marker.to_string()).unwrap();
        let Some(ended) = run_in_a_session(&stage, kill, linger) else { skip!("mount", "may not mount") };
        let ended = ended.expect(4);
        assert_eq!(ended.err.contains("KillUserProcesses=yes") && ended.err.contains("loginctl enable-linger"), warned, "{}", ended.err);
        let arguments = fs::read_to_string(stage.place.path("systemd-run.arguments")).unwrap_or_default();
        assert_eq!(arguments.starts_with("--user --scope") && arguments.contains("__engine"), apart, "{arguments}");
        assert!(stage.engine().is_some(), "in either case there is an engine, and it waits");
    }
}
