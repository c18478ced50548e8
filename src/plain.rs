//! A run as plain lines or JSON: for pipes, CI and screen readers. The same events as the full screen.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::adapters::history;
use crate::adapters::logs::plain::safe_line;
use crate::engine::client::{Client, Update};
use crate::install::check::Verdict;
use crate::install::ids::StepRef;
use crate::install::plan::PlanStep;
use crate::run::diagnose::Confidence;
use crate::run::event::{Decision, Event, Failure, Outcome, Progress, Recorded, StopReason};
use crate::run::expect::History;
use crate::run::state::State;
use crate::run::waiting::{Normal, Waiting, waiting};

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Lines,
    /// The journal's own events, one a line.
    Json,
}

/// What is shown of what has happened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing.
    Nothing,
    /// Everything.
    Whole,
    /// What has happened since this engine, by its process, began.
    Since(u32),
}

/// What is shown of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// As lines or JSON.
    pub format: Format,
    /// What lines begin with; JSON always has everything.
    pub past: Past,
    /// Whether a run that stands still is told as it stands. Else a command was sent, and what halted before that was taken in is the past's
    /// business: an adopted step that ended meanwhile.
    pub as_it_stands: bool,
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
    /// Whether it was left before it halted.
    pub left: bool,
}

/// Whoever a run that is followed may need.
pub trait Operator: Send {
    /// Nothing goes on without somebody. Whether it is followed further: a command was sent, or somebody is expected to send one.
    fn halted(&mut self, client: &Client, state: &State, reason: StopReason) -> bool;

    /// Something has happened: what was asked may be answered by now.
    fn heard(&mut self, state: &State);
}

/// Follows a run until it halts, its engine ends, or `leave` says so: with the reason for which it counts as halted; none: it goes on.
///
/// # Errors
/// The output cannot be written.
pub async fn follow(
    client: &mut Client,
    showing: Showing,
    out: &mut (dyn Write + Send),
    operator: &mut dyn Operator,
    leave: impl Future<Output = Option<StopReason>> + Send,
) -> io::Result<Followed> {
    let mut decided = showing.as_it_stands;
    let mut past = showing.past;
    let mut live = false;
    let mut logs = Logs::default();
    let mut waits = Waits::default();
    let mut followed = Followed { state: None, reason: StopReason::Idle, error: None, rejected: None, left: false };
    tokio::pin!(leave);
    loop {
        let update = tokio::select! {
            update = client.next() => update,
            why = &mut leave => {
                followed.left = why.is_none();
                followed.reason = why.unwrap_or(followed.reason);
                break;
            }
        };
        let Some(update) = update else { break };
        match update {
            Update::Event(recorded) => {
                decided |= live && matches!(recorded.event, Event::OperatorDecided { .. } | Event::QuestionAnswered { .. });
                apply(&mut followed.state, &recorded);
                past = match (past, &recorded.event) {
                    (Past::Since(engine), Event::EngineStarted { pid, .. }) if *pid == engine => Past::Whole,
                    _ => past,
                };
                if let (Some(state), true) = (&followed.state, live) {
                    operator.heard(state);
                }
                if showing.format == Format::Json {
                    json(&recorded, out)?;
                } else if live || past == Past::Whole {
                    if let (Event::StepFinished { step, attempt, .. }, true) = (&recorded.event, live) {
                        logs.copy(step, *attempt, client.log(step, *attempt), out)?;
                    }
                    if let Some(line) = line(&recorded, followed.state.as_ref()) {
                        writeln!(out, "{line}")?;
                    }
                }
                if live {
                    out.flush()?;
                }
            }
            Update::Past { state, .. } => followed.state = Some(*state),
            Update::Live => {
                live = true;
                out.flush()?;
            }
            Update::Progress { step, attempt, progress } => {
                if showing.format == Format::Lines {
                    logs.copy(&step, attempt, client.log(&step, attempt), out)?;
                }
                if let Some(state) = &followed.state {
                    waits.tell(state, &step, attempt, &progress, showing.format, client.run_dir(), out)?;
                }
                out.flush()?;
            }
            Update::Accepted(_) => {}
            Update::Rejected(message) => {
                followed.rejected = Some(message);
                // Whoever follows says so, with the exit code that belongs to it.
                break;
            }
            Update::Halted(_) if !decided => {}
            Update::Halted(reason) => {
                followed.reason = reason;
                let goes_on = followed.state.as_ref().is_some_and(|state| operator.halted(client, state, reason));
                if !goes_on {
                    break;
                }
            }
            Update::Ended(error) => {
                followed.error = error;
                break;
            }
        }
    }
    out.flush()?;
    Ok(followed)
}

