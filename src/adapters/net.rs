//! Names, ports and web addresses as the deployment node sees them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::install::facts::{DnsAnswer, DnsOutcome, HttpAnswer, TcpAnswer, WayOut, WayOutcome};

pub(crate) mod client;
mod views;

/// How much of a web page is read, bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// How this program calls itself in requests.
pub(crate) const USER_AGENT: &str = concat!("mosip-setup/", env!("CARGO_PKG_VERSION"));

/// Where DNS is configured.
const HOSTS_FILE: &str = "/etc/hosts";

/// Asks the configured servers for the IPv4 addresses of a name, past every cache of our own, and `/etc/hosts` beside them. Where the
/// answer lacks the address expected, asks further, to tell why; that takes at most the same time once more.
pub async fn addresses(name: &str, expected: Option<IpAddr>, limit: Duration) -> DnsAnswer {
    let hosts_file = std::fs::read_to_string(HOSTS_FILE).map(|text| in_hosts_file(&text, name)).unwrap_or_default();
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, options)) => {
            addresses_from(config, options, views::Outside::from_environment(), hosts_file, name, expected, limit).await
        }
        Err(error) => {
            let outcome = DnsOutcome::Failed(format!("/etc/resolv.conf cannot be used: {error}"));
            DnsAnswer { outcome, hosts_file, servers: Vec::new(), alias: None, elsewhere: None, invented: Vec::new() }
        }
    }
}

/// The same with a configuration of the caller's.
async fn addresses_from(
    config: ResolverConfig,
    mut options: ResolverOpts,
    outside: views::Outside,
    hosts_file: Vec<IpAddr>,
    name: &str,
    expected: Option<IpAddr>,
    limit: Duration,
) -> DnsAnswer {
    let servers: Vec<String> = config.name_servers().iter().map(|server| server.ip.to_string()).collect();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = limit / 3;
    options.attempts = 2;
    let outcome = match tokio::time::timeout(limit, look_up(config.clone(), options.clone(), name)).await {
        Ok(outcome) => outcome,
        Err(_) => DnsOutcome::Timeout,
    };
    let mut answer = DnsAnswer { outcome, hosts_file, servers, alias: None, elsewhere: None, invented: Vec::new() };
    let right = |wanted: IpAddr| matches!(&answer.outcome, DnsOutcome::Addresses { addresses, .. } if addresses.contains(&wanted));
    let told = matches!(answer.outcome, DnsOutcome::Addresses { .. } | DnsOutcome::NoSuchName | DnsOutcome::NoAddress);
    if told && expected.is_some_and(|wanted| !right(wanted)) {
        // A firewall may keep the others from answering: half of the time, and no more.
        let more = views::explain((&config, &options), outside, name, &answer.outcome, limit / 2).await;
        (answer.alias, answer.elsewhere, answer.invented) = (more.alias, more.elsewhere, more.invented);
    }
    answer
}

/// A resolver that asks these servers, and the name with a final dot: search domains would make a wrong name look right.
fn resolver(config: ResolverConfig, options: ResolverOpts, name: &str) -> Result<(TokioResolver, Name), DnsOutcome> {
    if config.name_servers().is_empty() {
        return Err(DnsOutcome::Failed("/etc/resolv.conf names no server".to_owned()));
    }
    let full = Name::from_ascii(format!("{}.", name.trim_end_matches('.')))
        .map_err(|_| DnsOutcome::Failed(format!("'{name}' is not a DNS name")))?;
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build();
    resolver.map(|resolver| (resolver, full)).map_err(|error| DnsOutcome::Failed(error.to_string()))
}

