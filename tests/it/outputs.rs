//! What real Ansible and Terraform have printed, as files, through parser, redactor and catalogue: what is understood of each stands in a
//! snapshot beside the tests, and no line is lost. How the files were made: `tests/fixtures/output/README.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use mosip_setup::adapters::ansible::Playbook;
use mosip_setup::adapters::terraform::Root;
use mosip_setup::run::detail::{Details, Told};
use mosip_setup::run::diagnose::{Catalogue, SHIPPED};
use mosip_setup::run::lines::Lines;
use mosip_setup::run::redact::{Redactor, Stream};
use mosip_setup::run::spot::Spotter;

use crate::support::{files_below, repository};

/// How the stream is cut: no cut may make a difference.
const CUTS: [usize; 3] = [usize::MAX, 61, 7];

/// Outputs of one tool, by its version and what was done.
fn outputs(tool: &str) -> Vec<(String, PathBuf)> {
    let folder = repository().join("tests/fixtures/output");
    let name = |path: &Path| path.strip_prefix(&folder).unwrap().with_extension("").display().to_string();
    let mut all: Vec<(String, PathBuf)> = files_below(&folder, ".out").into_iter().map(|path| (name(&path), path)).collect();
    all.retain(|(name, _)| name.starts_with(tool));
    all.sort();
    assert!(all.len() >= 8, "{all:?}");
    all
}

/// Known failures that are recognised as the output comes.
fn spotted(shown: &[u8]) -> Vec<String> {
    let (mut ids, mut spotter) = (Vec::new(), Spotter::new(Arc::new(Catalogue::read(SHIPPED).unwrap())));
    spotter.feed(shown, |hit| ids.push(hit.id));
    spotter.finish(|hit| ids.push(hit.id));
    ids
}

/// The tasks by host and the resources, as the screen shows them.
fn rows(details: &Details, said: &mut String) {
    for row in &details.tasks {
        let cells: Vec<String> = row.cells.iter().map(|(host, cell)| format!("{host} {:?}", cell.state)).collect();
        writeln!(said, "task {}{}: {}", row.name, if row.handler { " (handler)" } else { "" }, cells.join(", ")).unwrap();
    }
    for row in &details.resources {
        writeln!(said, "{} ({}): {:?} {}", row.address, row.action, row.state, row.reason).unwrap();
    }
    details.reasons.iter().for_each(|reason| writeln!(said, "reason: {reason}").unwrap());
}

fn apply(details: &mut Details, seen: Vec<mosip_setup::run::detail::Detail>) {
    let at = Timestamp::UNIX_EPOCH;
    seen.into_iter().for_each(|detail| details.apply(&Told { at, detail }));
}

fn of_ansible(out: &[u8], err: &[u8], cut: usize) -> (String, Vec<u8>) {
    let (mut playbook, mut lines, mut details) = (Playbook::new(0), Lines::default(), Details::default());
    let redactor = Redactor::new([]).unwrap();
    let (mut stream, mut shown) = (Stream::new(&redactor), Vec::new());
    for piece in out.chunks(cut.min(out.len().max(1))) {
        lines.feed(piece, |piece| playbook.piece(piece));
        apply(&mut details, playbook.take_seen());
        stream.feed(piece, &mut shown);
    }
    lines.finish(|piece| playbook.piece(piece));
    stream.finish(&mut shown);
    Lines::default().feed(err, |piece| playbook.complaint(piece.bytes));
    let verdict = playbook.verdict();
    let mut said = String::new();
    rows(&details, &mut said);
    verdict.lines.iter().for_each(|line| writeln!(said, "matters: {line}").unwrap());
    writeln!(said, "hosts {:?}, wrong {:?}, warning {:?}", verdict.hosts, verdict.wrong, verdict.warning).unwrap();
    writeln!(said, "known {:?}", spotted(&[shown.as_slice(), err].concat())).unwrap();
    (said, shown)
}

fn of_terraform(out: &[u8], cut: usize) -> (String, String) {
    let (mut root, mut lines, mut details) = (Root::default(), Lines::default(), Details::default());
    let mut shown = Vec::new();
    for piece in out.chunks(cut.min(out.len().max(1))) {
        lines.feed(piece, |piece| root.piece(piece, &mut shown));
        apply(&mut details, root.take_seen());
    }
    lines.finish(|piece| root.piece(piece, &mut shown));
    apply(&mut details, root.take_seen());
    let mut said = String::new();
    rows(&details, &mut said);
    root.errors().iter().for_each(|line| writeln!(said, "error: {line}").unwrap());
    let progress = root.take_progress().unwrap();
    writeln!(
        said,
        "{} of {} {}; destroys {:?}, tainted {:?}",
        progress.done,
        progress.total,
        progress.unit,
        root.destroys(),
        root.tainted()
    )
    .unwrap();
    let known = if root.is_interrupted() { Vec::new() } else { spotted(&shown) };
    writeln!(said, "known {known:?}, interrupted {}", root.is_interrupted()).unwrap();
    (said, String::from_utf8(shown).unwrap())
}

#[test]
fn what_ansible_prints_is_understood_and_kept() {
    let mut all = String::new();
    for (name, path) in outputs("ansible") {
        let out = fs::read(&path).unwrap();
        let err = fs::read(path.with_extension("err")).unwrap_or_default();
        let (said, shown) = of_ansible(&out, &err, CUTS[0]);
        assert_eq!(shown, out, "{name}: every byte is kept");
        for cut in CUTS {
            assert_eq!(of_ansible(&out, &err, cut).0, said, "{name}, cut at every {cut} bytes");
        }
        write!(all, "== {name}\n{said}\n").unwrap();
    }
    insta::assert_snapshot!(all);
}

/// What both versions print of the same playbook means the same.
#[test]
fn versions_of_ansible_are_understood_alike() {
    let all = outputs("ansible");
    for (name, path) in &all {
        let (version, what) = name.split_once('/').unwrap();
        let others = all.iter().filter(|(other, _)| other.split_once('/').is_some_and(|(other, same)| same == what && other != version));
        for (other, its) in others {
            let said =
                |path: &Path| of_ansible(&fs::read(path).unwrap(), &fs::read(path.with_extension("err")).unwrap_or_default(), CUTS[0]).0;
            // From 2.19 on a message says first that the task failed.
            let plain = |text: String| text.replace("Task failed: ", "").replace("Module failed: ", "");
            assert_eq!(plain(said(path)), plain(said(its)), "{name} and {other}");
        }
    }
}

#[test]
fn what_terraform_prints_is_understood_and_kept() {
    let mut all = String::new();
    for (name, path) in outputs("terraform") {
        let out = fs::read(&path).unwrap();
        let (said, shown) = of_terraform(&out, CUTS[0]);
        for line in String::from_utf8(out.clone()).unwrap().lines() {
            // Of an event its message is shown, of anything else all of it.
            let event: Option<serde_json::Value> = serde_json::from_str(line).ok();
            let text = event.as_ref().and_then(|event| event["@message"].as_str()).unwrap_or(line);
            assert!(shown.contains(text), "{name}: {line}");
        }
        for cut in CUTS {
            assert_eq!(of_terraform(&out, cut), (said.clone(), shown.clone()), "{name}, cut at every {cut} bytes");
        }
        write!(all, "== {name}\n{said}\n").unwrap();
    }
    insta::assert_snapshot!(all);
}
