//! Answers the prompts of a script on a terminal: exact text alone, and only where the output has come to rest after it.

use crate::install::profile::Prompt;

/// How much of an unfinished line is kept, bytes; a longer one is no prompt.
const LONGEST: usize = 16 * 1024;

/// What a look at the output's end gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing of it is a declared prompt.
    Nothing,
    /// This is to be typed, followed by Enter.
    Type(String),
    /// This prompt came more often than declared: its answer was not accepted.
    TooOften(String),
}

/// Follows the output of one command.
#[derive(Debug, Default)]
pub struct Prompter {
    prompts: Vec<Prompt>,
    answered: Vec<u32>,
    /// What came after the last newline, or after the last answer.
    partial: Vec<u8>,
    /// The last whole line, while nothing has come after it.
    ended: Option<String>,
    /// Whether something came that was not looked at yet.
    fresh: bool,
}

impl Prompter {
    /// For a command with these prompts.
    #[must_use]
    pub fn new(prompts: Vec<Prompt>) -> Self {
        Self { answered: vec![0; prompts.len()], prompts, ..Self::default() }
    }

    /// Takes in output as it came. Colours may be cut anywhere; they are removed only when the text is looked at.
    pub fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.fresh = true;
        match memchr::memrchr(b'\n', bytes) {
            None => {
                self.partial.extend_from_slice(bytes);
                // Only what is seen counts: the end of a colour after a whole line is not a new line.
                if !plain_text(&self.partial).trim().is_empty() {
                    self.ended = None;
                }
            }
            Some(end) => {
                let (head, tail) = (&bytes[..end], &bytes[end + 1..]);
                let last = match memchr::memrchr(b'\n', head) {
                    Some(start) => plain_text(&head[start + 1..]),
                    None => {
                        self.partial.extend_from_slice(head);
                        plain_text(&self.partial)
                    }
                };
                self.partial.clear();
                self.partial.extend_from_slice(tail);
                self.ended = plain_text(tail).trim().is_empty().then_some(last);
            }
        }
        if self.partial.len() > LONGEST {
            self.partial.drain(..self.partial.len() - LONGEST);
        }
    }

    /// The output has come to rest: is the end of it a prompt? Asked again without new output, it says nothing.
    pub fn rest(&mut self) -> Reply {
        if !std::mem::take(&mut self.fresh) {
            return Reply::Nothing;
        }
        let partial = plain_text(&self.partial);
        let shown = partial.trim();
        let line = self.ended.as_deref().unwrap_or_default().trim();
        for (prompt, count) in self.prompts.iter().zip(&mut self.answered) {
            let stands = if prompt.whole_line { shown.is_empty() && line == prompt.text.trim() } else { shown == prompt.text.trim() };
            if !stands || prompt.text.trim().is_empty() {
                continue;
            }
            *count += 1;
            if *count > prompt.times {
                return Reply::TooOften(prompt.text.clone());
            }
            self.partial.clear();
            self.ended = None;
            return Reply::Type(prompt.answer.clone());
        }
        Reply::Nothing
    }

    /// The prompts that must come and did not.
    #[must_use]
    pub fn missed(&self) -> Vec<&str> {
        let missed = self.prompts.iter().zip(&self.answered).filter(|(prompt, count)| prompt.required && **count == 0);
        missed.map(|(prompt, _)| prompt.text.as_str()).collect()
    }
}

