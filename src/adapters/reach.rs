//! What listens on machines and tries paths from them: a script with its programs, the reader of its answers, and the same from here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::net;
use crate::install::facts::{Protocol, TcpAnswer};
use crate::install::planner::shell_quote;
use crate::install::reach::{ListenState, PathAnswer, ReachTarget, What};

const SCRIPT: &str = include_str!("../../assets/reach/agent.sh");
const PYTHON: &str = include_str!("../../assets/reach/agent.py");
const PERL: &str = include_str!("../../assets/reach/agent.pl");

/// Seconds after which listeners end by themselves. They end at once when the connection does; this is for the case that nobody tells them.
pub const LIFE_SECONDS: u32 = 60;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes sent to see whether large packets pass: more than fit in one, whatever the network.
const LARGE: usize = 8192;

/// How much of an agent's answer is read, bytes.
pub const ANSWER_LIMIT: usize = 1024 * 1024;

fn word(protocol: Protocol, port: u16) -> String {
    format!("{}{port}", if protocol == Protocol::Tcp { 't' } else { 'u' })
}

/// The script for a machine's `sh -s`: it listens on `address`, says so, and waits for orders on its stdin.
#[must_use]
pub fn script(marker: &str, address: Ipv4Addr, listen: &[(Protocol, u16)], life_seconds: u32) -> String {
    let wanted: Vec<String> = listen.iter().map(|(protocol, port)| word(*protocol, *port)).collect();
    let low = u8::from(listen.iter().any(|(_, port)| *port < 1024));
    // Programs go over the line without their remarks.
    let bare = |text: &str| -> String {
        text.lines().filter(|line| !line.trim_start().starts_with("# ")).map(|line| format!("{line}\n")).collect()
    };
    format!(
        "marker={marker}; address={address}; life={life_seconds}; wanted={}; low={low}\npython={}\nperl={}\n{}",
        wanted.join(","),
        shell_quote(&bare(PYTHON)),
        shell_quote(&bare(PERL)),
        bare(SCRIPT)
    )
}

/// The order to try targets; they are told apart by their place in the list.
#[must_use]
pub fn order<'a>(targets: impl IntoIterator<Item = (usize, &'a ReachTarget)>) -> String {
    let mut line = format!("go {}", PATIENCE.as_secs());
    for (number, target) in targets {
        let (kind, port) = match target.what {
            What::Port(Protocol::Tcp, port) => ('t', port),
            What::Port(Protocol::Udp, port) => ('u', port),
            What::Mtu(port) => ('m', port),
        };
        line.push_str(&format!(" {number}:{kind}:{}:{port}", target.address));
    }
    line.push('\n');
    line
}

/// One line of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// What it works with; none: the machine has nothing to work with.
    Tool(Option<String>),
    /// What became of a port.
    Listen(Protocol, u16, ListenState),
    /// It listens, and waits for orders.
    Ready,
    /// What a target gave.
    Path(usize, PathAnswer),
    /// All targets were tried.
    Done,
}

/// Reads what agents print, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct Reader {
    rest: Vec<u8>,
    /// The beginning of what was not ours, to show where nothing else came.
    pub noise: String,
}

impl Reader {
    /// Takes bytes; gives the lines that they complete.
    pub fn take(&mut self, marker: &str, bytes: &[u8]) -> Vec<Said> {
        self.rest.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.split_once(marker).and_then(|(_, rest)| rest.strip_prefix(' ')) {
                Some(rest) => said.extend(read(rest.trim_end())),
                None if self.noise.len() < 120 => self.noise.push_str(line.trim_start()),
                None => {}
            }
        }
        said
    }
}

