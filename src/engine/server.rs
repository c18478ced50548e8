//! The engine's socket: who may talk, what they are told, what they ask.
//!
//! What is published is one value that is overwritten, never a queue: each connection tells its front end the difference to what that one
//! was told last. So a front end that does not read costs one connection and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::background::Log;
use super::protocol::{self, Notice, Request, SPOKEN};
use crate::adapters::{socket, user};
use crate::install::ids::StepRef;
use crate::install::plan::Plan;
use crate::run::event::{Progress, StopReason};
use crate::run::machine::Command;

/// How many connections there may be.
const CONNECTIONS: u32 = 128;
/// How long a connection may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);
/// How long front ends have to read the last words of an engine.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is asked of the driver.
#[derive(Debug)]
pub(super) enum Asked {
    /// A command of an operator.
    Command(Command),
    /// The plan and secrets of now.
    Renew { plan: Box<Plan>, secrets: BTreeMap<String, String> },
    /// Let go of the site; also while something runs.
    HandOver { busy: bool },
    /// Somebody outside asks the engine to end: what runs is stopped first.
    Terminate,
    /// The front end that this engine lives in goes; what runs goes on.
    End,
}

/// Something asked, by whom, and where the answer goes.
#[derive(Debug)]
pub(super) struct Asking {
    pub asked: Asked,
    /// The Unix user.
    pub by: String,
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// What front ends are told: the newest of everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// The length of the journal, bytes.
    pub bytes: u64,
    /// Whether something is under way that ends by itself.
    pub working: bool,
    /// Whether it ends now, whoever watches.
    pub ending: bool,
    /// Whether it waits for whoever it was started for.
    pub expecting: bool,
    /// Counts halts, and the reason of the last; none: it goes on.
    pub halted: Option<(u64, StopReason)>,
    /// The length of the journal for which that is so.
    pub halted_at: u64,
    /// Running steps: a count of changes, the attempt, where it stands.
    pub progress: BTreeMap<StepRef, (u64, u32, Progress)>,
    /// The engine has ended, and why where it was not asked to.
    pub ended: Option<Option<String>>,
}

/// Who watches, and whether the engine still takes anybody.
#[derive(Debug, Default)]
struct Door {
    viewers: usize,
    closed: bool,
}

/// The place where driver and connections meet.
#[derive(Debug)]
pub(super) struct Hub {
    published: watch::Sender<Published>,
    asking: mpsc::Sender<Asking>,
    door: Mutex<Door>,
    viewers: watch::Sender<usize>,
    open: Arc<Semaphore>,
    log: Arc<Log>,
    run: String,
    count: AtomicU64,
}

impl Hub {
    /// A hub for a run; what is asked comes out of the receiver.
    pub fn new(run: String, log: Arc<Log>) -> (Arc<Self>, mpsc::Receiver<Asking>) {
        let (asking, asked) = mpsc::channel(64);
        let hub = Self {
            published: watch::Sender::default(),
            asking,
            door: Mutex::default(),
            viewers: watch::Sender::default(),
            open: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            log,
            run,
            count: AtomicU64::new(0),
        };
        (Arc::new(hub), asked)
    }

    /// Changes what is published.
    pub fn publish(&self, change: impl FnOnce(&mut Published)) {
        self.published.send_modify(change);
    }

    /// How many watch; wakes up when that changes.
    pub fn viewers(&self) -> watch::Receiver<usize> {
        self.viewers.subscribe()
    }

    /// Asks something in the place of a front end.
    pub async fn ask(&self, asked: Asked, by: &str) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| "the engine has ended".to_owned();
        self.asking.send(Asking { asked, by: by.to_owned(), reply }).await.map_err(|_| "the engine has ended".to_owned())?;
        answer.await.map_err(gone)?
    }

    /// Takes nobody any more. With `empty` only if nobody watches; whether it is closed now.
    pub fn close(&self, empty: bool) -> bool {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if empty && door.viewers > 0 {
            return false;
        }
        door.closed = true;
        true
    }

    /// Says the last words and waits until they were heard, or nobody listens.
    pub async fn end(&self, error: Option<String>) {
        self.publish(|published| published.ended = Some(error));
        let all = self.open.acquire_many(CONNECTIONS);
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
    }

    fn enter(&self) -> bool {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if door.closed {
            return false;
        }
        door.viewers += 1;
        self.viewers.send_replace(door.viewers);
        true
    }

    fn leave(&self) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.viewers = door.viewers.saturating_sub(1);
        self.viewers.send_replace(door.viewers);
    }

    fn watching(&self) -> usize {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).viewers
    }
}

/// Counts one who watches, until it goes.
struct Presence<'a>(Option<&'a Hub>);

