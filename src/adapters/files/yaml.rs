//! Ansible variables in YAML: plain values at the top level, replaced in place; not another byte differs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use toml::Value;

use crate::install::plan::Edit;

use super::{EditError, append_line};

/// A `key: value` at the top level, and where its value stands; none where it is not a plain value on one line.
struct Entry {
    value: Option<(Range<usize>, Value)>,
}

/// Edits a text.
///
/// # Errors
/// It lacks a key, the key holds a list or a map, or a value does not fit.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let entries = entries(text)?;
    let mut replacements: BTreeMap<usize, (Range<usize>, String)> = BTreeMap::new();
    let mut added: Vec<(&str, String)> = Vec::new();
    for edit in edits {
        let (key, value, must_exist) = match edit {
            Edit::Set { key, value, .. } => (key, value, true),
            Edit::Add { key, value, .. } => (key, value, false),
            Edit::Hosts { group, .. } => {
                return Err(EditError::Value { key: group.clone(), message: "only inventories have host sections".into() });
            }
        };
        let literal = literal(key, value)?;
        match entries.get(key.as_str()) {
            Some(Entry { value: Some((_, old)) }) if old == value => {}
            Some(Entry { value: Some((span, _)) }) => drop(replacements.insert(span.start, (span.clone(), literal))),
            Some(Entry { value: None }) => {
                return Err(EditError::Value { key: key.clone(), message: "holds a list or a map in the template, not one value".into() });
            }
            None if must_exist => return Err(EditError::Missing { key: key.clone() }),
            None => {
                added.retain(|(known, _)| known != key);
                added.push((key, literal));
            }
        }
    }
    let mut result = text.to_owned();
    for (span, literal) in replacements.into_values().rev() {
        result.replace_range(span, &literal);
    }
    if !added.is_empty() {
        append_line(&mut result, "");
        append_line(&mut result, "# Added by mosip-setup");
        for (key, literal) in added {
            append_line(&mut result, &format!("{key}: {literal}"));
        }
    }
    prove(&result, edits)?;
    Ok(result)
}

/// Reads the result with an independent parser: the last edit of each key must come back as meant.
fn prove(text: &str, edits: &[Edit]) -> Result<(), EditError> {
    let own = read(text)?;
    let document =
        yaml_edit::Document::from_str(text).map_err(|_| EditError::Syntax { line: 0, message: "not valid YAML after editing".into() })?;
    let mut wanted: BTreeMap<&str, &Value> = BTreeMap::new();
    for edit in edits {
        if let Edit::Set { key, value, .. } | Edit::Add { key, value, .. } = edit {
            wanted.insert(key, value);
        }
    }
    for (key, value) in wanted {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if own.get(key) != Some(value) || document.get_string(key) != Some(shown) {
            return Err(EditError::ReadBack { key: key.to_owned() });
        }
    }
    Ok(())
}

/// The plain values at the top level; lists and maps are left out.
///
/// # Errors
/// A value cannot be read.
pub fn read(text: &str) -> Result<BTreeMap<String, Value>, EditError> {
    Ok(entries(text)?.into_iter().filter_map(|(key, entry)| Some((key.to_owned(), entry.value?.1))).collect())
}

fn entries(text: &str) -> Result<BTreeMap<&str, Entry>, EditError> {
    let mut found = BTreeMap::new();
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = offset;
        offset += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if line.contains('\t') && line.trim_start_matches(' ').starts_with('\t') {
            return Err(EditError::Syntax { line: number + 1, message: "a tab cannot indent YAML".into() });
        }
        let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(line.len());
        let is_entry = name_end > 0 && line[name_end..].starts_with(':') && line[name_end + 1..].chars().next().is_none_or(|c| c == ' ');
        if !is_entry {
            continue;
        }
        let after = &line[name_end + 1..];
        let value_start = start + name_end + 1 + (after.len() - after.trim_start().len());
        let value = scalar(after.trim_start())
            .map_err(|message| EditError::Syntax { line: number + 1, message })?
            .map(|(length, value)| (value_start..value_start + length, value));
        if found.insert(&line[..name_end], Entry { value }).is_some() {
            return Err(EditError::Syntax { line: number + 1, message: format!("'{}' stands twice", &line[..name_end]) });
        }
    }
    Ok(found)
}

