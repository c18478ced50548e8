//! Why a name does not lead where it should: what the zone's own servers say, whether the configured ones answer every name alike, and
//! where a CNAME record ends that leads nowhere.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::install::facts::{DnsOutcome, Elsewhere};

use super::{look_up, resolver};

/// Labels a zone has at least: nobody asks the servers of `org`.
const LEAST_LABELS: usize = 2;

/// Name servers of a zone that are asked.
const SERVERS: usize = 3;

/// Who is asked beside the configured servers.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    /// The port of the zone's own servers.
    pub(super) port: u16,
    /// Resolvers of others, where the zone's own servers cannot be found. Only those that the operator names: a name of the site is
    /// told to nobody else.
    pub(super) public: Vec<SocketAddr>,
}

/// Where the operator names resolvers of others: addresses with commas between them.
const PUBLIC_RESOLVERS: &str = "MOSIP_SETUP_PUBLIC_RESOLVERS";

impl Outside {
    /// The usual port, and the resolvers that the operator's environment names.
    pub(super) fn from_environment() -> Self {
        Self { port: 53, public: public(&std::env::var(PUBLIC_RESOLVERS).unwrap_or_default()) }
    }
}

/// What is no address is left out: asking nobody is what happens without the setting, too.
fn public(setting: &str) -> Vec<SocketAddr> {
    setting.split(',').filter_map(|word| word.trim().parse::<IpAddr>().ok()).map(|address| SocketAddr::new(address, 53)).collect()
}

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) alias: Option<String>,
    pub(super) elsewhere: Option<Elsewhere>,
    pub(super) invented: Vec<IpAddr>,
}

/// Finds out why `outcome` is not what was expected; each of the three questions has this time, and what has no answer is left out.
pub(super) async fn explain(
    (config, options): (&ResolverConfig, &ResolverOpts),
    outside: Outside,
    name: &str,
    outcome: &DnsOutcome,
    limit: Duration,
) -> More {
    let led = matches!(outcome, DnsOutcome::Addresses { .. });

    let (alias, elsewhere, invented) = tokio::join!(
        tokio::time::timeout(limit, async { if led { None } else { alias(config, options, name).await } }),
        tokio::time::timeout(limit, elsewhere(config, options, outside, name)),
        tokio::time::timeout(limit, async { if led { invented(config, options).await } else { Vec::new() } }),
    );
    let (alias, elsewhere, invented) = (alias.ok().flatten(), elsewhere.ok().flatten(), invented.unwrap_or_default());
    More { alias, elsewhere, invented }
}

async fn alias(config: &ResolverConfig, options: &ResolverOpts, name: &str) -> Option<String> {
    let (resolver, full) = resolver(config.clone(), options.clone(), name).ok()?;
    let found = resolver.lookup(full, RecordType::CNAME).await.ok()?;
    found.answers().iter().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.to_string().trim_end_matches('.').to_owned()),
        _ => None,
    })
}

/// What a server says about a name that does not exist. `example.com` is nobody's and holds no such name; `invalid`, which is reserved
/// for this, is answered by resolver libraries themselves.
async fn invented(config: &ResolverConfig, options: &ResolverOpts) -> Vec<IpAddr> {
    let mut bytes = [0_u8; 6];
    // Without random numbers the name is the same every time, and a cache may answer: no more than that.
    let _ = openssl::rand::rand_bytes(&mut bytes);
    let label: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match look_up(config.clone(), options.clone(), &format!("mosip-setup-{label}.example.com")).await {
        DnsOutcome::Addresses { addresses, .. } => addresses,
        _ => Vec::new(),
    }
}

async fn elsewhere(config: &ResolverConfig, options: &ResolverOpts, outside: Outside, name: &str) -> Option<Elsewhere> {
    let own = zone_servers(config, options, name).await;
    let zone = !own.is_empty();
    let places: Vec<SocketAddr> =
        if zone { own.into_iter().map(|address| SocketAddr::new(address, outside.port)).collect() } else { outside.public };
    // A resolver that is one of them has said already what it says.
    let known = |place: &SocketAddr| {
        config.name_servers().iter().any(|server| server.ip == place.ip() && server.connections.iter().any(|way| way.port == place.port()))
    };
    let places: Vec<SocketAddr> = places.into_iter().filter(|place| !known(place)).collect();
    if places.is_empty() {
        return None;
    }
    let server = |place: &SocketAddr| {
        let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        ways.iter_mut().for_each(|way| way.port = place.port());
        NameServerConfig::new(place.ip(), true, ways.to_vec())
    };
    let servers = places.iter().map(|place| place.ip().to_string()).collect();
    let others = ResolverConfig::from_name_servers(places.iter().map(server).collect());
    let mut options = options.clone();
    options.recursion_desired = !zone;
    match look_up(others, options, name).await {
        // Nobody there says nothing about the name.
        DnsOutcome::Timeout | DnsOutcome::Failed(_) | DnsOutcome::ServerError(_) => None,
        outcome => Some(Elsewhere { zone, servers, outcome }),
    }
}

/// The addresses of the name servers of the zone that a name is in.
async fn zone_servers(config: &ResolverConfig, options: &ResolverOpts, name: &str) -> Vec<IpAddr> {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    for start in 0..labels.len().saturating_sub(LEAST_LABELS - 1) {
        let zone = labels[start..].join(".");
        let Ok((resolver, full)) = resolver(config.clone(), options.clone(), &zone) else { return Vec::new() };
        let Ok(found) = resolver.lookup(full, RecordType::NS).await else { continue };
        let servers: Vec<String> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(server) => Some(server.0.to_string().trim_end_matches('.').to_owned()),
                _ => None,
            })
            .take(SERVERS)
            .collect();
        let mut addresses = Vec::new();
        for server in &servers {
            if let DnsOutcome::Addresses { addresses: found, .. } = look_up(config.clone(), options.clone(), server).await {
                addresses.extend(found);
            }
        }
        if !servers.is_empty() {
            addresses.truncate(SERVERS);
            return addresses;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests;
