//! The pictures in `screenshots/` are the real screens; this fails when they are not. `UPDATE_SCREENSHOTS=1` makes them anew.

use std::path::Path;

use mosip_setup::ui::app::Model;
use mosip_setup::ui::svg::svg;

use crate::ui_demo::{BAD, Story, draft, draw, knobs, preflight, press, review, site, started, told};

fn screens() -> Vec<(&'static str, &'static str, Model)> {
    let (wide, high) = (120, 36);
    let mut fields = site(wide, high, {
        let mut draft = draft();
        draft.set(&crate::ui_demo::profile(), "domain", "Sandbox.example.org").unwrap_err();
        draft
    });
    press(&mut fields, "Enter");
    let mut machines = site(wide, high, draft());
    press(&mut machines, "Down Enter Down Down");
    let mut roles = site(wide, high, draft());
    press(&mut roles, "Down Enter Down Down Down BackTab Space");
    let mut settings = site(wide, high, draft());
    press(&mut settings, "End");
    told(&mut settings, mosip_setup::ui::desk::Told::Knobs(Ok(knobs())));
    press(&mut settings, "Enter helm Down");
    let mut diff = review(wide, high);
    press(&mut diff, "Down Down Down Down Down Down Down");
    let mut running = Story::begin(wide, high);
    running.go_to_cluster();
    let mut failed = Story::begin(wide, high);
    failed.go_to_cluster();
    failed.fail_cluster();
    let mut question = Story::begin(wide, high);
    question.go_to_cluster();
    question.ask();
    let mut skip = Story::begin(wide, high);
    skip.go_to_cluster();
    skip.press("Down s");
    let mut summary = Story::begin(wide, high);
    summary.go_to_cluster();
    summary.finish();
    let mut help = preflight(wide, high, BAD, true);
    press(&mut help, "?");
    let mut rehearsal = started(wide, high);
    rehearsal.rehearsal = true;
    vec![
        ("start", "Start", started(wide, high)),
        ("site", "Site", fields),
        ("machines", "Machines", machines),
        ("roles", "Roles of a machine", roles),
        ("settings", "All settings", settings),
        ("preflight", "Preflight", preflight(wide, high, BAD, true)),
        ("paths", "Who reaches whom", crate::ui_paths::matrix(wide, high, false)),
        ("host-keys", "Host keys of the machines", crate::ui_hosts::first_contact(wide, high)),
        ("review", "Review", review(wide, high)),
        ("diff", "Review of a file", diff),
        ("run", "Run", running.model),
        ("failure", "A failed phase", failed.model),
        ("question", "A question of the run", question.model),
        ("skip", "Skipping a phase", skip.model),
        ("summary", "Summary", summary.model),
        ("help", "Help", help),
        ("rehearsal", "A rehearsal", rehearsal),
    ]
}

#[test]
fn pictures_are_the_real_screens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    let update = std::env::var_os("UPDATE_SCREENSHOTS").is_some();
    let mut stale = Vec::new();
    for (name, title, model) in screens() {
        let picture = svg(&draw(&model), title);
        let path = folder.join(format!("{name}.svg"));
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &picture).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(picture.as_str()) {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "these pictures are not what the screens show now: {stale:?}; make them anew with UPDATE_SCREENSHOTS=1");
}