/// A plain value and its length in bytes; none for lists, maps, blocks, anchors and nothing at all.
fn scalar(text: &str) -> Result<Option<(usize, Value)>, String> {
    let (length, value) = match text.chars().next() {
        None | Some('#' | '|' | '>' | '[' | '{' | '&' | '*' | '!' | '-' | '?') if !is_negative(text) => return Ok(None),
        Some('"') => {
            let mut escaped = false;
            let end = text[1..].char_indices().find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            let Some((end, _)) = end else { return Err("a text goes on over the end of the line".into()) };
            let quoted = &text[..end + 2];
            // What this program writes, and what the kit has, are escapes that JSON shares.
            let value = serde_json::from_str::<String>(quoted).map_err(|_| "a text in quotes cannot be read".to_owned())?;
            (quoted.len(), Value::String(value))
        }
        Some('\'') => {
            let bytes = text.as_bytes();
            let mut end = 1;
            loop {
                match (bytes.get(end), bytes.get(end + 1)) {
                    (Some(b'\''), Some(b'\'')) => end += 2,
                    (Some(b'\''), _) => break,
                    (Some(_), _) => end += 1,
                    (None, _) => return Err("a text goes on over the end of the line".into()),
                }
            }
            (end + 1, Value::String(text[1..end].replace("''", "'")))
        }
        _ => {
            let plain = text.find(" #").map_or(text, |comment| &text[..comment]).trim_end();
            (plain.len(), plain_value(plain))
        }
    };
    let rest = text[length..].trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(Some((length, value))) } else { Ok(None) }
}

fn is_negative(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn plain_value(text: &str) -> Value {
    match text {
        "true" | "True" => Value::Boolean(true),
        "false" | "False" => Value::Boolean(false),
        _ => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
    }
}

fn literal(key: &str, value: &Value) -> Result<String, EditError> {
    let refuse = |message: &str| Err(EditError::Value { key: key.to_owned(), message: message.to_owned() });
    match value {
        Value::Integer(_) | Value::Boolean(_) => Ok(value.to_string()),
        Value::String(text) => {
            // Ansible evaluates templates in its variables, wherever they come from.
            if ["{{", "{%", "{#"].iter().any(|open| text.contains(open)) {
                return refuse("must not contain {{, {% or {#: Ansible would evaluate it");
            }
            if text.chars().any(char::is_control) {
                return refuse("must not contain control characters or line breaks");
            }
            Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
        }
        other => refuse(&format!("{} values cannot be set here", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(key: &str, value: impl Into<Value>) -> Edit {
        Edit::Set { section: None, key: key.into(), value: value.into() }
    }

    fn add(key: &str, value: impl Into<Value>) -> Edit {
        Edit::Add { section: None, key: key.into(), value: value.into() }
    }

    const TEMPLATE: &str = "# Mandatory\ndomain: \"a.b\"  # Root\nurl: \"\"     # later \"x\"\nplain: word # c\nsingle: 'it''s'\nmax: 300\non: true\nlist:\n  - domain: x\nmap:\n  domain: y\nempty: []   # none\nlast: false   # no break";

    #[test]
    fn only_the_lines_that_must_differ_differ() {
        let edits = [set("domain", "c.d"), set("url", "https://x/?a=1#2"), set("max", 300), set("on", false), set("plain", "other")];
        let result = edit(TEMPLATE, &edits).unwrap();
        let changed: Vec<&str> = TEMPLATE.lines().zip(result.lines()).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
        assert_eq!(
            changed,
            ["domain: \"c.d\"  # Root", "url: \"https://x/?a=1#2\"     # later \"x\"", "plain: \"other\" # c", "on: false"]
        );
        assert_eq!(edit(TEMPLATE, &[]).unwrap(), TEMPLATE);
    }

    #[test]
    fn values_are_read() {
        let values = read(TEMPLATE).unwrap();
        assert_eq!(values["single"].as_str(), Some("it's"));
        assert_eq!(values["max"].as_integer(), Some(300));
        assert!(!values.contains_key("list") && !values.contains_key("empty"));
    }

    #[test]
    fn an_added_line_is_not_glued_to_the_last_comment() {
        let result = edit(TEMPLATE, &[add("key", "~/x")]).unwrap();
        assert!(result.ends_with("# no break\n\n# Added by mosip-setup\nkey: \"~/x\"\n"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(edit(TEMPLATE, &[set("nope", "x")]), Err(EditError::Missing { key: "nope".into() }));
        for (key, value) in [("domain", "{{ x }}"), ("domain", "{% x"), ("domain", "a\nb"), ("list", "x"), ("empty", "x")] {
            assert!(matches!(edit(TEMPLATE, &[set(key, value)]), Err(EditError::Value { .. })), "{key} {value}");
        }
        assert!(matches!(edit("a: 1\na: 2\n", &[]), Err(EditError::Syntax { line: 2, .. })));
    }

    proptest! {
        #[test]
        fn every_text_reads_back_or_is_refused(text in "[ -~äß]*") {
            match edit("a: \"\" # keep\n", &[set("a", text.clone())]) {
                Ok(result) => {
                    let values = read(&result).unwrap();
                    prop_assert_eq!(values["a"].as_str(), Some(text.as_str()));
                    prop_assert!(result.ends_with("# keep\n"));
                }
                Err(error) => prop_assert!(text.contains("{{") || text.contains("{%") || text.contains("{#"), "{error}"),
            }
        }
    }
}
