//! Keys as an operator presses them, and what they lead to.

use mosip_setup::engine::client::Update;
use mosip_setup::run::event::{Decision, Event, StopReason};
use mosip_setup::run::machine;
use mosip_setup::run::question::Answer;
use mosip_setup::ui::app::{self, Model, Msg, Next, Screen};
use mosip_setup::ui::desk::{Command, Told, Trouble};
use mosip_setup::ui::keymap::Context;
use mosip_setup::ui::popup::Popup;
use secrecy::ExposeSecret;

use crate::ui_demo::{BAD, Story, at, draft, finding, knobs, preflight, press, profile, review, site, started, text, told};

fn engine(commands: &[Command]) -> Option<&machine::Command> {
    commands.iter().find_map(|command| match command {
        Command::Engine(command) => Some(&**command),
        _ => None,
    })
}

fn value(model: &Model, key: &str) -> String {
    let site = model.site.as_ref().unwrap();
    let profile = profile();
    site.draft.text(profile.field(key).unwrap())
}

#[test]
fn a_new_site_from_the_first_screen_to_the_run_with_arrows_tab_space_and_enter() {
    let mut model = started(100, 30);
    // New site, at the proposed path.
    press(&mut model, "End Enter Enter");
    assert_eq!(model.screen, Screen::Site);
    press(&mut model, "Enter demo.example.org Tab demo");
    assert_eq!(value(&model, "domain"), "demo.example.org");
    // Tab leads on through all sections to the buttons, and Enter on Continue to the first thing missing.
    for _ in 0..200 {
        if model.context() == Context::Buttons {
            break;
        }
        press(&mut model, "Tab");
    }
    assert_eq!(model.context(), Context::Buttons);
    assert!(press(&mut model, "Enter").is_empty());
    assert!(model.notice.as_ref().unwrap().bad, "something is missing still");
    // Once all is answered: saved, planned, checked.
    let site = model.site.as_mut().unwrap();
    site.draft = draft();
    site.check();
    let commands = press(&mut model, "Esc c");
    assert!(matches!(commands[..], [Command::SaveSite { .. }]));
    let commands = told(&mut model, Told::Saved(Ok("6d0c".into())));
    assert!(matches!(commands[..], [Command::Plan { .. }]));
}

#[test]
fn letters_are_text_in_a_field_and_commands_in_a_list() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Enter ^u q?c");
    assert_eq!(value(&model, "domain"), "q?c");
    assert_eq!(model.screen, Screen::Site);
    assert!(model.popups.is_empty());
    press(&mut model, "F1");
    assert!(matches!(model.popups.last(), Some(Popup::Help { .. })));
    press(&mut model, "q");
    assert!(model.popups.is_empty());
}

#[test]
fn problems_show_while_typing_and_count_per_section() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Enter .");
    assert!(text(&model).contains("leave out the dot at the end"), "{}", text(&model));
    assert!(text(&model).contains("✗"));
    press(&mut model, "^u");
    let shown = text(&model);
    assert!(!shown.contains("leave out the dot") && shown.contains("to do"), "what is merely missing is not called wrong yet:\n{shown}");
    press(&mut model, "Esc c");
    assert!(model.site.as_ref().unwrap().insisted);
    assert!(text(&model).contains("missing"));
}

#[test]
fn choices_turn_and_hidden_fields_appear() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Down Down Enter");
    assert!(!text(&model).contains("Mail address for Let's Encrypt"));
    press(&mut model, "Space");
    assert_eq!(value(&model, "certificate_source"), "certbot");
    assert!(text(&model).contains("Mail address for Let's Encrypt"));
    press(&mut model, "Left");
    assert_eq!(value(&model, "certificate_source"), "given");
}

#[test]
fn a_column_of_addresses_is_pasted_downwards() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Enter");
    app::update(&mut model, Msg::Paste("10.9.0.1\n10.9.0.2\r\n\n  10.9.0.3\n".into()));
    let addresses: Vec<String> = model.site.as_ref().unwrap().draft.machines.iter().map(|machine| machine.address.clone()).collect();
    assert_eq!(addresses[..4], ["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.77.0.13"]);
    app::update(&mut model, Msg::Paste("1".into()));
    assert_eq!(model.site.as_ref().unwrap().draft.machines[0].address, "10.9.0.11");
}

