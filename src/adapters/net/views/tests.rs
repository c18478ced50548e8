//! Name servers on loopback that hide, differ, invent, lie in the middle and hang.

use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::*;
use crate::adapters::net::addresses_from;
use crate::install::facts::DnsAnswer;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const LIMIT: Duration = Duration::from_millis(900);

/// What a server says: response code and records, each with type and data; none: silence.
type Reply = Option<(u8, Vec<(u16, Vec<u8>)>)>;

fn address(text: &str) -> (u16, Vec<u8>) {
    (A, text.parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec())
}

fn named(kind: u16, name: &str) -> (u16, Vec<u8>) {
    let mut data: Vec<u8> = name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    data.push(0);
    (kind, data)
}

/// A name server; ends with the guard.
struct Server(SocketAddr, JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.1.abort();
    }
}

async fn server(reply: fn(&str, u16) -> Reply) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = socket.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut packet = [0_u8; 1024];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            let (mut name, mut at) = (Vec::new(), 12);
            while packet[at] != 0 {
                let size = usize::from(packet[at]);
                name.push(String::from_utf8_lossy(&packet[at + 1..=at + size]).into_owned());
                at += size + 1;
            }
            let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
            assert!(at + 5 <= length);
            let Some((code, records)) = reply(&name.join(".").to_lowercase(), kind) else { continue };
            let count = u8::try_from(records.len()).unwrap();
            let mut answer = packet[..2].to_vec();
            answer.extend_from_slice(&[0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
            answer.extend_from_slice(&packet[12..at + 5]);
            for (kind, data) in records {
                answer.extend_from_slice(&[0xc0, 12]);
                answer.extend_from_slice(&kind.to_be_bytes());
                answer.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
                answer.extend_from_slice(&data);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    Server(place, serving)
}

/// What `name` gives where `local` is configured and the zone's own server is `zone`.
async fn asked(name: &str, local: &Server, zone: &Server, public: Vec<SocketAddr>) -> DnsAnswer {
    let mut way = ConnectionConfig::udp();
    way.port = local.0.port();
    let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(local.0.ip(), true, vec![way])]);
    let outside = Outside { port: zone.0.port(), public };
    addresses_from(config, ResolverOpts::default(), outside, Vec::new(), name, Some("10.77.0.20".parse().unwrap()), LIMIT).await
}

fn right() -> DnsOutcome {
    DnsOutcome::Addresses { addresses: vec!["10.77.0.20".parse().unwrap()], through: Vec::new() }
}

/// The zone's own server has everything right.
fn zone(name: &str, kind: u16) -> Reply {
    Some(if name == "iam.example.org" && kind == A { (0, vec![address("10.77.0.20")]) } else { (3, Vec::new()) })
}

#[tokio::test]
async fn rebind_protection_and_split_horizon_are_told_apart() {
    let own = server(zone).await;
    // Drops private addresses, knows the zone's servers.
    let strict = server(|name, kind| match (name, kind) {
        ("example.org", NS) => Some((0, vec![named(NS, "ns.example.org")])),
        ("ns.example.org", A) => Some((0, vec![address("127.0.0.1")])),
        _ => Some((0, Vec::new())),
    })
    .await;
    let answer = asked("iam.example.org", &strict, &own, Vec::new()).await;
    assert_eq!(answer.outcome, DnsOutcome::NoAddress);
    let elsewhere = answer.elsewhere.unwrap();
    assert_eq!((elsewhere.zone, elsewhere.outcome, elsewhere.servers), (true, right(), vec!["127.0.0.1".to_owned()]));
    // Serves another view.
    let inside = server(|name, kind| match (name, kind) {
        ("example.org", NS) => Some((0, vec![named(NS, "ns.example.org")])),
        ("ns.example.org", A) => Some((0, vec![address("127.0.0.1")])),
        ("iam.example.org", A) => Some((0, vec![address("192.0.2.9")])),
        _ => Some((3, Vec::new())),
    })
    .await;
    let answer = asked("iam.example.org", &inside, &own, Vec::new()).await;
    assert_eq!(answer.elsewhere.unwrap().outcome, right());
    assert!(answer.invented.is_empty());
    // Without servers of the zone to be found, public resolvers are asked.
    let closed = server(|_, _| Some((3, Vec::new()))).await;
    let answer = asked("iam.example.org", &closed, &own, vec![own.0]).await;
    assert!(!answer.elsewhere.unwrap().zone);
    assert_eq!(asked("iam.example.org", &closed, &own, Vec::new()).await.elsewhere, None);
}

#[tokio::test]
async fn a_server_that_answers_every_name_alike_is_found_out() {
    let liar = server(|_, kind| Some((0, if kind == A { vec![address("198.51.100.7")] } else { Vec::new() }))).await;
    let own = server(zone).await;
    let answer = asked("iam.example.org", &liar, &own, Vec::new()).await;
    assert_eq!(answer.invented, ["198.51.100.7".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_is_named() {
    let local = server(|name, kind| match (name, kind) {
        ("iam.example.org", CNAME) => Some((0, vec![named(CNAME, "api-internal.example.org")])),
        _ => Some((3, Vec::new())),
    })
    .await;
    let answer = asked("iam.example.org", &local, &local, Vec::new()).await;
    assert_eq!((answer.outcome, answer.alias.as_deref()), (DnsOutcome::NoSuchName, Some("api-internal.example.org")));
}

#[tokio::test]
async fn nothing_waits_for_servers_that_hang() {
    let silent = server(|_, _| None).await;
    // Says that there is nothing, and hangs when asked further.
    let slow = server(|name, kind| (name == "iam.example.org" && kind == A).then(|| (3, Vec::new()))).await;
    let began = Instant::now();
    assert_eq!(asked("iam.example.org", &silent, &silent, Vec::new()).await.outcome, DnsOutcome::Timeout);
    let answer = asked("iam.example.org", &slow, &silent, vec![silent.0]).await;
    assert_eq!((answer.outcome, answer.elsewhere), (DnsOutcome::NoSuchName, None));
    assert!(began.elapsed() < 4 * LIMIT, "{:?}", began.elapsed());
}

#[test]
fn resolvers_of_others_are_only_those_that_the_setting_names() {
    let of = |setting: &str| public(setting).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(""), [""; 0]);
    assert_eq!(of("9.9.9.9, 1.1.1.1 ,2620:fe::fe"), ["9.9.9.9:53", "1.1.1.1:53", "[2620:fe::fe]:53"]);
    // What is no address asks nobody, and takes nothing else along.
    assert_eq!(of("dns.example.org,9.9.9,,9.9.9.9:53,10.0.0.1"), ["10.0.0.1:53"]);
}
