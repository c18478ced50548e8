//! Prompts that nobody has answered beforehand: noticed, put to the operator, and never answered by themselves. Each script here behaves like
//! one class of program.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mosip_setup::engine::prompting::{asked, send};
use mosip_setup::install::profile::Terminal;
use mosip_setup::run::event::{Event, Outcome, Prompted};
use serde_json::Value;

use crate::runner::{Attempt, scripted, wait_for_text};
use crate::stage::{PATIENCE, Stage, done};
use crate::support::Done;

/// As soon as this a question is to be in front of the operator.
const SOON: Duration = Duration::from_secs(2);

fn on_terminal(script: &str) -> Attempt {
    scripted(script).on_terminal(&[])
}

/// Waits until an attempt asks prompt `number`.
fn wait_for(attempt: &Attempt, number: u32) -> Prompted {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(prompt) = asked(&attempt.spec.dir).filter(|prompt| prompt.number == number) {
            return prompt;
        }
        assert!(Instant::now() < deadline, "nothing was asked: {}", attempt.log());
        std::thread::yield_now();
    }
}

fn answer(attempt: &Attempt, number: u32, text: &str) -> Prompted {
    let prompt = wait_for(attempt, number);
    send(&attempt.spec.dir, number, text).unwrap();
    prompt
}

fn finish(attempt: &Attempt, runner: Child) -> String {
    assert_eq!(attempt.end(runner).outcome, Outcome::Done, "{}", attempt.log());
    for name in ["prompt.json", "answer"] {
        assert!(!attempt.spec.dir.join(name).exists(), "{name} is gone with the attempt");
    }
    attempt.log()
}

#[test]
fn a_prompt_without_newline_is_put_to_the_operator_within_two_seconds() {
    let attempt = on_terminal("echo The host is new.; printf 'Continue (yes/no)? '; read -r a; echo \"got=$a\"; exit 0");
    let runner = attempt.start();
    wait_for_text(&attempt.spec.dir.join("output.log"), "Continue");
    let shown = Instant::now();
    let prompt = wait_for(&attempt, 1);
    assert!(shown.elapsed() < SOON, "{:?}", shown.elapsed());
    assert_eq!((prompt.text.as_str(), prompt.secret), ("Continue (yes/no)?", false));
    assert_eq!(prompt.before, ["The host is new."]);
    assert!(!attempt.log().contains("got="), "nothing is typed by itself");
    let mode = |name: &str| fs::metadata(attempt.spec.dir.join(name)).unwrap();
    assert!(mode("answer").file_type().is_fifo() && mode("answer").permissions().mode() & 0o777 == 0o600);
    assert_eq!(mode("prompt.json").permissions().mode() & 0o777, 0o600);
    assert!(send(&attempt.spec.dir, 7, "yes").unwrap_err().contains("does not wait"), "an answer to another prompt goes nowhere");
    send(&attempt.spec.dir, 1, "yes").unwrap();
    assert!(finish(&attempt, runner).contains("got=yes"));
    assert!(send(&attempt.spec.dir, 1, "yes").unwrap_err().contains("does not wait"));
}

/// An attempt whose script reads `$GO` where it works for as long as the test wants it to.
fn working(script: &str, declared: &[(&str, &str, u32)]) -> Attempt {
    let mut attempt = scripted(script).on_terminal(declared);
    let pipe = attempt.pipe("go");
    attempt.spec.commands[0].env.insert("GO".into(), pipe.display().to_string());
    attempt
}

/// The work is done: the script goes on.
fn go(attempt: &Attempt) {
    fs::write(attempt.place.path("go"), "go\n").unwrap();
}

#[test]
fn prompts_after_a_silence_with_colours_and_without_text_are_seen() {
    let script = "printf '\\033[1;33mWhich \\033[0mone\\033[1m?\\033(B\\033[m '; read -r _ <\"$GO\"; read -r a; echo \"a=$a\"\n\
                  echo 'Type a name and press Enter'; read -r b; echo \"b=$b\"\nread -rsn1 c; echo \"c=$c\"; exit 0";
    let attempt = working(script, &[]);
    let runner = attempt.start();
    wait_for_text(&attempt.spec.dir.join("output.log"), "one");
    assert_eq!(asked(&attempt.spec.dir), None, "what it prints before it reads is no question yet");
    go(&attempt);
    assert_eq!(answer(&attempt, 1, "left").text, "Which one?");
    assert_eq!(answer(&attempt, 2, "some name").text, "Type a name and press Enter", "the last line is the question");
    let key = answer(&attempt, 3, "x");
    assert!(key.secret, "a key that is not shown counts as secret");
    let log = finish(&attempt, runner);
    assert!(log.contains("a=left") && log.contains("b=some name") && log.contains("c=x"), "{log}");
}

#[test]
fn a_declared_prompt_that_comes_after_long_work_is_answered_then_and_not_before() {
    let script = "echo 'Restarting config-server'; read -r _ <\"$GO\"; IFS= read -r -t 0 && echo typed ahead\n\
                  read -r -p 'Valid SSL? (Y/n) ' a; echo \"a=$a\"; exit 0";
    let attempt = working(script, &[("Valid SSL? (Y/n)", "Y", 1)]);
    let runner = attempt.start();
    wait_for_text(&attempt.spec.dir.join("output.log"), "Restarting");
    go(&attempt);
    let log = finish(&attempt, runner);
    assert!(log.contains("a=Y") && !log.contains("typed ahead"), "{log}");
}

