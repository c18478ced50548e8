//! What is looked for in a log: a regular expression that never reaches beyond a line.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// Lines that say that something failed: of Ansible, Terraform, Helm, kubectl, apt, and programs that begin a line with `error`.
const ERRORS: &str = "^(?:fatal|failed): \\[|^\\[ERROR\\]|^[^A-Za-z]{0,8}(?i:error|fatal|panic) ?[:!\\[(]|^[^ ]{1,60}: (?i:error|fatal|panic): |^Error \
                      from server|^E: ";
/// Lines that say that something was changed: tasks of Ansible, resources of Terraform.
const CHANGES: &str = "^changed: \\[|: (?:Creation|Modifications|Destruction) complete after ";
/// What stands below a failure of Ansible that its playbook ignores.
pub const IGNORED: &[u8] = b"...ignoring";

static ERROR_LINES: LazyLock<Option<Pattern>> =
    LazyLock::new(|| Pattern::read(ERRORS).ok().map(|pattern| Pattern { counts_ignored: false, ..pattern }));
static CHANGE_LINES: LazyLock<Option<Pattern>> = LazyLock::new(|| Pattern::read(CHANGES).ok());

/// A pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
    counts_ignored: bool,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.counts_ignored == other.counts_ignored
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Reads a regular expression; without upper-case letters in it the case does not count.
    ///
    /// # Errors
    /// It is none, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let fold = !has_upper_case(text);
        let mut parser = ParserBuilder::new().case_insensitive(fold).multi_line(true).utf8(false).build();
        let hir = parser.parse(text).map_err(|error| {
            let what = match error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                other => other.to_string(),
            };
            format!("no regular expression: {what}. A sign that stands for itself has \\ before it")
        })?;
        let regex =
            RegexBuilder::new(&within_a_line(hir).to_string()).build().map_err(|_| "this regular expression is too large".to_owned())?;
        Ok(Self { text: text.to_owned(), regex, counts_ignored: true })
    }

    /// A text as it stands; none: it is too long to be searched for.
    #[must_use]
    pub fn literal(text: &str) -> Option<Self> {
        Self::read(&regex::escape(text)).ok()
    }

    /// Lines that say that something failed; none of those whose failure the playbook ignores.
    #[must_use]
    pub fn errors() -> Option<Self> {
        ERROR_LINES.clone()
    }

    /// Lines that say that something was changed.
    #[must_use]
    pub fn changes() -> Option<Self> {
        CHANGE_LINES.clone()
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a line counts below which `...ignoring` stands.
    #[must_use]
    pub fn counts_ignored(&self) -> bool {
        self.counts_ignored
    }

    /// Where it begins in a text of lines, from a place on.
    #[must_use]
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        // Behind the last line feed there is no further line.
        self.regex
            .find_at(text, from)
            .map(|found| found.start())
            .filter(|at| *at < text.len() || text.last().is_some_and(|last| *last != b'\n'))
    }

    /// Whether a line has it.
    #[must_use]
    pub fn is_in(&self, line: &[u8]) -> bool {
        self.regex.is_match(line)
    }

    /// Where it stands in a line that is shown, bytes.
    pub fn ranges<'a>(&'a self, line: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.regex.find_iter(line.as_bytes()).map(|found| found.range()).filter(|range| !range.is_empty())
    }
}

/// What counts as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// It has this.
    pub pattern: Pattern,
    /// And this, where there is one.
    pub also: Option<Pattern>,
}

impl From<Pattern> for Wanted {
    fn from(pattern: Pattern) -> Self {
        Self { pattern, also: None }
    }
}

/// Upper-case letters that stand for themselves: not those of `\S`, `\pL` or `\x4A`.
fn has_upper_case(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            if letter.is_uppercase() {
                return true;
            }
        } else if matches!(letters.next(), Some('p' | 'P' | 'x' | 'u' | 'U')) && letters.next() == Some('{') {
            let _ = letters.by_ref().find(|letter| *letter == '}');
        }
    }
    false
}

/// The same expression, but nothing in it matches a line feed, and what means the ends of a text means those of a line. So it can be
/// searched for in many lines at once.
fn within_a_line(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(within_a_line(*repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition })
        }
        HirKind::Capture(capture) => within_a_line(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(within_a_line).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(within_a_line).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, text: &str) -> Option<usize> {
        Pattern::read(pattern).unwrap().find(text.as_bytes(), 0)
    }

    #[test]
    fn small_letters_mean_both() {
        assert_eq!(hit("error", "an ERROR"), Some(3));
        assert_eq!(hit("Error", "an ERROR"), None);
        assert_eq!(hit(r"\Serror", "xERROR"), Some(0), "the letter of a class is none of the text");
        assert_eq!(hit(r"\p{Lu}bc", "ABC"), Some(0));
        assert_eq!(hit(r"\x{41}bc", "aBC"), Some(0));
    }

    #[test]
    fn nothing_reaches_beyond_a_line() {
        assert_eq!(hit("a[^x]*b", "a\nb"), None);
        assert_eq!(hit(r"a\s+b", "a \n b"), None);
        assert_eq!(hit("a\nb", "a\nb"), None);
        assert_eq!(hit("^b$", "a\nb\nc"), Some(2));
        assert_eq!(hit(r"\Ab\z", "a\nb\nc"), Some(2));
        assert_eq!(hit("(?s)a.b", "a\nb"), None);
        assert_eq!(hit("^$", "a\n"), None, "no line follows the last line feed");
        assert_eq!(hit("^$", "a\n\nb\n"), Some(2));
    }

    #[test]
    fn what_is_no_expression_is_said_in_words() {
        let said = Pattern::read("fatal: [vm1").unwrap_err();
        assert!(said.contains("unclosed character class") && said.contains('\\') && !said.contains('\n'), "{said}");
        assert!(Pattern::read(&"(".repeat(9)).is_err());
        assert_eq!(Pattern::literal("fatal: [vm1").unwrap().find(b"x fatal: [vm1]", 0), Some(2));
    }

    #[test]
    fn errors_and_changes_of_the_tools_are_known() {
        let (errors, changes) = (Pattern::errors().unwrap(), Pattern::changes().unwrap());
        for line in [
            "fatal: [vm1]: FAILED! => {\"msg\": \"x\"}",
            "fatal: [vm1]: UNREACHABLE! => {}",
            "failed: [vm1] (item=a) => {}",
            "[ERROR]: Task failed: Module failed",
            "Error: INSTALLATION FAILED: context deadline exceeded",
            "│ Error: timed out waiting for the condition",
            "E: Unable to locate package",
            "error: exec plugin is invalid",
            "ERROR! the playbook could not be found",
            "kubectl: error: no such resource",
            "Error from server (NotFound): pods \"x\" not found",
        ] {
            assert!(errors.is_in(line.as_bytes()) && !changes.is_in(line.as_bytes()), "{line}");
        }
        for line in [
            "ok: [vm1]",
            "FAILED - RETRYING: [vm1]: wait (3 retries left).",
            "TASK [error: show] ***",
            "vm1 : ok=3 changed=1 unreachable=0 failed=0",
            "    \"failed\": false",
            "errors are listed below",
        ] {
            assert!(!errors.is_in(line.as_bytes()) && !changes.is_in(line.as_bytes()), "{line}");
        }
        assert!(changes.is_in(b"changed: [vm1] => (item=a)"));
        assert!(changes.is_in(b"module.a[0].x.y: Creation complete after 3s [id=1]"));
    }
}
