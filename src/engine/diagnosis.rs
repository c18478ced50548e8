//! Says why an attempt failed and what to do, from what it printed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::attempt::Reading;
use crate::run::diagnose::{Catalogue, Confidence, Hit, SHIPPED};
use crate::run::event::Failure;

/// How many known failures a failure carries in full: the first is the likely one, the others are to be thought of.
const MOST: usize = 3;

/// The catalogues, read when they are first needed: that takes a moment, and most attempts are short.
#[derive(Debug, Default)]
pub struct LazyCatalogue {
    own: Option<PathBuf>,
    read: OnceLock<Option<Arc<Catalogue>>>,
}

impl LazyCatalogue {
    /// The shipped one and the operators' own, which need not exist. One that cannot be read is told of when something fails.
    #[must_use]
    pub fn new(own: Option<&Path>) -> Arc<Self> {
        Arc::new(Self { own: own.map(Path::to_owned), read: OnceLock::new() })
    }

    /// The catalogue; none: it cannot be read.
    pub fn get(&self) -> Option<Arc<Catalogue>> {
        self.read.get_or_init(|| catalogue(self.own.as_deref()).0.map(Arc::new)).clone()
    }
}

/// Completes a failure with what is known about its lines; `recent` is the end of the output, `own` the operators' catalogue, which
/// need not exist. A hint that is there already stays.
///
/// # Errors
/// A catalogue cannot be read; the failure is completed without it.
pub fn explain(failure: &mut Failure, reading: &Reading, recent: &[String], own: Option<&Path>) -> Result<(), String> {
    // A plan that would destroy something is no failure to explain: the operator is asked.
    if !failure.destroys.is_empty() {
        return Ok(());
    }
    let (catalogue, result) = catalogue(own);
    let hits = catalogue.map(|catalogue| hits(&catalogue, failure, recent)).unwrap_or_default();
    failure.known = hits.iter().map(|hit| hit.id.clone()).collect();
    failure.diagnoses = hits.iter().take(MOST).cloned().collect();
    if failure.hint.is_empty() {
        failure.hint = match hits.first() {
            Some(hit) if hit.confidence == Confidence::Low => format!("Possible cause: {} Do: {}", hit.cause, hit.remedy),
            Some(hit) => format!("Likely cause: {} Do: {}", hit.cause, hit.remedy),
            None => generic(failure, reading),
        };
    }
    result
}

/// Whether the operators' own catalogue can be read, where there is one.
///
/// # Errors
/// It cannot: the file, with line and key, and what that means.
pub fn check_own(own: Option<&Path>) -> Result<(), String> {
    catalogue(own).1.map_err(|error| format!("{}\nfailures are recognised without this file until it is mended", error.trim_end()))
}

/// The shipped catalogue, after the operators' own where there is one.
fn catalogue(own: Option<&Path>) -> (Option<Catalogue>, Result<(), String>) {
    let shipped = match Catalogue::read(SHIPPED) {
        Ok(shipped) => shipped,
        Err(error) => return (None, Err(error)),
    };
    let Some(path) = own else { return (Some(shipped), Ok(())) };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Some(shipped), Ok(())),
        Err(error) => return (Some(shipped), Err(format!("{}: {error}", path.display()))),
    };
    match Catalogue::read(&text).and_then(|own| own.before(shipped.clone())) {
        Ok(both) => (Some(both), Ok(())),
        Err(error) => (Some(shipped), Err(format!("{}: {error}", path.display()))),
    }
}

/// The lines that matter speak first; the end of the output is asked when they say nothing definite.
fn hits(catalogue: &Catalogue, failure: &Failure, recent: &[String]) -> Vec<Hit> {
    let matter = || std::iter::once(&failure.message).chain(&failure.lines).map(String::as_str);
    let hits = catalogue.diagnose(matter());
    if hits.iter().any(|hit| hit.confidence > Confidence::Low) {
        return hits;
    }
    catalogue.diagnose(matter().chain(recent.iter().map(String::as_str)))
}

