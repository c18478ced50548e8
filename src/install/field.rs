//! Fields: the questions of a profile, and the parsers of their answers.
//!
//! A kind is a parser: a [`Value`] that came out of [`Field::parse`] or [`Field::accept`] is valid for its field.

use std::fmt;
use std::net::Ipv4Addr;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::ids::{FieldId, PhaseId};

/// What kind of answer a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Free text on one line; `pattern` and `max` (characters) restrict it.
    Text,
    /// A whole number between `min` and `max`.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of `values`.
    Choice,
    /// A lower-case DNS domain of at least two labels.
    Domain,
    /// A lower-case host name of at least two labels.
    HostName,
    /// An IPv4 address.
    Ipv4,
    /// A host name or an IPv4 address.
    Endpoint,
    /// An IPv4 network, as `10.0.0.0/16`.
    Cidr,
    /// IPv4 networks, separated by commas.
    CidrList,
    /// A mail address.
    Email,
    /// A TCP or UDP port, 1 to 65535.
    Port,
    /// An absolute path, or one that begins with `~/`; no spaces (the tools driven do not quote it).
    Path,
    /// An `https://` or `http://` address.
    Url,
    /// A version as charts and tools write it.
    Version,
    /// A Kubernetes quantity of storage, as `8Gi`.
    Quantity,
    /// A secret; the site holds a reference to it, never the value. `min` is its least length.
    Secret,
}

/// One allowed value of a `choice` field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value stored.
    pub value: String,
    /// What the operator reads.
    pub label: String,
}

/// Holds when another field has a given value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field looked at.
    pub field: FieldId,
    /// The value it must have, as text. Without it the field must merely be answered and not empty.
    #[serde(default)]
    pub is: Option<String>,
}

/// One question of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The key of the answer in a site file.
    pub id: FieldId,
    /// The heading below which the wizard shows it.
    pub section: String,
    /// What it takes.
    pub kind: FieldKind,
    /// A short name.
    pub label: String,
    /// What it is for, where to find it, what happens when it is wrong.
    #[serde(default)]
    pub help: String,
    /// An example, shown when the field is empty.
    #[serde(default)]
    pub example: Option<String>,
    /// Whether an installation can be planned without it.
    #[serde(default)]
    pub required: bool,
    /// The answer when the operator gives none; may refer to other values as `${id}`.
    #[serde(default)]
    pub default: Option<toml::Value>,
    /// Least value (integer), least length (secret).
    #[serde(default)]
    pub min: Option<i64>,
    /// Greatest value (integer), greatest length in characters (text).
    #[serde(default)]
    pub max: Option<i64>,
    /// A regular expression the whole text must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What the pattern means, for the message.
    #[serde(default)]
    pub pattern_help: Option<String>,
    /// The values of a choice.
    #[serde(default)]
    pub values: Vec<Choice>,
    /// The field is asked only when this holds.
    #[serde(default)]
    pub when: Option<Condition>,
    /// What changing the answer costs once the installation stands; empty when it costs little.
    #[serde(default)]
    pub hard_to_change: String,
    /// The phases that settle the answer: once one of them has begun, changing it costs what `hard_to_change` says, and is asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled_by: Vec<PhaseId>,
}

/// A valid answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Text(value) => formatter.write_str(value),
        }
    }
}

impl Value {
    /// Whether the answer is an empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    /// The same value for a TOML file.
    #[must_use]
    pub fn to_toml(&self) -> toml::Value {
        match self {
            Self::Boolean(value) => toml::Value::Boolean(*value),
            Self::Integer(value) => toml::Value::Integer(*value),
            Self::Text(value) => toml::Value::String(value.clone()),
        }
    }
}

/// Why an answer is refused; a sentence fragment that says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldProblem(pub String);

fn problem<T>(text: impl Into<String>) -> Result<T, FieldProblem> {
    Err(FieldProblem(text.into()))
}

