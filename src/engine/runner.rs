//! The attempt runner: a small process in a session of its own that owns one child, and outlives the engine.
//!
//! A dead engine must not end Terraform by closing its pipe: it would leave its lock. So the child's output is read here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::attempt::{
    ATTEMPT_VARIABLE, AttemptSpec, CommandSpec, Ended, FULL_AFTER, FULL_BEFORE, FULL_HINT, Holder, Reading, append_progress, log, make_dir,
    read_holder, reserve_exit, take_lock, trouble, write_exit, write_holder,
};
use super::cluster_watch::Watcher;
use super::diagnosis::{LazyCatalogue, explain};
use super::helm_guard;
use super::leftover;
use super::lookout::Lookout;
use super::prompting::Asking;
use super::pump::{Pump, Pumped};
use super::telling::Teller;
use crate::adapters::logs::times::MarkedLog;
use crate::adapters::process::{Output, Start, own_image, own_path, signal_group, start};
use crate::install::planner::shell_quote;
use crate::install::profile::Terminal;
use crate::run::event::{Failure, Outcome, Progress};
use crate::run::redact::Redactor;

/// Why a runner leaves no record.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct NotWritten {
    /// What the system said.
    source: io::Error,
    /// Whether commands had run.
    begun: bool,
}

impl NotWritten {
    fn after(source: io::Error) -> Self {
        Self { source, begun: true }
    }

    /// The exit code by which the engine recognises it: nothing can be written to say it.
    #[must_use]
    pub fn code(&self) -> i32 {
        let full = matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match (full, self.begun) {
            (true, false) => FULL_BEFORE,
            (true, true) => FULL_AFTER,
            _ => 1,
        }
    }
}

impl From<io::Error> for NotWritten {
    fn from(source: io::Error) -> Self {
        Self { source, begun: false }
    }
}

/// Runs an attempt to its end and leaves its exit record.
///
/// # Errors
/// The attempt's folder cannot be written. Where that was so at the beginning, nothing was started.
pub fn run(spec: AttemptSpec) -> Result<(), NotWritten> {
    // Fails only for a process that leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    make_dir(&spec.dir)?;
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let last: Option<Holder> = read_holder(&spec.lock);
    let outcome = match take_lock(&spec.lock)? {
        None => failed("another step of this site is still running; wait until it has ended", "see 'mosip-setup status'"),
        Some(lock) => {
            write_holder(&lock, &Holder { pid: std::process::id(), dir: spec.dir.clone() })?;
            reserve_exit(&spec.dir)?;
            let outcome = runtime.block_on(run_commands(&spec, last.as_ref()));
            for path in &spec.remove {
                drop(std::fs::remove_file(path));
            }
            let log_bytes = log(&spec.dir).metadata().map_or(0, |metadata| metadata.len());
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            // The record stands before the lock goes: whoever finds the lock free finds the record.
            return write_exit(&spec.dir, &Ended { outcome, took_ms, log_bytes }).map_err(NotWritten::after);
        }
    };
    write_exit(&spec.dir, &Ended { outcome, took_ms: 0, log_bytes: 0 })?;
    Ok(())
}

fn failed(message: impl Into<String>, hint: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure { message: message.into(), hint: hint.into(), ..Failure::default() })
}

