//! What a script's own `helm install` becomes, so that the script can be run again and its charts still work: pure decisions.
//!
//! Published scripts call `helm install` by its bare name, once for each release, and stop at the first name that is in use. They are not
//! edited. Their `helm` is this program, which looks at the release first: one that is deployed stays, one that failed is removed and
//! installed again, and what the profile adds (an image that still exists, a longer timeout) is added and said. It never upgrades: an
//! upgrade would make new passwords under running services.

use serde::{Deserialize, Serialize};

/// How `helm` is guarded in a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelmSpec {
    /// Minutes an install may wait, where the script does not say; Helm's own are five.
    #[serde(default)]
    pub timeout_minutes: Option<u32>,
    /// Releases with rules of their own.
    #[serde(default)]
    pub release: Vec<ReleaseRule>,
}

/// What is different for one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRule {
    /// `NAMESPACE/RELEASE`.
    pub id: String,
    /// Arguments added to its install; interpolated.
    #[serde(default)]
    pub add: Vec<String>,
    /// It is not installed at all.
    #[serde(default)]
    pub omit: bool,
    /// Once deployed it is not removed either: removing it loses data.
    #[serde(default)]
    pub keep: bool,
    /// The job it is for: a release whose job failed is not deployed, whatever Helm says.
    #[serde(default)]
    pub job: Option<String>,
    /// A release that never was deployed is removed with its volume claims: the passwords in them are not those of the next try.
    #[serde(default)]
    pub claims: bool,
    /// Why; shown in the plan and in the log.
    pub reason: String,
}

/// One call of `helm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `helm install`.
    Install {
        /// `NAMESPACE/RELEASE`.
        id: String,
        /// The chart, for messages.
        chart: String,
        /// Whether it says itself how long to wait.
        timed: bool,
    },
    /// `helm uninstall` of one release.
    Uninstall {
        /// `NAMESPACE/RELEASE`.
        id: String,
    },
    /// Anything else: none of our business.
    Other,
}

/// Flags of `helm install` and `helm uninstall` that take a value as the next word.
const VALUED: &[&str] = &[
    "-n",
    "--namespace",
    "--kubeconfig",
    "--kube-context",
    "--kube-token",
    "--kube-as-user",
    "--kube-as-group",
    "--kube-apiserver",
    "--kube-ca-file",
    "--kube-tls-server-name",
    "--registry-config",
    "--repository-cache",
    "--repository-config",
    "--burst-limit",
    "--qps",
    "--set",
    "--set-string",
    "--set-file",
    "--set-json",
    "--set-literal",
    "-f",
    "--values",
    "--version",
    "--repo",
    "--timeout",
    "--description",
    "--name-template",
    "-o",
    "--output",
    "--username",
    "--password",
    "--ca-file",
    "--cert-file",
    "--key-file",
    "--keyring",
    "--post-renderer",
    "--post-renderer-args",
    "-l",
    "--labels",
    "--cascade",
];

/// Reads the arguments of a call, without the program's name.
#[must_use]
pub fn read(arguments: &[String]) -> Call {
    let (mut namespace, mut words, mut timed) = ("default".to_owned(), Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            words.push(word.clone());
            continue;
        }
        let (name, own) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
        let value = if own.is_none() && VALUED.contains(&name) { rest.next().cloned() } else { own };
        match name {
            "-n" | "--namespace" => namespace = value.unwrap_or_default(),
            "--timeout" => timed = true,
            _ => {}
        }
    }
    let id = |release: &str| format!("{namespace}/{release}");
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["install", release, chart] => Call::Install { id: id(release), chart: chart.to_owned(), timed },
        ["uninstall" | "delete" | "del" | "un", release] => Call::Uninstall { id: id(release) },
        _ => Call::Other,
    }
}

/// A release as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// Helm's word: `deployed`, `failed`, `pending-install` …; empty: there is none.
    pub status: String,
    /// Helm's sentence about it.
    pub description: String,
    /// Its revision; 1: it was never changed.
    pub revision: u64,
    /// Whether its workloads, of which there is at least one, are all ready.
    pub ready: bool,
    /// Whether the job named in its rule failed.
    pub job_failed: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Call the real one, unchanged.
    Pass,
    /// Do nothing and say why; a success.
    Leave(String),
    /// Do nothing and say why; a failure.
    Refuse(String),
    /// Install, with these arguments added.
    Install {
        /// Added to the script's own.
        add: Vec<String>,
        /// Remove what is there first, because of this.
        remove: Option<String>,
        /// And its volume claims.
        claims: bool,
    },
}

