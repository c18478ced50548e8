//! Runs checks: groups their questions, asks them side by side, judges the answers, and gives findings as they come.

mod local;
mod paths;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::install::check::{CheckKind, CheckSpec, DnsRecord, Finding, Ignores, Target, Verdict};
use crate::install::facts::{MachineAnswer, TcpAnswer};
use crate::install::ids::{CheckId, MachineName, PhaseId};
use crate::install::inquiry::{MachineWants, SshLogin};
use crate::install::judge;
use crate::install::plan::{Plan, PlanMachine};

use super::ports::{BoxFuture, Probe, ProbeAnswer, ProbeQuestion};

/// Machines asked at the same time; fewer log in at the same time.
pub const MACHINES_AT_ONCE: usize = 128;

/// Names asked at the same time.
const NAMES_AT_ONCE: usize = 32;

/// Programs run at the same time on the deployment node.
const PROGRAMS_AT_ONCE: usize = 4;

/// Ports of one machine tried at the same time.
const PORTS_AT_ONCE: usize = 32;

/// How long what is merely read on the deployment node has it for itself: a file that hangs must not hold up the machines.
const HEAD_START: Duration = Duration::from_millis(250);

/// Seconds a command gets that names no limit.
const COMMAND_SECONDS: u32 = 30;

/// Which checks to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All but those that only phases use.
    Preflight,
    /// Those that guard this phase, just before it.
    Guards(PhaseId),
    /// The same before the first phase of a run: also those that guard the whole run.
    WholeAndGuards(PhaseId),
    /// Exactly these, for `verify`, `unless`, `wait` and gates: judged whatever they guard.
    Named(Vec<CheckId>),
}

/// What to run, and under which circumstances.
#[derive(Debug, Clone)]
pub struct CheckRequest<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Which checks.
    pub scope: Scope,
    /// Only these of them; none: all.
    pub only: Option<BTreeSet<CheckId>>,
    /// Only these of their targets; none: all.
    pub pairs: Option<BTreeSet<(CheckId, Target)>>,
    /// Phases that are done.
    pub done: BTreeSet<PhaseId>,
    /// Phases that have begun: ports that are taken may be taken by what they started.
    pub begun: BTreeSet<PhaseId>,
    /// Findings the operator lives with.
    pub ignores: Ignores,
    /// When everything that has no answer becomes unknown.
    pub deadline: Duration,
}

impl<'a> CheckRequest<'a> {
    /// All checks of the preflight, within two and a half minutes: a command may take two.
    #[must_use]
    pub fn preflight(plan: &'a Plan) -> Self {
        let (scope, done, ignores) = (Scope::Preflight, BTreeSet::new(), Ignores::new());
        Self { plan, scope, only: None, pairs: None, done, begun: BTreeSet::new(), ignores, deadline: Duration::from_secs(150) }
    }

    /// The checks of this request, in the order of the plan.
    #[must_use]
    pub fn checks(&self) -> Vec<&'a CheckSpec> {
        let in_scope = |check: &CheckSpec| match &self.scope {
            Scope::Preflight => !check.on_demand,
            Scope::Guards(phase) => !check.on_demand && check.guards.contains(phase),
            Scope::WholeAndGuards(phase) => !check.on_demand && (check.guards.is_empty() || check.guards.contains(phase)),
            Scope::Named(ids) => ids.contains(&check.id),
        };
        let wanted = |check: &CheckSpec| self.only.as_ref().is_none_or(|only| only.contains(&check.id));
        let asked = |check: &CheckSpec| self.pairs.as_ref().is_none_or(|pairs| pairs.iter().any(|(id, _)| *id == check.id));
        self.plan.checks.iter().filter(|check| in_scope(check) && wanted(check) && asked(check)).collect()
    }

    /// Where a check of this request gives a finding, in the order of the plan.
    #[must_use]
    pub fn targets(&self, check: &CheckSpec) -> Vec<Target> {
        let mut targets = judge::targets(check, self.plan);
        if let Some(pairs) = &self.pairs {
            targets.retain(|target| pairs.contains(&(check.id.clone(), target.clone())));
        }
        targets
    }

    /// Why a check is not judged now; none where it is.
    pub(super) fn reason_to_skip(&self, check: &CheckSpec) -> Option<String> {
        if matches!(self.scope, Scope::Named(_)) {
            return None;
        }
        // Or a retry would be stopped by what the first attempt has started.
        if matches!(check.kind, CheckKind::PortsFree { .. } | CheckKind::NoLeftovers { .. })
            && let Some(phase) = check.guards.iter().find(|phase| self.begun.contains(*phase))
        {
            return Some(format!("phase {phase} has begun: what is found there may be its own"));
        }
        // A phase that is not part of this plan has nothing to do.
        let absent = |phase: &PhaseId| self.plan.phase(phase.as_str()).is_none();
        if !check.guards.is_empty() && check.guards.iter().all(absent) {
            let names: Vec<&str> = check.guards.iter().map(PhaseId::as_str).collect();
            return Some(format!("it is for {}, which this site's answers leave out", names.join(", ")));
        }
        judge::applicable(check, &|phase| self.done.contains(phase) || absent(phase)).err()
    }
}

