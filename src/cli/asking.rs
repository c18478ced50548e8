//! What is asked at the terminal: a line, a secret, and the questions of a run that is followed, which are taken back as soon as somebody
//! else has answered them.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;

use super::common::note;
use crate::engine::client::Client;
use crate::plain::Operator;
use crate::run::event::StopReason;
use crate::run::machine::Command;
use crate::run::question::{Answer, Question};
use crate::run::state::State;

/// What came of asking.
enum Said<T> {
    /// An answer.
    This(T),
    /// The terminal is gone, or its end was typed.
    Nothing,
    /// Nobody needs the answer any more.
    TakenBack,
}

impl<T> Said<T> {
    fn answer(self) -> Option<T> {
        match self {
            Self::This(answer) => Some(answer),
            Self::Nothing | Self::TakenBack => None,
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Said<U> {
        match self {
            Self::This(answer) => Said::This(change(answer)),
            Self::Nothing => Said::Nothing,
            Self::TakenBack => Said::TakenBack,
        }
    }
}

/// Reads a line, without its end. It is waited for no longer once the other end of `taken_back` is closed; what was typed by then is dropped,
/// so that it does not become the shell's.
fn line(input: impl AsFd, taken_back: Option<&OwnedFd>) -> Said<String> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let mut fds = vec![PollFd::new(&input, PollFlags::IN)];
        fds.extend(taken_back.map(|end| PollFd::new(end, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return Said::Nothing,
            Ok(_) if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) => {
                let _ = tcflush(&input, QueueSelector::IFlush);
                return Said::TakenBack;
            }
            Ok(_) => {}
        }
        match rustix::io::read(&input, &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Said::Nothing,
            Ok(0) if text.is_empty() => return Said::Nothing,
            Ok(length) => {
                text.extend_from_slice(&buffer[..length]);
                if length == 0 || text.ends_with(b"\n") {
                    return Said::This(String::from_utf8_lossy(&text).trim_end_matches(['\n', '\r']).to_owned());
                }
            }
        }
    }
}

fn plain_line(prompt: &str, taken_back: Option<&OwnedFd>) -> Said<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Said::Nothing;
    }
    drop(write!(std::io::stderr(), "{prompt} "));
    line(stdin, taken_back)
}

fn secret_line(prompt: &str, taken_back: Option<&OwnedFd>) -> Said<SecretString> {
    let hidden = || {
        let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        write!(terminal, "{prompt} (not shown): ").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &hidden).ok()?;
        Some((terminal, before))
    };
    let Some((mut terminal, before)) = hidden() else { return Said::Nothing };
    let said = line(&terminal, taken_back);
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
    drop(writeln!(terminal));
    said.map(SecretString::from)
}

/// Asks for a line at the terminal; none where there is no terminal.
#[must_use]
pub fn ask(prompt: &str) -> Option<String> {
    plain_line(prompt, None).answer()
}

/// Asks for a secret at the terminal, without showing it; none where there is no terminal.
#[must_use]
pub fn ask_secret<T: std::fmt::Display>(field: &T) -> Option<SecretString> {
    secret_line(&field.to_string(), None).answer()
}

/// Asks for the answer to a question, as it is typed.
#[must_use]
pub fn ask_for(question: &Question) -> Option<String> {
    typed(question, None).answer()
}

fn typed(question: &Question, taken_back: Option<&OwnedFd>) -> Said<String> {
    if question.is_secret() {
        return secret_line(&question.id, taken_back).map(|value| value.expose_secret().to_owned());
    }
    plain_line(&format!("{}:", question.text), taken_back)
}

fn put(question: &Question, taken_back: &OwnedFd) -> Said<Answer> {
    let hint = match (question.optional(), question.takes_text()) {
        (Some(meaning), _) => format!(" (empty: leave it open: {meaning})"),
        (None, false) => " (yes or no)".to_owned(),
        (None, true) => String::new(),
    };
    // It rings: whoever has left the run to itself is needed now.
    let bell = if std::io::stderr().is_terminal() { "\u{7}" } else { "" };
    note(&format!("{bell}{}{hint}", question.text));
    let optional = question.optional().is_some();
    typed(question, Some(taken_back)).map(|text| if text.trim().is_empty() && optional { Answer::Open } else { Answer::Text(text) })
}

/// Answers questions in the place of an operator.
pub type AutoAnswer<'a> = &'a (dyn Fn(&Question) -> Option<Answer> + Sync);

/// A question that stands at the terminal. It goes when this goes, and the terminal is as it was.
struct Open {
    id: String,
    /// Closed, it takes the question back.
    end: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Whoever sits at the terminal, if anybody does.
pub struct AtTerminal<'a> {
    /// Answers first.
    auto: Option<AutoAnswer<'a>>,
    /// Whether somebody can be asked.
    interactive: bool,
    /// Whether, where nobody can be asked, somebody else is waited for.
    patient: bool,
    open: Option<Open>,
    gave_up: mpsc::UnboundedSender<()>,
}

impl<'a> AtTerminal<'a> {
    /// With what it says when nobody is there any more.
    #[must_use]
    pub fn new(auto: Option<AutoAnswer<'a>>, interactive: bool, patient: bool) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (gave_up, given_up) = mpsc::unbounded_channel();
        (Self { auto, interactive, patient, open: None, gave_up }, given_up)
    }

    fn ask(&mut self, client: &Client, question: &Question) -> bool {
        if self.open.as_ref().is_some_and(|open| open.id == question.id) {
            return true;
        }
        self.open = None;
        let Ok((read, write)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else { return false };
        let (send, gave_up, question) = (client.commander(), self.gave_up.clone(), question.clone());
        let id = question.id.clone();
        let thread = std::thread::spawn(move || match put(&question, &read) {
            Said::This(answer) => send(Command::Answer { question: question.id, answer }),
            Said::Nothing => drop(gave_up.send(())),
            // What follows begins on a line of its own.
            Said::TakenBack => note(""),
        });
        self.open = Some(Open { id, end: Some(write), thread: Some(thread) });
        true
    }
}

impl Operator for AtTerminal<'_> {
    fn halted(&mut self, client: &Client, state: &State, reason: StopReason) -> bool {
        let (StopReason::Waiting, Some(question)) = (reason, state.questions.last()) else { return false };
        if let Some(auto) = self.auto {
            let Some(answer) = auto(question) else { return false };
            client.send(Command::Answer { question: question.id.clone(), answer });
            return true;
        }
        if self.interactive { self.ask(client, question) } else { self.patient }
    }

    fn heard(&mut self, state: &State) {
        let answered = |open: &Open| !state.questions.iter().any(|question| question.id == open.id);
        if self.open.as_ref().is_some_and(answered) {
            self.open = None;
        }
    }
}
