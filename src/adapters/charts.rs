//! The index of a Helm repository and the versions pinned; how many images a registry still gives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use reqwest::Response;

use crate::adapters::files::hcl;
use crate::adapters::net::client::Shared;
use crate::adapters::{net, proxy};
use crate::install::facts::WayOutcome;
use crate::install::outside::{ChartPin, ChartsFacts, ChartsFile, ChartsRequest, IndexAnswer, PullAnswer, PullFacts};

/// The largest index read, bytes. The largest known, Bitnami's, had some 30 MiB.
const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// The longest line of an index kept, bytes; descriptions are longer, and of no interest.
const LINE_LIMIT: usize = 512;

/// The largest template read, bytes.
const TEMPLATE_LIMIT: u64 = 4 * 1024 * 1024;

/// Versions named of a chart that lacks the one pinned.
const NEWEST: usize = 3;

/// Where Docker Hub says what it still gives; asking with HEAD is not counted.
pub const DOCKER_TOKEN: &str = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:ratelimitpreview/test:pull";

/// The image made for this question.
pub const DOCKER_MANIFEST: &str = "https://registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest";

/// Compares the versions pinned with a repository's index.
pub async fn look(request: &ChartsRequest, limit: Duration) -> ChartsFacts {
    let proxy = proxy::used_for(&request.index);
    let pinned = match request.file.as_ref().map(pinned).transpose() {
        Ok(pinned) => pinned,
        Err(problem) => return ChartsFacts { problem: Some(problem), index: IndexAnswer::NotAnIndex, pins: Vec::new(), proxy },
    };
    let mut scan = Scan::new(request.charts.iter().map(|(chart, _)| chart.as_str()));
    let index = match tokio::time::timeout(limit, fetch(&request.index, limit, &mut scan)).await {
        Ok(answer) => answer,
        Err(_) => IndexAnswer::NoWay(WayOutcome::Timeout),
    };
    let pins = request.charts.iter().map(|(chart, key)| {
        let versions = scan.versions.get(chart.as_str());
        let (key, version) = match &pinned {
            Some(pinned) => (key.clone(), pinned.get(key).cloned()),
            None => (String::new(), Some(key.clone())),
        };
        let found = versions
            .zip(version.as_ref())
            .is_some_and(|(versions, wanted)| versions.iter().any(|have| wanted.is_empty() || same(have, wanted)));
        let newest = versions.into_iter().flatten().take(NEWEST).cloned().collect();
        ChartPin { chart: chart.clone(), key, version, known: versions.is_some_and(|list| !list.is_empty()), found, newest }
    });
    ChartsFacts { problem: None, index, pins: pins.collect(), proxy }
}

/// Helm takes `v1.2.3` for `1.2.3`.
fn same(one: &str, other: &str) -> bool {
    one.trim_start_matches('v') == other.trim_start_matches('v')
}

/// The versions as Terraform will read them: the template's, and over them the site's.
fn pinned(request: &ChartsFile) -> Result<BTreeMap<String, String>, String> {
    let text = text_of(Path::new(&request.template)).or_else(|_| text_of(Path::new(&request.fallback)));
    let text = text.map_err(|error| format!("{} cannot be read: {error}", request.fallback))?;
    let values = hcl::read(&text).map_err(|error| format!("{}: {error}", request.template))?;
    let mut pinned: BTreeMap<String, String> =
        values.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
    pinned.extend(request.set.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(pinned)
}

/// A template, of bounded size.
fn text_of(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > TEMPLATE_LIMIT {
        return Err(std::io::Error::other("it is larger than 4 MiB"));
    }
    std::fs::read_to_string(path)
}

static SHARED: Shared = Shared::new(|settings| settings.connect_timeout(Duration::from_secs(10)).pool_max_idle_per_host(0));

async fn fetch(url: &str, limit: Duration, scan: &mut Scan<'_>) -> IndexAnswer {
    let client = match SHARED.get().await {
        Ok(client) => client,
        Err(reason) => return IndexAnswer::NoWay(WayOutcome::Failed(reason)),
    };
    let mut response = match client.get(url).timeout(limit).send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) if response.status().as_u16() == 407 => {
            return IndexAnswer::NoWay(WayOutcome::Proxy("it wants a login (407)".to_owned()));
        }
        Ok(response) => return IndexAnswer::Status(response.status().as_u16()),
        Err(error) => return IndexAnswer::NoWay(net::way_outcome(&error)),
    };
    let mut read = 0_u64;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                read += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                if read > INDEX_LIMIT {
                    return IndexAnswer::TooLarge(INDEX_LIMIT);
                }
                scan.feed(&chunk);
            }
            Ok(None) => break,
            Err(error) => return IndexAnswer::NoWay(net::way_outcome(&error)),
        }
    }
    scan.line();
    if scan.count == 0 { IndexAnswer::NotAnIndex } else { IndexAnswer::Read(scan.count) }
}

