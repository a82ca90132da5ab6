//! Reads the properties of traits: scalers, links, limits, reuse.

use std::collections::HashSet;
use std::time::Duration;

use trellis_core::{LinkName, WitInterface};

use super::component::Names;
use super::properties::{config_sets, secrets};
use crate::model::{
    ConfigSet, LimitOverrides, Link, LinkInterface, ReuseOverrides, SPREAD_WEIGHT_DEFAULT, Scaler,
    ScalerKind, Secret, Spread,
};
use crate::node::{Node, Value};
use crate::reader::{Fields, Reader};
use crate::source::Span;
use crate::units::{self, UnitError};

/// One page of WebAssembly memory; no instance runs in less.
const MEMORY_BYTES_MIN: u64 = 64 << 10;

pub(super) fn scaler(
    reader: &mut Reader<'_>,
    node: &Node,
    span: Span,
    daemon: bool,
) -> Option<Scaler> {
    let known = ["instances", "replicas", "spread"];
    let fields = reader.fields(node, "a scaler", &known)?;
    // The name of the field before 1.0.
    let (field, other) = match fields.get("instances") {
        Some(_) => ("instances", fields.get("replicas")),
        None if fields.get("replicas").is_some() => ("replicas", None),
        None => ("instances", None),
    };
    if other.is_some() {
        let message = "`replicas` is another name of `instances`, which is given too";
        reader.error_with_hint(fields.key_span("replicas"), message, "remove `replicas`");
    }
    let instances = fields
        .require(reader, field)
        .and_then(|it| reader.count(it, field, 0));
    let spread = match fields.get("spread") {
        Some(node) => spreads(reader, node),
        None => Vec::new(),
    };
    let kind = if daemon {
        ScalerKind::Daemon
    } else {
        ScalerKind::Spread
    };
    Some(Scaler {
        kind,
        instances: instances?,
        spread,
        span,
    })
}

fn spreads(reader: &mut Reader<'_>, node: &Node) -> Vec<Spread> {
    let mut spreads: Vec<Spread> = Vec::new();
    let mut names = HashSet::new();
    for item in reader.items(node, "spread") {
        let Some(spread) = spread(reader, item) else {
            continue;
        };
        if !names.insert(spread.name.clone()) {
            reader.error(spread.span, "two spreads of this scaler have this name");
        }
        spreads.push(spread);
    }
    if let Some(first) = spreads.first()
        && spreads.iter().all(|it| it.weight == 0)
    {
        let message = "all weights of this scaler are 0, so nothing would run";
        reader.error_with_hint(
            first.span,
            message,
            "give one spread a weight of at least 1",
        );
    }
    spreads
}

fn spread(reader: &mut Reader<'_>, node: &Node) -> Option<Spread> {
    let fields = reader.fields(node, "a spread", &["name", "requirements", "weight"])?;
    let requirements = fields
        .require(reader, "requirements")
        .map(|it| reader.string_map(it, "requirements"));
    let weight = match fields.get("weight") {
        Some(node) => reader.count(node, "weight", 0),
        None => Some(SPREAD_WEIGHT_DEFAULT),
    };
    let name = fields.require(reader, "name")?;
    Some(Spread {
        name: reader.name(name, "`name`")?.to_owned(),
        requirements: requirements?,
        weight: weight?,
        span: name.span,
    })
}

pub(super) fn link(
    reader: &mut Reader<'_>,
    node: &Node,
    span: Span,
    names: &Names<'_>,
) -> Option<Link> {
    let known = [
        "target",
        "source",
        "namespace",
        "package",
        "interfaces",
        "name",
        "source_config",
        "target_config",
    ];
    let fields = reader.fields(node, "a link", &known)?;
    let target = fields
        .require(reader, "target")
        .and_then(|it| target(reader, it, names));
    let source = fields.get("source").and_then(|node| {
        let fields = reader.fields(node, "`source` of a link", &["config", "secrets"])?;
        Some(end(reader, &fields))
    });
    let old_source = deprecated(reader, &fields, "source_config", "source");
    let old_target = deprecated(reader, &fields, "target_config", "target");
    let mut part = |field: &str| {
        let node = fields.require(reader, field)?;
        wit_name(reader, node, field)
    };
    let (namespace, package) = (part("namespace"), part("package"));
    let interfaces = fields
        .require(reader, "interfaces")
        .map(|it| interfaces(reader, it));
    let name = fields.get("name").map(|node| link_name(reader, node));
    let Target {
        name: target,
        span: target_span,
        end: target_end,
    } = target?;
    // The newer form wins, as in 1.x.
    let source_end = source.unwrap_or_else(|| End {
        config: old_source,
        secrets: Vec::new(),
    });
    let target_config = if target_end.config.is_empty() {
        old_target
    } else {
        target_end.config
    };
    Some(Link {
        target,
        namespace: namespace?,
        package: package?,
        interfaces: interfaces?,
        name: name.unwrap_or_else(|| Some(LinkName::default()))?,
        source_config: source_end.config,
        target_config,
        source_secrets: source_end.secrets,
        target_secrets: target_end.secrets,
        span,
        target_span,
    })
}

/// What one end of a link gets.
#[derive(Default)]
struct End {
    config: Vec<ConfigSet>,
    secrets: Vec<Secret>,
}

struct Target {
    name: String,
    span: Span,
    end: End,
}

