//! The engine as a process of its own: this binary again, with a hidden verb, in a session of its own and without a terminal.
//!
//! What it needs (the plan, the secrets) comes through a pipe and never stands in arguments, environment or files. It says through another
//! pipe that it is ready, or why it cannot be; only then does the front end let go of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::driver::EngineError;
use super::opening::Order;
use super::server::Asked;
use super::setup::{Setup, SetupError};
use crate::adapters::logout;
use crate::adapters::process::own_image;
use crate::adapters::secrets::Secrets;
use crate::install::plan::Plan;
use crate::run::redact::Redactor;

/// The hidden verb that becomes an engine.
pub const VERB: &str = "__engine";

/// How long the log of an engine grows before the older half is put aside, bytes.
const LOG_BYTES: u64 = 512 * 1024;

/// Variables that belong to the terminal, the login or the service that the engine is started from, and mean nothing when that is gone.
const NOT_INHERITED: &[&str] = &[
    "COLUMNS",
    "LINES",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "_",
    "STY",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TMUX",
    "TMUX_PANE",
    "WINDOWID",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "XDG_SESSION_ID",
    "XDG_SEAT",
    "XDG_VTNR",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MOSIP_SETUP_SITE",
    "MOSIP_SETUP_STATE_DIR",
];

/// What an engine is told. It comes through a pipe and is never written down: it holds secrets.
#[derive(Serialize, Deserialize)]
struct Spec {
    state_dir: PathBuf,
    site_id: String,
    site_file: String,
    new: bool,
    plan: Box<Plan>,
    secrets: BTreeMap<String, String>,
}

/// What an engine says when it is ready, or cannot be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
enum Said {
    Ready { run: String },
    Held { pid: u32 },
    Failed { message: String },
}

/// Starts an engine in the background and waits until it is ready; gives the run's name.
///
/// # Errors
/// The site is held by another engine, or what the engine's own process said.
pub(super) fn launch(state_dir: &Path, order: Order, hidden: &[String]) -> Result<String, EngineError> {
    let Order { site_id, site_file, plan, secrets, new } = order;
    let spec = Spec { state_dir: state_dir.to_owned(), site_id, site_file, new, plan: Box::new(plan), secrets: secrets.exposed() };
    let start = |error: &dyn std::fmt::Display| EngineError::Start(format!("the engine cannot be started: {error}"));
    let (ready, said) = io::pipe().map_err(|error| start(&error))?;
    let errors = said.try_clone().map_err(|error| start(&error))?;
    let escape = logout::escape();
    let mut command = match escape.split_first() {
        // Looked up by the other program, so it must be told whose image is meant.
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(format!("/proc/{}/exe", std::process::id()));
            command
        }
        None => {
            let mut command = Command::new(own_image());
            command.arg0("mosip-setup");
            command
        }
    };
    // In a group of its own until it leads a session: a Ctrl-C meanwhile is not meant for it.
    command.arg(VERB).current_dir("/").process_group(0).stdin(Stdio::piped()).stdout(said).stderr(errors);
    for name in NOT_INHERITED.iter().copied().chain(hidden.iter().map(String::as_str)) {
        command.env_remove(name);
    }
    let mut child = command.spawn().map_err(|error| start(&error))?;
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        let written = serde_json::to_vec(&spec).map_err(io::Error::other).and_then(|text| stdin.write_all(&text));
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(start(&error));
        }
    }
    let mut other = String::new();
    for line in BufReader::new(ready).lines() {
        let line = line.map_err(|error| start(&error))?;
        match serde_json::from_str(&line) {
            Ok(Said::Ready { run }) => {
                // Nobody but init asks how it ended; while this program lives, that is its part.
                std::thread::spawn(move || child.wait());
                return Ok(run);
            }
            Ok(said) => {
                let _ = child.wait();
                return Err(match said {
                    Said::Held { pid } => EngineError::Held { pid },
                    Said::Failed { message } => EngineError::Start(message),
                    Said::Ready { .. } => EngineError::Start(String::new()),
                });
            }
            Err(_) => other = format!("{other}\n{line}"),
        }
    }
    let status = child.wait().map(|status| status.to_string()).unwrap_or_default();
    Err(start(&format!("it ended before it was ready ({status}){other}")))
}

