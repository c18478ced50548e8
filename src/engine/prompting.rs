//! Prompts of a command on a terminal: those declared in the profile are answered by their exact text, all others are put to the operator.
//! Nothing is ever typed that neither the profile nor the operator has said.
//!
//! What is asked lies in the attempt's folder as `prompt.json`, so that it is there for an engine that comes later. The answer comes through
//! a named pipe beside it, for its owner alone: a secret is in memory only, never on disk.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::prompter::{Prompter, Reply};
use crate::adapters::waiting::{self, Seen, Waits};
use crate::install::profile::Prompt;
use crate::run::event::Prompted;
use crate::run::redact::Redactor;

/// A line is believed to be all of a prompt after so long a silence.
const WHOLE_AFTER: Duration = Duration::from_millis(50);
/// A program that reads its terminal behind the beginning of a line is believed to ask after so long.
const ASKS_AFTER: Duration = Duration::from_millis(300);
/// Where less is certain, it takes longer.
const PERHAPS_AFTER: Duration = Duration::from_millis(1000);
/// Processes are looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How many lines before a prompt are shown with it, and how many characters of each.
const BEFORE: usize = 6;
const MAX_SHOWN: usize = 300;
/// How much of a line is looked at, bytes.
const LONGEST_LINE: usize = 8 * 1024;

/// An answer on its way to the runner.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    number: u32,
    text: String,
}

fn question_file(dir: &Path) -> PathBuf {
    dir.join("prompt.json")
}

fn answer_pipe(dir: &Path) -> PathBuf {
    dir.join("answer")
}

/// What an attempt asks and waits for; none: nothing.
#[must_use]
pub fn asked(dir: &Path) -> Option<Prompted> {
    serde_json::from_slice(&fs::read(question_file(dir)).ok()?).ok()
}

/// Sends the answer to a prompt of an attempt.
///
/// # Errors
/// Nobody waits for it any more.
pub fn send(dir: &Path, number: u32, text: &str) -> Result<(), String> {
    let gone = "the step does not wait for this any more".to_owned();
    if asked(dir).is_none_or(|asked| asked.number != number) {
        return Err(gone);
    }
    let mut line = serde_json::to_vec(&Sent { number, text: text.to_owned() }).map_err(|error| error.to_string())?;
    line.push(b'\n');
    // Without a reader the pipe is refused at once; with one, so short a line goes in as a whole.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(answer_pipe(dir));
    let mut pipe = opened.map_err(|_| gone)?;
    pipe.write_all(&line).map_err(|error| format!("the answer cannot be handed over: {error}"))
}

/// What an operator's answer was, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The answer, where the command did not show it.
    pub hidden: Option<String>,
}

/// Whether what comes is part of a terminal's control sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    None,
    Begun,
    Control,
    System,
    /// One character more names a character set, as `tput sgr0` has it.
    Charset,
}

/// Keeps watch over the terminal of one command.
#[derive(Debug)]
pub struct Asking {
    input: File,
    dir: PathBuf,
    replies: Option<File>,
    partial: Vec<u8>,
    declared: Prompter,
    line: Vec<u8>,
    sequence: Sequence,
    /// The terminal was sent back to the beginning of its line.
    returned: bool,
    /// The line was compared with the prompts declared.
    compared: bool,
    before: VecDeque<String>,
    raised: Option<Prompted>,
    number: u32,
    since: Instant,
    looked: Instant,
    excess: Option<String>,
    failed: Option<String>,
}

impl Asking {
    /// Watches a terminal, of which `input` is where answers are typed. `number` counts the prompts of the attempt so far.
    ///
    /// # Errors
    /// The pipe for answers cannot be made: the disk is full, or its file system has none.
    pub fn new(input: File, dir: &Path, declared: Vec<Prompt>, number: u32) -> io::Result<Self> {
        let path = answer_pipe(dir);
        drop(fs::remove_file(&path));
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        // Open at both ends: it neither waits for a writer nor ends with one.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let replies = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        let now = Instant::now();
        Ok(Self {
            input,
            dir: dir.to_owned(),
            replies: Some(replies),
            partial: Vec::new(),
            declared: Prompter::new(declared),
            line: Vec::new(),
            sequence: Sequence::None,
            returned: false,
            compared: false,
            before: VecDeque::new(),
            raised: None,
            number,
            since: now,
            looked: now,
            excess: None,
            failed: None,
        })
    }

