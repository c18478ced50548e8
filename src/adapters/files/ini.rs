//! Ansible inventories: variables and host lines replaced in place; comments, order and other sections stay.

use std::collections::BTreeMap;

use toml::Value;

use crate::install::plan::Edit;

use super::{EditError, append_line};

/// What an inventory says: section → lines that are neither empty nor comments, trimmed.
pub type Sections = BTreeMap<String, Vec<String>>;

/// Edits a text.
///
/// # Errors
/// It lacks a section or key, or a value would be misread.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for edit in edits {
        match edit {
            Edit::Set { section, key, value } => set(&mut lines, section.as_deref(), key, value, true)?,
            Edit::Add { section, key, value } => set(&mut lines, section.as_deref(), key, value, false)?,
            Edit::Hosts { group, lines: hosts } => set_hosts(&mut lines, group, hosts)?,
        }
    }
    let result = lines.concat();
    prove(&result, edits)?;
    Ok(result)
}

/// Reads an inventory.
///
/// # Errors
/// A line stands before the first section.
pub fn read(text: &str) -> Result<Sections, EditError> {
    let mut sections = Sections::new();
    let mut current: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        match (header(line), &current) {
            (Some(name), _) => {
                sections.entry(name.to_owned()).or_default();
                current = Some(name.to_owned());
            }
            (None, _) if is_filler(line) => {}
            (None, Some(name)) => sections.entry(name.clone()).or_default().push(line.trim().to_owned()),
            (None, None) => {
                return Err(EditError::Syntax { line: number + 1, message: "a line stands before the first [section]".into() });
            }
        }
    }
    Ok(sections)
}

