//! Moves a child's output to the log, secrets removed, and lets the reader of its kind see every raw line.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attempt::{Reading, append_progress, trouble};
use super::lookout::Lookout;
use super::prompter::plain_text;
use super::prompting::Asking;
use super::runner::create_private;
use super::telling::Teller;
use crate::adapters::ansible::{Playbook, compare_inventory};
use crate::adapters::logs::times::MarkedLog;
use crate::adapters::process::{Look, Output};
use crate::adapters::terraform::Root;
use crate::run::detail::Detail;
use crate::run::event::Progress;
use crate::run::lines::Lines;
use crate::run::redact::{Redactor, Stream};

/// The end of a partial line is shown after so long, unless it may begin a secret.
const PARTIAL_AFTER: Duration = Duration::from_millis(50);
/// Progress is written at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// After the child has ended, an orphan that still holds its output is waited for so long in silence, and so long in all.
const DRAIN_QUIET: Duration = Duration::from_millis(300);
const DRAIN_ALL: Duration = Duration::from_secs(5);
/// How much of the end of the output is kept for a failure, bytes.
const TAIL: usize = 4096;
/// The longest output that is kept in memory for reading as a whole, bytes.
const MAX_CAPTURE: usize = 64 * 1024 * 1024;

/// Everything the pump needs.
#[derive(Debug)]
pub struct Pump {
    /// The child's output.
    pub output: Output,
    /// Sees to prompts, where the child has a terminal.
    pub asking: Option<Asking>,
    /// The log.
    pub log: MarkedLog,
    /// The attempt's folder, for progress.
    pub dir: PathBuf,
    /// Removes secrets.
    pub redactor: Arc<Redactor>,
    /// How stdout is understood.
    pub reading: Reading,
    /// Tells in detail what the step does.
    pub teller: Teller,
    /// Spots known failures as they come.
    pub lookout: Lookout,
    /// Set when the child has ended.
    pub exited: Arc<AtomicBool>,
}

/// What was learnt from the output.
#[derive(Debug, Default)]
pub struct Pumped {
    /// Why it is a failure in spite of exit code 0.
    pub wrong: String,
    /// What deserves a look.
    pub warning: String,
    /// Hosts that failed.
    pub hosts: Vec<String>,
    /// The lines that matter.
    pub lines: Vec<String>,
    /// The last lines.
    pub tail: Vec<String>,
    /// The end of the output, without colours, to look for known failures in.
    pub recent: Vec<String>,
    /// What a plan would destroy without the operator's consent.
    pub destroys: Vec<String>,
    /// Those of them that failed while an earlier apply made them.
    pub tainted: Vec<String>,
    /// How many prompts of the attempt were put to the operator so far.
    pub prompts: u32,
    /// The output could not be kept.
    pub error: Option<String>,
}

enum Reader {
    Plain,
    Playbook(Box<Playbook>),
    Inventory(Vec<u8>),
    Terraform(Box<Root>),
    Save(File),
}

