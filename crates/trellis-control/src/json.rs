//! JSON from the network: read within bounds, and with errors that say where.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest request that is read, in bytes: what a NATS server carries unless told otherwise, and a
/// thousand times a usual request.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Longest reply, event or state value that is read, in bytes: the inventory of 30,000 components,
/// and the most that the makers of NATS advise for one message.
pub const REPLY_BYTES_MAX: usize = 8 << 20;

/// Deepest nesting that is read. No message has more than eight levels; the rest is for fields of
/// later versions, which are skipped.
pub const NESTING_MAX: usize = 32;

/// Longest piece of an error that repeats what a peer sent, in characters.
const QUOTED_LENGTH_MAX: usize = 160;

/// Why bytes are not the JSON that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There is nothing.
    #[error("the payload is empty where JSON is expected")]
    Empty,
    /// There is more than anybody sends.
    #[error("{bytes} bytes are more than the {bytes_max} that are read")]
    TooLong {
        /// Length of the payload.
        bytes: usize,
        /// The bound that it breaks.
        bytes_max: usize,
    },
    /// Arrays or objects stand in each other too often.
    #[error("line {line} column {column}: nested deeper than {NESTING_MAX} levels")]
    TooDeep {
        /// Line of the bracket that is too deep, counted from 1.
        line: usize,
        /// Column of that bracket, counted from 1.
        column: usize,
    },
    /// The text is no JSON, or not of the expected shape.
    #[error("line {line} column {column}{}: {reason}", in_field(field))]
    Shape {
        /// Path of the field, such as `links[0].interfaces`; empty for the whole document.
        field: String,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
}

fn in_field(field: &str) -> String {
    match field {
        "" => String::new(),
        field => format!(", field `{field}`"),
    }
}

/// Reads a value of at most `bytes_max` bytes and [`NESTING_MAX`] levels.
///
/// # Errors
/// When `text` is empty, too long, too deep, or not the JSON of a `T`; the error names the field,
/// line and column, and repeats at most a line of what was sent.
pub fn decode<T: DeserializeOwned>(text: &[u8], bytes_max: usize) -> Result<T, JsonError> {
    if text.len() > bytes_max {
        let bytes = text.len();
        return Err(JsonError::TooLong { bytes, bytes_max });
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonError::Empty);
    }
    check_nesting(text)?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        shape_error(&path, error.inner())
    })?;
    deserializer
        .end()
        .map_err(|error| shape_error(".", &error))?;
    Ok(value)
}

/// Reads a value that is an object: fields by their names. What is derived for structures takes an array
/// as well, whose values are fields by their places.
///
/// # Errors
/// As [`decode`], and when `text` is no object.
pub(crate) fn decode_object<T: DeserializeOwned>(
    text: &[u8],
    bytes_max: usize,
) -> Result<T, JsonError> {
    let value = decode(text, bytes_max)?;
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace());
    let start = start.unwrap_or_default();
    if text.get(start) == Some(&b'{') {
        return Ok(value);
    }
    let (line, column) = position(&text[..start]);
    Err(JsonError::Shape {
        field: String::new(),
        line,
        column,
        reason: "an object is expected".to_owned(),
    })
}

/// Writes `message` as JSON.
///
/// # Panics
/// When `T` is no type of this crate and cannot be JSON, such as a map whose keys are no text.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    serde_json::to_vec(message)
        .expect("messages have text keys and no serializer that fails")
        .into()
}

/// Refuses deep nesting before anything is built. Counts brackets outside of strings; where the text
/// is no JSON the count means nothing, and the parser finds the mistake.
fn check_nesting(text: &[u8]) -> Result<(), JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            let (line, column) = position(&text[..index]);
            return Err(JsonError::TooDeep { line, column });
        }
    }
    Ok(())
}

/// Line and column of the byte that follows `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before.iter().rposition(|byte| *byte == b'\n');
    let column = before.len() - line_start.map_or(0, |at| at + 1) + 1;
    (line, column)
}

fn shape_error(path: &str, error: &serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&text);
    JsonError::Shape {
        field: shortened(if path == "." { "" } else { path }),
        line,
        column,
        reason: shortened(reason),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Numbers = BTreeMap<String, Vec<u32>>;

    fn error_of(text: &str) -> String {
        decode::<Numbers>(text.as_bytes(), REQUEST_BYTES_MAX)
            .expect_err("bad JSON")
            .to_string()
    }

    #[test]
    fn an_error_says_which_field_in_which_line_and_column() {
        assert_eq!(
            error_of("{\n  \"a\": [1, true]\n}"),
            "line 2 column 15, field `a[1]`: invalid type: boolean `true`, expected u32"
        );
        assert_eq!(
            error_of("{\"a\": [1}"),
            "line 1 column 9, field `a`: expected `,` or `]`"
        );
        assert_eq!(error_of("{} {}"), "line 1 column 4: trailing characters");
        assert_eq!(
            error_of(" \n"),
            "the payload is empty where JSON is expected"
        );
    }

    #[test]
    fn nesting_is_bounded_also_in_what_is_skipped() {
        let deep = "[".repeat(NESTING_MAX + 1);
        assert_eq!(
            error_of(&format!("{{\n\"a\":{deep}")),
            "line 2 column 36: nested deeper than 32 levels"
        );
        let in_string = format!("{{\"{}\": []}}", "[{".repeat(1_000));
        assert!(decode::<Numbers>(in_string.as_bytes(), REQUEST_BYTES_MAX).is_ok());
    }

    #[test]
    fn an_error_repeats_little_of_a_long_text() {
        let text = format!("{{\"{}\": [\"{}\"]}}", "k".repeat(9_000), "v".repeat(9_000));
        assert!(error_of(&text).len() < 500);
        assert_eq!(
            decode::<Numbers>(text.as_bytes(), 100),
            Err(JsonError::TooLong {
                bytes: text.len(),
                bytes_max: 100
            })
        );
    }
}