async fn run_commands(spec: &AttemptSpec, last: Option<&Holder>) -> Outcome {
    for path in &spec.remove {
        drop(std::fs::remove_file(path));
    }
    let redactor = match Redactor::new(spec.secrets.iter().map(String::as_str)) {
        Ok(redactor) => Arc::new(redactor),
        Err(error) => return failed(format!("output cannot be kept free of secrets: {error}"), ""),
    };
    let mut output = match MarkedLog::open(&log(&spec.dir)) {
        Ok(output) => output,
        Err(error) => return Outcome::Failed(trouble(&format!("{} cannot be written", log(&spec.dir).display()), &error)),
    };
    // Interrupts are received so that they are not ignored: a program started in the background by a shell hands that on to its children.
    let (Ok(mut terminate), Ok(mut kill), Ok(mut hangup), Ok(_interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::user_defined1()),
        signal(SignalKind::hangup()),
        signal(SignalKind::interrupt()),
    ) else {
        return failed("signals cannot be received", "");
    };
    if let Some(child) = leftover::find(&spec.lock, last) {
        let text = format!("process {} of an earlier attempt is still at work: it is asked to end first", child.pid);
        let _ = writeln!(output, "{text}");
        drop(append_progress(&spec.dir, &Progress { doing: text, ..Progress::default() }));
        let stopped = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = kill.recv() => {}
            }
        };
        if !leftover::end(&child, stopped).await {
            return Outcome::Stopped { by: String::new() };
        }
        let _ = writeln!(output, "it has ended");
    }
    let catalogue = LazyCatalogue::new(spec.known_issues.as_deref());
    let _watcher = spec.cluster.clone().map(|look| Watcher::new(look, &spec.dir, redactor.clone(), catalogue.clone()));
    let mut warning = String::new();
    let mut prompts = 0;
    for command in &spec.commands {
        let shown: Vec<String> = command.shown().iter().map(|word| shell_quote(word)).collect();
        let typed = redactor.text(&shown.join(" "));
        if let Err(error) = writeln!(output, "$ {typed}") {
            return Outcome::Failed(trouble("the log cannot be written", &error));
        }
        let program = own_image();
        let terminal = (spec.terminal == Terminal::Pty).then_some(program.as_path());
        let mut env = command.env.clone();
        env.insert(ATTEMPT_VARIABLE.to_owned(), spec.dir.display().to_string());
        let teller = Teller::new(&spec.dir, redactor.clone());
        let teller = if matches!(command.reading, Reading::Playbook { .. }) { teller.with_callback(&spec.dir, &mut env) } else { teller };
        if let Some(helm) = &spec.helm {
            match helm_guard::install(&spec.dir, helm, &own_path(), env.get("PATH")) {
                Ok(path) => drop(env.insert("PATH".to_owned(), path)),
                Err(error) => return failed(format!("{}: {error}", spec.dir.display()), "check that the disk is not full"),
            }
        }
        let begin = Start { argv: &command.argv, dir: command.dir.as_deref(), env: &env, terminal };
        // A note that cannot be written only means that what is left is not found.
        drop(leftover::note(&spec.lock, 0, &spec.dir, &command.reading));
        let started = match start(&begin) {
            Ok(started) => started,
            Err(error) => {
                leftover::forget(&spec.lock);
                return not_started(command, &typed, &error);
            }
        };
        let leader = started.child.id();
        drop(leftover::note(&spec.lock, leader, &spec.dir, &command.reading));
        let asking = match started.input.map(|input| Asking::new(input, &spec.dir, spec.prompts.clone(), prompts)).transpose() {
            Ok(asking) => asking,
            Err(error) => {
                signal_group(leader, Signal::KILL);
                return Outcome::Failed(trouble("the pipe for answers cannot be made", &error));
            }
        };
        let exited = Arc::new(AtomicBool::new(false));
        let pump = Pump {
            output: Output::new(started.stdout, started.stderr),
            asking,
            log: match output.try_clone() {
                Ok(log) => log,
                Err(error) => return failed(error.to_string(), ""),
            },
            dir: spec.dir.clone(),
            redactor: redactor.clone(),
            reading: command.reading.clone(),
            teller,
            lookout: Lookout::new(catalogue.clone()),
            exited: exited.clone(),
        };
        let reader = std::thread::spawn(move || pump.run());
        let mut child = started.child;
        let waiter = tokio::task::spawn_blocking(move || child.wait());
        tokio::pin!(waiter);
        let mut stopped = false;
        let mut deadline: Option<tokio::time::Instant> = None;
        let (polite, grace) = leftover::manners(&command.reading);
        let status = loop {
            let alarm = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = &mut waiter => break status.unwrap_or_else(|error| Err(io::Error::other(error))),
                _ = kill.recv() => {
                    stopped = true;
                    signal_group(leader, Signal::KILL);
                }
                _ = terminate.recv() => {
                    // Terraform takes a second interrupt as a wish to die at once, so it gets one only.
                    if !stopped {
                        signal_group(leader, polite);
                    }
                    stopped = true;
                    deadline.get_or_insert_with(|| tokio::time::Instant::now() + grace);
                }
                // The terminal it was started from is gone; that is no reason to end.
                _ = hangup.recv() => {}
                () = alarm => {
                    deadline = None;
                    signal_group(leader, Signal::KILL);
                }
            }
        };
        exited.store(true, Ordering::Release);
        leftover::forget(&spec.lock);
        let Ok(pumped) = reader.join() else { return failed("reading the output failed", "look at the log; retry") };
        let recent = pumped.recent.clone();
        prompts = pumped.prompts;
        match judge(command, &typed, status, stopped, pumped) {
            Outcome::Done => {}
            Outcome::Warned { reason } => warning = reason,
            Outcome::Failed(mut failure) => {
                if let Err(error) = explain(&mut failure, &command.reading, &recent, spec.known_issues.as_deref()) {
                    // What cannot be said here is only not said: the failure stands.
                    let _ = writeln!(output, "known failures cannot be read: {error}");
                }
                return Outcome::Failed(failure);
            }
            other => return other,
        }
    }
    if warning.is_empty() { Outcome::Done } else { Outcome::Warned { reason: warning } }
}

