//! The documents: their examples are read, their tables are compared with the code, their commands with the program.
//!
//! Tables between `<!-- generated: … -->` and `<!-- end -->` are made from the code. After a change of the code, write them anew with
//! `MOSIP_SETUP_WRITE_DOCS=1 cargo test --test it docs`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use mosip_setup::adapters::profiles;
use mosip_setup::install::check::{CheckKind, CheckSpec, DnsRecord, Level};
use mosip_setup::install::field::{Choice, Condition, Field, FieldKind};
use mosip_setup::install::fix::Fix;
use mosip_setup::install::helm::{HelmSpec, ReleaseRule};
use mosip_setup::install::profile::{
    AnsibleSpec, AskSpec, Count, FileOrigin, OutcomeLine, Profile, Prompt, Refusal, Relation, Repeat, Role, SectionSpec, Source, SshSpec,
    StepKind, TasksEach, Terminal, TerraformSpec, WaitSpec,
};
use mosip_setup::install::profile_reader::read;
use mosip_setup::ui::keymap::{self, Context};
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::{Place, repository};

const GUIDE: &str = "docs/profile.md";
const PAGES: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "docs/operators-guide.md",
    "docs/profile.md",
    "docs/design.md",
    "docs/preflight.md",
    "docs/preflight-coverage.md",
    "docs/preflight-v3.md",
    "docs/operators-guide-v3.md",
    "docs/v3-pitfalls.md",
    "docs/v3-prompts.md",
];

fn page(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a language, each with the number of its first line.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, Option<bool>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(_), Some(_)) => open = None,
            (Some(name), None) => {
                open = Some(name == language);
                if name == language {
                    found.push((number + 2, String::new()));
                }
            }
            (None, Some(true)) => found.last_mut().unwrap().1.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    found
}

/// The part of a page below a heading, down to the next one of the same or a higher level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}")) + 1;
    let level = heading.chars().take_while(|c| *c == '#').count();
    let rest = &text[start + heading.len()..];
    let next = Regex::new(&format!(r"\n#{{1,{level}}} ")).unwrap();
    &rest[..next.find(rest).map_or(rest.len(), |found| found.start())]
}

