//! The text of a manifest and places in it. Knows nothing of YAML.

use std::sync::Arc;

/// A place in a text: both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A stretch of text from `start` up to, but not with, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The character after the last.
    pub end: Position,
}

impl Span {
    /// Returns the empty stretch at `line` and `column`.
    pub const fn at(line: usize, column: usize) -> Self {
        let position = Position { line, column };
        Self {
            start: position,
            end: position,
        }
    }

    /// Returns the stretch of `characters` on one line that begins at `line` and `column`.
    pub const fn on_line(line: usize, column: usize, characters: usize) -> Self {
        Self {
            start: Position { line, column },
            end: Position {
                line,
                column: column + characters,
            },
        }
    }
}

/// A manifest's text with the name that messages show, usually its path.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    text: String,
    line_starts: Vec<usize>,
    decoding_error: Option<DecodingError>,
}

/// Why bytes are not the text of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodingError {
    /// The bytes begin with the mark of UTF-16 or UTF-32.
    OtherEncoding,
    /// The byte at this offset of the text is not UTF-8; the text has U+FFFD there.
    NotUtf8 { offset: usize },
}

impl Source {
    /// Takes a text and the name to show for it.
    pub fn new(name: impl AsRef<str>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            name: name.as_ref().into(),
            line_starts: line_starts(&text),
            text,
            decoding_error: None,
        }
    }

    /// Takes the bytes of a file. Bytes that are not UTF-8 are accepted here and reported with
    /// their position when the source is parsed.
    pub fn from_bytes(name: impl AsRef<str>, bytes: &[u8]) -> Self {
        let mut source = Self::new(name, String::from_utf8_lossy(bytes));
        source.decoding_error =
            if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
                Some(DecodingError::OtherEncoding)
            } else {
                // Up to the first bad byte the lossy text and the bytes are the same.
                std::str::from_utf8(bytes)
                    .err()
                    .map(|error| DecodingError::NotUtf8 {
                        offset: error.valid_up_to(),
                    })
            };
        source
    }

    /// Returns the name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(crate) fn decoding_error(&self) -> Option<&DecodingError> {
        self.decoding_error.as_ref()
    }

    /// Returns the line with this number (from 1), without its line break.
    pub(crate) fn line(&self, number: usize) -> &str {
        let Some(start) = number
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
        else {
            return "";
        };
        let end = self
            .line_starts
            .get(number)
            .copied()
            .unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    /// Returns the place of the character that begins at this byte `offset`.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset)
            .max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |before| before.chars().count())
            + 1;
        Position { line, column }
    }
}

/// Returns where each line starts, counting line breaks as YAML does: LF, CR and CR LF.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    for (index, byte) in bytes.iter().enumerate() {
        let ends_line = match byte {
            b'\n' => true,
            b'\r' => bytes.get(index + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends_line {
            starts.push(index + 1);
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_break_is_counted_once() {
        let source = Source::new("x", "a\r\nb\rc\n\nd");
        let lines: Vec<_> = (0..=7).map(|number| source.line(number)).collect();
        assert_eq!(lines, ["", "a", "b", "c", "", "d", "", ""]);
        assert_eq!(source.position(8), Position { line: 5, column: 1 });
    }

    #[test]
    fn bytes_that_are_no_text_are_remembered_with_their_place() {
        let source = Source::from_bytes("x", b"ab\n\xff");
        assert_eq!(
            source.decoding_error(),
            Some(&DecodingError::NotUtf8 { offset: 3 })
        );
        assert_eq!(source.text(), "ab\n\u{fffd}");
    }
}