fn not_started(command: &CommandSpec, typed: &str, error: &io::Error) -> Outcome {
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    let missing_dir = command.dir.as_deref().is_some_and(|dir| !dir.is_dir());
    let (message, hint) = if missing_dir {
        let dir = command.dir.as_deref().unwrap_or(Path::new("")).display();
        (format!("the folder {dir} does not exist"), "an earlier phase makes it: run that again".to_owned())
    } else if error.kind() == io::ErrorKind::NotFound {
        (
            format!("the program '{program}' is not installed or not on PATH"),
            format!("install {program} on the deployment node, then retry"),
        )
    } else {
        (format!("'{program}' cannot be started: {error}"), String::new())
    };
    Outcome::Failed(Failure { message, hint, command: typed.to_owned(), ..Failure::default() })
}

fn judge(command: &CommandSpec, typed: &str, status: io::Result<ExitStatus>, stopped: bool, pumped: Pumped) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    let program = command.shown().first().map(|program| program.rsplit('/').next().unwrap_or(program)).unwrap_or_default();
    let failure = |message: String, exit, signal| Failure {
        message,
        command: typed.to_owned(),
        exit,
        signal,
        lines: if pumped.lines.is_empty() { pumped.tail.clone() } else { pumped.lines.clone() },
        hosts: pumped.hosts.clone(),
        ..Failure::default()
    };
    let status = match status {
        Ok(status) => status,
        Err(error) => return Outcome::Failed(failure(format!("'{program}' was lost: {error}"), None, None)),
    };
    if !status.success() {
        if stopped {
            return Outcome::Stopped { by: String::new() };
        }
        let message = match (status.code(), status.signal()) {
            (Some(code), _) if pumped.hosts.is_empty() => format!("{program} ended with exit code {code}"),
            (Some(code), _) => format!("{program} ended with exit code {code} on {}", pumped.hosts.join(", ")),
            (_, Some(signal)) => format!("{program} was ended by signal {signal}"),
            _ => format!("{program} ended without exit code"),
        };
        return Outcome::Failed(failure(message, status.code(), status.signal()));
    }
    if let Some(error) = pumped.error {
        let hint = if error.contains("the disk is full") { FULL_HINT.to_owned() } else { String::new() };
        return Outcome::Failed(Failure { hint, ..failure(error, status.code(), None) });
    }
    if !pumped.wrong.is_empty() {
        return Outcome::Failed(failure(pumped.wrong.clone(), status.code(), None));
    }
    if !pumped.destroys.is_empty() {
        let count = pumped.destroys.len();
        let mut failure =
            failure(format!("the plan would destroy or replace {count} resource(s); nothing was changed"), status.code(), None);
        failure.destroys = pumped.destroys;
        failure.tainted = pumped.tainted;
        return Outcome::Failed(failure);
    }
    if pumped.warning.is_empty() { Outcome::Done } else { Outcome::Warned { reason: pumped.warning } }
}

/// Opens a file for its owner alone, emptied.
///
/// # Errors
/// The folder is missing or not ours.
pub fn create_private(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A file that was there before keeps its mode unless told otherwise.
    rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    Ok(file)
}