/// What the code itself says it knows: the names after "expected" in the message about a name it cannot know.
fn known<T: DeserializeOwned>(wrong: Value) -> Vec<String> {
    let message = match serde_json::from_value::<T>(wrong) {
        Ok(_) => panic!("an unknown name was accepted"),
        Err(error) => error.to_string(),
    };
    let (_, names) = message.split_once(", ").unwrap_or_else(|| panic!("no names in {message:?}"));
    assert!(message.starts_with("unknown "), "{message}");
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn examples() -> Vec<(usize, String)> {
    let header = "schema = 1\nid = \"variant\"\ntitle = \"A variant\"\nextends = \"example\"\n";
    let whole = |text: String| {
        if text.starts_with("schema") {
            text
        } else if text.starts_with("[[phase.step]]") {
            format!("{header}[[phase]]\nid = \"steps\"\ntitle = \"Steps\"\n{text}")
        } else {
            format!("{header}{text}")
        }
    };
    blocks(&page(GUIDE), "toml").into_iter().map(|(line, text)| (line, whole(text))).collect()
}

fn example_profiles() -> Vec<Profile> {
    let examples = examples();
    let base = examples.first().expect("the whole profile").1.clone();
    let lookup = |id: &str| (id == "example").then(|| ("the first example".to_owned(), base.clone()));
    let one = |(line, text): &(usize, String)| match read(&format!("{GUIDE}:{line}"), text, &lookup) {
        Ok(profile) => profile,
        Err(problems) => {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("the example at {GUIDE}:{line} is refused:\n{}\n{text}", list.join("\n"))
        }
    };
    examples.iter().map(one).collect()
}

#[test]
fn every_example_of_the_profile_guide_is_a_profile() {
    assert!(example_profiles().len() >= 20);
}

#[test]
fn every_kind_has_an_example() {
    let profiles = example_profiles();
    let fields: BTreeSet<FieldKindName> = profiles.iter().flat_map(|profile| &profile.fields).map(|field| name_of(&field.kind)).collect();
    let checks: BTreeSet<String> = profiles.iter().flat_map(|profile| &profile.checks).map(|check| check.kind.name()).collect();
    let relations: BTreeSet<String> = profiles
        .iter()
        .flat_map(|profile| &profile.relations)
        .map(|relation| serde_json::to_value(relation).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    let steps: BTreeSet<String> = profiles
        .iter()
        .flat_map(|profile| &profile.phases)
        .flat_map(|phase| &phase.steps)
        .map(|step| outer_name(&serde_json::to_value(&step.action).unwrap()))
        .collect();
    let files: BTreeSet<String> =
        profiles.iter().flat_map(|profile| &profile.files).map(|file| outer_name(&serde_json::to_value(&file.origin).unwrap())).collect();
    for (what, all, shown) in [
        ("field", known::<FieldKind>(json!("?")), fields),
        ("check", known::<CheckKind>(json!({ "kind": "?" })), checks),
        ("relation", known::<Relation>(json!({ "kind": "?" })), relations),
        ("step", known::<StepKind>(json!({ "?": 1 })), steps),
        ("file", known::<FileOrigin>(json!({ "?": 1 })), files),
    ] {
        let missing: Vec<&String> = all.iter().filter(|name| !shown.contains(*name)).collect();
        assert!(missing.is_empty(), "{GUIDE} has no example of these kinds of {what}: {missing:?}");
    }
}

type FieldKindName = String;

fn name_of(kind: &FieldKind) -> FieldKindName {
    serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()
}

fn outer_name(value: &Value) -> String {
    value.as_object().and_then(|table| table.keys().next()).expect("a tagged value").clone()
}

#[test]
fn every_kind_and_every_key_is_explained() {
    let text = page(GUIDE);
    let unknown = || json!({ "?": 1 });
    let mut wanted: Vec<(&str, Vec<String>)> = vec![
        ("## Sources", known::<Source>(unknown())),
        ("## Sources", known::<Refusal>(unknown())),
        ("## Fields", known::<Field>(unknown())),
        ("## Fields", known::<Choice>(unknown())),
        ("### Kinds of fields", known::<FieldKind>(json!("?"))),
        ("## Roles", known::<Role>(unknown())),
        ("## Roles", known::<Count>(unknown())),
        ("## Relations", known::<Relation>(json!({ "kind": "?" }))),
        ("## Checks", known::<CheckKind>(json!({ "kind": "?" }))),
        ("## Checks", known::<Level>(json!("?"))),
        ("### Names and ways through the network", known::<DnsRecord>(unknown())),
        ("### Fixes", known::<Fix>(unknown())),
        ("## Files", known::<SectionSpec>(unknown())),
        ("## Steps", known::<Repeat>(json!("?"))),
        ("## Steps", known::<Terminal>(json!("?"))),
        ("## Steps", known::<Prompt>(unknown())),
        ("### Guarded helm", known::<HelmSpec>(unknown())),
        ("### Guarded helm", known::<ReleaseRule>(unknown())),
        ("## Steps", known::<StepKind>(unknown())),
        ("### `ansible`", known::<AnsibleSpec>(unknown())),
        ("### `ansible`", known::<TasksEach>(unknown())),
        ("### `terraform`", known::<TerraformSpec>(unknown())),
        ("### `ssh`", known::<SshSpec>(unknown())),
        ("### `wait`", known::<WaitSpec>(unknown())),
        ("### `ask`", known::<AskSpec>(unknown())),
        ("## Outcome", known::<OutcomeLine>(unknown())),
    ];
    // Tables that are read in two parts have no list of their own in the code; these are the reader's.
    let list = |names: &str| names.split_whitespace().map(str::to_owned).collect();
    wanted.push(("## The top of the file", list("schema id title summary extends remove")));
    wanted.push(("## Checks", list("id title kind level roles guards provided_by on_demand when remedy fix")));
    wanted.push((
        "## Files",
        list("target secret when edit create copy once set add section advanced hide secret_keys text lists from random_hex unless"),
    ));
    wanted.push(("## Phases", list("id title help needs after reads expect_minutes skip when step")));
    wanted.push((
        "## Steps",
        list("id title when dir env kubeconfig repeat verify unless on_retry terminal prompts helm slow_after_minutes"),
    ));
    wanted.push(("### Conditions", vec!["when".into()]));
    for name in known::<Condition>(unknown()) {
        assert!(section(&text, "### Conditions").contains(&format!("{name} = ")), "{name}");
    }
    for (heading, names) in wanted {
        let part = section(&text, heading);
        for name in names {
            assert!(part.contains(&format!("`{name}`")), "{GUIDE}, {heading}: `{name}` is not explained");
        }
    }
    // The keys of a check or a relation stand in the row of its kind.
    for (heading, kinds, keys) in [
        ("## Checks", known::<CheckKind>(json!({ "kind": "?" })), known_of_check as fn(&str) -> Vec<String>),
        ("## Relations", known::<Relation>(json!({ "kind": "?" })), known_of_relation),
    ] {
        let part = section(&text, heading);
        for kind in kinds {
            let row = part.lines().find(|line| line.starts_with(&format!("| `{kind}` |"))).unwrap_or_else(|| panic!("no row for {kind}"));
            for key in keys(&kind) {
                assert!(row.contains(&format!("`{key}`")), "{GUIDE}, {heading}, {kind}: `{key}` is not explained");
            }
        }
    }
}

fn known_of_check(kind: &str) -> Vec<String> {
    keys_of_tagged::<CheckKind>(kind)
}

fn known_of_relation(kind: &str) -> Vec<String> {
    keys_of_tagged::<Relation>(kind)
}

fn keys_of_tagged<T: DeserializeOwned>(kind: &str) -> Vec<String> {
    match serde_json::from_value::<T>(json!({ "kind": kind, "?": 1 })) {
        Ok(_) => panic!("{kind} takes any key"),
        Err(error) if error.to_string().contains("there are no fields") => Vec::new(),
        Err(_) => known::<T>(json!({ "kind": kind, "?": 1 })),
    }
}

#[test]
fn the_documents_name_commands_and_options_that_exist() {
    let place = Place::new();
    let root = place.run(&["--help"]).expect(0).out;
    let (_, commands) = root.split_once("Commands:\n").expect("a list of commands");
    let (commands, _) = commands.split_once("\n\n").expect("the end of the list");
    let name = Regex::new(r"(?m)^  ([a-z]+)").unwrap();
    let verbs: BTreeSet<&str> =
        name.captures_iter(commands).map(|found| found.get(1).unwrap().as_str()).filter(|verb| *verb != "help").collect();
    let call = Regex::new(r"mosip-setup ((?:--[a-z-]+|[a-z]+)(?: [^`\n;|]*)?)").unwrap();
    let option = Regex::new(r"--[a-z][a-z-]*").unwrap();
    let mut named = BTreeSet::new();
    for file in PAGES {
        for line in page(file).lines() {
            let code = line.starts_with("    ") || line.contains('`');
            for found in call.captures_iter(line).filter(|_| code) {
                let words = &found[1];
                let verb = words.split_whitespace().next().unwrap();
                let help = if verbs.contains(verb) {
                    named.insert(verb.to_owned());
                    let sub = words.split_whitespace().nth(1).filter(|word| matches!((verb, *word), ("profiles", _) | ("site", _)));
                    let sub = sub.filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
                    place.run(&[Some(verb), sub, Some("--help")].into_iter().flatten().collect::<Vec<_>>()).expect(0).out
                } else if verb.starts_with("--") {
                    root.clone()
                } else {
                    panic!("{file}: there is no command {verb:?}: {line}");
                };
                for option in option.find_iter(words.split('#').next().unwrap_or_default()) {
                    let known = Regex::new(&format!(r"{}\b", regex::escape(option.as_str()))).unwrap();
                    assert!(known.is_match(&help), "{file}: 'mosip-setup {verb}' has no option {}: {line}", option.as_str());
                }
            }
        }
    }
    let missing: Vec<&&str> = verbs.iter().filter(|verb| !named.contains(**verb)).collect();
    assert!(missing.is_empty(), "no document shows these commands: {missing:?}");
}

#[test]
fn the_readme_has_the_two_commands_and_the_exit_codes_of_the_program() {
    let text = page("README.md");
    assert!(text.contains("    cargo run --release -- rehearse\n"), "the first command");
    assert!(text.contains("    ./tests/run\n"), "the second command");
    assert!(repository().join("tests/run").is_file());
    let help = Place::new().run(&["--help"]).expect(0).out;
    let (_, codes) = help.split_once("Exit codes:").expect("exit codes in the help");
    let codes = codes.split_whitespace().collect::<Vec<_>>().join(" ");
    for file in ["README.md", "docs/operators-guide.md"] {
        let text = page(file);
        let table = section(&text, "## Exit codes");
        let mut rows = 0;
        for entry in codes.trim_end_matches('.').split(", ") {
            let (code, meaning) = entry.split_once(' ').expect("a code and its meaning");
            assert!(table.contains(&format!("| {code} | {meaning}")), "{file}: the help says '{entry}'");
            rows += 1;
        }
        assert_eq!(table.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).count(), rows, "{file}");
    }
}

#[test]
fn the_site_of_the_operators_guide_fits_the_shipped_profile() {
    let text = page("docs/operators-guide.md");
    let site = blocks(&text, "toml").into_iter().map(|(_, text)| text).find(|text| text.contains("[[machine]]")).expect("a whole site");
    let place = Place::new();
    let file = place.path("site.toml");
    fs::write(&file, site).unwrap();
    let done = place.run(&["site", "check", "--site", file.to_str().unwrap()]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}

#[test]
fn links_lead_to_files_that_exist() {
    let link = Regex::new(r"\]\(([^)#]+)(?:#[^)]*)?\)").unwrap();
    for file in PAGES {
        let folder = repository().join(file).parent().unwrap().to_owned();
        for found in link.captures_iter(&page(file)) {
            let target = &found[1];
            // The pictures are made by a test of their own.
            if target.contains("://") || target.contains("screenshots/") {
                continue;
            }
            assert!(folder.join(target).exists(), "{file}: {target} does not exist");
        }
    }
}

#[test]
fn generated_tables_are_as_the_code_says() {
    let mark = Regex::new(r"(?s)(<!-- generated: ([^>]+) -->\n)(.*?)(<!-- end -->)").unwrap();
    let mut stale = Vec::new();
    let mut seen = BTreeSet::new();
    for file in PAGES {
        let text = page(file);
        let fresh = mark.replace_all(&text, |found: &regex::Captures<'_>| {
            seen.insert(found[2].to_owned());
            format!("{}{}{}", &found[1], generated(&found[2]), &found[4])
        });
        if fresh != text {
            if std::env::var_os("MOSIP_SETUP_WRITE_DOCS").is_some() {
                fs::write(repository().join(file), fresh.as_bytes()).unwrap();
            } else {
                stale.push(*file);
            }
        }
    }
    assert!(stale.is_empty(), "stale tables in {stale:?}: MOSIP_SETUP_WRITE_DOCS=1 cargo test --test it docs");
    assert!(seen.contains("checks") && seen.contains("keys Run LogFull"), "{seen:?}");
}

/// The page that says what is covered names every check of the preflight, and none that does not exist.
#[test]
fn everything_that_can_be_known_is_a_check_or_has_a_reason() {
    let profile = profiles::load("turing-rke2").expect("the shipped profile");
    let text = page("docs/preflight-coverage.md");
    let name = Regex::new(r"`([a-z-]+(?:\.[a-z0-9-]+)+)`").unwrap();
    let (mut named, mut rows) = (BTreeSet::new(), 0);
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{row}");
        let checks: Vec<&str> = name.captures_iter(cells[1]).map(|found| found.get(1).unwrap().as_str()).collect();
        for check in &checks {
            assert!(profile.check(check).is_some_and(|check| !check.on_demand), "there is no check {check}: {row}");
        }
        // Without a check there is a sentence that says why.
        assert!(!checks.is_empty() || cells[1].ends_with('.') && cells[1].split(' ').count() >= 4, "{row}");
        named.extend(checks);
        rows += 1;
    }
    assert!(rows >= 80, "{rows}");
    let missing: Vec<&str> =
        profile.checks.iter().filter(|check| !check.on_demand).map(|check| check.id.as_str()).filter(|id| !named.contains(id)).collect();
    assert!(missing.is_empty(), "docs/preflight-coverage.md says nothing of {missing:?}");
}

