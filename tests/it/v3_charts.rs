//! The charts and modules of the V3 profile against the published scripts: which, at which version, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use mosip_setup::adapters::profiles::load;
use mosip_setup::install::check::CheckKind;
use mosip_setup::install::profile::{Profile, StepKind};

use crate::support::skip;
use crate::v3::clones;
use crate::v3_prompts::script_of;

/// The name under which a script knows a repository, and the check that looks into its index.
const REPOSITORIES: [(&str, &str); 8] = [
    ("mosip", "charts.mosip"),
    ("bitnami", "charts.bitnami"),
    ("wiremind", "charts.clamav"),
    ("kafka-ui", "charts.kafka-ui"),
    ("longhorn", "charts.longhorn"),
    ("stable", "charts.nfs"),
    ("ingress-nginx", "charts.ingress-nginx"),
    ("rancher-latest", "charts.rancher"),
];

type Charts = BTreeSet<(String, String, String)>;

/// Check, chart and version of all charts that the preflight looks for.
fn looked_for(profile: &Profile) -> Charts {
    let of = |check: &str| match &profile.check(check).unwrap_or_else(|| panic!("no check {check}")).kind {
        CheckKind::Charts { charts, .. } => charts.clone(),
        other => panic!("{check}: {other:?}"),
    };
    let all =
        REPOSITORIES.iter().flat_map(|(_, check)| of(check).into_iter().map(|(chart, version)| ((*check).to_owned(), chart, version)));
    all.collect()
}

/// Compares what reached the clusters of a run with what the preflight looks for; `left_out`: charts that its answers do not install.
pub fn installed(profile: &Profile, calls: &[String], left_out: &[&str]) {
    let mut seen = Charts::new();
    for line in calls.iter().filter(|line| line.starts_with("helm [")) {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(at) = words.iter().position(|word| *word == "install") else { continue };
        // A chart that lies beside its script comes with the checkout.
        let chart = words[at..].iter().skip(2).find_map(|word| word.split_once('/').filter(|_| !word.contains('=')));
        let Some((repository, chart)) = chart else { panic!("no chart: {line}") };
        if repository == "chart" {
            continue;
        }
        let known = REPOSITORIES.iter().find(|(name, _)| *name == repository);
        let (_, check) = known.unwrap_or_else(|| panic!("nobody looks into the index of {repository}: {line}"));
        let version = words.iter().position(|word| *word == "--version").map_or("", |at| words[at + 1]);
        seen.insert(((*check).to_owned(), chart.to_owned(), version.trim_matches('"').to_owned()));
    }
    let mut wanted = looked_for(profile);
    wanted.retain(|(_, chart, _)| !left_out.contains(&chart.as_str()));
    let unseen: Vec<_> = wanted.difference(&seen).collect();
    let unlisted: Vec<_> = seen.difference(&wanted).collect();
    assert!(
        unseen.is_empty() && unlisted.is_empty(),
        "looked for and not installed: {unseen:?}; installed and not looked for: {unlisted:?}"
    );
}

/// A file of a clone at the commit of the profile, wherever its own checkout stands; none: it has no such file.
fn published(profile: &Profile, source: &str, clone: &Path, path: &str) -> Option<String> {
    let file = format!("{}:{path}", profile.sources[source].commit);
    let done = Command::new("git").arg("-C").arg(clone).args(["show", &file]).output().unwrap();
    done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
}

/// The scripts of mosip-infra that the profile runs, in its order, below `deployment/v3`.
fn scripts(profile: &Profile) -> Vec<String> {
    let steps = profile.phases.iter().flat_map(|phase| &phase.steps);
    let run = steps.filter_map(|step| match &step.action {
        StepKind::Command(argv) => script_of(argv, step.dir.as_deref()),
        _ => None,
    });
    run.filter_map(|script| Some(script.strip_prefix("mosip-infra/deployment/v3/")?.to_owned())).collect()
}

/// What `external/all/install-all.sh` runs.
fn external(text: &str) -> Vec<String> {
    let (mut folder, mut found) = ("", Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("cd $ROOT_DIR/") {
            folder = path.trim_end_matches('/');
        } else if let Some(script) = line.strip_prefix("./") {
            found.push(format!("external/{folder}/{script}"));
        }
    }
    found
}

/// What `mosip/all/install-all.sh` runs.
fn services(text: &str) -> Vec<String> {
    let list = text.split_once("module=(").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(|module| format!("mosip/{module}/install.sh")).collect()
}

/// Where the collecting script names what is not there, or not in the order of the documents; and why.
const OTHERWISE: [(&str, &str); 2] = [
    ("external/conf-secrets/install.sh", "there is no such folder (pitfall 1); the services' own comes first among them"),
    ("external/captcha/install.sh", "the documents have it before the landing page; neither needs the other"),
];

