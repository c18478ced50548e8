//! Identifiers of the things a profile and a site name.
//!
//! An identifier is 1 to 64 lower-case letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
//! A value of one of these types is always valid; what else it must satisfy (that it exists, that it is unique) belongs to whoever owns the list.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid identifier: use 1 to 64 lower-case letters, digits, '-', '_' or '.', beginning with a letter or digit")]
pub struct InvalidId {
    /// The text that was refused.
    pub text: String,
}

fn validate(text: &str) -> Result<(), InvalidId> {
    let mut characters = text.chars();
    let first_fits = characters.next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
    let rest_fits = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if first_fits && rest_fits && text.len() <= 64 { Ok(()) } else { Err(InvalidId { text: text.to_owned() }) }
}

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                validate(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                validate(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    )+};
}

identifier! {
    /// Names a profile, as `turing-rke2`.
    ProfileId,
    /// Names a source of a profile, as `kit`.
    SourceId,
    /// Names a field of a profile; also the key of its answer in a site file.
    FieldId,
    /// Names a machine role, as `cluster`.
    RoleId,
    /// Names one machine of a site; also its name in inventories.
    MachineName,
    /// Names a check, as `ports.free.cluster`.
    CheckId,
    /// Names a phase, as `main-cluster`.
    PhaseId,
    /// Names a step inside its phase, as `playbook`.
    StepId,
}

/// One step of one phase, written `phase/step`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepRef {
    /// The phase.
    pub phase: PhaseId,
    /// The step inside it.
    pub step: StepId,
}

impl StepRef {
    /// The folder name of this step below a run's `steps`: `phase.step`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}.{}", self.phase, self.step)
    }
}

impl fmt::Display for StepRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.phase, self.step)
    }
}

impl FromStr for StepRef {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (phase, step) = text.split_once('/').ok_or_else(|| InvalidId { text: text.to_owned() })?;
        Ok(Self { phase: phase.parse()?, step: step.parse()? })
    }
}

impl TryFrom<String> for StepRef {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<StepRef> for String {
    fn from(step: StepRef) -> Self {
        step.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses() {
        for good in ["a", "main-cluster", "ports.free.cluster", "vm1", "ssh_key", "0a"] {
            assert_eq!(good.parse::<PhaseId>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "-a", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<PhaseId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_step_is_written_with_a_slash() {
        let step: StepRef = "wireguard/playbook".parse().unwrap();
        assert_eq!(step.to_string(), "wireguard/playbook");
        assert_eq!(step.folder(), "wireguard.playbook");
        assert!("wireguard".parse::<StepRef>().is_err());
    }
}
