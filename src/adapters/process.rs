//! Child processes: started in a group of their own, read to the last line, ended by group.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The hidden verb that gives a command a terminal of its own: `mosip-setup __on-terminal PROGRAM ARGUMENT…`.
pub const ON_TERMINAL: &str = "__on-terminal";

/// What to start so that it is this very program, also where its file was replaced meanwhile by another version.
#[must_use]
pub fn own_image() -> PathBuf {
    // Looked up by the child, which until then is a copy of this process.
    "/proc/self/exe".into()
}

/// Where this program lies, for others to call it later. Its file may have been replaced meanwhile: then the new one is meant.
#[must_use]
pub fn own_path() -> PathBuf {
    let Ok(path) = std::env::current_exe() else { return "mosip-setup".into() };
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) if !path.exists() => text.into(),
        _ => path,
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// Working folder.
    pub dir: Option<&'a Path>,
    /// Environment beside the inherited one.
    pub env: &'a BTreeMap<String, String>,
    /// Path of this program, where the child is to have a pseudo-terminal.
    pub terminal: Option<&'a Path>,
}

/// A started child.
#[derive(Debug)]
pub struct Started {
    /// The child; the leader of its own process group.
    pub child: Child,
    /// What it prints: stdout, or the terminal.
    pub stdout: OwnedFd,
    /// What it prints on stderr; none with a terminal.
    pub stderr: Option<OwnedFd>,
    /// Where answers are typed; only with a terminal.
    pub input: Option<File>,
}

/// Starts a child in its own process group, without input.
///
/// # Errors
/// The program or the folder is missing, or the system has no room for a process.
pub fn start(start: &Start<'_>) -> io::Result<Started> {
    let Some((program, arguments)) = start.argv.split_first() else { return Err(io::Error::other("the command is empty")) };
    match start.terminal {
        Some(own) => start_on_terminal(start, own),
        None => {
            let (stdout, stdout_child) = io::pipe()?;
            let (stderr, stderr_child) = io::pipe()?;
            let mut command = Command::new(program);
            command.args(arguments).envs(start.env).process_group(0).stdin(Stdio::null()).stdout(stdout_child).stderr(stderr_child);
            if let Some(dir) = start.dir {
                command.current_dir(dir);
            }
            let child = command.spawn()?;
            // The command still holds the writing ends: they must go, or the end of the output is never seen.
            drop(command);
            Ok(Started { child, stdout: stdout.into(), stderr: Some(stderr.into()), input: None })
        }
    }
}

fn start_on_terminal(start: &Start<'_>, own: &Path) -> io::Result<Started> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let name = name.to_str().map_err(io::Error::other)?;
    // Opening it here must not make it this process's own terminal.
    let slave = rustix::fs::open(
        name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let size = rustix::termios::Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size)?;
    let mut command = Command::new(own);
    command.arg0("mosip-setup").arg(ON_TERMINAL).args(start.argv).envs(start.env);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    if let Some(dir) = start.dir {
        command.current_dir(dir);
    }
    let child = command.spawn()?;
    drop(command);
    let input = File::from(master.try_clone()?);
    Ok(Started { child, stdout: master, stderr: None, input: Some(input) })
}

/// The body of [`ON_TERMINAL`]: leads a session of its own, takes the terminal on stdin for it, and becomes the command.
///
/// # Errors
/// The command cannot be started; on success this does not return.
pub fn become_on_terminal(argv: &[String]) -> io::Error {
    let Some((program, arguments)) = argv.split_first() else { return io::Error::other("the command is empty") };
    if let Err(error) = rustix::process::setsid() {
        return error.into();
    }
    // A session leader without a terminal gets the first one it opens.
    if let Err(error) = File::options().read(true).write(true).open("/proc/self/fd/0") {
        return error;
    }
    Command::new(program).args(arguments).exec()
}

/// Sends a signal to a child's whole group. A group that has ended already is no error.
pub fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// What a look at a child's output gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// So many bytes of output from this stream (0: stdout or terminal, 1: stderr).
    Bytes(usize, usize),
    /// Nothing came in the time given.
    Quiet,
    /// All streams have ended.
    End,
}

/// Reads the streams of a child as they come.
#[derive(Debug)]
pub struct Output {
    streams: [Option<File>; 2],
    turn: usize,
}

impl Output {
    /// Reads these streams.
    #[must_use]
    pub fn new(stdout: OwnedFd, stderr: Option<OwnedFd>) -> Self {
        Self { streams: [Some(stdout.into()), stderr.map(File::from)], turn: 0 }
    }

    /// Waits for output, at most so long, and reads some of it into `buffer`.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn look(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Look> {
        loop {
            let open: Vec<usize> = (0..2).filter(|number| self.streams[*number].is_some()).collect();
            if open.is_empty() {
                return Ok(Look::End);
            }
            let ready: Vec<usize> = {
                let mut fds: Vec<PollFd<'_>> = open
                    .iter()
                    .filter_map(|number| self.streams[*number].as_ref())
                    .map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN))
                    .collect();
                let timeout =
                    Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(patience.subsec_nanos()) };
                match poll(&mut fds, Some(&timeout)) {
                    Ok(0) => return Ok(Look::Quiet),
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
                open.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(number, _)| *number).collect()
            };
            // Turns keep a stream that never stops from silencing the other.
            self.turn ^= 1;
            let Some(number) = ready.iter().find(|number| **number == self.turn).or(ready.first()).copied() else { continue };
            let Some(file) = &mut self.streams[number] else { continue };
            match file.read(buffer) {
                Ok(0) => self.streams[number] = None,
                Ok(length) => return Ok(Look::Bytes(number, length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose last user is gone answers with an error instead of an end.
                Err(_) => self.streams[number] = None,
            }
        }
    }
}
