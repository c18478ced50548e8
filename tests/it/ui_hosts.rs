//! First contact with machines, and answers from a checkout filled in by hand.

use mosip_setup::install::check::Verdict;
use mosip_setup::install::facts::{HostKey, HostKeyAnswer, LoginFailure, LoginFailureKind};
use mosip_setup::install::site::{Draft, DraftMachine};
use mosip_setup::ui::app::{Model, Screen};
use mosip_setup::ui::desk::{Command, HostKeySeen, Imported, Told};
use mosip_setup::ui::popup::Popup;

use crate::ui_demo::{draft, plan, preflight, press, profile, site, text, told};

fn key(letter: char) -> HostKey {
    let fingerprint = format!("SHA256:{}", letter.to_string().repeat(43));
    HostKey { kind: "ssh-ed25519".into(), base64: "AAAA".into(), fingerprint }
}

pub fn keys() -> Vec<HostKeySeen> {
    let answer = |number: usize| match number {
        0 | 1 => HostKeyAnswer::Known(key('k')),
        3 => HostKeyAnswer::Changed { recorded: vec![key('o').fingerprint], presented: key('c') },
        5 => HostKeyAnswer::Failed(LoginFailure {
            kind: LoginFailureKind::NotReachable,
            detail: "10.77.0.15 refuses connections on port 22".into(),
        }),
        _ => HostKeyAnswer::Unknown(key('n')),
    };
    let seen = |(number, machine): (usize, &mosip_setup::install::plan::PlanMachine)| HostKeySeen {
        machine: machine.name.clone(),
        address: machine.address,
        answer: answer(number),
    };
    plan().machines.iter().enumerate().map(seen).collect()
}

const UNKNOWN: &[(&str, &str, Verdict, &str)] = &[
    ("ssh.login", "machine:vm1", Verdict::Fail, "10.77.0.13 presents the ed25519 host key SHA256:nnn, which is not recorded yet"),
    ("ssh.login", "machine:vm2", Verdict::Fail, "10.77.0.14 presents the ed25519 host key SHA256:nnn, which is not recorded yet"),
];

pub fn first_contact(columns: u16, rows: u16) -> Model {
    let mut model = preflight(columns, rows, UNKNOWN, true);
    let commands = press(&mut model, "k");
    assert!(matches!(commands[..], [Command::ScanHostKeys { .. }]), "{commands:?}");
    told(&mut model, Told::HostKeys(Ok(keys())));
    model
}

