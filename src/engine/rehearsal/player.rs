//! Replays a transcript: a file of JSON lines, each a pause and what is printed after it, and at the end an exit code.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The hidden verb that replays a transcript.
pub const VERB: &str = "__play";

/// The longest pause of a replay, whatever its speed.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// One line of a transcript.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Pause before it, milliseconds at speed 1.
    #[serde(default)]
    pub after_ms: u64,
    /// What is printed on stdout, without newline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// The exit code; ends the replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The command is run for real instead; only as the first line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub real: bool,
}

/// Replays a transcript `speed` times as fast as it was and gives its exit code.
///
/// # Errors
/// The transcript cannot be read, or the output is gone.
pub fn play(path: &Path, speed: f64, out: &mut dyn Write) -> io::Result<i32> {
    let reader = io::BufReader::new(std::fs::File::open(path)?);
    for line in reader.lines() {
        let line: Line = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let pause = Duration::from_millis(line.after_ms).div_f64(speed.max(0.001)).min(MAX_PAUSE);
        if pause > Duration::from_millis(1) {
            out.flush()?;
            std::thread::sleep(pause);
        }
        if let Some(text) = line.out {
            out.write_all(text.as_bytes())?;
            out.write_all(b"\n")?;
        }
        if let Some(exit) = line.exit {
            out.flush()?;
            return Ok(exit);
        }
    }
    out.flush()?;
    Ok(0)
}
