//! A mistake in a text, with its place.

use std::ops::Range;

use wasm_wave::parser::{ParserError, ParserErrorKind};

/// Why a text is not a value of the type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WaveError {
    /// What is wrong.
    pub message: String,
    /// What would be right, where that is known.
    pub hint: Option<String>,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
}

impl WaveError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            span,
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A mistake of syntax, in a text that was moved by `shift` bytes for the parser.
    pub(super) fn syntax(error: &ParserError, shift: usize, text: &str) -> Self {
        let span = error.span();
        let start = span.start.saturating_sub(shift).min(text.len());
        let end = span.end.saturating_sub(shift).clamp(start, text.len());
        let message = match error.detail() {
            // The parser names a kind of token as its type is called.
            Some(detail) if error.kind() == ParserErrorKind::UnexpectedToken => {
                format!("{}: {}", error.kind(), detail.to_lowercase())
            }
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self::new(start..end, message)
    }

    /// Returns the line of `text` with the mistake, and a line that points at it. A control character is
    /// shown as U+FFFD: a terminal must not act on it, and the pointer stands below its place.
    pub fn excerpt(&self, text: &str) -> String {
        let start = floor(text, self.span.start);
        let end = floor(text, self.span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let before = text[line_start..start].chars().count();
        let marked = text[start..end.min(line_end)].chars().count().max(1);
        let line = text[line_start..line_end].chars();
        let line: String = line.map(visible).collect();
        format!("{line}\n{}{}", " ".repeat(before), "^".repeat(marked))
    }
}

fn visible(character: char) -> char {
    if character.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
