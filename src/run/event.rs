//! Events of a run, as the journal keeps them: one JSON object a line, `{seq, at, kind, …}`.
//!
//! The format is additive only. A reader meets an unknown kind by advancing its sequence number and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::detail::{Active, KnownLine};
use super::diagnose::Hit;
use super::question::Question;
use crate::install::check::Finding;
use crate::install::ids::{PhaseId, StepId, StepRef};
use crate::install::plan::Plan;

/// The version of the journal's format.
pub const FORMAT: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What every line has.
#[derive(Deserialize)]
struct Head {
    seq: u64,
    at: Timestamp,
}

impl Recorded {
    /// Reads a line, as `serde_json::from_slice` does, and faster: what is flattened is copied once more than it needs.
    ///
    /// # Errors
    /// It is no event.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let Head { seq, at } = serde_json::from_slice(line)?;
        Ok(Self { seq, at, event: serde_json::from_slice(line)? })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The first event: everything a reader needs to draw the whole run.
    RunOpened {
        /// The format of this journal.
        format: u32,
        /// The version of the program.
        tool: String,
        /// The run's name.
        run: String,
        /// The site file as it was reached.
        site_file: String,
        /// Whether this is a rehearsal.
        rehearsal: bool,
        /// The plan.
        plan: Box<Plan>,
    },
    /// Answers or the profile changed.
    PlanChanged {
        /// The new plan.
        plan: Box<Plan>,
        /// The answers that changed, by field.
        changed: Vec<String>,
    },
    /// An engine took the run.
    EngineStarted {
        /// Its process.
        pid: u32,
        /// The boot of the machine it runs in.
        boot: String,
        /// The version of the program.
        tool: String,
        /// The Unix user.
        by: String,
    },
    /// The engine let go of the run.
    EngineStopped {
        /// Why.
        reason: StopReason,
    },
    /// The engine let go of the run because somebody asked for it; what runs goes on, and the next engine takes it up.
    HandedOver {
        /// The Unix user who asked.
        by: String,
    },
    /// A check was judged.
    Finding {
        /// The phase it was judged for; none: the preflight.
        phase: Option<PhaseId>,
        /// What was found.
        finding: Finding,
    },
    /// A phase was let through or held back.
    Gate {
        /// The phase.
        phase: PhaseId,
        /// Whether it may go on.
        open: bool,
        /// How many findings were ignored by the operator.
        ignored: usize,
        /// What holds it back, one sentence each.
        blocking: Vec<String>,
        /// What holds it back, where it is no check.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Held>,
    },
    /// A step begins. Written before anything is done.
    StepStarted {
        /// The step.
        step: StepRef,
        /// Counts from 1.
        attempt: u32,
        /// The digest of the step as it is run.
        digest: String,
        /// The hosts it is limited to; empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<String>,
    },
    /// A step ended.
    StepFinished {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// How long it took, milliseconds.
        took_ms: u64,
        /// The length of its output, bytes.
        log_bytes: u64,
    },
    /// Something only the operator can supply.
    QuestionAsked {
        /// The question.
        question: Question,
    },
    /// It was supplied, or is not needed any more.
    QuestionAnswered {
        /// The question's name.
        id: String,
        /// The Unix user; empty: the program itself.
        by: String,
        /// The answer, where it is not a secret.
        answer: Option<String>,
    },
    /// The operator decided something.
    OperatorDecided {
        /// What.
        decision: Decision,
        /// The Unix user.
        by: String,
    },
    /// No more is to come.
    RunClosed {
        /// Whether every phase ended done, warned or skipped.
        complete: bool,
    },
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

/// What holds a phase back, where it is no check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A phase that it needs is not done, or was skipped.
    Need,
    /// A step of it may run only once, and has begun before.
    Once,
}

/// Why an engine let go of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// What was asked for is done.
    Idle,
    /// A phase failed.
    Failed,
    /// It waits for the operator and nobody is there to ask.
    Waiting,
    /// A gate is closed.
    Blocked,
    /// The operator stopped it.
    Stopped,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one for each attempt; a box would be in everybody's way")]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// It was not needed.
    Unneeded {
        /// Why.
        reason: String,
    },
    /// It did what it should, and something deserves a look.
    Warned {
        /// What.
        reason: String,
    },
    /// It failed.
    Failed(Failure),
    /// The operator stopped it.
    Stopped {
        /// The Unix user.
        by: String,
    },
    /// Neither its runner nor its exit record was found.
    Interrupted {
        /// What was found instead.
        reason: String,
    },
}

