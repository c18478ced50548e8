//! Looks at a Kubernetes cluster through `kubectl`: pods that are not ready, volume claims that are not bound, the last warnings.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::signal_group;
use crate::run::cluster::{Cluster, Namespace, Pod, Volume};

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(15);

/// The longest answer that is read, bytes.
const MAX_ANSWER: u64 = 128 * 1024 * 1024;

/// How many pods, and how many volume claims, are kept.
const MAX_KEPT: usize = 60;

/// How many characters of a message are kept: what failed at the end of a chain of calls stands at its end.
const MAX_MESSAGE: usize = 1200;

/// How a cluster is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Program and arguments; its stdout is the answer.
    pub argv: Vec<String>,
    /// Environment beside the inherited one.
    pub env: BTreeMap<String, String>,
    /// The kubeconfig: while it is not there, nothing is asked.
    pub kubeconfig: String,
}

impl Look {
    /// All namespaces of the cluster of a kubeconfig.
    #[must_use]
    pub fn at(kubeconfig: &str) -> Self {
        let words = ["kubectl", "--kubeconfig", kubeconfig, "get", "pods,persistentvolumeclaims,events"];
        let more = ["--all-namespaces", "--output=json", "--request-timeout=10s"];
        Self { argv: words.into_iter().chain(more).map(str::to_owned).collect(), env: BTreeMap::new(), kubeconfig: kubeconfig.to_owned() }
    }

    /// Looks once. `stop` ends it early: whatever is sent, or that the sender is gone.
    ///
    /// # Errors
    /// There is no kubeconfig yet, the program is missing, it takes too long, the cluster does not answer, or the look was ended early.
    pub fn look(&self, stop: &Receiver<()>) -> io::Result<Cluster> {
        if !self.kubeconfig.is_empty() && !std::path::Path::new(&self.kubeconfig).is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some((program, arguments)) = self.argv.split_first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(program);
        command.args(arguments).envs(&self.env).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let group = child.id();
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                drop(stdout.take(MAX_ANSWER).read_to_end(&mut answer));
            }
            answer
        });
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            let ended = !matches!(stop.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
            if ended || begun.elapsed() > LIMIT {
                signal_group(group, Signal::KILL);
                child.wait()?;
                break None;
            }
        };
        let answer = reader.join().unwrap_or_default();
        match status {
            Some(status) if status.success() => {
                let list = serde_json::from_slice(&answer).map_err(io::Error::other)?;
                Ok(read(&list, Timestamp::now()))
            }
            Some(status) => Err(io::Error::other(format!("kubectl ended with {status}"))),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).collect()
}

/// What an answer of `kubectl get pods,persistentvolumeclaims,events --output=json` says.
#[must_use]
pub fn read(list: &Value, now: Timestamp) -> Cluster {
    let warnings = warnings(list);
    let mut cluster = Cluster::default();
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for item in items(list, "/items") {
        let (namespace, name) = (text(item, "/metadata/namespace").to_owned(), text(item, "/metadata/name").to_owned());
        let warning = |kind: &str| warnings.get(&(kind, namespace.as_str(), name.as_str())).map(|(_, text)| cut(text)).unwrap_or_default();
        match text(item, "/kind") {
            "Pod" if text(item, "/status/phase") != "Succeeded" => {
                let count = counts.entry(namespace.clone()).or_default();
                count.0 += 1;
                match pod(item) {
                    None => count.1 += 1,
                    Some(mut found) => {
                        let created: Option<Timestamp> = text(item, "/metadata/creationTimestamp").parse().ok();
                        found.age_seconds = created.map_or(0, |at| u64::try_from(now.as_second() - at.as_second()).unwrap_or(0));
                        found.event = warning("Pod");
                        (found.namespace, found.name) = (namespace, name);
                        cluster.waiting.push(found);
                    }
                }
            }
            "PersistentVolumeClaim" if text(item, "/status/phase") != "Bound" => cluster.volumes.push(Volume {
                event: warning("PersistentVolumeClaim"),
                phase: text(item, "/status/phase").to_owned(),
                class: text(item, "/spec/storageClassName").to_owned(),
                namespace,
                name,
            }),
            _ => {}
        }
    }
    cluster.pods = counts.values().map(|(pods, _)| pods).sum();
    cluster.ready = counts.values().map(|(_, ready)| ready).sum();
    let unready = counts.into_iter().filter(|(_, (pods, ready))| ready < pods);
    cluster.namespaces = unready.map(|(name, (pods, ready))| Namespace { name, pods, ready }).collect();
    cluster.sort();
    cluster.waiting.truncate(MAX_KEPT);
    cluster.volumes.truncate(MAX_KEPT);
    cluster
}

