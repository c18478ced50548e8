//! A site being answered: its draft, what is wrong with it, and where the focus is.

use std::path::PathBuf;
use std::sync::Arc;

use super::advanced::Advanced;
use super::input::Line;
use super::keymap::Context;
use super::machines::Machines;
use crate::install::field::{Field, FieldKind};
use crate::install::interpolate::expand;
use crate::install::profile::Profile;
use crate::install::site::{Draft, KeyProblem, Knobs};

/// The part of the screen that has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The list of sections.
    Sections,
    /// What the section holds.
    Content,
    /// The buttons below.
    Buttons,
}

/// A section of the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// Fields below a heading.
    Fields(String),
    /// The table of machines.
    Machines,
    /// Further settings of the templates.
    Advanced,
}

impl Section {
    /// Its heading.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Fields(title) => title,
            Self::Machines => "Machines",
            Self::Advanced => "All settings",
        }
    }
}

/// How a section stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Answers that are wrong.
    pub wrong: usize,
    /// Answers that are missing.
    pub missing: usize,
}

/// A site being answered.
#[derive(Debug)]
pub struct SiteForm {
    /// Its file.
    pub path: PathBuf,
    /// Its profile.
    pub profile: Arc<Profile>,
    /// What it says.
    pub draft: Draft,
    /// What its file says; none: there is no file yet.
    pub saved: Option<Draft>,
    /// Whether the profile's sources are here.
    pub fetched: bool,
    /// The keys of the templates.
    pub knobs: Option<Arc<Knobs>>,
    /// What is wrong with it.
    pub problems: Vec<KeyProblem>,
    /// The sections.
    pub sections: Vec<Section>,
    /// Which one is shown.
    pub section: usize,
    /// What has the focus.
    pub part: Part,
    /// Which field has it.
    pub field: usize,
    /// Which button has it.
    pub button: usize,
    /// The text of the field in focus.
    pub line: Line,
    /// The table of machines.
    pub machines: Machines,
    /// Further settings.
    pub advanced: Advanced,
    /// The operator wanted to go on: what is missing is shown as wrong.
    pub insisted: bool,
}

/// The buttons below the form.
pub const BUTTONS: [&str; 3] = ["Continue", "Save", "Back"];

impl SiteForm {
    /// A form for a draft; `saved` where it was read from a file.
    #[must_use]
    pub fn new(path: PathBuf, profile: Arc<Profile>, draft: Draft, saved: bool, fetched: bool) -> Self {
        let mut sections: Vec<Section> = profile.sections().into_iter().map(|title| Section::Fields(title.to_owned())).collect();
        sections.insert(sections.len().min(1), Section::Machines);
        sections.push(Section::Advanced);
        let mut form = Self {
            path,
            saved: saved.then(|| draft.clone()),
            profile,
            draft,
            fetched,
            knobs: None,
            problems: Vec::new(),
            sections,
            section: 0,
            part: Part::Sections,
            field: 0,
            button: 0,
            line: Line::default(),
            machines: Machines::default(),
            advanced: Advanced::default(),
            insisted: false,
        };
        form.check();
        form
    }

    /// Finds what is wrong.
    pub fn check(&mut self) {
        self.problems = self.draft.validate(&self.profile, self.knobs.as_deref()).err().unwrap_or_default();
    }

