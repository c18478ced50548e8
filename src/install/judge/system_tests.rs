//! Each fact of a machine, right and wrong.

use super::*;
use crate::install::facts::{Iscsi, Multipath};

fn said(judgement: &Judgement) -> String {
    format!("{:?}: {}", judgement.judged, judgement.observed)
}

fn lines(text: &[&str]) -> Option<Vec<String>> {
    Some(text.iter().map(|line| (*line).to_owned()).collect())
}

#[test]
fn settings_and_services() {
    let min = BTreeMap::from([("fs.inotify.max_user_instances".to_owned(), 8192_u64)]);
    let with = |value: Option<u64>| MachineFacts {
        settings: value.map(|value| ("fs.inotify.max_user_instances".to_owned(), value)).into_iter().collect(),
        ..MachineFacts::default()
    };
    assert_eq!(said(&kernel_settings(&min, &with(Some(8192)))), "Right: fs.inotify.max_user_instances 8192");
    let low = kernel_settings(&min, &with(Some(128)));
    assert_eq!(said(&low), "Wrong: fs.inotify.max_user_instances is 128");
    assert!(low.remedy.contains("fs.inotify.max_user_instances = 8192") && low.remedy.contains("sysctl --system"));
    assert!(said(&kernel_settings(&min, &with(None))).starts_with("Unknown"));
    let of = |multipath| said(&super::multipath(&MachineFacts { multipath, ..MachineFacts::default() }));
    assert!(of(None).starts_with("Unknown"));
    assert!(of(Some(Multipath { runs: false, spares_disks: false })).starts_with("Right"));
    assert!(of(Some(Multipath { runs: true, spares_disks: true })).starts_with("Right"));
    assert!(of(Some(Multipath { runs: true, spares_disks: false })).starts_with("Wrong"));
    let of = |iscsi| said(&super::iscsi(&MachineFacts { iscsi, ..MachineFacts::default() }));
    assert_eq!(of(Some(Iscsi { installed: false, service: false })), "Wrong: there is no iscsiadm");
    assert!(of(Some(Iscsi { installed: true, service: false })).contains("iscsid"));
    assert!(of(Some(Iscsi { installed: true, service: true })).starts_with("Right"));
    assert!(of(None).starts_with("Unknown"));
}

#[test]
fn leftovers_and_firewalls() {
    let of = |traces: Option<Vec<String>>| no_leftovers(&MachineFacts { leftovers: traces, ..MachineFacts::default() }, Some("rke2"));
    assert_eq!(said(&of(lines(&[]))), "Right: none");
    let docker = of(lines(&["/var/lib/docker", "running dockerd", "iptables chains of DOCKER"]));
    assert!(
        said(&docker).starts_with("Wrong") && docker.remedy.contains("purge docker.io") && docker.remedy.contains("reboot"),
        "{docker:?}"
    );
    assert!(said(&of(lines(&["/var/lib/rancher/rke2", "running rke2"]))).starts_with("Doubtful"), "a cluster that runs is taken over");
    assert!(said(&of(lines(&["/var/lib/rancher/rke2", "running rke2", "running k3s"]))).starts_with("Wrong"));
    let foreign = MachineFacts { leftovers: lines(&["running rke2"]), ..MachineFacts::default() };
    assert!(said(&no_leftovers(&foreign, None)).starts_with("Wrong"), "where nothing is taken over");
    assert!(said(&of(None)).starts_with("Unknown"));
    let of = |found: Option<Vec<String>>| firewall_off(&MachineFacts { firewalls: found, ..MachineFacts::default() });
    assert_eq!(said(&of(lines(&[]))), "Right: none is on");
    assert_eq!(of(lines(&["ufw is active"])).remedy, "`sudo ufw disable`.");
    assert!(of(lines(&["iptables drops by default in FORWARD"])).remedy.contains("-P INPUT ACCEPT"));
    assert!(said(&of(None)).starts_with("Unknown"));
}

#[test]
fn resolvers_that_pods_can_use() {
    let of = |own: &[&str], behind: Option<&[&str]>| {
        let behind = behind.and_then(lines);
        said(&resolver(&MachineFacts { resolver: lines(own), resolver_behind: behind, ..MachineFacts::default() }))
    };
    assert_eq!(of(&["nameserver 10.0.0.2", "search example.org"], None), "Right: 10.0.0.2");
    assert_eq!(of(&["nameserver 127.0.0.53"], Some(&["nameserver 10.0.0.2"])), "Right: 10.0.0.2");
    assert!(of(&["nameserver 127.0.0.53"], None).starts_with("Wrong: the only name server is this machine itself (127.0.0.53)"));
    assert!(of(&["nameserver 127.0.0.1"], Some(&["nameserver ::1"])).starts_with("Wrong"));
    assert!(of(&["search example.org"], None).starts_with("Wrong: /etc/resolv.conf names no server"));
    let four = ["nameserver 10.0.0.1", "nameserver 10.0.0.2", "nameserver 10.0.0.3", "nameserver fe80::1%eth0"];
    assert!(of(&four, None).starts_with("Wrong: 4 name servers"));
    assert!(said(&resolver(&MachineFacts::default())).starts_with("Unknown"));
}

#[test]
fn cards_routes_and_containers() {
    let facts = |device: Option<&str>, mtu: Option<u32>, driver: &str| MachineFacts {
        default_interface: device.map(str::to_owned),
        mtu,
        driver: Some(driver.to_owned()),
        ..MachineFacts::default()
    };
    assert_eq!(said(&uplink(1500, &facts(Some("ens3"), Some(1500), "virtio_net"))), "Right: ens3, MTU 1500, driver virtio_net");
    assert!(said(&uplink(1500, &facts(Some("ens3"), Some(1400), "virtio_net"))).starts_with("Wrong: ens3, MTU 1400"));
    assert!(said(&uplink(1500, &facts(Some("ens3"), Some(1500), "vmxnet3"))).starts_with("Doubtful"));
    assert!(said(&uplink(1500, &facts(None, None, ""))).starts_with("Wrong: there is no default route"));
    assert!(said(&uplink(1500, &facts(Some("ens3"), None, ""))).starts_with("Unknown"));
    let of = |kind: Option<&str>| {
        said(&virtualization(&["lxc".into()], &MachineFacts { virtualization: kind.map(str::to_owned), ..MachineFacts::default() }))
    };
    assert_eq!((of(Some("kvm")), of(Some("none"))), ("Right: kvm".into(), "Right: none".into()));
    assert!(of(Some("lxc")).starts_with("Wrong") && of(None).starts_with("Doubtful"));
    let networks = ["10.42.0.0/16".to_owned()];
    let of = |routes: &[&str]| said(&routes_free(&networks, &MachineFacts { routes: lines(routes), ..MachineFacts::default() }));
    assert_eq!(of(&["default via 10.0.0.1 dev ens3", "10.77.0.0/24 dev ens3"]), "Right: none");
    assert!(of(&["10.0.0.0/8 via 10.77.0.1 dev ens3"]).starts_with("Wrong: 10.0.0.0/8 via"));
    assert_eq!(of(&["10.42.1.0/24 via 10.42.1.0 dev flannel.1"]), "Right: none", "the cluster's own");
    assert!(said(&routes_free(&networks, &MachineFacts::default())).starts_with("Unknown"));
}