#[test]
fn machines_are_added_and_removed_with_two_different_keys() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Enter ^n");
    assert_eq!(model.site.as_ref().unwrap().draft.machines.len(), 10);
    press(&mut model, "^d ^d Enter");
    assert_eq!(model.site.as_ref().unwrap().draft.machines.len(), 10, "the same key twice, and Enter on the safe button, remove nothing");
    press(&mut model, "^d y");
    assert_eq!(model.site.as_ref().unwrap().draft.machines.len(), 9);
    // With arrows and Enter alone: the last column, then the other button.
    press(&mut model, "Up Right Right Right Right Right Right Right Right Right Right Right Right");
    for _ in 0..200 {
        if model.context() == Context::ButtonCell {
            break;
        }
        press(&mut model, "Right");
    }
    press(&mut model, "Enter Right Enter");
    assert_eq!(model.site.as_ref().unwrap().draft.machines.len(), 8);
}

#[test]
fn roles_are_ticked_in_a_popup() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Enter BackTab Space");
    assert!(matches!(model.popups.last(), Some(Popup::Roles { .. })));
    press(&mut model, "Down Space Enter");
    assert_eq!(model.site.as_ref().unwrap().draft.machines[0].roles, ["bastion", "observation"]);
}

#[test]
fn a_secret_is_typed_once_and_kept_by_the_desk() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Down Down Down Down Down Enter Enter Enter");
    press(&mut model, "short Enter");
    assert!(text(&model).contains("shorter than"), "{}", text(&model));
    let commands = press(&mut model, "er-no-more Enter");
    match &commands[..] {
        [Command::StoreSecret { field, value, .. }] => {
            assert_eq!(field.as_str(), "rancher_bootstrap_password");
            assert_eq!(value.expose_secret(), "shorter-no-more");
        }
        other => panic!("{other:?}"),
    }
    assert!(!format!("{commands:?}").contains("shorter-no-more"), "a secret is not printed by accident");
    told(&mut model, Told::SecretStored { field: "rancher_bootstrap_password".parse().unwrap(), reference: Ok("file:~/x".into()) });
    assert_eq!(model.site.as_ref().unwrap().draft.secrets["rancher_bootstrap_password"], "file:~/x");
}

#[test]
fn a_setting_is_searched_changed_and_taken_back() {
    let mut model = site(100, 30, draft());
    let commands = press(&mut model, "End");
    assert!(matches!(commands[..], [Command::LoadKnobs { .. }]));
    told(&mut model, Told::Knobs(Ok(knobs())));
    press(&mut model, "Enter helm Space time Down Enter ^u soon Enter");
    assert!(text(&model).contains("write a value of type integer"), "{}", text(&model));
    press(&mut model, "^u 5400 Enter");
    let own = |model: &Model| {
        model.site.as_ref().unwrap().draft.advanced.get("mosip.tfvars").and_then(|table| table.get("global_helm_timeout_seconds").cloned())
    };
    assert_eq!(own(&model), Some(toml::Value::Integer(5400)));
    press(&mut model, "d");
    assert_eq!(own(&model), None);
}

#[test]
fn a_site_that_cannot_be_written_says_so_and_stays() {
    let mut model = site(100, 30, draft());
    press(&mut model, "c");
    let commands = told(&mut model, Told::Saved(Err(Trouble::new("No space left on device"))));
    assert!(commands.is_empty());
    assert!(text(&model).contains("No space left on device"));
    assert_eq!(model.screen, Screen::Site);
}

