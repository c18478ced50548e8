//! certbot's manual DNS challenge, driven: shows the TXT records to make, and waits until DNS has them all.
//!
//! certbot calls the hook once for each challenge and goes on when it returns. The values of all challenges stand at the same name
//! and must stand there at the same time, so only the call for the last one waits. certbot keeps what a hook prints until it has
//! ended; so the records are written to the attempt's log, where the operator is looking.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::attempt::{ATTEMPT_VARIABLE, append_progress, log};
use crate::adapters::logs::times::MarkedLog;
use crate::adapters::net;
use crate::run::event::Progress;

/// The hidden verb that certbot calls.
pub const VERB: &str = "__acme-hook";

/// How long the records are waited for.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// For one look.
const LOOK: Duration = Duration::from_secs(8);

/// What certbot tells a hook, in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The domain, without `*.`.
    pub domain: String,
    /// The value of the TXT record.
    pub value: String,
    /// How many challenges come after this one.
    pub remaining: u32,
    /// The attempt's folder.
    pub attempt: PathBuf,
}

impl Challenge {
    /// Reads the environment.
    ///
    /// # Errors
    /// It was not certbot, below an attempt of this program, that called.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        let need = |name: &str| variable(name).ok_or_else(|| io::Error::other(format!("{name} is not set: this is for certbot to call")));
        Ok(Self {
            domain: need("CERTBOT_DOMAIN")?.trim_start_matches("*.").to_owned(),
            value: need("CERTBOT_VALIDATION")?,
            remaining: need("CERTBOT_REMAINING_CHALLENGES")?.parse().unwrap_or(0),
            attempt: need(ATTEMPT_VARIABLE)?.into(),
        })
    }

    fn name(&self) -> String {
        format!("_acme-challenge.{}", self.domain)
    }
}

/// Takes in one challenge; the last one waits for DNS.
///
/// # Errors
/// The attempt's folder cannot be written, or DNS does not have the records in time.
pub async fn run(challenge: &Challenge) -> io::Result<()> {
    let known = challenge.attempt.join("challenges");
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&known)?;
    writeln!(file, "{} {}", challenge.name(), challenge.value)?;
    if challenge.remaining > 0 {
        return Ok(());
    }
    let wanted = wanted(&fs::read_to_string(&known)?);
    let mut text =
        String::from("\nMake these TXT records now, all of them at the same time. Leave each until the certificate is there.\n\n");
    for (name, value) in &wanted {
        text.push_str(&format!("    {name}.  TXT  \"{value}\"\n"));
    }
    text.push_str("\nThe program looks every ten seconds and goes on by itself when DNS has them all.\n\n");
    say(challenge, &text)?;
    let (begun, since) = (Instant::now(), Timestamp::now());
    let mut last = String::new();
    loop {
        let mut missing = Vec::new();
        for (name, value) in &wanted {
            match net::texts(name, LOOK).await {
                Ok(found) if found.contains(value) => {}
                Ok(found) if found.is_empty() => missing.push(format!("no TXT record at {name} yet")),
                Ok(_) => missing.push(format!("{name} does not have {value} yet")),
                Err(error) => missing.push(format!("{name}: {error}")),
            }
        }
        missing.dedup();
        if missing.is_empty() {
            return say(challenge, "DNS has all records. Waiting half a minute, so that every server of the zone has them.\n")
                .map(|()| std::thread::sleep(Duration::from_secs(30)));
        }
        let seen = missing.join("; ");
        if seen != last {
            say(challenge, &format!("{seen}\n"))?;
            last.clone_from(&seen);
        }
        let (done, total) = ((wanted.len() - missing.len().min(wanted.len())) as u64, wanted.len() as u64);
        let doing = format!("waits for TXT records (see the log): {seen}");
        append_progress(
            &challenge.attempt,
            &Progress { done, total, unit: "records".into(), doing, since: Some(since), ..Progress::default() },
        )?;
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("DNS did not have the records within two hours: {seen}")));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The records to wait for, each once, in the order they came.
fn wanted(text: &str) -> Vec<(String, String)> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let record = (name.to_owned(), value.to_owned());
        if !wanted.contains(&record) {
            wanted.push(record);
        }
    }
    wanted
}

fn say(challenge: &Challenge, text: &str) -> io::Result<()> {
    MarkedLog::open(&log(&challenge.attempt))?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_from_the_environment() {
        let variable = |name: &str| match name {
            "CERTBOT_DOMAIN" => Some("*.a.b".to_owned()),
            "CERTBOT_VALIDATION" => Some("value".to_owned()),
            "CERTBOT_REMAINING_CHALLENGES" => Some("1".to_owned()),
            ATTEMPT_VARIABLE => Some("/x".to_owned()),
            _ => None,
        };
        let challenge = Challenge::from_environment(variable).unwrap();
        assert_eq!((challenge.name().as_str(), challenge.remaining), ("_acme-challenge.a.b", 1));
        assert!(Challenge::from_environment(|_| None).is_err());
    }

    #[test]
    fn both_values_at_one_name_are_demanded() {
        assert_eq!(wanted("n a\nn b\nn a\n"), [("n".into(), "a".into()), ("n".into(), "b".into())]);
    }
}
