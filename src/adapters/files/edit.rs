//! What the in-place edits of all formats share.

/// Why a template cannot be edited. The file is named by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The template lacks what the profile sets.
    #[error("{key} is not in the template: is the kit's checkout at the commit the profile was made for?")]
    Missing {
        /// The key, with its section in an inventory.
        key: String,
    },
    /// The file cannot be read as its format.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, counted from 1; 0 where it is not known.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that the format cannot carry, or that its reader would take for something else.
    #[error("{key}: {message}")]
    Value {
        /// The key.
        key: String,
        /// Why, without the value, which may be a secret.
        message: String,
    },
    /// The result does not read back as meant: a fault of this program.
    #[error("{key}: the edited file does not read back as meant; please report this with the template")]
    ReadBack {
        /// The key.
        key: String,
    },
}

/// Appends a line of its own: the templates end without a line break, and what is glued to their last comment vanishes.
pub(super) fn append_line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}