#[test]
fn a_secret_answer_is_in_no_file() {
    let canary = "Canary-Prompt-4711";
    let script = "read -rsp 'Password: ' p; echo; echo \"length=${#p}\"; echo \"it was $p\"; exit 0";
    let attempt = on_terminal(script);
    let runner = attempt.start();
    let prompt = answer(&attempt, 1, canary);
    assert!(prompt.secret && prompt.text == "Password:", "{prompt:?}");
    let log = finish(&attempt, runner);
    assert!(log.contains("length=18") && log.contains("it was (secret)") && log.contains("answered by the operator, not shown"), "{log}");
    for entry in fs::read_dir(&attempt.spec.dir).unwrap() {
        let path = entry.unwrap().path();
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(canary), "{}", path.display());
    }
}

#[test]
fn a_program_that_waits_for_several_things_is_seen_by_its_question() {
    // `read -t` waits with a time limit: another system call, and it goes on by itself.
    let attempt = on_terminal("read -r -t 4 -p 'Go on? [y/N] ' a || echo; echo \"a=$a\"; read -r -p 'And now: ' b; echo \"b=$b\"; exit 0");
    let runner = attempt.start();
    assert_eq!(wait_for(&attempt, 1).text, "Go on? [y/N]");
    // Unanswered: the program goes on, and its question goes with it.
    let second = answer(&attempt, 2, "here");
    assert_eq!(second.text, "And now:");
    let log = finish(&attempt, runner);
    assert!(log.contains("a=\r\n") && log.contains("b=here"), "{log}");
}

#[test]
fn asking_twice_is_two_questions() {
    let attempt = on_terminal("for i in 1 2; do read -r -p 'Sure? ' a; echo \"a$i=$a\"; done; exit 0");
    let runner = attempt.start();
    answer(&attempt, 1, "no");
    let second = answer(&attempt, 2, "");
    assert_eq!((second.number, second.text.as_str()), (2, "Sure?"));
    let log = finish(&attempt, runner);
    assert!(log.contains("a1=no") && log.contains("a2=\r\n"), "an empty answer is one: {log}");
}

#[test]
fn what_works_or_draws_progress_is_not_asked_about() {
    let script =
        "printf 'Downloading 45%% [===>   ]'; read -r _ <\"$GO\"; printf '\\rDownloading 90%% [======>]'; echo; echo 'end'; exit 0";
    let attempt = working(script, &[]);
    let runner = attempt.start();
    wait_for_text(&attempt.spec.dir.join("output.log"), "45%");
    let mut seen = asked(&attempt.spec.dir);
    go(&attempt);
    while !attempt.spec.dir.join("exit.json").exists() {
        seen = seen.or_else(|| asked(&attempt.spec.dir));
        std::thread::yield_now();
    }
    assert_eq!(seen, None);
    finish(&attempt, runner);
}

#[test]
fn a_script_that_kills_its_parent_kills_a_shell_and_not_the_runner() {
    let script = "bash -c 'read -r -p \"Ready? (Y/n) \" a; [ \"$a\" = Y ] || kill -9 $PPID; echo installed'; exit $?";
    let attempt = on_terminal(script);
    let runner = attempt.start();
    answer(&attempt, 1, "y");
    let ended = attempt.end(runner);
    assert!(matches!(&ended.outcome, Outcome::Failed(_)), "{:?}", ended.outcome);
    assert!(attempt.spec.dir.join("exit.json").exists(), "the runner has written down how it ended");
}

#[test]
fn a_declared_prompt_is_the_whole_line_and_nothing_else() {
    let script = "read -r -p 'Delete everything? Continue (y/n) ' a; echo \"a=$a\"; read -r -p 'Continue (y/n) ' b; echo \"b=$b\"; exit 0";
    let attempt = scripted(script).on_terminal(&[("Continue (y/n)", "y", 1)]);
    let runner = attempt.start();
    assert_eq!(answer(&attempt, 1, "n").text, "Delete everything? Continue (y/n)", "a longer line is another prompt");
    let log = finish(&attempt, runner);
    assert!(log.contains("a=n") && log.contains("b=y"), "{log}");
}

#[test]
fn a_declared_prompt_that_comes_too_often_is_the_operators() {
    let attempt = scripted("for i in 1 2; do read -r -p 'Code: ' a; echo \"a$i=$a\"; done; exit 0").on_terminal(&[("Code:", "4711", 1)]);
    let runner = attempt.start();
    answer(&attempt, 1, "4712");
    let log = finish(&attempt, runner);
    assert!(log.contains("a1=4711") && log.contains("a2=4712"), "{log}");
}

// --- the whole program ---

