//! What has to be provided: as text, Markdown and JSON, of a small profile, of an unfinished site, and of the shipped profile.

use serde_json::Value;

use crate::support::{Place, repository};

fn of(arguments: &[&str]) -> String {
    let place = Place::new();
    let mut words = vec!["requirements"];
    words.extend(arguments);
    place.run(&words).expect(0).out
}

fn fixture() -> String {
    repository().join("tests/fixtures/ui/profile.toml").display().to_string()
}

#[test]
fn the_three_forms_of_a_small_profile() {
    let profile = fixture();
    insta::assert_snapshot!("requirements_text", of(&["--profile", &profile]));
    insta::assert_snapshot!("requirements_markdown", of(&["--profile", &profile, "--markdown"]));
    insta::assert_snapshot!("requirements_json", of(&["--profile", &profile, "--json"]));
}

#[test]
fn the_shipped_profile_fits_a_terminal_and_names_what_teams_ask_for() {
    let text = of(&[]);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    for words in ["rancher.DOMAIN", "CNAME", "2379-2380/tcp", "8472/udp", "*.DOMAIN", "mosip.github.io", "exactly 1.22.0", "x86_64"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let json: Value = serde_json::from_str(&of(&["--json"])).unwrap();
    let nodes = json["machines"].as_array().unwrap().iter().find(|machine| machine["name"] == "cluster").unwrap();
    assert_eq!((&nodes["cpu"], &nodes["ram_gib"], &nodes["disk_gib"]), (&12.into(), &32.into(), &128.into()));
    let text = serde_json::to_string(&json).unwrap();
    assert!(!text.contains("${"), "nothing is left to fill in: {text}");
}

#[test]
fn the_v3_profiles_name_what_teams_ask_for() {
    for profile in ["v3-onprem", "v3-onprem-nodns"] {
        let text = of(&["--profile", profile]);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{profile}: {} columns: {line}", line.chars().count());
        }
        for words in ["exactly 1.3.10", "exactly 1.15.0", "ubuntu 22.04", "51820/udp", "2049/tcp", "mosip.github.io"] {
            assert!(text.contains(words), "{profile}: {words}:\n{text}");
        }
        assert!(of(&["--profile", profile, "--markdown"]).contains("| mosip-node |"), "{profile}");
        let json = of(&["--profile", profile, "--json"]);
        assert!(!json.contains("${"), "nothing is left to fill in: {json}");
        let json: Value = serde_json::from_str(&json).unwrap();
        let names: Vec<&str> = json["dns"].as_array().into_iter().flatten().map(|record| record["name"].as_str().unwrap()).collect();
        let documented = "RANCHER_HOST RANCHER_KEYCLOAK_HOST DOMAIN api-internal api prereg activemq kibana regclient admin minio kafka iam postgres pmp onboarder resident esignet smtp";
        let wanted: Vec<String> = documented
            .split(' ')
            .map(|name| if name.chars().all(|sign| sign.is_uppercase() || sign == '_') { name.into() } else { format!("{name}.DOMAIN") })
            .collect();
        if profile == "v3-onprem" {
            assert_eq!(wanted.len(), 19);
            assert!(wanted.iter().all(|name| names.contains(&name.as_str())), "{names:?}");
        } else {
            assert!(names.is_empty(), "there is no DNS: {names:?}");
        }
    }
}

#[test]
fn an_unfinished_site_is_said_as_far_as_it_goes() {
    let place = Place::new();
    let site = place.path("site.toml");
    let text = "schema = 1\nid = \"x\"\nprofile = \"turing-rke2\"\ndomain = \"id.example.org\"\n[[machine]]\nname = \"a\"\nroles = [\"observation\", \"nginx-observation\"]\naddress = \"10.0.0.4\"\n[[machine]]\nname = \"b\"\nroles = [\"nginx\"]\n";
    std::fs::write(&site, text).unwrap();
    let done = place.run(&["requirements", "--json", "--site", site.to_str().unwrap()]).expect(0);
    let json: Value = serde_json::from_str(&done.out).unwrap();
    let record = json["dns"].as_array().unwrap().iter().find(|record| record["name"] == "rancher.id.example.org").unwrap();
    assert_eq!((&record["type"], &record["value"]), (&"A".into(), &"10.0.0.4".into()));
    let record = json["dns"].as_array().unwrap().iter().find(|record| record["name"] == "api-internal.id.example.org").unwrap();
    assert_eq!(record["value"], "private address of nginx");
    assert_eq!(json["machines"][1]["public_address"], "needed");
    // The sum of its roles; conditions that do not hold are left out.
    assert_eq!(json["machines"][0]["ram_gib"], 8);
    assert!(!done.out.contains("where “"), "{}", done.out);
    place.run(&["requirements", "--profile", "no-such-profile"]).expect(2);
}
