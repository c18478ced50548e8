//! The client's side of a run: what every front end knows of the engine.
//!
//! Two threads stand behind a client: one hears the engine and reads the journal as far as the engine says it is whole, the other sends.
//! A front end that does not take what it is told holds up its own threads, and nobody else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::mpsc;

use super::protocol::{self, Notice, Request, SPOKEN};
use crate::adapters::journal::{Folds, JournalError};
use crate::adapters::socket;
use crate::install::ids::StepRef;
use crate::install::plan::Plan;
use crate::run::event::{Progress, Recorded, StopReason};
use crate::run::machine::Command;
use crate::run::state::State;

/// How long an engine may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// The same where somebody only wants to know whether it answers.
const GLANCE: Duration = Duration::from_millis(1500);
/// How long an engine that ends may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Updates read ahead of the front end.
const AHEAD: usize = 512;

/// What a front end hears.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the channel holds few, and most of them are events or progress")]
pub enum Update {
    /// The next event; the first ones are the whole history, where it was not asked for as a state.
    Event(Arc<Recorded>),
    /// The history as the state at its end.
    Past {
        /// The state.
        state: Box<State>,
        /// The last event that a screen turns to, a failure without its details.
        turn: Option<Box<Recorded>>,
    },
    /// Everything that was in the journal has been sent; what follows happens now.
    Live,
    /// Where a running step stands; the latest only.
    Progress {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// Where it stands.
        progress: Progress,
    },
    /// A command was taken in, by the number it was sent with; what it led to was told before.
    Accepted(u64),
    /// A command could not be followed, and why.
    Rejected(String),
    /// Nothing more can be done without the operator.
    Halted(StopReason),
    /// The engine has ended; with a reason where it was not asked to.
    Ended(Option<String>),
}

/// An engine, as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its process.
    pub pid: u32,
    /// The version of its program.
    pub tool: String,
    /// The run.
    pub run: String,
    /// Whether something is under way that ends by itself.
    pub working: bool,
    /// How many watched it already.
    pub viewers: usize,
}

/// How a front end wants what has happened before.
#[derive(Debug, Clone)]
pub enum Past {
    /// Event by event.
    Events,
    /// As the state at its end; from what is folded already.
    State(Folds),
}

/// Why there is no connection to an engine.
#[derive(Debug)]
pub enum Missed {
    /// None listens there.
    Nobody,
    /// It does not answer.
    Silent,
    /// It does not talk to this front end; why.
    Refused(String),
}

/// A connection to an engine.
#[derive(Debug)]
pub struct Client {
    requests: blocking::Sender<Request>,
    updates: mpsc::Receiver<Update>,
    run_dir: PathBuf,
    engine: Engine,
    number: AtomicU64,
}

fn hello(stream: &UnixStream, watch: bool, patience: Duration) -> Result<(Engine, BufReader<UnixStream>), Missed> {
    let greet = || -> io::Result<(Option<Notice>, BufReader<UnixStream>)> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let said = Request::Hello { versions: SPOKEN, tool: env!("CARGO_PKG_VERSION").to_owned(), watch };
        // One that refuses us may have hung up already; what it said is still there.
        let _ = (&*stream).write_all(&protocol::line(&said));
        Ok((protocol::next_blocking(&mut reader)?, reader))
    };
    match greet() {
        Ok((Some(Notice::Hello { tool, pid, run, working, viewers, .. }), reader)) => {
            Ok((Engine { pid, tool, run, working, viewers }, reader))
        }
        Ok((Some(Notice::Refused { reason }), _)) => Err(Missed::Refused(reason)),
        Ok((Some(_), _)) => Err(Missed::Refused("what listens there is no engine of this program".into())),
        Ok((None, _)) => Err(Missed::Nobody),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Missed::Silent,
            io::ErrorKind::InvalidData => Missed::Refused("what listens there is no engine of this program".into()),
            _ => Missed::Nobody,
        }),
    }
}

fn connect(run_dir: &Path) -> Result<UnixStream, Missed> {
    socket::connect(&run_dir.join("engine.sock")).map_err(|error| match error.kind() {
        // Too many wait there already: it takes nobody in.
        io::ErrorKind::WouldBlock => Missed::Silent,
        io::ErrorKind::PermissionDenied => Missed::Refused("this run belongs to another user: be that user to watch or command it".into()),
        _ => Missed::Nobody,
    })
}