impl Presence<'_> {
    fn leave(&mut self) {
        if let Some(hub) = self.0.take() {
            hub.leave();
        }
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The open socket. It goes when this goes.
pub(super) struct Listening {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// Opens the socket of a run, whose site this process holds.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(path: &Path, hub: Arc<Hub>) -> io::Result<Self> {
        let listener = socket::listen(path)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let task = tokio::spawn(async move {
            loop {
                let Ok(permit) = hub.open.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let hub = hub.clone();
                        tokio::spawn(async move {
                            let number = hub.count.fetch_add(1, Ordering::Relaxed) + 1;
                            // A front end that goes in the middle of a word is as good as one that says goodbye.
                            if let Err(error) = serve(stream, &hub, number).await
                                && !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
                            {
                                hub.log.say(&format!("connection {number}: {error}"));
                            }
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        hub.log.say(&format!("the socket takes nobody: {error}"));
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(Self { path: path.to_owned(), task })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is published now. Where more is in the journal than it halted with, that may have set it going again: how it stands is about to be
/// published, and until then what was told is not taken back by what is old.
fn seen(published: &mut watch::Receiver<Published>, told: &Published) -> Published {
    let mut now = published.borrow_and_update().clone();
    if now.halted_at != now.bytes {
        now.halted = told.halted;
    }
    now
}

/// Whether this user may talk to an engine of that user.
fn may(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn serve(stream: UnixStream, hub: &Hub, number: u64) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let by = user::name_of(peer.uid());
    if !may(peer.uid(), rustix::process::geteuid().as_raw()) {
        hub.log.say(&format!("connection {number}: refused {by}: the engine belongs to {}", user::name()));
        let reason = format!("this run belongs to {}: be that user to watch or command it", user::name());
        return write.write_all(&protocol::line(&Notice::Refused { reason })).await;
    }
    let hello = tokio::time::timeout(HELLO, protocol::next::<Request>(&mut read)).await;
    let (versions, tool, watch) = match hello {
        Ok(Ok(Some(Request::Hello { versions, tool, watch }))) => (versions, tool, watch),
        Ok(Ok(Some(_))) => {
            let reason = "the first line must be a hello".to_owned();
            return write.write_all(&protocol::line(&Notice::Refused { reason })).await;
        }
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not say who it is")),
    };
    let version = match protocol::negotiate(SPOKEN, versions, env!("CARGO_PKG_VERSION")) {
        Ok(version) => version,
        Err(reason) => {
            hub.log.say(&format!("connection {number}: {by} with version {tool} speaks {versions:?}: refused"));
            return write.write_all(&protocol::line(&Notice::Refused { reason })).await;
        }
    };
    let viewers = hub.watching();
    // An engine that is about to end lets the connection drop: the front end then looks for the next one.
    if watch && !hub.enter() {
        return Ok(());
    }
    let mut presence = Presence(watch.then_some(hub));
    let mut published = hub.published.subscribe();
    let now = published.borrow_and_update().clone();
    let said = Notice::Hello {
        version,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        run: hub.run.clone(),
        working: now.working,
        viewers,
    };
    write.write_all(&protocol::line(&said)).await?;
    if !watch {
        return Ok(());
    }
    hub.log.say(&format!("connection {number}: {by} watches, process {}, version {tool}", peer.pid().unwrap_or(0)));
    let (answers, mut answered) = mpsc::channel::<Said>(16);
    let listen = listen(read, hub, &by, answers);
    let tell = async {
        let mut told = Published::default();
        let mut over = false;
        loop {
            let now = seen(&mut published, &told);
            let news = news(&told, &now);
            if !news.is_empty() {
                write.write_all(&news).await?;
            }
            told = now;
            if told.ended.is_some() {
                return Ok(());
            }
            tokio::select! {
                changed = published.changed() => if changed.is_err() { return Ok(()) },
                said = answered.recv(), if !over => match said {
                    // What a request led to is told before its answer.
                    Some(Said::Answer(notice)) => {
                        let now = seen(&mut published, &told);
                        let mut lines = self::news(&told, &now);
                        told = now;
                        lines.extend(protocol::line(&notice));
                        write.write_all(&lines).await?;
                        if told.ended.is_some() {
                            return Ok(());
                        }
                    }
                    Some(Said::Left) => {
                        presence.leave();
                        let now = published.borrow_and_update().clone();
                        // The driver decides in a moment; what it would decide is told so that nobody waits for it in vain.
                        let alone = hub.watching() == 0 && !now.working && !now.expecting && now.halted.is_some_and(|(_, reason)| ends(reason));
                        let stays = !now.ending && !alone;
                        write.write_all(&protocol::line(&Notice::Left { stays })).await?;
                        if stays {
                            return Ok(());
                        }
                    }
                    None => over = true,
                },
            }
            if over && presence.0.is_some() {
                return Ok(());
            }
        }
    };
    let ended = tokio::select! {
        ended = tell => ended,
        ended = async { listen.await?; std::future::pending().await } => ended,
    };
    hub.log.say(&format!("connection {number}: {by} has gone"));
    ended
}

/// Whether an engine that halted so ends as soon as nobody watches.
pub(super) fn ends(reason: StopReason) -> bool {
    matches!(reason, StopReason::Idle | StopReason::Stopped)
}

/// What the reading half of a connection hands to its writing half.
enum Said {
    Answer(Box<Notice>),
    Left,
}

async fn listen(mut read: BufReader<OwnedReadHalf>, hub: &Hub, by: &str, answers: mpsc::Sender<Said>) -> io::Result<()> {
    loop {
        let (id, asked) = match protocol::next::<Request>(&mut read).await {
            Ok(None) => return Ok(()),
            Ok(Some(Request::Command { id, command })) => (id, Asked::Command(command)),
            Ok(Some(Request::Renew { id, plan, secrets })) => (id, Asked::Renew { plan, secrets }),
            Ok(Some(Request::HandOver { id, busy })) => (id, Asked::HandOver { busy }),
            Ok(Some(Request::Leave)) => {
                let _ = answers.send(Said::Left).await;
                continue;
            }
            Ok(Some(Request::Hello { .. } | Request::Unknown)) => continue,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let message =
                    "this engine does not understand that: it is of another version; let this program take over with 'run --take-over'";
                let rejected = Notice::Rejected { id: 0, message: message.to_owned() };
                let _ = answers.send(Said::Answer(Box::new(rejected))).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let notice = match hub.ask(asked, by).await {
            Ok(()) => Notice::Accepted { id },
            Err(message) => Notice::Rejected { id, message },
        };
        if answers.send(Said::Answer(Box::new(notice))).await.is_err() {
            return Ok(());
        }
    }
}

/// What is new since a front end was told last.
fn news(told: &Published, now: &Published) -> Vec<u8> {
    let mut lines = Vec::new();
    if now.bytes != told.bytes {
        lines.extend(protocol::line(&Notice::Grown { bytes: now.bytes }));
    }
    for (step, (count, attempt, progress)) in &now.progress {
        if told.progress.get(step).is_none_or(|(before, ..)| before != count) {
            let notice = Notice::Progress { step: step.clone(), attempt: *attempt, progress: progress.clone() };
            lines.extend(protocol::line(&notice));
        }
    }
    if let Some((count, reason)) = now.halted
        && told.halted.is_none_or(|(before, _)| before != count)
    {
        lines.extend(protocol::line(&Notice::Halted { reason }));
    }
    if let Some(error) = &now.ended {
        lines.extend(protocol::line(&Notice::Ended { error: error.clone() }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(lines: &[u8]) -> Vec<String> {
        let kind = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned();
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(kind).collect()
    }

    #[test]
    fn only_the_difference_is_told_and_the_journal_before_what_it_led_to() {
        let nothing = Published::default();
        let step: StepRef = "a/b".parse().unwrap();
        let mut now = Published { bytes: 10, halted: Some((1, StopReason::Failed)), ..Published::default() };
        now.progress.insert(step.clone(), (4, 1, Progress::default()));
        assert_eq!(kinds(&news(&nothing, &now)), ["grown", "progress", "halted"]);
        assert_eq!(kinds(&news(&now, &now)), [""; 0]);
        let mut later = now.clone();
        later.progress.insert(step, (5, 1, Progress::default()));
        later.halted = Some((2, StopReason::Failed));
        assert_eq!(kinds(&news(&now, &later)), ["progress", "halted"], "a second halt for the same reason is news");
        later.ended = Some(None);
        assert_eq!(kinds(&news(&now, &later)), ["progress", "halted", "ended"]);
    }

    #[test]
    fn a_halt_is_not_told_behind_what_ended_it() {
        let halt = Some((1, StopReason::Idle));
        let (publish, mut published) = watch::channel(Published { bytes: 10, halted: halt, halted_at: 10, ..Published::default() });
        // A decision is in the journal, and the driver has not said yet what follows from it.
        publish.send_modify(|published| published.bytes = 20);
        let nothing = Published::default();
        let now = seen(&mut published, &nothing);
        assert_eq!(kinds(&news(&nothing, &now)), ["grown"]);
        // Nothing followed from it.
        publish.send_modify(|published| published.halted_at = 20);
        let later = seen(&mut published, &now);
        assert_eq!(kinds(&news(&now, &later)), ["halted"]);
        publish.send_modify(|published| published.bytes = 30);
        assert_eq!(kinds(&news(&later, &seen(&mut published, &later))), ["grown"], "it was told once");
    }

    #[test]
    fn the_owner_and_root_may_talk_and_nobody_else() {
        assert!(may(1000, 1000) && may(0, 1000) && may(0, 0));
        assert!(!may(1001, 1000) && !may(1000, 0));
    }
}