/// The value of a variable in a section.
#[must_use]
pub fn variable(sections: &Sections, section: &str, key: &str) -> Option<String> {
    sections.get(section)?.iter().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn prove(text: &str, edits: &[Edit]) -> Result<(), EditError> {
    let sections = read(text)?;
    for edit in edits {
        let (name, holds) = match edit {
            Edit::Set { section, key, value } | Edit::Add { section, key, value } => {
                (key, variable(&sections, section.as_deref().unwrap_or_default(), key) == Some(plain(value)))
            }
            Edit::Hosts { group, lines } => (group, sections.get(group) == Some(lines)),
        };
        if !holds {
            return Err(EditError::ReadBack { key: name.clone() });
        }
    }
    Ok(())
}

fn header(line: &str) -> Option<&str> {
    let line = line.trim();
    let end = line.strip_prefix('[')?.find(']')?;
    Some(&line[1..=end])
}

fn is_filler(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

/// The lines of a section, without its header: from, to.
fn range(lines: &[String], section: &str) -> Option<(usize, usize)> {
    let start = lines.iter().position(|line| header(line) == Some(section))? + 1;
    let end = lines[start..].iter().position(|line| header(line).is_some()).map_or(lines.len(), |length| start + length);
    Some((start, end))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Ansible splits host lines like a shell and reads values as Python literals; what it would misread is refused.
fn check(key: &str, text: &str) -> Result<(), EditError> {
    let refuse = |message: &str| Err(EditError::Value { key: key.to_owned(), message: message.to_owned() });
    if text.is_empty() {
        return refuse("must not be empty in an inventory");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '#' | ';' | '"' | '\'' | '\\')) {
        return refuse("must not contain spaces, quotes, #, ; or backslash: Ansible would misread the line, and drop the whole inventory");
    }
    if text.starts_with(['[', '{', '(']) || ["{{", "{%", "{#"].iter().any(|open| text.contains(open)) {
        return refuse("must not look like a list or a template: Ansible would evaluate it");
    }
    Ok(())
}

fn set(lines: &mut Vec<String>, section: Option<&str>, key: &str, value: &Value, must_exist: bool) -> Result<(), EditError> {
    let section = section.unwrap_or_default();
    let value = plain(value);
    check(key, &value)?;
    let missing = || EditError::Missing { key: format!("[{section}] {key}") };
    let Some((start, end)) = range(lines, section) else {
        if must_exist {
            return Err(missing());
        }
        let mut text = lines.concat();
        append_line(&mut text, "");
        append_line(&mut text, &format!("[{section}]"));
        append_line(&mut text, &format!("{key}={value}"));
        *lines = text.split_inclusive('\n').map(str::to_owned).collect();
        return Ok(());
    };
    let found = (start..end).find(|number| {
        let line = &lines[*number];
        !is_filler(line) && line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
    });
    if let Some(number) = found {
        let line = &lines[number];
        let equals = line.find('=').unwrap_or_default() + 1;
        let old = line[equals..].trim();
        if old != value {
            let value_start = equals + (line[equals..].len() - line[equals..].trim_start().len());
            let value_end = value_start + old.len();
            lines[number].replace_range(value_start..value_end, &value);
        }
        return Ok(());
    }
    if must_exist {
        return Err(missing());
    }
    // After the last line that says something, so that the space before the next section stays.
    let last = (start..end).rev().find(|number| !is_filler(&lines[*number])).map_or(start, |number| number + 1);
    if last > 0 && !lines[last - 1].ends_with('\n') {
        lines[last - 1].push('\n');
    }
    lines.insert(last, format!("{key}={value}\n"));
    Ok(())
}

fn set_hosts(lines: &mut Vec<String>, group: &str, hosts: &[String]) -> Result<(), EditError> {
    for host in hosts {
        let words: Vec<&str> = host.split(' ').collect();
        for word in words {
            check(group, word)?;
            if word.ends_with('=') {
                return Err(EditError::Value { key: group.to_owned(), message: format!("{word} has no value") });
            }
        }
    }
    let Some((start, end)) = range(lines, group) else { return Err(EditError::Missing { key: format!("[{group}]") }) };
    let old: Vec<usize> = (start..end).filter(|number| !is_filler(&lines[*number])).collect();
    if old.iter().map(|number| lines[*number].trim()).eq(hosts.iter().map(String::as_str)) {
        return Ok(());
    }
    // In the place of the old ones; in an empty group, after the comments that belong to its header.
    let place = old.first().copied().unwrap_or_else(|| {
        let comments = lines[start..end].iter().take_while(|line| is_filler(line) && !line.trim().is_empty()).count();
        start + comments
    });
    for number in old.into_iter().rev() {
        lines.remove(number);
    }
    if place > 0 && !lines[place - 1].ends_with('\n') {
        lines[place - 1].push('\n');
    }
    let new = hosts.iter().map(|host| format!("{host}\n"));
    lines.splice(place..place, new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "[deployment]\ndeployment-node ansible_connection=local\n\n[vms]\n# Machines\nvm1 ansible_host=10.1.\nvm2 ansible_host=10.1.\n\n# Next\n[agents]\n# Empty on purpose\n\n[etcd]\n\n[all:vars]\nansible_user=ubuntu\nchecking = False\n\n[last:vars]\nbecome=yes ";

    fn set(section: &str, key: &str, value: &str) -> Edit {
        Edit::Set { section: Some(section.into()), key: key.into(), value: value.into() }
    }

    fn add(section: &str, key: &str, value: &str) -> Edit {
        Edit::Add { section: Some(section.into()), key: key.into(), value: value.into() }
    }

    fn hosts(group: &str, lines: &[&str]) -> Edit {
        Edit::Hosts { group: group.into(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn hosts_and_variables_are_replaced_and_the_rest_stays() {
        let edits = [
            hosts("vms", &["a ansible_host=10.1.0.1", "b ansible_host=10.1.0.2", "c ansible_host=10.1.0.3"]),
            hosts("agents", &["c"]),
            hosts("etcd", &[]),
            set("all:vars", "checking", "True"),
            add("last:vars", "network", "10.1.0.0/16"),
            add("all:vars", "port", "22"),
        ];
        let wanted = "[deployment]\ndeployment-node ansible_connection=local\n\n[vms]\n# Machines\na ansible_host=10.1.0.1\nb ansible_host=10.1.0.2\nc ansible_host=10.1.0.3\n\n# Next\n[agents]\n# Empty on purpose\nc\n\n[etcd]\n\n[all:vars]\nansible_user=ubuntu\nchecking = True\nport=22\n\n[last:vars]\nbecome=yes \nnetwork=10.1.0.0/16\n";
        assert_eq!(edit(TEMPLATE, &edits).unwrap(), wanted);
        assert_eq!(edit(TEMPLATE, &[]).unwrap(), TEMPLATE);
    }

    #[test]
    fn a_missing_section_is_made_only_where_asked() {
        let result = edit("[a]\nx", &[add("b:vars", "k", "v")]).unwrap();
        assert_eq!(result, "[a]\nx\n\n[b:vars]\nk=v\n");
        for edit_ in [set("b:vars", "k", "v"), set("all:vars", "nope", "v"), hosts("nope", &["x"])] {
            assert!(matches!(edit(TEMPLATE, &[edit_]), Err(EditError::Missing { .. })));
        }
    }

    #[test]
    fn what_ansible_would_misread_is_refused() {
        for value in ["", "a b", "a#b", "\"x\"", "it's", "a\\b", "[1]", "{{ x }}"] {
            assert!(matches!(edit(TEMPLATE, &[set("all:vars", "ansible_user", value)]), Err(EditError::Value { .. })), "{value}");
        }
        assert!(matches!(edit(TEMPLATE, &[hosts("vms", &["vm1 ansible_host="])]), Err(EditError::Value { .. })));
        assert!(matches!(read("x\n[a]\n"), Err(EditError::Syntax { line: 1, .. })));
    }
}
