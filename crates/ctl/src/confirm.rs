//! Asks before what cannot be undone: a text that says what is risked, and a word to type that nobody types by habit.

use std::io::{self, BufRead, IsTerminal};

use crate::error::CliError;

/// Has a person at a terminal type `word` after reading `risk`. Where there is nobody, says which `flag` stands for it.
pub(crate) fn confirm(risk: &str, word: &str, flag: &str) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(format!("{risk}. Nothing was done; if that is excluded, say so with {flag}")));
    }
    eprint!("{risk}.\nType {word} to go on: ");
    typed(word, &mut io::stdin().lock())
}

/// Reads one line, which has to be the word.
pub(crate) fn typed(word: &str, input: &mut impl BufRead) -> Result<(), CliError> {
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(_) if line.trim() == word => Ok(()),
        _ => Err(CliError::Usage(format!("that was not {word}; nothing was done"))),
    }
}
