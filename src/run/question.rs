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
    /// Consent to go on with other values of answers that are hard to change.
    Change {
        /// The fields.
        fields: Vec<String>,
    },
    /// What a running command is to be told at its terminal; it waits for that.
    Prompt {
        /// Which prompt of its attempt.
        number: u32,
        /// Whether the command does not show what is typed.
        secret: bool,
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
        matches!(self.wanted, Wanted::Secret { .. } | Wanted::Prompt { secret: true, .. })
    }

    /// Whether a running command waits for the answer, and not the run itself.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        matches!(self.wanted, Wanted::Prompt { .. })
    }

    /// Whether the answer is a text, rather than yes or no.
    #[must_use]
    pub fn takes_text(&self) -> bool {
        matches!(self.wanted, Wanted::Secret { .. } | Wanted::Prompt { .. })
    }

    /// What leaving it open means; none: it must be answered.
    #[must_use]
    pub fn optional(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Secret { optional, .. } | Wanted::Confirmation { optional } => optional.as_deref(),
            Wanted::Repeat | Wanted::Destroy { .. } | Wanted::Change { .. } | Wanted::Prompt { .. } => None,
        }
    }
}

/// The question before Terraform may destroy or replace resources, of which some failed while an earlier apply made them.
#[must_use]
pub fn destroying(id: String, step: StepRef, resources: Vec<String>, tainted: &[String]) -> Question {
    let unfinished = resources.iter().all(|resource| tainted.contains(resource));
    let list = resources.join(", ");
    let (text, detail) = if unfinished {
        (
            format!("Let Terraform make {} resource(s) anew that failed while being created?", resources.len()),
            format!(
                "An earlier apply failed while it created: {list}. Terraform removes what there is of it and creates it again; nothing that was \
                 finished is touched, and nothing has been changed yet. Answer yes to plan again and let it."
            ),
        )
    } else {
        let mut detail = format!("The plan would destroy or replace: {list}. Nothing has been changed.");
        if !tainted.is_empty() {
            detail.push_str(&format!(" Of these, an earlier apply failed while it created: {}.", tainted.join(", ")));
        }
        detail.push_str(" Answer yes to plan again and let it.");
        (format!("Let Terraform destroy or replace {} resource(s)?", resources.len()), detail)
    };
    Question { id, step, text, detail, wanted: Wanted::Destroy { resources } }
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