/// Lets go of a run that was followed, and hears what its engine still says where it ends now.
///
/// # Errors
/// The output cannot be written.
pub async fn let_go(client: Client, format: Format, out: &mut (dyn Write + Send), followed: &mut Followed) -> io::Result<()> {
    let mut updates = client.close();
    while let Some(update) = updates.recv().await {
        match update {
            Update::Event(recorded) => {
                apply(&mut followed.state, &recorded);
                if format == Format::Json {
                    json(&recorded, out)?;
                }
            }
            Update::Ended(Some(error)) => followed.error = Some(error),
            _ => {}
        }
    }
    out.flush()
}

/// Shows what a journal has, without an engine.
///
/// # Errors
/// The output cannot be written.
pub fn show(events: &[Recorded], format: Format, out: &mut dyn Write) -> io::Result<()> {
    let mut state: Option<State> = None;
    for recorded in events {
        apply(&mut state, recorded);
        if format == Format::Json {
            json(recorded, out)?;
        } else if let Some(line) = line(recorded, state.as_ref()) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()
}

fn apply(state: &mut Option<State>, recorded: &Recorded) {
    match state {
        None => *state = State::open(recorded).ok(),
        // The engine has folded it already: it fits.
        Some(state) => drop(state.apply(recorded)),
    }
}

fn json(recorded: &Recorded, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(&mut *out, recorded)?;
    out.write_all(b"\n")
}

/// Between two lines of JSON that say where a step stands.
const EVERY: Duration = Duration::from_secs(1);

/// Says where steps stand and what they wait for: as JSON whenever something has changed, as a line when a wait is not normal any more.
#[derive(Default)]
struct Waits {
    history: Option<History>,
    last: Option<(StepRef, u32, Progress)>,
    written: Option<Instant>,
    said: String,
}

/// A line of JSON beside the journal's events; it has no `seq`, for it is not kept.
#[derive(Serialize)]
struct ProgressLine<'a> {
    kind: &'static str,
    at: Timestamp,
    step: &'a StepRef,
    attempt: u32,
    progress: &'a Progress,
    waiting: &'a Waiting,
}

impl Waits {
    #[expect(clippy::too_many_arguments, reason = "all that one line is made of")]
    fn tell(
        &mut self,
        state: &State,
        step: &StepRef,
        attempt: u32,
        progress: &Progress,
        format: Format,
        run_dir: &Path,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Some((planned, phase)) = state.plan.step(step).zip(state.plan.phase(step.phase.as_str())) else { return Ok(()) };
        // That there was output is no news, nor when.
        let telling = Progress { log_bytes: 0, last_output: None, ..progress.clone() };
        let news = self.last.as_ref() != Some(&(step.clone(), attempt, telling.clone()));
        if !news || (format == Format::Json && self.written.is_some_and(|written| written.elapsed() < EVERY)) {
            return Ok(());
        }
        let band = self.history.get_or_insert_with(|| history::read(run_dir)).band(phase);
        let begun = state.step(step).and_then(|record| record.started);
        let now = Timestamp::now();
        let waits = waiting(planned, begun, Some(progress), band, now);
        if format == Format::Json {
            let line = ProgressLine { kind: "progress", at: now, step, attempt, progress, waiting: &waits };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
            self.written = Some(Instant::now());
        } else {
            let late = waits.normal == Normal::Longer || waits.silent_minutes.is_some();
            let said = match (waits.cause.as_str(), late) {
                ("", true) => format!("{}: {}", waits.what, waits.verdict()),
                ("", false) => String::new(),
                (cause, _) => format!("{}: {cause}", waits.what),
            };
            if !said.is_empty() && said != self.said {
                writeln!(out, "{} waits    {step}: {said}", now.strftime("%H:%M:%SZ"))?;
            }
            self.said = said;
        }
        self.last = Some((step.clone(), attempt, telling));
        Ok(())
    }
}