fn generated(what: &str) -> String {
    let (profile, what) = what.strip_prefix("v3 ").map_or(("turing-rke2", what), |what| ("v3-onprem", what));
    let profile = profiles::load(profile).expect("the shipped profile");
    match what {
        "checks" => checks(&profile, |check| !check.on_demand),
        "faults" => crate::faults::table(),
        "checks on demand" => checks(&profile, |check| check.on_demand),
        "machines" => machines(&profile),
        "dns" => dns(&profile),
        "phases" => phases(&profile),
        _ => match what.strip_prefix("keys ") {
            Some(names) => keys(names),
            None => panic!("nobody makes a table '{what}'"),
        },
    }
}

fn list<T: ToString>(items: &[T], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ") }
}

fn checks(profile: &Profile, wanted: impl Fn(&CheckSpec) -> bool) -> String {
    let mut text = "| check | level | what | where | guards |\n|---|---|---|---|---|\n".to_owned();
    for check in profile.checks.iter().filter(|check| wanted(check)) {
        let place = match &check.kind {
            CheckKind::Dns { records } => format!("{} names", records.len()),
            kind if kind.is_per_machine() || kind.is_across_machines() => list(&check.roles, "all machines"),
            _ => "deployment node".to_owned(),
        };
        let guards = if check.on_demand { "-".to_owned() } else { list(&check.guards, "the run as a whole") };
        let level = serde_json::to_value(check.level).unwrap();
        writeln!(text, "| `{}` | {} | {} | {place} | {guards} |", check.id, level.as_str().unwrap(), check.title).unwrap();
    }
    text
}

