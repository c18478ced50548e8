//! What has to be provided before anything is installed, from the same data as the checks: machines, ports, records, certificates,
//! ways out, tools and accounts. Of a profile alone, or with the answers of a site as far as they go.

use regex::Regex;
use serde::Serialize;

use super::check::{CheckKind, CheckSpec, Level};
use super::draft::{Draft, DraftMachine};
use super::field::Condition;
use super::interpolate::expand;
use super::profile::{Profile, Role};
use super::reach;

/// The deployment node, as a place that connects.
const NODE: &str = "deployment node";

/// Whoever uses what a role offers, beside those the profile tries.
const ELSEWHERE: &str = "whoever uses it";

/// Everything that is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// The profile.
    pub profile: String,
    /// Its title.
    pub title: String,
    /// Machines: those of the site, or one entry for each role that has a size or ports.
    pub machines: Vec<MachineNeed>,
    /// What must hold on machines.
    pub conditions: Vec<Need>,
    /// Ports that must be open.
    pub ports: Vec<PortNeed>,
    /// DNS records.
    pub dns: Vec<DnsNeed>,
    /// Certificates.
    pub certificates: Vec<CertificateNeed>,
    /// Ways out to the internet.
    pub egress: Vec<EgressNeed>,
    /// The machine that everything is driven from.
    pub deployment_node: NodeNeed,
    /// Accounts and keys.
    pub accounts: Vec<Need>,
}

/// A machine, or a kind of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineNeed {
    /// Its name; the role's where there is no site.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// How many, as `1` or `1 or more`.
    pub count: String,
    /// Processors; 0: not said.
    pub cpu: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Disk, GiB.
    pub disk_gib: u32,
    /// Its private address, where it is known.
    pub address: String,
    /// Whether it needs a public address as well, and which where that is known.
    pub public_address: Option<String>,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What.
    pub what: String,
    /// In what way.
    pub detail: String,
    /// Where: roles, or empty for all machines.
    #[serde(rename = "where")]
    pub place: Vec<String>,
    /// Only under this condition; empty: always.
    pub when: String,
}

/// Ports between two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortNeed {
    /// Who connects.
    pub from: String,
    /// To whom.
    pub to: String,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Ports and ranges.
    pub ports: Vec<String>,
    /// What for.
    pub purpose: String,
    /// Only under this condition; empty: always.
    pub when: String,
}

/// A DNS record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsNeed {
    /// The name.
    pub name: String,
    /// `A` or `CNAME`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it points.
    pub value: String,
    /// Whether the installation fails without it.
    pub required: bool,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateNeed {
    /// What it is for.
    pub purpose: String,
    /// The names it must cover.
    pub names: Vec<String>,
    /// How long it must still hold, days.
    pub days: u32,
    /// Only under this condition; empty: always.
    pub when: String,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EgressNeed {
    /// Who connects.
    pub from: String,
    /// Hosts, 443/tcp.
    pub hosts: Vec<String>,
    /// What for.
    pub purpose: String,
}

/// The deployment node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeNeed {
    /// Processors.
    pub cpu: u32,
    /// Memory, GiB.
    pub ram_gib: u32,
    /// Free disk, GiB.
    pub disk_gib: u32,
    /// Programs, with their versions.
    pub tools: Vec<ToolNeed>,
}

/// A program of the deployment node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolNeed {
    /// Its name.
    pub command: String,
    /// Which versions will do; empty: any.
    pub versions: String,
    /// The phase that installs it where it is missing; none: it must be there.
    pub provided_by: Option<String>,
    /// Only under this condition; empty: always.
    pub when: String,
}

