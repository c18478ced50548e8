//! Watching a world that changes: what is asked again, and what is said of it.

use std::sync::{Arc, Mutex};

use super::*;
use crate::engine::checks::run_checks;
use crate::engine::checks::tests::{Recorded, facts, machine_checks, plan, recorded};
use crate::engine::ports::{ProbeAnswer, ProbeQuestion};
use crate::install::facts::{LoginFailure, LoginFailureKind, MachineAnswer, TcpAnswer};
use crate::install::plan::Plan;

/// Which machines are down and which have swap, by the last number of their address; and who was asked for what.
#[derive(Default)]
struct World {
    down: Vec<u8>,
    swap: Vec<u8>,
    skew: f64,
    asked: Vec<(u8, usize)>,
}

fn probe(world: &Arc<Mutex<World>>) -> Recorded {
    let world = Arc::clone(world);
    recorded(move |question| {
        let mut world = world.lock().unwrap();
        let last = |address: &std::net::IpAddr| match address {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        Some(match question {
            ProbeQuestion::Machine { login, wants } => {
                let machine = last(&login.address);
                world.asked.push((machine, wants.commands.len() + wants.modules.len()));
                if world.down.contains(&machine) {
                    let detail = "10.77.0.41:22 does not answer within 5 s".to_owned();
                    ProbeAnswer::Machine(MachineAnswer::Failed(LoginFailure { kind: LoginFailureKind::NotReachable, detail }))
                } else {
                    let mut facts = facts("ubuntu-24.04");
                    facts.clock_skew_seconds = Some(world.skew);
                    world.skew += 0.1;
                    if world.swap.contains(&machine) {
                        facts.swap_active = Some(vec!["/swap.img (2047 MiB)".into()]);
                    }
                    ProbeAnswer::Machine(MachineAnswer::Facts(Box::new(facts)))
                }
            }
            ProbeQuestion::Tcp { address, .. } if world.down.contains(&last(address)) => ProbeAnswer::Tcp(TcpAnswer::Silent(3)),
            _ => ProbeAnswer::Tcp(TcpAnswer::Refused),
        })
    })
}

struct Scene {
    plan: Plan,
    world: Arc<Mutex<World>>,
    probe: Recorded,
    watching: Watching,
}

impl Scene {
    async fn begin(world: World) -> Self {
        let plan = plan(machine_checks(), &["vm1", "vm2"]);
        let world = Arc::new(Mutex::new(world));
        let probe = probe(&world);
        let watching = Watching::new(run_checks(&CheckRequest::preflight(&plan), &probe, None).await);
        Self { plan, world, probe, watching }
    }

    /// One round: what was asked, and what is news.
    async fn round(&mut self) -> (Vec<String>, Vec<String>) {
        let mut request = CheckRequest::preflight(&self.plan);
        let pairs = self.watching.pairs(&request);
        let asked = pairs.iter().map(|(check, target)| format!("{check} {target}")).collect();
        request.pairs = Some(pairs);
        let again = run_checks(&request, &self.probe, None).await;
        let news = self.watching.take(&request, again);
        let news = news.iter().map(|change| format!("{} {} {}", change.now.check, change.now.target, change.now.verdict));
        (asked, news.collect())
    }
}

#[tokio::test]
async fn green_ones_are_not_asked_again_and_only_news_is_said() {
    let mut scene = Scene::begin(World { swap: vec![41], ..World::default() }).await;
    assert!(!scene.watching.is_open());
    scene.world.lock().unwrap().asked.clear();
    // The login is made to ask for the swap, so it is judged, too; nothing else is.
    let (asked, news) = scene.round().await;
    assert_eq!(asked, ["login machine:vm1", "sudo machine:vm1", "swap machine:vm1"]);
    assert_eq!(news, [""; 0]);
    assert_eq!(scene.world.lock().unwrap().asked, [(41, 0)], "one session, and no command of a check that is green");
    scene.world.lock().unwrap().swap.clear();
    assert_eq!(scene.round().await.1, ["swap machine:vm1 pass"]);
    assert!(scene.watching.is_open());
    assert_eq!(scene.round().await.0, [""; 0]);
}

#[tokio::test]
async fn a_machine_that_comes_back_gets_all_of_its_checks() {
    let mut scene = Scene::begin(World { down: vec![42], swap: vec![42], ..World::default() }).await;
    let skipped = scene.watching.findings().iter().filter(|finding| finding.verdict == Verdict::Skipped).count();
    assert_eq!(skipped, machine_checks().len() - 1);
    assert_eq!(scene.round().await.1, [""; 0]);
    scene.world.lock().unwrap().down.clear();
    let (asked, news) = scene.round().await;
    assert_eq!(asked.len(), machine_checks().len());
    assert_eq!(news.len(), machine_checks().len());
    assert!(news.contains(&"swap machine:vm2 fail".to_owned()) && news.contains(&"login machine:vm2 pass".to_owned()), "{news:?}");
}

#[tokio::test]
async fn what_hangs_on_a_machine_that_goes_away_is_green_no_longer() {
    let mut scene = Scene::begin(World { swap: vec![41], ..World::default() }).await;
    scene.world.lock().unwrap().down.push(41);
    let (_, news) = scene.round().await;
    assert_eq!(news, ["login machine:vm1 fail", "sudo machine:vm1 skipped", "swap machine:vm1 skipped"]);
    let (asked, news) = scene.round().await;
    assert_eq!(asked.len(), machine_checks().len());
    assert_eq!(news.len(), machine_checks().len() - 3, "{news:?}");
    // And all of it comes back with the machine.
    scene.world.lock().unwrap().down.clear();
    assert_eq!(scene.round().await.1.len(), machine_checks().len());
    let left: Vec<_> = scene.watching.findings().iter().filter(|finding| finding.blocks()).map(|finding| finding.check.as_str()).collect();
    assert_eq!(left, ["swap"]);
}

#[tokio::test]
async fn measured_values_that_never_stand_still_are_no_news() {
    let mut scene = Scene::begin(World { skew: 100.0, ..World::default() }).await;
    assert_eq!(scene.watching.findings().iter().filter(|finding| finding.verdict == Verdict::Fail).count(), 2);
    assert_eq!(scene.round().await.1, [""; 0]);
    scene.world.lock().unwrap().skew = 0.0;
    assert_eq!(scene.round().await.1, ["time machine:vm1 pass", "time machine:vm2 pass"]);
}

#[tokio::test]
async fn what_waits_for_a_phase_is_not_asked() {
    let mut checks = machine_checks();
    checks[6].provided_by = Some("cluster".parse().unwrap());
    let plan = plan(checks, &["vm1"]);
    let probe = probe(&Arc::new(Mutex::new(World::default())));
    let request = CheckRequest::preflight(&plan);
    let watching = Watching::new(run_checks(&request, &probe, None).await);
    assert_eq!(watching.pairs(&request), BTreeSet::new());
}