impl Outcome {
    /// Whether the next step may follow.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Done | Self::Unneeded { .. } | Self::Warned { .. })
    }

    /// Why it ended so; empty for `Done`.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Unneeded { reason } | Self::Warned { reason } | Self::Interrupted { reason } => reason.clone(),
            Self::Failed(failure) => failure.message.clone(),
            Self::Stopped { by } => format!("stopped by {by}"),
        }
    }
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence: what failed, where.
    pub message: String,
    /// The command that failed, as it can be typed.
    #[serde(default)]
    pub command: String,
    /// Its exit code, where it ended by itself.
    #[serde(default)]
    pub exit: Option<i32>,
    /// The signal that ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The lines that matter, secrets removed.
    #[serde(default)]
    pub lines: Vec<String>,
    /// What to do.
    #[serde(default)]
    pub hint: String,
    /// Known failures that were recognised, most specific first: names in the catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// The first of them as the catalogue had them then, the operators' own entries too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnoses: Vec<Hit>,
    /// Hosts that failed or could not be reached.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What a Terraform plan would destroy or replace; set when that is why it stopped.
    #[serde(default)]
    pub destroys: Vec<String>,
    /// Those of them that failed while an earlier apply made them: Terraform replaces what it calls tainted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tainted: Vec<String>,
}

/// What an operator decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Run these phases.
    Run {
        /// The phases, in the plan's order.
        phases: Vec<PhaseId>,
    },
    /// Run a phase again.
    Retry {
        /// The phase.
        phase: PhaseId,
        /// From its first step, not from the first that has not succeeded.
        from_start: bool,
        /// This step of it, also where it has succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// These hosts alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<String>,
    },
    /// Go on without a phase.
    Skip {
        /// The phase.
        phase: PhaseId,
        /// Why.
        reason: String,
    },
    /// Stop.
    Stop {
        /// Kill what runs instead of asking it to end.
        now: bool,
    },
    /// A step that may not simply run again may run again.
    Confirm {
        /// The step.
        step: StepRef,
        /// Resources Terraform may destroy or replace.
        #[serde(default)]
        destroys: Vec<String>,
    },
    /// A shell was opened where a step works.
    Shell {
        /// The step.
        step: StepRef,
        /// Whether its environment has the step's secrets.
        secrets: bool,
    },
    /// Answers were changed that are hard to change, in full knowledge of what that costs.
    Accept {
        /// The fields.
        fields: Vec<String>,
    },
}

/// Where a step stands; the latest only, never in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// How many tasks, resources or commands are done.
    pub done: u64,
    /// Of how many; 0: not known.
    pub total: u64,
    /// What `done` counts: `tasks`, `resources`, `files`, `seconds`.
    pub unit: String,
    /// What it is doing or waiting for.
    pub doing: String,
    /// Since when it has been doing that.
    pub since: Option<Timestamp>,
    /// State by host (Ansible) or by module (Terraform).
    pub parts: BTreeMap<String, String>,
    /// How many bytes of output there are.
    pub log_bytes: u64,
    /// When the last output came.
    pub last_output: Option<Timestamp>,
    /// What it asks at its terminal and waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompted>,
    /// What is known in detail; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Box<Now>>,
}

/// A prompt that nobody has answered beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prompted {
    /// Counts the prompts of an attempt from 1.
    pub number: u32,
    /// The line that asks, secrets removed.
    pub text: String,
    /// The lines before it, secrets removed.
    #[serde(default)]
    pub before: Vec<String>,
    /// Whether what is typed is not shown.
    pub secret: bool,
}

/// What is known in detail of a running step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// What goes on at the same time, that which has taken longest first; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Active>,
    /// What stands in the cluster, where the step works on one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// Known failures recognised in the output so far, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownLine>,
}
