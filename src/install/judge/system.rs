//! What Kubernetes and its storage need of a machine beyond size and ports: settings, services, firewall, resolver, network card.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::install::facts::MachineFacts;
use crate::install::plan::Plan;

use super::judgement::{Judged, Judgement};
use super::local::range;

/// Kubernetes passes no more name servers to pods.
const SERVERS_LIMIT: usize = 3;

/// Interface drivers whose UDP offload is known to break the tunnel between nodes.
const DRIVERS_IN_DOUBT: [&str; 1] = ["vmxnet3"];

pub(super) fn kernel_settings(min: &BTreeMap<String, u64>, facts: &MachineFacts) -> Judgement {
    let list = |items: Vec<String>| items.join(", ");
    let expected = list(min.iter().map(|(name, least)| format!("{name} at least {least}")).collect());
    let low: Vec<(&String, &u64, &u64)> = min
        .iter()
        .filter_map(|(name, least)| facts.settings.get(name).filter(|value| *value < least).map(|value| (name, value, least)))
        .collect();
    if !low.is_empty() {
        let lines: Vec<String> = low.iter().map(|(name, _, least)| format!("{name} = {least}")).collect();
        let remedy = format!("Write into /etc/sysctl.d/90-mosip.conf, a line each: {}. Then `sudo sysctl --system`.", lines.join("; "));
        return Judgement::new(Judged::Wrong, list(low.iter().map(|(name, value, _)| format!("{name} is {value}")).collect()), expected)
            .remedy(remedy);
    }
    let unread: Vec<String> = min.keys().filter(|name| !facts.settings.contains_key(*name)).cloned().collect();
    if unread.is_empty() {
        Judgement::new(
            Judged::Right,
            list(
                facts.settings.iter().filter(|(name, _)| min.contains_key(*name)).map(|(name, value)| format!("{name} {value}")).collect(),
            ),
            expected,
        )
    } else {
        Judgement::unknown(format!("{} could not be read", list(unread)), expected)
    }
}

pub(super) fn multipath(facts: &MachineFacts) -> Judgement {
    let expected = "multipathd off, or told to leave plain disks alone";
    match facts.multipath {
        None => Judgement::unknown("could not be told", expected),
        Some(found) if !found.runs => Judgement::new(Judged::Right, "multipathd does not run", expected),
        Some(found) if found.spares_disks => Judgement::new(Judged::Right, "multipathd runs, and leaves plain disks alone", expected),
        Some(_) => Judgement::new(Judged::Wrong, "multipathd runs and may take the volumes' disks: mounting them then fails as busy", expected)
            .remedy("`sudo systemctl disable --now multipathd.socket multipathd.service`, or blacklist `devnode \"^sd[a-z0-9]+\"` in /etc/multipath.conf."),
    }
}

pub(super) fn iscsi(facts: &MachineFacts) -> Judgement {
    let expected = "open-iscsi installed, its service on";
    match facts.iscsi {
        None => Judgement::unknown("could not be told", expected),
        Some(found) if !found.installed => {
            Judgement::new(Judged::Wrong, "there is no iscsiadm", expected).remedy("`sudo apt-get install open-iscsi`.")
        }
        Some(found) if !found.service => Judgement::new(Judged::Wrong, "iscsid neither runs nor starts when asked", expected)
            .remedy("`sudo systemctl enable --now iscsid.socket`."),
        Some(_) => Judgement::new(Judged::Right, "open-iscsi, with its service", expected),
    }
}

