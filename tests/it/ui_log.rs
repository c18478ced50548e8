//! The log of a step as an operator reads it: searched, filtered, timed, copied, paged.

use mosip_setup::adapters::logs::times::{MarkedLog, Times};
use mosip_setup::ui::app::{self, Msg};
use mosip_setup::ui::desk::{Command, Told, Trouble};
use mosip_setup::ui::keymap::Context;
use mosip_setup::ui::popup::Popup;
use mosip_setup::ui::theme;
use std::io::Write;

use crate::ui_demo::{Story, draw, plan, press, text, told};

/// The run screen with a step under way that has printed this.
fn reading(columns: u16, rows: u16, log: &str) -> Story {
    let mut story = Story::begin(columns, rows);
    story.start("prepare/files", 1);
    story.log = log.to_owned();
    story.wait(1);
    story
}

fn numbered(count: usize) -> String {
    (0..count).map(|number| format!("{} line {number}\n", if number % 10 == 7 { "changed: [vm1]" } else { "ok: [vm1]" })).collect()
}

fn first_line(story: &Story) -> String {
    story.model.run.as_ref().unwrap().log.window.lines.first().map(|line| line.text.clone()).unwrap_or_default()
}

/// Types into the popup on top, a letter at a time.
fn type_text(story: &mut Story, text: &str) {
    for letter in text.chars() {
        let word = if letter == ' ' { "Space".to_owned() } else { letter.to_string() };
        press(&mut story.model, &word);
    }
}

#[test]
fn a_regular_expression_is_searched_in_both_directions_and_counted() {
    let mut story = reading(120, 30, &numbered(500));
    story.press("f /");
    type_text(&mut story, "line [24]9[0-9]$");
    story.press("Enter");
    assert_eq!(first_line(&story), "ok: [vm1] line 499", "from the end it goes backwards");
    assert!(text(&story.model).contains("/line [24]9[0-9]$ 20 of 20"), "{}", text(&story.model));
    story.press("N N");
    assert_eq!(first_line(&story), "changed: [vm1] line 497");
    story.press("n");
    assert_eq!(first_line(&story), "ok: [vm1] line 498");
    assert!(text(&story.model).contains("19 of 20"), "{}", text(&story.model));
    let marked = draw(&story.model).content().iter().filter(|cell| Some(cell.bg) == theme::found().bg).count();
    assert_eq!(marked, 2 * "line 498".len(), "both matches on the screen are marked, to the letter");
    story.press("g n n n");
    assert_eq!(first_line(&story), "ok: [vm1] line 292");
    story.press("G");
    story.press("n");
    assert!(text(&story.model).contains("No further line matches"), "{}", text(&story.model));
    // Nothing typed: nothing is marked.
    story.press("/ ^u Enter");
    assert!(story.model.run.as_ref().unwrap().log.search.is_none());
}

#[test]
fn what_is_no_expression_is_said_while_it_is_typed_and_not_taken() {
    for key in ["/", "&"] {
        let mut story = reading(100, 30, "fatal: [vm1]\n");
        story.press(key);
        type_text(&mut story, "fatal: [vm1");
        assert!(text(&story.model).contains("unclosed character class"), "{}", text(&story.model));
        story.press("Enter");
        assert_eq!(story.model.context(), Context::Entry, "the popup stays");
        story.press("^u fatal Enter");
        assert_eq!(story.model.context(), Context::Run);
    }
}

