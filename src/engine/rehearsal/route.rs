//! The profiles that can be rehearsed, and what is embedded for each.

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

static KIT_RECORDINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/rehearsal/recordings");
static V3_RECORDINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/rehearsal/v3/recordings");
const KIT_SITE: &str = include_str!("../../../assets/rehearsal/site.toml");
const V3_SITE: &str = include_str!("../../../assets/rehearsal/v3/site.toml");
const FACTS: &str = include_str!("../../../assets/rehearsal/facts.json");
const V3_FACTS: &str = include_str!("../../../assets/rehearsal/v3/facts.json");

/// What the site file of one route has in place of `@OWN@`.
const V3_OWN: &str = r#"certificate_chain = "~/certificates/fullchain.pem"
certificate_key = "~/certificates/privkey.pem"
observation_certificate_chain = "~/certificates/fullchain.pem"
observation_certificate_key = "~/certificates/privkey.pem"
testrigs = "Y""#;
const V3_NO_DNS_OWN: &str = r#"storage_class = "nfs-client""#;

/// A shipped profile that can be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
pub enum Route {
    /// The kit with Ansible and Terraform.
    #[default]
    #[serde(rename = "turing-rke2")]
    #[value(name = "turing-rke2")]
    Kit,
    /// MOSIP's own scripts.
    #[serde(rename = "v3-onprem")]
    #[value(name = "v3-onprem")]
    V3,
    /// The same without public DNS.
    #[serde(rename = "v3-onprem-nodns")]
    #[value(name = "v3-onprem-nodns")]
    V3NoDns,
}

impl Route {
    /// The id of its profile.
    #[must_use]
    pub fn profile(self) -> &'static str {
        match self {
            Self::Kit => "turing-rke2",
            Self::V3 => "v3-onprem",
            Self::V3NoDns => "v3-onprem-nodns",
        }
    }

    /// Whether scripts are run on a terminal, with stand-ins for what would touch a cluster.
    #[must_use]
    pub fn has_scripts(self) -> bool {
        self != Self::Kit
    }

    /// Its site file, with `@SOURCE@` where the path of a source belongs.
    #[must_use]
    pub fn site(self) -> String {
        match self {
            Self::Kit => KIT_SITE.to_owned(),
            Self::V3 => V3_SITE.replace("@PROFILE@", self.profile()).replace("@OWN@", V3_OWN),
            Self::V3NoDns => V3_SITE.replace("@PROFILE@", self.profile()).replace("@OWN@", V3_NO_DNS_OWN),
        }
    }

    /// The secrets of its site: made anew each time, in files below `~/secrets`.
    #[must_use]
    pub fn secrets(self) -> &'static [&'static str] {
        match self {
            Self::Kit => &["rancher_bootstrap_password"],
            Self::V3 | Self::V3NoDns => {
                &["rancher_bootstrap_password", "iam_smtp_password", "prereg_captcha_secret_key", "resident_captcha_secret_key"]
            }
        }
    }

    /// The recorded facts; none: they cannot be read.
    #[must_use]
    pub fn facts(self) -> Option<serde_json::Value> {
        let mut facts = serde_json::from_str(FACTS).ok()?;
        if self.has_scripts() {
            merge(&mut facts, serde_json::from_str(V3_FACTS).ok()?);
        }
        Some(facts)
    }

    /// The transcript of a step; none: there is none.
    #[must_use]
    pub fn recording(self, name: &str) -> Option<&'static str> {
        let folder = if self.has_scripts() { &V3_RECORDINGS } else { &KIT_RECORDINGS };
        folder.get_file(format!("{name}.jsonl"))?.contents_utf8()
    }
}

/// Lays what is different over what is common.
fn merge(under: &mut serde_json::Value, over: serde_json::Value) {
    match (under, over) {
        (serde_json::Value::Object(under), serde_json::Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