/// A cluster of the installation's own kind that runs is taken over by it where the profile says so, and then only worth a word.
pub(super) fn no_leftovers(facts: &MachineFacts, own: Option<&str>) -> Judgement {
    let expected = "no traces of another cluster or container engine";
    let Some(found) = &facts.leftovers else { return Judgement::unknown("could not be looked for", expected) };
    if found.is_empty() {
        return Judgement::new(Judged::Right, "none", expected);
    }
    let observed = found.join(", ");
    if let Some(own) = own
        && found.iter().any(|trace| trace.strip_prefix("running ") == Some(own))
        && !found.iter().any(|trace| trace.contains("k3s") || trace.contains("dockerd"))
    {
        let observed = format!("{} runs here already: {observed}", own.to_uppercase());
        return Judgement::new(Judged::Doubtful, observed, expected)
            .remedy(format!("Right if this is the site's own cluster: it is taken over as it is. Otherwise `sudo {own}-uninstall.sh`."))
            .alone();
    }
    let mut remedy = Vec::new();
    for (word, command) in
        [("rke2", "sudo rke2-uninstall.sh"), ("k3s", "sudo k3s-uninstall.sh"), ("docker", "sudo apt-get purge docker.io docker-ce")]
    {
        if found.iter().any(|trace| trace.contains(word)) {
            remedy.push(format!("For {word}: `{command}`."));
        }
    }
    if found.iter().any(|trace| trace.starts_with("interface ") || trace.starts_with("iptables ")) {
        remedy.push("Interfaces and iptables chains of an earlier cluster go with a reboot.".to_owned());
    }
    Judgement::new(Judged::Wrong, observed, expected).remedy(remedy.join(" "))
}

pub(super) fn firewall_off(facts: &MachineFacts) -> Judgement {
    let expected = "no firewall on the machine itself";
    let Some(found) = &facts.firewalls else { return Judgement::unknown("could not be told", expected) };
    if found.is_empty() {
        return Judgement::new(Judged::Right, "none is on", expected);
    }
    let mut remedy = Vec::new();
    for (word, command) in [("ufw", "`sudo ufw disable`."), ("firewalld", "`sudo systemctl disable --now firewalld`.")] {
        if found.iter().any(|line| line.starts_with(word)) {
            remedy.push(command);
        }
    }
    if remedy.is_empty() {
        remedy.push("Let the rules accept by default: `sudo iptables -P INPUT ACCEPT` and the same for FORWARD, and in the file that sets them at boot.");
    }
    Judgement::new(Judged::Wrong, found.join("; "), expected).remedy(remedy.join(" "))
}

/// Judges `/etc/hosts`: localhost is there, and no record of the site is contradicted.
pub(super) fn hosts_file(plan: &Plan, facts: &MachineFacts) -> Judgement {
    let expected = "localhost, and nothing that contradicts the site's DNS records";
    let Some(lines) = &facts.hosts_file else { return Judgement::unknown("/etc/hosts could not be read", expected) };
    let entries: Vec<(IpAddr, Vec<&str>)> = lines
        .iter()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.collect()))
        })
        .collect();
    let addresses = |wanted: &str| {
        entries
            .iter()
            .filter(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)))
            .map(|(address, _)| *address)
            .collect::<Vec<_>>()
    };
    let (mut problems, mut remedy) = (Vec::new(), Vec::new());
    let local = addresses("localhost");
    if !local.iter().any(IpAddr::is_ipv4) {
        problems.push("localhost has no IPv4 address".to_owned());
        remedy.push("Add the line: 127.0.0.1 localhost.".to_owned());
    }
    if let Some(strange) = local.iter().find(|address| !address.is_loopback()) {
        problems.push(format!("localhost is {strange}"));
        remedy.push(format!("Remove localhost from the line of {strange}."));
    }
    let mut seen = BTreeSet::new();
    for record in plan.checks.iter().flat_map(|check| check.kind.records()) {
        let wanted: Option<IpAddr> = record.address.parse().ok();
        let found = addresses(&record.name);
        if let (Some(wanted), Some(wrong)) = (wanted, found.iter().find(|address| address.is_ipv4() && Some(**address) != wanted))
            && seen.insert(&record.name)
        {
            problems.push(format!("{} is {wrong} instead of {wanted}", record.name));
            remedy.push(format!("Remove {} from /etc/hosts.", record.name));
        }
    }
    let observed = if problems.is_empty() { "localhost is there".to_owned() } else { format!("/etc/hosts: {}", problems.join("; ")) };
    Judgement::when(problems.is_empty(), observed, expected).remedy(remedy.join(" "))
}

