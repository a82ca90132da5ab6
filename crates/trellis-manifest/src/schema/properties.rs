//! Reads configuration sets and secrets, which components and both ends of links have alike.

use std::collections::HashSet;

use crate::model::{ConfigSet, Secret};
use crate::node::Node;
use crate::reader::Reader;

pub(super) fn config_sets(reader: &mut Reader<'_>, node: &Node, field: &str) -> Vec<ConfigSet> {
    let items = reader.items(node, field);
    items
        .iter()
        .filter_map(|item| config_set(reader, item))
        .collect()
}

fn config_set(reader: &mut Reader<'_>, node: &Node) -> Option<ConfigSet> {
    let fields = reader.fields(node, "a config", &["name", "properties"])?;
    let properties = fields
        .get("properties")
        .map(|it| reader.string_map(it, "properties"));
    let name = fields.require(reader, "name")?;
    Some(ConfigSet {
        name: reader.name(name, "`name`")?.to_owned(),
        properties,
        span: name.span,
    })
}

pub(super) fn secrets(reader: &mut Reader<'_>, node: &Node) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = Vec::new();
    let mut names = HashSet::new();
    for item in reader.items(node, "secrets") {
        let Some(secret) = secret(reader, item) else {
            continue;
        };
        if !names.insert(secret.name.clone()) {
            reader.error(secret.span, "two secrets in this list have this name");
        }
        secrets.push(secret);
    }
    secrets
}

fn secret(reader: &mut Reader<'_>, node: &Node) -> Option<Secret> {
    let fields = reader.fields(node, "a secret", &["name", "properties"])?;
    let name_node = fields.require(reader, "name");
    let name = name_node.and_then(|it| reader.name(it, "`name`"));
    let properties = fields.require(reader, "properties")?;
    let known = ["policy", "key", "field", "version"];
    let properties = reader.fields(properties, "`properties` of a secret", &known)?;
    let mut required = |field: &str| {
        let node = properties.require(reader, field)?;
        reader.name(node, format!("`{field}`")).map(str::to_owned)
    };
    let (policy, key) = (required("policy"), required("key"));
    let mut optional = |field: &str| {
        let node = properties.get(field)?;
        reader.name(node, format!("`{field}`")).map(str::to_owned)
    };
    let (field, version) = (optional("field"), optional("version"));
    Some(Secret {
        name: name?.to_owned(),
        policy: policy?,
        key: key?,
        field,
        version,
        span: name_node?.span,
    })
}
