//! The attempt runner by itself: `mosip-setup __attempt` with a specification on its stdin.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mosip_setup::engine::attempt::{AttemptSpec, CommandSpec, Ended, Holder, Reading, is_locked, read_exit, read_holder, take_lock};
use mosip_setup::install::profile::{Prompt, Terminal};
use mosip_setup::run::event::{Failure, Outcome};
use rustix::process::Signal;

use crate::stage::{is_alive, signal};
use crate::support::{PROGRAM, Place};

pub struct Attempt {
    pub place: Place,
    pub spec: AttemptSpec,
}

impl Attempt {
    pub fn new(script: &str) -> Self {
        let place = Place::new();
        let spec = AttemptSpec {
            dir: place.path("attempt"),
            lock: place.path("runner.lock"),
            commands: vec![bash(script)],
            terminal: Terminal::Pipe,
            prompts: Vec::new(),
            helm: None,
            secrets: Vec::new(),
            remove: Vec::new(),
            known_issues: None,
            cluster: None,
        };
        Self { place, spec }
    }

    pub fn reading(mut self, reading: Reading) -> Self {
        self.spec.commands[0].reading = reading;
        self
    }

    pub fn secrets(mut self, secrets: &[&str]) -> Self {
        self.spec.secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        self
    }

    pub fn on_terminal(self, prompts: &[(&str, &str, u32)]) -> Self {
        let prompt = |(text, answer, times): &(&str, &str, u32)| Prompt {
            text: (*text).into(),
            answer: (*answer).into(),
            times: *times,
            ..Prompt::default()
        };
        self.answering(prompts.iter().map(prompt).collect())
    }

    pub fn answering(mut self, prompts: Vec<Prompt>) -> Self {
        self.spec.terminal = Terminal::Pty;
        self.spec.prompts = prompts;
        self
    }

    pub fn start(&self) -> Child {
        let mut command = self.place.command(PROGRAM);
        let mut runner = command.arg("__attempt").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        runner.stdin.take().unwrap().write_all(&serde_json::to_vec(&self.spec).unwrap()).unwrap();
        runner
    }

    pub fn end(&self, mut runner: Child) -> Ended {
        let mut said = String::new();
        runner.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(runner.wait().unwrap().success(), "{said}");
        read_exit(&self.spec.dir).expect("an exit record")
    }

    pub fn run(&self) -> Ended {
        self.end(self.start())
    }

