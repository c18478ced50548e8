//! The events of `terraform … -json`, and what of them is read without reading all.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event, its parts as they stand: which of them is read depends on its kind.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "@message", borrow)]
    pub message: Cow<'a, str>,
    #[serde(rename = "type", borrow, default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub hook: Option<&'a RawValue>,
    #[serde(borrow)]
    pub change: Option<&'a RawValue>,
    #[serde(borrow)]
    pub changes: Option<&'a RawValue>,
    #[serde(borrow)]
    pub diagnostic: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    /// One of its parts; one that is not there or of another form says nothing.
    pub fn part<T: Deserialize<'a> + Default>(&self, part: Option<&'a RawValue>) -> T {
        part.and_then(|part| serde_json::from_str(part.get()).ok()).unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource<'a> {
    #[serde(borrow)]
    pub addr: Cow<'a, str>,
    #[serde(borrow)]
    pub module: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Hook<'a> {
    #[serde(borrow)]
    pub resource: Resource<'a>,
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    pub elapsed_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Change<'a> {
    #[serde(borrow)]
    pub resource: Resource<'a>,
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changes<'a> {
    pub add: u64,
    pub change: u64,
    pub remove: u64,
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Diagnostic<'a> {
    #[serde(borrow)]
    pub severity: Cow<'a, str>,
    #[serde(borrow)]
    pub summary: Cow<'a, str>,
    #[serde(borrow)]
    pub detail: Cow<'a, str>,
    #[serde(borrow)]
    pub address: Cow<'a, str>,
}

/// How Terraform begins an event, looked for where one should not begin.
pub(super) static ANOTHER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"{\"@level\":\""));

/// What stands before the address of the resource of an event.
pub(super) static ADDRESS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b",\"hook\":{\"resource\":{\"addr\":\""));

/// What stands before the message of one.
pub(super) const SAYS: &[u8] = b"\"info\",\"@message\":\"";

/// Kinds of events of which nothing counts but what they say; these come in great numbers.
pub(super) const ONLY_SAID: [&[u8]; 6] =
    [b"provision_start", b"provision_progress", b"provision_complete", b"refresh_start", b"refresh_complete", b"resource_drift"];

/// Of which kind an event is, by the end of its line, where Terraform puts it; none: not there.
pub(super) fn kind_at_end(line: &[u8]) -> Option<&[u8]> {
    let before = line.strip_suffix(b"\"}")?;
    let kind = &before[memchr::memrchr(b'"', before)? + 1..];
    before[..before.len() - kind.len()].ends_with(b",\"type\":\"").then_some(kind)
}

/// Kinds of events that tell how far a resource is.
pub(super) const HOOKS: [&str; 4] = ["apply_progress", "apply_start", "apply_complete", "apply_errored"];

/// The message, the address and the seconds of an event that says that a resource is still at work, found without reading all of it; the
/// same care as in [`only_said`].
pub(super) fn still_at_work(line: &[u8]) -> Option<(&[u8], &str, u64)> {
    let (message, rest) = message_of(line)?;
    let address = &rest[ADDRESS.find(rest)? + ADDRESS.needle().len()..];
    let address = &address[..memchr::memchr2(b'"', b'\\', address)?];
    let before = line.strip_suffix(b"},\"type\":\"apply_progress\"}")?;
    let digits = &before[before.iter().rposition(|byte| !byte.is_ascii_digit())? + 1..];
    let seconds = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let begins = message.starts_with(address) && before[..before.len() - digits.len()].ends_with(b",\"elapsed_seconds\":");
    begins.then_some((message, std::str::from_utf8(address).ok()?, seconds))
}

/// What is said of a resource while it is made, changed or destroyed: great numbers of "Still creating" among it.
#[derive(Debug, Deserialize)]
pub(super) struct OfHook<'a> {
    #[serde(rename = "@message", borrow)]
    pub message: Cow<'a, str>,
    #[serde(borrow)]
    pub hook: Hook<'a>,
}

/// What is said of a resource in a plan.
#[derive(Debug, Deserialize)]
pub(super) struct OfChange<'a> {
    #[serde(rename = "@message", borrow)]
    pub message: Cow<'a, str>,
    #[serde(borrow)]
    pub change: Change<'a>,
}

/// The message of an event that has nothing else to tell, found without reading all of it. It is one event from end to end: it begins
/// and ends as one, and no other begins in it, for a quote within a text is escaped.
pub(super) fn only_said(line: &[u8]) -> Option<&[u8]> {
    if !ONLY_SAID.contains(&kind_at_end(line)?) {
        return None;
    }
    message_of(line).map(|(message, _)| message)
}

/// The message of an event, and what stands behind it. What is escaped is left to the reader of JSON.
pub(super) fn message_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"{\"@level\":")?.strip_prefix(SAYS)?;
    let (message, rest) = rest.split_at(memchr::memchr2(b'"', b'\\', rest)?);
    let whole = rest.starts_with(b"\",\"@module\":\"terraform.ui\"") && ANOTHER.find(rest).is_none();
    (whole && std::str::from_utf8(message).is_ok()).then_some((message, rest))
}