/// What to do about a failure that no entry knows.
fn generic(failure: &Failure, reading: &Reading) -> String {
    let hosts = failure.hosts.join(", ");
    match (reading, failure.exit, failure.signal) {
        (Reading::Playbook { .. }, Some(4), _) if failure.hosts.is_empty() => {
            "Ansible reached no host or could not read its files: look at the first lines of the log.".to_owned()
        }
        (Reading::Playbook { .. }, Some(4), _) => format!(
            "Check that {hosts} is powered on, that address and user are right, that port 22 answers from here and takes the key; then retry: finished tasks are quick."
        ),
        (Reading::Playbook { .. }, Some(2), _) => {
            "Read the message of the task that failed, put it right on the machine it names, then retry: finished tasks are quick.".to_owned()
        }
        (Reading::Terraform { .. }, _, Some(_)) => {
            "Terraform was killed. If it left a lock, retry says so. Check this machine's free memory, then retry.".to_owned()
        }
        (Reading::Terraform { .. }, ..) => {
            "Look at the pods of the module it names, then retry: Terraform plans again and goes on where it was.".to_owned()
        }
        (_, Some(255), _) if failure.command.starts_with("ssh ") => {
            "SSH could not connect: check that the machine is powered on, that address and user are right, that port 22 answers from here and takes the key; then retry.".to_owned()
        }
        (_, Some(127), _) => "A program it calls is not installed or not on PATH: the last lines name it. Install it, then retry.".to_owned(),
        (_, Some(126), _) => "A program it calls may not be executed: check its mode and the mount options of its disk.".to_owned(),
        (_, _, Some(9)) => "It was killed, most likely because memory ran out: see 'dmesg | grep -i killed'.".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(lines: &[&str], exit: i32) -> Failure {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Failure { message: format!("x ended with exit code {exit}"), lines, exit: Some(exit), ..Failure::default() }
    }

    #[test]
    fn a_known_failure_gets_cause_and_remedy() {
        let mut failure = failure(&["vm1: apt : Upgrade: E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1"], 2);
        assert_eq!(explain(&mut failure, &Reading::Playbook { tasks: 1, empty_groups: false }, &[], None), Ok(()));
        assert_eq!(failure.known, ["apt-lock"]);
        assert!(failure.hint.starts_with("Likely cause: ") && failure.hint.contains(" Do: "), "{}", failure.hint);
    }

    #[test]
    fn the_end_of_the_output_is_asked_when_the_lines_are_vague() {
        let mut vague = failure(&["module.a[0].helm_release.a: context deadline exceeded"], 1);
        let recent = ["Warning  Failed  kubelet  toomanyrequests: You have reached your unauthenticated pull rate limit".to_owned()];
        assert_eq!(explain(&mut vague, &Reading::Plain, &recent, None), Ok(()));
        assert_eq!(vague.known, ["img-rate", "helm-wait"]);
        let mut definite = failure(&["Missing sudo password"], 2);
        assert_eq!(explain(&mut definite, &Reading::Plain, &recent, None), Ok(()));
        assert_eq!(definite.known, ["sudo-pass"], "an older line says nothing about this failure");
    }

    #[test]
    fn an_unknown_failure_gets_the_hint_of_its_kind_and_a_hint_stays() {
        let mut unreachable = Failure { hosts: vec!["vm3".into()], ..failure(&[], 4) };
        assert_eq!(explain(&mut unreachable, &Reading::Playbook { tasks: 1, empty_groups: false }, &[], None), Ok(()));
        assert!(unreachable.hint.contains("vm3 is powered on") && unreachable.known.is_empty(), "{}", unreachable.hint);
        let mut own = Failure { hint: "mine".into(), ..failure(&["Missing sudo password"], 2) };
        assert_eq!(explain(&mut own, &Reading::Plain, &[], None), Ok(()));
        assert_eq!((own.hint.as_str(), own.known.len()), ("mine", 1));
        let mut asked = Failure { destroys: vec!["x.y".into()], ..failure(&["Missing sudo password"], 0) };
        assert_eq!(explain(&mut asked, &Reading::Plain, &[], None), Ok(()));
        assert!(asked.hint.is_empty() && asked.known.is_empty());
    }

    #[test]
    fn the_operators_own_file_is_read_and_a_broken_one_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known-issues.toml");
        let run = || {
            let mut failure = failure(&["proxy.corp said: Missing sudo password"], 2);
            (explain(&mut failure, &Reading::Plain, &[], Some(&path)), failure.known)
        };
        assert_eq!(run(), (Ok(()), vec!["sudo-pass".to_owned()]), "it need not exist");
        let entry =
            "[[issue]]\nid = \"corp\"\ntitle = \"t\"\npattern = 'proxy\\.corp'\ncause = \"c.\"\nremedy = \"r.\"\nconfidence = \"high\"\n";
        std::fs::write(&path, entry).unwrap();
        assert_eq!(run(), (Ok(()), vec!["corp".to_owned()]));
        assert_eq!(check_own(Some(&path)), Ok(()));
        std::fs::write(&path, "[[issue]]\nid = 7\n").unwrap();
        let (result, known) = run();
        assert!(result.unwrap_err().contains("known-issues.toml"));
        assert_eq!(known, ["sudo-pass"]);
        let trouble = |text: &str| {
            std::fs::write(&path, text).unwrap();
            check_own(Some(&path)).unwrap_err()
        };
        assert!(trouble("[[issue]]\nid = 7\n").contains("line 2"));
        assert!(trouble(&entry.replace("title", "titel")).contains("titel"));
        assert!(trouble(&entry.replace("proxy", "(proxy")).contains("corp: "), "the entry whose pattern is wrong");
    }
}
