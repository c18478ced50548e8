//! SSH sessions for short questions: connect, compare the host key, log in, run one script. Blocking; for threads made to block.
//!
//! Long work stays with Ansible's own ssh. libssh2 cannot be interrupted, so every session has a watchdog that closes its socket
//! when the deadline passes or the question is dropped.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssh2::{ErrorCode, MethodType, Session};

use crate::install::facts::{HostKey, HostKeyAnswer, LoginFailure, LoginFailureKind};
use crate::install::jump::Jump;

use super::known_hosts::{self, KnownHosts, Trust};
use super::tunnel::Tunnel;

/// Where and how to log in.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: &'a str,
    /// The private key file.
    pub key: &'a Path,
    /// The site's known hosts.
    pub known_hosts: &'a Path,
    /// The jump host that leads there.
    pub jump: Option<&'a Jump>,
}

/// Limits of one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the TCP connection.
    pub connect: Duration,
    /// For handshake and login, after the connection.
    pub login: Duration,
    /// For everything together.
    pub total: Duration,
    /// How much output is read, bytes.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), login: seconds(15), total: seconds(60), output: super::host::ANSWER_LIMIT }
    }
}

/// What a command printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its stdout, up to the limit.
    pub bytes: Vec<u8>,
    /// Whether there was more than the limit; the rest was not read.
    pub flooded: bool,
    /// Why the output ends before the command did: cut off by the deadline, or a connection that broke.
    pub cut_off: Option<LoginFailure>,
    /// Exit code, where the command ended by itself.
    pub exit: Option<i32>,
    /// When bytes arrived, counted from sending the command: how many there were then in all.
    pub arrivals: Vec<(usize, Duration)>,
    /// When the command was sent.
    pub sent: std::time::SystemTime,
}

impl Output {
    /// How long after sending the command the byte at `offset` was here.
    #[must_use]
    pub fn arrived(&self, offset: usize) -> Option<Duration> {
        self.arrivals.iter().find(|(count, _)| *count > offset).map(|(_, after)| *after)
    }
}

/// Ends sessions from outside: closes their sockets, at once or as soon as they are open.
#[derive(Debug, Clone, Default)]
pub struct Canceller {
    state: Arc<Mutex<(bool, Vec<TcpStream>)>>,
}

