//! `mosip-setup requirements`: what the network and VM teams must provide, as text, Markdown or JSON.

use std::path::Path;

use clap::Args;
use color_eyre::Report;

use super::common::{Common, Failure, print};
use crate::adapters::{profiles, sites};
use crate::exit::Exit;
use crate::install::requirements::{MachineNeed, Need, Requirements, requirements};
use crate::ui::text::wrap;

/// The width of the text.
const COLUMNS: usize = 80;

/// Arguments of `requirements`.
#[derive(Debug, Clone, Default, Args)]
pub struct RequirementsArgs {
    /// The profile, where there is no site yet: its name, or the path of its file; default: the first one shipped.
    #[arg(long, value_name = "ID")]
    pub profile: Option<String>,
    /// As Markdown, to be mailed to the teams that provide these things.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Runs the verb. An unfinished site will do: what is not answered yet stands as a word.
///
/// # Errors
/// stdout is gone.
pub fn run(args: &RequirementsArgs, common: &Common) -> Result<Exit, Report> {
    match collect(args, common) {
        Ok(needs) => {
            if common.json {
                common.print_json(&needs)?;
            } else {
                print(&if args.markdown { markdown(&needs) } else { plain(&needs) })?;
            }
            Ok(Exit::Done)
        }
        Err(failure) => failure.report(common),
    }
}

fn collect(args: &RequirementsArgs, common: &Common) -> Result<Requirements, Failure> {
    // A site that is only set in the environment gives way to a profile that is named.
    let site = common.site.as_ref().filter(|_| args.profile.is_none());
    if let Some(site) = site {
        let open = sites::load(site).map_err(|error| Failure::usage(error.to_string()))?;
        let folder = site.parent().unwrap_or(Path::new("."));
        let profile = profiles::load_for_site(&open.file.draft.profile, folder).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok(requirements(&profile, Some(&open.file.draft)));
    }
    let first = profiles::ids().first().map(ToString::to_string).unwrap_or_default();
    let id = args.profile.clone().unwrap_or(first);
    let profile = profiles::load(&id).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(requirements(&profile, None))
}

/// A part with a heading: a table, the last column of which is wrapped.
struct Part {
    title: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    note: &'static str,
}

fn size(machine: &MachineNeed) -> [String; 3] {
    let show = |number: u32, unit: &str| if number == 0 { "-".to_owned() } else { format!("{number}{unit}") };
    [show(machine.cpu, ""), show(machine.ram_gib, " GiB"), show(machine.disk_gib, " GiB")]
}

fn said(detail: &str, when: &str) -> String {
    [detail, when].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

fn needs(list: &[Need]) -> Vec<Vec<String>> {
    let row = |need: &Need| {
        let place = if need.place.is_empty() { String::new() } else { format!("on {}", need.place.join(", ")) };
        let parts = [need.detail.trim_end_matches('.'), &place, &need.when];
        let detail = parts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        vec![need.what.clone(), if detail.is_empty() { "-".to_owned() } else { detail }]
    };
    list.iter().map(row).collect()
}

fn parts(needs_all: &Requirements) -> Vec<Part> {
    let machine = |machine: &MachineNeed| {
        let [cpu, ram, disk] = size(machine);
        let addresses = match (&machine.public_address, machine.address.is_empty()) {
            (Some(public), true) => format!(" (public address {public})"),
            (Some(public), false) => format!(" ({}, public {public})", machine.address),
            (None, true) => String::new(),
            (None, false) => format!(" ({})", machine.address),
        };
        vec![machine.name.clone(), machine.count.clone(), cpu, ram, disk, format!("{}{addresses}", machine.purpose)]
    };
    let node = &needs_all.deployment_node;
    let number = |number: u32, unit: &str| format!("{number}{unit}");
    let tools = node.tools.iter().map(|tool| {
        let by = tool.provided_by.as_ref().map_or_else(|| "must be there".to_owned(), |phase| format!("phase {phase} installs it"));
        let versions = if tool.versions.is_empty() { "any".to_owned() } else { tool.versions.clone() };
        vec![tool.command.clone(), versions, said(&by, &tool.when)]
    });
    vec![
        Part {
            title: "Machines",
            head: vec!["name", "how many", "CPU", "memory", "disk", "what for"],
            rows: needs_all.machines.iter().map(machine).collect(),
            note: "A machine with several roles needs the sum. A quarter of the disk must be free.",
        },
        Part { title: "On the machines", head: vec!["what", "how"], rows: needs(&needs_all.conditions), note: "" },
        Part { title: "Accounts and keys", head: vec!["what", "how"], rows: needs(&needs_all.accounts), note: "" },
        Part {
            title: "Ports",
            head: vec!["from", "to", "ports", "what for"],
            rows: needs_all
                .ports
                .iter()
                .map(|need| {
                    let ports = need.ports.iter().map(|port| format!("{port}/{}", need.protocol)).collect::<Vec<_>>().join(", ");
                    vec![need.from.clone(), need.to.clone(), ports, said(&need.purpose, &need.when)]
                })
                .collect(),
            note: "",
        },
        Part {
            title: "DNS records",
            head: vec!["name", "type", "value", "without it"],
            rows: needs_all
                .dns
                .iter()
                .map(|need| {
                    let without = if need.required { "fails" } else { "a warning" };
                    vec![need.name.clone(), need.kind.to_owned(), need.value.clone(), without.to_owned()]
                })
                .collect(),
            note: "The deployment node and the machines must be able to resolve them. The top of a zone cannot be a CNAME: make it an A record there.",
        },
        Part {
            title: "Certificates",
            head: vec!["what for", "names", "holds"],
            rows: needs_all
                .certificates
                .iter()
                .map(|need| vec![need.purpose.clone(), need.names.join(", "), said(&format!("{} days or more", need.days), &need.when)])
                .collect(),
            note: "PEM, the certificate first, then the intermediates, with its key, without passphrase.",
        },
        Part {
            title: "Ways out, 443/tcp",
            head: vec!["from", "what for", "hosts"],
            rows: needs_all.egress.iter().map(|need| vec![need.from.clone(), need.purpose.clone(), need.hosts.join(", ")]).collect(),
            note: "",
        },
        Part {
            title: "The deployment node",
            head: vec!["what", "versions", "how it comes there"],
            rows: std::iter::once(vec![
                "size".to_owned(),
                format!("{} CPU", number(node.cpu, "")),
                format!("{}, {} free disk", number(node.ram_gib, " GiB memory"), number(node.disk_gib, " GiB")),
            ])
            .chain(tools)
            .collect(),
            note: "",
        },
    ]
}

/// The text for a terminal, at most 80 columns wide.
#[must_use]
pub fn plain(all: &Requirements) -> String {
    let mut text = format!("{}\n", wrap(&format!("Requirements: {}", all.title), COLUMNS).join("\n"));
    for part in parts(all).into_iter().filter(|part| !part.rows.is_empty()) {
        text.push_str(&format!("\n{}\n{}\n", part.title, "-".repeat(part.title.len())));
        table(&part, &mut text);
        if !part.note.is_empty() {
            text.push_str(&format!("{}\n", wrap(part.note, COLUMNS).join("\n")));
        }
    }
    text
}

/// Columns as wide as they must be; those that are too wide together share what there is, and wrap.
fn table(part: &Part, text: &mut String) {
    let count = part.head.len();
    let room = COLUMNS - 2 * (count - 1);
    let wanted: Vec<usize> = (0..count)
        .map(|column| part.rows.iter().map(|row| row[column].chars().count()).chain([part.head[column].len()]).max().unwrap_or(0))
        .collect();
    // No column is narrower than its longest word, unless there is no room for that either.
    let word = |cell: &String| cell.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let least: Vec<usize> = (0..count).map(|column| part.rows.iter().map(|row| word(&row[column])).max().unwrap_or(0).min(30)).collect();
    let mut widths = wanted;
    while widths.iter().sum::<usize>() > room {
        let widest =
            |spare: bool| (0..count).filter(|column| !spare || widths[*column] > least[*column]).max_by_key(|column| widths[*column]);
        let Some(column) = widest(true).or_else(|| widest(false)) else { break };
        widths[column] -= 1;
    }
    let head: Vec<String> = part.head.iter().map(|word| (*word).to_owned()).collect();
    for row in std::iter::once(&head).chain(&part.rows) {
        let cells: Vec<Vec<String>> = row.iter().zip(&widths).map(|(cell, width)| pieces(cell, *width)).collect();
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut shown = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                let piece = cell.get(line).map(String::as_str).unwrap_or_default();
                shown.push_str(&format!("{piece:<width$}  "));
            }
            text.push_str(shown.trim_end());
            text.push('\n');
        }
    }
}

/// A cell in pieces of a width; names break after a dot or hyphen rather than anywhere.
fn pieces(cell: &str, width: usize) -> Vec<String> {
    if cell.chars().count() <= width {
        return vec![cell.to_owned()];
    }
    wrap(cell, width)
}

/// The same as Markdown.
#[must_use]
pub fn markdown(all: &Requirements) -> String {
    let clean = |cell: &str| cell.replace('|', "\\|").replace('\n', " ");
    let mut text = format!("# Requirements: {}\n", all.title);
    for part in parts(all).into_iter().filter(|part| !part.rows.is_empty()) {
        text.push_str(&format!("\n## {}\n\n| {} |\n|{}\n", part.title, part.head.join(" | "), "---|".repeat(part.head.len())));
        for row in &part.rows {
            text.push_str(&format!("| {} |\n", row.iter().map(|cell| clean(cell)).collect::<Vec<_>>().join(" | ")));
        }
        if !part.note.is_empty() {
            text.push_str(&format!("\n{}\n", part.note));
        }
    }
    text
}