/// Asks the engine of a run how it is, without staying. Waits a second or two at most.
///
/// # Errors
/// There is none, or it does not answer or talk to this program.
pub fn look(run_dir: &Path) -> Result<Engine, Missed> {
    hello(&connect(run_dir)?, false, GLANCE).map(|(engine, _)| engine)
}

impl Client {
    /// Connects to the engine of a run. Blocks until it has introduced itself, five seconds at most.
    ///
    /// # Errors
    /// There is none, or it does not answer or talk to this program.
    pub fn connect(run_dir: &Path, past: Past) -> Result<Self, Missed> {
        let stream = connect(run_dir)?;
        let (engine, reader) = hello(&stream, true, HELLO)?;
        let lost = |_| Missed::Nobody;
        stream.set_read_timeout(None).map_err(lost)?;
        stream.set_write_timeout(None).map_err(lost)?;
        let (requests, asked) = blocking::channel::<Request>();
        let (sender, updates) = mpsc::channel(AHEAD);
        let journal = run_dir.join("journal.jsonl");
        std::thread::spawn(move || hear(reader, &journal, &past, &sender));
        std::thread::spawn(move || {
            for request in asked {
                // What is left of it after the engine is gone is heard by the other thread.
                if (&stream).write_all(&protocol::line(&request)).is_err() {
                    return;
                }
                if matches!(request, Request::Leave) {
                    let _ = stream.set_read_timeout(Some(LAST_WORDS));
                }
            }
            let _ = stream.shutdown(Shutdown::Write);
        });
        Ok(Self { requests, updates, run_dir: run_dir.to_owned(), engine, number: AtomicU64::new(0) })
    }

    /// The engine as it was when the connection was made.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn ask(&self, request: impl FnOnce(u64) -> Request) -> u64 {
        let id = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        // An engine that has ended hears nothing more; its `Ended` says so.
        drop(self.requests.send(request(id)));
        id
    }

    /// Sends a command. It is answered with [`Update::Accepted`] and this number, or [`Update::Rejected`].
    pub fn send(&self, command: Command) -> u64 {
        self.ask(|id| Request::Command { id, command })
    }

    /// Hands over the plan and the secrets as the site file has them now; under a running step they change nothing. Answered as a command.
    pub fn renew(&self, plan: Plan, secrets: BTreeMap<String, String>) -> u64 {
        self.ask(|id| Request::Renew { id, plan: Box::new(plan), secrets })
    }

    /// Asks the engine to let go of the site; with `busy` also while something runs, which then goes on. Answered as a command.
    pub fn hand_over(&self, busy: bool) -> u64 {
        self.ask(|id| Request::HandOver { id, busy })
    }

    /// A handle that sends commands, as long as the client is there.
    pub fn commander(&self) -> impl Fn(Command) + Send + 'static {
        let requests = self.requests.clone();
        move |command| drop(requests.send(Request::Command { id: 0, command }))
    }

    /// The next update; none when the engine is gone and everything it said was told.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// An update that is there already.
    pub fn ready(&mut self) -> Option<Update> {
        self.updates.try_recv().ok()
    }

    /// The same as [`Client::next`] where there is no runtime.
    pub fn next_blocking(&mut self) -> Option<Update> {
        self.updates.blocking_recv()
    }

    /// Lets go: the engine need not stay for this front end. What it still says, where it ends now, can be read from what this returns.
    #[must_use]
    pub fn close(self) -> mpsc::Receiver<Update> {
        drop(self.requests.send(Request::Leave));
        self.updates
    }

    /// The folder of the run.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The output of one attempt of a step. The file may not exist yet.
    #[must_use]
    pub fn log(&self, step: &StepRef, attempt: u32) -> PathBuf {
        log_path(&self.run_dir, step, attempt)
    }
}

