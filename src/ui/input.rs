//! A line of text being typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

/// A line of text with a cursor.
#[derive(Debug, Clone, Default)]
pub struct Line {
    input: Input,
}

impl Line {
    /// A line that holds a text, the cursor at its end.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { input: Input::new(text.into()) }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// How many characters stand before the cursor.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.input.cursor()
    }

    /// Whether the cursor stands before the first character.
    #[must_use]
    pub fn at_start(&self) -> bool {
        self.input.cursor() == 0
    }

    /// Whether the cursor stands behind the last character.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.input.cursor() >= self.input.value().chars().count()
    }

    /// Types or moves; whether the key was one for a line of text.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let word = control || key.modifiers.contains(KeyModifiers::ALT);
        let request = match key.code {
            KeyCode::Char('u') if control => InputRequest::DeleteLine,
            KeyCode::Char('k') if control => InputRequest::DeleteTillEnd,
            KeyCode::Char('w') if control => InputRequest::DeletePrevWord,
            KeyCode::Char('a') if control => InputRequest::GoToStart,
            KeyCode::Char('e') if control => InputRequest::GoToEnd,
            KeyCode::Char(letter) if !word => InputRequest::InsertChar(letter),
            KeyCode::Backspace if word => InputRequest::DeletePrevWord,
            KeyCode::Backspace => InputRequest::DeletePrevChar,
            KeyCode::Delete => InputRequest::DeleteNextChar,
            KeyCode::Left if word => InputRequest::GoToPrevWord,
            KeyCode::Right if word => InputRequest::GoToNextWord,
            KeyCode::Left => InputRequest::GoToPrevChar,
            KeyCode::Right => InputRequest::GoToNextChar,
            KeyCode::Home => InputRequest::GoToStart,
            KeyCode::End => InputRequest::GoToEnd,
            _ => return false,
        };
        self.input.handle(request);
        true
    }

    /// Inserts a pasted text; line breaks and control characters are left out.
    pub fn paste(&mut self, text: &str) {
        for letter in text.trim().chars().filter(|letter| !letter.is_control()) {
            self.input.handle(InputRequest::InsertChar(letter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_typed_and_words_removed() {
        let mut line = Line::new("mosip example");
        for letter in "qनም名".chars() {
            assert!(line.key(KeyEvent::from(KeyCode::Char(letter))));
        }
        assert_eq!(line.text(), "mosip exampleqनም名");
        for _ in 0..4 {
            line.key(KeyEvent::from(KeyCode::Backspace));
        }
        line.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(line.text(), "mosip ");
        assert!(line.at_end() && !line.key(KeyEvent::from(KeyCode::Tab)));
        line.paste("\n10.0.0.1\t\r\n");
        assert_eq!(line.text(), "mosip 10.0.0.1");
    }
}