fn machines(profile: &Profile) -> String {
    let mut text = "| role | what | how many | CPU | memory | disk | TCP | UDP |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    for role in &profile.roles {
        let count = match role.count.max {
            Some(max) if max == role.count.min => max.to_string(),
            Some(max) => format!("{} to {max}", role.count.min),
            None => format!("{} or more", role.count.min),
        };
        let gib = |size: u32| if size == 0 { "-".to_owned() } else { format!("{size} GiB") };
        let cpu = if role.cpu == 0 { "-".to_owned() } else { role.cpu.to_string() };
        let public = if role.public_address { " (public address)" } else { "" };
        writeln!(
            text,
            "| `{}` | {}{public} | {count} | {cpu} | {} | {} | {} | {} |",
            role.id,
            role.title,
            gib(role.ram_gib),
            gib(role.disk_gib),
            list(&role.tcp, "-"),
            list(&role.udp, "-")
        )
        .unwrap();
    }
    text
}

fn dns(profile: &Profile) -> String {
    let plain = |text: &str| {
        [
            ("${domain}", "DOMAIN"),
            ("${rancher_host}", "rancher.DOMAIN"),
            ("${role.nginx.first}", "MOSIP nginx, private"),
            ("${role.nginx-observation.first}", "observation nginx, private"),
            ("${public_api_address}", "MOSIP nginx, public"),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (name, words)| text.replace(name, words))
    };
    let mut text = "| name | leads to | as | without it |\n|---|---|---|---|\n".to_owned();
    for check in &profile.checks {
        let CheckKind::Dns { records } = &check.kind else { continue };
        for record in records {
            let form = record.alias_of.as_ref().map_or("an A record".to_owned(), |alias| format!("a CNAME to `{}`", plain(alias)));
            let without = if check.level == Level::Warn { "a warning" } else { "a failure" };
            writeln!(text, "| `{}` | {} | {form} | {without} |", plain(&record.name), plain(&record.address)).unwrap();
        }
    }
    text
}