/// The body of [`VERB`]: becomes an engine and works until there is nothing more to do. The specification comes on stdin.
///
/// # Errors
/// The specification cannot be read.
pub fn run() -> io::Result<()> {
    // Fails only for a process that leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Started as /proc/self/exe, it would be called `exe`.
    let _ = std::fs::write("/proc/self/comm", "mosip-setup");
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let spec: Spec = serde_json::from_slice(&text)?;
    drop(text);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(spec));
    runtime.shutdown_background();
    Ok(())
}

fn say(said: &Said) {
    // A front end that has gone meanwhile need not know.
    let mut out = io::stdout().lock();
    let _ = serde_json::to_writer(&mut out, said).map_err(io::Error::from).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

async fn serve(spec: Spec) {
    let Spec { state_dir, site_id, site_file, new, plan, secrets } = spec;
    let mut values = Secrets::default();
    for (field, value) in secrets {
        if let Ok(field) = field.parse() {
            values.insert(field, SecretString::from(value));
        }
    }
    let order = Order { site_id, site_file, plan: *plan, secrets: values, new };
    let opened = Setup::open(Some(&state_dir)).map_err(|error| error.to_string());
    let opened = opened.map(|setup| setup.engine(order));
    let engine = match opened {
        Ok(Ok(engine)) => engine,
        Ok(Err(SetupError::Engine(EngineError::Held { pid }))) => return say(&Said::Held { pid }),
        Ok(Err(error)) => return say(&Said::Failed { message: error.to_string() }),
        Err(message) => return say(&Said::Failed { message }),
    };
    let log = engine.log();
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |panic| panics.say(&format!("a fault of the program: {panic}"))));
    let hub = engine.hub();
    let user = crate::adapters::user::name();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                // The terminal it was started from is gone; that is no reason to end.
                _ = hangup.recv() => continue,
            }
            let _ = hub.ask(Asked::Terminate, &user).await;
        }
    });
    let working = engine.start();
    say(&Said::Ready { run: working.run.clone() });
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        // What the system itself says last, as that there is no memory, is kept.
        let _ = log.file().map_or_else(|_| rustix::stdio::dup2_stderr(&null), |file| rustix::stdio::dup2_stderr(&file));
    }
    let _ = working.ended.await;
}

/// The log of an engine: who came and went, and what went wrong. Secrets are taken out, and it does not grow for ever.
pub(super) struct Log {
    path: PathBuf,
    redactor: Option<Redactor>,
    file: Mutex<Option<File>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Log({})", self.path.display())
    }
}

impl Log {
    /// A log at this path; what is in `secrets` never comes into it.
    pub fn new(path: PathBuf, redactor: Option<Redactor>) -> Self {
        let log = Self { path, redactor, file: Mutex::default() };
        if let Ok(file) = log.file() {
            *log.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        }
        log
    }

    fn file(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    /// Adds a line. One that cannot be written is only not seen: the journal is what counts.
    pub fn say(&self, line: &str) {
        let text = self.redactor.as_ref().map_or_else(String::new, |redactor| redactor.text(line));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES)) {
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.old"));
            *file = self.file().ok();
        }
        if let Some(file) = file.as_mut() {
            let _ = writeln!(file, "{} {} {text}", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"), std::process::id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_no_secret_and_does_not_grow_for_ever() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("engine.log");
        let log = Log::new(path.clone(), Redactor::new(["hunter22"]).ok());
        log.say("the password is hunter22");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("the password is ") && !text.contains("hunter22"), "{text}");
        for _ in 0..12_000 {
            log.say(&"a line of a hundred letters ".repeat(4));
        }
        let sizes: Vec<u64> = [path.clone(), path.with_extension("log.old")].iter().map(|path| path.metadata().unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size > 0 && *size <= LOG_BYTES + 1024), "{sizes:?}");
    }
}
