//! Recognises known failures in output. Pure: the caller brings catalogue and lines, secrets already removed.
//!
//! A catalogue is TOML: `[[issue]]` entries, of which within one line the first that matches wins (so the specific ones stand before
//! the general ones), and `[[normal]]` patterns for lines that look bad and are not: they are never matched.

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

/// The catalogue that comes with the program.
pub const SHIPPED: &str = include_str!("../../assets/known-issues.toml");

/// How many bytes of a line are looked at: Ansible prints whole results as one line, and no cause needs more than this.
const MAX_LINE: usize = 32 * 1024;

/// How many characters of a line a hit keeps.
const MAX_SHOWN: usize = 300;

/// What Ansible prints after a failure that its playbook ignores.
const IGNORED: &str = "...ignoring";

/// How sure it is that the cause is the one named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The line says that something is wrong, hardly what: a place to begin looking.
    Low,
    /// The likely cause among several.
    Medium,
    /// The line has no other cause.
    High,
}

impl Confidence {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::High => "sure",
            Self::Medium => "likely",
            Self::Low => "a place to begin",
        }
    }
}

/// A known failure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// Its name; never changes, for journals hold it.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// What its lines match: a regular expression, upper and lower case alike.
    pub pattern: String,
    /// Why it happens.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// Commands to copy.
    #[serde(default)]
    pub commands: Vec<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// Phases it is likely in; empty: any.
    #[serde(default)]
    pub phases: Vec<String>,
    /// Where it was reported.
    #[serde(default)]
    pub source: String,
    /// A line that is this failure.
    #[serde(default)]
    pub sample: String,
    /// Lines that resemble it and are not.
    #[serde(default)]
    pub harmless: Vec<String>,
}

/// Lines that look bad and are normal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// What they match.
    pub pattern: String,
    /// Why they are normal.
    pub why: String,
    /// Such lines.
    #[serde(default)]
    pub samples: Vec<String>,
}

/// A known failure that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The entry.
    pub id: String,
    /// What it is, in a few words.
    pub title: String,
    /// Why it happens.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// Commands to copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// Where it was reported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The first line that was recognised, cut to a readable length.
    pub line: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    issue: Vec<Issue>,
    #[serde(default)]
    normal: Vec<Normal>,
}

/// Known failures, ready to be searched for.
#[derive(Debug, Clone)]
pub struct Catalogue {
    issues: Vec<Issue>,
    normals: Vec<Normal>,
    bad: RegexSet,
    normal: RegexSet,
}

impl Catalogue {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// What is wrong and where: the text is not such a file, a name comes twice, a pattern is not one or matches everything.
    pub fn read(text: &str) -> Result<Self, String> {
        let text: Text = toml::from_str(text).map_err(|error| error.to_string())?;
        Self::compile(text.issue, text.normal)
    }

    /// This catalogue, and after it another: where both know a line, this one is right. An entry of the same name replaces the other's.
    ///
    /// # Errors
    /// Together they are too large.
    pub fn before(self, other: Self) -> Result<Self, String> {
        let (mut issues, mut normals) = (self.issues, self.normals);
        let others: Vec<Issue> = other.issues.into_iter().filter(|issue| issues.iter().all(|own| own.id != issue.id)).collect();
        issues.extend(others);
        normals.extend(other.normals);
        Self::compile(issues, normals)
    }

    fn compile(issues: Vec<Issue>, normals: Vec<Normal>) -> Result<Self, String> {
        for (at, issue) in issues.iter().enumerate() {
            if issue.id.is_empty() || issues[..at].iter().any(|earlier| earlier.id == issue.id) {
                return Err(format!("the id '{}' is empty or comes twice: each entry needs a name of its own", issue.id));
            }
        }
        // All at once, which is quick; one by one only to tell which of them is wrong.
        let bad = set(issues.iter().map(|issue| issue.pattern.as_str())).map_err(|error| {
            let wrong = issues.iter().find_map(|issue| Some(format!("{}: {}", issue.id, set([issue.pattern.as_str()]).err()?)));
            wrong.unwrap_or(error)
        })?;
        let normal = set(normals.iter().map(|normal| normal.pattern.as_str())).map_err(|error| format!("a normal line: {error}"))?;
        Ok(Self { issues, normals, bad, normal })
    }

