//! Questions to the operator in the middle of a run.

use serde::{Deserialize, Serialize};

use crate::install::ids::StepRef;

/// What kind of answer a question takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wants", rename_all = "snake_case")]
pub enum Wanted {
    /// A text that is kept as the value of a secret field.
    Secret {
        /// The field.
        field: String,
        /// What leaving it open means; none: it must be answered.
        optional: Option<String>,
    },
    /// A confirmation that something was done outside.
    Confirmation {
        /// What leaving it open means; none: it must be answered.
        optional: Option<String>,
    },
    /// Consent to run again a step that may not simply run again.
    Repeat,
    /// Consent to destroy or replace these resources.
    Destroy {
        /// Their addresses.
        resources: Vec<String>,
    },
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its name: `phase/step` and a count.
    pub id: String,
    /// The step that asks.
    pub step: StepRef,
    /// One line.
    pub text: String,
    /// What to do to be able to answer.
    pub detail: String,
    /// What kind of answer it takes.
    pub wanted: Wanted,
}

impl Question {
    /// Whether the answer must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.wanted, Wanted::Secret { .. })
    }

    /// What leaving it open means; none: it must be answered.
    #[must_use]
    pub fn optional(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Secret { optional, .. } | Wanted::Confirmation { optional } => optional.as_deref(),
            Wanted::Repeat | Wanted::Destroy { .. } => None,
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A text. For a confirmation, `yes` or `no`.
    Text(String),
    /// The question is left open.
    Open,
}
