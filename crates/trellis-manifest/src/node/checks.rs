//! What a text must keep to before and while it is read as YAML, and the messages when it does not.

use super::build::Refusal;
use super::{Key, Node, Value};
use crate::diagnostic::{Diagnostic, Findings, quote};
use crate::source::{DecodingError, Source, Span};

/// A manifest of a thousand components is about 600 KiB; the brokers that 1.x sends manifests
/// through end at 1 MiB too.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// Commas and opening brackets of a text, counted wherever they stand. The YAML parser keeps a
/// whole `[…]` or `{…}` in its queue before it says what it is, so this bounds its time and memory;
/// the values of a manifest that is all JSON need about half as many as there are values.
const FLOW_MARKS_MAX: usize = 50_000;

/// Refuses texts that are too long or hold what no text has, before any parsing.
pub(super) fn check_text(source: &Source) -> Result<(), Refusal> {
    let length = source.text().len();
    if length > MANIFEST_BYTES_MAX {
        let message =
            format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes, this one has {length}");
        return Err(Box::new(Diagnostic::error(
            &source.shared_name(),
            Span::at(1, 1),
            message,
        )));
    }
    let marks = source
        .text()
        .bytes()
        .filter(|byte| matches!(byte, b',' | b'[' | b'{'))
        .count();
    if marks > FLOW_MARKS_MAX {
        let message = format!(
            "a manifest has at most {FLOW_MARKS_MAX} commas and opening brackets, this one has {marks}"
        );
        return Err(Box::new(Diagnostic::error(
            &source.shared_name(),
            Span::at(1, 1),
            message,
        )));
    }
    let utf8_hint = "save the file as UTF-8";
    match source.decoding_error() {
        Some(DecodingError::OtherEncoding) => {
            return Err(refuse_at(
                source,
                0,
                "the manifest is not UTF-8 but UTF-16",
                utf8_hint,
            ));
        }
        Some(DecodingError::NotUtf8 { offset }) => {
            return Err(refuse_at(
                source,
                *offset,
                "the manifest is not UTF-8 text",
                utf8_hint,
            ));
        }
        None => {}
    }
    // Nearly every text is ASCII, and looking at bytes is ten times as fast.
    let plain = |byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    if source.text().bytes().all(plain) {
        return Ok(());
    }
    match source
        .text()
        .char_indices()
        .find(|(_, character)| is_forbidden(*character))
    {
        None => Ok(()),
        Some((offset, character)) => {
            let code = u32::from(character);
            let message = format!("the character U+{code:04X} is not allowed in a manifest");
            let hint = "remove it, or write it as an escape in a double-quoted string";
            Err(refuse_at(source, offset, &message, hint))
        }
    }
}

/// Tells whether YAML has no place for `character` unless it is escaped.
fn is_forbidden(character: char) -> bool {
    let allowed_control = matches!(character, '\t' | '\n' | '\r' | '\u{85}');
    character.is_control() && !allowed_control || matches!(character, '\u{FFFE}' | '\u{FFFF}')
}

fn refuse_at(source: &Source, offset: usize, message: &str, hint: &str) -> Refusal {
    let start = source.position(offset);
    let span = Span::on_line(start.line, start.column, 1);
    Box::new(Diagnostic::error(&source.shared_name(), span, message).with_hint(hint))
}

/// Tells whether `tag` makes its value a string; tags outside the core schema are findings.
pub(super) fn check_tag(
    source: &Source,
    tag: &saphyr_parser::Tag,
    span: Span,
    findings: &mut Findings,
) -> bool {
    let known = ["str", "int", "float", "bool", "null", "seq", "map"];
    if tag.is_yaml_core_schema() && known.contains(&tag.suffix.as_str()) {
        return tag.suffix == "str";
    }
    let message = format!(
        "the tag {} has no meaning in a manifest",
        quote(&tag.to_string())
    );
    findings.push(
        Diagnostic::error(&source.shared_name(), span, message)
            .with_hint("remove the tag, or put the value in quotes if it begins with `!`"),
    );
    false
}

/// Returns `node` as a key.
pub(super) fn key_of(source: &Source, node: Node, findings: &mut Findings) -> Key {
    let span = node.span;
    let found = node.node_type().name();
    if let Value::Scalar(scalar) = node.value {
        return Key {
            text: scalar.text,
            span,
            broken: false,
        };
    }
    let message = format!("a key must be a string, found {found}");
    findings.push(
        Diagnostic::error(&source.shared_name(), span, message)
            .with_hint("put the key in quotes if it is meant to begin with a bracket or a brace"),
    );

    Key {
        text: String::new(),
        span,
        broken: true,
    }
}

/// Returns the finding about `key`, which stood at `first` before.
pub(super) fn duplicate_key(source: &Source, key: &Key, first: Span) -> Diagnostic {
    let message = format!("the key {} is given twice", quote(&key.text));
    let hint = format!(
        "the first is in line {}; keep one of them",
        first.start.line
    );
    Diagnostic::error(&source.shared_name(), key.span, message).with_hint(hint)
}

/// Returns the refusal for an error of the YAML parser.
pub(super) fn syntax_error(source: &Source, error: &saphyr_parser::ScanError) -> Refusal {
    let marker = error.marker();
    let span = Span::on_line(marker.line().max(1), marker.col() + 1, 1);
    let message = format!("not valid YAML: {}", error.info());
    let diagnostic = Diagnostic::error(&source.shared_name(), span, message);
    Box::new(match syntax_hint(error.info()) {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    })
}

/// Returns what usually helps against an error of the YAML parser.
fn syntax_hint(info: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 9] = [
        ("tab", "indent with spaces"),
        (
            "mapping values",
            "put the value in quotes if it contains `: `, or check the indentation",
        ),
        (
            "simple key expect",
            "this line or the one before is not `key: value`; check colon and indentation",
        ),
        (
            "block mapping",
            "this line or the one before is not `key: value`; check colon and indentation",
        ),
        (
            "unknown anchor",
            "put the value in quotes if it is meant to begin with `*`",
        ),
        ("unexpected character", "put the value in quotes"),
        ("quoted scalar", "a quote is not closed"),
        (
            "indentation",
            "the fields of one mapping begin in the same column",
        ),
        (
            "block collection",
            "the fields of one mapping begin in the same column",
        ),
    ];
    HINTS
        .iter()
        .find(|(part, _)| info.contains(part))
        .map(|(_, hint)| *hint)
}
