//! What stands in a Kubernetes cluster, as far as it explains a wait. Pure.

use serde::{Deserialize, Serialize};

/// How many characters of a message are shown as evidence.
const MAX_EVIDENCE: usize = 110;

/// A look at a cluster: what is not as it should be, most telling first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// How many pods there are, those that have done their work left out.
    pub pods: u32,
    /// How many of them are ready.
    pub ready: u32,
    /// Namespaces with pods that are not ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Pods that are not ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Pod>,
    /// Volume claims that are not bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A namespace with pods that are not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// How many pods it has, those that have done their work left out.
    pub pods: u32,
    /// How many of them are ready.
    pub ready: u32,
}

/// A pod that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why, in Kubernetes' own word: `ImagePullBackOff`, `Unschedulable`, `CrashLoopBackOff`, `Init:0/1`.
    pub reason: String,
    /// What Kubernetes says about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The image it waits for; empty: it waits for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// How often its containers were started anew.
    #[serde(default)]
    pub restarts: u32,
    /// Its age, seconds.
    #[serde(default)]
    pub age_seconds: u64,
    /// The last warning about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// The known failure that its message or warning is, in a few words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub known: String,
}

/// A volume claim that is not bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Volume {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Pending` or `Lost`.
    pub phase: String,
    /// Its storage class; empty: none is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// The last warning about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
}

/// Kinds of trouble, in the order in which one causes the next: the first that is there is the one to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Image,
    NoPlace,
    Config,
    ConfigServer,
    JobFailed,
    Crashing,
    Evicted,
    Starting,
}

/// Why something waits in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// One sentence with the evidence in it.
    pub text: String,
    /// It does not go away by waiting alone.
    pub hard: bool,
}

impl Pod {
    fn trouble(&self) -> Trouble {
        let reason = self.reason.trim_start_matches("Init:");
        match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => Trouble::Image,
            "Unschedulable" => Trouble::NoPlace,
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Trouble::Config,
            "Evicted" => Trouble::Evicted,
            "CrashLoopBackOff" | "OOMKilled" => Trouble::Crashing,
            "Error" => Trouble::JobFailed,
            _ if self.namespace == "config-server" => Trouble::ConfigServer,
            _ => Trouble::Starting,
        }
    }

    /// What Kubernetes says about it, in a line.
    #[must_use]
    pub fn says(&self) -> String {
        // That it is tried again later says nothing; the warning says why it was not had.
        let vague = self.message.is_empty() || self.message.starts_with("Back-off ");
        let text = if vague && !self.event.is_empty() { &self.event } else { &self.message };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let length = text.chars().count();
        // Of a chain of calls the last one says what went wrong.
        if length > MAX_EVIDENCE && text.starts_with("Failed to pull image") {
            return std::iter::once('…').chain(text.chars().skip(length - MAX_EVIDENCE)).collect();
        }
        if text.chars().count() > MAX_EVIDENCE { text.chars().take(MAX_EVIDENCE - 1).chain(['…']).collect() } else { text }
    }
}

impl Cluster {
    /// Sorts what was seen: the most telling first.
    pub fn sort(&mut self) {
        self.waiting.sort_by(|a, b| (a.trouble(), &a.namespace, &a.name).cmp(&(b.trouble(), &b.namespace, &b.name)));
        self.volumes.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    }

    /// Why a module waits: trouble in the namespace of its own name first, then anywhere. None: nothing is wrong.
    #[must_use]
    pub fn cause(&self, module: &str) -> Option<Cause> {
        let own = module.replace('_', "-");
        let here = |pod: &&Pod| !own.is_empty() && (pod.namespace == own || pod.name.starts_with(&own));
        let near = self.waiting.iter().filter(here).min_by_key(|pod| pod.trouble());
        let far = self.waiting.iter().min_by_key(|pod| pod.trouble()).filter(|pod| pod.trouble() < Trouble::Starting);
        // What merely starts near by says less than what is wrong elsewhere.
        let pod = near.filter(|pod| pod.trouble() < Trouble::Starting).or(far).or(near);
        let unbound = self.volumes.iter().find(|volume| volume.namespace == own).or(self.volumes.first());
        match (pod, unbound) {
            (Some(pod), Some(volume))
                if pod.trouble() >= Trouble::NoPlace && (pod.reason == "Unschedulable" || pod.trouble() > Trouble::JobFailed) =>
            {
                Some(volume_cause(volume))
            }
            (Some(pod), _) => Some(self.pod_cause(pod)),
            (None, Some(volume)) => Some(volume_cause(volume)),
            (None, None) => None,
        }
    }

