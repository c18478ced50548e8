//! What front ends and the engine say to each other: JSON objects, one a line, over a Unix socket.
//!
//! A front end says [`Request::Hello`] and is answered with [`Notice::Hello`] or [`Notice::Refused`]. From then on it may ask, and the
//! engine tells how far the journal has grown: the events themselves are read from the journal, and output from the logs, each by the
//! front end's own offset. So what waits for a slow front end is always one small notice, the newest.
//!
//! Additive: who meets an unknown kind passes over it, and unknown members are ignored. What cannot be so is a new version.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use crate::install::ids::StepRef;
use crate::install::plan::Plan;
use crate::run::event::{Progress, StopReason};
use crate::run::machine::Command;

/// The versions of the protocol that this program speaks: the oldest and the newest.
pub const SPOKEN: (u32, u32) = (1, 1);

/// The longest line that is taken in, bytes: a plan fits many times.
pub const LONGEST: u64 = 32 * 1024 * 1024;

/// What a front end says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// The first line.
    Hello {
        /// Oldest and newest version of the protocol that the front end speaks.
        versions: (u32, u32),
        /// The version of the program.
        tool: String,
        /// Whether it stays to watch; else it is told how things stand, and that is all.
        watch: bool,
    },
    /// A command of the operator.
    Command {
        /// Comes back with the answer.
        id: u64,
        /// The command.
        command: Command,
    },
    /// The plan and the secrets as the site file has them now; taken over unless a step is running.
    Renew {
        /// Comes back with the answer.
        id: u64,
        /// The plan.
        plan: Box<Plan>,
        /// Field → value.
        secrets: BTreeMap<String, String>,
    },
    /// Let go of the site, so that another engine can take it.
    HandOver {
        /// Comes back with the answer.
        id: u64,
        /// Also while something runs: it goes on, and the next engine takes it up.
        busy: bool,
    },
    /// The front end counts as gone; it only listens whether the engine ends now.
    Leave,
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// The answer to a hello.
    Hello {
        /// The version of the protocol that holds from now on.
        version: u32,
        /// The version of the program.
        tool: String,
        /// The engine's process.
        pid: u32,
        /// The run.
        run: String,
        /// Whether something is under way that ends by itself.
        working: bool,
        /// Whether somebody else watches.
        viewers: usize,
    },
    /// The engine does not talk to this front end, and why.
    Refused {
        /// One sentence.
        reason: String,
    },
    /// The journal is whole up to here.
    Grown {
        /// Its length, bytes.
        bytes: u64,
    },
    /// Where a running step stands; the latest only.
    Progress {
        /// The step.
        step: StepRef,
        /// Which attempt.
        attempt: u32,
        /// Where it stands.
        progress: Progress,
    },
    /// Nothing more can be done without the operator; what the journal says up to the last `grown` has led to it.
    Halted {
        /// Why.
        reason: StopReason,
    },
    /// A request was taken in, and what it led to is in the journal.
    Accepted {
        /// Which.
        id: u64,
    },
    /// A request cannot be followed.
    Rejected {
        /// Which.
        id: u64,
        /// Why.
        message: String,
    },
    /// The answer to `leave`.
    Left {
        /// Whether the engine stays; else it ends now.
        stays: bool,
    },
    /// The engine ends.
    Ended {
        /// Why, where it was not asked to.
        error: Option<String>,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// The version that two programs can talk in: the newest that both speak.
///
/// # Errors
/// There is none; the sentence says what to do.
pub fn negotiate(engine: (u32, u32), front_end: (u32, u32), tool: &str) -> Result<u32, String> {
    let newest = engine.1.min(front_end.1);
    if newest >= engine.0 && newest >= front_end.0 {
        return Ok(newest);
    }
    Err(format!(
        "the engine of this run is of version {tool} and speaks another protocol ({} to {}, this program {} to {}): watch with that version, or let this one \
         take over with 'mosip-setup run --take-over'; what runs goes on",
        engine.0, engine.1, front_end.0, front_end.1
    ))
}

/// A value as its line.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> Vec<u8> {
    // These types have no maps with other keys than texts: they always serialise.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> io::Result<Option<T>> {
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(line)?)),
        Some(_) if line.len() as u64 >= LONGEST => Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long")),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The next line; none at the end.