    /// How many prompts were put to the operator, this attempt's earlier commands included.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The prompts that must come and did not.
    #[must_use]
    pub fn missed(&self) -> Vec<&str> {
        self.declared.missed()
    }

    /// Why the command cannot count as a success; none: nothing is wrong.
    #[must_use]
    pub fn wrong(&self) -> Option<&String> {
        self.failed.as_ref().or(self.excess.as_ref())
    }

    /// The command printed something at this time: it is not waiting any more.
    pub fn heard(&mut self, bytes: &[u8], now: Instant) {
        self.since = now;
        self.compared = false;
        self.withdraw();
        self.declared.feed(bytes);
        for byte in bytes {
            // Colours and the like are no text. A sequence may be cut anywhere.
            match (self.sequence, *byte) {
                (Sequence::None, 0x1b) => self.sequence = Sequence::Begun,
                (Sequence::Begun, b'[') => self.sequence = Sequence::Control,
                (Sequence::Begun, b']') => self.sequence = Sequence::System,
                (Sequence::Begun, b'(' | b')') => self.sequence = Sequence::Charset,
                (Sequence::Begun | Sequence::Charset, _) | (Sequence::Control, b'@'..=b'~') | (Sequence::System, 0x07) => {
                    self.sequence = Sequence::None;
                }
                (Sequence::System, 0x1b) => self.sequence = Sequence::Begun,
                (Sequence::Control | Sequence::System, _) => {}
                (Sequence::None, byte) => self.text(byte),
            }
        }
    }

    fn text(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                let line = self.line();
                self.line.clear();
                self.returned = false;
                if !line.trim().is_empty() {
                    self.before.push_back(line);
                }
                if self.before.len() > BEFORE {
                    self.before.pop_front();
                }
            }
            b'\r' => self.returned = true,
            // Backspaces and bells.
            0..=8 | 11..=31 => {}
            byte => {
                if std::mem::take(&mut self.returned) {
                    self.line.clear();
                }
                if self.line.len() < LONGEST_LINE {
                    self.line.push(byte);
                }
            }
        }
    }

    /// The line that has been begun.
    fn line(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// The command has printed nothing for a while: answers a prompt that was declared, or puts what it asks to the operator.
    pub fn quiet(&mut self, redactor: &Redactor) {
        self.quiet_at(redactor, Instant::now(), &waiting::look);
    }

    /// The same at a time, with what `look` sees at the terminal.
    fn quiet_at(&mut self, redactor: &Redactor, now: Instant, look: &dyn Fn(&File) -> Seen) {
        let idle = now.saturating_duration_since(self.since);
        if idle >= WHOLE_AFTER && !self.compared {
            self.compared = true;
            self.answer_declared(now);
        }
        if idle < ASKS_AFTER || now.saturating_duration_since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let seen = look(&self.input);
        let waits = asks(idle, self.line().trim(), seen);
        if self.raised.is_some() && seen.waits == Waits::No {
            self.withdraw();
        } else if self.raised.is_none() && waits {
            self.raise(seen.echo, redactor);
        }
    }

    fn answer_declared(&mut self, now: Instant) {
        match self.declared.rest() {
            Reply::Nothing => {}
            Reply::TooOften(text) => {
                self.excess = Some(format!("the prompt '{text}' came more often than expected: its answer was not accepted"));
            }
            Reply::Type(answer) => {
                if let Err(error) = self.input.write_all(format!("{answer}\n").as_bytes()) {
                    self.failed = Some(format!("a prompt could not be answered: {error}"));
                }
                self.line.clear();
                self.since = now;
            }
        }
    }

    fn raise(&mut self, echo: bool, redactor: &Redactor) {
        self.number += 1;
        let clean = |line: &str| redactor.text(line.trim()).chars().take(MAX_SHOWN).collect::<String>();
        let mut before: Vec<String> = self.before.iter().map(|line| clean(line)).collect();
        let line = clean(&self.line());
        let text = if line.is_empty() { before.pop().unwrap_or_default() } else { line };
        let prompt = Prompted { number: self.number, text, before, secret: !echo };
        // What cannot be written is only not asked: the command waits, and says so in its log.
        let written = serde_json::to_vec(&prompt).map_err(io::Error::other).and_then(|bytes| {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&bytes)?;
            file.persist(question_file(&self.dir)).map_err(|error| error.error)
        });
        self.raised = written.ok().map(|_| prompt);
    }

    fn withdraw(&mut self) {
        if self.raised.take().is_some() {
            drop(fs::remove_file(question_file(&self.dir)));
        }
    }

    /// Takes an answer that has come and types it.
    pub fn reply(&mut self, learn: impl FnOnce(&str)) -> Option<Typed> {
        let mut buffer = [0; 4096];
        let length = self.replies.as_mut()?.read(&mut buffer).unwrap_or(0);
        if length == 0 {
            return None;
        }
        self.partial.extend_from_slice(&buffer[..length]);
        let end = memchr::memchr(b'\n', &self.partial)?;
        let line: Vec<u8> = self.partial.drain(..=end).collect();
        let reply: Sent = serde_json::from_slice(&line).ok()?;
        let prompt = self.raised.clone().filter(|prompt| prompt.number == reply.number)?;
        if prompt.secret {
            learn(&reply.text);
        }
        self.withdraw();
        self.excess = None;
        if let Err(error) = self.input.write_all(format!("{}\n", reply.text).as_bytes()) {
            self.failed = Some(format!("the answer could not be typed: {error}"));
        }
        self.line.clear();
        // It is given time to take the answer before it counts as waiting again.
        self.since = Instant::now();
        self.compared = true;
        Some(Typed { hidden: prompt.secret.then_some(reply.text) })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.withdraw();
        drop(fs::remove_file(answer_pipe(&self.dir)));
    }
}