    /// Its entries, specific ones before general ones.
    #[must_use]
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }

    /// What it takes for normal.
    #[must_use]
    pub fn normals(&self) -> &[Normal] {
        &self.normals
    }

    /// The known failures in these lines, each once, most specific first. A failure that Ansible ignores is none.
    pub fn diagnose<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Vec<Hit> {
        let mut found: Vec<(usize, &str)> = Vec::new();
        let mut last: Option<(usize, &str)> = None;
        for line in lines {
            if line.trim() == IGNORED {
                last = None;
                continue;
            }
            found.extend(last.take());
            last = self.entry(line).map(|entry| (entry, line));
        }
        found.extend(last);
        // Stable: of the lines of one entry the first stays first.
        found.sort_by_key(|(entry, _)| *entry);
        found.dedup_by_key(|(entry, _)| *entry);
        found.into_iter().filter_map(|(entry, line)| self.issues.get(entry).map(|issue| hit(issue, line))).collect()
    }

    /// The known failure that a single line is.
    #[must_use]
    pub fn of_line(&self, line: &str) -> Option<Hit> {
        self.entry(line).and_then(|entry| self.issues.get(entry)).map(|issue| hit(issue, line))
    }

    /// The first entry that a line matches.
    fn entry(&self, line: &str) -> Option<usize> {
        let bytes = line.as_bytes();
        let bytes = bytes.get(..MAX_LINE).unwrap_or(bytes);
        if self.normal.is_match(bytes) {
            return None;
        }
        self.bad.matches(bytes).iter().next()
    }
}

fn hit(issue: &Issue, line: &str) -> Hit {
    Hit {
        id: issue.id.clone(),
        title: issue.title.clone(),
        cause: issue.cause.clone(),
        remedy: issue.remedy.clone(),
        commands: issue.commands.clone(),
        confidence: issue.confidence,
        source: issue.source.clone(),
        line: line.trim().chars().take(MAX_SHOWN).collect(),
    }
}