/// Judges the resolver's configuration, which RKE2 hands on to pods.
pub(super) fn resolver(facts: &MachineFacts) -> Judgement {
    let expected = "one to three name servers that pods can reach too";
    let Some(lines) = &facts.resolver else { return Judgement::unknown("/etc/resolv.conf could not be read", expected) };
    let servers = |lines: &[String]| {
        lines
            .iter()
            .filter_map(|line| line.strip_prefix("nameserver")?.trim().split('%').next()?.parse::<IpAddr>().ok())
            .collect::<Vec<_>>()
    };
    let own = servers(lines);
    // RKE2 reads systemd-resolved's own list where the usual one names this machine alone.
    let behind = facts.resolver_behind.as_deref().map(servers).unwrap_or_default();
    let stub = !own.is_empty() && own.iter().all(IpAddr::is_loopback);
    let used = if stub { &behind } else { &own };
    let shown = used.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if own.is_empty() {
        return Judgement::new(Judged::Wrong, "/etc/resolv.conf names no server", expected)
            .remedy("Give the machine a name server: netplan's `nameservers`.");
    }
    if used.is_empty() || used.iter().all(IpAddr::is_loopback) {
        let observed = format!("the only name server is this machine itself ({}): pods cannot reach it", own[0]);
        return Judgement::new(Judged::Wrong, observed, expected)
            .remedy("Let /etc/resolv.conf, or systemd-resolved, name the network's own server.");
    }
    if used.len() > SERVERS_LIMIT {
        return Judgement::new(Judged::Wrong, format!("{} name servers ({shown}): pods get the first three", used.len()), expected)
            .remedy("Name three at most.");
    }
    Judgement::new(Judged::Right, shown, expected)
}

pub(super) fn uplink(min_mtu: u32, facts: &MachineFacts) -> Judgement {
    let expected = format!("a default route, over a card with an MTU of {min_mtu} or more");
    let Some(device) = &facts.default_interface else {
        return Judgement::new(Judged::Wrong, "there is no default route", expected)
            .remedy("Give the machine a gateway: images come from outside, and nginx listens on the card of the default route.");
    };
    let Some(mtu) = facts.mtu else { return Judgement::unknown(format!("the MTU of {device} could not be read"), expected) };
    let driver = facts.driver.as_deref().map(|driver| format!(", driver {driver}")).unwrap_or_default();
    let observed = format!("{device}, MTU {mtu}{driver}");
    if mtu < min_mtu {
        return Judgement::new(Judged::Wrong, observed, expected)
            .remedy("The tunnel between nodes takes 50 bytes of it, and WireGuard 80: raise it on the machine and in the network, or lower the tunnels'.");
    }
    if facts.driver.as_deref().is_some_and(|driver| DRIVERS_IN_DOUBT.contains(&driver)) {
        return Judgement::new(Judged::Doubtful, observed, expected)
            .remedy("This driver is known to spoil the checksums of tunnelled packets, so that pods on different nodes do not reach each other. If that happens: `sudo ethtool -K flannel.1 tx-checksum-ip-generic off`.")
            .alone();
    }
    Judgement::new(Judged::Right, observed, expected)
}

pub(super) fn virtualization(refuse: &[String], facts: &MachineFacts) -> Judgement {
    let expected = format!("a whole machine: none of {}", refuse.join(", "));
    match &facts.virtualization {
        None => Judgement::new(Judged::Doubtful, "could not be told: there is no systemd-detect-virt", expected),
        Some(kind) if refuse.contains(kind) => {
            Judgement::new(Judged::Wrong, format!("{kind}: a container, which shares its kernel"), expected)
        }
        Some(kind) => Judgement::new(Judged::Right, kind.clone(), expected),
    }
}

pub(super) fn routes_free(networks: &[String], facts: &MachineFacts) -> Judgement {
    let expected = format!("no route into {}", networks.join(", "));
    let Some(routes) = &facts.routes else { return Judgement::unknown("the routes could not be read", expected) };
    let mut found = Vec::new();
    for route in routes {
        let words: Vec<&str> = route.split_whitespace().collect();
        let Some(own) = words.first().and_then(|to| range(to)) else { continue };
        // What the cluster itself has made is on its own interfaces.
        if words.iter().any(|word| ["cni0", "flannel", "cali", "vxlan", "tunl"].iter().any(|own| word.starts_with(own))) {
            continue;
        }
        found.extend(
            networks
                .iter()
                .filter(|text| range(text).is_some_and(|other| own.0 <= other.1 && other.0 <= own.1))
                .map(|text| format!("{route} ({text})")),
        );
    }
    let observed = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
    Judgement::when(found.is_empty(), observed, expected)
        .remedy("Pods and services use these networks inside every node: what lies there outside can no longer be reached.")
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