    pub fn failure(&self) -> Failure {
        match self.run().outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.spec.dir.join("output.log")).unwrap()).into_owned()
    }

    /// A pipe that a command of the attempt writes its number into.
    pub fn pipe(&self, name: &str) -> PathBuf {
        let path = self.place.path(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

/// A test that fails leaves no runner behind.
impl Drop for Attempt {
    fn drop(&mut self) {
        let holder = read_holder::<Holder>(&self.spec.lock).filter(|holder| is_locked(&self.spec.lock) && holder.dir == self.spec.dir);
        if let Some(pid) = holder.and_then(|holder| i32::try_from(holder.pid).ok()) {
            signal(pid, Signal::USR1);
        }
    }
}

fn bash(script: &str) -> CommandSpec {
    let argv = ["bash", "-c", script].map(str::to_owned).to_vec();
    CommandSpec { argv, dir: None, env: BTreeMap::new(), reading: Reading::Plain, shown: None }
}

pub fn script_in(attempt: &mut Attempt, script: &str) {
    let path = attempt.place.path("script");
    fs::write(&path, script).unwrap();
    attempt.spec.commands[0].argv = vec!["bash".into(), path.display().to_string()];
}

/// An attempt whose log shows the name of a script and not the script.
pub fn scripted(script: &str) -> Attempt {
    let mut attempt = Attempt::new("");
    script_in(&mut attempt, script);
    attempt
}

fn lines(attempt: &Attempt) -> Vec<String> {
    attempt.log().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn every_line_of_both_streams_is_kept() {
    let attempt = scripted("for i in {1..20000}; do echo out $i; echo err $i >&2; done; printf 'no newline'");
    let ended = attempt.run();
    assert_eq!(ended.outcome, Outcome::Done);
    let kept = lines(&attempt);
    for (word, what) in [("out", "stdout"), ("err", "stderr")] {
        let numbers: Vec<&str> = kept.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect();
        assert_eq!(numbers.len(), 20000, "{what}");
        assert!(numbers.iter().enumerate().all(|(index, number)| number.parse() == Ok(index + 1)), "{what} keeps its order");
    }
    assert_eq!(kept.iter().filter(|line| line.contains("no newline")).count(), 1);
    assert_eq!(ended.log_bytes, fs::metadata(attempt.spec.dir.join("output.log")).unwrap().len());
    assert!(attempt.log().starts_with("$ bash "), "the log says what was run");
}

#[test]
fn a_failure_names_code_command_and_last_lines() {
    let attempt = scripted("echo fine; echo broken >&2; exit 7");
    let failure = attempt.failure();
    assert_eq!((failure.exit, failure.signal, failure.message.as_str()), (Some(7), None, "bash ended with exit code 7"));
    assert!(failure.command.starts_with("bash "));
    assert!(failure.lines.contains(&"broken".to_owned()), "{:?}", failure.lines);
    let failure = scripted("kill -SEGV $$").failure();
    assert_eq!((failure.exit, failure.signal), (None, Some(11)));
}

#[test]
fn the_first_command_that_fails_is_the_last() {
    let mut attempt = Attempt::new("echo one");
    attempt.spec.commands.extend([bash("echo two; exit 3"), bash("echo three")]);
    assert_eq!(attempt.failure().exit, Some(3));
    assert!(attempt.log().contains("\none\n") && attempt.log().contains("\ntwo\n") && !attempt.log().contains("three"));
}

#[test]
fn missing_programs_and_folders_are_told_apart() {
    let mut attempt = Attempt::new("");
    attempt.spec.commands[0].argv = vec!["no-such-program".into()];
    let failure = attempt.failure();
    assert_eq!(failure.message, "the program 'no-such-program' is not installed or not on PATH");
    assert!(failure.hint.contains("install no-such-program"));
    let mut attempt = Attempt::new("true");
    attempt.spec.commands[0].dir = Some("/no/such/folder".into());
    assert_eq!(attempt.failure().message, "the folder /no/such/folder does not exist");
    let mut attempt = Attempt::new("true");
    attempt.spec.commands[0].argv = vec!["/etc/passwd".into()];
    assert!(attempt.failure().message.contains("cannot be started"));
}

#[test]
fn an_orphan_that_holds_the_pipe_does_not_hold_the_run() {
    let attempt = scripted("setsid bash -c 'echo $BASHPID; exec sleep 600' & sleep 0.2; echo last; exit 0");
    let begun = Instant::now();
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let kept = lines(&attempt);
    assert!(kept.contains(&"last".to_owned()));
    let orphan = kept.iter().find_map(|line| line.parse().ok()).unwrap();
    assert!(is_alive(orphan), "what a command leaves running on purpose is left alone");
    signal(orphan, Signal::KILL);
}

/// Starts an attempt whose script writes to `$PIPE` when it is ready, and waits for that.
pub fn ready(script: &str, reading: Reading) -> (Attempt, Child, i32) {
    let mut attempt = Attempt::new("").reading(reading);
    let pipe = attempt.pipe("ready");
    script_in(&mut attempt, script);
    attempt.spec.commands[0].env.insert("PIPE".into(), pipe.display().to_string());
    let runner = attempt.start();
    let child = fs::read_to_string(&pipe).unwrap().trim().parse().unwrap();
    (attempt, runner, child)
}

const STUBBORN: &str = "trap 'echo not me' TERM INT\necho $$ >$PIPE\nwhile :; do sleep 600 & wait; done";

#[test]
fn a_stop_reaches_the_whole_group() {
    let (attempt, runner, child) = ready("sleep 600 & echo $$ >$PIPE; wait", Reading::Plain);
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    assert_eq!(attempt.end(runner).outcome, Outcome::Stopped { by: String::new() });
    assert!(!is_alive(child));
    let group = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("stat")).ok());
    let left =
        group.filter(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(2) == Some(&child.to_string())));
    assert_eq!(left.filter(|stat| !stat.contains(") Z ")).count(), 0, "nobody of the group is left");
}