/// Patterns as one. ASCII classes alone: Unicode's would make it many times as large, and tools print ASCII where it matters.
fn set<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<RegexSet, String> {
    let set = RegexSetBuilder::new(patterns).case_insensitive(true).unicode(false).build().map_err(|error| error.to_string())?;
    if set.is_match(b"") {
        return Err("the pattern matches an empty line, so it would match every line".into());
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::read(SHIPPED).unwrap());

    fn ids(lines: &[&str]) -> Vec<String> {
        CATALOGUE.diagnose(lines.iter().copied()).into_iter().map(|hit| hit.id).collect()
    }

    #[test]
    fn every_sample_is_recognised_as_its_own_entry() {
        let wrong: Vec<String> = CATALOGUE
            .issues()
            .iter()
            .filter_map(|issue| {
                let found = ids(&[&issue.sample]);
                (found != [issue.id.clone()]).then(|| format!("{}: {found:?}", issue.id))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn harmless_lines_are_not_recognised() {
        for issue in CATALOGUE.issues() {
            assert!(!issue.harmless.is_empty(), "{} has no line that must not hit", issue.id);
            for line in &issue.harmless {
                assert_eq!(ids(&[line]), Vec::<String>::new(), "{}: {line}", issue.id);
            }
        }
    }

    #[test]
    fn normal_lines_are_not_recognised() {
        for normal in CATALOGUE.normals() {
            assert!(!normal.samples.is_empty() && !normal.why.is_empty(), "{}", normal.pattern);
            let alone = set([normal.pattern.as_str()]).unwrap();
            for line in &normal.samples {
                assert!(alone.is_match(line.as_bytes()), "{line}");
                assert_eq!(ids(&[line]), Vec::<String>::new(), "{line}");
            }
        }
    }

    #[test]
    fn what_successful_steps_print_is_not_recognised() {
        for line in [
            "PLAY [all] *********************************************************************",
            "ok: [vm1] => {\"changed\": false, \"msg\": \"All items completed\"}",
            "skipping: [vm2]",
            "vm1 : ok=12 changed=4 unreachable=0 failed=0 skipped=3 rescued=0 ignored=0",
            "TASK [rke2_deploy : Wait for port 9345 on the first server] ********************",
            "TASK [Fail when the certificate is not found] **********************************",
            "module.postgres[0].helm_release.postgres: Creation complete after 2m10s [id=postgres]",
            "module.regclient[0].helm_release.regclient: Still creating... [29m50s elapsed]",
            "Apply complete! Resources: 2 added, 0 changed, 0 destroyed.",
            "deployment.apps/istiod condition met",
            "Successfully received certificate.",
            "0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.",
            "Hang tight while we grab the latest from your chart repositories...",
            "Update Complete. Happy Helming!",
            "kafka-0   2/2   Running   0   14m",
            "Warning: Permanently added '10.0.0.5' (ED25519) to the list of known hosts.",
        ] {
            assert_eq!(ids(&[line]), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn entries_are_complete() {
        let profile = include_str!("../../profiles/turing-rke2.toml");
        for issue in CATALOGUE.issues() {
            let id = &issue.id;
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{id}");
            assert!(!issue.title.is_empty() && !issue.source.is_empty(), "{id}");
            assert!(issue.cause.ends_with('.') && issue.remedy.ends_with('.'), "{id}: sentences end with a full stop");
            for phase in &issue.phases {
                assert!(profile.contains(&format!("[[phase]]\nid = \"{phase}\"")), "{id}: there is no phase {phase}");
            }
        }
    }

    #[test]
    fn hits_are_told_once_and_the_most_specific_first() {
        let general = "Error: context deadline exceeded";
        let specific = "ssh: Could not resolve hostname 10.100.3.: Name or service not known";
        assert_eq!(ids(&[general, specific, general]), ["input-placeholder", "helm-wait"]);
        let hits = CATALOGUE.diagnose([general, "x: context deadline exceeded"].into_iter());
        assert_eq!((hits.len(), hits[0].line.as_str(), hits[0].confidence), (1, general, Confidence::Low));
    }

    #[test]
    fn overlapping_lines_go_to_the_specific_entry() {
        for (line, expected) in [
            ("Error pulling image registry.example.net/wireguard: net/http: TLS handshake timeout", "egress"),
            ("could not connect to registry.terraform.io: dial tcp: lookup registry.terraform.io on 10.0.0.2:53: no such host", "egress"),
            ("DNS problem: NXDOMAIN looking up TXT for _acme-challenge.a.org", "cert-acme"),
            ("failed: registry-1.docker.io/v2/bitnamicharts/minio: 429 Too Many Requests: toomanyrequests", "chart-dl"),
            ("vm1: Gathering Facts: Failed to connect to the host via ssh: u@10.0.0.5: Permission denied (publickey).", "ssh-auth"),
            (
                "vm1: Gathering Facts: Failed to connect to the host via ssh: Could not resolve hostname vm1: Name or service not known",
                "dns-missing",
            ),
            ("\"msg\": \"dlopen() \\\"/usr/lib/nginx/modules/ngx_stream_module.so\\\" failed\"", "nginx-stream"),
        ] {
            assert_eq!(ids(&[line]), [expected], "{line}");
        }
    }

    #[test]
    fn a_failure_that_is_ignored_is_none() {
        let failed = "fatal: [vm1]: FAILED! => {\"msg\": \"Missing sudo password\"}";
        assert_eq!(ids(&[failed, "...ignoring"]), Vec::<String>::new());
        assert_eq!(ids(&["...ignoring", failed]), ["sudo-pass"]);
    }

    #[test]
    fn an_own_catalogue_goes_first_and_replaces_entries_of_the_same_name() {
        let entry = |id: &str, cause: &str| {
            format!(
                "[[issue]]\nid = \"{id}\"\ntitle = \"t\"\npattern = \"Missing sudo password\"\ncause = \"{cause}\"\nremedy = \"r.\"\nconfidence = \"high\"\n"
            )
        };
        for id in ["ours", "sudo-pass"] {
            let own = Catalogue::read(&entry(id, "Ours.")).unwrap().before(CATALOGUE.clone()).unwrap();
            let hits = own.diagnose(["Missing sudo password"].into_iter());
            assert_eq!((hits.len(), hits[0].id.as_str(), hits[0].cause.as_str()), (1, id, "Ours."));
        }
        assert!(Catalogue::read(&[entry("a", "x"), entry("a", "y")].concat()).unwrap_err().contains("twice"));
    }

    #[test]
    fn broken_catalogues_say_what_is_wrong() {
        let entry = |pattern: &str| {
            format!("[[issue]]\nid = \"a\"\ntitle = \"t\"\npattern = '{pattern}'\ncause = \"c\"\nremedy = \"r\"\nconfidence = \"high\"\n")
        };
        assert!(Catalogue::read(&entry("(")).unwrap_err().starts_with("a: "));
        assert!(Catalogue::read(&entry("x*")).unwrap_err().contains("every line"));
        assert!(Catalogue::read("[[issue]]\nid = 1\n").is_err());
        assert!(Catalogue::read("surprise = true\n").unwrap_err().contains("surprise"));
        assert!(Catalogue::read("").unwrap().diagnose(["anything"].into_iter()).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(lines in proptest::collection::vec(any::<String>(), 0..12), long in 0usize..70_000) {
            let long = "é".repeat(long);
            let all = lines.iter().map(String::as_str).chain(std::iter::once(long.as_str()));
            prop_assert!(CATALOGUE.diagnose(all).len() <= lines.len() + 1);
        }
    }
}
