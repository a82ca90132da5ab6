//! The schema of a manifest: turns the nodes of one document into an [`Application`].

use std::collections::{BTreeMap, HashMap};

use trellis_core::ApplicationName;

use crate::diagnostic::quote;
use crate::model::{Application, Policy};
use crate::node::{Node, Value};
use crate::reader::Reader;
use crate::source::Span;

mod component;
mod properties;
mod traits;

/// The version of the schema that every manifest names.
pub const API_VERSION: &str = "core.oam.dev/v1beta1";
/// The kind that every manifest names.
pub const KIND: &str = "Application";

/// An application as far as it could be read, so that rules across its parts are checked even when
/// some parts are wrong.
pub(crate) struct Draft {
    pub(crate) application: Application,
    /// Nothing is missing because of an error.
    pub(crate) complete: bool,
    /// No policy is missing because of an error.
    pub(crate) policies_complete: bool,
    /// Where its document begins.
    pub(crate) start: Span,
}

/// Tells whether `text` is one of `known`, but for case and what is not a letter.
fn is_near(text: &str, known: &[&str]) -> bool {
    let letters = text.chars().filter(char::is_ascii_alphabetic);
    let letters: String = letters.collect();
    known.iter().any(|it| it.eq_ignore_ascii_case(&letters))
}

/// Reads one document. `None` means that not even a name could be read.
pub(crate) fn application(reader: &mut Reader<'_>, document: &Node) -> Option<Draft> {
    let known = ["apiVersion", "kind", "metadata", "spec"];
    if let Value::Mapping(entries) = &document.value
        && !entries.iter().any(|(key, _)| is_near(&key.text, &known))
    {
        // A file of something else; all of its fields would be mistakes.
        let message = "this is no manifest: it has no `apiVersion`, `kind`, `metadata` or `spec`";
        let hint = format!("a manifest begins with `apiVersion: {API_VERSION}`");
        reader.error_with_hint(document.span, message, hint);
        return None;
    }
    let fields = reader.fields(document, "a manifest", &known)?;
    let errors_before = reader.findings.error_count();
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if let Some(node) = fields.require(reader, field)
            && let Some(found) = reader.string(node, format!("`{field}`"))
            && found != expected
        {
            let message = format!("`{field}` must be `{expected}`, found {}", quote(found));
            reader.error(node.span, message);
        }
    }
    let metadata = fields
        .require(reader, "metadata")
        .and_then(|node| metadata(reader, node));
    let spec = fields
        .require(reader, "spec")
        .and_then(|node| reader.fields(node, "`spec`", &["components", "policies"]));
    // Components are read without a name too, to report all that is wrong at once.
    let name = metadata.as_ref().map(|it| &it.name);
    let errors_before_policies = reader.findings.error_count();
    let policies = match spec.and_then(|spec| spec.get("policies")) {
        Some(node) => policies(reader, node),
        None => Vec::new(),
    };
    let policies_complete = reader.findings.error_count() == errors_before_policies;
    let components = match spec.and_then(|spec| spec.require(reader, "components")) {
        Some(node) => component::components(reader, node, name),
        None => Vec::new(),
    };
    let metadata = metadata?;
    let application = Application {
        name: metadata.name,
        version: metadata.annotations.get("version").cloned(),
        annotations: metadata.annotations,
        labels: metadata.labels,
        policies,
        components,
        warnings: Vec::new(),
        source_name: reader.source().shared_name(),
        span: metadata.span,
    };
    Some(Draft {
        application,
        complete: reader.findings.error_count() == errors_before,
        policies_complete,
        start: document.span,
    })
}

struct Metadata {
    name: ApplicationName,
    span: Span,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

fn metadata(reader: &mut Reader<'_>, node: &Node) -> Option<Metadata> {
    let fields = reader.fields(node, "`metadata`", &["name", "annotations", "labels"])?;
    let annotations = fields
        .get("annotations")
        .map(|it| labels(reader, it, "annotations"));
    let labels = fields.get("labels").map(|it| labels(reader, it, "labels"));
    if let Some(annotations) = fields.get("annotations")
        && let Some(version) = annotations.get("version")
        && version
            .text()
            .is_some_and(|it| it == "latest" || it.trim().is_empty())
    {
        let message = "a version must not be empty or `latest`, which means the newest one";
        reader.error_with_hint(version.span, message, "write a number, such as `1.0.0`");
    }
    let name = fields.require(reader, "name")?;
    Some(Metadata {
        name: reader.id(name, "name", |text| ApplicationName::new(text))?,
        span: name.span,
        annotations: annotations.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
    })
}

/// Reads annotations or labels and checks their keys.
fn labels(reader: &mut Reader<'_>, node: &Node, field: &str) -> BTreeMap<String, String> {
    if let Value::Mapping(entries) = &node.value {
        for (key, _) in entries {
            if !key.broken && !is_label_key(&key.text) {
                reader.error_with_hint(
                    key.span,
                    format!("a key of `{field}` is a name of at most 63 letters, digits, `-`, `_` and `.`"),
                    "a domain may stand before it, as in `example.com/team`",
                );
            }
        }
    }
    reader.string_map(node, field)
}

/// Tells whether `key` is a label key as Kubernetes defines it: a name, or a domain, `/` and a name.
fn is_label_key(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let name_fits = name.len() <= 63
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'));
    let label_fits = |label: &str| {
        label.len() <= 63
            && label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
            && label.chars().all(|c| alphanumeric(c) || c == '-')
    };
    name_fits && domain.is_none_or(|it| it.len() <= 253 && it.split('.').all(label_fits))
}

fn policies(reader: &mut Reader<'_>, node: &Node) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for item in reader.items(node, "policies") {
        let Some(policy) = policy(reader, item) else {
            continue;
        };
        if let Some(line) = lines.insert(policy.name.clone(), policy.span.start.line) {
            let hint = format!("the other is in line {line}");
            reader.error_with_hint(policy.span, "two policies have this name", hint);
        }
        policies.push(policy);
    }
    policies
}

fn policy(reader: &mut Reader<'_>, node: &Node) -> Option<Policy> {
    let fields = reader.fields(node, "a policy", &["name", "type", "properties"])?;
    let properties = fields
        .require(reader, "properties")
        .map(|it| reader.string_map(it, "properties"));
    let policy_type = fields
        .require(reader, "type")
        .and_then(|it| reader.name(it, "`type`"));
    let name = fields.require(reader, "name")?;
    Some(Policy {
        name: reader.name(name, "`name`")?.to_owned(),
        policy_type: policy_type?.to_owned(),
        properties: properties?,
        span: name.span,
    })
}