/// Reads an index as Helm writes it, line by line as it comes: charts at two spaces, their releases' keys at four. Keeps only what was
/// asked for, so that tens of megabytes pass through a few kilobytes.
struct Scan<'a> {
    versions: BTreeMap<&'a str, Vec<String>>,
    wanted: BTreeSet<&'a str>,
    line: Vec<u8>,
    inside: bool,
    chart: Option<&'a str>,
    count: usize,
}

impl<'a> Scan<'a> {
    fn new(wanted: impl Iterator<Item = &'a str>) -> Self {
        Self { versions: BTreeMap::new(), wanted: wanted.collect(), line: Vec::new(), inside: false, chart: None, count: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.keep(&rest[..end]);
            self.line();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Takes in the line that is complete.
    fn line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Ok(text) = std::str::from_utf8(&line) else { return };
        let text = text.trim_end();
        let depth = text.len() - text.trim_start().len();
        match text.trim_start() {
            "" => {}
            top if depth == 0 && !top.starts_with('-') => self.inside = top == "entries:",
            entry if self.inside && depth == 2 && entry.ends_with(':') && !entry.starts_with('-') => {
                self.count += 1;
                let name = entry.trim_end_matches(':').trim_matches(['"', '\'']);
                self.chart = self.wanted.get(name).copied();
                if let Some(chart) = self.chart {
                    self.versions.entry(chart).or_default();
                }
            }
            // The first key of a release stands behind a hyphen: `- version:` where it is the only one.
            key if self.inside && (depth == 4 || (depth == 2 && key.starts_with("- "))) => {
                let key = key.trim_start_matches("- ");
                if let (Some(chart), Some(version)) = (self.chart, key.strip_prefix("version:")) {
                    let version = version.trim().trim_matches(['"', '\'']).to_owned();
                    self.versions.entry(chart).or_default().push(version);
                }
            }
            _ => {}
        }
    }
}

/// Asks a registry what it still gives to this address without a login; asking is not counted.
pub async fn pulls(token: &str, manifest: &str, limit: Duration) -> PullFacts {
    let proxy = proxy::used_for(manifest);
    let answer = match tokio::time::timeout(limit, ask_registry(token, manifest, limit)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(outcome)) => PullAnswer::NoWay(outcome),
        Err(_) => PullAnswer::NoWay(WayOutcome::Timeout),
    };
    PullFacts { answer, proxy }
}

async fn ask_registry(token: &str, manifest: &str, limit: Duration) -> Result<PullAnswer, WayOutcome> {
    let failed = |error: reqwest::Error| net::way_outcome(&error);
    let client = SHARED.get().await.map_err(WayOutcome::Failed)?;
    let answer = client.get(token).timeout(limit).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(WayOutcome::Answered(answer.status().as_u16()));
    }
    let text = net::beginning(answer).await.map_err(failed)?;
    let secret = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|value| value["token"].as_str().map(str::to_owned));
    let Some(secret) = secret else { return Err(WayOutcome::Failed("it gave no token".to_owned())) };
    let answer = client.head(manifest).timeout(limit).header("authorization", format!("Bearer {secret}")).send().await.map_err(failed)?;
    Ok(limits(&answer))
}

/// `ratelimit-remaining: 87;w=21600` and its like.
fn limits(answer: &Response) -> PullAnswer {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let number = |text: &str| text.split(';').next()?.trim().parse::<u32>().ok();
    let seconds = |text: &str| text.split(';').find_map(|part| part.trim().strip_prefix("w=")?.parse::<u32>().ok());
    let remaining = header("ratelimit-remaining");
    match (answer.status().as_u16(), remaining.and_then(number)) {
        (429, _) => PullAnswer::Exhausted,
        (200, Some(count)) => PullAnswer::Limit {
            remaining: count,
            of: header("ratelimit-limit").and_then(number),
            seconds: remaining.and_then(seconds),
            source: header("docker-ratelimit-source").map(str::to_owned),
        },
        (200, None) => PullAnswer::NoLimit,
        (code, _) => PullAnswer::NoWay(WayOutcome::Answered(code)),
    }
}

#[cfg(test)]
#[path = "charts_tests.rs"]
mod tests;
