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
/// Where the operator says otherwise: seconds between two looks, and seconds for which DNS is given time when it has all records.
const SECONDS: &str = "MOSIP_SETUP_TXT_SECONDS";
/// What holds where nobody says otherwise.
const USUAL: (u64, u64) = (10, 30);
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
    /// Between two looks.
    pub every: Duration,
    /// After the last look, so that every server of the zone has the records.
    pub settle: Duration,
}

impl Challenge {
    /// Reads the environment.
    ///
    /// # Errors
    /// It was not certbot, below an attempt of this program, that called.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        let need = |name: &str| variable(name).ok_or_else(|| io::Error::other(format!("{name} is not set: this is for certbot to call")));
        let (every, settle) = seconds(variable(SECONDS).as_deref())?;
        Ok(Self {
            every: Duration::from_secs(every),
            settle: Duration::from_secs(settle),
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

/// `EVERY,SETTLE`, each up to an hour.
fn seconds(setting: Option<&str>) -> io::Result<(u64, u64)> {
    let Some(setting) = setting else { return Ok(USUAL) };
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|seconds| *seconds <= 3600);
    let both = setting.split_once(',').and_then(|(every, settle)| Some((number(every).filter(|every| *every > 0)?, number(settle)?)));
    both.ok_or_else(|| io::Error::other(format!("{SECONDS}: '{setting}' is not two numbers of seconds up to 3600, as 10,30")))
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
    let mut text = "\nMake these TXT records now, all of them at the same time. Leave each until the certificate is there.\n\n".to_owned();
    for (name, value) in &wanted {
        text.push_str(&format!("    {name}.  TXT  \"{value}\"\n"));
    }
    let every = challenge.every.as_secs();
    text.push_str(&format!("\nThe program looks every {every} s and goes on by itself when DNS has them all.\n\n"));
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
            let settle = challenge.settle;
            say(challenge, &format!("DNS has all records. Waiting {} s, so that every server of the zone has them.\n", settle.as_secs()))?;
            tokio::time::sleep(settle).await;
            return Ok(());
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
        tokio::time::sleep(challenge.every).await;
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
        assert_eq!((challenge.every.as_secs(), challenge.settle.as_secs()), USUAL);
        assert!(Challenge::from_environment(|_| None).is_err());
    }

    #[test]
    fn how_often_it_looks_is_two_numbers() {
        assert_eq!(seconds(None).unwrap(), USUAL);
        assert_eq!(seconds(Some("1, 0")).unwrap(), (1, 0));
        for wrong in ["", "5", "0,5", "a,5", "5,", "5,3601", "-1,5"] {
            assert!(seconds(Some(wrong)).unwrap_err().to_string().contains("as 10,30"), "{wrong}");
        }
    }

    #[test]
    fn both_values_at_one_name_are_demanded() {
        assert_eq!(wanted("n a\nn b\nn a\n"), [("n".into(), "a".into()), ("n".into(), "b".into())]);
    }
}