/// Hears the engine until it ends or nobody listens.
fn hear(mut reader: BufReader<UnixStream>, journal: &Path, past: &Past, updates: &mpsc::Sender<Update>) {
    let mut history = History::new(journal);
    let (mut live, mut leaving) = (false, false);
    let tell = |update| updates.blocking_send(update).is_err();
    loop {
        let gone = match protocol::next_blocking::<Notice>(&mut reader) {
            Ok(Some(Notice::Grown { bytes })) => {
                let read = match past {
                    Past::State(folds) if !live => history.fold_to(bytes, folds).map(|past| !past.is_some_and(tell)),
                    _ => history.read_to(bytes, &mut |event| !tell(Update::Event(Arc::new(event)))),
                };
                match read {
                    Ok(false) => true,
                    Ok(true) if !live => {
                        live = true;
                        tell(Update::Live)
                    }
                    Ok(true) => false,
                    Err(error) => {
                        tell(Update::Ended(Some(format!("{}: {error}; look at the run with 'mosip-setup status'", journal.display()))));
                        true
                    }
                }
            }
            Ok(Some(Notice::Progress { step, attempt, progress })) => tell(Update::Progress { step, attempt, progress }),
            Ok(Some(Notice::Halted { reason })) => tell(Update::Halted(reason)),
            Ok(Some(Notice::Accepted { id })) => tell(Update::Accepted(id)),
            Ok(Some(Notice::Rejected { message, .. })) => tell(Update::Rejected(message)),
            Ok(Some(Notice::Left { stays })) => {
                leaving = true;
                stays
            }
            Ok(Some(Notice::Ended { error })) => {
                tell(Update::Ended(error));
                true
            }
            Ok(Some(Notice::Hello { .. } | Notice::Refused { .. } | Notice::Unknown)) => false,
            // It says goodbye when it ends by itself.
            Ok(None) | Err(_) if leaving => true,
            Ok(None) | Err(_) => {
                tell(Update::Ended(Some(GONE.to_owned())));
                true
            }
        };
        if gone {
            return;
        }
    }
}

/// What is said of an engine that ended without a word.
pub const GONE: &str =
    "the engine was ended from outside. The step that ran goes on by itself; 'mosip-setup run' takes it up and goes on from there";

/// Reads a journal piece by piece, as far as it is known to be whole.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    read: u64,
    next: u64,
}

impl History {
    /// From the beginning.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, next: 0 }
    }

    /// Hands on the events up to this length, until one is not wanted; whether all were.
    ///
    /// # Errors
    /// The journal cannot be read, or a line of it is damaged.
    pub fn read_to(&mut self, bytes: u64, each: &mut dyn FnMut(Recorded) -> bool) -> io::Result<bool> {
        let mut next = self.next;
        let read = self.lines_to(bytes, &mut |line| {
            let event = Recorded::parse(line)?;
            // A duplicate is a no-op, as in the fold.
            if event.seq < next {
                return Ok(true);
            }
            next = event.seq + 1;
            Ok(each(event))
        });
        self.next = next;
        read
    }

    /// Folds the lines up to this length, going on from what is folded already; none: there are none.
    ///
    /// # Errors
    /// The journal cannot be read, a line of it is damaged, or one is missing.
    fn fold_to(&mut self, bytes: u64, folds: &Folds) -> io::Result<Option<Update>> {
        let folded = folds.up_to(&self.path, bytes).map_err(without_path)?;
        self.read = folded.length();
        let Some((state, turn)) = folded.end(&self.path).map_err(without_path)? else { return Ok(None) };
        self.next = state.seq + 1;
        Ok(Some(Update::Past { state: Box::new(state), turn: turn.map(Box::new) }))
    }

    fn lines_to(&mut self, bytes: u64, each: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
        if bytes <= self.read {
            return Ok(true);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::with_capacity(256 * 1024, file.take(bytes - self.read));
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 || !line.ends_with(b"\n") {
                return Ok(true);
            }
            self.read += length as u64;
            if !each(&line)? {
                return Ok(false);
            }
        }
    }
}

/// What is wrong with a journal, for a message that names it already.
fn without_path(error: JournalError) -> io::Error {
    match error {
        JournalError::Io { source, .. } => source,
        JournalError::Corrupt { line, message, .. } => io::Error::other(format!("line {line} is damaged ({message})")),
        JournalError::Fold(error) => io::Error::other(error),
    }
}

/// The output of one attempt of a step in a run's folder.
#[must_use]
pub fn log_path(run_dir: &Path, step: &StepRef, attempt: u32) -> PathBuf {
    run_dir.join("steps").join(step.folder()).join(attempt.to_string()).join("output.log")
}