#[test]
fn findings_that_block_hold_the_preflight_until_they_are_ignored_with_a_reason() {
    let mut model = preflight(100, 30, BAD, true);
    press(&mut model, "c");
    assert_eq!(model.screen, Screen::Preflight);
    press(&mut model, "v");
    for _ in 0..4 {
        let commands = press(&mut model, "Home i Enter");
        assert!(commands.is_empty(), "a reason is needed");
        assert!(press(&mut model, "lab Enter ^u never Enter").is_empty(), "a time is needed");
        let commands = press(&mut model, "^u 12h Enter");
        let [Command::Ignore { check, target, reason, .. }] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(*reason, Some(("lab".to_owned(), "12h".to_owned())));
        told(&mut model, Told::Ignored { check: check.clone(), target: target.clone(), result: Ok(reason.clone().map(|(why, _)| why)) });
    }
    press(&mut model, "c");
    assert_eq!(model.screen, Screen::Review);
}

#[test]
fn the_cursor_stands_on_the_gravest_finding_or_on_the_first_row_and_never_on_a_hidden_one() {
    use mosip_setup::install::check::Verdict;
    use mosip_setup::ui::preflight::Row;
    let first = |model: &Model| {
        let rows = model.preflight.rows(model.review.plan.as_ref().unwrap());
        rows.into_iter().find_map(|row| match row {
            Row::Cells { cells, .. } => cells.into_iter().flatten().next(),
            Row::Group(_) => None,
        })
    };
    let mut model = preflight(100, 30, BAD, true);
    assert!(model.preflight.finding().is_some_and(|finding| finding.verdict == Verdict::Fail), "{:?}", model.preflight.cursor);
    // Down to what is green, which the filter hides: it goes back to what is shown.
    press(&mut model, "End");
    assert!(model.preflight.finding().is_some_and(|finding| finding.verdict == Verdict::Pass), "{:?}", model.preflight.cursor);
    press(&mut model, "s");
    assert!(model.preflight.finding().is_some_and(|finding| finding.verdict == Verdict::Fail), "{:?}", model.preflight.cursor);
    // All is green but for something that is still to come, in the middle.
    let model = preflight(100, 30, &[("swap.off", "machine:vm2", Verdict::Skipped, "a phase provides it")], true);
    assert!(model.preflight.cursor.is_some() && model.preflight.cursor == first(&model), "{:?}", model.preflight.cursor);
}

#[test]
fn a_strict_finding_cannot_be_ignored() {
    use mosip_setup::install::check::Verdict;
    let mut model = preflight(100, 30, &[("ssh.login", "machine:vm1", Verdict::Fail, "refused")], true);
    press(&mut model, "i");
    assert!(model.popups.is_empty() && model.notice.as_ref().unwrap().bad);
    press(&mut model, "c");
    assert_eq!(model.screen, Screen::Preflight);
}

#[test]
fn watching_checks_again_until_green() {
    use mosip_setup::install::check::Verdict;
    let mut model = preflight(100, 30, &[("swap.off", "machine:vm2", Verdict::Fail, "on")], true);
    let commands = press(&mut model, "w");
    assert!(matches!(commands[..], [Command::Preflight { round: 2, .. }]));
    told(
        &mut model,
        Told::Finding { round: 1, finding: Box::new(finding("swap.off", "machine:vm2", Verdict::Pass, "an overtaken round")) },
    );
    assert_eq!(model.preflight.blocking(), 1);
    told(&mut model, Told::PreflightEnded { round: 2, result: Ok(()) });
    assert!(app::update(&mut model, Msg::Tick(at(3))).is_empty());
    let commands = app::update(&mut model, Msg::Tick(at(6)));
    assert!(matches!(commands[..], [Command::Preflight { round: 3, .. }]));
    told(&mut model, Told::Finding { round: 3, finding: Box::new(finding("swap.off", "machine:vm2", Verdict::Pass, "off")) });
    let commands = told(&mut model, Told::PreflightEnded { round: 3, result: Ok(()) });
    assert!(matches!(commands[..], [Command::Notify(_)]));
    assert!(app::update(&mut model, Msg::Tick(at(60))).is_empty());
}

