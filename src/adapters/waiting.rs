//! Whether a program waits for input at its terminal, as far as the system tells.

use std::fs::{self, File};
use std::path::Path;

use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

/// What the programs in front of a terminal do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    /// They work, or wait for something else.
    No,
    /// One of them waits for several things at once, of which the terminal may be one.
    Perhaps,
    /// The system does not say: the program belongs to another user.
    Unknown,
    /// One of them reads the terminal.
    Reads,
}

/// What is seen at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether a program waits.
    pub waits: Waits,
    /// Whether what is typed is shown.
    pub echo: bool,
    /// Whether input is taken line by line.
    pub lines: bool,
}

/// Looks at the programs in front of the terminal whose master side this is.
#[must_use]
pub fn look(master: &File) -> Seen {
    let modes = tcgetattr(master).map(|attributes| attributes.local_modes);
    let has = |mode: LocalModes| modes.as_ref().is_ok_and(|modes| modes.contains(mode));
    let waits = tcgetpgrp(master).map_or(Waits::No, |group| group_waits(group.as_raw_nonzero().get()));
    Seen { waits, echo: has(LocalModes::ECHO), lines: has(LocalModes::ICANON) }
}

/// What the processes of a group do: the strongest sign counts.
fn group_waits(group: i32) -> Waits {
    let Ok(entries) = fs::read_dir("/proc") else { return Waits::Unknown };
    let processes = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    processes.filter(|entry| group_of(&entry.path()) == Some(group)).map(|entry| process_waits(&entry.path())).max().unwrap_or(Waits::No)
}

/// The process group of a process.
fn group_of(process: &Path) -> Option<i32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name may hold anything; behind its closing bracket come state, parent and group.
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

fn process_waits(process: &Path) -> Waits {
    let Ok(threads) = fs::read_dir(process.join("task")) else { return Waits::No };
    let of = |thread: fs::DirEntry| match fs::read_to_string(thread.path().join("syscall")) {
        Ok(call) => call_waits(&call, &|number| {
            let target = fs::read_link(process.join("fd").join(number.to_string())).unwrap_or_default();
            target.starts_with("/dev/pts") || target == Path::new("/dev/tty")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Waits::Unknown,
        Err(_) => Waits::No,
    };
    threads.flatten().map(of).max().unwrap_or(Waits::No)
}

/// System calls that read from one file, and those that wait for several.
#[cfg(target_arch = "x86_64")]
const CALLS: (&[u64], &[u64]) = (&[0, 19], &[7, 23, 232, 270, 271, 281]);
#[cfg(not(target_arch = "x86_64"))]
const CALLS: (&[u64], &[u64]) = (&[63, 65], &[22, 72, 73]);

/// What a line of `/proc/PID/task/TID/syscall` means; `terminal` tells whether an open file is one.
fn call_waits(call: &str, terminal: &dyn Fn(u64) -> bool) -> Waits {
    let mut words = call.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<u64>().ok());
    let first = words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    match (number, first) {
        (Some(number), Some(file)) if CALLS.0.contains(&number) && terminal(file) => Waits::Reads,
        (Some(number), _) if CALLS.1.contains(&number) => Waits::Perhaps,
        _ => Waits::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_tells_what_is_waited_for() {
        let terminal = |number: u64| number == 0;
        let (read, poll) = (CALLS.0[0], CALLS.1[0]);
        assert_eq!(call_waits(&format!("{read} 0x0 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x7f\n"), &terminal), Waits::Reads);
        assert_eq!(call_waits(&format!("{read} 0x5 0x7f 0x1\n"), &terminal), Waits::No, "it reads another file");
        assert_eq!(call_waits(&format!("{poll} 0x1 0x7f 0x1\n"), &terminal), Waits::Perhaps);
        assert_eq!(call_waits("running\n", &terminal), Waits::No);
        assert_eq!(call_waits("", &terminal), Waits::No);
    }
}
