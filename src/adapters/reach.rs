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

/// The name of an agent's process, as `ss` shows it.
pub const AGENT: &str = "mosip-preflight";

/// Seconds after which listeners end by themselves. They end at once when the connection does; this is for the case that nobody tells them.
pub const LIFE_SECONDS: u32 = 60;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes sent to see whether large packets pass: more than fit in one, whatever the network.
const LARGE: usize = 4096;

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
    let exchanged = tokio::time::timeout(PATIENCE * 2, exchange).await;
    let size = rustix::net::sockopt::ip_mtu(&stream).unwrap_or(0);
    match exchanged {
        Err(_) => PathAnswer::Stalled(size),
        Ok(Ok(1)) => PathAnswer::Mtu(size),
        Ok(_) => PathAnswer::Untried("what listens there is not ours".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn free_port() -> u16 {
        std::net::TcpListener::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port()
    }

    fn target(what: What) -> ReachTarget {
        ReachTarget { to: "vm1".parse().unwrap(), address: LOCAL, what }
    }

    /// A folder with links to these programs, and nothing else on PATH.
    fn only(programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            // Whoever has another Python in front of the system's may have a script there that needs more than we leave.
            let system = std::path::Path::new("/usr/bin").join(program);
            if let Some(found) = if system.exists() { Some(system) } else { which::which(program).ok() } {
                std::os::unix::fs::symlink(found, folder.path().join(program)).unwrap();
            }
        }
        folder
    }

    /// Runs the script with these programs, lets it try targets, and gives all it said; whether it ended by itself.
    fn played(script: &str, path: Option<&std::path::Path>, targets: &[ReachTarget], wait: bool) -> Vec<Said> {
        let mut command = Command::new(which::which("sh").unwrap());
        command.arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(path) = path {
            command.env_clear().env("PATH", path);
        }
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        input.flush().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        let mut until = |wanted: &Said, all: &mut Vec<Said>| {
            let mut line = Vec::new();
            while !all.contains(wanted) && output.read_until(b'\n', &mut line).unwrap() > 0 {
                all.extend(reader.take("MX", &line));
                line.clear();
            }
        };
        until(&Said::Ready, &mut all);
        if !targets.is_empty() {
            input.write_all(order(targets.iter().enumerate()).as_bytes()).unwrap();
            until(&Said::Done, &mut all);
        }
        if !wait {
            drop(input);
        }
        // Its end closes the pipe.
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).unwrap();
        let _ = child.wait().unwrap();
        all
    }

    fn without_system_folders(script: &str) -> String {
        script.replace(":/usr/local/sbin:/usr/sbin:/sbin", "").replace("/usr/bin/python3 python3", "python3")
    }

    #[test]
    fn each_program_listens_echoes_and_tries() {
        for program in ["python3", "perl"] {
            if which::which(program).is_err() {
                continue;
            }
            let (tcp, udp, taken) = (free_port(), free_port(), std::net::TcpListener::bind((LOCAL, 0)).unwrap());
            let taken = taken.local_addr().map(|place| (taken, place.port())).unwrap();
            let folder = only(&["sh", "id", "date", program]);
            let listen = [(Protocol::Tcp, tcp), (Protocol::Tcp, taken.1), (Protocol::Udp, udp)];
            let script = without_system_folders(&script("MX", LOCAL, &listen, 20));
            let closed = free_port();
            let targets = [
                target(What::Port(Protocol::Tcp, tcp)),
                target(What::Port(Protocol::Udp, udp)),
                target(What::Mtu(tcp)),
                target(What::Port(Protocol::Tcp, closed)),
                target(What::Port(Protocol::Udp, closed)),
            ];
            let said = played(&script, Some(folder.path()), &targets, false);
            assert_eq!(said[0], Said::Tool(Some(program.into())));
            assert!(said.contains(&Said::Listen(Protocol::Tcp, tcp, ListenState::Bound)), "{program}: {said:?}");
            assert!(said.contains(&Said::Listen(Protocol::Udp, udp, ListenState::Bound)), "{program}: {said:?}");
            assert!(
                said.iter().any(|one| matches!(one, Said::Listen(_, port, ListenState::Busy(_)) if *port == taken.1)),
                "{program}: {said:?}"
            );
            assert!(said.iter().any(|one| matches!(one, Said::Path(0, PathAnswer::Open(_)))), "{program}: {said:?}");
            assert!(said.iter().any(|one| matches!(one, Said::Path(1, PathAnswer::Open(_)))), "{program}: {said:?}");
            assert!(said.iter().any(|one| matches!(one, Said::Path(2, PathAnswer::Mtu(size)) if *size > 1000)), "{program}: {said:?}");
            assert!(said.contains(&Said::Path(3, PathAnswer::Refused)) && said.contains(&Said::Path(4, PathAnswer::Refused)), "{said:?}");
        }
    }

    #[test]
    fn listeners_end_when_their_time_is_up_although_nobody_tells_them() {
        for program in ["python3", "perl"].into_iter().filter(|program| which::which(program).is_ok()) {
            let port = free_port();
            let folder = only(&["sh", "id", "date", program]);
            let script = without_system_folders(&script("MX", LOCAL, &[(Protocol::Tcp, port)], 1));
            // stdin stays open: only their own clock can end them.
            let said = played(&script, Some(folder.path()), &[], true);
            assert!(said.contains(&Said::Listen(Protocol::Tcp, port, ListenState::Bound)), "{program}: {said:?}");
            assert!(std::net::TcpStream::connect((LOCAL, port)).is_err(), "{program} is still there");
        }
    }

    #[test]
    fn a_program_that_does_not_run_gives_way_and_none_is_said() {
        let script = without_system_folders(&script("MX", LOCAL, &[], 5));
        let broken = only(&["sh", "id", "date", "perl"]);
        let program = broken.path().join("python3");
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let said = played(&script, Some(broken.path()), &[], false);
        assert_eq!(said, [Said::Tool(Some("python3".into())), Said::Tool(Some("perl".into())), Said::Ready]);
        let nothing = only(&["sh", "id", "date"]);
        assert_eq!(played(&script, Some(nothing.path()), &[], false), [Said::Tool(None), Said::Ready]);
        // nc tries TCP, and says that it cannot do more.
        let netcat = only(&["sh", "id", "date"]);
        let program = netcat.path().join("nc");
        std::fs::write(&program, "#!/bin/sh\ntest \"$5\" = 443\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let targets = [443, 80].map(|port| target(What::Port(Protocol::Tcp, port)));
        let udp = target(What::Port(Protocol::Udp, 53));
        let said = played(&script, Some(netcat.path()), &[targets[0].clone(), targets[1].clone(), udp], false);
        assert!(said.contains(&Said::Path(0, PathAnswer::Open(0))) && said.contains(&Said::Path(1, PathAnswer::Refused)), "{said:?}");
        assert!(said.contains(&Said::Path(2, PathAnswer::Untried("nc cannot try UDP".into()))), "{said:?}");
    }

    #[tokio::test]
    async fn this_machine_tries_too() {
        let (tcp, udp) = (free_port(), free_port());
        let script = script("MX", LOCAL, &[(Protocol::Tcp, tcp), (Protocol::Udp, udp)], 20);
        let mut child = Command::new("sh").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(script.as_bytes()).unwrap();
        input.flush().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") && output.read_line(&mut line).unwrap() > 0 {}
        let tcp_answer = try_from_here("MX", &target(What::Port(Protocol::Tcp, tcp))).await;
        let udp_answer = try_from_here("MX", &target(What::Port(Protocol::Udp, udp))).await;
        let large = try_from_here("MX", &target(What::Mtu(tcp))).await;
        drop(input);
        child.wait().unwrap();
        assert!(matches!(tcp_answer, PathAnswer::Open(_)) && matches!(udp_answer, PathAnswer::Open(_)), "{tcp_answer:?} {udp_answer:?}");
        assert!(matches!(large, PathAnswer::Mtu(size) if size > 1000), "{large:?}");
        assert_eq!(try_from_here("MX", &target(What::Port(Protocol::Tcp, tcp))).await, PathAnswer::Refused);
    }

    #[test]
    fn answers_are_read_however_they_are_cut_and_noise_is_kept_apart() {
        let mut reader = Reader::default();
        assert_eq!(reader.take("MX", b"Welcome!\nbash: warning: setlocale\nMX list"), []);
        assert_eq!(
            reader.take("MX", b"en=u53 busy dnsmasq\nnoise MX ready=1\n"),
            [Said::Listen(Protocol::Udp, 53, ListenState::Busy(Some("dnsmasq".into()))), Said::Ready,]
        );
        assert!(reader.noise.starts_with("Welcome!"));
        assert_eq!(
            reader.take("MX", b"MX path=3 unreachable No route to host\nMX path=x open 1\nMX path=4 mtu 1400\n"),
            [Said::Path(3, PathAnswer::Unreachable("No route to host".into())), Said::Path(4, PathAnswer::Mtu(1400)),]
        );
    }
}