/// Text without colours and other terminal sequences.
#[must_use]
pub fn plain_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                Some('[') => {
                    for next in characters.by_ref() {
                        if ('@'..='~').contains(&next) {
                            break;
                        }
                    }
                }
                // A title or a link, up to a bell or ESC \.
                Some(']') => {
                    while let Some(next) = characters.next() {
                        if next == '\u{7}' || (next == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                // A character set, as `tput sgr0` has it.
                Some('(' | ')') => drop(characters.next()),
                Some(_) | None => {}
            },
            '\r' | '\u{7}' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str, answer: &str) -> Prompt {
        Prompt { text: text.into(), answer: answer.into(), ..Prompt::default() }
    }

    fn typed(prompter: &mut Prompter, output: &str) -> Reply {
        prompter.feed(output.as_bytes());
        prompter.rest()
    }

    fn reply(text: &str) -> Reply {
        Reply::Type(text.into())
    }

    #[test]
    fn the_whole_text_after_the_last_newline_must_be_the_prompt() {
        let mut prompter =
            Prompter::new(vec![prompt("Please enter the SMTP host ", "mail"), prompt("Please enter the SMTP host port ", "25")]);
        assert_eq!(typed(&mut prompter, "Please enter the SMTP host port "), reply("25"));
        assert_eq!(typed(&mut prompter, "25\r\nPlease enter the SMTP host "), reply("mail"));
        let mut prompter = Prompter::new(vec![prompt("Continue? (Y/n)", "Y")]);
        assert_eq!(typed(&mut prompter, "All data will be lost. Continue? (Y/n)"), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "\nContinue? (Y/n) really?"), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "\nContinue? (Y/n)\n"), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "Continue? "), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "(Y/n) "), reply("Y"));
        assert_eq!(prompter.rest(), Reply::Nothing, "nothing new came");
    }

    #[test]
    fn a_prompt_that_is_a_whole_line_is_answered_when_nothing_follows_it() {
        let line = Prompt { whole_line: true, ..prompt("n: without a certificate", "Y") };
        let mut prompter = Prompter::new(vec![line]);
        assert_eq!(typed(&mut prompter, "Valid SSL? (Y/n)\nY: with a certificate\n"), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "n: without a certificate"), Reply::Nothing, "the line has not ended");
        assert_eq!(typed(&mut prompter, "\nInstalling"), Reply::Nothing, "something follows");
        assert_eq!(typed(&mut prompter, "\nn: without a certificate\r\n"), reply("Y"));
        assert_eq!(typed(&mut prompter, "Y\r\n"), Reply::Nothing);
        assert_eq!(typed(&mut prompter, "n: without a certificate\n"), Reply::TooOften("n: without a certificate".into()));
    }

    #[test]
    fn colours_are_ignored_wherever_they_are_cut() {
        let mut prompter =
            Prompter::new(vec![prompt("Provide the host : ", "a.b"), Prompt { whole_line: true, ..prompt("Done? (y/n)", "y") }]);
        for piece in ["\u{1b}", "[1;3", "2mProvide\u{1b}[0m", " the host : \u{1b}(B\u{1b}", "[m"] {
            prompter.feed(piece.as_bytes());
        }
        assert_eq!(prompter.rest(), reply("a.b"));
        assert_eq!(
            typed(&mut prompter, "a.b\n\u{1b}]8;;https://a.b\u{7}link\u{1b}]8;;\u{1b}\\\n\u{1b}[1mDone? (y/n)\u{1b}[0m\n\u{1b}[0m"),
            reply("y")
        );
    }

    #[test]
    fn a_prompt_without_newline_after_a_hidden_answer_is_seen() {
        let mut prompter = Prompter::new(vec![prompt("Key: ", "k"), prompt("Secret: ", "s")]);
        assert_eq!(typed(&mut prompter, "Key: "), reply("k"));
        assert_eq!(typed(&mut prompter, "Secret: "), reply("s"));
    }

    #[test]
    fn what_must_be_asked_and_was_not_is_known() {
        let must = Prompt { required: true, ..prompt("Sure? ", "Y") };
        let mut prompter = Prompter::new(vec![must, prompt("More? ", "n")]);
        assert_eq!(prompter.missed(), ["Sure? "]);
        assert_eq!(typed(&mut prompter, "Sure? "), reply("Y"));
        assert!(prompter.missed().is_empty());
    }
}
