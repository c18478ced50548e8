//! A rehearsal on a stage of its own, and a step of it that waits until the test lets it go on.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mosip_setup::engine::attempt::is_locked;
use mosip_setup::run::event::{Event, Recorded};
use mosip_setup::run::state::{State, fold};
use serde_json::Value;

use crate::support::{Done, PROGRAM, Place};

/// How long something may take that is expected to happen; generous, for machines under load.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A place with a rehearsal in it.
pub struct Stage {
    pub place: Place,
}

/// No engine outlives its test, nor what it runs.
impl Drop for Stage {
    fn drop(&mut self) {
        for name in ["site.lock", "runner.lock"] {
            end_holder(&self.site().join(name));
        }
    }
}

/// Kills the process that holds a lock, and waits until it is gone.
pub fn end_holder(lock: &Path) {
    let holder = |lock: &Path| serde_json::from_slice::<Value>(&fs::read(lock).ok()?).ok()?["pid"].as_i64();
    let deadline = std::time::Instant::now() + PATIENCE;
    while is_locked(lock) && std::time::Instant::now() < deadline {
        let Some(pid) = holder(lock).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid != 0) else { continue };
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
        wait_for_lock(lock);
    }
}

impl Stage {
    pub fn new() -> Self {
        Self { place: Place::new() }
    }

    /// The scratch folder.
    pub fn scratch(&self) -> PathBuf {
        self.place.path("scratch")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.scratch().join("state")
    }

    /// The site's own folder.
    pub fn site(&self) -> PathBuf {
        self.state_dir().join("sites/rehearsal-0000")
    }

    /// Plays the whole rehearsal without a screen.
    pub fn rehearse(&self, arguments: &[&str]) -> Done {
        let done = Done::of(self.rehearsal(arguments).stdin(Stdio::null()));
        self.unanswered();
        done
    }

    /// From now on nobody answers beforehand, as in a run without terminal.
    pub fn unanswered(&self) {
        let marker = self.state_dir().join("rehearsal.json");
        let text = fs::read_to_string(&marker).unwrap();
        fs::write(marker, text.replace("\"answered\":true", "\"answered\":false")).unwrap();
    }

    /// The same, not yet started.
    pub fn rehearsal(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(PROGRAM);
        command.args(["rehearse", "--headless", "--speed", "5000", "--dir"]).arg(self.scratch()).args(arguments);
        command
    }

    /// A command in this rehearsal.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(PROGRAM);
        command.args(arguments).arg("--state-dir").arg(self.state_dir());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).stdin(Stdio::null()))
    }

    /// A command with something on its stdin.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        done(child)
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"]).expect(0).out).unwrap()
    }

    /// The state of each phase by `status`, as `phase=state`.
    pub fn phases(&self) -> Vec<String> {
        let status = self.status();
        let phases = status["phases"].as_array().unwrap();
        phases.iter().map(|phase| format!("{}={}", phase["id"].as_str().unwrap(), phase["state"].as_str().unwrap())).collect()
    }

    /// The process of the engine that holds the site; none: there is none.
    pub fn engine(&self) -> Option<i32> {
        i32::try_from(self.status()["engine"]["pid"].as_i64()?).ok()
    }

    /// Ends an engine that has nothing to do, so that files below it can be changed.
    pub fn retire(&self) {
        self.run(&["stop"]).expect(0);
        wait_for_lock(&self.site().join("site.lock"));
    }

    /// The folders of the runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let mut runs: Vec<PathBuf> = fs::read_dir(self.site().join("runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
        runs.sort();
        runs
    }

    /// The events of the newest run.
    pub fn events(&self) -> Vec<Recorded> {
        read_journal(&self.runs().pop().unwrap().join("journal.jsonl"))
    }

    /// The newest run as its journal has it.
    pub fn state(&self) -> State {
        fold(&self.events()).unwrap()
    }

    /// How often a step was begun in the newest run.
    pub fn begun(&self, wanted: &str) -> usize {
        let events = self.events();
        events.iter().filter(|event| matches!(&event.event, Event::StepStarted { step, .. } if step.to_string() == wanted)).count()
    }
}

/// The events of a journal; every line must be whole.
pub fn read_journal(path: &Path) -> Vec<Recorded> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// A started command, run to its end.
pub fn done(child: Child) -> Done {
    use std::os::unix::process::ExitStatusExt as _;
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    Done { code, out: text(&output.stdout), err: text(&output.stderr) }
}

/// Stands in for `git`: the step that clones the kit arrives here and stays until it is let go. Everything else of git is real.
pub struct Hold {
    folder: PathBuf,
    arrived: File,
    go: File,
}

impl Hold {
    /// Puts the stand-in on the PATH of a place. `script` is run before it waits.
    pub fn new(place: &Place, script: &str) -> Self {
        let folder = place.path("hold");
        fs::create_dir(&folder).unwrap();
        let pipe = |name: &str| {
            let path = folder.join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            // Open at both ends: neither side waits for the other to come, and a test that ends lets go.
            File::options().read(true).write(true).open(path).unwrap()
        };
        let (arrived, go) = (pipe("arrived"), pipe("go"));
        let folder_text = folder.display();
        let body = format!(
            "#!/bin/bash\n\
             case \" $* \" in *\" clone --no-hardlinks \"*)\n\
             echo $$ >>{folder_text}/pids\n\
             {script}\n\
             if [ -e {folder_text}/hold ]; then echo $$ >{folder_text}/arrived; read -r -t 120 _ <>{folder_text}/go; fi\n\
             if [ -e {folder_text}/pretend ]; then exit 0; fi ;;\n\
             esac\n\
             exec /usr/bin/git \"$@\"\n"
        );
        fs::write(folder.join("hold"), "").unwrap();
        place.program("git", &body);
        Self { folder, arrived, go }
    }

    /// Waits until the step has arrived; gives its process.
    #[track_caller]
    pub fn arrived(&mut self) -> i32 {
        let mut fds = [rustix::event::PollFd::new(&self.arrived, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap(), tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&patience)), Ok(1), "the step did not begin");
        let mut buffer = [0; 64];
        let length = self.arrived.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().parse().unwrap()
    }

    /// Lets the step go on, and holds no later one.
    pub fn release(&mut self) {
        let _ = fs::remove_file(self.folder.join("hold"));
        self.go.write_all(b"go\n").unwrap();
    }

    /// From now on it does nothing and says that all is well.
    pub fn pretend(&self) {
        fs::write(self.folder.join("pretend"), "").unwrap();
    }

    /// The processes that came by.
    pub fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.folder.join("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.join("hold"));
        let _ = self.go.write_all(b"go\ngo\ngo\n");
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits until nobody holds a lock file.
pub fn wait_for_lock(path: &Path) {
    // The system wakes this up; a lock that never goes is ended by the runner's own grace.
    File::open(path).unwrap().lock_shared().unwrap();
}

/// Whether a process is there and not only waited for.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
