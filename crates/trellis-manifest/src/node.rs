//! A small tree of YAML nodes with their places. Refuses bombs while it reads, and knows nothing of
//! manifests.

use crate::source::Span;

mod build;
mod checks;

pub(crate) use build::documents;
pub use checks::MANIFEST_BYTES_MAX;

/// One value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In the order of the text; keys are different from one another.
    Mapping(Vec<(Key, Node)>),
}

/// The key of a mapping and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
    /// It was no scalar, which has been reported; it matches nothing.
    pub(crate) broken: bool,
}

/// A text and whether it was written without quotes, so that it may mean a number.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) plain: bool,
}

/// The type of a node, by the core schema of YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeType {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Mapping,
}

impl NodeType {
    /// Returns the type with its article, for messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }
}

impl Node {
    pub(crate) fn node_type(&self) -> NodeType {
        match &self.value {
            Value::Scalar(scalar) => scalar.scalar_type(),
            Value::Sequence(_) => NodeType::List,
            Value::Mapping(_) => NodeType::Mapping,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.node_type() == NodeType::Null
    }

    /// Returns the value of `key` where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .find(|(it, _)| it.text == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// Returns the text where this is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.scalar_type() == NodeType::Text => Some(&scalar.text),
            _ => None,
        }
    }
}

impl Scalar {
    fn scalar_type(&self) -> NodeType {
        if !self.plain {
            return NodeType::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => NodeType::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => NodeType::Boolean,
            ".nan" | ".NaN" | ".NAN" => NodeType::Number,
            text if is_integer(text) => NodeType::Integer,
            text if is_number(text) => NodeType::Number,
            _ => NodeType::Text,
        }
    }

    /// Returns the number where this is an integer from 0 to `u64::MAX`.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        let text = self.text.strip_prefix('+').unwrap_or(&self.text);
        match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
            (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
            (_, Some(digits)) => u64::from_str_radix(digits, 8).ok(),
            _ => text.parse().ok(),
        }
    }
}

fn all_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_digit(radix))
}

fn is_integer(text: &str) -> bool {
    let radix = |prefix, radix| {
        text.strip_prefix(prefix)
            .is_some_and(|it| all_digits(it, radix))
    };
    all_digits(text.strip_prefix(['-', '+']).unwrap_or(text), 10)
        || radix("0x", 16)
        || radix("0o", 8)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    // Rust's own grammar also takes `inf` and `nan`, which are words in YAML.
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.parse::<f64>().is_ok()
}
