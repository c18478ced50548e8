//! The shell around the model: terminal, keys, engine and desk in; frames and effects out.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind};
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use futures_util::StreamExt;
use jiff::Timestamp;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::app::{self, Model, Msg};
use super::desk::{Command, Desk, Reply, Told};
use super::summary;
use super::terminal::Terminal;
use super::theme::Look;
use crate::engine::client::{Client, Update};

/// At most thirty frames a second.
const FRAME: Duration = Duration::from_millis(33);
/// Messages handled between two looks at the clock: a flood must not keep a frame from being drawn.
const BATCH: usize = 512;
/// Answers that the desk may give before a frame is drawn without waiting for more.
const ANSWERS: usize = 8;
/// And for so long: answers that lead to the next request would otherwise hold up a key's frame.
const FOR_ANSWERS: Duration = Duration::from_millis(8);

/// How the screen is to be.
#[derive(Debug, Clone, Default)]
pub struct UiOptions {
    /// Whether this is a rehearsal.
    pub rehearsal: bool,
    /// A site file to open at once.
    pub site: Option<PathBuf>,
    /// Whether the site's open run is taken up at once.
    pub open_run: bool,
    /// What the terminal can show, as [`Look::detect`] reads it from the environment.
    pub look: Look,
}

/// How it was left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exited {
    /// What stays in the scrollback; printed by the caller.
    pub text: String,
    /// One word for the run, as `status --json` has it; none: there was no run.
    pub run: Option<&'static str>,
}

