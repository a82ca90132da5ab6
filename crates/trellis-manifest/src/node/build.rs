//! Builds node trees from the parser's events, with a bound on everything a text can ask for.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::{Key, Node, Scalar, Value, checks};
use crate::diagnostic::{Diagnostic, Findings};
use crate::source::{Source, Span};

/// The schema is 11 deep; more room lets a wrong manifest be explained rather than refused.
const DEPTH_MAX: usize = 64;
/// Values of all documents of one text, those behind aliases counted at every use. A manifest of a
/// thousand components has about 30,000.
const NODES_MAX: usize = 100_000;
/// Documents of one text; each is an application.
const DOCUMENTS_MAX: usize = 1_000;
/// Bytes of text that aliases may add: as much again as a manifest may have.
const ALIASED_BYTES_MAX: usize = checks::MANIFEST_BYTES_MAX;

/// A finding after which the text cannot be read any further.
pub(super) type Refusal = Box<Diagnostic>;

/// Reads every document of `source`. What is wrong is added to `findings`; `None` means that the
/// text could not be read to its end.
pub(crate) fn documents(source: &Source, findings: &mut Findings) -> Option<Vec<Node>> {
    let mut builder = Builder {
        source,
        findings,
        documents: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        bytes_aliased: 0,
    };
    match checks::check_text(source).and_then(|()| builder.run()) {
        // More findings would not be shown.
        Ok(()) if builder.findings.is_full() => None,
        Ok(()) => Some(builder.documents),
        Err(refusal) => {
            builder.findings.push(*refusal);
            None
        }
    }
}

/// A collection whose end has not been seen.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<Key>,
    /// The keys of a mapping that has many.
    keys_seen: HashMap<String, Span>,
    /// Levels of collections inside, itself counted.
    height: usize,
    /// Totals of the builder when it was opened, to know what an alias to it adds.
    nodes_before: usize,
    bytes_before: usize,
}

/// A finished node that has an anchor.
struct Anchored {
    node: Node,
    height: usize,
    nodes: usize,
    bytes: usize,
}

struct Builder<'s> {
    source: &'s Source,
    findings: &'s mut Findings,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    bytes: usize,
    bytes_aliased: usize,
}

