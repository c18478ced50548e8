//! `${name}` in texts of a profile. No other expressions; `$${` stands for a literal `${`.
//!
//! `${secret.ID}` is left in place: a plan never holds a secret. It is resolved where a file is written or a process is started.

use std::collections::BTreeMap;

/// A name nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpolateError {
    /// The name stands for nothing.
    #[error("${{{0}}} stands for nothing here")]
    Unknown(String),
    /// `${` without `}`.
    #[error("'${{' without '}}' in \"{0}\"")]
    Open(String),
}

/// Replaces every `${name}` by what `value` gives for it.
///
/// # Errors
/// A name without value, or an unclosed `${`.
pub fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, InterpolateError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            result.push_str(&rest[..start - 1]);
            result.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        result.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else { return Err(InterpolateError::Open(text.to_owned())) };
        let name = &rest[start + 2..start + end];
        match value(name) {
            Some(value) => result.push_str(&value),
            None if name.starts_with("secret.") => result.push_str(&rest[start..=start + end]),
            None => return Err(InterpolateError::Unknown(name.to_owned())),
        }
        rest = &rest[start + end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

/// The names a text refers to.
#[must_use]
pub fn names(text: &str) -> Vec<String> {
    let found = std::cell::RefCell::new(Vec::new());
    let collect = |name: &str| {
        found.borrow_mut().push(name.to_owned());
        Some(String::new())
    };
    // An unclosed brace is reported where the text is expanded.
    drop(expand(text, &collect));
    found.into_inner()
}

/// The secrets a text refers to: the ID of each `${secret.ID}`.
#[must_use]
pub fn secrets(text: &str) -> Vec<String> {
    names(text).into_iter().filter_map(|name| name.strip_prefix("secret.").map(str::to_owned)).collect()
}

/// Named values to interpolate with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// Sets a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Expands a text.
    ///
    /// # Errors
    /// As [`expand`].
    pub fn expand(&self, text: &str) -> Result<String, InterpolateError> {
        expand(text, &|name| self.get(name).map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn expands_escapes_and_keeps_secrets() {
        let mut values = Values::default();
        values.set("domain", "a.b");
        assert_eq!(values.expand("x.${domain}:${domain}").unwrap(), "x.a.b:a.b");
        assert_eq!(values.expand("$${domain} ${secret.pw}").unwrap(), "${domain} ${secret.pw}");
        assert_eq!(values.expand("${nope}"), Err(InterpolateError::Unknown("nope".into())));
        assert!(matches!(values.expand("${nope"), Err(InterpolateError::Open(_))));
        assert_eq!(secrets("a ${secret.pw} ${domain}"), ["pw"]);
    }

    proptest! {
        #[test]
        fn text_without_dollar_is_unchanged(text in "[^$]*") {
            prop_assert_eq!(Values::default().expand(&text).unwrap(), text);
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = Values::default().expand(&text);
        }
    }
}
