//! Each screen as text, at several sizes and on poor terminals.

use mosip_setup::run::event::Outcome;
use mosip_setup::ui::app::Model;
use mosip_setup::ui::desk::Told;
use mosip_setup::ui::theme::{Depth, Look};
use ratatui::style::Color;

use crate::ui_demo::{BAD, Story, draft, draw, knobs, plan, preflight, press, profile, review, site, started, text, told};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (60, 15)];

fn all(columns: u16, rows: u16) -> Vec<(&'static str, Model)> {
    let mut fields = site(columns, rows, draft());
    press(&mut fields, "Enter Down");
    let mut machines = site(columns, rows, draft());
    press(&mut machines, "Down Enter Down");
    let mut settings = site(columns, rows, draft());
    press(&mut settings, "End");
    told(&mut settings, Told::Knobs(Ok(knobs())));
    press(&mut settings, "Enter chart Down Down");
    let mut running = Story::begin(columns, rows);
    running.go_to_cluster();
    let mut failed = Story::begin(columns, rows);
    failed.go_to_cluster();
    failed.fail_cluster();
    let mut question = Story::begin(columns, rows);
    question.go_to_cluster();
    question.ask();
    let mut full = Story::begin(columns, rows);
    full.go_to_cluster();
    full.press("f");
    let mut summary = Story::begin(columns, rows);
    summary.go_to_cluster();
    summary.finish();
    let mut list = preflight(columns, rows, BAD, true);
    press(&mut list, "v");
    vec![
        ("start", started(columns, rows)),
        ("site", fields),
        ("machines", machines),
        ("settings", settings),
        ("preflight", preflight(columns, rows, BAD, false)),
        ("findings", list),
        ("review", review(columns, rows)),
        ("run", running.model),
        ("failure", failed.model),
        ("question", question.model),
        ("log", full.model),
        ("summary", summary.model),
    ]
}

#[test]
fn every_screen_at_every_size() {
    for (columns, rows) in SIZES {
        for (name, model) in all(columns, rows) {
            insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), text(&model));
        }
    }
}

#[test]
fn no_size_makes_a_screen_stumble() {
    for (columns, rows) in [(1, 1), (20, 5), (59, 15), (60, 14), (60, 16), (61, 15), (100, 15), (200, 50), (400, 100)] {
        for (_, mut model) in all(80, 24) {
            model.size = (columns, rows);
            let shown = text(&model);
            assert_eq!(columns < 60 || rows < 15, shown.contains("too small") || (columns < 30), "{columns}x{rows}\n{shown}");
        }
    }
}

#[test]
fn a_small_terminal_is_told_politely() {
    let mut model = started(80, 24);
    model.size = (50, 10);
    insta::assert_snapshot!(text(&model), @r"



                 This terminal is too small
         50 x 10; please make it 60 x 15 or larger.
               Nothing is lost; a run goes on.
    ");
}

#[test]
fn a_rehearsal_says_so_on_every_screen() {
    for (columns, rows) in [(80, 24), (60, 15), (40, 10)] {
        for (name, mut model) in all(80, 24) {
            model.rehearsal = true;
            model.size = (columns, rows);
            assert!(text(&model).contains("REHEARSAL"), "{name} at {columns}x{rows}");
        }
    }
}

#[test]
fn poor_terminals_show_the_same_words() {
    for (name, mut model) in all(100, 30) {
        let rich = text(&model);
        model.look = Look { depth: Depth::None, unicode: false };
        let buffer = draw(&model);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{name}");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{name}");
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        assert!(letters(&text(&model)).starts_with(&letters(&rich)[..40]), "{name}");
        model.look = Look { depth: Depth::Sixteen, unicode: true };
        let indexed = |color: Color| matches!(color, Color::Indexed(_) | Color::Rgb(..));
        assert!(draw(&model).content.iter().all(|cell| !indexed(cell.fg) && !indexed(cell.bg)), "{name}");
    }
}

#[test]
fn states_differ_without_colour() {
    use mosip_setup::run::state::PhaseState::*;
    let states = [Pending, Running, Done, Warned, Skipped, Failed, Interrupted, Stale, Stopped];
    let mut words: Vec<&str> = states.iter().map(|state| mosip_setup::ui::theme::phase(*state).1).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), states.len());
}

#[test]
fn wide_and_foreign_text_keeps_its_columns() {
    for name in ["नमस्ते दुनिया", "ሰላም ዓለም", "名前です世界", "مرحبا بالعالم"] {
        let mut draft = draft();
        draft.set(&profile(), "installation_name", name).unwrap();
        for (columns, rows) in SIZES {
            let mut model = site(columns, rows, draft.clone());
            press(&mut model, "Enter Down Down");
            let shown = text(&model);
            assert!(columns < 80 || shown.contains(name), "{shown}");
            // The line between the panes stands in one column, whatever is beside it.
            let buffer = draw(&model);
            let bar = (0..columns).find(|column| buffer[(*column, 3)].symbol() == "│").unwrap();
            assert!((2..rows - 4).all(|row| buffer[(bar, row)].symbol() == "│"), "{shown}");
        }
    }
}

#[test]
fn a_secret_being_typed_is_never_shown() {
    let mut model = site(80, 24, draft());
    press(&mut model, "Down Down Down Down Down Enter Enter Enter correct-horse-battery");
    let shown = text(&model);
    assert!(!shown.contains("horse") && shown.contains("•••••"), "{shown}");
}

#[test]
fn the_summary_never_counts_a_skipped_phase_as_done() {
    let mut story = Story::begin(100, 40);
    story.go_to_cluster();
    story.finish();
    let shown = text(&story.model);
    assert!(shown.contains("Done, but for 1 phase skipped") && shown.contains("6 of 7 phases done"), "{shown}");
    assert!(shown.contains("skipped by asha: no Rancher login at hand"), "{shown}");
    let farewell = mosip_setup::ui::summary::farewell(&story.model);
    assert!(farewell.contains("skipped: Import into Rancher") && farewell.contains("6 of 7 phases done"), "{farewell}");
}

#[test]
fn a_step_of_a_million_lines_costs_a_window() {
    let mut story = Story::begin(120, 40);
    story.start("prepare/files", 1);
    story.log = (0..1_000_000).map(|number| format!("line {number} {}\n", "x".repeat(90))).collect();
    story.wait(1);
    let run = story.model.run.as_ref().unwrap();
    assert!(run.log.window.lines.len() <= 40 && run.log.window.lines.last().unwrap().text.starts_with("line 999999"));
    story.press("PgUp PgUp g");
    let run = story.model.run.as_ref().unwrap();
    assert!(run.log.window.lines.len() <= 80 && run.log.window.first_offset == 0);
    assert!(text(&story.model).contains("line 0 xxx"));
    story.end("prepare/files", 1, Outcome::Done, 5);
    assert_eq!(plan().phases.len(), 7);
}
