//! From a judgement to a finding; where a check applies, and when.

use crate::install::check::{Cause, CheckKind, CheckSpec, Finding, Ignored, Ignores, Level, Target, Verdict};
use crate::install::ids::PhaseId;
use crate::install::plan::{Plan, PlanMachine};

/// How a fact compares with what a check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// As asked for.
    Right,
    /// Not as asked for; how bad, the check's level says.
    Wrong,
    /// Worth a word, and never in the way.
    Doubtful,
    /// Could not be told.
    Unknown,
    /// Wrong in a way that nobody may ignore, whatever the check's level.
    Strict,
}

/// A judgement in words.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) judged: Judged,
    pub(super) observed: String,
    pub(super) expected: String,
    pub(super) remedy: String,
    /// Whether the profile's own remedy is left out.
    pub(super) alone: bool,
    /// The kind of cause, for front ends.
    pub(super) cause: Option<Cause>,
}

impl Judgement {
    pub(super) fn new(judged: Judged, observed: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { judged, observed: observed.into(), expected: expected.into(), remedy: String::new(), alone: false, cause: None }
    }

    /// Right or wrong, by a condition.
    pub(super) fn when(right: bool, observed: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(if right { Judged::Right } else { Judged::Wrong }, observed, expected)
    }

    pub(super) fn unknown(observed: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Judged::Unknown, observed, expected)
    }

    /// Adds what to do about exactly this; it comes before the profile's own remedy.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Leaves the profile's own remedy out: it does not fit this cause.
    pub(super) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Names the kind of cause.
    pub(super) fn cause(mut self, cause: Option<Cause>) -> Self {
        self.cause = cause;
        self
    }

    pub(super) fn finding(self, check: &CheckSpec, target: Target) -> Finding {
        let level = if self.judged == Judged::Strict { Level::Strict } else { check.level };
        let verdict = match self.judged {
            Judged::Right => Verdict::Pass,
            Judged::Doubtful => Verdict::Warn,
            Judged::Unknown => Verdict::Unknown,
            Judged::Wrong if level == Level::Warn => Verdict::Warn,
            Judged::Wrong | Judged::Strict => Verdict::Fail,
        };
        let remedy = match (verdict, self.remedy.is_empty(), check.remedy.is_empty()) {
            (Verdict::Pass, ..) => String::new(),
            (_, true, _) => check.remedy.clone(),
            (_, false, _) if self.alone => self.remedy,
            (_, false, true) => self.remedy,
            (_, false, false) => format!("{} {}", self.remedy, check.remedy),
        };
        Finding {
            check: check.id.clone(),
            target,
            level,
            verdict,
            observed: self.observed,
            expected: self.expected,
            remedy,
            guards: check.guards.clone(),
            ignored: None,
            cause: self.cause,
        }
    }
}

/// A finding of a check that was not judged.
#[must_use]
pub fn skipped(check: &CheckSpec, target: Target, reason: &str) -> Finding {
    let finding = Judgement::new(Judged::Right, reason, "").finding(check, target);
    Finding { verdict: Verdict::Skipped, ..finding }
}

/// A finding of a check that could not be told; it blocks like a failure.
#[must_use]
pub fn unknown(check: &CheckSpec, target: Target, reason: &str) -> Finding {
    Judgement::unknown(reason, check.title.clone()).finding(check, target)
}

/// Marks a finding that the operator has decided to live with. A strict one cannot be ignored.
pub fn apply_ignores(finding: &mut Finding, ignores: &Ignores) {
    let matters = matches!(finding.verdict, Verdict::Fail | Verdict::Unknown | Verdict::Warn);
    if matters && finding.level != Level::Strict {
        match ignores.get(&(finding.check.clone(), finding.target.clone())) {
            Some(Ignored::Holds(reason)) => finding.ignored = Some(reason.clone()),
            Some(Ignored::Over(reason)) => finding.observed.push_str(&format!("; ignored before ({reason}): that time is over")),
            None => {}
        }
    }
}

/// Whether a check is to be judged now: not once all the phases it guards are done, and not before the phase that provides the thing.
///
/// # Errors
/// The reason why not, for the skipped finding.
pub fn applicable(check: &CheckSpec, done: &dyn Fn(&PhaseId) -> bool) -> Result<(), String> {
    if let Some(provider) = check.provided_by.as_ref().filter(|provider| !done(provider)) {
        return Err(format!("phase {provider} provides it, and is still to run"));
    }
    if !check.guards.is_empty() && check.guards.iter().all(done) {
        let names: Vec<&str> = check.guards.iter().map(PhaseId::as_str).collect();
        let (phases, are) = if names.len() == 1 { ("phase", "is") } else { ("phases", "are") };
        return Err(format!("it guards {phases} {}, which {are} done", names.join(", ")));
    }
    Ok(())
}

