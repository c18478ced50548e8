//! A terminal of 80×24 or any other size with a program in it: keys go in, screens come out. It never sleeps: it waits for
//! the program's output, up to a deadline.

use std::io::{Read as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

use crate::support::Place;

/// How long a screen may take to show what is expected; generous, for machines under load.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Terminal {
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// Everything the program has written, for what a screen does not keep.
    pub raw: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal of its own.
    pub fn start(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let child = pair.slave.spawn_command(command).expect("the program in its terminal");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("its output");
        let input = pair.master.take_writer().expect("its input");
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            // On Linux the end of the last process in it shows as an error.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { screen: vt100::Parser::new(rows, columns, 0), output, input, master: pair.master, child, raw: Vec::new() }
    }

    /// A program with a place's environment.
    pub fn command(place: &Place, program: &str, arguments: &[&str]) -> CommandBuilder {
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env_clear();
        for (name, value) in place.variables() {
            command.env(name, value);
        }
        command.cwd(place.home());
        command
    }

    /// Types. Names in angle brackets are keys: `<enter> <esc> <tab> <backtab> <up> <down> <left> <right> <home> <end>
    /// <pageup> <pagedown> <backspace> <delete> <space> <f1> <lt>`, and `<c-x>` is control with x.
    pub fn send(&mut self, keys: &str) {
        let bytes = encode(keys);
        self.input.write_all(&bytes).expect("keys for the program");
        self.input.flush().expect("keys for the program");
    }

    /// What the terminal shows now, line by line, as far as output has been read.
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// The whole state of the terminal: colours, cursor, alternate screen.
    pub fn state(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// Waits until the screen is as expected; fails with the last screen. `what` names it in that message.
    #[track_caller]
    pub fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        self.until_within(PATIENCE, what, holds)
    }

    /// The same with a patience of one's own.
    #[track_caller]
    pub fn until_within(&mut self, patience: Duration, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take_in(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("waited {patience:?} for {what}; the last screen:\n{screen}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended while waiting for {what}; the last screen:\n{screen}"),
            }
        }
    }

    /// Waits until a text is somewhere on the screen.
    #[track_caller]
    pub fn until_shows(&mut self, text: &str) -> String {
        self.until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Changes the size; the program gets SIGWINCH.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.screen_mut().set_size(rows, columns);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("another size");
    }

    /// The number of the program's process.
    pub fn process_id(&self) -> Option<u32> {
        self.child.process_id()
    }

    /// Waits until the program has ended and everything it wrote is read.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take_in(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("its exit status"),
                Err(RecvTimeoutError::Timeout) => panic!("the program did not end; the last screen:\n{}", self.screen()),
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.raw.extend_from_slice(bytes);
        // A program may ask where the cursor is, and what the terminal is; real ones answer.
        if contains(bytes, b"\x1b[6n") {
            let (row, column) = self.screen.screen().cursor_position();
            let _ = write!(self.input, "\x1b[{};{}R", row + 1, column + 1);
        }
        if contains(bytes, b"\x1b[c") {
            let _ = self.input.write_all(b"\x1b[?62;22c");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its children get SIGHUP when the terminal goes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn encode(keys: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = keys;
    while let Some(character) = rest.chars().next() {
        if let Some((name, after)) = rest.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
            bytes.extend_from_slice(&key(name));
            rest = after;
        } else {
            bytes.extend_from_slice(character.to_string().as_bytes());
            rest = &rest[character.len_utf8()..];
        }
    }
    bytes
}

fn key(name: &str) -> Vec<u8> {
    let text = match name {
        "enter" => "\r",
        "esc" => "\x1b",
        "tab" => "\t",
        "backtab" => "\x1b[Z",
        "up" => "\x1b[A",
        "down" => "\x1b[B",
        "right" => "\x1b[C",
        "left" => "\x1b[D",
        "home" => "\x1b[H",
        "end" => "\x1b[F",
        "pageup" => "\x1b[5~",
        "pagedown" => "\x1b[6~",
        "delete" => "\x1b[3~",
        "backspace" => "\x7f",
        "space" => " ",
        "f1" => "\x1bOP",
        "lt" => "<",
        _ => {
            let letter = name.strip_prefix("c-").and_then(|rest| rest.bytes().next());
            return vec![letter.unwrap_or_else(|| panic!("no key is called {name}")) & 0x1f];
        }
    };
    text.as_bytes().to_vec()
}
