//! A terminal of 120×40 with a program in it. Its output is read by a thread as fast as it comes; each piece carries its time.

use std::io::{Read as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::give_up;

pub const COLUMNS: u16 = 120;
pub const ROWS: u16 = 40;
const PATIENCE: Duration = Duration::from_secs(120);

/// What ends a frame of ours: the end of a synchronized update.
const FRAME_ENDS: &[u8] = b"\x1b[?2026l";

pub struct Screen {
    parser: vt100::Parser,
    output: Receiver<(Instant, Vec<u8>)>,
    input: Box<dyn Write + Send>,
    _master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// When it was started.
    pub begun: Instant,
    /// When the last piece of output came.
    pub last: Instant,
    /// How many bytes came.
    pub bytes: u64,
    /// How many frames were complete.
    pub frames: u64,
    /// The last note for the operator (OSC 9).
    pub note: String,
    /// Whether the program asked the terminal something before it drew: that costs a round trip on a slow line.
    pub asked: bool,
}

impl Screen {
    /// Starts a program.
    pub fn start(program: &str, arguments: &[&str], variables: &[(String, String)]) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap_or_else(|error| give_up(&format!("no pseudo-terminal: {error}")));
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env_clear();
        for (name, value) in variables {
            command.env(name, value);
        }
        let mut reader = pair.master.try_clone_reader().expect("the terminal's output");
        let input = pair.master.take_writer().expect("the terminal's input");
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if send.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
        let begun = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap_or_else(|error| give_up(&format!("{program} does not start: {error}")));
        drop(pair.slave);
        let parser = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self {
            parser,
            output,
            input,
            _master: pair.master,
            child,
            begun,
            last: begun,
            bytes: 0,
            frames: 0,
            note: String::new(),
            asked: false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap_or(0)
    }

    pub fn send(&mut self, keys: &str) {
        self.input
            .write_all(keys.as_bytes())
            .and_then(|()| self.input.flush())
            .unwrap_or_else(|error| give_up(&format!("no keys taken: {error}")));
    }

    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Waits until the screen, at the end of a piece of output, is as expected. Gives when that piece came.
    pub fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> Instant {
        self.until_or(what, holds, |_| {})
    }

    /// The same, with something to do now and then while waiting.
    pub fn until_or(&mut self, what: &str, holds: impl Fn(&str) -> bool, mut meanwhile: impl FnMut(&Self)) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.bytes + 1;
        loop {
            if seen != self.bytes {
                seen = self.bytes;
                if holds(&self.text()) {
                    return self.last;
                }
            }
            meanwhile(self);
            match self.output.recv_timeout(Duration::from_millis(20)) {
                Ok(piece) => self.take_in(piece),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => give_up(&format!("waited in vain for {what}; the last screen:\n{}", self.text())),
            }
        }
    }

    /// Waits until a text is somewhere in the output; the screen is not kept. For programs that write more than a screen can follow.
    pub fn until_written(&mut self, text: &str) -> Instant {
        let finder = memchr::memmem::Finder::new(text);
        let mut end: Vec<u8> = Vec::new();
        loop {
            let Ok((at, bytes)) = self.output.recv_timeout(PATIENCE) else { give_up(&format!("waited in vain for {text:?}")) };
            self.last = at;
            self.bytes += bytes.len() as u64;
            end.extend_from_slice(&bytes);
            if finder.find(&end).is_some() {
                return at;
            }
            end.drain(..end.len().saturating_sub(text.len()));
        }
    }

    /// Waits until the program has ended.
    pub fn wait(&mut self) -> u32 {
        while let Ok(piece) = self.output.recv_timeout(PATIENCE) {
            self.take_in(piece);
        }
        self.child.wait().map_or(255, |status| status.exit_code())
    }

    /// Takes in what comes until a moment.
    pub fn pass(&mut self, until: Instant) {
        if let Ok(piece) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.take_in(piece);
        }
    }

    /// Waits until the program has ended; a question in between is answered.
    pub fn wait_or(&mut self, answer: &str) -> u32 {
        let mut answered = false;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(Duration::from_millis(300)) {
                Ok(piece) => self.take_in(piece),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().map_or(255, |status| status.exit_code()),
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => give_up("the program does not end"),
                Err(RecvTimeoutError::Timeout) if !answered => {
                    answered = true;
                    self.send(answer);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn take_in(&mut self, (at, bytes): (Instant, Vec<u8>)) {
        self.last = at;
        self.bytes += bytes.len() as u64;
        self.frames += memchr::memmem::find_iter(&bytes, FRAME_ENDS).count() as u64;
        self.parser.process(&bytes);
        if let Some(start) = memchr::memmem::find(&bytes, b"\x1b]9;") {
            let text = &bytes[start + 4..];
            self.note = String::from_utf8_lossy(&text[..memchr::memchr(7, text).unwrap_or(text.len())]).into_owned();
        }
        if memchr::memmem::find(&bytes, b"\x1b[6n").is_some() {
            self.asked = true;
            let (row, column) = self.parser.screen().cursor_position();
            let _ = write!(self.input, "\x1b[{};{}R", row + 1, column + 1).and_then(|()| self.input.flush());
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