async fn look_up(config: ResolverConfig, options: ResolverOpts, name: &str) -> DnsOutcome {
    let (resolver, full) = match resolver(config, options, name) {
        Ok(ready) => ready,
        Err(outcome) => return outcome,
    };
    match resolver.lookup(full, RecordType::A).await {
        Ok(found) => {
            let (mut addresses, mut through) = (Vec::new(), Vec::new());
            for record in found.answers() {
                match &record.data {
                    RData::A(address) => addresses.push(IpAddr::V4(address.0)),
                    RData::CNAME(target) => through.push(target.0.to_string().trim_end_matches('.').to_owned()),
                    _ => {}
                }
            }
            addresses.sort();
            if addresses.is_empty() { DnsOutcome::NoAddress } else { DnsOutcome::Addresses { addresses, through } }
        }
        Err(NetError::Timeout) => DnsOutcome::Timeout,
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => DnsOutcome::NoSuchName,
            ResponseCode::NoError => DnsOutcome::NoAddress,
            code => DnsOutcome::ServerError(code.to_string()),
        },
        Err(NetError::Dns(DnsError::ResponseCode(code))) => DnsOutcome::ServerError(code.to_string()),
        Err(error) => DnsOutcome::Failed(error.to_string()),
    }
}

/// The TXT values of a name, past every cache of our own.
///
/// # Errors
/// Why there are none.
pub async fn texts(name: &str, limit: Duration) -> Result<Vec<String>, String> {
    let (config, mut options) =
        hickory_resolver::system_conf::read_system_conf().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))?;
    options.cache_size = 0;
    options.timeout = limit / 3;
    let full = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).map_err(|_| format!("'{name}' is not a DNS name"))?;
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build();
    let resolver = resolver.map_err(|error| error.to_string())?;
    let found = match tokio::time::timeout(limit, resolver.lookup(full, RecordType::TXT)).await {
        Ok(Ok(found)) => found,
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => return Ok(Vec::new()),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("no answer".to_owned()),
    };
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect::<String>()),
        _ => None,
    };
    Ok(found.answers().iter().filter_map(|record| text(&record.data)).collect())
}

/// The addresses a hosts file gives for a name.
fn in_hosts_file(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address: IpAddr = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

/// Tries a TCP connection; with `banner`, waits for the first line the other side sends.
pub async fn tcp(address: IpAddr, port: u16, banner: bool, limit: Duration) -> TcpAnswer {
    let place = SocketAddr::new(address, port);
    let mut stream = match tokio::time::timeout(limit, TcpStream::connect(place)).await {
        Err(_) => return TcpAnswer::Silent(millis(limit)),
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return match error.kind() {
                ErrorKind::ConnectionRefused => TcpAnswer::Refused,
                ErrorKind::TimedOut => TcpAnswer::Silent(millis(limit)),
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::PermissionDenied => {
                    TcpAnswer::Unreachable(error.to_string())
                }
                _ => TcpAnswer::Failed(error.to_string()),
            };
        }
    };
    if !banner {
        return TcpAnswer::Open { banner: None };
    }
    let mut line = [0_u8; 256];
    let line = match tokio::time::timeout(limit, stream.read(&mut line)).await {
        Ok(Ok(count)) => String::from_utf8_lossy(&line[..count]).lines().next().unwrap_or_default().trim().to_owned(),
        _ => String::new(),
    };
    TcpAnswer::Open { banner: Some(line) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Sends a GET request, through the system's proxy unless `address` says where to connect; redirects are shown, not followed.
pub async fn http(url: &str, address: Option<&str>, insecure: bool, limit: Duration) -> HttpAnswer {
    match request(url, address, insecure, limit).await {
        Ok(answer) => answer,
        Err(Failure::Own(reason)) => HttpAnswer::Failed(reason),
        Err(Failure::Request(error)) => {
            let reason = causes(&error);
            if error.is_timeout() {
                HttpAnswer::Timeout
            } else if reason.contains("certificate") {
                HttpAnswer::Certificate(reason)
            } else if error.is_connect() {
                HttpAnswer::Connect(reason)
            } else {
                HttpAnswer::Failed(reason)
            }
        }
    }
}

enum Failure {
    Own(String),
    Request(reqwest::Error),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error)
    }
}