/// A piece of work that ends in findings.
type Job<'a> = BoxFuture<'a, Vec<Finding>>;

/// Runs checks. Each finding is sent as soon as it is known; all are returned in the order of the plan, every target of every check
/// exactly once. Dropping the future stops the work.
pub async fn run_checks(request: &CheckRequest<'_>, probe: &dyn Probe, sender: Option<&UnboundedSender<Finding>>) -> Vec<Finding> {
    let plan = request.plan;
    let mut expected: Vec<(&CheckSpec, Target)> = Vec::new();
    let mut findings: HashMap<(CheckId, Target), Finding> = HashMap::new();
    let mut note = |mut finding: Finding| {
        let target = (finding.check.clone(), finding.target.clone());
        if request.pairs.as_ref().is_some_and(|pairs| !pairs.contains(&target)) {
            return;
        }
        judge::apply_ignores(&mut finding, &request.ignores);
        if let Some(sender) = sender {
            // Nobody listening any more is no reason to stop: the caller still gets the list.
            let _ = sender.send(finding.clone());
        }
        findings.insert(target, finding);
    };
    let mut active: Vec<&CheckSpec> = Vec::new();
    for check in request.checks() {
        let targets = request.targets(check);
        expected.extend(targets.iter().map(|target| (check, target.clone())));
        match request.reason_to_skip(check) {
            Some(reason) => targets.into_iter().for_each(|target| note(judge::skipped(check, target, &reason))),
            None => active.push(check),
        }
    }
    let waiting_for = |wait: local::Wait| active.iter().copied().filter(|check| local::waits_for(&check.kind) == wait).collect::<Vec<_>>();
    let end = Instant::now() + request.deadline;
    // What runs no program is there at once: nothing else is even prepared before it is known, or the head start is over.
    let read_here = local::jobs(plan, &waiting_for(local::Wait::Nothing), probe);
    let mut jobs = stream::select_all([side_by_side(read_here, active.len().max(1))]);
    let head_start = end.min(Instant::now() + HEAD_START);
    while let Ok(Some(found)) = tokio::time::timeout_at(head_start, jobs.next()).await {
        found.into_iter().for_each(&mut note);
    }
    // Whoever passes findings on has its turn before the rest takes the processor.
    tokio::task::yield_now().await;
    jobs.extend([
        // The listeners start first: they have the longest conversation.
        side_by_side(paths::jobs(request, &active, probe), 1),
        side_by_side(machine_jobs(request, &active, probe), MACHINES_AT_ONCE),
        side_by_side(name_jobs(request, &active, probe), NAMES_AT_ONCE),
        side_by_side(local::jobs(plan, &waiting_for(local::Wait::Program), probe), PROGRAMS_AT_ONCE),
        side_by_side(local::jobs(plan, &waiting_for(local::Wait::Outside), probe), PROGRAMS_AT_ONCE),
    ]);
    while let Ok(Some(found)) = tokio::time::timeout_at(end, jobs.next()).await {
        found.into_iter().for_each(&mut note);
    }
    drop(jobs);
    let late = format!("no answer within {} s", request.deadline.as_secs());
    let mut ordered = Vec::with_capacity(expected.len());
    for (check, target) in expected {
        ordered.push(findings.remove(&(check.id.clone(), target.clone())).unwrap_or_else(|| {
            let mut finding = judge::unknown(check, target, &late);
            judge::apply_ignores(&mut finding, &request.ignores);
            if let Some(sender) = sender {
                let _ = sender.send(finding.clone());
            }
            finding
        }));
    }
    ordered
}

