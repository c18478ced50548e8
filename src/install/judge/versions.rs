//! Versions as tools print them: numbers separated by dots, with or without a leading `v`; a suffix is left aside.

use std::cmp::Ordering;

/// The numbers of a version; none where it begins with none.
pub(super) fn numbers(text: &str) -> Option<Vec<u64>> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    let core: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let numbers: Vec<u64> = core.split('.').map_while(|part| part.parse().ok()).collect();
    (!numbers.is_empty()).then_some(numbers)
}

/// Compares two versions; missing numbers count as 0.
pub(super) fn compare(one: &[u64], other: &[u64]) -> Ordering {
    let length = one.len().max(other.len());
    let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or(0);
    (0..length).map(|index| at(one, index).cmp(&at(other, index))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether a version is `wanted`, as far as `wanted` says: `1.22` accepts 1.22.5.
pub(super) fn is(version: &[u64], wanted: &[u64]) -> bool {
    wanted.iter().enumerate().all(|(index, number)| version.get(index).copied().unwrap_or(0) == *number)
}

/// What is wrong with a version, against the limits a check names; none when nothing is.
pub(super) fn problem(version: &str, min: Option<&str>, exact: Option<&str>, below: Option<&str>) -> Result<(), Option<String>> {
    let Some(have) = numbers(version) else { return Err(None) };
    let limit = |text: Option<&str>| text.and_then(numbers);
    if limit(exact).is_some_and(|wanted| !is(&have, &wanted)) {
        return Err(Some("is not the version needed".to_owned()));
    }
    if limit(min).is_some_and(|wanted| compare(&have, &wanted).is_lt()) {
        return Err(Some("is too old".to_owned()));
    }
    if limit(below).is_some_and(|wanted| compare(&have, &wanted).is_ge()) {
        return Err(Some("is too new".to_owned()));
    }
    Ok(())
}

/// The limits in words.
pub(super) fn wanted(min: Option<&str>, exact: Option<&str>, below: Option<&str>) -> String {
    match (exact, min, below) {
        (Some(exact), ..) => format!("exactly {exact}"),
        (None, Some(min), Some(below)) => format!("{min} or newer, older than {below}"),
        (None, Some(min), None) => format!("{min} or newer"),
        (None, None, Some(below)) => format!("older than {below}"),
        (None, None, None) => "any version".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(problem("v1.22.0", None, Some("1.22.0"), None), Ok(()));
        assert_eq!(problem("1.22.1", None, Some("1.22.0"), None), Err(Some("is not the version needed".into())));
        assert_eq!(problem("1.9.8-beta", Some("1.9"), None, Some("2")), Ok(()));
        assert_eq!(problem("1.10", Some("1.9.5"), None, None), Ok(()));
        assert_eq!(problem("2.9.27", Some("2.16"), None, None), Err(Some("is too old".into())));
        assert_eq!(problem("4.0.0", Some("3"), None, Some("4")), Err(Some("is too new".into())));
        assert_eq!(problem("unknown", Some("1"), None, None), Err(None));
        assert_eq!(problem("99999999999999999999999.1", None, None, None), Err(None));
    }
}