#[test]
fn a_command_that_ignores_a_stop_is_killed_at_once_when_that_is_asked() {
    let (attempt, runner, child) = ready(STUBBORN, Reading::Plain);
    let pid = i32::try_from(runner.id()).unwrap();
    let begun = Instant::now();
    signal(pid, Signal::TERM);
    // The stop was heard, and not followed.
    wait_for_text(&attempt.spec.dir.join("output.log"), "not me");
    assert!(is_alive(child));
    signal(pid, Signal::USR1);
    assert_eq!(attempt.end(runner).outcome, Outcome::Stopped { by: String::new() });
    assert!(!is_alive(child) && begun.elapsed() < Duration::from_secs(19), "before the grace is over: {:?}", begun.elapsed());
}

#[test]
fn a_command_that_ignores_a_stop_is_killed_after_its_grace() {
    if std::env::var_os("MOSIP_SETUP_LONG").is_none() {
        crate::support::skip!("long", "only with --long");
    }
    let (attempt, runner, child) = ready(STUBBORN, Reading::Plain);
    let begun = Instant::now();
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    assert_eq!(attempt.end(runner).outcome, Outcome::Stopped { by: String::new() });
    assert!(!is_alive(child) && begun.elapsed() >= Duration::from_secs(19));
}

/// Waits until a file has a text; there is nothing to wait on but the file.
pub fn wait_for_text(path: &Path, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !fs::read_to_string(path).unwrap_or_default().contains(text) {
        assert!(Instant::now() < deadline, "{} has no {text:?}", path.display());
        std::thread::yield_now();
    }
}

#[test]
fn a_command_that_ends_well_after_a_stop_is_done() {
    let script = "trap 'kill $!; echo finishing; exit 0' INT\necho $$ >$PIPE\nwhile :; do sleep 600 & wait; done";
    let (attempt, runner, _) = ready(script, Reading::Terraform { destroys: Vec::new() });
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    assert_eq!(attempt.end(runner).outcome, Outcome::Done, "Terraform gets an interrupt, and what it finished is finished");
}

#[test]
fn a_hangup_ends_nothing() {
    let (attempt, runner, child) = ready("echo $$ >$PIPE; read -r _ <$PIPE; exit 0", Reading::Plain);
    signal(i32::try_from(runner.id()).unwrap(), Signal::HUP);
    assert!(is_alive(child));
    fs::write(attempt.place.path("ready"), "go\n").unwrap();
    assert_eq!(attempt.end(runner).outcome, Outcome::Done);
}

#[test]
fn a_second_runner_of_a_site_is_refused() {
    let attempt = scripted("echo must not run");
    let _held = take_lock(&attempt.spec.lock).unwrap().unwrap();
    let failure = attempt.failure();
    assert!(failure.message.contains("still running"), "{}", failure.message);
    assert!(!attempt.spec.dir.join("output.log").exists());
}

#[test]
fn what_is_left_is_private_and_whole() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut attempt = scripted("umask; echo x >made; exit 0");
    attempt.spec.commands[0].dir = Some(attempt.place.path("tmp"));
    let plan = attempt.place.path("tmp/plan");
    fs::write(&plan, "left by an attempt that was killed").unwrap();
    attempt.spec.remove = vec![plan.clone()];
    attempt.run();
    let names: Vec<String> =
        fs::read_dir(&attempt.spec.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        names.iter().all(|name| ["output.log", "output.times", "exit.json", "events.jsonl"].contains(&name.as_str())),
        "no half-written file: {names:?}"
    );
    for path in names.iter().map(|name| attempt.spec.dir.join(name)).chain([attempt.place.path("tmp/made")]) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
    assert!(lines(&attempt).contains(&"0077".to_owned()));
    assert!(!plan.exists(), "files to remove are removed");
}

const SECRET: &str = "Canary-Secret/0123456789+?";

