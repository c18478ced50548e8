//! Problems in files that people write, and where in the file they are.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// One thing wrong in a profile or site file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, as the operator named it.
    pub file: String,
    /// The line, counted from 1; 0 where the thing is missing altogether.
    pub line: usize,
    /// The key, dotted.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Lines of the keys of a TOML text: `phase[2].step[0].dir` → line. Indexed when first asked, for most files have no problem.
#[derive(Debug, Default, Clone)]
pub struct Lines {
    text: String,
    index: OnceLock<Index>,
}

impl Lines {
    /// Takes a text; one that does not parse has no lines.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned(), index: OnceLock::new() }
    }

    /// The line of a key, or of the nearest key above it; 0 where there is none.
    #[must_use]
    pub fn find(&self, key: &str) -> usize {
        let index = self.index.get_or_init(|| Index::of(&self.text));
        let mut key = key;
        loop {
            if let Some(line) = index.lines.get(key) {
                return *line;
            }
            match key.rfind(['.', '[']) {
                Some(cut) => key = &key[..cut],
                None => return 0,
            }
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Index {
    lines: HashMap<String, usize>,
    /// Offsets of the line breaks.
    breaks: Vec<usize>,
}

impl Index {
    fn of(text: &str) -> Self {
        let mut index = Self { lines: HashMap::new(), breaks: text.match_indices('\n').map(|(offset, _)| offset).collect() };
        if let Ok(document) = toml_edit::Document::parse(text) {
            index.table("", document.as_table());
        }
        index
    }

    fn note(&mut self, key: &str, span: Option<std::ops::Range<usize>>) {
        if let Some(span) = span {
            let line = self.breaks.partition_point(|offset| *offset < span.start) + 1;
            self.lines.entry(key.to_owned()).or_insert(line);
        }
    }

    fn table(&mut self, prefix: &str, table: &toml_edit::Table) {
        for (key, item) in table {
            let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            match item {
                toml_edit::Item::Table(inner) => {
                    self.note(&path, inner.span().or(span));
                    self.table(&path, inner);
                }
                toml_edit::Item::ArrayOfTables(entries) => {
                    for (number, inner) in entries.iter().enumerate() {
                        let entry = format!("{path}[{number}]");
                        self.note(&entry, inner.span());
                        self.table(&entry, inner);
                    }
                }
                toml_edit::Item::Value(value) => {
                    self.note(&path, span);
                    self.value(&path, value);
                }
                toml_edit::Item::None => {}
            }
        }
    }

    fn value(&mut self, path: &str, value: &toml_edit::Value) {
        match value {
            toml_edit::Value::InlineTable(table) => {
                for (key, inner) in table {
                    let path = format!("{path}.{key}");
                    self.note(&path, inner.span());
                    self.value(&path, inner);
                }
            }
            toml_edit::Value::Array(array) => {
                for (number, inner) in array.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    self.note(&path, inner.span());
                    self.value(&path, inner);
                }
            }
            _ => {}
        }
    }
}

/// The line a byte offset is in, counted from 1.
#[must_use]
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Turns a TOML syntax error into a problem with its line.
#[must_use]
pub fn syntax_problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map_or(0, |span| line_at(text, span.start));
    Problem { file: file.to_owned(), line, key: String::new(), message: format!("not valid TOML: {}", error.message().trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_or_the_nearest_above() {
        let text =
            "schema = 1\n\n[[phase]]\nid = \"a\"\n[[phase.step]]\nid = \"x\"\ncommand = [\n  \"a\",\n  \"b\",\n]\n[[phase]]\nid = \"b\"\n";
        let lines = Lines::of(text);
        assert_eq!(lines.find("schema"), 1);
        assert_eq!(lines.find("phase[0].id"), 4);
        assert_eq!(lines.find("phase[0].step[0].command[1]"), 9);
        assert_eq!(lines.find("phase[1].needs"), 11);
        assert_eq!(lines.find("nothing"), 0);
    }
}