    /// Whether something would be lost by leaving.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        match &self.saved {
            Some(saved) => *saved != self.draft,
            None => self.draft != Draft::new(&self.profile),
        }
    }

    /// The section shown.
    #[must_use]
    pub fn section(&self) -> &Section {
        &self.sections[self.section.min(self.sections.len() - 1)]
    }

    /// The fields of a section that are asked.
    #[must_use]
    pub fn fields_of(&self, title: &str) -> Vec<&Field> {
        let asked = |field: &&Field| field.section == title && self.draft.holds(&self.profile, field.when.as_ref());
        self.profile.fields.iter().filter(asked).collect()
    }

    /// The fields of the section shown.
    #[must_use]
    pub fn fields(&self) -> Vec<&Field> {
        match self.section() {
            Section::Fields(title) => self.fields_of(title),
            _ => Vec::new(),
        }
    }

    /// The field in focus.
    #[must_use]
    pub fn focused(&self) -> Option<&Field> {
        self.fields().get(self.field).copied()
    }

    /// Where the focus is.
    #[must_use]
    pub fn context(&self) -> Context {
        match (self.part, self.section()) {
            (Part::Sections, _) => Context::Sections,
            (Part::Buttons, _) => Context::Buttons,
            (Part::Content, Section::Machines) => self.machines.context(&self.draft),
            (Part::Content, Section::Advanced) => self.advanced.context(),
            (Part::Content, Section::Fields(_)) => match self.focused().map(|field| field.kind) {
                Some(FieldKind::Boolean | FieldKind::Choice) => Context::ChoiceField,
                Some(FieldKind::Secret) => Context::SecretField,
                _ => Context::TextField,
            },
        }
    }

    /// The key under which problems of a field are reported.
    #[must_use]
    pub fn key_of(field: &Field) -> String {
        if field.kind == FieldKind::Secret { format!("secret.{}", field.id) } else { field.id.to_string() }
    }

    /// What is wrong with a key.
    #[must_use]
    pub fn problem(&self, key: &str) -> Option<&KeyProblem> {
        self.problems.iter().find(|problem| problem.key == key)
    }

    /// The section a problem belongs to.
    #[must_use]
    pub fn section_of(&self, problem: &KeyProblem) -> usize {
        let key = problem.key.strip_prefix("secret.").unwrap_or(&problem.key);
        let wanted = if problem.key.starts_with("machine") {
            Section::Machines
        } else {
            self.profile.field(key).map_or(Section::Advanced, |field| Section::Fields(field.section.clone()))
        };
        self.sections.iter().position(|section| *section == wanted).unwrap_or(0)
    }

    /// Whether a problem is only that there is no answer yet.
    #[must_use]
    pub fn is_missing(&self, problem: &KeyProblem) -> bool {
        if let Some(field) = problem.key.strip_prefix("secret.") {
            return !self.draft.secrets.contains_key(field);
        }
        if problem.key == "machine" {
            return false;
        }
        if let Some(rest) = problem.key.strip_prefix("machine.") {
            return machine_of(&self.draft, rest).is_some_and(|(machine, item)| match item {
                "address" => machine.address.is_empty(),
                "public_address" => machine.public_address.is_none(),
                "roles" => machine.roles.is_empty(),
                "name" => machine.name.is_empty(),
                _ => false,
            });
        }
        self.profile.field(&problem.key).is_some() && !self.draft.answers.contains_key(&problem.key)
    }

    /// How a section stands.
    #[must_use]
    pub fn standing(&self, section: usize) -> Standing {
        let mut standing = Standing::default();
        for problem in self.problems.iter().filter(|problem| self.section_of(problem) == section) {
            if self.is_missing(problem) {
                standing.missing += 1;
            } else {
                standing.wrong += 1;
            }
        }
        standing
    }

    /// A default with what it refers to filled in, as far as that is known.
    #[must_use]
    pub fn default_text(&self, field: &Field) -> String {
        self.default_at(field, 0)
    }

    fn default_at(&self, field: &Field, depth: usize) -> String {
        let Some(default) = &field.default else { return String::new() };
        let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        if !text.contains("${") || depth > 4 {
            return text;
        }
        let value = |name: &str| -> Option<String> {
            if let Some(other) = self.profile.field(name) {
                let own = self.draft.answers.get(name).map(|_| self.draft.text(other));
                let text = own.unwrap_or_else(|| self.default_at(other, depth + 1));
                return (!text.is_empty()).then_some(text);
            }
            if name == "site.dir" {
                return self.path.parent().map(|folder| folder.display().to_string());
            }
            let (role, item) = name.strip_prefix("role.")?.rsplit_once('.')?;
            let machine = self.draft.machines.iter().find(|machine| machine.roles.iter().any(|own| own == role))?;
            let address = (!machine.address.is_empty()).then(|| machine.address.clone());
            match item {
                "first" => address,
                "first_public" => machine.public_address.clone().or(address),
                "first_name" => Some(machine.name.clone()),
                _ => None,
            }
        };
        let known = |name: &str| Some(value(name).unwrap_or_else(|| format!("${{{name}}}")));
        expand(&text, &known).unwrap_or(text)
    }

    /// What stands in a field: the answer, else nothing (the default shows as a hint).
    #[must_use]
    pub fn answer(&self, field: &Field) -> String {
        if field.kind == FieldKind::Secret || self.draft.answers.contains_key(field.id.as_str()) {
            self.draft.text(field)
        } else {
            String::new()
        }
    }

    /// Puts the text of the field in focus on the line.
    pub fn load_line(&mut self) {
        let text = self.focused().map(|field| self.answer(field)).unwrap_or_default();
        self.line = Line::new(text);
    }

    /// Gives the focus to what a problem is about.
    pub fn go_to(&mut self, problem: &KeyProblem) {
        self.section = self.section_of(problem);
        self.part = Part::Content;
        let key = problem.key.strip_prefix("secret.").unwrap_or(&problem.key).to_owned();
        self.field = self.fields().iter().position(|field| field.id == *key.as_str()).unwrap_or(0);
        if let Some(rest) = problem.key.strip_prefix("machine.") {
            self.machines.go_to(&self.draft, rest);
        }
        self.load_line();
    }
}

/// The machine and the item that a problem's key names after `machine.`: by name, or by number where it has none.
#[must_use]
pub fn machine_of<'a, 'k>(draft: &'a Draft, rest: &'k str) -> Option<(&'a crate::install::site::DraftMachine, &'k str)> {
    let (name, item) = rest.rsplit_once('.')?;
    let by_name = draft.machines.iter().find(|machine| !machine.name.is_empty() && machine.name == name);
    by_name.or_else(|| draft.machines.get(name.parse::<usize>().ok()?.checked_sub(1)?)).map(|machine| (machine, item))
}
