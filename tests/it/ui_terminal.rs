//! The terminal is given back after an error and after a panic, and a whole session works on a real pty.

use std::io::Read;

use mosip_setup::ui::desk::{Command, Desk, Overview, PageRequest, Reply, ShellRequest, Told};
use mosip_setup::ui::shell::{UiOptions, run};
use mosip_setup::ui::terminal::Terminal;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const CASE: &str = "MOSIP_SETUP_TEST_TERMINAL";
/// The end of a synchronized update.
const FRAME_ENDS: &[u8] = b"\x1b[?2026l";

/// Runs one case of [`in_a_terminal`] in a pty of its own; the bytes it wrote.
fn case(name: &str, keys: &str) -> (String, vt100::Parser) {
    let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ui_terminal::in_a_terminal", "--nocapture", "--test-threads=1"]);
    command.env(CASE, name);
    command.env("TERM", "xterm-256color");
    command.env("RUST_BACKTRACE", "0");
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().unwrap();
    let mut writer = pty.master.take_writer().unwrap();
    // A key is typed when a frame is whole: what it is meant for is on the screen then.
    let mut keys = keys.chars();
    let mut frames = 0;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count) = reader.read(&mut chunk) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..count]);
        let whole = bytes.windows(FRAME_ENDS.len()).filter(|window| *window == FRAME_ENDS).count();
        if whole > frames
            && let Some(key) = keys.next()
        {
            frames = whole;
            std::io::Write::write_all(&mut writer, key.to_string().as_bytes()).unwrap();
        }
    }
    child.wait().unwrap();
    let mut parser = vt100::Parser::new(24, 80, 0);
    parser.process(&bytes);
    (String::from_utf8_lossy(&bytes).into_owned(), parser)
}

struct FakeDesk;

impl Desk for FakeDesk {
    fn begin(&mut self, command: Command, reply: &Reply) {
        if matches!(command, Command::LoadOverview) {
            reply.tell(Told::Overview(Ok(Overview::default())));
        }
    }

    fn shell(&mut self, _: &ShellRequest) -> std::io::Result<()> {
        Ok(())
    }

    fn page(&mut self, _: &PageRequest) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does nothing by itself; in a pty it is one of the cases.
#[test]
fn in_a_terminal() {
    match std::env::var(CASE).as_deref() {
        Ok("panic") => {
            let _terminal = Terminal::take().unwrap();
            panic!("on purpose");
        }
        Ok("error") => {
            fn fails() -> std::io::Result<()> {
                let _terminal = Terminal::take()?;
                Err(std::io::Error::other("on purpose"))
            }
            assert!(fails().is_err());
            println!("after the error");
        }
        Ok("session") => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let exited = runtime.block_on(run(Box::new(FakeDesk), UiOptions { rehearsal: true, ..UiOptions::default() })).unwrap();
            println!("left: {exited:?}");
        }
        _ => {}
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_seen() {
    let (raw, screen) = case("panic", "");
    assert!(raw.contains("\u{1b}[?1049h") && raw.contains("\u{1b}[?1049l"));
    assert!(!screen.screen().alternate_screen() && !screen.screen().bracketed_paste() && !screen.screen().hide_cursor());
    assert!(screen.screen().contents().contains("on purpose"), "{}", screen.screen().contents());
}

#[test]
fn an_error_gives_the_terminal_back() {
    let (raw, screen) = case("error", "");
    assert_eq!(raw.matches("\u{1b}[?1049l").count(), 1);
    assert!(!screen.screen().alternate_screen() && screen.screen().contents().contains("after the error"));
}

#[test]
fn a_session_on_a_real_terminal() {
    let (raw, screen) = case("session", "?qq");
    let mut before = vt100::Parser::new(24, 80, 0);
    let cut = raw.find("\u{1b}[?1049l").unwrap();
    before.process(&raw.as_bytes()[..cut]);
    assert!(before.screen().contents().contains("REHEARSAL"), "{}", before.screen().contents());
    assert!(raw.contains("Everywhere"), "the help was open in between");
    assert!(raw.contains("\u{1b}[?2026h"), "frames are synchronised");
    assert!(screen.screen().contents().contains("left: Exited"), "{}", screen.screen().contents());
}
