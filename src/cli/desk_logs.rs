//! The desk's work on logs: windows, searches, filters, copies, the pager. Each in a task of its own; a search can be called off.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::adapters::logs::copy::{Copying, Form};
use crate::adapters::logs::scan::{Matches, find_backward, find_forward};
use crate::adapters::logs::times::Times;
use crate::ui::desk::{LogIndex, LogRequest, LogSave, LogSearch, LogWindow, PageRequest, Reply, Told, Trouble};
use crate::ui::log_source::{LogFrom, read_wanted, read_window};

/// How often a search says how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Searches of one kind, of which the last one alone goes on.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<AtomicU64>);

/// A search that goes on while no other of its kind has begun.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    number: u64,
}

impl Turns {
    /// Begins one, and calls off the one before.
    #[must_use]
    pub fn begin(&self) -> Turn {
        Turn { turns: self.clone(), number: self.0.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Turn {
    fn goes_on(&self) -> bool {
        self.turns.0.load(Ordering::Relaxed) == self.number
    }
}

/// Tells now and then.
struct Pace(Instant);

impl Pace {
    fn due(&mut self) -> bool {
        let due = self.0.elapsed() >= TELL_EVERY;
        if due {
            self.0 = Instant::now();
        }
        due
    }
}

fn trouble(path: &Path, error: &io::Error) -> Trouble {
    Trouble::new(format!("{}: {error}", path.display()))
}

/// Reads a window.
pub fn read(request: &LogRequest, told: &Reply) {
    let window = match File::open(&request.path) {
        Ok(mut file) => {
            let window = match &request.filter {
                Some((wanted, known)) => read_wanted(&mut file, wanted, known, request.from, request.lines),
                None => read_window(&mut file, request.from, request.lines),
            };
            window.map_err(|error| trouble(&request.path, &error))
        }
        // A step that has just begun has no log yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LogWindow::default()),
        Err(error) => Err(trouble(&request.path, &error)),
    };
    let window = window.map(|mut window| {
        if request.times {
            window.tell_times(Times::of(&request.path).as_ref());
        }
        window
    });
    told.tell(Told::Log { ticket: request.ticket, window });
}

/// Looks for a line; one that is called off says nothing more.
pub fn search(search: &LogSearch, turn: &Turn, told: &Reply) {
    let mut pace = Pace(Instant::now());
    let mut onward = |at| {
        if pace.due() {
            told.tell(Told::LogSearching { ticket: search.ticket, at });
        }
        turn.goes_on()
    };
    let found = File::open(&search.path).and_then(|mut file| {
        if !search.forward {
            return find_backward(&mut file, &search.wanted, search.from, &mut onward);
        }
        let from = match search.behind {
            true => read_window(&mut file, LogFrom::Line { offset: search.from, back: 0 }, 1)?.end_offset,
            false => read_window(&mut file, LogFrom::Line { offset: search.from, back: 0 }, 0)?.first_offset,
        };
        find_forward(&mut file, &search.wanted, from, &mut onward)
    });
    let found = match found {
        Ok(Err(_)) => return,
        Ok(Ok(found)) => Ok(found),
        Err(error) => Err(trouble(&search.path, &error)),
    };
    told.tell(Told::LogFound { ticket: search.ticket, found });
}

/// Finds all lines that are wanted; says on the way what is known so far.
pub fn index(index: LogIndex, turn: &Turn, told: &Reply) {
    let LogIndex { path, wanted, known, purpose, ticket } = index;
    let mut known = Matches::clone(&known);
    let mut pace = Pace(Instant::now());
    let extended = File::open(&path).and_then(|mut file| {
        known.extend(&mut file, &wanted, &mut |so_far| {
            if pace.due() {
                told.tell(Told::LogIndexed { ticket, purpose, known: Arc::new(so_far.clone()), ended: None });
            }
            turn.goes_on()
        })
    });
    let ended = match extended {
        Ok(Err(_)) => return,
        Ok(Ok(())) => Ok(()),
        Err(error) => Err(trouble(&path, &error)),
    };
    told.tell(Told::LogIndexed { ticket, purpose, known: Arc::new(known), ended: Some(ended) });
}

/// Copies a log; where to, and how many lines.
pub fn save(save: &LogSave) -> Result<(PathBuf, u64), Trouble> {
    let times = save.times.then(|| Times::of(&save.from)).flatten();
    let copying = Copying { wanted: save.wanted.as_ref(), times: times.as_ref(), form: Form::Plain };
    let mut file = File::open(&save.from).map_err(|error| trouble(&save.from, &error))?;
    let lines = copying.to_file(&mut file, &save.to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Trouble::new(format!("{} is there already: choose another name", save.to.display())),
        _ => trouble(&save.to, &error),
    })?;
    Ok((save.to.clone(), lines))
}

/// Opens a log in `$PAGER`, else in less, else in more, and waits until it is left.
///
/// # Errors
/// There is none, or it cannot be started.
pub fn page(request: &PageRequest) -> io::Result<()> {
    let own = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let pager = match own {
        Some(pager) => pager,
        None => ["less", "more"]
            .into_iter()
            .find(|pager| which::which(pager).is_ok())
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other("neither less nor more is installed, and PAGER is not set"))?,
    };
    let mut arguments = Vec::new();
    if pager.split_whitespace().next().and_then(|program| program.rsplit('/').next()) == Some("less") {
        // Colours as they are, everything else visible; at the line that is shown.
        arguments.extend(["-R".to_owned(), format!("+{}P", request.offset)]);
    }
    // PAGER is a command with its options, as other programs take it.
    let status = Process::new("sh").arg("-c").arg(format!("{pager} \"$@\"")).arg("pager").args(arguments).arg(&request.path).status()?;
    match status.code() {
        Some(126 | 127) => Err(io::Error::other(format!("'{pager}' cannot be started: see PAGER"))),
        _ => Ok(()),
    }
}