#[test]
fn modules_come_in_the_order_of_the_published_scripts() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    for name in ["v3-onprem", "v3-onprem-nodns"] {
        let profile = load(name).unwrap();
        let read = |path: &str| published(&profile, "mosip-infra", &clones[1], &format!("deployment/v3/{path}"));
        let ours = scripts(&profile);
        let without =
            |list: Vec<String>| list.into_iter().filter(|one| OTHERWISE.iter().all(|(other, _)| one != other)).collect::<Vec<_>>();
        let below = |folder: &str| without(ours.iter().filter(|script| script.starts_with(folder)).cloned().collect());
        assert_eq!(below("external/"), without(external(&read("external/all/install-all.sh").unwrap())), "{name}");
        assert_eq!(below("mosip/"), services(&read("mosip/all/install-all.sh").unwrap()), "{name}");
        assert!(read(OTHERWISE[0].0).is_none(), "it is there after all");
        assert_eq!(ours.iter().filter(|script| **script == OTHERWISE[1].0).count(), 1, "{name}");
        // Nothing of the external components comes after the services; the test rigs come last.
        let place = |script: &String| ["external/", "mosip/", "testrig/"].iter().position(|folder| script.starts_with(folder)).unwrap();
        assert!(ours.iter().map(place).is_sorted(), "{name}: {ours:?}");
        // What a script installs, and how often, is no more than what it says: every chart that one names is looked for, or never was there.
        let charts: BTreeMap<String, String> = looked_for(&profile).into_iter().map(|(_, chart, version)| (chart, version)).collect();
        for script in &ours {
            for chart in named_charts(&read(script).unwrap_or_else(|| panic!("{script} is not there"))) {
                assert!(charts.contains_key(&chart) || chart == "regproc-landingzone", "{name}: {script}: nobody looks for {chart}");
            }
        }
    }
}

/// Whether a clone has a path at a tag; none: it has no such tag.
fn has(clone: &Path, tag: &str, path: &str) -> Option<bool> {
    let git = |what: &str| Command::new("git").arg("-C").arg(clone).args(["cat-file", "-e", what]).output().unwrap().status.success();
    git(&format!("{tag}^{{commit}}")).then(|| git(&format!("{tag}:{path}")))
}

#[test]
fn other_versions_are_known_by_their_layout_and_this_one_is_not_refused() {
    let Some(clones) = clones() else {
        skip!("v3", "the clones of k8s-infra and mosip-infra are not given (--v3 K8S_INFRA MOSIP_INFRA)");
    };
    let profile = load("v3-onprem").unwrap();
    // mosip-infra 1.2.0.1 has the same layout and scripts: there the commit alone differs, and is a warning.
    for (source, clone, others) in [("k8s-infra", &clones[0], &["v1.2.0.1", "v1.2.1.2"][..]), ("mosip-infra", &clones[1], &["v1.2.1.0"])] {
        let spec = &profile.sources[source];
        let refused = |at: &str| {
            let found =
                spec.refuse.iter().filter(|refusal| has(clone, at, &refusal.path).unwrap_or_else(|| panic!("{source} has no {at}")));
            found.map(|refusal| refusal.message.clone()).collect::<Vec<_>>()
        };
        for other in others {
            let said = refused(other);
            assert!(said.len() == 1 && said[0].contains("v1.2.0.2"), "{source} {other}: {said:?}");
        }
        assert_eq!(refused(&spec.commit), [""; 0], "{source}");
        let missing: Vec<&String> = spec.markers.iter().filter(|marker| has(clone, &spec.commit, marker) != Some(true)).collect();
        assert!(missing.is_empty(), "{source}: {missing:?}");
        assert!(
            spec.refuse.iter().all(|refusal| others.iter().any(|other| has(clone, other, &refusal.path) == Some(true))),
            "{source}: a refusal that never holds"
        );
    }
}

/// The charts that a script installs, without those beside it.
fn named_charts(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("helm ") && line.contains(" install "));
    let chart = |line: &str| {
        let word = line.split_whitespace().skip_while(|word| *word != "install").nth(2)?;
        let (repository, chart) = word.split_once('/')?;
        (repository != "chart").then(|| chart.to_owned())
    };
    lines.filter_map(chart).collect()
}

#[test]
fn the_lists_of_the_collecting_scripts_are_read() {
    let text = "cd $ROOT_DIR/postgres\n  ./install.sh\n ./init_db.sh\n\n cd $ROOT_DIR/object-store/minio/\n./install.sh\n";
    assert_eq!(external(text), ["external/postgres/install.sh", "external/postgres/init_db.sh", "external/object-store/minio/install.sh"]);
    assert_eq!(services("declare -a module=(\"a\"\n  \"b-c\"\n )\n\"d\""), ["mosip/a/install.sh", "mosip/b-c/install.sh"]);
    assert_eq!(named_charts("helm -n $NS install a mosip/b --wait\nhelm install c chart/c\n# helm install d x/e\n"), ["b"]);
}
