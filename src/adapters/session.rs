//! One SSH session for several conversations at the same time: a script's facts, and beside them listeners that wait for orders.
//!
//! Each session has a thread of its own that owns it; who asks talks to the thread. The session lives as long as somebody holds it.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, ErrorCode, Session};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ssh::{Canceller, Limits, Login, Output, open};
use crate::install::facts::{LoginFailure, LoginFailureKind};
use crate::install::jump::Jump;

/// Logins at the same time: each costs processor time for its keys.
const LOGINS_AT_ONCE: usize = 16;

/// What libssh2 answers where it would have to wait.
const AGAIN: ErrorCode = ErrorCode::Session(-37);

/// Where and how to log in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The private key file.
    pub key: PathBuf,
    /// The site's known hosts.
    pub known_hosts: PathBuf,
    /// The jump host that leads there.
    pub jump: Option<Jump>,
}

impl Place {
    fn login(&self) -> Login<'_> {
        Login {
            address: self.address,
            port: self.port,
            user: &self.user,
            key: &self.key,
            known_hosts: &self.known_hosts,
            jump: self.jump.as_ref(),
        }
    }
}

/// Sessions in use, so that two questions to one machine share a login.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Place, Weak<Shared>>>,
    gate: Arc<Gate>,
}

impl Sessions {
    /// The session with a machine: the one in use, or a new one.
    pub fn get(&self, place: &Place, limits: &Limits) -> Arc<Shared> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.strong_count() > 0);
        if let Some(session) = open.get(place).and_then(Weak::upgrade) {
            return session;
        }
        let session = Arc::new(Shared::start(place.clone(), *limits, Arc::clone(&self.gate)));
        open.insert(place.clone(), Arc::downgrade(&session));
        session
    }
}

/// Lets a few through at a time.
#[derive(Debug, Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn enter(&self) -> Inside<'_> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inside = self.left.wait_while(inside, |inside| *inside >= LOGINS_AT_ONCE).unwrap_or_else(PoisonError::into_inner);
        *inside += 1;
        Inside(self)
    }
}

struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

/// A session that others may use too. Dropping the last holder closes it.
#[derive(Debug)]
pub struct Shared {
    orders: Sender<Order>,
    wake: Option<UnixStream>,
    canceller: Canceller,
}

enum Order {
    Start { number: usize, command: String, input: Vec<u8>, last: bool, limit: usize, events: UnboundedSender<Event> },
    Write { number: usize, bytes: Vec<u8> },
}

/// What a conversation gives.
#[derive(Debug)]
pub enum Event {
    /// The command was sent.
    Sent(SystemTime),
    /// It printed something, this long after it was sent.
    Bytes(Vec<u8>, Duration),
    /// It is over: its exit code where it ended by itself, or why it was cut off.
    Ended(Result<Ending, LoginFailure>),
}

/// How a command ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Its exit code.
    pub exit: Option<i32>,
    /// Whether it printed more than was to be read.
    pub flooded: bool,
}

/// A command that is talked with.
#[derive(Debug)]
pub struct Dialogue {
    session: Arc<Shared>,
    number: usize,
    events: UnboundedReceiver<Event>,
}

impl Dialogue {
    /// What comes next; none once it is over.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// What is there already, without waiting.
    pub fn at_once(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Sends it something.
    pub fn write(&self, bytes: Vec<u8>) {
        self.session.order(Order::Write { number: self.number, bytes });
    }
}

impl Shared {
    fn start(place: Place, limits: Limits, gate: Arc<Gate>) -> Self {
        let (orders, receiver) = channel();
        let canceller = Canceller::default();
        // Without a pair of sockets the thread merely looks for orders by the clock.
        let (wake, woken) = UnixStream::pair().map_or((None, None), |(wake, woken)| (Some(wake), Some(woken)));
        for end in wake.iter().chain(&woken) {
            let _ = end.set_nonblocking(true);
        }
        let cancel = canceller.clone();
        std::thread::spawn(move || serve(&place, &limits, &cancel, &gate, &receiver, woken.as_ref()));
        Self { orders, wake, canceller }
    }

    fn wake(&self) {
        if let Some(mut wake) = self.wake.as_ref() {
            let _ = wake.write(&[1]);
        }
    }

    fn order(&self, order: Order) {
        // A thread that is gone has told everybody why.
        if self.orders.send(order).is_ok() {
            self.wake();
        }
    }

    /// Starts a command, and keeps its stdin open.
    #[must_use]
    pub fn dialogue(self: &Arc<Self>, command: &str, input: Vec<u8>, limit: usize) -> Dialogue {
        self.begin(command, input, limit, false)
    }