impl Builder<'_> {
    /// Pulls events one by one: the parser's own loader recurses, `next_event` does not.
    fn run(&mut self) -> Result<(), Refusal> {
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(self.source.text());
        while let Some(event) = parser.next_event().filter(|_| !self.findings.is_full()) {
            let (event, span) = event.map_err(|error| checks::syntax_error(self.source, &error))?;
            let absent =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty());
            self.take(event, convert(span, absent))?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Refusal> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            Event::DocumentStart(_) if self.documents.len() >= DOCUMENTS_MAX => {
                let message = format!("a file has at most {DOCUMENTS_MAX} YAML documents");
                return Err(self.refusal(span, &message));
            }
            Event::DocumentStart(_) => {}
            // An anchor reaches to the end of its document.
            Event::DocumentEnd => self.anchors.clear(),
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.check_tag(tag.as_deref(), span);
                let plain = style == ScalarStyle::Plain && !is_text;
                self.scalar(
                    Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                    anchor,
                    span,
                )?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                self.start(Value::Sequence(Vec::new()), anchor, span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                self.start(Value::Mapping(Vec::new()), anchor, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
        Ok(())
    }

    fn scalar(&mut self, scalar: Scalar, anchor: usize, span: Span) -> Result<(), Refusal> {
        let bytes = scalar.text.len();
        self.bytes += bytes;
        self.count_nodes(1, span)?;
        let node = Node {
            span,
            value: Value::Scalar(scalar),
        };
        if anchor > 0 {
            let anchored = Anchored {
                node: node.clone(),
                height: 0,
                nodes: 1,
                bytes,
            };
            self.anchors.insert(anchor, anchored);
        }
        self.put(node);
        Ok(())
    }

    fn start(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), Refusal> {
        let (nodes_before, bytes_before) = (self.nodes, self.bytes);
        self.count_nodes(1, span)?;
        self.check_depth(1, span)?;
        self.open.push(Open {
            node: Node { span, value },
            anchor,
            key: None,
            keys_seen: HashMap::new(),
            height: 1,
            nodes_before,
            bytes_before,
        });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open {
            mut node,
            anchor,
            height,
            nodes_before,
            bytes_before,
            ..
        }) = self.open.pop()
        else {
            return;
        };
        if let Some(parent) = self.open.last_mut() {
            parent.height = parent.height.max(height + 1);
        }
        // A block collection begins with its first item, and that is worth underlining.
        let first = match &node.value {
            Value::Sequence(items) => items.first().map(|item| item.span),
            Value::Mapping(entries) => entries.first().map(|(key, _)| key.span),
            Value::Scalar(_) => None,
        };
        if let Some(first) = first.filter(|_| node.span.start == node.span.end) {
            node.span = first;
        }
        if anchor > 0 {
            let nodes = self.nodes - nodes_before;
            let bytes = self.bytes - bytes_before;
            let anchored = Anchored {
                node: node.clone(),
                height,
                nodes,
                bytes,
            };
            self.anchors.insert(anchor, anchored);
        }
        self.put(node);
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        match &mut parent.node.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match parent.key.take() {
                None => parent.key = Some(checks::key_of(self.source, node, self.findings)),
                Some(key) if key.broken => entries.push((key, node)),
                Some(key) => match first_of(entries, &mut parent.keys_seen, &key) {
                    Some(first) => {
                        self.findings
                            .push(checks::duplicate_key(self.source, &key, first));
                    }
                    None => entries.push((key, node)),
                },
            },
            Value::Scalar(_) => {}
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Refusal> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside its own anchor, or in another document";
            return Err(self.refusal(span, message));
        };
        // Everything is counted before anything is copied.
        let (nodes, bytes, height) = (anchored.nodes, anchored.bytes, anchored.height);
        let copies = self.bytes_aliased.saturating_add(bytes) <= ALIASED_BYTES_MAX;
        let node = (copies && self.nodes.saturating_add(nodes) <= NODES_MAX)
            .then(|| anchored.node.clone());
        self.count_nodes(nodes, span)?;
        self.check_depth(height, span)?;
        let Some(node) = node else {
            let message =
                format!("aliases add more than {ALIASED_BYTES_MAX} bytes to this manifest");
            return Err(self.refusal(span, &message));
        };
        self.bytes_aliased += bytes;
        self.bytes += bytes;
        if let Some(parent) = self.open.last_mut() {
            parent.height = parent.height.max(height + 1);
        }
        self.put(node);
        Ok(())
    }

    fn count_nodes(&mut self, count: usize, span: Span) -> Result<(), Refusal> {
        self.nodes = self.nodes.saturating_add(count);
        if self.nodes > NODES_MAX {
            let message = format!("a manifest has at most {NODES_MAX} values, aliases expanded");
            return Err(self.refusal(span, &message));
        }
        Ok(())
    }

    fn check_depth(&self, height: usize, span: Span) -> Result<(), Refusal> {
        if self.open.len() + height > DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err(self.refusal(span, &message));
        }
        Ok(())
    }

    /// Tells whether `tag` makes its value a string.
    fn check_tag(&mut self, tag: Option<&saphyr_parser::Tag>, span: Span) -> bool {
        tag.is_some_and(|tag| checks::check_tag(self.source, tag, span, self.findings))
    }

    fn refusal(&self, span: Span, message: &str) -> Refusal {
        Box::new(Diagnostic::error(&self.source.shared_name(), span, message))
    }
}

/// Returns where `key` stands among the keys before it. Few keys are compared one by one, which
/// spares most mappings a table of their own.
fn first_of(
    entries: &[(Key, Node)],
    keys_seen: &mut HashMap<String, Span>,
    key: &Key,
) -> Option<Span> {
    const COMPARED_MAX: usize = 16;
    if entries.len() < COMPARED_MAX {
        let first = entries
            .iter()
            .find(|(it, _)| !it.broken && it.text == key.text);
        return first.map(|(it, _)| it.span);
    }
    if keys_seen.is_empty() {
        let whole = entries.iter().filter(|(it, _)| !it.broken);
        keys_seen.extend(whole.map(|(it, _)| (it.text.clone(), it.span)));
    }
    let first = keys_seen.get(&key.text).copied();
    if first.is_none() {
        keys_seen.insert(key.text.clone(), key.span);
    }
    first
}

fn convert(span: saphyr_parser::Span, absent: bool) -> Span {
    let start = Span::at(span.start.line().max(1), span.start.col() + 1);
    if absent {
        // The mark of a value that is not there is that of the next token.
        return start;
    }
    Span {
        start: start.start,
        end: Span::at(span.end.line().max(1), span.end.col() + 1).start,
    }
}
