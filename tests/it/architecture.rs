//! The rules of the house that no lint keeps. Only code counts: comments are left out, and so is what follows
//! `#[cfg(test)]`, which by convention ends a file.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::{files_below, listed, repository};

/// A file grows to about this many lines of code (blank lines, comments and tests left out); then it is two rooms.
const MOST_LINES: usize = 500;

/// A wing, what it may not name, and why.
const RULES: &[(&[&str], &[&str], &str)] = &[
    (
        &["install", "run"],
        &[
            r"\bstd::(fs|process|env|net::(Tcp|Udp|ToSocket))",
            r"\btokio\b",
            r"\bratatui\b",
            r"\bcrossterm\b",
            r"\bSystemTime\b",
            r"\bInstant::now\b",
            r"\b(Timestamp|Zoned)::now\b",
        ],
        "it is pure: no clock, files, network, processes or terminal",
    ),
    (&["install"], &[r"\bcrate::(run|adapters|engine|ui|plain|cli)\b"], "install is the ground floor"),
    (&["run"], &[r"\bcrate::(adapters|engine|ui|plain|cli)\b"], "run stands on install alone"),
    (&["adapters"], &[r"\bcrate::(engine|ui|plain|cli)\b"], "adapters do not look up"),
    (&["engine"], &[r"\bcrate::(ui|plain|cli)\b"], "the engine does not know who watches"),
    (&["ui"], &[r"\bcrate::cli\b", r"\bcrate::plain\b"], "the screens do not look up or across"),
    (
        &["ui", "plain"],
        &[r"\bcrate::engine::(?:[a-bd-oq-rt-z]|c[^l]|p[^r]|pr[^o]|pro[^t]|s[^e])\w*", r"\bcrate::engine::server\b"],
        "front ends know the engine's client, setup and protocol, never its inside",
    ),
    (&["plain"], &[r"\bcrate::(cli|ui)\b"], "plain output does not look up or across"),
];

/// The code of a file: without comments and tests, each line with its number.
fn code(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() }))
        .collect()
}

/// Every file of `src` as (path from there, its code).
fn source() -> Vec<(String, Vec<(usize, String)>)> {
    let folder = repository().join("src");
    let read = |path: &Path| {
        let name = path.strip_prefix(&folder).expect("a path in src").to_str().expect("a path in UTF-8").to_owned();
        (name, code(&fs::read_to_string(path).expect("a source file")))
    };
    files_below(&folder, ".rs").iter().map(|path| read(path)).collect()
}

fn in_wing(name: &str, wing: &str) -> bool {
    name == format!("{wing}.rs") || name.starts_with(&format!("{wing}/"))
}

#[test]
fn nothing_points_back_up() {
    let mut problems = Vec::new();
    for (wings, patterns, why) in RULES {
        for pattern in *patterns {
            let pattern = Regex::new(pattern).expect("a pattern");
            for (name, lines) in source().iter().filter(|(name, _)| wings.iter().any(|wing| in_wing(name, wing))) {
                for (number, line) in lines.iter().filter(|(_, line)| pattern.is_match(line)) {
                    problems.push(format!("src/{name}:{number}: {} ({why})", line.trim()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

#[test]
fn imports_name_their_wing() {
    // `use crate::{run::…, engine::…}` and a climb by `super::super::super` would hide what the rules look for.
    let hidden = Regex::new(r"\buse (crate|mosip_setup)::\{|\bsuper::super::super\b|\bmosip_setup::").expect("a pattern");
    let mut problems = Vec::new();
    for (name, lines) in source().iter().filter(|(name, _)| name != "main.rs" && name != "lib.rs") {
        for (number, line) in lines.iter().filter(|(_, line)| hidden.is_match(line)) {
            problems.push(format!("src/{name}:{number}: {}", line.trim()));
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

#[test]
fn files_stay_small() {
    let mut problems = Vec::new();
    for (name, lines) in source() {
        let count = lines.iter().filter(|(_, line)| !line.trim().is_empty()).count();
        if count > MOST_LINES {
            problems.push(format!("src/{name}: {count} lines of code, {MOST_LINES} are enough"));
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

#[test]
fn mod_files_only_declare() {
    let item =
        Regex::new(r"^\s*(pub(\([a-z]+\))? )?(async )?(fn|struct|enum|trait|impl|const|static|type|macro_rules!)\b").expect("a pattern");
    let mut problems = Vec::new();
    for (name, lines) in source().iter().filter(|(name, _)| name.ends_with("mod.rs")) {
        for (number, line) in lines.iter().filter(|(_, line)| item.is_match(line)) {
            problems.push(format!("src/{name}:{number}: {}", line.trim()));
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

#[test]
fn only_plain_and_cli_print_and_nothing_is_unsafe() {
    let print = Regex::new(r"\be?print(ln)?!|\bdbg!").expect("a pattern");
    let unsafe_code = Regex::new(r"\bunsafe\b").expect("a pattern");
    let mut problems = Vec::new();
    for (name, lines) in source() {
        let may_print = in_wing(&name, "plain") || in_wing(&name, "cli");
        for (number, line) in lines {
            if print.is_match(&line) && !may_print || unsafe_code.is_match(&line) {
                problems.push(format!("src/{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

#[test]
fn the_pattern_for_the_engine_lets_only_its_front_doors_through() {
    let (_, patterns, _) = RULES.iter().find(|(wings, ..)| wings == &["ui", "plain"]).expect("the rule");
    let refused = |text: &str| patterns.iter().any(|pattern| Regex::new(pattern).expect("a pattern").is_match(text));
    for open in ["client", "protocol", "setup"] {
        assert!(!refused(&format!("use crate::engine::{open}::X;")), "{open}");
    }
    for closed in ["driver", "ports", "checks", "background", "attempt", "server", "spawn", "runner", "pump", "prompter", "prompting"] {
        assert!(refused(&format!("use crate::engine::{closed}::X;")), "{closed}");
    }
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let mut problems = Vec::new();
    for folder in ["src", "tests", "assets", "profiles", "docs"].map(|folder| repository().join(folder)) {
        if !folder.exists() {
            continue;
        }
        for path in files_below(&folder, "") {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            // Written in two parts, so that this file is not its own first finding.
            let home = repository().display().to_string();
            if text.contains(&home) || text.contains(concat!("/root", "/.cargo")) {
                problems.push(path.display().to_string());
            }
        }
    }
    assert!(problems.is_empty(), "{}", listed(&problems));
}

/// Who asks OpenSSL for its errors first, without setting it up, has it torn down when the program ends, under threads that still use it.
#[test]
fn openssl_is_set_up_before_anything_else_uses_it() {
    let main = fs::read_to_string(repository().join("src/main.rs")).expect("the entry");
    let place = |text: &str| main.find(text).unwrap_or_else(|| panic!("src/main.rs lacks {text}"));
    assert!(place("openssl::init();") < place("mosip_setup::cli::root::main()"));
}