impl HelmSpec {
    /// The rule of a release.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&ReleaseRule> {
        self.release.iter().find(|rule| rule.id == id)
    }

    /// Decides about a call, given the release as it stands.
    #[must_use]
    pub fn decide(&self, call: &Call, found: &Release) -> Deed {
        match call {
            Call::Other => Deed::Pass,
            Call::Uninstall { id } => match self.rule(id) {
                Some(rule) if rule.keep && found.status == "deployed" && !found.job_failed => {
                    Deed::Leave(format!("{id} is deployed and stays: {}", rule.reason))
                }
                _ => Deed::Pass,
            },
            Call::Install { id, timed, .. } => self.install(id, *timed, found),
        }
    }

    fn install(&self, id: &str, timed: bool, found: &Release) -> Deed {
        let rule = self.rule(id);
        if let Some(rule) = rule
            && rule.omit
        {
            return Deed::Leave(format!("{id} is left out: {}", rule.reason));
        }
        let mut add = rule.map(|rule| rule.add.clone()).unwrap_or_default();
        if let Some(minutes) = self.timeout_minutes
            && !timed
        {
            add.extend(["--timeout".to_owned(), format!("{minutes}m")]);
        }
        let claims = rule.is_some_and(|rule| rule.claims) && found.revision <= 1;
        match found.status.as_str() {
            "" => Deed::Install { add, remove: None, claims: false },
            "deployed" if found.job_failed => Deed::Install { add, remove: Some("its job failed".to_owned()), claims },
            "deployed" => Deed::Leave(format!("{id} is deployed already and stays as it is")),
            // All of a release is made before Helm begins to wait: what only took too long and is ready now is not torn down.
            "failed" if found.ready && is_timeout(&found.description) => {
                Deed::Leave(format!("{id} took longer than Helm waited and is ready now; it stays"))
            }
            status if found.revision > 1 => Deed::Refuse(format!(
                "{id} is '{status}' at revision {}: it was deployed before, so it is not removed. Look at it with helm history, repair it, then retry",
                found.revision
            )),
            status => Deed::Install { add, remove: Some(format!("it is '{status}': {}", found.description)), claims },
        }
    }

    /// What is different from the scripts' own calls, one line each; for the plan.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let timeout =
            self.timeout_minutes.map(|minutes| format!("helm install … --timeout {minutes}m (Helm's own five minutes are too short)"));
        let rule = |rule: &ReleaseRule| {
            let what = match (rule.omit, rule.add.is_empty()) {
                (true, _) => "is left out".to_owned(),
                (false, false) => format!("+ {}", shown(&rule.add)),
                (false, true) => "is looked at before".to_owned(),
            };
            format!("helm {}: {what} ({})", rule.id, rule.reason)
        };
        timeout.into_iter().chain(self.release.iter().map(rule)).collect()
    }
}

fn is_timeout(description: &str) -> bool {
    ["timed out waiting", "deadline exceeded"].iter().any(|words| description.contains(words))
}

