//! Terraform variable files: values replaced in place, by their span; not another byte differs.

use std::collections::BTreeMap;

use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use toml::Value;

use crate::install::plan::Edit;

use super::{EditError, append_line};

/// Edits a text.
///
/// # Errors
/// It cannot be read, lacks a key, or a value does not fit.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let body = parse(text)?;
    let mut replacements: Vec<(std::ops::Range<usize>, String)> = Vec::new();
    let mut added: BTreeMap<&str, (String, usize)> = BTreeMap::new();
    for (number, edit) in edits.iter().enumerate() {
        let (key, value, must_exist) = match edit {
            Edit::Set { key, value, .. } => (key, value, true),
            Edit::Add { key, value, .. } => (key, value, false),
            Edit::Hosts { group, .. } => {
                return Err(EditError::Value { key: group.clone(), message: "only inventories have host sections".into() });
            }
        };
        let literal = literal(key, value)?;
        match body.get_attribute(key) {
            Some(attribute) => {
                if read_value(&attribute.value).as_ref() == Some(value) {
                    continue;
                }
                let span = attribute.value.span().ok_or_else(|| EditError::ReadBack { key: key.clone() })?;
                replacements.retain(|(known, _)| *known != span);
                replacements.push((span, literal));
            }
            None if must_exist => return Err(EditError::Missing { key: key.clone() }),
            None => drop(added.insert(key, (literal, number))),
        }
    }
    let mut result = text.to_owned();
    replacements.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, literal) in replacements {
        result.replace_range(span, &literal);
    }
    if !added.is_empty() {
        append_line(&mut result, "");
        append_line(&mut result, "# Added by mosip-setup");
        let mut lines: Vec<_> = added.into_iter().collect();
        lines.sort_by_key(|(_, (_, number))| *number);
        // Aligned, as `terraform fmt` would have it.
        let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        for (key, (literal, _)) in lines {
            append_line(&mut result, &format!("{key:width$} = {literal}"));
        }
    }
    prove(&result, edits)?;
    Ok(result)
}

/// The last edit of each key must read back as meant.
fn prove(text: &str, edits: &[Edit]) -> Result<(), EditError> {
    let values = read(text)?;
    let mut wanted: BTreeMap<&str, &Value> = BTreeMap::new();
    for edit in edits {
        if let Edit::Set { key, value, .. } | Edit::Add { key, value, .. } = edit {
            wanted.insert(key, value);
        }
    }
    match wanted.into_iter().find(|(key, value)| values.get(*key) != Some(value)) {
        Some((key, _)) => Err(EditError::ReadBack { key: key.to_owned() }),
        None => Ok(()),
    }
}

fn parse(text: &str) -> Result<Body, EditError> {
    hcl_edit::parser::parse_body(text)
        .map_err(|error| EditError::Syntax { line: error.location().line(), message: "not valid Terraform variables".into() })
}

/// The keys with plain values (texts, numbers, booleans and lists of them); others are left out.
///
/// # Errors
/// It cannot be read.
pub fn read(text: &str) -> Result<BTreeMap<String, Value>, EditError> {
    let body = parse(text)?;
    Ok(body.attributes().filter_map(|attribute| Some((attribute.key.to_string(), read_value(&attribute.value)?))).collect())
}

fn read_value(expression: &Expression) -> Option<Value> {
    if let Some(value) = expression.as_bool() {
        return Some(Value::Boolean(value));
    }
    if let Some(number) = expression.as_number() {
        return number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Float));
    }
    if let Expression::UnaryOp(operation) = expression
        && let Some(number) = operation.expr.as_number()
    {
        return number.as_i64().map(|number| Value::Integer(-number));
    }
    if let Some(list) = expression.as_array() {
        return list.iter().map(read_value).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    expression.as_str().map(|text| Value::String(text.to_owned()))
}

fn literal(key: &str, value: &Value) -> Result<String, EditError> {
    Ok(match value {
        Value::String(text) => quote(key, text)?,
        Value::Integer(_) | Value::Boolean(_) | Value::Float(_) => value.to_string(),
        Value::Array(list) => {
            let items = list.iter().map(|value| literal(key, value)).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", items.join(", "))
        }
        other => return Err(EditError::Value { key: key.to_owned(), message: format!("{} values cannot be set here", other.type_str()) }),
    })
}

/// Quotes a text; `${` and `%{` would begin a template.
fn quote(key: &str, text: &str) -> Result<String, EditError> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' | '%' if characters.peek() == Some(&'{') => {
                quoted.push(character);
                quoted.push(character);
            }
            // `$$${` has no reading that both Terraform and its formatter agree on.
            '$' | '%' if characters.peek() == Some(&character) && characters.clone().nth(1) == Some('{') => {
                return Err(EditError::Value { key: key.to_owned(), message: "must not contain $${ or %%{".into() });
            }
            other if other.is_control() => {
                return Err(EditError::Value { key: key.to_owned(), message: "must not contain control characters".into() });
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(quoted)
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

    const TEMPLATE: &str = "# Required\nname = \"old\"   # shown\ndomain   =   \"a.b\"  # yours\non = true\nnumber = 5\nlist = [\n  \"x\",\n]\nlast = \"v\" # no break";

    #[test]
    fn only_the_lines_that_must_differ_differ() {
        let result = edit(TEMPLATE, &[set("domain", "c.d"), set("on", false), set("number", 7), set("name", "old")]).unwrap();
        let changed: Vec<(&str, &str)> = TEMPLATE.lines().zip(result.lines()).filter(|(old, new)| old != new).collect();
        assert_eq!(
            changed,
            [("domain   =   \"a.b\"  # yours", "domain   =   \"c.d\"  # yours"), ("on = true", "on = false"), ("number = 5", "number = 7")]
        );
        assert_eq!(edit(TEMPLATE, &[]).unwrap(), TEMPLATE);
    }

    #[test]
    fn an_added_line_is_not_glued_to_the_last_comment() {
        let result = edit(TEMPLATE, &[add("extra", "1"), add("n", 2), add("name", "new")]).unwrap();
        assert!(result.ends_with("# no break\n\n# Added by mosip-setup\nextra = \"1\"\nn     = 2\n"), "{result}");
        assert!(result.contains("name = \"new\"   # shown"));
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(edit(TEMPLATE, &[set("nope", "x")]), Err(EditError::Missing { key: "nope".into() }));
        assert!(matches!(edit("a = \n= 1", &[]), Err(EditError::Syntax { .. })));
    }

    #[test]
    fn templates_are_escaped() {
        let result = edit("a = \"\"\n", &[set("a", "${x} %{ if } \\ \"q\" $ 5% {")]).unwrap();
        assert_eq!(result, "a = \"$${x} %%{ if } \\\\ \\\"q\\\" $ 5% {\"\n");
    }

    proptest! {
        #[test]
        fn every_text_reads_back_or_is_refused(text in "[ -~äß\\n\\t]*") {
            match edit("a = \"\" # keep\n", &[set("a", text.clone())]) {
                Ok(result) => {
                    let values = read(&result).unwrap();
                    prop_assert_eq!(values["a"].as_str(), Some(text.as_str()));
                    prop_assert!(result.ends_with("# keep\n"));
                }
                Err(error) => prop_assert!(text.contains("$${") || text.contains("%%{"), "{error}"),
            }
        }
    }
}
