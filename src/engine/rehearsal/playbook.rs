//! What a playbook that goes well would print, made of the playbook and the inventory as they were written.

use std::fs;
use std::path::Path;

use super::player::Line;

/// How long a task takes on a host, milliseconds at speed 1.
const TASK_MS: u64 = 1800;

/// The transcript of `ansible-playbook ARGV…` in a folder; none: it cannot be told from the files.
///
/// Where it is to fail, it does so at the last task of its first host.
#[must_use]
pub fn transcript(argv: &[String], dir: &Path, fails: bool) -> Option<Vec<Line>> {
    let value = |names: [&str; 2]| argv.iter().position(|word| names.contains(&word.as_str())).and_then(|at| argv.get(at + 1));
    let is_playbook = |word: &&String| {
        let path = Path::new(word.as_str());
        path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") && dir.join(path).is_file()
    };
    let playbook = fs::read_to_string(dir.join(argv.iter().skip(1).find(is_playbook)?)).ok()?;
    let inventory = fs::read_to_string(dir.join(value(["-i", "--inventory"])?)).ok()?;
    let limit = value(["-l", "--limit"]);
    let mut lines = Vec::new();
    let mut recap: Vec<(String, u64, u64)> = Vec::new();
    let mut hosts: Vec<String> = Vec::new();
    for line in playbook.lines() {
        if let Some(groups) = line.strip_prefix("- hosts: ") {
            hosts = members(&inventory, groups, limit.map(String::as_str));
            said(&mut lines, 300, "");
            said(&mut lines, 0, &banner("PLAY", groups));
            if !playbook.contains("gather_facts: false") {
                task(&mut lines, &mut recap, &hosts, "Gathering Facts", "ok");
            }
        } else if let Some(name) = line.trim_start().strip_prefix("- name: ") {
            task(&mut lines, &mut recap, &hosts, name, "changed");
        }
    }
    if fails && let Some((host, ok, changed)) = recap.first_mut() {
        let last = lines.iter().rposition(|line| line.out.as_deref() == Some(format!("changed: [{host}]").as_str()))?;
        (*ok, *changed) = (ok.saturating_sub(1), changed.saturating_sub(1));
        let text = format!("fatal: [{host}]: FAILED! => {{\"changed\": false, \"msg\": \"Failed to update apt cache: rehearsed\"}}");
        lines[last] = Line { after_ms: TASK_MS, out: Some(text), ..Line::default() };
    }
    said(&mut lines, 0, "");
    said(&mut lines, 0, &banner("PLAY RECAP", ""));
    for (number, (host, ok, changed)) in recap.iter().enumerate() {
        let failed = u8::from(fails && number == 0);
        let counts = format!("ok={ok:<4} changed={changed:<4} unreachable=0    failed={failed}    skipped=0    rescued=0    ignored=0");
        said(&mut lines, 0, &format!("{host:<26} : {counts}"));
    }
    if fails {
        lines.push(Line { exit: Some(2), ..Line::default() });
    }
    Some(lines)
}

fn said(lines: &mut Vec<Line>, after_ms: u64, text: &str) {
    lines.push(Line { after_ms, out: Some(text.to_owned()), ..Line::default() });
}

fn banner(kind: &str, name: &str) -> String {
    let text = if name.is_empty() { kind.to_owned() } else { format!("{kind} [{name}]") };
    format!("{text} {:*<width$}", "", width = 79_usize.saturating_sub(text.len()))
}

fn task(lines: &mut Vec<Line>, recap: &mut Vec<(String, u64, u64)>, hosts: &[String], name: &str, outcome: &str) {
    said(lines, 0, "");
    said(lines, 0, &banner("TASK", name));
    for host in hosts {
        said(lines, TASK_MS / hosts.len().max(1) as u64, &format!("{outcome}: [{host}]"));
        let at = recap.iter().position(|(known, ..)| known == host).unwrap_or_else(|| {
            recap.push((host.clone(), 0, 0));
            recap.len() - 1
        });
        recap[at].1 += 1;
        recap[at].2 += u64::from(outcome == "changed");
    }
}

/// The hosts of the groups named, in the order of the inventory.
fn members(inventory: &str, groups: &str, limit: Option<&str>) -> Vec<String> {
    let wanted =
        |group: &str| groups.split([' ', ',', ':']).any(|one| one == group || one == "all") && limit.is_none_or(|limit| limit == group);
    let (mut hosts, mut group): (Vec<String>, &str) = (Vec::new(), "");
    for line in inventory.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            group = name;
        } else if let Some(host) = line.split_whitespace().next().filter(|word| !word.starts_with(['#', ';']))
            && wanted(group)
            && !hosts.iter().any(|known| known == host)
        {
            hosts.push(host.to_owned());
        }
    }
    hosts
}