/// Copies what attempts print, each byte once: as a terminal would show it, with colours, and with nothing else that would act on one.
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
        let (mut text, mut clean) = (vec![0; 256 * 1024], Vec::new());
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
                let (line, feed) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |line| (line, &b"\n"[..]));
                clean.clear();
                safe_line(line, &mut clean);
                out.write_all(&clean)?;
                out.write_all(feed)?;
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

/// What is known of a failure beyond its message, line by line: the lines that matter, what to do, commands to copy, other failures that
/// were recognised, and the command by hand.
#[must_use]
pub fn about_failure(failure: &Failure, planned: Option<&PlanStep>) -> Vec<String> {
    // They are quoted from output, where anything may stand that would act on a terminal.
    let quoted = |line: &String| {
        let mut clean = b"  ".to_vec();
        safe_line(line.as_bytes(), &mut clean);
        String::from_utf8_lossy(&clean).into_owned()
    };
    let mut lines: Vec<String> = failure.lines.iter().map(quoted).collect();
    let mut known = failure.diagnoses.iter();
    match known.next() {
        // The hint says the same as one sentence.
        Some(hit) if failure.hint.contains(&hit.cause) => {
            let word = if hit.confidence == Confidence::Low { "possible" } else { "likely" };
            lines.push(format!("{word}: {}. {}", hit.title, hit.cause));
            lines.push(format!("do: {}", hit.remedy));
            lines.extend(hit.commands.iter().map(|command| format!("try: {command}")));
            let source = if hit.source.is_empty() { String::new() } else { format!("; {}", hit.source) };
            lines.push(format!("known as: {} ({}{source})", hit.id, hit.confidence.words()));
        }
        _ if !failure.hint.is_empty() => lines.push(format!("do: {}", failure.hint)),
        _ => {}
    }
    lines.extend(known.map(|hit| format!("also: {}. {} Do: {}", hit.title, hit.cause, hit.remedy)));
    if !failure.command.is_empty() {
        let by_hand = planned.map_or_else(|| failure.command.clone(), |planned| planned.by_hand(&failure.command));
        lines.push(format!("by hand: {by_hand}"));
    }
    lines
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
                    for line in about_failure(failure, state.and_then(|state| state.plan.step(step))) {
                        text.push_str(&format!("\n         {line}"));
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
        Event::OperatorDecided { decision: Decision::Stop { now }, by } => {
            let running = state.and_then(State::running).and_then(|(step, _)| Some((step, state?.plan.step(step)?)));
            match running {
                Some((step, _)) if *now => format!("stop     {step} is killed, says {by}"),
                Some((step, planned)) => {
                    let grace = seconds(planned.stop_grace_seconds() * 1000);
                    format!("stop     {step} is asked to end, says {by}; it is killed after {grace}, or now: mosip-setup stop --now")
                }
                None if state.is_some_and(|state| !state.questions.is_empty()) => {
                    format!("stop     by {by}; nothing runs, and the question stays open")
                }
                None => format!("stop     by {by}"),
            }
        }
        Event::HandedOver { by } => format!("handed over to another engine, says {by}; what runs goes on"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_of_output_does_not_act_on_a_terminal() {
        let lines = vec!["\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31mE: Could not get lock\u{1b}[0m".to_owned()];
        let failure = Failure { message: "it failed".into(), lines, ..Failure::default() };
        assert_eq!(
            about_failure(&failure, None),
            ["  \u{1b}[31mE: Could not get lock\u{1b}[0m\u{1b}[0m"],
            "colours stay, nothing else does"
        );
    }
}
