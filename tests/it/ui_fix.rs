//! Fixes on the screen: the script is read, agreed to, seen at work, and only what it was for is checked again. Watching that redraws
//! and asks no more than it must.

use mosip_setup::install::check::{Target, Verdict};
use mosip_setup::install::facts::MendFacts;
use mosip_setup::install::fix::Mended;
use mosip_setup::ui::app::{self, Model, Msg, Screen};
use mosip_setup::ui::desk::{Again, Command, Told, Trouble};
use mosip_setup::ui::popup::Popup;

use crate::ui_demo::{BAD, at, finding, preflight, press, text, told};

/// The preflight with the cursor on the swap of vm2, and its script shown.
pub fn asked(columns: u16, rows: u16) -> Model {
    let mut model = preflight(columns, rows, BAD, true);
    model.preflight.cursor = Some(("swap.off".parse().unwrap(), Target::Machine("vm2".parse().unwrap())));
    assert!(press(&mut model, "f").is_empty());
    model
}

fn ended(model: &Model, exit: i32) -> Vec<Mended> {
    let Some(Popup::Fix(fix)) = model.popups.last() else { panic!("no fix is shown") };
    let facts = MendFacts { exit: Some(exit), output: String::new(), problem: None };
    fix.fixes.iter().map(|fix| Mended { fix: fix.clone(), facts: facts.clone() }).collect()
}

#[test]
fn a_script_is_read_agreed_to_and_seen_at_work() {
    let mut model = asked(100, 40);
    let shown = text(&model);
    for words in
        ["swapoff -a", "as root, with sudo", "machine:vm2: /swap.img is active", "machine:vm4", "Not now", "Run on vm2", "Run on all 2"]
    {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    assert!(press(&mut model, "Enter").is_empty() && model.popups.is_empty(), "the safe button runs nothing");
    assert!(press(&mut model, "f f Esc").is_empty() && model.popups.is_empty(), "the same key again runs nothing");
    press(&mut model, "f");
    let commands = press(&mut model, "y");
    let [Command::Mend { fixes, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(fixes.iter().map(|fix| fix.target.to_string()).collect::<Vec<_>>(), ["machine:vm2"]);
    assert!(press(&mut model, "Esc y Enter").is_empty() && !model.popups.is_empty(), "it stays while the script runs");
    told(&mut model, Told::MendSaid { target: fixes[0].target.clone(), line: "fstab is changed".into() });
    assert!(text(&model).contains("fstab is changed"));
    let ended = ended(&model, 0);
    let commands = told(&mut model, Told::Mended(Ok(ended)));
    let [Command::Preflight { again: Again::These(pairs), round, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(pairs.len(), 1, "only what it was for is checked again");
    let (round, pairs) = (*round, pairs.clone());
    told(&mut model, Told::PreflightStarted { round, expected: pairs });
    assert!(model.preflight.findings().count() > 10, "what was found before stays");
    told(&mut model, Told::Finding { round, finding: Box::new(finding("swap.off", "machine:vm2", Verdict::Pass, "no swap")) });
    told(&mut model, Told::PreflightEnded { round, result: Ok(()) });
    assert_eq!(model.preflight.blocking(), 3);
    press(&mut model, "Enter");
    assert!(model.popups.is_empty() && text(&model).contains("✓"), "{}", text(&model));
}

#[test]
fn a_script_runs_everywhere_it_is_needed_and_a_bad_end_is_said() {
    let mut model = asked(80, 24);
    let commands = press(&mut model, "Right Right Enter");
    let [Command::Mend { fixes, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(fixes.len(), 2);
    let ended = ended(&model, 1);
    told(&mut model, Told::Mended(Ok(ended)));
    assert!(text(&model).contains("machine:vm4: ended with exit code 1"), "{}", text(&model));
    assert!(model.notice.as_ref().unwrap().bad);
    let mut model = asked(80, 24);
    press(&mut model, "y");
    told(&mut model, Told::Mended(Err(Trouble::new("the answers have changed since the script was shown"))));
    assert!(text(&model).contains("The scripts were not run") && text(&model).contains("have changed"), "{}", text(&model));
}

#[test]
fn what_has_no_script_says_so_and_an_unknown_host_key_leads_to_the_keys() {
    let mut model = preflight(100, 30, BAD, true);
    model.preflight.cursor = Some(("size".parse().unwrap(), Target::Machine("vm3".parse().unwrap())));
    assert!(press(&mut model, "f").is_empty() && model.popups.is_empty());
    assert!(model.notice.as_ref().unwrap().text.contains("no script"), "{:?}", model.notice);
    let unknown = [("ssh.login", "machine:vm1", Verdict::Fail, "10.77.0.13 presents the host key SHA256:n, which is not recorded yet")];
    let mut model = preflight(100, 30, &unknown, true);
    let commands = press(&mut model, "f");
    assert!(matches!(commands[..], [Command::ScanHostKeys { .. }]), "{commands:?}");
}

#[test]
fn watching_asks_what_is_open_redraws_what_changed_and_goes_on_where_asked_to() {
    let mut model = preflight(100, 30, &[("swap.off", "machine:vm2", Verdict::Fail, "on")], true);
    let commands = press(&mut model, "w");
    let [Command::Preflight { again: Again::Open(known), round: 2, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(known.iter().filter(|finding| finding.verdict != Verdict::Pass).count(), 1);
    let key = ("swap.off".parse().unwrap(), Target::Machine("vm2".parse().unwrap()));
    told(&mut model, Told::PreflightStarted { round: 2, expected: vec![key.clone()] });
    assert!(text(&model).contains("checking 0 of 1"), "{}", text(&model));
    model.dirty = false;
    told(&mut model, Told::Finding { round: 2, finding: Box::new(finding("swap.off", "machine:vm2", Verdict::Fail, "on")) });
    assert!(!model.dirty, "what is as it was is not drawn again");
    told(&mut model, Told::PreflightEnded { round: 2, result: Ok(()) });
    assert!(press(&mut model, "c").is_empty() && model.screen == Screen::Preflight);
    assert!(text(&model).contains("The review follows as soon as nothing stands in the way"), "{}", text(&model));
    let commands = app::update(&mut model, Msg::Tick(at(6)));
    assert!(matches!(commands[..], [Command::Preflight { round: 3, .. }]));
    told(&mut model, Told::PreflightStarted { round: 3, expected: vec![key] });
    model.dirty = false;
    told(&mut model, Told::Finding { round: 3, finding: Box::new(finding("swap.off", "machine:vm2", Verdict::Pass, "off")) });
    assert!(model.dirty);
    told(&mut model, Told::PreflightEnded { round: 3, result: Ok(()) });
    assert_eq!(model.screen, Screen::Review);
}

#[test]
fn the_script_fits_every_terminal() {
    for (columns, rows) in [(80, 24), (120, 40), (60, 15)] {
        insta::assert_snapshot!(format!("fix_{columns}x{rows}"), text(&asked(columns, rows)));
    }
}