#[test]
fn starting_takes_two_different_keys() {
    let mut model = review(100, 30);
    assert!(text(&model).contains("Nothing has been touched so far"));
    assert!(press(&mut model, "Enter Enter Enter").is_empty());
    assert!(model.popups.is_empty(), "Enter alone, on the safe button, starts nothing");
    let commands = press(&mut model, "s y");
    assert!(matches!(commands[..], [Command::OpenRun { .. }]));
}

#[test]
fn a_secret_that_is_only_asked_for_is_asked_before_the_run_is_opened() {
    let mut model = review(100, 30);
    let site = model.site.as_mut().unwrap();
    site.draft.secrets.insert("rancher_bootstrap_password".into(), "prompt".into());
    assert!(press(&mut model, "s y").is_empty());
    let commands = press(&mut model, "correct-horse-battery Enter");
    let [Command::OpenRun { secrets, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(secrets.len(), 1);
}

#[test]
fn a_failed_phase_opens_its_panel_and_is_retried() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.fail_cluster();
    let shown = text(&story.model);
    assert!(shown.contains("The playbook failed on vm4") && shown.contains("code 4"), "{shown}");
    assert_eq!(story.model.context(), Context::Failure);
    let commands = story.press("Enter");
    assert!(matches!(engine(&commands), Some(machine::Command::Retry { from_start: false, .. })), "{commands:?}");
    story.start("main-cluster/playbook", 2);
    assert!(story.model.run_is_busy());
    assert!(text(&story.model).contains("attempt 2 of 2"));
    story.press("[");
    assert!(text(&story.model).contains("attempt 1 of 2"));
}

#[test]
fn retrying_from_the_start_asks_first() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.fail_cluster();
    assert!(engine(&story.press("R R")).is_none());
    let commands = story.press("y");
    assert!(matches!(engine(&commands), Some(machine::Command::Retry { from_start: true, .. })));
}

#[test]
fn skipping_shows_what_it_means_and_asks_why() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.fail_cluster();
    story.press("s");
    assert!(story.model.popups.is_empty(), "this phase cannot be skipped");
    assert!(story.model.notice.as_ref().unwrap().text.contains("cannot be skipped"));
    story.press("Esc Down Down s");
    let shown = text(&story.model);
    assert!(shown.contains("Rancher does not show the MOSIP cluster") && shown.contains("No other phase needs it"), "{shown}");
    assert!(story.press("Enter").is_empty());
    let commands = story.press("later Enter");
    assert!(matches!(engine(&commands), Some(machine::Command::Skip { reason, .. }) if reason == "later"), "{commands:?}");
}

#[test]
fn a_question_is_answered_without_being_shown() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    let commands = story.ask();
    assert!(commands.iter().any(|command| matches!(command, Command::Notify(_))));
    let url = "https://rancher.sandbox.example.org/v3/import/abcdef.yaml";
    let commands = story.press(&format!("{url} Enter"));
    let expected = machine::Command::Answer { question: "rancher-import/address@20".into(), answer: Answer::Text(url.into()) };
    assert_eq!(engine(&commands), Some(&expected));
    assert!(!text(&story.model).contains("abcdef"));
    story.update(Update::Rejected("the answer does not fit".into()));
    assert!(text(&story.model).contains("the answer does not fit"));
    // Later: the popup closes, the question stays, Enter brings it back.
    story.press("Esc");
    assert!(story.model.popups.is_empty() && text(&story.model).contains("Waits for your answer"));
    story.press("Enter");
    let commands = story.press("^o");
    assert!(matches!(engine(&commands), Some(machine::Command::Answer { answer: Answer::Open, .. })));
}

#[test]
fn stopping_is_graceful_and_killing_takes_another_key() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    assert!(engine(&story.press("x x")).is_none());
    let commands = story.press("y");
    assert_eq!(engine(&commands), Some(&machine::Command::Stop { now: false }));
    let commands = story.press("x K");
    assert_eq!(engine(&commands), Some(&machine::Command::Stop { now: true }));
}