/// A command line for people, with what looks like a secret taken out: scripts hand passwords to `--set`.
#[must_use]
pub fn shown(arguments: &[String]) -> String {
    let secret = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["password", "secret", "token", "webhook"].iter().any(|word| key.contains(word))
    };
    let mask = |word: &String| match word.split_once('=') {
        Some((key, value)) if secret(key) && !value.is_empty() => format!("{key}=***"),
        _ => super::planner::shell_quote(word),
    };
    arguments.iter().map(mask).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn rule(id: &str) -> ReleaseRule {
        let (id, reason) = (id.to_owned(), "because".to_owned());
        ReleaseRule { id, add: Vec::new(), omit: false, keep: false, job: None, claims: false, reason }
    }

    fn found(status: &str, description: &str) -> Release {
        Release { status: status.into(), description: description.into(), revision: 1, ..Release::default() }
    }

    #[test]
    fn calls_are_read_as_helm_reads_them() {
        for (line, id, chart, timed) in [
            ("-n kafka install kafka mosip/kafka -f values.yaml --wait --version 18.3.1", "kafka/kafka", "mosip/kafka", false),
            ("install x -n nfs --set a.b=c --wait stable/x", "nfs/x", "stable/x", false),
            ("install longhorn longhorn/longhorn --namespace=l --create-namespace --timeout 9m", "l/longhorn", "longhorn/longhorn", true),
            ("install a b", "default/a", "b", false),
        ] {
            let wanted = Call::Install { id: id.into(), chart: chart.into(), timed };
            assert_eq!(read(&words(line)), wanted, "{line}");
        }
        assert_eq!(read(&words("delete m -n loader")), Call::Uninstall { id: "loader/m".into() });
        for line in ["repo update", "-n a status b -o json", "upgrade a b", "install", "version --template x"] {
            assert_eq!(read(&words(line)), Call::Other, "{line}");
        }
    }

    #[test]
    fn a_release_is_installed_once_and_again_only_after_a_failure() {
        let spec = HelmSpec { timeout_minutes: Some(20), release: Vec::new() };
        let call = read(&words("-n a install b c"));
        let install =
            |remove: Option<&str>| Deed::Install { add: words("--timeout 20m"), remove: remove.map(str::to_owned), claims: false };
        assert_eq!(spec.decide(&call, &Release::default()), install(None));
        assert_eq!(spec.decide(&call, &found("failed", "no such chart")), install(Some("it is 'failed': no such chart")));
        assert_eq!(spec.decide(&call, &found("pending-install", "x")), install(Some("it is 'pending-install': x")));
        assert!(matches!(spec.decide(&call, &found("deployed", "Install complete")), Deed::Leave(_)));
        let late = Release { ready: true, ..found("failed", "timed out waiting for the condition") };
        assert!(matches!(spec.decide(&call, &late), Deed::Leave(_)));
        assert!(matches!(spec.decide(&call, &Release { ready: false, ..late.clone() }), Deed::Install { .. }));
        assert!(matches!(spec.decide(&call, &Release { description: "bad".into(), ..late }), Deed::Install { .. }));
        let upgraded = Release { revision: 2, ..found("failed", "x") };
        assert!(matches!(spec.decide(&call, &upgraded), Deed::Refuse(text) if text.contains("revision 2")));
        let timed = read(&words("-n a install b c --timeout 1m"));
        assert!(matches!(spec.decide(&timed, &Release::default()), Deed::Install { add, .. } if add.is_empty()));
    }

    #[test]
    fn rules_of_a_release_add_leave_out_and_keep() {
        let spec = HelmSpec {
            timeout_minutes: None,
            release: vec![
                ReleaseRule { add: words("--set image.repository=x"), claims: true, ..rule("p/db") },
                ReleaseRule { omit: true, ..rule("p/gone") },
                ReleaseRule { keep: true, job: Some("init".into()), ..rule("p/init") },
            ],
        };
        let db = read(&words("-n p install db c"));
        assert_eq!(
            spec.decide(&db, &found("failed", "x")),
            Deed::Install { add: words("--set image.repository=x"), remove: Some("it is 'failed': x".into()), claims: true }
        );
        assert_eq!(
            spec.decide(&read(&words("-n p install gone c")), &Release::default()),
            Deed::Leave("p/gone is left out: because".into())
        );
        let (install, delete) = (read(&words("-n p install init c")), read(&words("-n p delete init")));
        assert!(matches!(spec.decide(&delete, &found("deployed", "")), Deed::Leave(_)));
        assert_eq!(spec.decide(&delete, &found("failed", "")), Deed::Pass);
        let failed = Release { job_failed: true, ..found("deployed", "") };
        assert_eq!(spec.decide(&delete, &failed), Deed::Pass);
        assert!(matches!(spec.decide(&install, &failed), Deed::Install { remove: Some(_), .. }));
        assert_eq!(spec.lines().len(), 3);
        assert!(spec.lines()[0].contains("+ --set image.repository=x (because)"), "{:?}", spec.lines());
    }

    #[test]
    fn secrets_in_arguments_are_not_shown() {
        let line = shown(&words("-n k install i c --set smtpServer.password=hunter2 --set a.b=c --set x.slack-webhook-url=https://h"));
        assert_eq!(line, "-n k install i c --set smtpServer.password=*** --set a.b=c --set x.slack-webhook-url=***");
    }
}