fn phases(profile: &Profile) -> String {
    let mut text = "| phase | what | minutes | may be skipped |\n|---|---|---|---|\n".to_owned();
    for phase in &profile.phases {
        let minutes =
            phase.expect_minutes.map_or("-".to_owned(), |(from, to)| if from == to { to.to_string() } else { format!("{from} to {to}") });
        let skip = phase.skip.as_deref().unwrap_or("No: what follows does not work without it.");
        writeln!(text, "| `{}` | {} | {minutes} | {skip} |", phase.id, phase.title).unwrap();
    }
    text
}

fn keys(names: &str) -> String {
    let mut text = "| where | key | does |\n|---|---|---|\n".to_owned();
    for name in names.split_whitespace() {
        let line = keymap::TABLE.iter().find(|line| format!("{:?}", line.context) == name);
        let context: Context = line.unwrap_or_else(|| panic!("the table of keys has no context {name}")).context;
        for (keys, help) in keymap::help(context) {
            writeln!(text, "| {} | {} | {help} |", context.title(), keys.replace('|', "\\|")).unwrap();
        }
    }
    text
}

/// What the page of pitfalls names as part of the V3 profiles is there.
#[test]
fn pitfalls_name_what_the_profiles_have() {
    let profiles = ["v3-onprem", "v3-onprem-nodns"].map(|name| profiles::load(name).unwrap());
    let known = |name: &str| {
        profiles.iter().any(|profile| {
            let steps = || profile.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (phase.id.to_string(), step)));
            profile.id == *name
                || profile.check(name).is_some()
                || profile.field(name).is_some()
                || profile.phase(name).is_some()
                || steps().any(|(phase, step)| step.id == *name || format!("{phase}/{}", step.id) == name)
                || steps()
                    .filter_map(|(_, step)| step.helm.as_ref())
                    .any(|helm| helm.release.iter().any(|rule| rule.id.ends_with(&format!("/{name}"))))
        })
    };
    let page = page("docs/v3-pitfalls.md");
    let name = Regex::new(r"`([a-z0-9_-]+(?:[./][a-z0-9-]+)?)`").unwrap();
    // Files of the scripts, and what the page says about itself.
    let files = ["daemon.json", "delete.sh", "cluster.yml", "cluster.rkestate", "bitnamilegacy/postgresql", "phase/step", "check", "field"];
    let named: Vec<&str> = name.captures_iter(&page).map(|found| found.get(1).unwrap().as_str()).collect();
    let lost: Vec<&&str> = named.iter().filter(|name| !files.contains(*name) && !known(name)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(named.len() > 40, "{}", named.len());
    // Each pitfall has its line, in order.
    let numbers: Vec<usize> = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers, (1..=37).collect::<Vec<_>>());
}