    fn begin(self: &Arc<Self>, command: &str, input: Vec<u8>, limit: usize, last: bool) -> Dialogue {
        static NUMBERS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (sender, events) = unbounded_channel();
        self.order(Order::Start { number, command: command.to_owned(), input, last, limit, events: sender });
        Dialogue { session: Arc::clone(self), number, events }
    }

    /// Runs one command to its end, with `input` on its stdin.
    ///
    /// # Errors
    /// Whatever kept it from being started, told apart by cause. One that was cut off gives what it had printed by then.
    pub async fn run(self: &Arc<Self>, command: &str, input: Vec<u8>, limit: usize) -> Result<Output, LoginFailure> {
        let mut dialogue = self.begin(command, input, limit, true);
        let mut sent = None;
        let mut output =
            Output { bytes: Vec::new(), flooded: false, cut_off: None, exit: None, arrivals: Vec::new(), sent: SystemTime::UNIX_EPOCH };
        while let Some(event) = dialogue.next().await {
            match event {
                Event::Sent(time) => (sent, output.sent) = (Some(time), time),
                Event::Bytes(bytes, after) => {
                    output.bytes.extend_from_slice(&bytes);
                    output.arrivals.push((output.bytes.len(), after));
                }
                Event::Ended(Ok(ending)) => {
                    (output.exit, output.flooded) = (ending.exit, ending.flooded);
                    return Ok(output);
                }
                Event::Ended(Err(failure)) if sent.is_none() => return Err(failure),
                Event::Ended(Err(failure)) => {
                    output.cut_off = Some(failure);
                    return Ok(output);
                }
            }
        }
        Err(LoginFailure { kind: LoginFailureKind::Probe, detail: "the session ended before the command did".to_owned() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.canceller.cancel();
        self.wake();
    }
}

/// Where a conversation stands.
enum Stage {
    Opening,
    Starting(Channel),
    Talking(Channel),
    Over,
}

struct Talk {
    number: usize,
    command: String,
    input: Vec<u8>,
    last: bool,
    /// Whether the end of the input was sent.
    closed: bool,
    room: usize,
    events: UnboundedSender<Event>,
    stage: Stage,
    sent: Option<Instant>,
    /// A channel is kept until the session ends: freeing one may have to wait.
    done: Option<Channel>,
}

impl Talk {
    fn end(&mut self, result: Result<Ending, LoginFailure>) {
        // Who does not listen any more need not be told.
        let _ = self.events.send(Event::Ended(result));
        if let Stage::Starting(channel) | Stage::Talking(channel) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.done = Some(channel);
        }
    }
}

fn serve(place: &Place, limits: &Limits, canceller: &Canceller, gate: &Gate, orders: &Receiver<Order>, woken: Option<&UnixStream>) {
    let end = Instant::now() + limits.total;
    let opened = {
        let _inside = gate.enter();
        open(&place.login(), limits, canceller)
    };
    let (session, stream, _tunnel) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            while let Ok(order) = orders.recv() {
                if let Order::Start { events, .. } = order {
                    let _ = events.send(Event::Ended(Err(failure.clone())));
                }
            }
            return;
        }
    };
    let mut thread = Thread { place, limits, session, talks: Vec::new(), end };
    thread.session.set_blocking(false);
    loop {
        loop {
            match orders.try_recv() {
                Ok(order) => thread.take(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        while thread.advance() {}
        thread.wait(&stream, woken);
    }
}

struct Thread<'a> {
    place: &'a Place,
    limits: &'a Limits,
    session: Session,
    talks: Vec<Talk>,
    end: Instant,
}

impl Thread<'_> {
    fn take(&mut self, order: Order) {
        match order {
            Order::Start { number, command, input, last, limit, events } => {
                let stage = Stage::Opening;
                self.talks.push(Talk { number, command, input, last, closed: false, room: limit, events, stage, sent: None, done: None });
            }
            Order::Write { number, bytes } => {
                if let Some(talk) = self.talks.iter_mut().find(|talk| talk.number == number) {
                    talk.input.extend_from_slice(&bytes);
                }
            }
        }
    }

    /// Takes every conversation as far as it goes without waiting; whether it is worth trying again at once.
    fn advance(&mut self) -> bool {
        let mut moved = false;
        let mut opening = false;
        let late = Instant::now() >= self.end;
        for talk in &mut self.talks {
            // libssh2 opens one channel at a time.
            let begins = matches!(talk.stage, Stage::Opening | Stage::Starting(_));
            if begins && opening {
                continue;
            }
            match step(&self.session, talk) {
                Ok(went_on) => moved |= went_on,
                Err(error) => {
                    let failure = explain(self.place, self.limits, &error, late);
                    talk.end(Err(failure));
                }
            }
            opening |= matches!(talk.stage, Stage::Opening | Stage::Starting(_));
            if late && !matches!(talk.stage, Stage::Over) {
                talk.end(Err(explain(self.place, self.limits, "", true)));
            }
        }
        moved
    }

    /// Waits for the machine, for an order, or for a quarter of a second.
    fn wait(&self, stream: &TcpStream, woken: Option<&UnixStream>) {
        let mut wanted = PollFlags::IN;
        let writes = matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
        if writes {
            wanted |= PollFlags::OUT;
        }
        let nanos = if woken.is_some() { 250_000_000 } else { 20_000_000 };
        let mut places = vec![PollFd::new(stream, wanted)];
        places.extend(woken.map(|woken| PollFd::new(woken, PollFlags::IN)));
        // Whatever it says, every conversation is looked at again.
        let _ = poll(&mut places, Some(&Timespec { tv_sec: 0, tv_nsec: nanos }));
        if let Some(mut woken) = woken {
            let _ = woken.read(&mut [0_u8; 64]);
        }
    }
}

fn explain(place: &Place, limits: &Limits, error: &str, late: bool) -> LoginFailure {
    let shown = format!("{}@{}", place.user, place.address);
    let (kind, detail) = if late {
        (LoginFailureKind::Timeout, format!("{shown}: the probe did not end within {} s and was cut off", limits.total.as_secs()))
    } else {
        (LoginFailureKind::Probe, format!("{shown}: the connection broke while the probe ran: {error}"))
    };
    LoginFailure { kind, detail }
}

/// None where libssh2 would have to wait.
fn now<T>(result: Result<T, ssh2::Error>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == AGAIN => Ok(None),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// The same for reading and writing.
fn count(result: std::io::Result<usize>) -> Result<Option<usize>, String> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn step(session: &Session, talk: &mut Talk) -> Result<bool, String> {
    match &mut talk.stage {
        Stage::Over => Ok(false),
        Stage::Opening => {
            let Some(channel) = now(session.channel_session())? else { return Ok(false) };
            talk.stage = Stage::Starting(channel);
            Ok(true)
        }
        Stage::Starting(channel) => {
            // stderr is dropped: were it kept, a flood there would stop stdout; were it merged, a warning of the login shell could
            // land in the middle of an answer.
            if now(channel.handle_extended_data(ssh2::ExtendedData::Ignore))?.is_none() {
                return Ok(false);
            }
            if talk.sent.is_none() {
                talk.sent = Some(Instant::now());
                let _ = talk.events.send(Event::Sent(SystemTime::now()));
            }
            if now(channel.exec(&talk.command))?.is_none() {
                return Ok(false);
            }
            if let Stage::Starting(channel) = std::mem::replace(&mut talk.stage, Stage::Over) {
                talk.stage = Stage::Talking(channel);
            }
            Ok(true)
        }
        Stage::Talking(channel) => {
            let mut moved = false;
            if !talk.input.is_empty() {
                match count(channel.write(&talk.input)) {
                    Ok(Some(written)) => {
                        talk.input.drain(..written);
                        moved = true;
                    }
                    Ok(None) => {}
                    // A command that does not read its input is no error by itself: what it printed says more.
                    Err(_) => talk.input.clear(),
                }
            }
            if talk.last && !talk.closed && talk.input.is_empty() {
                talk.closed = now(channel.send_eof()).map_or(true, |sent| sent.is_some());
            }
            let mut buffer = [0_u8; 16 * 1024];
            let Some(length) = count(channel.read(&mut buffer))? else { return Ok(moved) };
            if length == 0 {
                if !channel.eof() {
                    return Ok(moved);
                }
                // The code comes before the close, and the end of the output may come before either.
                if now(channel.wait_close()).is_ok_and(|closed| closed.is_none()) {
                    return Ok(moved);
                }
                let exit = channel.exit_status().ok();
                talk.end(Ok(Ending { exit, flooded: false }));
                return Ok(true);
            }
            let kept = length.min(talk.room);
            talk.room -= kept;
            let after = talk.sent.map(|sent| sent.elapsed()).unwrap_or_default();
            let _ = talk.events.send(Event::Bytes(buffer[..kept].to_vec(), after));
            if kept < length {
                talk.end(Ok(Ending { exit: None, flooded: true }));
            }
            Ok(true)
        }
    }
}