/// Whether a command asks: by how long it has been silent, the line that it has begun, and what is seen at its terminal.
fn asks(idle: Duration, line: &str, seen: Seen) -> bool {
    match seen.waits {
        Waits::No => false,
        Waits::Reads if !line.is_empty() => idle >= ASKS_AFTER,
        Waits::Reads => idle >= PERHAPS_AFTER,
        // A password is typed unseen, and line by line.
        Waits::Perhaps | Waits::Unknown if !seen.echo && seen.lines => idle >= PERHAPS_AFTER,
        Waits::Perhaps | Waits::Unknown => idle >= PERHAPS_AFTER && is_question(line),
    }
}

/// Whether the beginning of a line looks as if it asked something, and not like progress.
fn is_question(line: &str) -> bool {
    let line = line.trim_end();
    let choice = line.ends_with([']', ')']) && line.rsplit_once(['[', '(']).is_some_and(|(_, last)| last.contains('/') && last.len() < 16);
    !line.contains('%') && (line.ends_with([':', '?', '>']) || choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that is a file: what is typed can be read.
    struct Desk {
        dir: tempfile::TempDir,
        asking: Asking,
        begun: Instant,
        redactor: Redactor,
    }

    impl Desk {
        fn new(declared: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let input = File::create(dir.path().join("typed")).unwrap();
            let prompt = |(text, answer): &(&str, &str)| Prompt { text: (*text).into(), answer: (*answer).into(), ..Prompt::default() };
            let asking = Asking::new(input, dir.path(), declared.iter().map(prompt).collect(), 0).unwrap();
            Self { dir, asking, begun: Instant::now(), redactor: Redactor::new([]).unwrap() }
        }

        /// The command prints, `seconds` after its beginning.
        fn prints(&mut self, seconds: f64, text: &str) {
            self.asking.heard(text.as_bytes(), self.begun + Duration::from_secs_f64(seconds));
        }

        /// Somebody looks then; the command does this. What has been typed, and what is asked.
        fn look(&mut self, seconds: f64, waits: Waits) -> (String, Option<String>) {
            let seen = Seen { waits, echo: true, lines: true };
            self.asking.quiet_at(&self.redactor, self.begun + Duration::from_secs_f64(seconds), &|_| seen);
            let typed = fs::read_to_string(self.dir.path().join("typed")).unwrap();
            (typed, asked(self.dir.path()).map(|prompt| prompt.text))
        }
    }

    const NOTHING: (String, Option<String>) = (String::new(), None);

    #[test]
    fn a_prompt_after_minutes_is_answered_and_nothing_before_it() {
        let mut desk = Desk::new(&[("Valid SSL? (Y/n) ", "Y")]);
        desk.prints(0.0, "Restarting config-server\n");
        for minute in 1..=9 {
            assert_eq!(desk.look(f64::from(minute) * 60.0, Waits::No), NOTHING, "minute {minute}");
        }
        desk.prints(600.0, "Valid SSL? ");
        assert_eq!(desk.look(600.2, Waits::No), NOTHING, "not all of it is there");
        desk.prints(601.0, "(Y/n) ");
        assert_eq!(desk.look(601.02, Waits::Reads), NOTHING, "it has not come to rest");
        assert_eq!(desk.look(601.1, Waits::Reads), ("Y\n".to_owned(), None));
        // It takes the answer, and is silent for an hour: nothing more is typed.
        desk.prints(601.2, "Y\r\nInstalling\n");
        assert_eq!(desk.look(4200.0, Waits::No), ("Y\n".to_owned(), None));
        // What nobody has declared is put to the operator, after however long.
        desk.prints(4201.0, "Overwrite? ");
        assert_eq!(desk.look(4201.1, Waits::Reads), ("Y\n".to_owned(), None), "too soon to tell");
        assert_eq!(desk.look(4201.9, Waits::Reads), ("Y\n".to_owned(), Some("Overwrite?".to_owned())));
        assert_eq!(
            desk.look(9000.0, Waits::Reads),
            ("Y\n".to_owned(), Some("Overwrite?".to_owned())),
            "it stays there until somebody answers"
        );
    }

    #[test]
    fn work_that_is_silent_or_draws_progress_asks_nothing() {
        let mut desk = Desk::new(&[]);
        for (at, text) in [(0.0, "Downloading 45% [===>   ]"), (5.0, "\rDownloading 90% [======>]"), (10.0, "\nWaiting for pods (3 left)")]
        {
            desk.prints(at, text);
            assert_eq!(desk.look(at + 2.0, Waits::No), NOTHING, "{text:?}");
            assert_eq!(desk.look(at + 3.0, Waits::Perhaps), NOTHING, "{text:?}");
        }
    }

    #[test]
    fn colours_are_no_part_of_a_question() {
        let mut desk = Desk::new(&[]);
        // As `tput setaf 3`, `tput sgr0` and a link print it.
        desk.prints(0.0, "\u{1b}[33mWhich \u{1b}(B\u{1b}[mone \u{1b}]8;;https://a.b\u{7}here\u{1b}]8;;\u{7}? \u{1b}");
        desk.prints(0.1, "(");
        desk.prints(0.2, "B\u{1b}[m");
        assert_eq!(desk.look(1.5, Waits::Reads).1.as_deref(), Some("Which one here?"));
    }

    #[test]
    fn it_takes_certainty_or_time_to_be_a_question() {
        let seen = |waits, echo| Seen { waits, echo, lines: true };
        let (soon, later) = (Duration::from_millis(350), Duration::from_millis(1300));
        let table = [
            (soon, "Name:", Waits::Reads, true, true),
            (soon, "", Waits::Reads, true, false),
            (later, "", Waits::Reads, true, true),
            (later, "working", Waits::No, true, false),
            (later, "Password:", Waits::No, false, false),
            (soon, "[sudo] password for x:", Waits::Unknown, false, false),
            (later, "[sudo] password for x:", Waits::Unknown, false, true),
            (later, "Go on? [y/N]", Waits::Perhaps, true, true),
            (later, "Go on (yes/no)", Waits::Perhaps, true, true),
            (later, "Pulling 45% [==>", Waits::Perhaps, true, false),
            (later, "Waiting for pods (3 left)", Waits::Perhaps, true, false),
            (later, "", Waits::Perhaps, true, false),
        ];
        for (idle, line, waits, echo, expected) in table {
            assert_eq!(asks(idle, line, seen(waits, echo)), expected, "{line:?} {waits:?} {idle:?}");
        }
    }
}
