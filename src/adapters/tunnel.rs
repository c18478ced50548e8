//! The way through a jump host: OpenSSH's own `ssh -W`, with the site's known hosts, as a socket that libssh2 can use.
//!
//! A second libssh2 session inside a channel of the first would need a thread that moves bytes between two sessions of a library that
//! blocks; OpenSSH does it, is there anyhow, and is what Ansible uses for the same way.

use std::io::Read as _;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ssh::Login;
use crate::install::jump::Jump;

/// How long a tunnel that is ending may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A running `ssh -W`; ended when dropped.
pub(super) struct Tunnel {
    child: Child,
    place: String,
}

impl Tunnel {
    /// Starts it; gives the socket that leads to the machine's own sshd.
    pub(super) fn open(jump: &Jump, login: &Login<'_>) -> std::io::Result<(TcpStream, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        let input: OwnedFd = theirs.try_clone()?.into();
        let output: OwnedFd = theirs.into();
        let mut command = Command::new("ssh");
        command.arg("-W").arg(format!("{}:{}", login.address, login.port)).args(["-p", &login.port.to_string()]);
        command.args(jump.arguments(&login.known_hosts.display().to_string()));
        let child = command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::piped()).spawn()?;
        // libssh2 wants a socket, and does not ask of which family.
        let stream = TcpStream::from(OwnedFd::from(ours));
        Ok((stream, Self { child, place: jump.place() }))
    }

    /// Why it has ended; none: it has not.
    pub(super) fn end(&mut self) -> Option<String> {
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > LAST_WORDS {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.by_ref().take(64 * 1024).read_to_string(&mut said);
        }
        // The last line is the one that ended it; a banner may stand before it.
        let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it ended without a word");
        let hint = if said.contains("Host key verification failed") { ": record its host key first" } else { "" };
        Some(format!("{} says: {last}{hint}", self.place))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