impl Canceller {
    /// Closes what is open and whatever opens later.
    pub fn cancel(&self) {
        let Ok(mut state) = self.state.lock() else { return };
        state.0 = true;
        for stream in state.1.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn register(&self, stream: TcpStream) {
        let Ok(mut state) = self.state.lock() else { return };
        if state.0 {
            let _ = stream.shutdown(Shutdown::Both);
        } else {
            state.1.push(stream);
        }
    }
}

/// Closes a socket at a deadline, unless dropped before.
struct Watchdog {
    _keep: mpsc::Sender<()>,
    fired: Arc<std::sync::atomic::AtomicBool>,
}

impl Watchdog {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        let (keep, dropped) = mpsc::channel::<()>();
        let fired = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&fired);
        std::thread::spawn(move || {
            if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Self { _keep: keep, fired }
    }

    fn fired(&self) -> bool {
        self.fired.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// An open connection whose host key is not judged yet.
struct Connection {
    session: Session,
    key: HostKey,
    stream: TcpStream,
    watchdog: Watchdog,
    known: KnownHosts,
    /// When everything must be over.
    end: Instant,
    /// The way there, where it leads through a jump host; it ends with the connection.
    tunnel: Option<Tunnel>,
}

fn failure(kind: LoginFailureKind, detail: impl Into<String>) -> LoginFailure {
    LoginFailure { kind, detail: detail.into() }
}

/// Key exchange names for a recorded key type: RSA keys are asked for with SHA-2 signatures.
fn algorithms(kinds: &[&str]) -> String {
    let mut list: Vec<&str> = Vec::new();
    let all = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
    for kind in kinds.iter().copied().chain(all) {
        let names: &[&str] = match kind {
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256"],
            "ssh-ed25519" => &["ssh-ed25519"],
            "ecdsa-sha2-nistp256" => &["ecdsa-sha2-nistp256"],
            "ecdsa-sha2-nistp384" => &["ecdsa-sha2-nistp384"],
            "ecdsa-sha2-nistp521" => &["ecdsa-sha2-nistp521"],
            _ => &[],
        };
        list.extend(names.iter().filter(|name| !list.contains(name)).copied().collect::<Vec<_>>());
    }
    list.join(",")
}

fn direct(place: SocketAddr, limits: &Limits) -> Result<TcpStream, LoginFailure> {
    let unreachable = |detail: String| failure(LoginFailureKind::NotReachable, detail);
    TcpStream::connect_timeout(&place, limits.connect).map_err(|error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => unreachable(format!(
            "{place} does not answer within {} s: the machine is down, or a firewall drops the packets",
            limits.connect.as_secs()
        )),
        ErrorKind::ConnectionRefused => {
            unreachable(format!("{place} refuses the connection: the machine is up, no SSH server listens on port {}", place.port()))
        }
        _ => unreachable(format!("{place} cannot be reached: {error}")),
    })
}

fn connect(login: &Login<'_>, limits: &Limits, canceller: &Canceller) -> Result<Connection, LoginFailure> {
    let end = Instant::now() + limits.total;
    let place = SocketAddr::new(login.address, login.port);
    let (stream, mut tunnel) = match login.jump {
        None => (direct(place, limits)?, None),
        Some(jump) => {
            let (stream, tunnel) = Tunnel::open(jump, login)
                .map_err(|error| failure(LoginFailureKind::NotReachable, format!("ssh, for the jump host, cannot be started: {error}")))?;
            (stream, Some(tunnel))
        }
    };
    let internal = |error: &dyn std::fmt::Display| failure(LoginFailureKind::NotSsh, format!("{place}: {error}"));
    let clone = || stream.try_clone().map_err(|error| internal(&error));
    let (for_watchdog, for_session) = (clone()?, clone()?);
    canceller.register(clone()?);
    let watchdog = Watchdog::new(for_watchdog, limits.login);
    let known = KnownHosts::read(login.known_hosts).map_err(|error| failure(LoginFailureKind::Probe, error.to_string()))?;
    let mut session = Session::new().map_err(|error| internal(&error))?;
    let host = login.address.to_string();
    session.method_pref(MethodType::HostKey, &algorithms(&known.key_types(&host, login.port))).map_err(|error| internal(&error))?;
    session.set_tcp_stream(for_session);
    // A second later than the watchdog, which knows the difference between silence and a lost connection.
    session.set_timeout(u32::try_from(limits.login.as_millis()).unwrap_or(u32::MAX).saturating_add(1000));
    session.handshake().map_err(|error| {
        // Where the way there has ended, its end says more than the silence after it.
        if let Some(said) = tunnel.as_mut().and_then(Tunnel::end) {
            return failure(LoginFailureKind::NotReachable, format!("{place} through the jump host: {said}"));
        }
        if watchdog.fired() || error.code() == ErrorCode::Session(-9) {
            let seconds = limits.login.as_secs();
            return failure(
                LoginFailureKind::Timeout,
                format!("{place} accepts the connection and does not finish the SSH handshake within {seconds} s: the machine is overloaded, or something else listens there"),
            );
        }
        let hint = if error.code() == ErrorCode::Session(-5) { "; its algorithms are too old for this program" } else { "" };
        failure(LoginFailureKind::NotSsh, format!("{place} does not speak SSH as expected: {}{hint}", error.message()))
    })?;
    let key = session.host_key().and_then(|(blob, _)| known_hosts::host_key(blob));
    let key = key.ok_or_else(|| failure(LoginFailureKind::NotSsh, format!("{place} presents no host key that can be read")))?;
    Ok(Connection { session, key, stream, watchdog, known, end, tunnel })
}

/// Fetches a machine's host key and compares it with the site's known hosts; no login.
#[must_use]
pub fn scan_host_key(login: &Login<'_>, limits: &Limits, canceller: &Canceller) -> HostKeyAnswer {
    match connect(login, limits, canceller) {
        Err(failed) => HostKeyAnswer::Failed(failed),
        Ok(connection) => {
            let key = connection.key.clone();
            match connection.known.judge(&login.address.to_string(), login.port, &key) {
                Trust::Known => HostKeyAnswer::Known(key),
                Trust::Unknown { .. } => HostKeyAnswer::Unknown(key),
                Trust::Changed(recorded) => HostKeyAnswer::Changed { recorded, presented: key },
                Trust::Revoked => HostKeyAnswer::Revoked(key),
            }
        }
    }
}

/// Logs in and runs one command with `input` on its stdin.
///
/// # Errors
/// Whatever kept the command from being started, told apart by cause. One that was cut off gives what it had printed by then.
pub fn run(login: &Login<'_>, limits: &Limits, canceller: &Canceller, command: &str, input: &[u8]) -> Result<Output, LoginFailure> {
    run_heard(login, limits, canceller, command, input, &mut |_| {})
}

/// As [`run`], and passes on what the command prints as it comes.
///
/// # Errors
/// As those of [`run`].
pub fn run_heard(
    login: &Login<'_>,
    limits: &Limits,
    canceller: &Canceller,
    command: &str,
    input: &[u8],
    heard: &mut dyn FnMut(&[u8]),
) -> Result<Output, LoginFailure> {
    let mut connection = connect(login, limits, canceller)?;
    trusted(&connection, login)?;
    authenticate(&connection, login)?;
    let left = connection.end.saturating_duration_since(Instant::now());
    let stream = connection.stream.try_clone().map_err(|error| failure(LoginFailureKind::Probe, error.to_string()))?;
    connection.watchdog = Watchdog::new(stream, left);
    connection.session.set_timeout(u32::try_from(left.as_millis()).unwrap_or(u32::MAX).saturating_add(1000));
    let result = execute(&connection.session, command, input, limits.output, heard);
    // Nothing polite is left to say to a machine that floods or hangs.
    let _ = connection.stream.shutdown(Shutdown::Both);
    let place = format!("{}@{}", login.user, login.address);
    let explain = |error: &str| {
        if connection.watchdog.fired() {
            let seconds = limits.total.as_secs();
            failure(LoginFailureKind::Timeout, format!("{place}: the probe did not end within {seconds} s and was cut off"))
        } else {
            failure(LoginFailureKind::Probe, format!("{place}: the connection broke while the probe ran: {error}"))
        }
    };
    match result {
        Ok((mut output, broken)) => {
            output.cut_off = broken.map(|error| explain(&error));
            Ok(output)
        }
        Err(error) => Err(explain(&error)),
    }
}

/// Logs in; gives the session, its socket and what leads there. From here on nothing watches over it but its user.
///
/// # Errors
/// Whatever kept the login from succeeding, told apart by cause.
pub(super) fn open(
    login: &Login<'_>,
    limits: &Limits,
    canceller: &Canceller,
) -> Result<(Session, TcpStream, Option<Tunnel>), LoginFailure> {
    let connection = connect(login, limits, canceller)?;
    trusted(&connection, login)?;
    authenticate(&connection, login)?;
    Ok((connection.session, connection.stream, connection.tunnel))
}

fn trusted(connection: &Connection, login: &Login<'_>) -> Result<(), LoginFailure> {
    let place = format!("{}:{}", login.address, login.port);
    let key = &connection.key;
    match connection.known.judge(&login.address.to_string(), login.port, key) {
        Trust::Known => Ok(()),
        Trust::Unknown { authority } => {
            let mut note = String::new();
            if authority {
                note.push_str("; a certificate authority is recorded for it, which this program cannot use");
            }
            if let Some((line, problem)) = connection.known.problems.first() {
                note.push_str(&format!("; line {line} of {} cannot be read: {problem}", login.known_hosts.display()));
            }
            let kind = LoginFailureKind::UnknownHostKey { fingerprint: key.fingerprint.clone() };
            let short = key.kind.trim_start_matches("ssh-");
            Err(failure(kind, format!("{place} presents the {short} host key {}, which is not recorded yet{note}", key.fingerprint)))
        }
        Trust::Changed(recorded) => {
            let presented = format!("{} ({})", key.fingerprint, key.kind);
            let detail = format!("{place} presents the host key {presented}; recorded is {}", recorded.join(", "));
            Err(failure(LoginFailureKind::ChangedHostKey { recorded, presented }, detail))
        }
        Trust::Revoked => {
            let kind = LoginFailureKind::RevokedHostKey { fingerprint: key.fingerprint.clone() };
            Err(failure(kind, format!("{place} presents the host key {}, which is marked as revoked", key.fingerprint)))
        }
    }
}

fn authenticate(connection: &Connection, login: &Login<'_>) -> Result<(), LoginFailure> {
    let session = &connection.session;
    let shown = login.key.display();
    let key_problem = std::fs::File::open(login.key).err().map(|error| format!("the SSH key {shown} cannot be read: {error}"));
    let file_error = match key_problem {
        Some(problem) => Some(problem),
        None => match session.userauth_pubkey_file(login.user, None, login.key, None) {
            Ok(()) => return Ok(()),
            Err(error) if error.code() == ErrorCode::Session(-16) => {
                // libssh2 says "unsupported private key format" for a key with a passphrase too; look ourselves.
                Some(match super::certificates::private_key(login.key).passphrase {
                    Some(true) => format!("the SSH key {shown} has a passphrase, and an unattended installation cannot type it"),
                    _ => format!("the SSH key {shown} cannot be used: {}", error.message()),
                })
            }
            Err(error) if connection.watchdog.fired() => {
                return Err(failure(
                    LoginFailureKind::Timeout,
                    format!("{}: no answer to the login in time ({})", login.address, error.message()),
                ));
            }
            Err(_) => None,
        },
    };
    // An agent may hold the key, unlocked.
    if session.userauth_agent(login.user).is_ok() && session.authenticated() {
        return Ok(());
    }
    if let Some(detail) = file_error {
        return Err(failure(LoginFailureKind::KeyFile, detail));
    }
    let place = format!("{}@{}", login.user, login.address);
    let detail = format!("{place} refuses the key {shown}: wrong user, or its public part is not in authorized_keys");
    Err(failure(LoginFailureKind::Refused, detail))
}

/// Runs a command; gives what it printed, and the error that ended the reading early, if one did.
fn execute(
    session: &Session,
    command: &str,
    input: &[u8],
    limit: usize,
    heard: &mut dyn FnMut(&[u8]),
) -> Result<(Output, Option<String>), String> {
    let say = |error: &ssh2::Error| error.message().to_owned();
    let mut channel = session.channel_session().map_err(|error| say(&error))?;
    // stderr is dropped: were it kept, a flood there would stop stdout; were it merged, a warning of the login shell could land
    // in the middle of an answer.
    channel.handle_extended_data(ssh2::ExtendedData::Ignore).map_err(|error| say(&error))?;
    let (sent, start) = (std::time::SystemTime::now(), Instant::now());
    channel.exec(command).map_err(|error| say(&error))?;
    // A command that does not read its input is no error by itself: what it printed says more.
    let _ = channel.write_all(input).and_then(|()| channel.flush());
    let _ = channel.send_eof();
    let mut bytes = Vec::new();
    let mut arrivals = Vec::new();
    let mut buffer = [0_u8; 16 * 1024];
    let (flooded, broken) = loop {
        match channel.read(&mut buffer) {
            Ok(0) => break (false, None),
            Ok(count) => {
                let room = limit.saturating_sub(bytes.len());
                bytes.extend_from_slice(&buffer[..count.min(room)]);
                heard(&buffer[..count.min(room)]);
                arrivals.push((bytes.len(), start.elapsed()));
                if count > room {
                    break (true, None);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break (false, Some(error.to_string())),
        }
    };
    let exit = if !flooded && broken.is_none() && channel.wait_close().is_ok() { channel.exit_status().ok() } else { None };
    Ok((Output { bytes, flooded, cut_off: None, exit, arrivals, sent }, broken))
}