impl Field {
    /// Parses what an operator typed.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn parse(&self, text: &str) -> Result<Value, FieldProblem> {
        let text = text.trim();
        match self.kind {
            FieldKind::Boolean => match text {
                "true" | "yes" => Ok(Value::Boolean(true)),
                "false" | "no" => Ok(Value::Boolean(false)),
                _ => problem("write true or false"),
            },
            FieldKind::Integer | FieldKind::Port => {
                let number: i64 = text.parse().or_else(|_| problem(format!("'{text}' is not a whole number")))?;
                self.check_range(number).map(Value::Integer)
            }
            _ => self.check_text(text).map(|()| Value::Text(text.to_owned())),
        }
    }

    /// Accepts a value from a TOML file, which must have the field's own type.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn accept(&self, value: &toml::Value) -> Result<Value, FieldProblem> {
        match (self.kind, value) {
            (FieldKind::Boolean, toml::Value::Boolean(value)) => Ok(Value::Boolean(*value)),
            (FieldKind::Boolean, _) => problem("write true or false, without quotes"),
            (FieldKind::Integer | FieldKind::Port, toml::Value::Integer(value)) => self.check_range(*value).map(Value::Integer),
            (FieldKind::Integer | FieldKind::Port, _) => problem("write a whole number, without quotes"),
            (FieldKind::Secret, _) => {
                problem(format!("a secret does not stand here: put a reference to it under [secret], as {} = \"file:PATH\"", self.id))
            }
            (_, toml::Value::String(text)) => self.parse(text),
            (_, other) => problem(format!("write a text in quotes, not {}", other.type_str())),
        }
    }

    fn check_range(&self, number: i64) -> Result<i64, FieldProblem> {
        let (low, high) = match self.kind {
            FieldKind::Port => (self.min.or(Some(1)), self.max.or(Some(65_535))),
            _ => (self.min, self.max),
        };
        match (low, high) {
            (Some(low), Some(high)) if number < low || number > high => problem(format!("{number} is outside {low} to {high}")),
            (Some(low), None) if number < low => problem(format!("{number} is less than {low}")),
            (None, Some(high)) if number > high => problem(format!("{number} is more than {high}")),
            _ => Ok(number),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), FieldProblem> {
        if text.is_empty() {
            return if self.required { problem("must not be empty") } else { Ok(()) };
        }
        if text.chars().any(char::is_control) {
            return problem("must not contain control characters or line breaks");
        }
        match self.kind {
            FieldKind::Domain | FieldKind::HostName => host_name(text)?,
            FieldKind::Ipv4 => drop(ipv4(text)?),
            FieldKind::Endpoint => {
                if ipv4(text).is_err() {
                    if text.chars().all(|c| c.is_ascii_digit() || c == '.') {
                        return problem(format!("'{text}' is not a complete IPv4 address"));
                    }
                    host_name(text)?;
                }
            }
            FieldKind::Cidr => drop(Cidr::parse(text)?),
            FieldKind::CidrList => {
                for part in text.split(',') {
                    Cidr::parse(part.trim())?;
                }
            }
            FieldKind::Email => email(text)?,
            FieldKind::Path => path(text)?,
            FieldKind::Url => url(text)?,
            FieldKind::Version => matches_pattern(
                text,
                r"^v?\d+(\.\d+)*([+.~-][0-9A-Za-z+.~-]+)?$",
                "write a version, as 1.2.3, v1.3.1-rc.1 or 103.1.0+up45.31.1",
            )?,
            FieldKind::Quantity => matches_pattern(text, r"^[1-9]\d*(Mi|Gi|Ti)$", "write a size, as 8Gi")?,
            FieldKind::Choice => {
                if !self.values.iter().any(|choice| choice.value == text) {
                    let allowed: Vec<&str> = self.values.iter().map(|choice| choice.value.as_str()).collect();
                    return problem(format!("'{text}' is not one of {}", allowed.join(", ")));
                }
            }
            FieldKind::Text | FieldKind::Secret => {
                if let Some(max) = self.max.and_then(|max| usize::try_from(max).ok())
                    && text.chars().count() > max
                {
                    return problem(format!("is longer than {max} characters"));
                }
                if let (FieldKind::Secret, Some(min)) = (self.kind, self.min.and_then(|min| usize::try_from(min).ok()))
                    && text.chars().count() < min
                {
                    return problem(format!("is shorter than {min} characters"));
                }
            }
            FieldKind::Boolean | FieldKind::Integer | FieldKind::Port => {}
        }
        if let Some(pattern) = &self.pattern {
            let meaning = self.pattern_help.clone().unwrap_or_else(|| format!("must match {pattern}"));
            matches_pattern(text, &format!("^(?:{pattern})$"), &meaning)?;
        }
        Ok(())
    }
}

