//! Remedies that are scripts: what a profile offers to run where a check is not green, and what may never be offered.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::check::{CheckKind, CheckSpec, Finding, Target, Verdict};
use super::facts::MendFacts;
use super::ids::CheckId;
use super::plan::Plan;

/// A remedy that is a script. It runs only after somebody has seen it and agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// What it does, in a sentence; interpolated.
    pub does: String,
    /// A POSIX shell script; interpolated, without secrets. It stops at the first command that fails.
    pub script: String,
    /// Whether it runs as root.
    #[serde(default)]
    pub sudo: bool,
}

/// A fix for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFix {
    /// The check whose finding it is for.
    pub check: CheckId,
    /// Where it runs: a machine or the deployment node.
    pub target: Target,
    /// The fix, texts filled in.
    pub fix: Fix,
}

/// How a fix ended on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The fix.
    pub fix: PlannedFix,
    /// What came of it.
    pub facts: MendFacts,
}

impl Mended {
    /// Whether the script came to a good end.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.facts.exit == Some(0)
    }

    /// One line about its end.
    #[must_use]
    pub fn end(&self) -> String {
        match (&self.facts.problem, self.facts.exit) {
            (Some(problem), _) => problem.clone(),
            (None, Some(0)) => "done".to_owned(),
            (None, Some(code)) => format!("ended with exit code {code}"),
            (None, None) => "was ended by a signal".to_owned(),
        }
    }
}

/// Words of scripts that take away what cannot be brought back, each with its name for the message.
const DESTRUCTIVE: &[(&str, &str)] = &[
    (r"\brm\s+(-\w*\s+)*-\w*[rR]", "removing folders"),
    (r"\b(mkfs(\.\w+)?|wipefs|blkdiscard|shred|fdisk|sfdisk|parted|sgdisk)\b", "writing disks"),
    (r"\bdd\b[^\n]*\bof=", "writing disks"),
    (r"\b(lvremove|vgremove|pvremove|zpool\s+destroy)\b", "removing volumes"),
    (r"\b(iptables|ip6tables)\b[^\n]*\s(-F|--flush|-X|-P)\b", "taking firewall rules away"),
    (r"\bnft\b[^\n]*\b(flush|delete)\b", "taking firewall rules away"),
    (r"\bufw\b[^\n]*\b(disable|reset|delete)\b", "taking firewall rules away"),
    (
        r"(rke2|k3s)[\w-]*-uninstall|\bkubeadm\s+reset\b|\bkubectl\b[^\n]*\bdelete\b|\bhelm\b[^\n]*\b(uninstall|delete)\b",
        "removing clusters",
    ),
    (r"\b(apt|apt-get|dpkg)\b[^\n]*\b(purge|autoremove|--purge)\b", "removing packages with their data"),
    (r"\b(reboot|shutdown|poweroff|halt|init\s+[06])\b", "restarting the machine"),
    (r"\b(userdel|deluser|passwd|chpasswd)\b", "changing accounts"),
    (r"known_hosts|StrictHostKeyChecking|ssh-keygen\s+-R", "trusting host keys"),
];

/// What a script does that no fix may do; none: nothing of the kind.
#[must_use]
pub fn destroys(script: &str) -> Option<&'static str> {
    static FOUND: LazyLock<Vec<(regex::Regex, &str)>> =
        LazyLock::new(|| DESTRUCTIVE.iter().filter_map(|(pattern, what)| Some((regex::Regex::new(pattern).ok()?, *what))).collect());
    FOUND.iter().find(|(pattern, _)| pattern.is_match(script)).map(|(_, what)| *what)
}

/// Whether findings of this kind have a place where a script can run.
#[must_use]
pub fn has_a_place(kind: &CheckKind) -> bool {
    !matches!(kind, CheckKind::Dns { .. }) && !kind.is_about_paths()
}

/// The fix for a finding: where the check has one and the finding is a failure or a warning. What could not be told is looked at first.
#[must_use]
pub fn for_finding(plan: &Plan, finding: &Finding) -> Option<PlannedFix> {
    if !matches!(finding.verdict, Verdict::Fail | Verdict::Warn) {
        return None;
    }
    let spec: &CheckSpec = plan.check(finding.check.as_str())?;
    let fix = spec.fix.clone()?;
    matches!(finding.target, Target::Local | Target::Machine(_)).then(|| PlannedFix {
        check: finding.check.clone(),
        target: finding.target.clone(),
        fix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_destroy_are_told_from_those_that_do_not() {
        for bad in [
            "rm -rf /var/lib/rancher",
            "rm -f -r /x",
            "mkfs.ext4 /dev/sdb",
            "dd if=/dev/zero of=/dev/sda",
            "iptables -F",
            "nft flush ruleset",
            "ufw disable",
            "/usr/local/bin/rke2-uninstall.sh",
            "kubectl -n x delete pod y",
            "apt-get -y purge docker",
            "systemctl stop x; reboot",
            "lvremove -f vg/x",
            "ssh-keygen -R 10.0.0.1",
        ] {
            assert!(destroys(bad).is_some(), "{bad}");
        }
        for good in ["swapoff -a", "rm -f /run/x.tmp", "apt-get install -y python3", "modprobe overlay", "systemctl mask dev-sda2.swap"] {
            assert_eq!(destroys(good), None, "{good}");
        }
    }
}
