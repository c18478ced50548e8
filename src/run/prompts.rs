//! Prompts of the step that runs: asked about, answered, or gone by themselves.

use super::event::{Event, Prompted, StopReason};
use super::machine::{Adopted, Doing, Effect, Machine, record};
use super::question::{Answer, Question, Wanted};
use super::state::State;
use crate::install::ids::StepRef;

/// The longest answer, bytes: a terminal takes no longer line, and a pipe takes that much at once.
pub const LONGEST_ANSWER: usize = 2048;

/// The question about a prompt. Its name follows from the prompt, so that whoever finds the prompt without an engine names it alike.
#[must_use]
pub fn question(step: &StepRef, attempt: u32, prompt: &Prompted) -> Question {
    let mut detail = prompt.before.join("\n");
    if !detail.is_empty() {
        detail.push('\n');
    }
    detail.push_str("The step waits for this at its terminal; the answer is typed there, followed by Enter. It may be empty.");
    if prompt.secret {
        detail.push_str(" It does not show what is typed, and the answer is kept nowhere.");
    }
    let text = if prompt.text.is_empty() { "The step waits for input".to_owned() } else { prompt.text.clone() };
    let wanted = Wanted::Prompt { number: prompt.number, secret: prompt.secret };
    Question { id: format!("{step}#{attempt}.{}", prompt.number), step: step.clone(), text, detail, wanted }
}

impl Machine {
    pub(super) fn prompted(&mut self, state: &State, step: StepRef, attempt: u32, prompt: Option<Prompted>) -> Vec<Effect> {
        if self.doing != Doing::Step(step.clone(), attempt) {
            return Vec::new();
        }
        let open = state.questions.iter().find(|question| question.step == step && question.is_prompt());
        let number = prompt.as_ref().map(|prompt| prompt.number);
        let known = self.prompt == number;
        self.prompt = number;
        let mut effects = Vec::new();
        if let Some(open) = open {
            if matches!(open.wanted, Wanted::Prompt { number: asked, .. } if Some(asked) == number) {
                // An engine before this one has asked it.
                return if known { Vec::new() } else { vec![Effect::Halt(StopReason::Waiting)] };
            }
            effects.push(record(Event::QuestionAnswered { id: open.id.clone(), by: String::new(), answer: None }));
        }
        if let Some(prompt) = prompt.filter(|_| !known) {
            effects.push(record(Event::QuestionAsked { question: question(&step, attempt, &prompt) }));
            effects.push(Effect::Halt(StopReason::Waiting));
        }
        effects
    }

    pub(super) fn typed(&mut self, state: &State, question: &Question, attempt: u32, answer: Answer, by: String) -> Vec<Effect> {
        let Wanted::Prompt { number, secret } = &question.wanted else { return Vec::new() };
        let Answer::Text(text) = answer else { return vec![Effect::Reject("this question must be answered".into())] };
        if self.doing != Doing::Step(question.step.clone(), attempt) {
            return vec![Effect::Reject(format!("step '{}' is not running any more", question.step))];
        }
        if text.chars().any(char::is_control) {
            return vec![Effect::Reject("the answer must be one line, without control characters".into())];
        }
        if text.len() > LONGEST_ANSWER {
            return vec![Effect::Reject(format!("the answer is longer than {LONGEST_ANSWER} bytes: a terminal does not take that"))];
        }
        if self.adopted == Adopted::Alone {
            // Whoever answers wants the run to go on.
            self.adopted = Adopted::Wanted;
            let open = |id: &&crate::install::ids::PhaseId| {
                !self.queue.contains(id) && state.plan.phase(id.as_str()).is_some_and(|phase| !state.phase_state(phase).is_settled())
            };
            let rest: Vec<_> = state.selected.iter().filter(open).cloned().collect();
            self.queue.extend(rest);
        }
        let shown = (!secret).then(|| text.clone());
        vec![
            Effect::Type { question: question.id.clone(), step: question.step.clone(), attempt, number: *number, text },
            record(Event::QuestionAnswered { id: question.id.clone(), by, answer: shown }),
        ]
    }
}