impl Pump {
    /// Reads to the end of the output.
    #[must_use]
    pub fn run(mut self) -> Pumped {
        let mut pumped = Pumped::default();
        let mut reader = match &self.reading {
            Reading::Plain => Reader::Plain,
            Reading::Playbook { tasks, empty_groups } => Reader::Playbook(Box::new(Playbook::new(*tasks).with_empty_groups(*empty_groups))),
            Reading::Inventory { .. } => Reader::Inventory(Vec::new()),
            Reading::Terraform { .. } => Reader::Terraform(Box::default()),
            Reading::Save { path } => match create_private(path) {
                Ok(file) => Reader::Save(file),
                Err(error) => {
                    pumped.error = Some(format!("{}: {error}", path.display()));
                    Reader::Plain
                }
            },
        };
        let redactor = self.redactor.clone();
        let mut streams = [Stream::new(&redactor), Stream::new(&redactor)];
        let (mut lines, mut complaints) = (Lines::default(), Lines::default());
        let (mut clean, mut transformed) = (Vec::with_capacity(128 * 1024), Vec::new());
        let mut buffer = vec![0; 64 * 1024];
        let mut tail: Vec<u8> = Vec::new();
        let mut last_progress = Instant::now().checked_sub(PROGRESS_EVERY);
        let mut last_heard: Option<Instant> = None;
        let (mut exited_at, mut quiet_since): (Option<Instant>, Instant) = (None, Instant::now());
        loop {
            let waiting = streams.iter().any(Stream::has_partial) || exited_at.is_some();
            let patience = if waiting || self.asking.is_some() { PARTIAL_AFTER } else { Duration::from_millis(200) };
            match self.output.look(&mut buffer, patience) {
                Ok(Look::Bytes(number, length)) => {
                    quiet_since = Instant::now();
                    let bytes = &buffer[..length];
                    if number == 0 {
                        if let Some(asking) = &mut self.asking {
                            asking.heard(bytes, quiet_since);
                        }
                        match &mut reader {
                            Reader::Plain => streams[0].feed(bytes, &mut clean),
                            Reader::Playbook(playbook) => {
                                lines.feed(bytes, |piece| playbook.piece(piece));
                                self.tell_playbook(playbook);
                                streams[0].feed(bytes, &mut clean);
                            }
                            Reader::Terraform(root) => {
                                lines.feed(bytes, |piece| root.piece(piece, &mut transformed));
                                self.teller.tell(root.take_seen());
                                if root.is_interrupted() {
                                    self.lookout.rest();
                                }
                                streams[0].feed(&transformed, &mut clean);
                                transformed.clear();
                            }
                            Reader::Inventory(text) if text.len() < MAX_CAPTURE => text.extend_from_slice(bytes),
                            Reader::Inventory(_) => {}
                            Reader::Save(file) => {
                                if let Err(error) = file.write_all(bytes) {
                                    pumped.error.get_or_insert(trouble("the output cannot be saved", &error).message);
                                }
                            }
                        }
                    } else {
                        if let Reader::Playbook(playbook) = &mut reader {
                            complaints.feed(bytes, |piece| playbook.complaint(piece.bytes));
                        }
                        streams[1].feed(bytes, &mut clean);
                    }
                }
                Ok(Look::Quiet) => {
                    streams.iter_mut().for_each(|stream| stream.flush_partial(&mut clean));
                    self.ask(&mut streams[0], &mut clean);
                }
                Ok(Look::End) => break,
                Err(error) => {
                    pumped.error = Some(format!("the output cannot be read: {error}"));
                    break;
                }
            }
            self.keep(&mut clean, &mut tail, &mut pumped);
            if last_progress.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) && self.progress(&mut reader) {
                last_progress = Some(Instant::now());
            }
            if last_heard.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
                self.teller.hear();
                last_heard = Some(Instant::now());
            }
            if self.exited.load(Ordering::Acquire) {
                let since = *exited_at.get_or_insert_with(Instant::now);
                // A grandchild that inherited the pipe may hold it for ever.
                if since.elapsed() > DRAIN_ALL || (since.elapsed() > DRAIN_QUIET && quiet_since.elapsed() > DRAIN_QUIET) {
                    break;
                }
            }
        }
        if let Reader::Terraform(root) = &mut reader {
            lines.finish(|piece| root.piece(piece, &mut transformed));
            self.teller.tell(root.take_seen());
            streams[0].feed(&transformed, &mut clean);
        } else if let Reader::Playbook(playbook) = &mut reader {
            lines.finish(|piece| playbook.piece(piece));
            self.tell_playbook(playbook);
        }
        streams.iter_mut().for_each(|stream| stream.finish(&mut clean));
        self.keep(&mut clean, &mut tail, &mut pumped);
        let known = self.lookout.finish();
        self.teller.tell(known);
        self.teller.hear();
        self.progress(&mut reader);
        self.conclude(&reader, &tail, &mut pumped);
        if let Some(asking) = self.asking.take() {
            pumped.prompts = asking.number();
            if let Some(text) = asking.missed().first() {
                pumped.wrong = format!("it ended without asking '{text}': what this question is for was not done");
            }
            if let Some(wrong) = asking.wrong() {
                pumped.error.get_or_insert_with(|| wrong.clone());
            }
        }
        pumped
    }

    fn keep(&mut self, clean: &mut Vec<u8>, tail: &mut Vec<u8>, pumped: &mut Pumped) {
        if clean.is_empty() {
            return;
        }
        if let Err(error) = self.log.write_all(clean) {
            // The child is not ended for this: losing an apply is worse than losing its log.
            pumped.error.get_or_insert(trouble("the log cannot be written", &error).message);
        }
        let known = self.lookout.feed(clean);
        self.teller.tell(known);
        let from = clean.len().saturating_sub(TAIL);
        tail.extend_from_slice(&clean[from..]);
        if tail.len() > 2 * TAIL {
            tail.drain(..tail.len() - TAIL);
        }
        clean.clear();
    }

    /// Tells what the output of a playbook says: all of it where Ansible tells nothing itself, else only where failures are printed.
    fn tell_playbook(&mut self, playbook: &mut Playbook) {
        let (seen, printed) = (playbook.take_seen(), playbook.take_printed());
        if seen.is_empty() && printed.is_empty() {
            return;
        }
        if !self.teller.hear() {
            self.teller.tell(seen);
        }
        // The line is not written yet, so it stands behind what the log has now.
        let log = self.log.length();
        self.teller.tell(printed.into_iter().map(|one| Detail::Printed { name: one.task, host: one.host, line: one.begins, log }));
    }

    /// Writes where the step stands; says whether there was anything to write.
    fn progress(&self, reader: &mut Reader) -> bool {
        let progress = match reader {
            Reader::Playbook(playbook) => playbook.take_progress(),
            Reader::Terraform(root) => root.take_progress(),
            _ => None,
        };
        let Some(progress) = progress else { return false };
        let clean = |text: &String| self.redactor.text(text);
        let parts = progress.parts.iter().map(|(name, state)| (clean(name), clean(state))).collect();
        let progress = Progress { doing: clean(&progress.doing), parts, ..progress };
        // Progress that cannot be written is only not seen.
        drop(append_progress(&self.dir, &progress));
        true
    }

    /// Sees to prompts: types an answer that has come, and asks where the child waits.
    fn ask(&mut self, stream: &mut Stream<'_>, clean: &mut Vec<u8>) {
        let Some(asking) = &mut self.asking else { return };
        let mut learnt = None;
        let typed = asking.reply(|secret| learnt = self.redactor.with(secret).ok());
        if let Some(redactor) = learnt {
            stream.learn(redactor.clone());
            self.redactor = Arc::new(redactor);
        }
        if let Some(typed) = typed
            && typed.hidden.is_some()
        {
            clean.extend_from_slice(b"(answered by the operator, not shown)\n");
        }
        asking.quiet(&self.redactor);
    }

    fn conclude(&self, reader: &Reader, tail: &[u8], pumped: &mut Pumped) {
        let text = String::from_utf8_lossy(tail);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        pumped.recent = plain_text(tail).lines().map(str::to_owned).collect();
        pumped.tail = lines[lines.len().saturating_sub(10)..].iter().map(|line| (*line).to_owned()).collect();
        match (reader, &self.reading) {
            (Reader::Playbook(playbook), _) => {
                let verdict = playbook.verdict();
                pumped.wrong = verdict.wrong;
                pumped.warning = self.redactor.text(&verdict.warning);
                pumped.hosts = verdict.hosts;
                pumped.lines = verdict.lines.iter().map(|line| self.redactor.text(line)).collect();
            }
            (Reader::Inventory(text), Reading::Inventory { model }) => {
                if let Err(differences) = compare_inventory(&String::from_utf8_lossy(text), model) {
                    pumped.wrong = "the inventory does not show the machines of the site".into();
                    pumped.lines = differences;
                }
            }
            (Reader::Terraform(root), Reading::Terraform { destroys }) => {
                pumped.lines = root.errors().iter().map(|line| self.redactor.text(line)).collect();
                pumped.destroys = root.destroys().iter().filter(|address| !destroys.contains(address)).cloned().collect();
                pumped.tainted = root.tainted().iter().filter(|address| pumped.destroys.contains(address)).cloned().collect();
            }
            _ => {}
        }
    }
}