/// The machines a check looks at: those with one of its roles, or all.
pub(super) fn machines<'a>(check: &'a CheckSpec, plan: &'a Plan) -> impl Iterator<Item = &'a PlanMachine> {
    plan.machines.iter().filter(|machine| looks_at(check, machine))
}

/// Whether a check that looks at machines looks at this one.
#[must_use]
pub fn looks_at(check: &CheckSpec, machine: &PlanMachine) -> bool {
    check.roles.is_empty() || machine.roles.iter().any(|role| check.roles.contains(role))
}

/// Where a check gives a finding, in the order of the plan. Known before anything is asked, so that a matrix can be drawn.
#[must_use]
pub fn targets(check: &CheckSpec, plan: &Plan) -> Vec<Target> {
    if check.kind.is_per_machine() {
        return machines(check, plan).map(|machine| Target::Machine(machine.name.clone())).collect();
    }
    if check.kind.is_about_paths() {
        return crate::install::reach::paths(check, plan).iter().map(crate::install::reach::Path::target).collect();
    }
    let named: Vec<&str> = match &check.kind {
        CheckKind::Dns { records } | CheckKind::DnsFromMachines { records } => records.iter().map(|record| record.name.as_str()).collect(),
        CheckKind::Egress { urls } | CheckKind::EgressFromMachines { urls } => urls.iter().map(|url| super::host_of(url)).collect(),
        _ => return vec![Target::Local],
    };
    let mut names: Vec<Target> = Vec::new();
    for name in named {
        let target = Target::Name(name.to_owned());
        if !names.contains(&target) {
            names.push(target);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guards: &[&str], provided_by: Option<&str>, level: Level) -> CheckSpec {
        CheckSpec {
            id: "c".parse().unwrap(),
            title: "thing".into(),
            level,
            roles: Vec::new(),
            guards: guards.iter().map(|id| id.parse().unwrap()).collect(),
            provided_by: provided_by.map(|id| id.parse().unwrap()),
            on_demand: false,
            when: None,
            remedy: "Do it.".into(),
            fix: None,
            kind: CheckKind::Login {},
        }
    }

    #[test]
    fn guards_and_providers_decide_whether_a_check_applies() {
        let done = |id: &PhaseId| *id == "a";
        let reason = |guards: &[&str], provided_by| applicable(&check(guards, provided_by, Level::Fail), &done);
        assert_eq!(reason(&[], None), Ok(()));
        assert_eq!(reason(&["a", "b"], None), Ok(()));
        assert_eq!(reason(&["a"], None), Err("it guards phase a, which is done".into()));
        assert_eq!(reason(&["b"], Some("a")), Ok(()));
        assert_eq!(reason(&["a"], Some("b")), Err("phase b provides it, and is still to run".into()));
    }

    #[test]
    fn levels_decide_and_strict_cannot_be_ignored() {
        let of = |level, judged| Judgement::new(judged, "seen", "wanted").remedy("First.").finding(&check(&[], None, level), Target::Local);
        assert_eq!(of(Level::Warn, Judged::Wrong).verdict, Verdict::Warn);
        assert_eq!(of(Level::Fail, Judged::Wrong).verdict, Verdict::Fail);
        assert_eq!(of(Level::Fail, Judged::Wrong).remedy, "First. Do it.");
        assert_eq!(of(Level::Fail, Judged::Right).remedy, "");
        assert_eq!(of(Level::Strict, Judged::Doubtful).verdict, Verdict::Warn);
        let ignores = Ignores::from([(("c".parse().unwrap(), Target::Local), Ignored::Holds("known".to_owned()))]);
        for (level, judged, blocks) in [
            (Level::Fail, Judged::Wrong, false),
            (Level::Fail, Judged::Unknown, false),
            (Level::Strict, Judged::Wrong, true),
            (Level::Strict, Judged::Unknown, true),
            (Level::Warn, Judged::Strict, true),
        ] {
            let mut finding = of(level, judged);
            assert_ne!(finding.verdict, Verdict::Pass);
            apply_ignores(&mut finding, &ignores);
            assert_eq!(finding.blocks(), blocks, "{level:?} {judged:?}");
        }
        let over = Ignores::from([(("c".parse().unwrap(), Target::Local), Ignored::Over("known".to_owned()))]);
        let mut finding = of(Level::Fail, Judged::Wrong);
        apply_ignores(&mut finding, &over);
        assert!(finding.blocks() && finding.observed == "seen; ignored before (known): that time is over", "{finding:?}");
        assert!(!unknown(&check(&[], None, Level::Warn), Target::Local, "x").blocks());
        assert!(unknown(&check(&[], None, Level::Fail), Target::Local, "x").blocks());
    }
}