fn target(reader: &mut Reader<'_>, node: &Node, names: &Names<'_>) -> Option<Target> {
    // Before 1.0 a target was its name alone.
    let (name, end) = match node.text() {
        Some(_) => (node, End::default()),
        None => {
            let fields =
                reader.fields(node, "`target` of a link", &["name", "config", "secrets"])?;
            let end = end(reader, &fields);
            (fields.require(reader, "name")?, end)
        }
    };
    let text = reader.name(name, "`name`")?;
    names.check(reader, text, name.span);
    Some(Target {
        name: text.to_owned(),
        span: name.span,
        end,
    })
}

fn end(reader: &mut Reader<'_>, fields: &Fields<'_>) -> End {
    let config = fields
        .get("config")
        .map(|it| config_sets(reader, it, "config"));
    let secrets = fields.get("secrets").map(|it| secrets(reader, it));
    End {
        config: config.unwrap_or_default(),
        secrets: secrets.unwrap_or_default(),
    }
}

fn deprecated(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    old: &str,
    new: &str,
) -> Vec<ConfigSet> {
    let Some(node) = fields.get(old) else {
        return Vec::new();
    };
    reader.warning(
        fields.key_span(old),
        format!("`{old}` is deprecated"),
        format!("put the list under `{new}`, as `config`"),
    );
    config_sets(reader, node, old)
}

fn interfaces(reader: &mut Reader<'_>, node: &Node) -> Vec<LinkInterface> {
    let items = reader.items(node, "interfaces");
    if items.is_empty() && matches!(node.value, Value::Sequence(_)) {
        reader.error(node.span, "a link needs at least one interface");
    }
    items
        .iter()
        .filter_map(|item| {
            let name = wit_name(reader, item, "interfaces")?;
            Some(LinkInterface {
                name,
                span: item.span,
            })
        })
        .collect()
}

/// Reads one part of the name of an interface.
fn wit_name(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<String> {
    let text = reader.string(node, format!("`{field}`"))?;
    // Parsed in the place of a namespace, where nothing but an identifier fits.
    if !text.contains([':', '/', '@']) && format!("{text}:a/a").parse::<WitInterface>().is_ok() {
        return Some(text.to_owned());
    }
    let hint = if text.contains('@') {
        "leave the version out: a link is for every version"
    } else if text.contains([':', '/']) {
        "`wasi:keyvalue/store` is written in three fields: `namespace: wasi`, \
         `package: keyvalue`, `interfaces: [store]`"
    } else {
        "a WIT name has letters and digits, in words with `-` between them"
    };
    reader.error_with_hint(node.span, format!("`{field}` is not a WIT name"), hint);
    None
}

fn link_name(reader: &mut Reader<'_>, node: &Node) -> Option<LinkName> {
    reader.id(node, "name", |text| LinkName::new(text))
}

pub(super) fn limits(reader: &mut Reader<'_>, node: &Node, span: Span) -> Option<LimitOverrides> {
    let known = [
        "memory",
        "tableElements",
        "cpuTime",
        "deadline",
        "instances",
        "queue",
        "hostcallBytes",
        "outgoingConnections",
    ];
    let fields = reader.fields(node, "`limits`", &known)?;
    let memory = bytes(reader, &fields, "memory");
    if let Some(node) = fields.get("memory")
        && memory.is_some_and(|it| it < MEMORY_BYTES_MIN)
    {
        let hint = "write `64KiB` or more";
        reader.error_with_hint(
            node.span,
            "no instance runs in less than a page of memory",
            hint,
        );
    }
    let mut count = |field, min| {
        fields
            .get(field)
            .and_then(|it| reader.count(it, field, min))
    };
    Some(LimitOverrides {
        memory_bytes_max: memory,
        table_elements_max: count("tableElements", 0),
        instances_max: count("instances", 1),
        calls_queued_max: count("queue", 0),
        outgoing_connections_max: count("outgoingConnections", 0),
        cpu_time_max: duration(reader, &fields, "cpuTime"),
        deadline: duration(reader, &fields, "deadline"),
        hostcall_bytes_max: bytes(reader, &fields, "hostcallBytes"),
        span: Some(span),
    })
}

pub(super) fn reuse(reader: &mut Reader<'_>, node: &Node, span: Span) -> Option<ReuseOverrides> {
    let fields = reader.fields(node, "`reuse`", &["calls", "concurrency"])?;
    let mut count = |field| fields.get(field).and_then(|it| reader.count(it, field, 1));
    Some(ReuseOverrides {
        calls_max: count("calls"),
        concurrency_max: count("concurrency"),
        span,
    })
}

fn bytes(reader: &mut Reader<'_>, fields: &Fields<'_>, field: &str) -> Option<u64> {
    let hint = "write a size, such as `64MiB`; units are B, KiB, MiB, GiB, kB, MB, GB";
    amount(reader, fields.get(field)?, field, units::bytes, hint)
}

fn duration(reader: &mut Reader<'_>, fields: &Fields<'_>, field: &str) -> Option<Duration> {
    let hint = "write a time of at most 24h, such as `100ms`; units are us, ms, s, m, h";
    amount(reader, fields.get(field)?, field, units::duration, hint)
}

fn amount<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    field: &str,
    parse: fn(&str) -> Result<T, UnitError>,
    hint: &str,
) -> Option<T> {
    let Value::Scalar(scalar) = &node.value else {
        reader.wrong_type(node, format!("`{field}`"), "a number with a unit");
        return None;
    };
    // A bare number is an integer in YAML; its message is that the unit is missing.
    parse(&scalar.text)
        .map_err(|error| reader.error_with_hint(node.span, format!("`{field}` {error}"), hint))
        .ok()
}