#[test]
fn unknown_host_keys_are_shown_and_recorded_with_two_different_keys() {
    let mut model = preflight(100, 40, UNKNOWN, true);
    let shown = text(&model);
    assert!(shown.contains("[Host keys]") && shown.contains("2 machines are not known by host key yet"), "{shown}");
    // With Enter and arrows as well: the second button.
    let commands = press(&mut model, "Tab Right Enter");
    assert!(matches!(commands[..], [Command::ScanHostKeys { .. }]), "{commands:?}");
    told(&mut model, Told::HostKeys(Ok(keys())));
    let shown = text(&model);
    let (changed, new) = (shown.find("changed").unwrap(), shown.find("+ new").unwrap());
    assert!(changed < new && shown.contains(&key('o').fingerprint) && shown.contains(&key('c').fingerprint), "{shown}");
    assert!(shown.contains("ssh-keygen -f /var/lib/mosip-setup/known_hosts -R "), "{shown}");
    assert!(press(&mut model, "k k").is_empty(), "the same key again records nothing");
    assert!(matches!(model.popups.last(), Some(Popup::HostKeys(_))));
    let commands = press(&mut model, "y");
    let [Command::AcceptHostKeys { keys: accepted, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(accepted.len(), plan().machines.len(), "exactly what was shown");
    let commands = told(&mut model, Told::HostKeysRecorded(Ok(vec!["vm1".parse().unwrap()])));
    assert!(matches!(commands[..], [Command::Preflight { round: 2, .. }]), "{commands:?}");
}

#[test]
fn enter_on_the_safe_button_records_nothing() {
    let mut model = first_contact(80, 24);
    assert!(press(&mut model, "Enter").is_empty() && model.popups.is_empty());
    told(&mut model, Told::HostKeys(Ok(keys())));
    let commands = press(&mut model, "Right Enter");
    assert!(matches!(commands[..], [Command::AcceptHostKeys { .. }]), "{commands:?}");
}

#[test]
fn known_and_changed_keys_cannot_be_recorded() {
    let mut model = preflight(80, 24, &[], true);
    press(&mut model, "k");
    let old = keys().into_iter().filter(|seen| !matches!(seen.answer, HostKeyAnswer::Unknown(_))).collect();
    told(&mut model, Told::HostKeys(Ok(old)));
    assert!(press(&mut model, "y Right Enter").is_empty());
    assert!(model.popups.is_empty());
}

#[test]
fn host_keys_fit_every_terminal() {
    for (columns, rows) in [(80, 24), (120, 40), (60, 15)] {
        let model = first_contact(columns, rows);
        insta::assert_snapshot!(format!("host_keys_{columns}x{rows}"), text(&model));
    }
}

fn checkout() -> Imported {
    let machine = |name: &str, address: &str| DraftMachine { name: name.into(), address: address.into(), ..DraftMachine::default() };
    let mut found = Draft::new(&profile());
    found.set(&profile(), "domain", "other.example.org").unwrap();
    found.set(&profile(), "installation_name", "old").unwrap();
    found.machines = vec![machine("vm1", "10.1.0.1"), machine("vm77", "10.1.0.77")];
    let notes = vec!["read /srv/old/ansible/hosts.ini".into(), "smtp_secret: a secret is not taken over".into()];
    Imported { folder: "/srv/old".into(), draft: found, notes }
}

fn asked(model: &mut Model) {
    press(model, "i");
    let commands = press(model, "^u /srv/old Enter");
    let [Command::Import { folder, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(folder.to_str(), Some("/srv/old"));
    told(model, Told::Imported(Ok(Box::new(checkout()))));
    let shown = text(model);
    assert!(shown.contains("2 machines, 2 answers") && shown.contains("smtp_secret"), "{shown}");
}

#[test]
fn an_import_fills_what_is_empty() {
    let mut own = draft();
    own.answers.remove("installation_name");
    own.machines[3].address.clear();
    let name = own.machines[3].name.clone();
    let mut model = site(100, 30, own);
    asked(&mut model);
    assert!(press(&mut model, "i i Enter").is_empty(), "Enter on the safe button takes nothing");
    assert_eq!(model.site.as_ref().unwrap().draft.answers.get("installation_name"), None);
    asked(&mut model);
    press(&mut model, "y");
    let draft = &model.site.as_ref().unwrap().draft;
    assert_eq!(draft.answers["domain"].as_str(), Some("sandbox.example.org"));
    assert_eq!(draft.answers["installation_name"].as_str(), Some("old"));
    assert_eq!(draft.machines.len(), 9);
    assert_eq!(draft.machines[3].address, if name == "vm1" { "10.1.0.1" } else { "" });
    assert!(model.notice.as_ref().unwrap().text.contains("add them by hand"), "{:?}", model.notice);
}

#[test]
fn an_import_into_a_new_site_brings_its_machines_and_can_replace_answers() {
    let mut model = site(100, 30, Draft::new(&profile()));
    asked(&mut model);
    press(&mut model, "y");
    assert_eq!(model.site.as_ref().unwrap().draft.machines.len(), 2);
    let mut model = site(100, 30, draft());
    asked(&mut model);
    press(&mut model, "Right Right Enter");
    let draft = &model.site.as_ref().unwrap().draft;
    assert_eq!(draft.answers["domain"].as_str(), Some("other.example.org"));
    assert_eq!(draft.machines.len(), 2);
    assert!(draft.secrets.contains_key("rancher_bootstrap_password"), "what the checkout does not say stays");
    assert!(model.site.as_ref().unwrap().is_changed() && model.screen == Screen::Site);
}

#[test]
fn a_folder_that_is_no_checkout_is_told() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Enter ^o ^u");
    assert!(press(&mut model, "Enter").is_empty() && text(&model).contains("write the path of a folder"));
    press(&mut model, "/nowhere Enter");
    told(&mut model, Told::Imported(Err(mosip_setup::ui::desk::Trouble::new("/nowhere has none of the files of this profile"))));
    assert!(text(&model).contains("has none of the files"));
}
