//! Differences between files as an operator sees them: never a secret.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;

use crate::adapters::secrets::Secrets;

/// What is said of a file that is a secret as a whole.
#[must_use]
pub fn hidden(exists: bool) -> String {
    if exists { "(secret, changed)\n".into() } else { "(secret, new)\n".into() }
}

/// A unified diff in which the values of some keys, and known secrets anywhere, are not shown.
#[must_use]
pub fn shown(name: &str, old: &str, new: &str, keys: &BTreeSet<&str>, secrets: &Secrets) -> String {
    let value_of = |text: &str, key: &str| text.lines().find_map(|line| split(line, key).map(|(_, value)| value.to_owned()));
    let mask = |text: &str, label: &dyn Fn(&str) -> String| -> String {
        let mut masked = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches('\n');
            match keys.iter().find_map(|key| split(body, key).map(|(head, _)| (key, head))) {
                Some((key, head)) => {
                    masked.push_str(head);
                    masked.push_str(&label(key));
                }
                None => masked.push_str(&literal(body, secrets)),
            }
            masked.push_str(&line[body.len()..]);
        }
        masked
    };
    let changed = |key: &str| value_of(old, key) != value_of(new, key);
    let old_text = mask(old, &|_| "(secret)".into());
    let new_text = mask(new, &|key| if changed(key) { "(secret, changed)".into() } else { "(secret)".into() });
    let difference = similar::TextDiff::from_lines(old_text.as_str(), new_text.as_str());
    difference.unified_diff().context_radius(2).header(name, name).to_string()
}

/// Splits `key = value …` or `key: value …` before the value, where the line sets this key.
fn split<'a>(line: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let rest = line.trim_start().strip_prefix(key)?;
    let after = rest.trim_start().strip_prefix(['=', ':'])?;
    let value = after.trim_start();
    Some((&line[..line.len() - value.len()], value))
}

fn literal(line: &str, secrets: &Secrets) -> String {
    let mut line = line.to_owned();
    for secret in secrets.values() {
        if line.contains(secret.expose_secret()) {
            line = line.replace(secret.expose_secret(), "(secret)");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_old_or_new() {
        let mut secrets = Secrets::default();
        secrets.insert("b".parse().unwrap(), "new-secret".to_owned().into());
        let text =
            shown("f", "a = 1\nkey = \"old-secret\" # c\n", "a = 2\nkey = \"new-secret\" # c\nx = new-secret\n", &["key"].into(), &secrets);
        assert!(text.contains("-a = 1\n") && text.contains("+a = 2\n"), "{text}");
        assert!(text.contains("+key = (secret, changed)\n") && text.contains("+x = (secret)\n"), "{text}");
        assert!(!text.contains("-secret"), "{text}");
        let same = shown("f", "key = \"s\"\n", "key = \"s\"\nb = 1\n", &["key"].into(), &secrets);
        assert!(same.contains(" key = (secret)\n"), "{same}");
    }
}