///
/// # Errors
/// The other side is gone in the middle of a line, or the line is too long or not of this protocol (`InvalidData`).
pub async fn next<T: DeserializeOwned>(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    reader.take(LONGEST).read_until(b'\n', &mut text).await?;
    parse(&text)
}

/// The same without a runtime.
///
/// # Errors
/// As [`next`].
pub fn next_blocking<T: DeserializeOwned>(reader: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    reader.take(LONGEST).read_until(b'\n', &mut text)?;
    parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_speak_holds() {
        assert_eq!(negotiate((1, 3), (2, 5), "1.0"), Ok(3));
        assert_eq!(negotiate((1, 1), (1, 9), "1.0"), Ok(1));
        for (engine, front_end) in [((1, 2), (3, 4)), ((3, 4), (1, 2))] {
            let refused = negotiate(engine, front_end, "0.7.1").unwrap_err();
            assert!(refused.contains("version 0.7.1") && refused.contains("--take-over"), "{refused}");
        }
    }

    /// What is written here was written by some version once: add lines, never change one.
    const WIRE: &[&str] = &[
        r#"{"kind":"hello","version":1,"tool":"0.1.0","pid":7,"run":"r","working":true,"viewers":2}"#,
        r#"{"kind":"refused","reason":"why"}"#,
        r#"{"kind":"grown","bytes":4096}"#,
        r#"{"kind":"halted","reason":"waiting"}"#,
        r#"{"kind":"accepted","id":3}"#,
        r#"{"kind":"rejected","id":4,"message":"why"}"#,
        r#"{"kind":"left","stays":false}"#,
        r#"{"kind":"ended","error":null}"#,
    ];

    #[test]
    fn lines_of_earlier_versions_are_read_and_written_as_they_were() {
        for text in WIRE {
            let notice: Notice = serde_json::from_str(text).unwrap();
            assert_ne!(notice, Notice::Unknown, "{text}");
            assert_eq!(String::from_utf8(line(&notice)).unwrap().trim_end(), *text);
        }
        for text in [
            r#"{"kind":"hello","versions":[1,1],"tool":"0.1.0","watch":true}"#,
            r#"{"kind":"command","id":1,"command":{"command":"run","only":[],"from":null,"to":null}}"#,
            r#"{"kind":"command","id":2,"command":{"command":"retry","phase":"a","from_start":true}}"#,
            r#"{"kind":"command","id":3,"command":{"command":"skip","phase":"a","reason":"why"}}"#,
            r#"{"kind":"command","id":4,"command":{"command":"answer","question":"a/b#1","answer":{"text":"yes"}}}"#,
            r#"{"kind":"command","id":5,"command":{"command":"stop","now":false}}"#,
            r#"{"kind":"hand_over","id":6,"busy":true}"#,
            r#"{"kind":"leave"}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert!(!matches!(request, Request::Unknown), "{text}");
        }
        assert!(matches!(serde_json::from_str(r#"{"kind":"of-tomorrow","x":1}"#).unwrap(), Request::Unknown));
    }

    #[test]
    fn a_line_is_whole_or_an_error() {
        let mut text: &[u8] = b"{\"kind\":\"leave\"}\n{\"kind\":";
        assert!(matches!(next_blocking(&mut text).unwrap(), Some(Request::Leave)));
        assert_eq!(next_blocking::<Request>(&mut text).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(next_blocking::<Request>(&mut text).unwrap().is_none());
        let endless = vec![b'x'; usize::try_from(LONGEST).unwrap() + 10];
        assert_eq!(next_blocking::<Request>(&mut endless.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
