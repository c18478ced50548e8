//! First contact: the host keys that machines present, and recording those the operator accepts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::adapters::known_hosts::{self, KnownHostsError};
use crate::install::facts::{HostKey, HostKeyAnswer};
use crate::install::ids::MachineName;
use crate::install::plan::{Plan, PlanMachine};

use super::checks::{MACHINES_AT_ONCE, ssh_login};
use super::ports::{BoxFuture, Probe, ProbeAnswer, ProbeQuestion};
use super::real_probe::failed_scan;

/// What one machine presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyReport {
    /// The machine.
    pub machine: MachineName,
    /// Its address.
    pub address: Ipv4Addr,
    /// What it presents, against what is recorded.
    pub answer: HostKeyAnswer,
}

/// Fetches the host keys of all machines, in parallel; in the order of the plan. No login.
pub async fn scan(plan: &Plan, probe: &dyn Probe) -> Vec<HostKeyReport> {
    let machines: Vec<PlanMachine> = plan.machines.iter().cloned().chain(jump_hosts(plan)).collect();
    let mut by_address: BTreeMap<Ipv4Addr, &PlanMachine> = BTreeMap::new();
    for machine in &machines {
        by_address.entry(machine.address).or_insert(machine);
    }
    // Boxed one by one, so that the whole can be sent between threads.
    let ask = |(address, machine): (Ipv4Addr, &PlanMachine)| -> BoxFuture<'_, (Ipv4Addr, HostKeyAnswer)> {
        let question = ProbeQuestion::HostKey { login: ssh_login(plan, machine) };
        Box::pin(async move {
            let answer = match probe.ask(question).await {
                ProbeAnswer::HostKey(answer) => answer,
                ProbeAnswer::Failed(reason) => failed_scan(reason),
                _ => failed_scan("another question was answered".to_owned()),
            };
            (address, answer)
        })
    };
    let questions: Vec<_> = by_address.into_iter().map(ask).collect();
    let answers: BTreeMap<Ipv4Addr, HostKeyAnswer> = stream::iter(questions).buffer_unordered(MACHINES_AT_ONCE).collect().await;
    let report = |machine: &PlanMachine| {
        let answer = answers.get(&machine.address)?.clone();
        Some(HostKeyReport { machine: machine.name.clone(), address: machine.address, answer })
    };
    machines.iter().filter_map(report).collect()
}

/// The jump hosts that are no machines of the site, each once. Their keys come first: nothing behind them answers before.
fn jump_hosts(plan: &Plan) -> Vec<PlanMachine> {
    let mut hosts: Vec<PlanMachine> = Vec::new();
    for machine in &plan.machines {
        let Some(jump) = &machine.jump else { continue };
        let known = plan.machines.iter().chain(&hosts).any(|known| known.address == jump.address);
        let name = format!("jump-{}", jump.address.to_string().replace('.', "-"));
        if let (false, Ok(name)) = (known, name.parse()) {
            let host = PlanMachine { name, address: jump.address, roles: Vec::new(), public_address: None, jump: None, ..machine.clone() };
            hosts.push(host);
        }
    }
    hosts
}

/// Records the keys of machines met for the first time, for this program, `ssh` and Ansible. Changed and revoked keys are left alone.
///
/// # Errors
/// When the site's known hosts cannot be read or written.
pub fn accept_new(plan: &Plan, reports: &[HostKeyReport], port: u16) -> Result<Vec<MachineName>, KnownHostsError> {
    let new = reports.iter().filter_map(|report| match &report.answer {
        HostKeyAnswer::Unknown(key) => Some((report, key)),
        _ => None,
    });
    let (mut keys, mut names): (Vec<(String, u16, HostKey)>, Vec<MachineName>) = (Vec::new(), Vec::new());
    for (report, key) in new {
        keys.push((IpAddr::V4(report.address).to_string(), port, key.clone()));
        names.push(report.machine.clone());
    }
    if !keys.is_empty() {
        known_hosts::accept(Path::new(&plan.known_hosts), &keys)?;
    }
    Ok(names)
}