/// For requests to where the names lead.
static SHARED: client::Shared = client::Shared::new(alone);

/// What a request shows is its own: no redirect is followed, no connection kept for the next.
fn alone(settings: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    settings.redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0)
}

async fn request(url: &str, address: Option<&str>, insecure: bool, limit: Duration) -> Result<HttpAnswer, Failure> {
    let url = reqwest::Url::parse(url).map_err(|error| Failure::Own(format!("'{url}' is not a web address: {error}")))?;
    let client = match address {
        None if !insecure => SHARED.get().await,
        None => client::build(alone(reqwest::Client::builder()).danger_accept_invalid_certs(true)).await.map(Arc::new),
        Some(address) => {
            let address: IpAddr = address.parse().map_err(|_| Failure::Own(format!("'{address}' is not an address")))?;
            // Port 0 leaves the port to the URL.
            let to = SocketAddr::new(address, 0);
            let settings = alone(reqwest::Client::builder()).no_proxy().resolve(url.host_str().unwrap_or_default(), to);
            client::build(settings.danger_accept_invalid_certs(insecure)).await.map(Arc::new)
        }
    };
    let client = client.map_err(Failure::Own)?;
    let response = client.get(url).timeout(limit).send().await?;
    let status = response.status().as_u16();
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(HttpAnswer::Answer { status, body: beginning(response).await?, location })
}

