//! Published scripts behave badly in a few ways. Small scripts that behave so, run by the whole program below a profile: what they would do to a
//! person at a terminal must not happen to a run.

use std::fs;
use std::process::Stdio;

use crate::stage::Stage;
use crate::support::{Done, PROGRAM};

/// A profile with one question of the site, and one step that runs `asks` on a terminal.
const PROFILE: &str = r#"schema = 1
id = "asking"
title = "Asks"
summary = "Asks."

[[field]]
id = "domain"
section = "Domain"
kind = "domain"
label = "Domain"
required = true

[[field]]
id = "smtp_host"
section = "Mail"
kind = "text"
label = "Mail server"
required = true
pattern = "[A-Za-z0-9.-]+"
pattern_help = "the script evaluates it: letters, digits, dots and hyphens only"

[[check]]
id = "loaded"
title = "It is loaded"
kind = "command"
argv = ["test", "-e", "${home}/loaded"]
level = "fail"
on_demand = true
remedy = "Look at the log."

[[phase]]
id = "one"
title = "One"
reads = ["domain", "smtp_host"]

[[phase.step]]
id = "ask"
command = ["bash", "-c", "asks; exit $?"]
terminal = "pty"
VERIFY
[[phase.step.prompts]]
text = "PROMPT"
answer = "ANSWER"
required = true

[[phase.step]]
id = "after"
command = ["touch", "${home}/after"]
"#;

struct Place(Stage);

impl Place {
    /// `script` asks `prompt`, and is told `answer`; with `verify` a step counts only where the file `loaded` is there.
    fn new(script: &str, (prompt, answer): (&str, &str), verify: bool) -> Self {
        let stage = Stage::new();
        stage.place.program("asks", &format!("#!/bin/bash\n{script}\n"));
        let verify = if verify { "verify = [\"loaded\"]\n" } else { "" };
        let profile = PROFILE.replace("PROMPT", prompt).replace("ANSWER", answer).replace("VERIFY\n", verify);
        fs::write(stage.place.home().join("asking.toml"), profile).unwrap();
        Self(stage).with_host("mail.example.org")
    }

    fn with_host(self, host: &str) -> Self {
        let site =
            format!("schema = 1\nid = \"asking-0002\"\nprofile = \"asking\"\ndomain = \"sandbox.example.org\"\nsmtp_host = '{host}'\n");
        fs::write(self.0.place.home().join("site.toml"), site).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = self.0.place.command(PROGRAM);
        command.args(arguments).args(["--site", "site.toml", "--state-dir"]).arg(self.0.place.path("state")).stdin(Stdio::null());
        Done::of(&mut command)
    }

    fn has(&self, file: &str) -> bool {
        self.0.place.home().join(file).exists()
    }
}

/// As `masterdata-loader/install.sh`: any answer but one ends it well, and nothing was done.
const DECLINES: &str =
    "read -r -p 'Still want to continue(Y/n)' yn; [ \"$yn\" = Y ] || { echo 'break: only meaningful'; exit 0; }; touch ~/loaded";

#[test]
fn a_script_that_declines_in_silence_is_no_success() {
    let place = Place::new(DECLINES, ("Still want to continue(Y/n)", "y"), true);
    let failed = place.run(&["run", "--yes"]).expect(1);
    assert!(failed.out.contains("FAILED   one/ask") && failed.out.contains("It is loaded"), "{}", failed.out);
    assert!(!place.has("after"), "the run does not go on");
    let place = Place::new(DECLINES, ("Still want to continue(Y/n)", "Y"), true);
    place.run(&["run", "--yes"]).expect(0);
    assert!(place.has("loaded") && place.has("after"));
}

#[test]
fn a_script_that_does_not_ask_what_it_must_is_no_success() {
    let place = Place::new("echo 'nothing to ask'; touch ~/loaded", ("Still want to continue(Y/n)", "Y"), true);
    let failed = place.run(&["run", "--yes"]).expect(1);
    assert!(failed.out.contains("Still want to continue(Y/n)"), "{}", failed.out);
    assert!(!place.has("after"));
}

/// As `keycloak_init.sh`: what it is told is evaluated.
const EVALUATES: &str = "read -r -p 'SMTP host : ' value; eval \"host=$value\"; printf %s \"$host\" >~/got";

#[test]
fn what_a_script_evaluates_is_restricted_before_anything_runs() {
    for hostile in ["a;touch ~/pwned", "$(touch ~/pwned)", "a b", "a`touch ~/pwned`"] {
        let place = Place::new(EVALUATES, ("SMTP host : ", "${smtp_host}"), false).with_host(hostile);
        let refused = place.run(&["run", "--yes"]).expect(2);
        assert!(refused.err.contains("smtp_host") && refused.err.contains("the script evaluates it"), "{hostile}: {}", refused.err);
        assert!(!place.has("pwned") && !place.has("got"), "{hostile}");
    }
    let place = Place::new(EVALUATES, ("SMTP host : ", "${smtp_host}"), false);
    place.run(&["run", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(place.0.place.home().join("got")).unwrap(), "mail.example.org");
}

/// As `config-server/install.sh`: any answer but one kills whoever called it.
const KILLS: &str = "read -r -p 'Is conf-secrets installed?(Y/n) ' yn; [ \"$yn\" = Y ] || kill -9 $(ps --pid $$ -oppid=); touch ~/loaded";

#[test]
fn a_script_that_kills_its_caller_ends_its_step_alone() {
    let place = Place::new(KILLS, ("Is conf-secrets installed?(Y/n) ", "y"), true);
    let failed = place.run(&["run", "--yes"]).expect(1);
    assert!(failed.out.contains("FAILED   one/ask") && failed.out.contains("signal 9"), "{}", failed.out);
    // The run itself lives, and knows where it stands.
    assert!(place.run(&["status"]).expect(0).out.contains("failed"), "the state is told");
    let profile = place.0.place.home().join("asking.toml");
    fs::write(&profile, fs::read_to_string(&profile).unwrap().replace("answer = \"y\"", "answer = \"Y\"")).unwrap();
    place.run(&["retry"]).expect(0);
    assert!(place.has("loaded") && place.has("after"));
}
