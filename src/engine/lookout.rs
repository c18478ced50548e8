//! Looks out for known failures in the output of an attempt while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::diagnosis::LazyCatalogue;
use crate::run::detail::Detail;
use crate::run::diagnose::Hit;
use crate::run::spot::Spotter;

/// What is printed in so short a time, or is so little, waits: most attempts end sooner, and a failure is judged by itself.
const PATIENCE: Duration = Duration::from_secs(2);
const LITTLE: usize = 256 * 1024;

/// Looks out for known failures.
#[derive(Debug)]
pub struct Lookout {
    catalogue: Arc<LazyCatalogue>,
    begun: Instant,
    waiting: Vec<u8>,
    spotter: Option<Spotter>,
    resting: bool,
}

impl Lookout {
    /// With these catalogues, which are read when they are needed.
    #[must_use]
    pub fn new(catalogue: Arc<LazyCatalogue>) -> Self {
        Self { catalogue, begun: Instant::now(), waiting: Vec::new(), spotter: None, resting: false }
    }

    /// Takes in output, secrets already removed; gives each known failure the first time it is seen.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Detail> {
        let mut known = Vec::new();
        if self.resting {
            return known;
        }
        match &mut self.spotter {
            Some(spotter) => spotter.feed(bytes, |hit| known.push(detail(hit))),
            None => {
                self.waiting.extend_from_slice(bytes);
                if (self.begun.elapsed() > PATIENCE || self.waiting.len() > LITTLE)
                    && let Some(catalogue) = self.catalogue.get()
                {
                    let spotter = self.spotter.insert(Spotter::new(catalogue));
                    spotter.feed(&std::mem::take(&mut self.waiting), |hit| known.push(detail(hit)));
                }
                self.waiting.truncate(LITTLE * 4);
            }
        }
        known
    }

    /// Looks no further: the command was stopped, and what it says of that is no failure.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// The output has ended.
    pub fn finish(&mut self) -> Vec<Detail> {
        let mut known = Vec::new();
        if let Some(spotter) = &mut self.spotter {
            spotter.finish(|hit| known.push(detail(hit)));
        }
        known
    }
}

fn detail(hit: Hit) -> Detail {
    Detail::Known { id: hit.id, title: hit.title, line: shown(&hit.line) }
}

/// What is quoted of a line: of a result of Ansible's the host and the message, never the item or other values in it.
fn shown(line: &str) -> String {
    let Some((head, result)) = line.split_once("=> {") else { return line.to_owned() };
    let head = head.split(" (item=").next().unwrap_or(head).trim_end();
    let message = result.split_once("\"msg\": \"").map(|(_, message)| message.split('"').next().unwrap_or(message)).unwrap_or_default();
    format!("{head} {message}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_result_is_quoted_without_its_values() {
        let line =
            "failed: [vm3] (item={'password': 'x1'}) => {\"item\": {\"password\": \"x1\"}, \"msg\": \"Connection refused\", \"y\": 1}";
        assert_eq!(shown(line), "failed: [vm3] Connection refused");
        assert_eq!(shown("failed: [vm3] (item={'password': 'x1'}) => {\"item\": 1"), "failed: [vm3]");
        assert_eq!(shown("E: Could not get lock"), "E: Could not get lock");
    }
}