#[test]
fn secrets_are_removed_across_the_borders_of_writes() {
    let attempt = scripted(
        "s='Canary-Secret/0123456789+?'\nfor ((i = 1; i < ${#s}; i++)); do printf %s \"a${s:0:i}\"; sleep 0.07; printf '%s\\n' \"${s:i}z\"; done\n\
         printf '%s' \"$s\" | base64; printf 'Canary-Secret%%2F0123456789%%2B%%3F\\n'; echo \"err $s\" >&2; printf %s \"$s\"",
    )
    .secrets(&[SECRET]);
    attempt.run();
    let log = attempt.log();
    assert!(!log.contains("0123456789") && !log.contains("Q2FuYXJ5LVNlY3Jld"), "{log}");
    assert_eq!(lines(&attempt).iter().filter(|line| line.as_str() == "a(secret)z").count(), SECRET.len() - 1, "{log}");
    // What is said about a failure has none either.
    let mut attempt = scripted("echo \"$1\" >&2; exit 1").secrets(&[SECRET]);
    attempt.spec.commands[0].argv.push(SECRET.into());
    let text = serde_json::to_string(&attempt.failure()).unwrap();
    assert!(!text.contains("0123456789") && text.contains("(secret)"), "{text}");
}

#[test]
fn a_partial_line_is_shown_before_it_ends() {
    let (attempt, runner, _) = ready("printf 'waiting for you'; echo $$ >$PIPE; read -r _ <$PIPE", Reading::Plain);
    wait_for_text(&attempt.spec.dir.join("output.log"), "waiting for you");
    fs::write(attempt.place.path("ready"), "go\n").unwrap();
    attempt.end(runner);
}

#[test]
fn prompts_are_answered_by_their_exact_text_alone() {
    let attempt = scripted(
        "test -t 0 && test -t 1 && echo on a terminal\nread -r -p 'Unknown? ' -t 0.3 x || echo \"nobody answers\"\n\
         read -r -p 'Name of the domain: ' a; echo \"domain=$a\"\n\
         printf 'Please \\033[1;32mconfirm\\033[0m (y/n) '; read -r b; echo \"confirm=$b\"\n\
         read -rs -p 'Password: ' c; echo; echo \"length=${#c}\"",
    )
    .on_terminal(&[("Name of the domain: ", "example.org", 1), ("Please confirm (y/n)", "y", 1), ("Password:", SECRET, 1)])
    .secrets(&[SECRET]);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    let log = attempt.log();
    for said in ["on a terminal", "nobody answers", "domain=example.org", "confirm=y", &format!("length={}", SECRET.len())] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains(SECRET));
}

#[test]
fn a_prompt_that_comes_too_often_is_not_answered_again() {
    let script = "read -r -p 'Code: ' a; echo \"first=$a\"; read -r -t 0.5 -p 'Code: ' b || echo 'second open'; exit 0";
    let attempt = scripted(script).on_terminal(&[("Code:", "4711", 1)]);
    let failure = attempt.failure();
    assert!(failure.message.contains("came more often than expected"), "{}", failure.message);
    assert!(attempt.log().contains("first=4711") && attempt.log().contains("second open"), "{}", attempt.log());
    let attempt = scripted(script).on_terminal(&[("Code:", "4711", 2)]);
    assert_eq!(attempt.run().outcome, Outcome::Done);
}

fn whole_line(text: &str, answer: &str) -> Prompt {
    Prompt { text: text.into(), answer: answer.into(), whole_line: true, required: true, ..Prompt::default() }
}

#[test]
fn a_question_in_lines_of_its_own_is_answered_after_the_last_of_them() {
    let script = "echo 'Valid SSL? (Y/n) '; echo 'Y: with a certificate'; echo \"n: without one\"; read -p '' flag; echo \"flag=$flag\"\n\
                  echo -e '\\e[1mDone? (y/n)\\e[0m'; read answer; echo \"answer=$answer\"";
    let attempt = scripted(script).answering(vec![whole_line("n: without one", "Y"), whole_line("Done? (y/n)", "y")]);
    assert_eq!(attempt.run().outcome, Outcome::Done, "{}", attempt.log());
    assert!(attempt.log().contains("flag=Y") && attempt.log().contains("answer=y"), "{}", attempt.log());
}

