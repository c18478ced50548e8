//! What each check of the shipped preflight guards, and what provides the thing: no guard is lost unnoticed.

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::check::{CheckKind, Level};
use mosip_setup::install::profile::Profile;

use crate::profile_guards_v3::{NOT_WITHOUT_DNS, ONPREM, WITHOUT_DNS};

/// A check, its level, the phases it guards (none: the run as a whole), the phase that provides the thing.
pub type Guard = (&'static str, Level, &'static [&'static str], Option<&'static str>);

#[rustfmt::skip]
const GUARDS: &[Guard] = &[
    ("local.size", Level::Fail, &[], None),
    ("local.user", Level::Strict, &[], None),
    ("local.tool.git", Level::Strict, &["tools"], None),
    ("local.tool.ssh", Level::Strict, &[], None),
    ("local.tool.openssl", Level::Fail, &["certificates"], None),
    ("local.tool.curl", Level::Fail, &["tools"], None),
    ("local.sudo", Level::Fail, &["tools"], None),
    ("local.packages", Level::Fail, &["tools"], None),
    ("local.package-lock", Level::Fail, &["tools"], None),
    ("local.tool.ansible", Level::Fail, &["update-nodes", "wireguard", "obs-cluster", "cluster", "nginx", "istio"], Some("tools")),
    ("local.tool.ansible-collections", Level::Warn, &["update-nodes"], Some("tools")),
    ("local.tool.terraform", Level::Fail, &["obs-terraform", "mosip-infra", "mosip-services"], Some("tools")),
    ("local.tool.kubectl", Level::Warn, &["obs-cluster", "cluster"], Some("tools")),
    ("local.tool.kubectl-present", Level::Fail, &["obs-cluster", "cluster"], Some("tools")),
    ("local.tool.helm", Level::Fail, &["obs-terraform", "mosip-infra", "mosip-services"], Some("tools")),
    ("local.tool.istioctl", Level::Strict, &["istio"], Some("tools")),
    ("local.tool.jq", Level::Fail, &["istio", "mosip-infra"], Some("tools")),
    ("local.tool.certbot", Level::Fail, &["certificates"], Some("tools")),
    ("local.ssh-key", Level::Strict, &[], None),
    ("local.nfs-key", Level::Warn, &[], None),
    ("local.layout", Level::Fail, &["prepare", "update-nodes", "wireguard", "obs-cluster", "cluster"], Some("tools")),
    ("local.networks", Level::Strict, &[], None),
    ("local.path", Level::Fail, &["tools", "prepare"], None),
    ("local.hosts-file", Level::Fail, &["update-nodes"], None),
    ("local.home", Level::Warn, &["obs-terraform", "mosip-infra"], None),
    ("local.other-installation", Level::Fail, &["obs-terraform", "mosip-infra", "mosip-services"], Some("tools")),
    ("local.line-ends", Level::Fail, &["prepare", "update-nodes"], Some("tools")),
    ("local.scripts", Level::Fail, &["mosip-infra"], Some("tools")),
    ("local.placeholders", Level::Fail, &["update-nodes", "wireguard", "obs-cluster", "cluster"], Some("prepare")),
    ("local.rancher-kubernetes", Level::Fail, &["obs-cluster", "cluster", "obs-terraform"], None),
    ("local.etcd-members", Level::Warn, &["cluster"], None),
    ("local.pods-limit", Level::Warn, &["cluster"], None),
    ("local.helm-time", Level::Fail, &["mosip-services"], None),
    ("local.helm-repository.mosip", Level::Fail, &["mosip-services"], Some("tools")),
    ("local.helm-repository.bitnami", Level::Fail, &["mosip-services"], Some("tools")),
    ("certificate.nginx", Level::Fail, &["certificates", "nginx"], None),
    ("certificate.nginx-observation", Level::Fail, &["certificates", "obs-cluster"], None),
    ("certificate.issued.nginx", Level::Fail, &["nginx"], Some("certificates")),
    ("certificate.issued.nginx-observation", Level::Fail, &["obs-cluster"], Some("certificates")),
    ("dns.rancher", Level::Fail, &["obs-terraform", "rancher-import"], None),
    ("dns.roots", Level::Fail, &["mosip-infra", "mosip-services"], None),
    ("dns.public", Level::Fail, &["mosip-services"], None),
    ("dns.internal", Level::Fail, &["mosip-services"], None),
    ("dns.optional", Level::Warn, &["mosip-services"], None),
    ("dns.machines", Level::Fail, &["rancher-import", "mosip-infra", "mosip-services"], None),
    ("egress.tools", Level::Warn, &["tools"], None),
    ("egress.charts", Level::Fail, &["obs-terraform", "mosip-infra", "mosip-services"], None),
    ("egress.terraform", Level::Fail, &["obs-terraform", "mosip-infra", "mosip-services"], None),
    ("egress.certificates", Level::Fail, &["certificates"], None),
    ("egress.packages", Level::Fail, &["update-nodes", "wireguard"], None),
    ("egress.rke2", Level::Fail, &["obs-cluster", "cluster"], None),
    ("egress.images", Level::Fail, &["obs-cluster", "cluster", "obs-terraform", "mosip-infra", "mosip-services"], None),
    ("egress.bastion", Level::Fail, &["wireguard"], None),
    ("egress.data", Level::Fail, &["mosip-services"], None),
    ("egress.clamav", Level::Warn, &["mosip-services"], None),
    ("images.docker-hub", Level::Warn, &["obs-terraform", "mosip-infra", "mosip-services"], None),
    ("charts.mosip", Level::Fail, &["mosip-services"], None),
    ("charts.bitnami", Level::Fail, &["mosip-services"], None),
    ("charts.kafka", Level::Fail, &["mosip-services"], None),
    ("charts.kafka-ui", Level::Fail, &["mosip-services"], None),
    ("charts.clamav", Level::Fail, &["mosip-services"], None),
    ("charts.longhorn", Level::Fail, &["mosip-infra"], None),
    ("charts.monitoring", Level::Fail, &["mosip-infra"], None),
    ("charts.rancher", Level::Fail, &["obs-terraform"], None),
    ("charts.ingress-nginx", Level::Fail, &["obs-terraform"], None),
    ("charts.longhorn-observation", Level::Fail, &["obs-terraform"], None),
    ("git.configuration", Level::Fail, &["mosip-services"], None),
    ("git.master-data", Level::Fail, &["mosip-services"], None),
    ("machine.ssh-port", Level::Fail, &[], None),
    ("machine.login", Level::Fail, &[], None),
    ("machine.sudo", Level::Fail, &[], None),
    ("machine.os", Level::Fail, &[], None),
    ("machine.architecture", Level::Fail, &[], None),
    ("machine.size", Level::Fail, &[], None),
    ("machine.swap", Level::Fail, &["obs-cluster", "cluster"], None),
    ("machine.time", Level::Fail, &["obs-cluster", "cluster", "nginx"], None),
    ("machine.python", Level::Fail, &["update-nodes", "wireguard"], None),
    ("machine.systemd", Level::Fail, &["wireguard", "obs-cluster", "cluster", "nginx"], None),
    ("machine.modules.cluster", Level::Fail, &["obs-cluster", "cluster"], None),
    ("machine.modules.bastion", Level::Fail, &["wireguard"], None),
    ("machine.package-lock", Level::Fail, &["update-nodes", "wireguard", "obs-cluster", "nginx"], None),
    ("machine.reboot", Level::Warn, &["obs-cluster", "cluster"], None),
    ("machine.firewall", Level::Fail, &["obs-cluster", "cluster", "nginx"], None),
    ("machine.no-other-cluster", Level::Fail, &["cluster"], None),
    ("machine.no-other-cluster.observation", Level::Fail, &["obs-cluster"], None),
    ("machine.docker", Level::Fail, &["wireguard"], None),
    ("machine.hosts-file", Level::Fail, &["obs-cluster", "cluster", "nginx"], None),
    ("machine.resolver", Level::Fail, &["obs-cluster", "cluster"], None),
    ("machine.uplink", Level::Warn, &["obs-cluster", "cluster", "nginx"], None),
    ("machine.virtualization", Level::Fail, &["update-nodes", "wireguard", "obs-cluster", "cluster"], None),
    ("machine.routes", Level::Fail, &["obs-cluster", "cluster"], None),
    ("machine.unique", Level::Fail, &["obs-cluster", "cluster"], None),
    ("machine.size.nginx-observation", Level::Fail, &[], None),
    ("machine.free-disk", Level::Fail, &["cluster"], None),
    ("machine.free-disk.observation", Level::Fail, &["obs-cluster"], None),
    ("machine.distance", Level::Warn, &["cluster"], None),
    ("machine.docker-sdk", Level::Fail, &["wireguard"], None),
    ("machine.writable", Level::Fail, &["update-nodes", "wireguard", "obs-cluster", "cluster", "nginx"], None),
    ("machine.total-size", Level::Fail, &["cluster"], None),
    ("machine.multipath", Level::Warn, &["obs-terraform", "mosip-infra"], None),
    ("machine.modules.longhorn", Level::Fail, &["obs-terraform", "mosip-infra"], None),
    ("machine.iscsi", Level::Fail, &["obs-terraform", "mosip-infra"], Some("update-nodes")),
    ("machine.inotify", Level::Warn, &["obs-cluster", "cluster", "mosip-services"], None),
    ("machine.mounts", Level::Fail, &["update-nodes", "wireguard"], None),
    ("machine.nginx-module", Level::Warn, &["update-nodes"], None),
    ("machine.network-cards", Level::Warn, &["nginx"], None),
    ("ports.free.cluster", Level::Fail, &["cluster"], None),
    ("ports.free.observation", Level::Fail, &["obs-cluster"], None),
    ("ports.free.nginx", Level::Fail, &["nginx"], None),
    ("ports.free.nginx-observation", Level::Fail, &["obs-cluster"], None),
    ("ports.free.bastion", Level::Fail, &["wireguard"], None),
    ("ports.reach.cluster", Level::Fail, &["cluster"], None),
    ("ports.reach.observation", Level::Fail, &["obs-cluster"], None),
    ("ports.reach.nginx", Level::Fail, &["obs-cluster", "nginx"], None),
    ("ports.between.cluster", Level::Fail, &["cluster"], None),
    ("ports.between.servers", Level::Fail, &["cluster"], None),
    ("ports.between.etcd", Level::Fail, &["cluster"], None),
    ("ports.between.nginx", Level::Fail, &["nginx"], None),
    ("ports.between.nginx-observation", Level::Fail, &["obs-cluster"], None),
    ("ports.between.gateways", Level::Fail, &["rancher-import", "mosip-services"], None),
    ("ports.between.bastion", Level::Warn, &["wireguard"], None),
    ("ports.between.nfs", Level::Warn, &[], None),
    ("path.mtu", Level::Warn, &["cluster"], None),
    ("nfs.port", Level::Warn, &[], None),
    ("nfs.export", Level::Warn, &[], None),
    ("nfs.writable", Level::Warn, &[], None),
    ("nfs.mount", Level::Warn, &["mosip-services"], Some("cluster")),
    ("gate.kubeconfig.observation", Level::Fail, &["obs-terraform"], Some("obs-cluster")),
    ("gate.kubeconfig.cluster", Level::Fail, &["istio", "mosip-infra", "mosip-services"], Some("cluster")),
    ("gate.releases.observation", Level::Fail, &["obs-terraform"], Some("obs-cluster")),
    ("gate.releases.cluster", Level::Fail, &["mosip-infra", "mosip-services"], Some("cluster")),
    ("gate.storage-class", Level::Fail, &["mosip-services"], Some("mosip-infra")),
    ("gate.old-volumes", Level::Fail, &["mosip-services"], Some("mosip-infra")),
    ("gate.injection", Level::Fail, &["mosip-services"], Some("istio")),
    ("gate.volume", Level::Fail, &["mosip-services"], Some("mosip-infra")),
    ("gate.pod-dns", Level::Fail, &["mosip-services"], Some("istio")),
];

/// Each shipped profile and what its checks guard.
fn tables() -> Vec<(&'static str, Vec<Guard>)> {
    let replaced = |id: &str| NOT_WITHOUT_DNS.contains(&id) || WITHOUT_DNS.iter().any(|(check, ..)| *check == id);
    let without_dns = ONPREM.iter().filter(|(id, ..)| !replaced(id)).chain(WITHOUT_DNS).copied().collect();
    vec![("turing-rke2", GUARDS.to_vec()), ("v3-onprem", ONPREM.to_vec()), ("v3-onprem-nodns", without_dns)]
}

fn holds(profile: &Profile, (check, level, guards, provider): &Guard) -> bool {
    profile.check(check).is_some_and(|check| {
        !check.on_demand
            && check.level >= *level
            && check.guards.len() == guards.len()
            && guards.iter().all(|phase| check.guards.iter().any(|guard| guard == phase))
            && check.provided_by.as_ref().map(|phase| phase.as_str()) == *provider
            && !check.remedy.is_empty()
    })
}

#[test]
fn every_check_of_the_preflight_guards_what_it_should() {
    for (name, guards) in tables() {
        let profile = load(name).unwrap();
        let broken: Vec<&str> = guards.iter().filter(|guard| !holds(&profile, guard)).map(|(check, ..)| *check).collect();
        assert_eq!(broken, [""; 0], "{name}");
        let unlisted: Vec<&str> = profile
            .checks
            .iter()
            .filter(|check| !check.on_demand)
            .map(|check| check.id.as_str())
            .filter(|id| !guards.iter().any(|(check, ..)| check == id))
            .collect();
        assert_eq!(unlisted, [""; 0], "{name}: say here what they guard");
    }
}

/// Each of these changes is noticed, for each check: it is gone, guards nothing, guards less, matters less, is judged too early.
#[test]
fn a_guard_that_is_lost_is_noticed() {
    for (name, table) in tables() {
        let shipped = load(name).unwrap();
        table.iter().for_each(|guard| each_change_is_noticed(&shipped, guard));
    }
}

fn each_change_is_noticed(shipped: &Profile, guard: &Guard) {
    let (id, level, guards, provider) = guard;
    let noticed = |change: &dyn Fn(&mut Profile, usize)| {
        let mut profile = shipped.clone();
        let at = profile.checks.iter().position(|check| check.id == *id).unwrap();
        change(&mut profile, at);
        assert!(!holds(&profile, guard), "{id}");
    };
    noticed(&|profile, at| drop(profile.checks.remove(at)));
    noticed(&|profile, at| profile.checks[at].on_demand = true);
    if *level > Level::Warn {
        noticed(&|profile, at| profile.checks[at].level = Level::Warn);
    }
    if !guards.is_empty() {
        noticed(&|profile, at| drop(profile.checks[at].guards.pop()));
    }
    if provider.is_some() {
        noticed(&|profile, at| profile.checks[at].provided_by = None);
    }
}

#[test]
fn a_first_run_is_not_stopped_by_what_a_phase_brings_nor_a_later_one_by_what_a_phase_has_brought() {
    for (name, _) in tables() {
        brought_in_order(&load(name).unwrap());
    }
    let profile = load("turing-rke2").unwrap();
    let bastion = profile.check("ports.free.bastion").unwrap();
    assert!(
        matches!(&bastion.kind, CheckKind::PortsFree { udp, udp_fields, .. } if udp.is_empty() && udp_fields.iter().any(|field| field == "wireguard_port"))
    );
}

fn brought_in_order(profile: &Profile) {
    let place = |phase: &str| profile.phases.iter().position(|known| known.id == *phase).unwrap_or_else(|| panic!("no phase {phase}"));
    for check in profile.checks.iter().filter(|check| !check.on_demand) {
        if let Some(provider) = &check.provided_by {
            for guard in &check.guards {
                assert!(place(provider.as_str()) < place(guard.as_str()), "{}: {provider} comes after {guard}", check.id);
            }
        }
        // Skipped as soon as one of the phases it guards has begun: so it guards one alone, or would be lost for the others.
        if matches!(check.kind, CheckKind::PortsFree { .. } | CheckKind::NoLeftovers { .. }) {
            assert_eq!(check.guards.len(), 1, "{}", check.id);
        }
    }
}