/// Shows the screens until the operator leaves.
///
/// # Errors
/// The terminal cannot be used. It is restored in every case.
pub async fn run(mut desk: Box<dyn Desk>, options: UiOptions) -> color_eyre::Result<Exited> {
    let size = crossterm::terminal::size()?;
    let guard = Terminal::take()?;
    let mut screen = fresh()?;
    let (reply, mut told) = Reply::channel();
    let mut keys = EventStream::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut client: Option<Client> = None;
    let mut model = Model::new(size, options.look, options.rehearsal, Timestamp::now());
    let mut commands = model.begin(options.site.as_deref(), options.open_run);
    let mut drawn: Option<Instant> = None;
    let mut gone = false;
    let mut ticked = Instant::now();
    let mut answered = 0;
    let mut first_answer: Option<Instant> = None;
    loop {
        for command in commands.drain(..) {
            match command {
                Command::Engine(command) => {
                    if let Some(client) = &client {
                        let _ = client.send(*command);
                    }
                }
                Command::Copy(_) | Command::Notify(_) if gone => {}
                Command::Copy(text) => write_out(&copy_sequence(&text))?,
                Command::Notify(text) => write_out(&notify_sequence(&text))?,
                Command::Quit => model.leaving = true,
                Command::Shell(_) | Command::Page(_) => {
                    // The reader of keys would take what is meant for the other program.
                    drop(keys);
                    guard.suspend();
                    let outcome = tokio::task::block_in_place(|| lend(&mut *desk, &command));
                    // What woke up the reader of before is still there where that was at rest, and would hide a key that comes with it.
                    drop(crossterm::event::poll(Duration::ZERO));
                    guard.resume()?;
                    keys = EventStream::new();
                    // What was typed there to interrupt it was not meant for this program.
                    interrupt = signal(SignalKind::interrupt())?;
                    screen = fresh()?;
                    let (columns, rows) = crossterm::terminal::size()?;
                    let resized = app::update(&mut model, Msg::Resize(columns, rows));
                    drop(app::update(&mut model, Msg::TakenBack(outcome.err())));
                    for command in resized {
                        desk.begin(command, &reply);
                    }
                }
                other => {
                    // The engine of the run before holds the site as long as somebody listens to it.
                    if matches!(other, Command::OpenRun { new: true, .. }) {
                        client = None;
                    }
                    desk.begin(other, &reply);
                }
            }
        }
        if model.leaving {
            break;
        }
        // What the desk answers at once belongs to this frame: drawn without it, it would show a whole frame later.
        if answered < ANSWERS
            && first_answer.is_none_or(|first: Instant| first.elapsed() < FOR_ANSWERS)
            && let Ok(first) = told.try_recv()
        {
            answered += 1;
            first_answer.get_or_insert_with(Instant::now);
            commands = hear(&mut model, &mut client, first);
            continue;
        }
        answered = 0;
        first_answer = None;
        if model.dirty && !gone && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            model.dirty = false;
            drawn = Some(Instant::now());
            if draw(&mut screen, &model).is_err() {
                // As below: a terminal that takes nothing any more must not take the run with it.
                gone = true;
                commands = app::update(&mut model, Msg::Gone);
                continue;
            }
        }
        let until_tick = Duration::from_millis(model.tick_milliseconds()).saturating_sub(ticked.elapsed());
        let pause = if model.dirty && !gone {
            FRAME.saturating_sub(drawn.map_or(FRAME, |drawn| drawn.elapsed())).min(until_tick)
        } else {
            until_tick
        };
        tokio::select! {
            biased;
            event = keys.next(), if !gone => match event {
                Some(Ok(event)) => {
                    let message = translate(event);
                    if matches!(message, Some(Msg::Resize(..))) {
                        screen.autoresize()?;
                    }
                    commands = message.map(|message| app::update(&mut model, message)).unwrap_or_default();
                }
                // The terminal is gone: what runs goes on by itself, and nothing is drawn any more.
                Some(Err(_)) | None => {
                    gone = true;
                    commands = app::update(&mut model, Msg::Gone);
                }
            },
            _ = interrupt.recv() => commands = app::update(&mut model, Msg::Terminate),
            _ = terminate.recv() => commands = app::update(&mut model, Msg::Terminate),
            _ = hangup.recv(), if !gone => {
                gone = true;
                commands = app::update(&mut model, Msg::Gone);
            }
            Some(first) = told.recv() => {
                commands = hear(&mut model, &mut client, first);
                drain(&mut told, |message| commands.extend(hear(&mut model, &mut client, message)));
            }
            update = next_update(&mut client) => {
                match update {
                    Some(update) => {
                        commands = app::update(&mut model, Msg::Update(update));
                        // A long history comes in batches: not a frame for each of its events.
                        for _ in 0..BATCH {
                            let Some(update) = client.as_mut().and_then(Client::ready) else { break };
                            commands.extend(app::update(&mut model, Msg::Update(update)));
                        }
                    }
                    None => {
                        client = None;
                        commands = app::update(&mut model, Msg::Update(Update::Ended(Some("it is gone".into()))));
                    }
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
        if ticked.elapsed() >= Duration::from_millis(model.tick_milliseconds()) {
            ticked = Instant::now();
            commands.extend(app::update(&mut model, Msg::Tick(Timestamp::now())));
        }
    }
    drop(screen);
    drop(guard);
    let run = model.run.as_ref().and_then(|run| run.state.as_ref()).map(summary::word);
    Ok(Exited { text: summary::farewell(&model), run })
}

/// Lends the terminal to what was asked for; why that could not be started.
fn lend(desk: &mut dyn Desk, command: &Command) -> Result<(), String> {
    match command {
        Command::Shell(request) => desk.shell(request).map_err(|error| format!("No shell: {error}")),
        Command::Page(request) => desk.page(request).map_err(|error| format!("The log cannot be paged: {error}")),
        _ => Ok(()),
    }
}

type Screen = ratatui::Terminal<CrosstermBackend<io::Stdout>>;

/// An empty screen. Clearing it the usual way asks the terminal where its cursor is and fails where the answer is late: on a slow link.
fn fresh() -> io::Result<Screen> {
    let mut screen = ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let (columns, rows) = crossterm::terminal::size()?;
    screen.resize(Rect::new(0, 0, columns, rows))?;
    Ok(screen)
}

fn draw(screen: &mut Screen, model: &Model) -> io::Result<()> {
    queue!(io::stdout(), BeginSynchronizedUpdate)?;
    let outcome = screen.draw(|frame| app::view(model, frame)).map(|_| ());
    queue!(io::stdout(), EndSynchronizedUpdate)?;
    io::stdout().flush()?;
    outcome
}

async fn next_update(client: &mut Option<Client>) -> Option<Update> {
    match client {
        Some(client) => client.next().await,
        None => std::future::pending().await,
    }
}

fn drain(told: &mut mpsc::UnboundedReceiver<Told>, mut each: impl FnMut(Told)) {
    for _ in 0..BATCH {
        match told.try_recv() {
            Ok(message) => each(message),
            Err(_) => break,
        }
    }
}

/// The client of a run stays here; the model hears of it.
fn hear(model: &mut Model, client: &mut Option<Client>, told: Told) -> Vec<Command> {
    match told {
        Told::Attached(Ok(joined)) => {
            let folder = joined.run_dir().to_owned();
            *client = Some(joined);
            app::update(model, Msg::Joined(folder))
        }
        Told::Renewed(Ok(renewal)) => {
            if let Some(client) = client {
                let secrets = renewal.secrets.iter().map(|(field, value)| (field.clone(), value.expose_secret().to_owned()));
                let _ = client.renew(renewal.plan, secrets.collect());
            }
            Vec::new()
        }
        other => app::update(model, Msg::Told(other)),
    }
}

fn translate(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resize(columns, rows)),
        _ => None,
    }
}

fn write_out(sequence: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(sequence.as_bytes())?;
    out.flush()
}

/// OSC 52: the terminal's clipboard.
fn copy_sequence(text: &str) -> String {
    use base64::Engine as _;
    format!("\u{1b}]52;c;{}\u{7}", base64::engine::general_purpose::STANDARD.encode(text))
}

/// Bell, and OSC 9 with a text that cannot end the sequence early.
fn notify_sequence(text: &str) -> String {
    let clean: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    format!("\u{7}\u{1b}]9;mosip-setup: {clean}\u{7}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_cannot_be_broken_out_of() {
        assert_eq!(notify_sequence("a\u{1b}]b\u{7}c"), "\u{7}\u{1b}]9;mosip-setup: a]bc\u{7}");
        assert_eq!(copy_sequence("a"), "\u{1b}]52;c;YQ==\u{7}");
    }
}