#[test]
fn a_script_that_kills_its_parent_kills_the_shell_before_it_alone() {
    let mut attempt = Attempt::new("").answering(vec![Prompt { text: "Ready? ".into(), answer: "n".into(), ..Prompt::default() }]);
    let path = attempt.place.path("inner");
    fs::write(&path, "read -p 'Ready? ' yn; if [ $yn != Y ]; then kill -9 $(ps --pid $$ -oppid=); exit; fi").unwrap();
    let line = format!("bash {}; exit $?", path.display());
    attempt.spec.commands[0].argv = vec!["bash".into(), "-c".into(), line];
    let failure = attempt.failure();
    assert_eq!(failure.signal, Some(9), "{failure:?}");
    assert!(attempt.log().contains("Ready? n"), "{}", attempt.log());
}

#[test]
fn a_decline_that_nobody_was_asked_for_is_no_success() {
    let must = |text: &str| Prompt { text: text.into(), answer: "Y".into(), required: true, ..Prompt::default() };
    let attempt = scripted("echo 'nothing to do'").answering(vec![must("All data will be lost. Are you sure?(Y/n)")]);
    let failure = attempt.failure();
    assert!(failure.message.contains("without asking 'All data will be lost"), "{}", failure.message);
    let attempt = scripted("read -p 'Sure?(Y/n)' yn; test $yn = Y && echo loaded").answering(vec![must("Sure?(Y/n)")]);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(attempt.log().contains("loaded"));
}

#[test]
fn a_prompt_after_long_work_is_answered_and_not_one_keystroke_earlier() {
    // What is typed ahead would be read by the first `read`, which must find nothing.
    let script = "for i in 1 2 3 4 5 6; do read -t 0.2 early && echo \"typed ahead: $early\"; echo working $i; done\n\
                  read -p 'Region : ' region; echo \"region=[$region]\"; read -p 'Address : ' address; echo \"address=$address\"";
    let attempt = scripted(script).on_terminal(&[("Region : ", "", 1), ("Address : ", "http://a.b:9000", 1)]);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    let log = attempt.log();
    assert!(!log.contains("typed ahead") && log.contains("region=[]") && log.contains("address=http://a.b:9000"), "{log}");
}

#[test]
fn a_stop_reaches_a_command_on_a_terminal() {
    let mut attempt = Attempt::new("").on_terminal(&[]);
    let pipe = attempt.pipe("ready");
    script_in(&mut attempt, "echo $$ >$PIPE; sleep 600");
    attempt.spec.commands[0].env.insert("PIPE".into(), pipe.display().to_string());
    let runner = attempt.start();
    let child = fs::read_to_string(&pipe).unwrap().trim().parse().unwrap();
    signal(i32::try_from(runner.id()).unwrap(), Signal::TERM);
    assert_eq!(attempt.end(runner).outcome, Outcome::Stopped { by: String::new() });
    assert!(!is_alive(child));
}

#[test]
fn output_that_is_saved_is_not_in_the_log() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut attempt = scripted("echo PrivateKey; echo noise >&2");
    let path = attempt.place.path("peer.conf");
    attempt.spec.commands[0].reading = Reading::Save { path: path.clone() };
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert_eq!(fs::read_to_string(&path).unwrap(), "PrivateKey\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!attempt.log().contains("PrivateKey") && attempt.log().contains("noise"));
}

fn terraform(address: &str, action: &str) -> String {
    let resource =
        serde_json::json!({ "addr": address, "module": "", "resource": address, "resource_type": "helm_release", "resource_name": "a" });
    let change = serde_json::json!({ "resource": resource, "action": action });
    serde_json::json!({ "@level": "info", "@message": format!("{address}: Plan to {action}"), "type": "planned_change", "change": change })
        .to_string()
}

