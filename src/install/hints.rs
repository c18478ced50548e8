//! What a profile knows about the course of a step: how long its parts take, and in which order they come.

use serde::{Deserialize, Serialize};

/// What is known about the course of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hints {
    /// How long single tasks or resources take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// Modules of a Terraform root that belong together, in the order in which they come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// How long a task or a resource takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// A part of the task's name or of the resource's address; the first entry that fits counts.
    #[serde(rename = "match")]
    pub part: String,
    /// Minutes, from and to.
    pub minutes: (u32, u32),
    /// What it does in that time; shown while it is normal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Modules that come together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What they are, in a few words.
    pub title: String,
    /// The modules' names, without `module.` and index.
    pub modules: Vec<String>,
}

impl Hints {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expect.is_empty() && self.groups.is_empty()
    }

    /// How long this task or resource takes, where that is known.
    #[must_use]
    pub fn expected(&self, name: &str) -> Option<&Expect> {
        self.expect.iter().find(|expect| name.contains(&expect.part))
    }

    /// The group a module belongs to, counted from 0.
    #[must_use]
    pub fn group_of(&self, module: &str) -> Option<usize> {
        let name = module_name(module);
        self.groups.iter().position(|group| group.modules.iter().any(|known| known == name))
    }

    /// What is wrong with it, one sentence each.
    #[must_use]
    pub fn problems(&self, terraform: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for expect in &self.expect {
            if expect.part.is_empty() {
                wrong.push("expect: match is empty, so it would fit everything".to_owned());
            }
            if expect.minutes.0 > expect.minutes.1 {
                wrong.push(format!("expect '{}': write the shorter time first", expect.part));
            }
        }
        if !terraform && !self.groups.is_empty() {
            wrong.push("groups: only a terraform step has modules to group".to_owned());
        }
        let mut seen: Vec<&String> = Vec::new();
        for module in self.groups.iter().flat_map(|group| &group.modules) {
            if seen.contains(&module) {
                wrong.push(format!("groups: module '{module}' is in two groups"));
            }
            seen.push(module);
        }
        wrong
    }
}

/// A module's name without `module.`, index and modules above it: `module.a[0].module.b["x"]` is `a`.
#[must_use]
pub fn module_name(module: &str) -> &str {
    let name = module.strip_prefix("module.").unwrap_or(module);
    name.split(['.', '[']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints() -> Hints {
        let expect = |part: &str, minutes| Expect { part: part.into(), minutes, note: String::new() };
        let group = |modules: &[&str]| Group { title: "t".into(), modules: modules.iter().map(|name| (*name).to_owned()).collect() };
        Hints { expect: vec![expect("regproc_group", (2, 30)), expect("regproc", (1, 5))], groups: vec![group(&["a", "b"]), group(&["c"])] }
    }

    #[test]
    fn the_first_entry_that_fits_counts_and_modules_find_their_group() {
        let hints = hints();
        assert_eq!(hints.expected("module.regproc[0].helm_release.regproc_group1").unwrap().minutes, (2, 30));
        assert_eq!(hints.expected("module.regproc[0].helm_release.x").unwrap().minutes, (1, 5));
        assert_eq!(hints.expected("module.kernel[0]"), None);
        assert_eq!((hints.group_of("module.c[0]"), hints.group_of("module.b"), hints.group_of("")), (Some(1), Some(0), None));
        assert_eq!(module_name("module.a[0].module.b[\"x\"]"), "a");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(hints().problems(true).is_empty());
        let mut wrong = hints();
        wrong.expect[0].minutes = (9, 1);
        wrong.expect[1].part.clear();
        wrong.groups[1].modules.push("a".into());
        assert_eq!(wrong.problems(false).len(), 4, "{:?}", wrong.problems(false));
    }
}