#[test]
fn a_filter_shows_its_badge_scrolls_and_is_lifted() {
    let mut story = reading(80, 24, &numbered(1000));
    story.press("&");
    type_text(&mut story, "^changed");
    story.press("Enter");
    let shown = text(&story.model);
    assert!(shown.contains("FILTER ^changed (100)") && shown.contains("line 997") && !shown.contains("line 996"), "{shown}");
    // It grows with its log.
    story.log.push_str("ok: more\nchanged: the newest\n");
    story.wait(1);
    story.wait(1);
    assert!(text(&story.model).contains("changed: the newest") && text(&story.model).contains("(101)"), "{}", text(&story.model));
    story.press("PgUp");
    let top = first_line(&story);
    assert!(top.starts_with("changed"), "{top}");
    story.press("g");
    assert_eq!(first_line(&story), "changed: [vm1] line 7");
    story.press("j j");
    assert_eq!(first_line(&story), "changed: [vm1] line 27");
    // A search goes through what is shown.
    story.press("/");
    type_text(&mut story, "line 5");
    story.press("Enter");
    assert_eq!(first_line(&story), "changed: [vm1] line 57");
    assert!(text(&story.model).contains("/line 5 1 of"), "{}", text(&story.model));
    assert_eq!(story.model.run.as_ref().unwrap().log.search.as_ref().unwrap().known.count(), 11, "of those that are shown alone");
    // Lifted, the line that was found stays in sight.
    story.press("u");
    let shown = text(&story.model);
    assert!(!shown.contains("FILTER") && shown.contains("line 57") && shown.contains("line 58"), "{shown}");
    story.press("&");
    type_text(&mut story, "nowhere");
    story.press("Enter");
    assert!(text(&story.model).contains("No line matches nowhere"), "{}", text(&story.model));
    // On the whole screen Esc lifts it first.
    story.press("f Esc");
    assert_eq!(story.model.context(), Context::LogFull);
    assert!(!text(&story.model).contains("FILTER"));
    story.press("Esc");
    assert_eq!(story.model.context(), Context::Run);
}

#[test]
fn errors_and_changes_are_one_key_away() {
    let log = "TASK [a]\nok: [vm1]\nfatal: [vm1]: FAILED! => {}\n...ignoring\nTASK [b]\nchanged: [vm2]\nTASK [c]\nfatal: [vm2]: FAILED! => {}\nok: [vm1]\n";
    let log = format!("{log}{}", "padding\n".repeat(100));
    let mut story = reading(100, 30, &log);
    story.press("{");
    assert_eq!(first_line(&story), "fatal: [vm2]: FAILED! => {}");
    story.press("(");
    assert_eq!(first_line(&story), "changed: [vm2]");
    story.press("{");
    assert!(text(&story.model).contains("No further error"), "one that is ignored is none:\n{}", text(&story.model));
    story.press("}");
    assert_eq!(first_line(&story), "fatal: [vm2]: FAILED! => {}");
    story.press(")");
    assert!(text(&story.model).contains("No further change"), "{}", text(&story.model));
}

#[test]
fn times_stand_before_the_lines_where_they_were_kept() {
    let mut story = reading(100, 30, "one\ntwo\n");
    story.press("T");
    assert!(text(&story.model).contains("no times were kept"), "an attempt of before has none:\n{}", text(&story.model));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output.log");
    MarkedLog::open(&path).unwrap().write_all(b"one\ntwo\n").unwrap();
    story.times = Times::of(&path);
    story.wait(1);
    let at = story.times.as_ref().unwrap().at(0).unwrap().strftime("%H:%M:%S one").to_string();
    assert!(text(&story.model).contains(&at) && text(&story.model).contains("UTC"), "{}", text(&story.model));
    story.press("T");
    assert!(!text(&story.model).contains(&at), "{}", text(&story.model));
}

#[test]
fn wide_lines_go_sideways_or_are_wrapped() {
    let wide: String = (0..30).map(|number| format!("part{number:02} ")).collect();
    let mut story = reading(80, 24, &format!("\u{1b}[31m{wide}\u{1b}[0m\n"));
    assert!(text(&story.model).contains("part00") && !text(&story.model).contains("part20"));
    story.press("> > > > > > > >");
    let shown = text(&story.model);
    assert!(shown.contains("part20") && !shown.contains("part00") && shown.contains("from column 129"), "{shown}");
    // The arrows do the same where the log has the focus; at the left edge they lead back to the phases.
    story.press("Tab Left Left Left Left Left Left Left Left");
    assert!(text(&story.model).contains("part00"), "{}", text(&story.model));
    story.press("Right");
    assert!(!text(&story.model).contains("part00"));
    story.press("w");
    let shown = text(&story.model);
    assert!(shown.contains("part00") && shown.contains("part29"), "wrapped, all of it is there:\n{shown}");
}

