//! Watches the cluster that a step works on, while the step runs. It never fails the step, and is off while the API is away.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::diagnosis::LazyCatalogue;
use super::telling::Teller;
use crate::adapters::kubectl::Look;
use crate::run::cluster::Cluster;
use crate::run::detail::Detail;
use crate::run::redact::Redactor;

/// Between two looks while things change, and while they do not.
const EVERY: Duration = Duration::from_secs(5);
const AT_LEAST_EVERY: Duration = Duration::from_secs(20);
/// The longest pause while the API does not answer.
const AWAY: Duration = Duration::from_secs(120);

/// A watch; it ends with the value.
#[derive(Debug)]
pub struct Watcher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Begins to watch; what is seen goes into the attempt's events.
    #[must_use]
    pub fn new(look: Look, dir: &Path, redactor: Arc<Redactor>, catalogue: Arc<LazyCatalogue>) -> Self {
        let (stop, stopped) = channel::<()>();
        let mut teller = Teller::new(dir, redactor);
        let thread = std::thread::spawn(move || {
            let (mut last, mut pause) = (None, EVERY);
            loop {
                match look.look(&stopped) {
                    Ok(cluster) => {
                        let cluster = with_known(cluster, &catalogue);
                        let same = last.as_ref() == Some(&ageless(&cluster));
                        pause = if same { (pause * 3 / 2).min(AT_LEAST_EVERY) } else { EVERY };
                        if !same {
                            last = Some(ageless(&cluster));
                            teller.tell([Detail::Cluster(cluster)]);
                        }
                    }
                    Err(_) => {
                        pause = (pause * 2).min(AWAY);
                        if last.take().is_some() {
                            teller.tell([Detail::ClusterAway]);
                        }
                    }
                }
                if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A watch that panicked has nothing left to say.
            drop(thread.join());
        }
    }
}

/// That it grew older is no change.
fn ageless(cluster: &Cluster) -> Cluster {
    let mut ageless = cluster.clone();
    ageless.waiting.iter_mut().for_each(|pod| pod.age_seconds = 0);
    ageless
}

/// Names the known failures in what the pods say.
fn with_known(mut cluster: Cluster, catalogue: &LazyCatalogue) -> Cluster {
    if cluster.waiting.is_empty() {
        return cluster;
    }
    let Some(catalogue) = catalogue.get() else { return cluster };
    for pod in &mut cluster.waiting {
        // The warning tells why; the state mostly repeats that it is so.
        let hits = catalogue.diagnose([pod.event.as_str(), pod.message.as_str()].into_iter());
        pod.known = hits.into_iter().next().map(|hit| hit.title).unwrap_or_default();
    }
    cluster
}