fn matches_pattern(text: &str, pattern: &str, meaning: &str) -> Result<(), FieldProblem> {
    match Regex::new(pattern) {
        Ok(regex) if regex.is_match(text) => Ok(()),
        Ok(_) => problem(format!("'{text}': {meaning}")),
        Err(error) => problem(format!("the profile's pattern is broken: {error}")),
    }
}

/// Checks a lower-case host name of at least two labels (RFC 1123).
///
/// # Errors
/// Says what would be right.
pub fn host_name(text: &str) -> Result<(), FieldProblem> {
    if text.contains("://") {
        return problem("write the name alone, without http:// or https://");
    }
    if text.ends_with('.') {
        return problem("leave out the dot at the end");
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return problem("write it in lower case");
    }
    let labels: Vec<&str> = text.split('.').collect();
    if labels.len() < 2 {
        return problem("write a full name with at least two parts, as mosip.example.org");
    }
    let label_fits = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if text.len() > 253 || !labels.iter().all(label_fits) {
        return problem(format!("'{text}' is not a DNS name: each part has 1 to 63 letters, digits or inner hyphens"));
    }
    if labels.iter().all(|label| label.chars().all(|c| c.is_ascii_digit())) {
        return problem("an address stands here; a DNS name is needed");
    }
    Ok(())
}

/// Parses an IPv4 address of a machine.
///
/// # Errors
/// Says what would be right; half addresses, as the kit's templates carry, are named as such.
pub fn ipv4(text: &str) -> Result<Ipv4Addr, FieldProblem> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) if address.is_unspecified() || address.is_broadcast() || address.is_multicast() => {
            problem(format!("{text} cannot be a machine's address"))
        }
        Ok(address) => Ok(address),
        Err(_) if text.contains(':') => problem(format!("'{text}' looks like IPv6; the tools driven take IPv4 addresses only")),
        Err(_) if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') => {
            problem(format!("'{text}' is not a complete IPv4 address: four numbers from 0 to 255"))
        }
        Err(_) => problem(format!("'{text}' is not an IPv4 address")),
    }
}

fn email(text: &str) -> Result<(), FieldProblem> {
    match text.split_once('@') {
        Some((user, host)) if mailbox(user) && host_name(&host.to_ascii_lowercase()).is_ok() => Ok(()),
        _ => problem(format!("'{text}' is not a mail address")),
    }
}

/// Whether a text can stand before the @ of a mail address, and in a shell's line.
fn mailbox(user: &str) -> bool {
    !user.is_empty() && user.chars().all(|sign| sign.is_ascii_alphanumeric() || "._+-%=~".contains(sign))
}

fn path(text: &str) -> Result<(), FieldProblem> {
    if !(text.starts_with('/') || text.starts_with("~/")) {
        return problem("write an absolute path, or one that begins with ~/");
    }
    if text.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '$' | '`' | '\\')) {
        return problem("no spaces, quotes, $ or backslash: the tools driven take the path unquoted");
    }
    if text.split('/').any(|part| part == "..") {
        return problem("write the path without '..'");
    }
    Ok(())
}

fn url(text: &str) -> Result<(), FieldProblem> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => problem("write a whole address that begins with https://"),
        Some(_) if text.chars().any(|sign| !sign.is_ascii_graphic() || "'\"`$\\;()<>|{}*^".contains(sign)) => {
            problem(format!("'{text}': no spaces, quotes, $ or other signs of a shell: the tools driven take the address unquoted"))
        }
        Some(_) => Ok(()),
        None => problem("write a whole address that begins with https://"),
    }
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The first address.
    pub network: Ipv4Addr,
    /// Bits of the network part, 0 to 32.
    pub prefix: u8,
}