#[test]
fn a_plan_that_destroys_stops_before_the_apply() {
    let with = |allowed: &[&str]| {
        let reading = Reading::Terraform { destroys: allowed.iter().map(|address| (*address).to_owned()).collect() };
        let mut attempt = Attempt::new("").reading(reading.clone());
        let lines = [terraform("helm_release.a", "create"), terraform("helm_release.b", "replace"), terraform("helm_release.c", "delete")];
        let plan = attempt.place.path("plan.jsonl");
        fs::write(&plan, lines.join("\n") + "\n").unwrap();
        script_in(&mut attempt, &format!("cat {}", plan.display()));
        attempt.spec.commands.push(CommandSpec { reading, ..bash("touch \"$HOME\"/applied") });
        attempt
    };
    let attempt = with(&[]);
    let failure = attempt.failure();
    assert_eq!(failure.destroys, ["helm_release.b", "helm_release.c"]);
    assert!(failure.message.contains("nothing was changed"), "{}", failure.message);
    assert!(!attempt.place.home().join("applied").exists());
    let attempt = with(&["helm_release.b"]);
    assert_eq!(attempt.failure().destroys, ["helm_release.c"], "consent to one is not consent to all");
    let attempt = with(&["helm_release.b", "helm_release.c"]);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    assert!(attempt.place.home().join("applied").exists());
}

#[test]
fn a_playbook_without_recap_or_hosts_is_no_success() {
    let play = |text: &str| {
        let mut attempt = Attempt::new("").reading(Reading::Playbook { tasks: 1, empty_groups: false });
        script_in(&mut attempt, &format!("cat <<'END'\n{text}\nEND"));
        attempt
    };
    for text in ["", "PLAY [all] ****\nskipping: no hosts matched\n\nPLAY RECAP *****\n", "PLAY [all] ****\n\nTASK [one] ****\nok: [vm1]\n"]
    {
        assert!(matches!(play(text).run().outcome, Outcome::Failed(_)), "{text:?}");
    }
    let whole = "PLAY [all] ****\n\nTASK [one] ****\nok: [vm1]\n\nPLAY RECAP *****\nvm1 : ok=1 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\n";
    // Ansible says what its play missed on stderr, and ends with 0.
    let mut attempt = play(whole);
    attempt.spec.commands[0].argv =
        ["bash", "-c", &format!("cat <<'END'\n{whole}\nEND\necho '[WARNING]: Could not match supplied host pattern, ignoring: nginx' >&2")]
            .map(str::to_owned)
            .to_vec();
    assert!(attempt.failure().message.contains("the inventory has no nginx"));
    let attempt = play(whole);
    assert_eq!(attempt.run().outcome, Outcome::Done);
    let progress = fs::read_to_string(attempt.spec.dir.join("events.jsonl")).unwrap();
    let last: mosip_setup::run::event::Progress = serde_json::from_str(progress.lines().last().unwrap()).unwrap();
    assert_eq!((last.done, last.total, last.unit.as_str()), (1, 1, "tasks"));
}

#[test]
fn an_inventory_that_lost_a_host_stops_before_the_playbook() {
    let model = BTreeMap::from([("nginx".to_owned(), BTreeMap::from([("vm1".to_owned(), Some("10.0.0.1".to_owned()))]))]);
    let list = |host: &str| {
        let mut attempt = Attempt::new("").reading(Reading::Inventory { model: model.clone() });
        let text = serde_json::json!({ "_meta": { "hostvars": { host: { "ansible_host": "10.0.0.1" } } }, "nginx": { "hosts": [host] } });
        script_in(&mut attempt, &format!("cat <<'END'\n{text}\nEND"));
        attempt.spec.commands.push(bash("echo played"));
        attempt
    };
    assert_eq!(list("vm1").run().outcome, Outcome::Done);
    let attempt = list("vm2");
    assert!(attempt.failure().message.contains("does not show the machines"));
    assert!(!attempt.log().contains("played"));
}

#[test]
fn a_specification_that_makes_no_sense_starts_nothing() {
    let place = Place::new();
    let mut command = place.command(PROGRAM);
    let mut runner = command.arg("__attempt").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    runner.stdin.take().unwrap().write_all(b"{\"dir\":").unwrap();
    let ended = crate::stage::done(runner);
    assert_ne!(ended.code, 0);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}