#[test]
fn a_run_that_waits_for_an_answer_is_stopped_without_talk_of_a_step() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.ask();
    story.press("Esc x");
    let shown = text(&story.model);
    assert!(shown.contains("the run waits for your answer") && !shown.contains("Kill"), "{shown}");
    assert_eq!(engine(&story.press("y")), Some(&machine::Command::Stop { now: false }));
    assert!(text(&story.model).contains("the question stays open"), "{}", text(&story.model));
    story.event(Event::OperatorDecided { decision: Decision::Stop { now: false }, by: "asha".into() });
    story.update(Update::Halted(StopReason::Stopped));
    let shown = text(&story.model);
    assert!(shown.contains("Stopped") && shown.contains("stopped by asha") && !shown.contains("Waits for your answer"), "{shown}");
    // It can still be answered, and the phase can be asked again.
    story.press("Enter");
    assert!(matches!(story.model.popups.last(), Some(Popup::Question(_))), "{}", text(&story.model));
    story.press("Esc");
    assert!(matches!(engine(&story.press("r")), Some(machine::Command::Retry { .. })), "{}", text(&story.model));
}

#[test]
fn leaving_while_it_runs_leaves_it_running_and_says_how_to_come_back() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    let commands = story.press("q");
    assert!(matches!(commands[..], [Command::Quit]) && story.model.leaving, "{commands:?}");
    let farewell = mosip_setup::ui::summary::farewell(&story.model);
    assert!(farewell.contains("running") && farewell.contains("mosip-setup attach") && farewell.contains("mosip-setup stop"), "{farewell}");
}

#[test]
fn leaving_with_changed_answers_asks() {
    let mut model = site(100, 30, draft());
    press(&mut model, "Enter x Esc");
    assert!(press(&mut model, "q").is_empty());
    let commands = press(&mut model, "y");
    assert!(matches!(commands[..], [Command::SaveSite { .. }]));
    let commands = told(&mut model, Told::Saved(Ok("6d0c".into())));
    assert!(matches!(commands[..], [Command::Quit]));
    let mut unchanged = site(100, 30, draft());
    assert!(matches!(press(&mut unchanged, "q")[..], [Command::Quit]));
}

#[test]
fn changed_answers_replan_the_run() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.fail_cluster();
    story.press("a");
    assert_eq!(story.model.screen, Screen::Site);
    let commands = story.press("c");
    assert!(matches!(commands[..], [Command::SaveSite { .. }]));
    told(&mut story.model, Told::Saved(Ok("6d0c".into())));
    let mut plan = crate::ui_demo::plan();
    let phase = &mut plan.phases[1];
    let field = phase.reads.keys().next().cloned();
    phase.reads.insert(field.clone().unwrap_or_else(|| "domain".parse().unwrap()), "other".into());
    // A secret may have been typed again, which no plan shows: the engine is told of it in either case.
    for plan in [plan, crate::ui_demo::plan()] {
        story.model.next = Next::Continue;
        let commands = told(&mut story.model, Told::Planned(Ok(Box::new((plan, Vec::new())))));
        assert!(matches!(commands[..], [Command::Renew { .. }]), "{commands:?}");
        assert_eq!(story.model.screen, Screen::Run);
    }
}

#[test]
fn the_log_is_searched_and_scrolled() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.press("/");
    story.press("switch");
    story.press("Space swap Enter");
    let run = story.model.run.as_ref().unwrap();
    assert!(!run.log.follow && run.log.window.lines[0].text.contains("Switch swap off"));
    story.press("f");
    let shown = text(&story.model);
    assert!(shown.starts_with("TASK [rke2_deploy : Switch swap off]"), "no frame, so that it can be copied:\n{shown}");
    let commands = story.press("y");
    assert!(matches!(&commands[..], [Command::Copy(text)] if !text.contains('\u{1b}')));
    story.press("G Esc");
    assert!(story.model.run.as_ref().unwrap().log.follow);
}