fn read(line: &str) -> Option<Said> {
    let (key, value) = line.split_once('=')?;
    let mut words = value.splitn(3, ' ');
    let mut next = || words.next().map(str::trim).filter(|word| !word.is_empty());
    Some(match key {
        "tool" => Said::Tool(next().filter(|name| *name != "none").map(str::to_owned)),
        "ready" => Said::Ready,
        "paths" => Said::Done,
        "listen" => {
            let port = next()?;
            let protocol = if port.starts_with('t') { Protocol::Tcp } else { Protocol::Udp };
            let state = match next()? {
                "bound" => ListenState::Bound,
                "busy" => ListenState::Busy(next().map(str::to_owned)),
                "no-sudo" => ListenState::NoSudo,
                _ => ListenState::Failed(next().unwrap_or("no reason given").to_owned()),
            };
            Said::Listen(protocol, port.get(1..)?.parse().ok()?, state)
        }
        "path" => {
            let number = next()?.parse().ok()?;
            let kind = next()?;
            let detail = next().unwrap_or_default();
            let answer = match kind {
                "open" => PathAnswer::Open(detail.parse().unwrap_or(0)),
                "refused" => PathAnswer::Refused,
                "silent" => PathAnswer::Silent,
                "unreachable" => PathAnswer::Unreachable(detail.to_owned()),
                "mtu" => PathAnswer::Mtu(detail.parse().ok()?),
                "stalled" => PathAnswer::Stalled(detail.parse().unwrap_or(0)),
                _ => PathAnswer::Untried(detail.to_owned()),
            };
            Said::Path(number, answer)
        }
        _ => return None,
    })
}

/// Tries one target from this machine.
pub async fn try_from_here(marker: &str, target: &ReachTarget) -> PathAnswer {
    let begun = Instant::now();
    let took = || u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    match target.what {
        What::Port(Protocol::Tcp, port) => match net::tcp(IpAddr::V4(target.address), port, false, PATIENCE).await {
            TcpAnswer::Open { .. } => PathAnswer::Open(took()),
            TcpAnswer::Refused => PathAnswer::Refused,
            TcpAnswer::Silent(_) => PathAnswer::Silent,
            TcpAnswer::Unreachable(reason) => PathAnswer::Unreachable(reason),
            TcpAnswer::Failed(reason) => PathAnswer::Untried(reason),
        },
        What::Port(Protocol::Udp, port) => match tokio::time::timeout(PATIENCE, datagram(marker, target.address, port)).await {
            Err(_) => PathAnswer::Silent,
            Ok(Ok(())) => PathAnswer::Open(took()),
            Ok(Err(error)) => problem(&error),
        },
        What::Mtu(port) => large(target.address, port).await,
    }
}

fn problem(error: &std::io::Error) -> PathAnswer {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset => PathAnswer::Refused,
        _ => PathAnswer::Unreachable(error.to_string()),
    }
}

async fn datagram(marker: &str, address: Ipv4Addr, port: u16) -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(SocketAddr::new(IpAddr::V4(address), port)).await?;
    let mut pause = Duration::from_millis(300);
    let mut buffer = [0_u8; 64];
    loop {
        socket.send(marker.as_bytes()).await?;
        if let Ok(answer) = tokio::time::timeout(pause, socket.recv(&mut buffer)).await {
            return answer.map(|_| ());
        }
        pause *= 2;
    }
}

async fn large(address: Ipv4Addr, port: u16) -> PathAnswer {
    let place = SocketAddr::new(IpAddr::V4(address), port);
    let mut stream = match tokio::time::timeout(PATIENCE, TcpStream::connect(place)).await {
        Err(_) => return PathAnswer::Silent,
        Ok(Err(error)) => return problem(&error),
        Ok(Ok(stream)) => stream,
    };
    let mut byte = [0_u8; 1];
    let exchange = async {
        stream.write_all(&[b'x'; LARGE]).await?;
        stream.read(&mut byte).await
    };
    let exchanged = tokio::time::timeout(PATIENCE, exchange).await;
    let size = rustix::net::sockopt::ip_mtu(&stream).unwrap_or(0);
    match exchanged {
        Err(_) => PathAnswer::Stalled(size),
        Ok(Ok(1)) => PathAnswer::Mtu(size),
        Ok(_) => PathAnswer::Untried("what listens there is not ours".to_owned()),
    }
}