    fn pod_cause(&self, pod: &Pod) -> Cause {
        let trouble = pod.trouble();
        let same = |other: &&Pod| other.namespace == pod.namespace && other.trouble() == trouble;
        let count = self.waiting.iter().filter(same).count();
        let all =
            self.namespaces.iter().find(|namespace| namespace.name == pod.namespace).map_or(count, |namespace| namespace.pods as usize);
        let who = if all > 1 { format!("{}: {count} of {all} pods", pod.namespace) } else { format!("{}: {}", pod.namespace, pod.name) };
        let plural = all > 1 && count > 1;
        let verb = |one: &'static str, many: &'static str| if plural { many } else { one };
        let does = match trouble {
            Trouble::Image => format!("{} for image {}", verb("waits", "wait"), pod.image),
            Trouble::NoPlace => format!("{} no node to run on", verb("finds", "find")),
            Trouble::Config => format!("{} not start for lack of configuration", verb("does", "do")),
            Trouble::ConfigServer => format!("{} not ready, and all services need the configuration", verb("is", "are")),
            Trouble::JobFailed => format!("{} failed", verb("has", "have")),
            Trouble::Crashing => format!("{} starting again, {} restarts", verb("keeps", "keep"), pod.restarts),
            Trouble::Evicted => format!("{} driven off its node", verb("was", "were")),
            Trouble::Starting => format!("{} not ready yet ({})", verb("is", "are"), pod.reason),
        };
        let says = pod.says();
        let says = if says.is_empty() { String::new() } else { format!(" ({says})") };
        let known = if pod.known.is_empty() { String::new() } else { format!(": {}", pod.known) };
        // Java services take a few restarts until what they need is there.
        let hard = match trouble {
            Trouble::Crashing => pod.restarts > 3,
            Trouble::Starting | Trouble::ConfigServer => false,
            _ => true,
        };
        Cause { text: format!("{who} {does}{says}{known}"), hard }
    }
}

fn volume_cause(volume: &Volume) -> Cause {
    let class = if volume.class.is_empty() { "no storage class".to_owned() } else { format!("storage class {}", volume.class) };
    let says = volume.event.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = if says.is_empty() { String::new() } else { format!(": {}", says.chars().take(MAX_EVIDENCE).collect::<String>()) };
    Cause { text: format!("{}: volume {} is {} ({class}){says}", volume.namespace, volume.name, volume.phase.to_lowercase()), hard: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, reason: &str) -> Pod {
        Pod { namespace: namespace.into(), name: name.into(), reason: reason.into(), ..Pod::default() }
    }

    fn cluster(waiting: Vec<Pod>) -> Cluster {
        let namespaces = vec![Namespace { name: "regproc".into(), pods: 7, ready: 4 }];
        let mut cluster = Cluster { pods: 20, ready: 17, namespaces, waiting, volumes: Vec::new() };
        cluster.sort();
        cluster
    }

    #[test]
    fn the_first_cause_is_named_with_its_evidence() {
        let mut image = pod("regproc", "regproc-group1-a", "ImagePullBackOff");
        image.image = "docker.io/mosipid/registration-processor:1".into();
        image.event = "Failed to pull image: toomanyrequests: You have reached\n your limit".into();
        image.known = "Docker Hub's limit of pulls is reached".into();
        let cluster =
            cluster(vec![pod("regproc", "regproc-group1-c", "CrashLoopBackOff"), image.clone(), Pod { name: "b".into(), ..image }]);
        let cause = cluster.cause("regproc").unwrap();
        assert!(cause.hard);
        assert_eq!(
            cause.text,
            "regproc: 2 of 7 pods wait for image docker.io/mosipid/registration-processor:1 (Failed to pull image: toomanyrequests: You have reached your limit): Docker Hub's limit of pulls is reached"
        );
        assert_eq!(cluster.cause("kernel").unwrap(), cause, "trouble elsewhere is named when there is none near by");
    }

    #[test]
    fn slow_starts_are_no_hard_cause_and_a_healthy_cluster_has_none() {
        let mut slow = pod("kernel", "authmanager-1", "NotReady");
        assert!(!cluster(vec![slow.clone()]).cause("kernel").unwrap().hard);
        assert_eq!(cluster(vec![slow.clone()]).cause("iam"), None, "what merely starts elsewhere is no cause");
        slow.reason = "CrashLoopBackOff".into();
        slow.restarts = 2;
        assert!(!cluster(vec![slow.clone()]).cause("kernel").unwrap().hard);
        slow.restarts = 9;
        assert!(cluster(vec![slow]).cause("kernel").unwrap().hard);
        assert_eq!(cluster(vec![]).cause("kernel"), None);
    }

    #[test]
    fn a_volume_that_is_not_bound_explains_a_pod_without_a_node() {
        let mut cluster = cluster(vec![pod("postgres", "postgres-0", "Unschedulable")]);
        cluster.volumes.push(Volume {
            namespace: "postgres".into(),
            name: "data-0".into(),
            phase: "Pending".into(),
            class: "longhorn".into(),
            event: String::new(),
        });
        assert_eq!(cluster.cause("postgres").unwrap().text, "postgres: volume data-0 is pending (storage class longhorn)");
    }
}