fn side_by_side(jobs: Vec<Job<'_>>, at_once: usize) -> BoxStream<'_, Vec<Finding>> {
    stream::iter(jobs).buffer_unordered(at_once).boxed()
}

/// The way to a machine.
pub(super) fn ssh_login(plan: &Plan, machine: &PlanMachine) -> SshLogin {
    SshLogin {
        name: machine.name.clone(),
        address: machine.address.into(),
        user: machine.user.clone(),
        key: machine.key.clone(),
        known_hosts: plan.known_hosts.clone(),
        jump: machine.jump.clone(),
    }
}

// --- machines: one session for all checks of a machine ---

fn machine_jobs<'a>(request: &CheckRequest<'a>, active: &[&'a CheckSpec], probe: &'a dyn Probe) -> Vec<Job<'a>> {
    let plan = request.plan;
    let together: Vec<&'a CheckSpec> = active.iter().copied().filter(|check| check.kind.is_across_machines()).collect();
    let mut asked: Vec<Asking<'a>> = Vec::new();
    for machine in &plan.machines {
        let target = Target::Machine(machine.name.clone());
        let alone = active.iter().copied().filter(|check| check.kind.is_per_machine());
        let checks: Vec<&'a CheckSpec> = alone.filter(|check| request.targets(check).contains(&target)).collect();
        let together: Vec<&'a CheckSpec> = together.iter().copied().filter(|check| judge::looks_at(check, machine)).collect();
        if !checks.is_empty() || !together.is_empty() {
            asked.push(Asking { plan, machine, checks, together });
        }
    }
    if asked.is_empty() {
        // Nobody to ask, and still a finding for each.
        let none: Job<'a> =
            Box::pin(async move { together.iter().flat_map(|check| judge::across(check, plan, &judge::Told::new())).collect() });
        return vec![none];
    }
    let here = active.iter().any(|check| matches!(check.kind, CheckKind::Dns { .. }));
    let gathering = Arc::new(Gathering { told: Mutex::default(), open: AtomicUsize::new(asked.len()) });
    let job = |asking: Asking<'a>| -> Job<'a> {
        let (gathering, together) = (Arc::clone(&gathering), together.clone());
        Box::pin(async move {
            let (name, together_here) = (asking.machine.name.clone(), !asking.together.is_empty());
            let (mut findings, answer) = machine_job(asking, probe).await;
            let mut across = gathering.add(plan, &together, name, answer.filter(|_| together_here));
            seen_from_here(&together, here, &mut across, probe).await;
            findings.extend(across);
            findings
        })
    };
    asked.into_iter().map(job).collect()
}

/// One machine, the checks of it alone, and those that compare it with others.
struct Asking<'a> {
    plan: &'a Plan,
    machine: &'a PlanMachine,
    checks: Vec<&'a CheckSpec>,
    together: Vec<&'a CheckSpec>,
}

/// What the machines have told so far; whoever is last judges what they say together.
struct Gathering {
    told: Mutex<judge::Told>,
    open: AtomicUsize,
}

impl Gathering {
    fn add(&self, plan: &Plan, together: &[&CheckSpec], name: MachineName, answer: Option<MachineAnswer>) -> Vec<Finding> {
        if let Some(answer) = answer {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name, answer);
        }
        if self.open.fetch_sub(1, Ordering::SeqCst) > 1 {
            return Vec::new();
        }
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        let mut findings: Vec<Finding> = together.iter().flat_map(|check| judge::across(check, plan, &told)).collect();
        judge::one_way_out(together, &mut findings);
        findings
    }
}

/// A name that is as wrong on the deployment node as on machines has a finding there, where that is asked too (`here`).
async fn seen_from_here(together: &[&CheckSpec], here: bool, findings: &mut [Finding], probe: &dyn Probe) {
    let wrong = findings.iter_mut().filter(|finding| here && matches!(finding.verdict, Verdict::Fail | Verdict::Warn));
    // Side by side: a server that is silent takes its time for every name.
    let asked = wrong.map(|finding| async move {
        let Some(check) = together.iter().find(|check| check.id == finding.check) else { return };
        let CheckKind::DnsFromMachines { records } = &check.kind else { return };
        let Some(record) = records.iter().find(|record| finding.target == Target::Name(record.name.clone())) else { return };
        let ProbeAnswer::Dns(answer) = probe.ask(ProbeQuestion::Dns { name: record.name.clone(), expected: None }).await else { return };
        if judge::dns(check, record, &answer).verdict != Verdict::Pass {
            *finding = judge::skipped(check, finding.target.clone(), "the deployment node does not see it right either: see that finding");
        }
    });
    futures_util::future::join_all(asked).await;
}

