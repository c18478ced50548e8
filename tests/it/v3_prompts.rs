//! Every prompt of the published scripts that the V3 profile runs: found in the scripts themselves, and compared with what each received.
//!
//! With MOSIP_SETUP_V3_TABLE=FILE the table is written there, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use mosip_setup::install::profile::{Prompt, StepKind};

use crate::support::repository;
use crate::v3::Bench;

/// What stands in scripts and cannot be asked in an installation of this profile, and why.
const NEVER: [(&str, &str); 2] = [
    ("Please provide packetcreator host : ", "only with another ingress than Istio"),
    ("Please provide mosip-api-internal-host ", "only without the global settings, which an earlier phase applies"),
];

/// Scripts that run on a machine.
const ON_MACHINES: [&str; 3] =
    ["k8s-infra:rancher/on-prem/nginx/install.sh", "k8s-infra:mosip/on-prem/nginx/install.sh", "k8s-infra:nfs/install-nfs-server.sh"];

/// A place where a script reads an answer.
#[derive(Debug)]
struct Read {
    /// What it prints before, as it is written.
    asks: String,
    /// The variable whose presence makes it ask nothing.
    unless: Option<String>,
}

/// The places where a script reads what somebody types.
fn reads(text: &str) -> Vec<Read> {
    let (mut said, mut guard, mut found) = (String::new(), None, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("if [ -z \"$").and_then(|rest| rest.split('"').next()) {
            guard = Some(name.to_owned());
        }
        if line.starts_with("echo ") {
            line.clone_into(&mut said);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls = words.first() == Some(&"read_user_input");
        // What comes through a pipe is typed by nobody.
        let typed = |at: &usize| *at == 0 || (["then", "while"].contains(&words[at - 1]) && !line.contains('|'));
        let reads = words.iter().position(|word| *word == "read").filter(typed);
        // The function that others call asks nothing by itself.
        if line.contains("$MSG") || !(calls || reads.is_some()) {
            continue;
        }
        let says_itself = calls || (line.contains("read -p") && !line.contains("read -p \"\""));
        found.push(Read { asks: if says_itself { line.to_owned() } else { said.clone() }, unless: guard.clone() });
    }
    found
}

/// What was typed after a prompt, as the log shows it; none: it was not asked.
fn received(log: &str, prompt: &str, whole_line: bool, skip: usize) -> Option<String> {
    let log = log.replace('\r', "");
    let (at, _) = log.match_indices(prompt.trim_end()).nth(skip)?;
    let rest = &log[at + prompt.trim_end().len()..];
    let mut lines = rest.lines();
    let first = lines.next().unwrap_or_default().trim();
    Some(if whole_line { lines.next().unwrap_or_default().trim().to_owned() } else { first.to_owned() })
}

/// A row of the table.
struct Row {
    script: String,
    prompt: String,
    received: String,
}

/// Compares what a run typed with what its scripts ask. Gives the table's rows.
///
/// The run must have chosen the answers that lead to most questions.
pub fn check(bench: &Bench) {
    let mut rows = Vec::new();
    let mut declared: BTreeMap<String, Vec<Prompt>> = BTreeMap::new();
    for phase in &bench.profile.phases {
        for step in &phase.steps {
            let StepKind::Command(command) = &step.action else { continue };
            let Some(script) = script_of(command, step.dir.as_deref()) else { continue };
            declared.entry(script.clone()).or_default().extend(step.prompts.iter().cloned());
            if step.prompts.is_empty() || !bench.began(phase.id.as_str(), step.id.as_str()) {
                continue;
            }
            let log = bench.log(&format!("{}/{}", phase.id, step.id));
            for (number, prompt) in step.prompts.iter().enumerate() {
                let text = bench.filled(&prompt.text);
                let earlier = step.prompts[..number].iter().filter(|other| other.text == prompt.text).count();
                let answer = received(&log, &text, prompt.whole_line, earlier).unwrap_or_else(|| panic!("{script}: {text}: {log}"));
                let told = if answer.is_empty() { "(empty)".to_owned() } else { answer };
                rows.push(Row { script: script.clone(), prompt: text, received: told });
            }
        }
    }
    // Each script's own questions, one by one, in its order.
    let (mut never, mut counts) = (Vec::new(), BTreeMap::new());
    for (script, prompts) in &declared {
        let text = fs::read_to_string(bench.checkout(script)).unwrap_or_else(|error| panic!("{script}: {error}"));
        let found = reads(&text);
        if !found.is_empty() {
            counts.insert(script.replace("mosip-infra/deployment/v3/", ""), found.len());
        }
        for read in found {
            if !prompts.iter().any(|prompt| read.asks.contains(prompt.written())) {
                never.push(read.asks);
            }
        }
    }
    let unexpected: Vec<&String> = never.iter().filter(|asks| !NEVER.iter().any(|(known, _)| asks.contains(known))).collect();
    assert!(unexpected.is_empty(), "questions that no step declares: {unexpected:?}");
    assert_eq!(never.len(), NEVER.len(), "{never:?}");
    for (script, number) in on_machines(bench, &mut rows) {
        counts.insert(script, number);
    }
    assert_eq!(documented(), counts, "docs/v3-prompts.md");
    let table = table(&rows);
    if let Some(path) = std::env::var_os("MOSIP_SETUP_V3_TABLE") {
        fs::write(path, &table).unwrap();
    }
    // What stands in MOSIP's scripts of this version; fewer means that a script was overlooked.
    assert_eq!(rows.len(), ROWS, "{table}");
    for name in crate::v3::SECRETS {
        assert!(!table.contains(&crate::v3::value(name)), "{name} is in the table");
    }
}

/// How many questions are answered in the run whose answers lead to most of them.
const ROWS: usize = 93;

/// The script that a step runs, as a path below the site's folder.
pub fn script_of(argv: &[String], dir: Option<&str>) -> Option<String> {
    let (shell, text) = (argv.first()?, argv.get(2)?);
    let name = text.strip_prefix("./")?.split([' ', ';']).next()?;
    let (source, folder) = dir?.split_once(':')?;
    (shell == "bash").then(|| format!("{source}/{folder}/{name}"))
}

/// Script and number of questions, as the document has them.
fn documented() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(repository().join("docs/v3-prompts.md")).unwrap();
    let table = text.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// Scripts that run on machines: each question of theirs is declared by the step that runs them there. How many each has.
fn on_machines(bench: &Bench, rows: &mut Vec<Row>) -> Vec<(String, usize)> {
    let mut counts = Vec::new();
    for script in ON_MACHINES {
        let steps = bench.profile.phases.iter().flat_map(|phase| &phase.steps);
        let asked: Vec<&Prompt> = steps.flat_map(|step| &step.prompts).filter(|prompt| prompt.script.as_deref() == Some(script)).collect();
        let text = fs::read_to_string(bench.checkout(&script.replace(':', "/"))).unwrap();
        let found = reads(&text);
        counts.push((script.replace(':', "/"), found.len()));
        for read in found {
            let prompt = asked.iter().find(|prompt| read.asks.contains(prompt.written()));
            let prompt = prompt.unwrap_or_else(|| panic!("{script}: nothing answers {:?}", read.asks));
            let received = format!("{} (typed on the machine)", bench.filled(&prompt.answer));
            rows.push(Row { script: script.to_owned(), prompt: prompt.text.clone(), received });
        }
    }
    // A playbook asks, too.
    let ports = "k8s-infra/mosip/on-prem/nginx/nginx_ports.yaml";
    assert!(fs::read_to_string(bench.checkout(ports)).unwrap().contains("vars_prompt"));
    let gives = bench.profile.phases.iter().flat_map(|phase| &phase.steps).find_map(|step| match &step.action {
        StepKind::Ansible(ansible) if ansible.playbook == "nginx_ports.yaml" => Some(ansible.arguments.join(" ")),
        _ => None,
    });
    let gives = bench.filled(&gives.unwrap());
    assert!(gives.contains("internal_ip=10.20.20.20"), "{gives}");
    rows.push(Row {
        script: ports.to_owned(),
        prompt: "internal_ip (vars_prompt)".to_owned(),
        received: format!("{gives} (given before it asks)"),
    });
    counts.push((ports.to_owned(), 1));
    counts
}

#[test]
fn the_document_counts_all_questions() {
    assert_eq!(documented().values().sum::<usize>(), 94);
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| script | prompt | received |\n| --- | --- | --- |\n");
    for row in rows {
        let script = row.script.replace("mosip-infra/deployment/v3/", "");
        // Writing into a text cannot fail.
        let _ = writeln!(text, "| {script} | {} | {} |", row.prompt.trim().replace('|', "/"), row.received.replace('|', "/"));
    }
    text
}

#[test]
fn questions_are_found_however_a_script_asks() {
    let text = "ask() {\nread -p \"Provide $MSG : \" $VAR;\n}\nread_user_input HOST \"'SMTP host'\"\n# read nothing\n  while read -p \"Choose (1/2)\" choice\n\
                echo -e \"n: none\"\nread -p \"\" flag\nif [ -z \"$port\" ]; then\necho -en \"=====>\\nPort : \"\nread to_replace\nkubectl get x | while read line; do\n";
    let found: Vec<(String, Option<String>)> = reads(text).into_iter().map(|read| (read.asks, read.unless)).collect();
    let guard = Some("port".to_owned());
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].0.contains("'SMTP host'") && found[1].0.contains("Choose (1/2)") && found[2].0.contains("n: none"));
    assert_eq!((found[3].0.contains("Port : "), &found[3].1), (true, &guard));
    assert_eq!(received("$ x\r\nName : me\r\n", "Name : ", false, 0).as_deref(), Some("me"));
    assert_eq!(received("Y or\nn: none\nY\nmore\n", "n: none", true, 0).as_deref(), Some("Y"));
    assert_eq!(received("nothing", "Name : ", false, 0), None);
}