/// The last warning about each object: (kind, namespace, name) → (when, text).
fn warnings(list: &Value) -> HashMap<(&str, &str, &str), (&str, &str)> {
    let mut last: HashMap<(&str, &str, &str), (&str, &str)> = HashMap::new();
    for event in items(list, "/items").filter(|item| text(item, "/kind") == "Event" && text(item, "/type") == "Warning") {
        let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/firstTimestamp"];
        // All of one form, so their order as text is that in time.
        let at = times.iter().map(|pointer| text(event, pointer)).find(|at| !at.is_empty()).unwrap_or_default();
        let about = (text(event, "/involvedObject/kind"), text(event, "/involvedObject/namespace"), text(event, "/involvedObject/name"));
        let message = text(event, "/message");
        // "Back-off restarting" and "Back-off pulling" repeat what the pod's own state says; what led there tells more.
        let tells = !message.starts_with("Back-off ") && !message.starts_with("Error: ");
        let newer = last.get(&about).is_none_or(|(known, known_message)| {
            let known_tells = !known_message.starts_with("Back-off ") && !known_message.starts_with("Error: ");
            (tells, at) >= (known_tells, *known)
        });
        if newer {
            last.insert(about, (at, message));
        }
    }
    last
}

/// Why a pod is not ready; none: it is.
fn pod(item: &Value) -> Option<Pod> {
    let mut found = Pod::default();
    let statuses = |list: &str| items(item, list).collect::<Vec<_>>();
    let (first, main) = (statuses("/status/initContainerStatuses"), statuses("/status/containerStatuses"));
    let restarts = |status: &&Value| status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
    found.restarts = u32::try_from(first.iter().chain(&main).map(restarts).sum::<u64>()).unwrap_or(u32::MAX);
    let is = |status: &Value, key: &str| status.get(key).and_then(Value::as_bool).unwrap_or(false);
    let phase = text(item, "/status/phase");
    if !text(item, "/metadata/deletionTimestamp").is_empty() {
        found.reason = "Terminating".into();
        return Some(found);
    }
    let scheduled = items(item, "/status/conditions").find(|condition| text(condition, "/type") == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| text(condition, "/status") == "False") {
        found.reason = text(condition, "/reason").to_owned();
        found.message = cut(text(condition, "/message"));
        return Some(found);
    }
    if phase == "Failed" {
        let reason = text(item, "/status/reason");
        let ended = main.iter().map(|status| text(status, "/state/terminated/reason")).find(|reason| !reason.is_empty());
        found.reason = if reason.is_empty() { ended.unwrap_or("Error").to_owned() } else { reason.to_owned() };
        found.message = cut(text(item, "/status/message"));
        return Some(found);
    }
    let done = |status: &&&Value| text(status, "/state/terminated/reason") == "Completed";
    if phase == "Pending" || !first.iter().all(|status| done(&status) || is(status, "ready")) {
        // A first container that runs as long as the pod (a sidecar) has started and is ready: it holds up nothing.
        let ended = first.iter().filter(|status| done(status) || is(status, "ready")).count();
        if let Some(status) = first.iter().find(|status| !done(status) && !is(status, "ready")) {
            let why = trouble(status, &mut found);
            let count = format!("{ended}/{}", first.len());
            found.reason = if why.is_empty() || why == "PodInitializing" { format!("Init:{count}") } else { format!("Init:{why}") };
            return Some(found);
        }
    }
    let open: Vec<&&Value> = main.iter().filter(|status| !is(status, "ready") && !done(status)).collect();
    if open.is_empty() && !main.is_empty() {
        return None;
    }
    // Of several containers one that says why it does not run speaks for the pod.
    let telling = open.iter().find(|status| status.pointer("/state/running").is_none()).or(open.first());
    let why = telling.map(|status| trouble(status, &mut found)).unwrap_or_default();
    found.reason = match why.as_str() {
        "" if phase == "Pending" => "Pending".into(),
        "" => format!("NotReady {}/{}", main.len() - open.len(), main.len()),
        _ => why,
    };
    Some(found)
}

/// Why a container does not run, with its message and image; empty: it runs, or nothing is said.
fn trouble(status: &Value, found: &mut Pod) -> String {
    let waiting = text(status, "/state/waiting/reason");
    let ended = text(status, "/state/terminated/reason");
    found.message = cut(text(status, "/state/waiting/message"));
    if waiting.contains("Image") || waiting == "ContainerCreating" {
        text(status, "/image").clone_into(&mut found.image);
    }
    // What ended it before tells more than that it is started again.
    let before = text(status, "/lastState/terminated/reason");
    if waiting == "CrashLoopBackOff" && before == "OOMKilled" {
        found.message = "its memory limit was reached".into();
        return before.to_owned();
    }
    // The words of a back-off repeat the pod's own name; the exit code says more.
    if waiting == "CrashLoopBackOff" {
        let code = status.pointer("/lastState/terminated/exitCode").and_then(Value::as_i64);
        found.message = code.map(|code| format!("its last exit code was {code}")).unwrap_or_default();
    }
    if waiting.is_empty() { ended.to_owned() } else { waiting.to_owned() }
}

#[cfg(test)]
#[path = "kubectl_tests.rs"]
mod tests;