async fn machine_job(asking: Asking<'_>, probe: &dyn Probe) -> (Vec<Finding>, Option<MachineAnswer>) {
    let Asking { plan, machine, checks, together } = asking;
    let asked = || checks.iter().chain(&together).copied();
    let wants = MachineWants::of(asked());
    let ports: BTreeSet<u16> = asked()
        .flat_map(|check| match &check.kind {
            CheckKind::TcpReachable { tcp, .. } => tcp.as_slice(),
            _ => &[],
        })
        .copied()
        .collect();
    let with_session = !together.is_empty() || checks.iter().any(|check| judge::needs_login(&check.kind));
    let session = async {
        if !with_session {
            return Ok(None);
        }
        match probe.ask(ProbeQuestion::Machine { login: ssh_login(plan, machine), wants }).await {
            ProbeAnswer::Machine(answer) => Ok(Some(answer)),
            other => Err(not_answered(other)),
        }
    };
    let tried = stream::iter(ports).map(|port| async move {
        let question = ProbeQuestion::Tcp { address: machine.address.into(), port, banner: port == 22 && !with_session };
        match probe.ask(question).await {
            ProbeAnswer::Tcp(answer) => (port, answer),
            other => (port, TcpAnswer::Failed(not_answered(other))),
        }
    });
    let tried = tried.buffer_unordered(PORTS_AT_ONCE).collect::<BTreeMap<u16, TcpAnswer>>();
    let (session, tcp) = tokio::join!(session, tried);
    match session {
        Ok(answer) => (judge::machine(&checks, plan, machine, judge::Seen { answer: answer.as_ref(), tcp: &tcp }), answer),
        Err(reason) => (checks.iter().map(|check| judge::unknown(check, Target::Machine(machine.name.clone()), &reason)).collect(), None),
    }
}

fn not_answered(answer: ProbeAnswer) -> String {
    match answer {
        ProbeAnswer::Failed(reason) => reason,
        _ => "another question was answered".to_owned(),
    }
}

// --- names: each asked once ---

fn name_jobs<'a>(request: &CheckRequest<'a>, active: &[&'a CheckSpec], probe: &'a dyn Probe) -> Vec<Job<'a>> {
    let mut by_name: BTreeMap<&'a str, Vec<(&'a CheckSpec, &'a DnsRecord)>> = BTreeMap::new();
    for check in active {
        let CheckKind::Dns { records } = &check.kind else { continue };
        let targets = request.targets(check);
        for record in records.iter().filter(|record| targets.contains(&Target::Name(record.name.clone()))) {
            let wanting = by_name.entry(record.name.as_str()).or_default();
            if !wanting.iter().any(|(known, _)| known.id == check.id) {
                wanting.push((check, record));
            }
        }
    }
    if by_name.is_empty() {
        return Vec::new();
    }
    // One job for all names: only together do they show that the resolver is down, which is one cause and gives one finding.
    let asked: Vec<BoxFuture<'a, Asked<'a>>> = by_name.into_iter().map(|(name, wanting)| ask_name(name, wanting, probe)).collect();
    vec![Box::pin(async move { judge_names(stream::iter(asked).buffer_unordered(NAMES_AT_ONCE).collect().await) })]
}

/// The records that a name must satisfy, and what DNS said about it.
type Asked<'a> = (Vec<(&'a CheckSpec, &'a DnsRecord)>, ProbeAnswer);

fn ask_name<'a>(name: &'a str, wanting: Vec<(&'a CheckSpec, &'a DnsRecord)>, probe: &'a dyn Probe) -> BoxFuture<'a, Asked<'a>> {
    Box::pin(async move {
        let expected = wanting.first().and_then(|(_, record)| record.address.parse().ok());
        (wanting, probe.ask(ProbeQuestion::Dns { name: name.to_owned(), expected }).await)
    })
}

fn judge_names(answers: Vec<Asked<'_>>) -> Vec<Finding> {
    let outage = judge::dns_outage(answers.iter().map(|(_, answer)| match answer {
        ProbeAnswer::Dns(answer) => Some(answer),
        _ => None,
    }));
    let mut findings = Vec::new();
    for (wanting, answer) in &answers {
        findings.extend(wanting.iter().map(|(check, record)| match answer {
            ProbeAnswer::Dns(answer) => (*check, judge::dns(check, record, answer)),
            other => (*check, judge::unknown(check, Target::Name(record.name.clone()), &not_answered(other.clone()))),
        }));
    }
    // The gravest of them carries the cause; ties go to the first name, so that it is the same one every time.
    findings.sort_by(|(_, one), (_, other)| other.level.cmp(&one.level).then_with(|| one.target.cmp(&other.target)));
    if let Some(outage) = outage {
        for (check, finding) in findings.iter_mut().skip(1) {
            *finding = judge::skipped(check, finding.target.clone(), &outage);
        }
    } else {
        let said = |name: &str| {
            answers.iter().find_map(|(wanting, answer)| match answer {
                ProbeAnswer::Dns(answer) if wanting.iter().any(|(_, record)| record.name == name) => Some(answer.clone()),
                _ => None,
            })
        };
        judge::dns_causes(&mut findings, &said);
    }
    findings.into_iter().map(|(_, finding)| finding).collect()
}

#[cfg(test)]
pub(crate) mod tests;