fn footer(model: &Model) -> String {
    text(model).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_footer_of_a_run_offers_what_does_something_now() {
    let mut story = Story::begin(80, 24);
    story.go_to_cluster();
    let running = footer(&story.model);
    for (word, offered) in [("x stop", true), ("f full", true), ("/ search", true), ("w wrap", true), ("go on", false), ("retry", false)] {
        assert_eq!(running.contains(word), offered, "{word}: {running}");
    }
    assert!(!running.contains("shell") && !running.contains("answers") && !running.contains("skip"), "{running}");
    story.fail_cluster();
    let failed = footer(&story.model);
    for (word, offered) in
        [("r retry", true), ("R from start", true), ("a answers", true), ("e shell", true), ("stop", false), ("skip", false)]
    {
        assert_eq!(failed.contains(word), offered, "{word}: {failed}");
    }
    story.press("Esc Down Down");
    assert!(footer(&story.model).contains("c go on"), "{}", footer(&story.model));
}

#[test]
fn long_lines_are_cut_while_they_come_in_and_wrapped_when_read() {
    let mut story = Story::begin(80, 24);
    story.go_to_cluster();
    story.log = format!("short\nfatal: {} the-end\n", "x".repeat(200));
    story.wait(1);
    assert!(text(&story.model).contains('…') && !text(&story.model).contains("the-end"), "{}", text(&story.model));
    story.press("w");
    assert!(text(&story.model).contains("the-end"), "{}", text(&story.model));
    story.press("w g");
    assert!(!text(&story.model).contains("the-end"), "what was asked for stays");
}

#[test]
fn a_site_with_a_run_offers_to_open_it() {
    let mut model = started(80, 24);
    let run = mosip_setup::ui::desk::RunEntry {
        id: "r1".into(),
        state: "stopped".into(),
        note: "stopped at MOSIP cluster, 3 h ago".into(),
        engine: false,
    };
    let loaded = mosip_setup::ui::desk::LoadedSite {
        path: "/home/ubuntu/mosip/sandbox.toml".into(),
        draft: draft(),
        profile: profile(),
        fetched: true,
        run: Some(run),
    };
    told(&mut model, Told::Site(Ok(Box::new(loaded.clone()))));
    assert!(text(&model).contains("stopped at MOSIP cluster"), "{}", text(&model));
    let commands = press(&mut model, "Enter");
    assert!(matches!(commands[..], [Command::OpenRun { new: false, .. }]), "{commands:?}");
    told(&mut model, Told::Site(Ok(Box::new(loaded))));
    assert!(press(&mut model, "Right Enter").is_empty() && model.screen == Screen::Site);
}

#[test]
fn a_terminal_that_goes_does_not_stop_the_run() {
    let mut story = Story::begin(80, 24);
    story.go_to_cluster();
    let commands = app::update(&mut story.model, Msg::Gone);
    assert!(engine(&commands).is_none() && matches!(commands[..], [Command::Quit]), "{commands:?}");
}

#[test]
fn what_cannot_be_seen_is_not_decided() {
    let mut model = review(80, 24);
    app::update(&mut model, Msg::Resize(59, 14));
    assert!(press(&mut model, "s y Enter").is_empty() && model.popups.is_empty());
    assert!(matches!(press(&mut model, "^c")[..], [Command::Quit]));
}

#[test]
fn a_new_run_is_opened_from_the_summary_with_two_different_keys() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.finish();
    assert!(story.press("n n").is_empty(), "n again is no");
    let commands = story.press("n y");
    let [Command::OpenRun { new: true, .. }] = &commands[..] else { panic!("{commands:?}") };
    app::update(&mut story.model, Msg::Joined("/var/lib/mosip-setup/runs/r2".into()));
    assert_eq!(story.model.screen, Screen::Run);
    assert!(!story.model.review.begin, "it waits for the operator");
}

#[test]
fn the_end_of_a_run_shows_the_summary_and_rings() {
    let mut story = Story::begin(100, 30);
    story.go_to_cluster();
    story.finish();
    assert_eq!(story.model.screen, Screen::Summary);
    assert!(matches!(story.press("q")[..], [Command::Quit]));
}