impl Cidr {
    /// Parses `a.b.c.d/n`.
    ///
    /// # Errors
    /// Says what would be right, also where host bits are set.
    pub fn parse(text: &str) -> Result<Self, FieldProblem> {
        let Some((address, prefix)) = text.split_once('/') else {
            return problem(format!("'{text}' has no prefix length: write a network, as 10.77.0.0/24"));
        };
        let address: Ipv4Addr = address.parse().or_else(|_| problem(format!("'{address}' is not an IPv4 address")))?;
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= 32)
            .map_or_else(|| problem(format!("'/{prefix}' is not a prefix length from 0 to 32")), Ok)?;
        let network = Ipv4Addr::from(u32::from(address) & Self::mask(prefix));
        if network != address {
            return problem(format!("{text} has host bits set; the network is {network}/{prefix}"));
        }
        Ok(Self { network, prefix })
    }

    fn mask(prefix: u8) -> u32 {
        if prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(prefix)) }
    }

    /// Whether an address lies inside.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & Self::mask(self.prefix) == u32::from(self.network)
    }

    /// Whether two networks share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: &str, more: &str) -> Field {
        toml::from_str(&format!("id = \"x\"\nsection = \"S\"\nlabel = \"X\"\nkind = \"{kind}\"\n{more}")).unwrap()
    }

    #[test]
    fn each_kind_accepts_and_refuses() {
        let table: &[(&str, &str, &[&str], &[&str])] = &[
            ("domain", "", &["mosip.example.org", "a.b"], &["mosip", "https://a.b", "a.b.", "A.b", "a..b", "-a.b", "1.2.3.4"]),
            ("ipv4", "", &["10.77.0.41"], &["10.100.3.", "10.0.0.256", "fe80::1", "vm1", "0.0.0.0"]),
            ("endpoint", "", &["10.0.0.1", "vpn.example.org"], &["10.100.3.", "vpn"]),
            ("cidr", "", &["10.77.0.0/24", "0.0.0.0/0"], &["10.77.0.1/24", "10.77.0.0", "10.77.0.0/33"]),
            ("cidr_list", "", &["10.77.0.0/24, 10.78.0.0/16"], &["10.77.0.0/24,"]),
            ("email", "", &["a@b.org", "A.b+c@d.org"], &["a", "@b.org", "a@b", "$(id)@b.org", "a b@c.org", "a'@b.org"]),
            ("port", "", &["1", "65535"], &["0", "65536", "http"]),
            ("path", "", &["/a/b", "~/.ssh/id"], &["a", "/a b", "/a/../b", "/a$b"]),
            (
                "url",
                "",
                &["https://a.b/c", "http://minio.minio:9000", "https://u@a.b:8443/c%20d?e=f&g=h#i"],
                &[
                    "a.b",
                    "https://",
                    "https:///a",
                    "ftp://a",
                    "https://a/$(id)",
                    "https://a/'b'",
                    "https://a b",
                    "https://a/`id`",
                    "https://a;id",
                ],
            ),
            ("version", "", &["1.2.3", "v1.3.1-rc.1", "103.1.1+up45.31.1", "v1.28.8+rke2r1"], &["latest", "1.2 3"]),
            ("quantity", "", &["8Gi", "512Mi"], &["8", "8GB", "0Gi"]),
            ("boolean", "", &["true", "no"], &["1", "maybe"]),
            ("integer", "min = 1\nmax = 50", &["1", "50"], &["0", "51", "x"]),
            ("text", "pattern = '[a-z0-9-]{1,40}'", &["dev1-mosip"], &["Dev", "a b"]),
            ("choice", "values = [{ value = 'a', label = 'A' }]", &["a"], &["b"]),
            ("secret", "min = 12", &["correct horse"], &["short"]),
        ];
        for (kind, more, good, bad) in table {
            let field = field(kind, more);
            for text in *good {
                assert!(field.parse(text).is_ok(), "{kind}: {text:?} {:?}", field.parse(text));
            }
            for text in *bad {
                assert!(field.parse(text).is_err(), "{kind}: {text:?} was accepted");
            }
        }
    }

    #[test]
    fn an_empty_text_is_refused_only_where_required() {
        assert!(field("domain", "").parse("").unwrap().is_empty());
        assert!(field("domain", "required = true").parse(" ").is_err());
    }

    #[test]
    fn a_value_from_a_file_must_have_the_type_of_the_field() {
        assert!(field("integer", "").accept(&toml::Value::String("5".into())).is_err());
        assert!(field("boolean", "").accept(&toml::Value::String("true".into())).is_err());
        assert!(field("text", "").accept(&toml::Value::Integer(5)).is_err());
        assert!(field("secret", "").accept(&toml::Value::String("hunter2hunter2".into())).is_err());
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let cidr = |text| Cidr::parse(text).unwrap();
        assert!(cidr("10.0.0.0/8").overlaps(&cidr("10.42.0.0/16")));
        assert!(cidr("10.42.0.0/16").overlaps(&cidr("10.0.0.0/8")));
        assert!(!cidr("10.42.0.0/16").overlaps(&cidr("10.43.0.0/16")));
    }
}
