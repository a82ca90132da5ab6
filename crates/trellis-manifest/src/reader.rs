//! Typed access to nodes: every wrong type, missing field and unknown field becomes a finding, and
//! reading goes on. Knows nothing of the schema.

use std::collections::BTreeMap;
use std::fmt::Display;

use trellis_core::IdError;

use crate::diagnostic::{Diagnostic, Findings, quote};
use crate::node::{Node, NodeType, Value};
use crate::source::{Source, Span};

/// Collects the findings of one source while its nodes are read.
pub(crate) struct Reader<'s> {
    source: &'s Source,
    pub(crate) findings: &'s mut Findings,
}

/// The fields of one mapping.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    entries: &'n [(crate::node::Key, Node)],
    /// Where the mapping begins.
    pub(crate) span: Span,
    what: &'static str,
}

impl<'n> Fields<'n> {
    /// Returns the value of `name`; one that is null counts as absent, as in 1.x.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        let (_, node) = self
            .entries
            .iter()
            .find(|(key, _)| key.text == name && !key.broken)?;
        (!node.is_null()).then_some(node)
    }

    /// Returns where the key `name` stands, or where the mapping begins.
    pub(crate) fn key_span(&self, name: &str) -> Span {
        let entry = self
            .entries
            .iter()
            .find(|(key, _)| key.text == name && !key.broken);
        entry.map_or(self.span, |(key, _)| key.span)
    }

    /// Returns the value of `name`, and a finding when there is none.
    pub(crate) fn require(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'n Node> {
        let node = self.get(name);
        if node.is_none() {
            let message = format!("{} needs the field `{name}`", self.what);
            reader.error(self.key_span(name), message);
        }
        node
    }
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, findings: &'s mut Findings) -> Self {
        Self { source, findings }
    }

    pub(crate) fn source(&self) -> &'s Source {
        self.source
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.findings
            .push(Diagnostic::error(&self.source.shared_name(), span, message));
    }

    pub(crate) fn error_with_hint(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::error(&self.source.shared_name(), span, message);
        self.findings.push(diagnostic.with_hint(hint));
    }

    pub(crate) fn warning(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::warning(&self.source.shared_name(), span, message);
        self.findings.push(diagnostic.with_hint(hint));
    }

    /// Reads a mapping whose fields are all among `known`; `what` is what it describes, with its
    /// article.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        known: &[&str],
    ) -> Option<Fields<'n>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, what, "a mapping");
            return None;
        };
        for (key, _) in entries {
            if self.findings.is_full() {
                break;
            }
            if !key.broken && !known.contains(&key.text.as_str()) {
                let message = format!("unknown field {} in {what}", quote(&key.text));
                let hint = match self.findings.suggest(&key.text, known.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None if key.text == "<<" => "merge keys are not supported; write the fields \
                                                 out, or use an alias for the whole value"
                        .to_owned(),
                    None => format!("known are {}", list(known)),
                };
                self.error_with_hint(key.span, message, hint);
            }
        }
        Some(Fields {
            entries,
            span: node.span,
            what,
        })
    }

    /// Reads a list.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, field: &str) -> &'n [Node] {
        match &node.value {
            Value::Sequence(items) => items,
            _ => {
                let hint = "begin each entry with `- `";
                self.wrong_type_with_hint(node, &format!("`{field}`"), "a list", Some(hint));
                &[]
            }
        }
    }

    /// Reads a string; `field` is its name for messages.
    pub(crate) fn string<'n>(&mut self, node: &'n Node, field: impl Display) -> Option<&'n str> {
        match (&node.value, node.node_type()) {
            (Value::Scalar(scalar), NodeType::Text) => Some(&scalar.text),
            (Value::Scalar(scalar), NodeType::Boolean | NodeType::Integer | NodeType::Number) => {
                let hint = format!(
                    "put it in quotes: \"{}\"",
                    quote(&scalar.text).trim_matches('`')
                );
                self.wrong_type_with_hint(node, &format!("{field}"), "a string", Some(&hint));
                None
            }
            _ => {
                self.wrong_type(node, field, "a string");
                None
            }
        }
    }

    /// Reads a string that is used as a name: not empty, without control characters.
    pub(crate) fn name<'n>(&mut self, node: &'n Node, field: impl Display) -> Option<&'n str> {
        let text = self.string(node, &field)?;
        if text.trim().is_empty() {
            self.error(node.span, format!("{field} must not be empty"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.error(
                node.span,
                format!("{field} has a line break or a control character"),
            );
            return None;
        }
        Some(text)
    }

    /// Reads an id or a name with the rules of ids; `make` checks it.
    pub(crate) fn id<T>(
        &mut self,
        node: &Node,
        field: &str,
        make: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        let text = self.string(node, format!("`{field}`"))?;
        let problem = match make(text) {
            Ok(id) => return Some(id),
            Err(IdError::Empty { .. }) => "must not be empty".to_owned(),
            Err(IdError::TooLong { length, .. }) => format!("is too long with {length} characters"),
            Err(IdError::Character { character, .. }) => {
                let character = quote(&character.to_string());
                format!("may only have letters, digits, `-` and `_`, found {character}")
            }
        };
        self.error(node.span, format!("`{field}` {problem}"));
        None
    }

    /// Reads an integer from `min` to `u32::MAX`.
    pub(crate) fn count(&mut self, node: &Node, field: &str, min: u32) -> Option<u32> {
        let Value::Scalar(scalar) = &node.value else {
            self.wrong_type(node, format!("`{field}`"), "an integer");
            return None;
        };
        if node.node_type() != NodeType::Integer {
            let looks_right = scalar.unsigned().is_some();
            let hint = looks_right.then_some("remove the quotes");
            self.wrong_type_with_hint(node, &format!("`{field}`"), "an integer", hint);
            return None;
        }
        let count = scalar
            .unsigned()
            .and_then(|count| u32::try_from(count).ok());
        if count.is_none_or(|count| count < min) {
            let range = format!("from {min} to {}", u32::MAX);
            self.error(node.span, format!("`{field}` must be an integer {range}"));
            return None;
        }
        count
    }

    /// Reads a mapping of strings to strings.
    pub(crate) fn string_map(&mut self, node: &Node, field: &str) -> BTreeMap<String, String> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, format!("`{field}`"), "a mapping");
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            if let Some(text) = self.string(value, quote(&key.text)) {
                map.insert(key.text.clone(), text.to_owned());
            }
        }
        map
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, what: impl Display, expected: &str) {
        self.wrong_type_with_hint(node, &what.to_string(), expected, None);
    }

    fn wrong_type_with_hint(
        &mut self,
        node: &Node,
        what: &str,
        expected: &str,
        hint: Option<&str>,
    ) {
        let found = node.node_type().name();
        let message = format!("{what} must be {expected}, found {found}");
        match hint {
            Some(hint) => self.error_with_hint(node.span, message, hint),
            None => self.error(node.span, message),
        }
    }
}

/// Returns names for a message: `a`, `b` and `c`.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