#[test]
fn a_log_is_copied_to_a_file_and_opened_in_the_pager() {
    let mut story = reading(100, 30, &numbered(50));
    story.press("o");
    let shown = text(&story.model);
    assert!(
        shown.contains("0600") && shown.contains("prepare.files-1.log") && shown.contains("output.log"),
        "both paths are shown:\n{shown}"
    );
    let commands = story.press("Enter");
    let [Command::SaveLog(save)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(save.to.to_str(), Some("/home/ubuntu/mosip/prepare.files-1.log"));
    assert!(save.wanted.is_none() && !save.times);
    told(&mut story.model, Told::LogSaved(Ok((save.to.clone(), 50))));
    assert!(text(&story.model).contains("50 lines are in /home/ubuntu/mosip/prepare.files-1.log (0600)"), "{}", text(&story.model));
    told(&mut story.model, Told::LogSaved(Err(Trouble::new("/x is there already"))));
    assert!(matches!(story.model.popups.last(), Some(Popup::Confirm { bad: true, .. })));
    story.press("Esc g");
    let commands = story.press("j p");
    let Some(Command::Page(page)) = commands.last() else { panic!("{commands:?}") };
    assert_eq!((page.offset, page.path.ends_with("output.log")), (17, true));
    // With a filter, what is shown is what is copied.
    story.press("&");
    type_text(&mut story, "changed");
    story.press("Enter o");
    let commands = story.press("Enter");
    assert!(
        matches!(&commands[..], [Command::SaveLog(save)] if save.wanted.as_ref().is_some_and(|wanted| wanted.pattern.text() == "changed"))
    );
    app::update(&mut story.model, Msg::TakenBack(Some("The log cannot be paged: no pager".into())));
    assert!(text(&story.model).contains("no pager"));
}

#[test]
fn a_search_says_how_far_it_is_and_is_called_off() {
    let mut story = reading(120, 30, &numbered(1000));
    let size = story.log.len() as u64;
    story.press("g");
    story.press("f /");
    type_text(&mut story, "nowhere");
    let commands = press(&mut story.model, "Enter");
    let Some(Command::SearchLog(search)) = commands.iter().find(|command| matches!(command, Command::SearchLog(_))) else {
        panic!("{commands:?}")
    };
    assert!(text(&story.model).contains("searching /nowhere: 0%"), "at once:\n{}", text(&story.model));
    told(&mut story.model, Told::LogSearching { ticket: search.ticket, at: size / 2 });
    assert!(text(&story.model).contains("searching /nowhere: 50%"), "{}", text(&story.model));
    // Keys are taken meanwhile.
    story.press("j");
    assert_eq!(first_line(&story), "ok: [vm1] line 1");
    let commands = press(&mut story.model, "Esc");
    assert!(matches!(commands[..], [Command::CancelSearch]), "{commands:?}");
    assert_eq!(story.model.context(), Context::LogFull, "it is called off and nothing else");
    told(&mut story.model, Told::LogFound { ticket: search.ticket, found: Ok(Some(0)) });
    assert_eq!(first_line(&story), "ok: [vm1] line 1", "what comes too late moves nothing");
}

#[test]
fn all_of_the_failure_panel_can_be_read_on_a_small_screen() {
    let mut story = Story::begin(80, 24);
    story.go_to_cluster();
    story.fail_cluster();
    let shown = text(&story.model);
    assert!(shown.contains("what ") && shown.contains("where") && shown.contains("▸ Retry"), "{shown}");
    let mut seen = shown;
    for _ in 0..9 {
        story.press("PgDn");
        seen.push_str(&text(&story.model));
    }
    for part in ["exit     code 4", "remedy", "UNREACHABLE!", "by hand", "cd /home", "ansible-playbook -i", "log  "] {
        assert!(seen.contains(part), "{part}:\n{seen}");
    }
    let bottom = text(&story.model);
    story.press("PgUp");
    assert_ne!(text(&story.model), bottom, "one page up is one page up, however often it went down");
    story.press("j k Home");
    assert!(text(&story.model).contains("what "), "{}", text(&story.model));
    // A jump in the log leads to the log.
    story.press("Esc {");
    assert!(!text(&story.model).contains("▸ Retry"), "{}", text(&story.model));
}

#[test]
fn what_failed_can_be_run_by_hand() {
    let plan = plan();
    let step = plan.step(&"services/apply".parse().unwrap()).unwrap();
    let typed = step.by_hand("terraform apply -input=false -json .mosip-setup.tfplan");
    let dir = step.dir.clone().unwrap();
    // The saved plan is gone when an attempt has ended, and people read no JSON.
    assert!(typed.starts_with(&format!("cd {dir} && terraform apply")) && !typed.contains("tfplan") && !typed.contains("-json"), "{typed}");
    assert_eq!(step.by_hand("terraform init -input=false -json"), format!("cd {dir} && terraform init"));
    assert_eq!(step.by_hand(""), "");
}
