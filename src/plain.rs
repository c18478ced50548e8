//! A run as plain lines or JSON: for pipes, CI and screen readers. The same events as the full screen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::engine::client::{Client, Update};
use crate::install::check::Verdict;
use crate::install::ids::StepRef;
use crate::run::event::{Decision, Event, Outcome, Recorded, StopReason};
use crate::run::state::State;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Lines,
    /// The journal's own events, one a line.
    Json,
}

/// How following a run ended.
#[derive(Debug)]
pub struct Followed {
    /// The state at the end; none where there was no event.
    pub state: Option<State>,
    /// Why it halted.
    pub reason: StopReason,
    /// Why the engine ended, where it was not asked to.
    pub error: Option<String>,
    /// The last command that could not be followed.
    pub rejected: Option<String>,
}

/// What to do when a run needs somebody.
pub type OnHalt<'a> = &'a mut dyn FnMut(&Client, &State, StopReason) -> bool;

/// Follows a run until it halts. `on_halt` may send a command and return true to go on.
///
/// # Errors
/// The output cannot be written.
pub async fn follow(mut client: Client, format: Format, out: &mut (dyn Write + Send), on_halt: OnHalt<'_>) -> io::Result<Followed> {
    let mut state: Option<State> = None;
    // What halted before the command was taken in is the past's business: an adopted step that ended meanwhile.
    let mut decided = false;
    let mut live = false;
    let mut logs = Logs::default();
    let mut followed = Followed { state: None, reason: StopReason::Idle, error: None, rejected: None };
    while let Some(update) = client.next().await {
        match update {
            Update::Event(recorded) => {
                decided |= live && matches!(recorded.event, Event::OperatorDecided { .. } | Event::QuestionAnswered { .. });
                match &mut state {
                    None => state = State::open(&recorded).ok(),
                    // The engine has folded it already: it fits.
                    Some(state) => drop(state.apply(&recorded)),
                }
                if format == Format::Json {
                    serde_json::to_writer(&mut *out, &*recorded)?;
                    out.write_all(b"\n")?;
                } else if live {
                    if let Event::StepFinished { step, attempt, .. } = &recorded.event {
                        logs.copy(step, *attempt, client.log(step, *attempt), out)?;
                    }
                    if let Some(line) = line(&recorded, state.as_ref()) {
                        writeln!(out, "{line}")?;
                    }
                }
                out.flush()?;
            }
            Update::Live => live = true,
            Update::Progress { step, attempt, progress } => {
                if format == Format::Lines {
                    logs.copy(&step, attempt, client.log(&step, attempt), out)?;
                    let _ = progress;
                    out.flush()?;
                }
            }
            Update::Rejected(message) => {
                followed.rejected = Some(message);
                // Whoever follows says so, with the exit code that belongs to it.
                break;
            }
            Update::Halted(_) if !decided => {}
            Update::Halted(reason) => {
                followed.reason = reason;
                let goes_on = state.as_ref().is_some_and(|state| on_halt(&client, state, reason));
                if !goes_on {
                    break;
                }
            }
            Update::Ended(error) => {
                followed.error = error;
                followed.state = state;
                return Ok(followed);
            }
        }
    }
    // Letting go of the client lets the engine write that it stopped; its end is waited for.
    let mut updates = client.close();
    while let Some(update) = updates.recv().await {
        match update {
            Update::Event(recorded) => {
                if let Some(state) = &mut state {
                    drop(state.apply(&recorded));
                }
                if format == Format::Json {
                    serde_json::to_writer(&mut *out, &*recorded)?;
                    out.write_all(b"\n")?;
                }
            }
            Update::Ended(error) => followed.error = error,
            _ => {}
        }
    }
    out.flush()?;
    followed.state = state;
    Ok(followed)
}

/// Copies what attempts print, each byte once.
#[derive(Default)]
struct Logs {
    shown: BTreeMap<(StepRef, u32), u64>,
}