/// What a profile requires, with the answers of a site as far as they go.
#[must_use]
pub fn requirements(profile: &Profile, draft: Option<&Draft>) -> Requirements {
    let empty = Draft { profile: profile.id.to_string(), ..Draft::default() };
    let view = View { profile, draft: draft.unwrap_or(&empty), with_site: draft.is_some() };
    let checks: Vec<&CheckSpec> = profile.checks.iter().filter(|check| !check.on_demand && view.applies(check.when.as_ref())).collect();
    Requirements {
        profile: profile.id.to_string(),
        title: profile.title.clone(),
        machines: view.machines(),
        conditions: view.conditions(&checks),
        ports: view.ports(&checks),
        dns: view.dns(&checks),
        certificates: view.certificates(&checks),
        egress: view.egress(&checks),
        deployment_node: view.node(&checks),
        accounts: view.accounts(&checks),
    }
}

struct View<'a> {
    profile: &'a Profile,
    draft: &'a Draft,
    with_site: bool,
}

impl View<'_> {
    /// Without a site nothing is ruled out; the condition is said.
    fn applies(&self, condition: Option<&Condition>) -> bool {
        !self.with_site || self.draft.holds(self.profile, condition)
    }

    fn when(&self, condition: Option<&Condition>) -> String {
        let Some(condition) = condition.filter(|_| !self.with_site) else { return String::new() };
        let label = self.profile.field(condition.field.as_str()).map_or(condition.field.as_str(), |field| &field.label);
        match &condition.is {
            Some(value) => format!("where “{label}” is {value}"),
            None => format!("where “{label}” is given"),
        }
    }

    /// A text with what is known filled in, and words for the rest.
    fn text(&self, text: &str) -> String {
        self.expand(text, 0)
    }

    fn expand(&self, text: &str, depth: usize) -> String {
        let value = |name: &str| Some(self.value(name, depth));
        expand(text, &value).unwrap_or_else(|_| text.to_owned())
    }

    fn value(&self, name: &str, depth: usize) -> String {
        if let Some(field) = self.profile.field(name) {
            let text = self.draft.text(field);
            if text.is_empty() || depth > 8 {
                return name.to_uppercase();
            }
            return self.expand(&text, depth + 1);
        }
        if let Some((_, text)) = self.profile.derive.iter().find(|(known, _)| known == name) {
            return self.expand(text, depth + 1);
        }
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["role", role, item] => self.role_value(role, item),
            ["machine", machine, "address"] => {
                let found = self.draft.machines.iter().find(|known| known.name == machine).map(|machine| machine.address.clone());
                found.filter(|address| !address.is_empty()).unwrap_or_else(|| format!("address of {machine}"))
            }
            ["home"] => "~".to_owned(),
            ["user"] => "the operator".to_owned(),
            ["site", "dir"] => "the site's folder".to_owned(),
            _ => name.to_owned(),
        }
    }

    fn role_value(&self, role: &str, item: &str) -> String {
        let machines: Vec<&DraftMachine> =
            self.draft.machines.iter().filter(|machine| machine.roles.iter().any(|own| own == role)).collect();
        let first = machines.first();
        let known = match item {
            "first" => first.map(|machine| machine.address.clone()),
            "first_public" => first.map(|machine| machine.public_address.clone().unwrap_or_else(|| machine.address.clone())),
            "first_name" => first.map(|machine| machine.name.clone()),
            "count" => Some(machines.len().to_string()).filter(|_| self.with_site),
            "names" => Some(machines.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>().join(",")),
            _ => Some(machines.iter().map(|machine| machine.address.as_str()).collect::<Vec<_>>().join(",")),
        };
        known.filter(|text| !text.is_empty()).unwrap_or_else(|| match item {
            "first" => format!("private address of {role}"),
            "first_public" => format!("public address of {role}"),
            _ => format!("{item} of {role}"),
        })
    }

    fn roles_of<'b>(&'b self, machine: &'b DraftMachine) -> impl Iterator<Item = &'b Role> {
        self.profile.roles.iter().filter(move |role| machine.roles.iter().any(|own| role.id == *own.as_str()))
    }

    fn machines(&self) -> Vec<MachineNeed> {
        if self.with_site && !self.draft.machines.is_empty() {
            return self.draft.machines.iter().map(|machine| self.machine(machine)).collect();
        }
        let sized = |role: &&Role| role.cpu + role.ram_gib + role.disk_gib > 0 || !role.tcp.is_empty() || !role.udp.is_empty();
        let need = |role: &Role| MachineNeed {
            name: role.id.to_string(),
            purpose: role.title.clone(),
            count: match (role.count.min, role.count.max) {
                (min, Some(max)) if min == max => min.to_string(),
                (min, Some(max)) => format!("{min} to {max}"),
                (min, None) if role.count.default > min => format!("{min} or more, usually {}", role.count.default),
                (min, None) => format!("{min} or more"),
            },
            cpu: role.cpu,
            ram_gib: role.ram_gib,
            disk_gib: role.disk_gib,
            address: String::new(),
            public_address: role.public_address.then(|| "needed".to_owned()),
        };
        self.profile.roles.iter().filter(sized).map(need).collect()
    }

    fn machine(&self, machine: &DraftMachine) -> MachineNeed {
        let sum = |part: &dyn Fn(&Role) -> u32| self.roles_of(machine).map(part).sum::<u32>();
        let titles: Vec<&str> = self.roles_of(machine).map(|role| role.title.as_str()).collect();
        let public = self.roles_of(machine).any(|role| role.public_address);
        MachineNeed {
            name: machine.name.clone(),
            purpose: titles.join("; "),
            count: "1".to_owned(),
            cpu: sum(&|role| role.cpu),
            ram_gib: sum(&|role| role.ram_gib),
            disk_gib: sum(&|role| role.disk_gib),
            address: machine.address.clone(),
            public_address: machine.public_address.clone().or_else(|| public.then(|| "needed".to_owned())),
        }
    }

    fn need(&self, check: &CheckSpec, what: &str, detail: String) -> Need {
        let place = check.roles.iter().map(ToString::to_string).collect();
        Need { what: what.to_owned(), detail, place, when: self.when(check.when.as_ref()) }
    }

    fn conditions(&self, checks: &[&CheckSpec]) -> Vec<Need> {
        let of = |check: &&CheckSpec| {
            let detail = match &check.kind {
                CheckKind::OperatingSystem { accept } | CheckKind::Architecture { accept } => accept.join(", "),
                CheckKind::SwapOff {} => "none, now and after a reboot".to_owned(),
                CheckKind::PortsFree { tcp, udp, udp_fields } => {
                    let list = |ports: &[u16], protocol: &str| ports.iter().map(|port| format!("{port}/{protocol}")).collect::<Vec<_>>();
                    let asked: Vec<String> = udp_fields.iter().map(|field| format!("{}/udp", self.value(field.as_str(), 0))).collect();
                    [list(tcp, "tcp"), list(udp, "udp"), asked].concat().join(", ")
                }
                CheckKind::TimeSync { max_skew_seconds } => format!("synchronised, at most {max_skew_seconds} s off"),
                CheckKind::Python { min } => min.as_ref().map_or_else(|| "python3".to_owned(), |min| format!("python3, {min} or newer")),
                CheckKind::KernelModules { modules } => modules.join(", "),
                CheckKind::Systemd {} | CheckKind::PackageLock {} | CheckKind::RebootPending {} => String::new(),
                CheckKind::RemoteCommand { command, .. } if hosts_in(command).is_empty() => self.text(&check.remedy),
                _ => return None,
            };
            Some(self.need(check, &check.title, detail))
        };
        checks.iter().filter_map(of).collect()
    }

    fn ports(&self, checks: &[&CheckSpec]) -> Vec<PortNeed> {
        let mut needs: Vec<PortNeed> = Vec::new();
        let mut put = |from: &str, to: &str, protocol: &'static str, mut ports: Vec<String>, purpose: &str, when: String| {
            if ports.is_empty() {
                return;
            }
            // Ports for one purpose stand together.
            let same = |known: &&mut PortNeed| {
                (known.from.as_str(), known.to.as_str(), known.protocol, known.purpose.as_str(), &known.when)
                    == (from, to, protocol, purpose, &when)
            };
            match needs.iter_mut().find(same) {
                Some(known) => known.ports.append(&mut ports),
                None => {
                    needs.push(PortNeed { from: from.to_owned(), to: to.to_owned(), protocol, ports, purpose: purpose.to_owned(), when })
                }
            }
        };
        for check in checks {
            let when = || self.when(check.when.as_ref());
            match &check.kind {
                CheckKind::TcpReachable { tcp, .. } => {
                    let to = if check.roles.is_empty() { "all machines".to_owned() } else { join(&check.roles) };
                    put(NODE, &to, "tcp", tcp.iter().map(ToString::to_string).collect(), &check.title, when());
                }
                CheckKind::PortsBetween { from, to, ports } => {
                    let from: Vec<&str> = from.iter().map(|role| if *role == *reach::LOCAL { NODE } else { role.as_str() }).collect();
                    for port in ports {
                        let list = |range: Option<reach::PortRange>| range.iter().map(ToString::to_string).collect::<Vec<_>>();
                        put(&from.join(", "), &join(to), "tcp", list(port.tcp), &port.purpose, when());
                        put(&from.join(", "), &join(to), "udp", list(port.udp), &port.purpose, when());
                    }
                }
                _ => {}
            }
        }
        // What the roles offer beside that: to users, or to more than the profile tries.
        let named = |role: &Role, protocol: &str, port: &str| {
            needs.iter().any(|need| {
                let to_role = need.to == "all machines" || need.to.split(", ").any(|to| role.id == *to);
                to_role && need.protocol == protocol && need.ports.iter().any(|known| in_range(known, port))
            })
        };
        let mut others: Vec<PortNeed> = Vec::new();
        for role in &self.profile.roles {
            for (protocol, ports) in [("tcp", &role.tcp), ("udp", &role.udp)] {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).filter(|port| !named(role, protocol, port)).collect();
                if !ports.is_empty() {
                    let (from, to, purpose) = (ELSEWHERE.to_owned(), role.id.to_string(), role.title.clone());
                    others.push(PortNeed { from, to, protocol, ports, purpose, when: String::new() });
                }
            }
        }
        needs.extend(others);
        needs
    }

    fn dns(&self, checks: &[&CheckSpec]) -> Vec<DnsNeed> {
        let mut needs: Vec<DnsNeed> = Vec::new();
        for check in checks {
            let CheckKind::Dns { records } = &check.kind else { continue };
            for record in records {
                let (kind, value) = match &record.alias_of {
                    // The top of a zone cannot be an alias; which name is one, only its owner knows.
                    Some(name) => ("CNAME", self.text(name)),
                    None => ("A", self.text(&record.address)),
                };
                needs.push(DnsNeed { name: self.text(&record.name), kind, value, required: check.level != Level::Warn });
            }
        }
        needs
    }

    fn certificates(&self, checks: &[&CheckSpec]) -> Vec<CertificateNeed> {
        let mut needs: Vec<CertificateNeed> = Vec::new();
        for check in checks {
            let CheckKind::Certificate { names, days, .. } = &check.kind else { continue };
            let names = names.iter().map(|name| self.text(name)).collect();
            needs.push(CertificateNeed { purpose: check.title.clone(), names, days: *days, when: self.when(check.when.as_ref()) });
        }
        needs
    }

    fn egress(&self, checks: &[&CheckSpec]) -> Vec<EgressNeed> {
        let of = |check: &&CheckSpec| {
            let (from, asked) = match &check.kind {
                CheckKind::Http { url, address: None, .. } => (NODE.to_owned(), hosts_in(&self.text(url))),
                CheckKind::RemoteCommand { command, .. } => (join(&check.roles), hosts_in(command)),
                CheckKind::Egress { urls } => (NODE.to_owned(), urls.iter().flat_map(|url| hosts_in(&self.text(url))).collect()),
                CheckKind::EgressFromMachines { urls } => {
                    (join(&check.roles), urls.iter().flat_map(|url| hosts_in(&self.text(url))).collect())
                }
                _ => return None,
            };
            // What is asked stands for the hosts that the remedy names.
            let mut hosts = asked.clone();
            hosts.extend(named_hosts(&check.remedy).into_iter().filter(|host| !asked.contains(host)));
            (!asked.is_empty()).then(|| EgressNeed { from, hosts, purpose: check.title.clone() })
        };
        checks.iter().filter_map(of).collect()
    }

    fn node(&self, checks: &[&CheckSpec]) -> NodeNeed {
        let mut node = NodeNeed::default();
        for check in checks {
            match &check.kind {
                CheckKind::LocalSize { cpu, ram_gib, disk_gib, .. } => {
                    (node.cpu, node.ram_gib, node.disk_gib) = (*cpu, *ram_gib, *disk_gib)
                }
                CheckKind::Tool { command, min, exact, below, .. } => {
                    let versions = match (exact, min, below) {
                        (Some(exact), ..) => format!("exactly {exact}"),
                        (None, Some(min), Some(below)) => format!("{min} or newer, below {below}"),
                        (None, Some(min), None) => format!("{min} or newer"),
                        (None, None, Some(below)) => format!("below {below}"),
                        (None, None, None) => String::new(),
                    };
                    let provided_by = check.provided_by.as_ref().map(ToString::to_string);
                    let tool = ToolNeed { command: command.clone(), versions, provided_by, when: self.when(check.when.as_ref()) };
                    // That it is there is part of which version it is.
                    match node.tools.iter_mut().find(|known| known.command == *command) {
                        Some(known) if known.versions.is_empty() => *known = tool,
                        Some(_) if tool.versions.is_empty() => {}
                        _ => node.tools.push(tool),
                    }
                }
                _ => {}
            }
        }
        node
    }

    fn accounts(&self, checks: &[&CheckSpec]) -> Vec<Need> {
        let of = |check: &&CheckSpec| {
            let detail = match &check.kind {
                CheckKind::Login {} => format!("user {}, with the SSH key below", self.value("ssh_user", 0)),
                CheckKind::Sudo {} => "for that user, on every machine".to_owned(),
                CheckKind::SshKey { field } => format!("{}, without passphrase, mode 0600", self.value(field.as_str(), 0)),
                CheckKind::LocalUser { .. } => "not root, owner of the home folder".to_owned(),
                CheckKind::Command { argv, .. } if argv.first().is_some_and(|program| program == "sudo") => {
                    "on the deployment node, where tools are to be installed".to_owned()
                }
                _ => return None,
            };
            Some(self.need(check, &check.title, detail))
        };
        checks.iter().filter_map(of).collect()
    }
}

/// Whether a port lies in a range as it is written, `2379-2380`.
fn in_range(range: &str, port: &str) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok();
    matches!((number(first), number(last), number(port)), (Some(first), Some(last), Some(port)) if (first..=last).contains(&port))
}

fn join<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The hosts of the web addresses in a text.
fn hosts_in(text: &str) -> Vec<String> {
    let Ok(pattern) = Regex::new(r"https?://([A-Za-z0-9.-]+\.[A-Za-z]{2,})") else { return Vec::new() };
    let mut hosts: Vec<String> =
        pattern.captures_iter(text).filter_map(|found| found.get(1)).map(|host| host.as_str().to_owned()).collect();
    hosts.dedup();
    hosts
}

/// The host names that a sentence lists.
fn named_hosts(text: &str) -> Vec<String> {
    let Ok(pattern) = Regex::new(r"\b((?:[a-z0-9-]+\.)+(?:com|io|org|net|dev|cloud))\b") else { return Vec::new() };
    pattern.find_iter(text).map(|host| host.as_str().to_owned()).collect()
}
