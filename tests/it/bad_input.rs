//! Sites that cannot be: refused with a reason, soon.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::Place;

const HEAD: &str = "schema = 1\nid = \"bad-0001\"\nprofile = \"turing-rke2\"\ndomain = \"sandbox.example.org\"\ninstallation_name = \"sandbox\"\n\
    public_api_address = \"192.0.2.10\"\nwireguard_endpoint = \"192.0.2.20\"\nwireguard_network = \"10.0.0.0/9\"\n\
    [secret]\nrancher_bootstrap_password = \"env:PASSWORD\"\n";

fn refused(machines: &str) -> (String, Duration) {
    let place = Place::new();
    let file = place.path("site.toml");
    fs::write(&file, format!("{HEAD}{machines}")).unwrap();
    let began = Instant::now();
    let done = place.run(&["site", "check", "--site", file.to_str().unwrap()]);
    assert_eq!(done.code, 2, "{}{}", done.out, done.err);
    (format!("{}{}", done.out, done.err), began.elapsed())
}

fn machine(name: &str, address: &str) -> String {
    format!("[[machine]]\nname = \"{name}\"\nroles = [\"cluster\", \"rke2-agent\", \"worker\"]\naddress = \"{address}\"\n")
}

#[test]
fn ten_thousand_machines_are_one_sentence() {
    let mut machines = String::new();
    for number in 0..10_000 {
        let _ = write!(machines, "{}", machine(&format!("vm{number}"), &format!("10.1.{}.{}", number / 250, number % 250 + 1)));
    }
    let (said, took) = refused(&machines);
    assert!(said.contains("10000 machines, and 500 are the most that this program takes"), "{said}");
    assert!(said.lines().count() < 12, "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn addresses_that_cannot_be_are_named() {
    let (said, _) =
        refused(&[machine("vm1", "10.0.0.1"), machine("vm2", "10.0.0.1"), machine("vm3", "fd00::3"), machine("vm4", "10.0.0")].concat());
    assert!(said.contains("10.0.0.1 is also the address of vm1"), "{said}");
    assert!(said.contains("'fd00::3' looks like IPv6; the tools driven take IPv4 addresses only"), "{said}");
    assert!(said.contains("'10.0.0' is not a complete IPv4 address"), "{said}");
}