impl Logs {
    fn copy(&mut self, step: &StepRef, attempt: u32, path: PathBuf, out: &mut dyn Write) -> io::Result<()> {
        let shown = self.shown.entry((step.clone(), attempt)).or_default();
        let Ok(mut file) = File::open(path) else { return Ok(()) };
        file.seek(SeekFrom::Start(*shown))?;
        // In pieces: what has come since may be a whole log.
        let mut text = vec![0; 256 * 1024];
        let mut kept = 0;
        loop {
            let length = file.read(&mut text[kept..])?;
            let filled = kept + length;
            // Only whole lines, each with the phase's name before it, so that lines of two phases are told apart in a file.
            let end = match memchr::memrchr(b'\n', &text[..filled]) {
                Some(feed) => feed + 1,
                None if filled == text.len() => filled,
                None => 0,
            };
            *shown += end as u64;
            for line in text[..end].split_inclusive(|byte| *byte == b'\n') {
                write!(out, "{}| ", step.phase)?;
                out.write_all(line)?;
            }
            text.copy_within(end..filled, 0);
            kept = filled - end;
            if length == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// One event as a line; none where there is nothing to say.
fn line(recorded: &Recorded, state: Option<&State>) -> Option<String> {
    let at = recorded.at.strftime("%H:%M:%SZ");
    let title = |step: &StepRef| state.and_then(|state| state.plan.step(step)).map(|step| step.title.clone()).unwrap_or_default();
    let text = match &recorded.event {
        Event::StepStarted { step, attempt, .. } => format!("start    {step} (attempt {attempt}): {}", title(step)),
        Event::StepFinished { step, outcome, took_ms, .. } => {
            let took = seconds(*took_ms);
            match outcome {
                Outcome::Done => format!("done     {step} in {took}"),
                Outcome::Unneeded { reason } => format!("unneeded {step}: {reason}"),
                Outcome::Warned { reason } => format!("warned   {step} in {took}: {reason}"),
                Outcome::Stopped { by } => format!("stopped  {step} by {by}"),
                Outcome::Interrupted { reason } => format!("cut off  {step}: {reason}"),
                Outcome::Failed(failure) => {
                    let mut text = format!("FAILED   {step} after {took}: {}", failure.message);
                    for line in &failure.lines {
                        text.push_str(&format!("\n           {line}"));
                    }
                    if !failure.hint.is_empty() {
                        text.push_str(&format!("\n         do: {}", failure.hint));
                    }
                    if !failure.command.is_empty() {
                        text.push_str(&format!("\n         by hand: {}", failure.command));
                    }
                    text
                }
            }
        }
        Event::Gate { phase, open: false, blocking, .. } => format!("BLOCKED  {phase}: {}", blocking.join("\n         ")),
        Event::Gate { phase, ignored, .. } if *ignored > 0 => format!("gate     {phase}: open, {ignored} finding(s) ignored"),
        Event::Finding { finding, .. } if finding.verdict != Verdict::Pass && finding.verdict != Verdict::Skipped => {
            format!("{:<8} {} on {}: {}", finding.verdict, finding.check, finding.target, finding.observed)
        }
        Event::QuestionAsked { question } => {
            format!(
                "QUESTION {}: {}\n{}",
                question.id,
                question.text,
                question.detail.lines().map(|line| format!("         {line}\n")).collect::<String>()
            )
        }
        Event::QuestionAnswered { id, by, .. } if by.is_empty() => format!("gone     {id}: the step does not wait for it any more"),
        Event::QuestionAnswered { id, by, .. } => format!("answered {id} by {by}"),
        Event::OperatorDecided { decision: Decision::Skip { phase, reason }, by } => format!("skipped  {phase} by {by}: {reason}"),
        Event::OperatorDecided { decision: Decision::Retry { phase, step, hosts, .. }, by } => {
            let step = step.as_ref().map(|step| format!("/{step}")).unwrap_or_default();
            let hosts = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(", ")) };
            format!("retry    {phase}{step}{hosts} by {by}")
        }
        Event::OperatorDecided { decision: Decision::Shell { step, secrets }, by } => {
            format!("shell    {step} by {by}{}", if *secrets { ", with secrets" } else { "" })
        }
        Event::OperatorDecided { decision: Decision::Accept { fields }, by } => format!("agreed   to change {} by {by}", fields.join(", ")),
        Event::RunClosed { complete: true } => "complete every phase is done or skipped".to_owned(),
        _ => return None,
    };
    Some(format!("{at} {}", text.trim_end()))
}

/// A time as people write it.
#[must_use]
pub fn seconds(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}