/// A rehearsal whose first command runs on a terminal and asks.
fn asking(script: &str) -> Stage {
    let stage = Stage::new();
    stage.place.program("asks", &format!("#!/bin/bash\n{script}\n"));
    let home = stage.place.home();
    fs::write(
        home.join("asking.toml"),
        "schema = 1\nid = \"asking\"\ntitle = \"Asks\"\nsummary = \"Asks.\"\n\
         [[field]]\nid = \"domain\"\nsection = \"Domain\"\nkind = \"domain\"\nlabel = \"Domain\"\nrequired = true\n\
         [[phase]]\nid = \"one\"\ntitle = \"One\"\nreads = [\"domain\"]\n\
         [[phase.step]]\nid = \"ask\"\ncommand = [\"asks\"]\nterminal = \"pty\"\n\
         [[phase.step]]\nid = \"after\"\ncommand = [\"true\"]\n",
    )
    .unwrap();
    fs::write(home.join("site.toml"), "schema = 1\nid = \"asking-0001\"\nprofile = \"asking\"\ndomain = \"sandbox.example.org\"\n")
        .unwrap();
    stage
}

fn command(stage: &Stage, arguments: &[&str]) -> std::process::Command {
    let mut command = stage.place.command(crate::support::PROGRAM);
    command.args(arguments).args(["--site", "site.toml", "--state-dir"]).arg(stage.place.path("state")).stdin(Stdio::null());
    command
}

fn run(stage: &Stage, arguments: &[&str]) -> Done {
    Done::of(&mut command(stage, arguments))
}

fn status(stage: &Stage) -> Value {
    serde_json::from_str(&run(stage, &["status", "--json"]).expect(0).out).unwrap()
}

#[test]
fn a_prompt_waits_for_its_answer_from_any_shell_with_and_without_an_engine() {
    let stage = asking(
        "echo 'Two are here.'; read -r -p 'Which one? ' a; echo \"first=$a\"; read -rsp 'Secret: ' b; echo; echo \"second=${#b}\"; exit 0",
    );
    // Nobody is there to ask: the run ends waiting, the step does not.
    let ended = run(&stage, &["run", "--yes"]).expect(4);
    assert!(ended.out.contains("QUESTION one/ask#1.1: Which one?") && ended.out.contains("Two are here."), "{}", ended.out);
    let asked = status(&stage);
    assert_eq!((asked["state"].as_str(), asked["phases"][0]["state"].as_str()), (Some("waiting"), Some("running")), "{asked}");
    assert_eq!(asked["questions"][0]["text"], "Which one?");
    // The answer from another shell; the next question is a secret one.
    let ended = run(&stage, &["answer", "one/ask#1.1", "left"]).expect(4);
    assert!(ended.out.contains("first=left") && ended.out.contains("QUESTION one/ask#1.2: Secret:"), "{}", ended.out);
    let refused = run(&stage, &["answer", "one/ask#1.2", "Canary-Typed-1"]).expect(2);
    assert!(refused.err.contains("does not stand in a command line"), "{}", refused.err);
    let mut child =
        command(&stage, &["answer", "one/ask#1.2"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Canary-Typed-1\n").unwrap();
    let ended = done(child).expect(0);
    assert!(ended.out.contains("second=14") && ended.out.contains("done     one/after"), "it goes on to the end: {}", ended.out);
    assert_eq!(status(&stage)["state"], "done");
    let journal = crate::support::files_below(&stage.place.path("state"), "journal.jsonl").pop().unwrap();
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("\"answer\":\"left\""), "who answered what is on record");
    for path in crate::support::files_below(&stage.place.path("state"), "") {
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("Canary-Typed"), "{}", path.display());
    }
    let begun = crate::stage::read_journal(&journal);
    assert_eq!(begun.iter().filter(|event| matches!(&event.event, Event::StepStarted { step, .. } if step.step == *"ask")).count(), 1);
}

#[test]
fn a_prompt_that_comes_while_there_is_no_engine_is_in_the_status_and_can_be_answered() {
    let stage = asking(
        "echo ready >\"$HOME\"/begun; while [ ! -e \"$HOME\"/go ]; do sleep 0.05; done; read -r -p 'Now? ' a; echo \"a=$a\"; exit 0",
    );
    let mut engine = command(&stage, &["run", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = stage.place.home().join("begun");
    while !begun.exists() {
        std::thread::yield_now();
    }
    engine.kill().unwrap();
    engine.wait().unwrap();
    fs::write(stage.place.home().join("go"), "").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while status(&stage)["questions"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < deadline);
    }
    let asked = status(&stage);
    assert_eq!((asked["questions"][0]["id"].as_str(), asked["state"].as_str()), (Some("one/ask#1.1"), Some("waiting")), "{asked}");
    let ended = run(&stage, &["answer", "one/ask#1.1", "now"]).expect(0);
    assert!(ended.out.contains("done     one/ask"), "{}", ended.out);
    assert_eq!(status(&stage)["state"], "done");
}

#[test]
fn a_pipe_has_no_terminal_to_ask_at() {
    let attempt = scripted("read -r -p 'Name: ' a || echo \"nobody\"; exit 0");
    assert_eq!(attempt.spec.terminal, Terminal::Pipe);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(attempt.log().contains("nobody"));
}