/// The beginning of an answer's body.
pub(crate) async fn beginning(mut response: reqwest::Response) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = BODY_LIMIT.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= BODY_LIMIT {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Whether there is a way to an address, through the proxy where there is one.
pub async fn way_out(url: &str, limit: Duration) -> WayOut {
    let outcome = match request(url, None, false, limit).await {
        Ok(HttpAnswer::Answer { status: 407, .. }) => WayOutcome::Proxy("it wants a login (407)".to_owned()),
        Ok(HttpAnswer::Answer { status, .. }) => WayOutcome::Answered(status),
        Ok(_) => WayOutcome::Failed("no answer".to_owned()),
        Err(Failure::Own(reason)) => WayOutcome::Failed(reason),
        Err(Failure::Request(error)) => way_outcome(&error),
    };
    WayOut { outcome, proxy: super::proxy::used_for(url) }
}

/// Why a request failed.
pub(crate) fn way_outcome(error: &reqwest::Error) -> WayOutcome {
    let reason = causes(error);
    let low = reason.to_lowercase();
    if error.is_timeout() {
        WayOutcome::Timeout
    } else if low.contains("tunnel") || low.contains("proxy") {
        WayOutcome::Proxy(reason)
    } else if low.contains("dns error") || low.contains("lookup address") {
        WayOutcome::Name
    } else if low.contains("certificate") {
        WayOutcome::Certificate
    } else if error.is_connect() {
        WayOutcome::Connect
    } else {
        WayOutcome::Failed(reason)
    }
}

/// An error with its causes; the outermost alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut inner = error.source();
    while let Some(cause) = inner {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        inner = cause.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, UdpSocket};

    const SHORT: Duration = Duration::from_millis(900);

    /// Response code and answer section for a name; none: silence.
    type Answer = fn(&str) -> Option<(u8, Vec<u8>)>;

    /// A name server on loopback: `answer` makes the reply's flags, response code and answer section from the name asked for.
    async fn dns(name: &str, answer: Answer) -> DnsOutcome {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut packet = [0_u8; 512];
            loop {
                let (length, from) = server.recv_from(&mut packet).await.unwrap();
                let end = 12 + packet[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
                let Some((code, section)) = answer("") else { continue };
                let mut reply = packet[..2].to_vec();
                reply.extend_from_slice(&[
                    0x81,
                    0x80 | code,
                    0,
                    1,
                    0,
                    u8::from(!section.is_empty()) * section[..1.min(section.len())].first().copied().unwrap_or(0),
                    0,
                    0,
                    0,
                    0,
                ]);
                reply.extend_from_slice(&packet[12..end]);
                reply.extend_from_slice(section.get(1..).unwrap_or_default());
                server.send_to(&reply, from).await.unwrap();
            }
        });
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new("127.0.0.1".parse().unwrap(), true, vec![connection])]);
        let answer =
            addresses_from(config, ResolverOpts::default(), views::Outside::from_environment(), Vec::new(), name, None, SHORT).await;
        serving.abort();
        answer.outcome
    }

    #[tokio::test]
    async fn answers_of_dns_are_told_apart() {
        assert_eq!(dns("gone.example.org", |_| Some((3, Vec::new()))).await, DnsOutcome::NoSuchName);
        assert_eq!(dns("empty.example.org", |_| Some((0, Vec::new()))).await, DnsOutcome::NoAddress);
        assert_eq!(dns("silent.example.org", |_| None).await, DnsOutcome::Timeout);
        assert!(matches!(dns("broken.example.org", |_| Some((2, Vec::new()))).await, DnsOutcome::ServerError(_)));
        // The first byte is the number of records; the name is a pointer to the question.
        let found = dns("api.example.org", |_| Some((0, vec![1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 7])));
        let addresses = vec!["10.0.0.7".parse().unwrap()];
        assert_eq!(found.await, DnsOutcome::Addresses { addresses: addresses.clone(), through: Vec::new() });
        let alias = dns("www.example.org", |_| {
            let mut section = vec![2, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 3, 1, b'x', 0];
            section.extend_from_slice(&[1, b'x', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 7]);
            Some((0, section))
        });
        assert_eq!(alias.await, DnsOutcome::Addresses { addresses, through: vec!["x".into()] });
    }

    #[test]
    fn a_hosts_file_is_read() {
        let text = "127.0.0.1 localhost\n10.0.0.7\tapi.example.org API-Internal.example.org # lab\n# 10.0.0.8 api.example.org\n";
        assert_eq!(in_hosts_file(text, "api-internal.example.org"), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        assert!(in_hosts_file(text, "example.org").is_empty());
    }

    #[tokio::test]
    async fn ports_are_told_apart() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let listener = TcpListener::bind((local, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let speaking = tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            first.write_all(b"SSH-2.0-Test\r\nmore").await.unwrap();
            let (second, _) = listener.accept().await.unwrap();
            (first, second, listener)
        });
        assert_eq!(tcp(local, port, true, SHORT).await, TcpAnswer::Open { banner: Some("SSH-2.0-Test".into()) });
        assert_eq!(tcp(local, port, true, Duration::from_millis(100)).await, TcpAnswer::Open { banner: Some(String::new()) });
        drop(speaking.await.unwrap());
        assert_eq!(tcp(local, port, false, SHORT).await, TcpAnswer::Refused);
    }

    #[tokio::test]
    async fn web_answers_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0_u8; 1024];
                let count = stream.read(&mut asked).await.unwrap();
                let flood = String::from_utf8_lossy(&asked[..count]).contains("/flood");
                stream.write_all(b"HTTP/1.1 302 Found\r\nlocation: /login\r\nconnection: close\r\n\r\nhello").await.unwrap();
                while flood && stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            }
        });
        let url = |path: &str| format!("http://rancher.example.org:{port}{path}");
        let long = Duration::from_secs(10);
        let answer = http(&url("/"), Some("127.0.0.1"), false, long).await;
        assert_eq!(answer, HttpAnswer::Answer { status: 302, body: "hello".into(), location: Some("/login".into()) });
        assert!(
            matches!(http(&url("/flood"), Some("127.0.0.1"), false, long).await, HttpAnswer::Answer { body, .. } if body.len() == BODY_LIMIT)
        );
        serving.abort();
        let _ = serving.await;
        assert!(matches!(http(&url("/"), Some("127.0.0.1"), false, long).await, HttpAnswer::Connect(_)));
        assert!(matches!(http("no address", None, false, long).await, HttpAnswer::Failed(_)));
    }
}
