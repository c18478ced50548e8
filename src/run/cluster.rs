//! What stands in a Kubernetes cluster, as far as it explains a wait. Pure.

use serde::{Deserialize, Serialize};

/// A look at a cluster: what is not as it should be, most telling first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// How many pods there are, those that have done their work left out.
    pub pods: u32,
    /// How many of them are ready.
    pub ready: u32,
    /// Pods that are not ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Pod>,
    /// Volume claims that are not bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A pod that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A volume claim that is not bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
