//! Reads the components of a manifest, and their traits into places.

use std::collections::HashSet;

use trellis_core::{ApplicationName, ComponentId};

use super::{properties, traits};
use crate::diagnostic::quote;
use crate::image::ImageRef;
use crate::model::{
    Component, ComponentKind, ConfigSet, LimitOverrides, Link, Origin, ReuseOverrides, Scaler,
    Secret,
};
use crate::node::{Node, Value};
use crate::reader::{Fields, Reader};
use crate::source::Span;

/// Reads all components; those with errors are left out.
pub(super) fn components(
    reader: &mut Reader<'_>,
    node: &Node,
    application: Option<&ApplicationName>,
) -> Vec<Component> {
    let items = reader.items(node, "components");
    if items.is_empty() && matches!(node.value, Value::Sequence(_)) {
        let hint = "add an entry with `name`, `type` and `properties`";
        reader.warning(node.span, "this application has no components", hint);
    }
    // Names are taken first, so that a link to a component with errors is no error itself.
    let mut names = Names::default();
    for name in items.iter().filter_map(|item| item.get("name")) {
        if let Some(text) = name.text() {
            if !names.set.insert(text) {
                reader.error_with_hint(
                    name.span,
                    "two components have this name",
                    "give each component a name of its own",
                );
            }
            names.list.push(text);
        }
    }
    items
        .iter()
        .filter_map(|item| component(reader, item, application, &names))
        .collect()
}

/// The names that links may name as their target.
#[derive(Default)]
pub(super) struct Names<'n> {
    set: HashSet<&'n str>,
    list: Vec<&'n str>,
}

impl Names<'_> {
    /// Reports `target` when no component has this name.
    pub(super) fn check(&self, reader: &mut Reader<'_>, target: &str, span: Span) {
        if self.set.contains(target) {
            return;
        }
        let message = format!(
            "the target {} is not a component of this manifest",
            quote(target)
        );
        match reader.findings.suggest(target, self.list.iter().copied()) {
            Some(name) => {
                reader.error_with_hint(span, message, format!("did you mean {}?", quote(name)));
            }
            None => reader.error_with_hint(
                span,
                message,
                "a link goes to a component of the same manifest; one of another application \
                 needs an entry with `application`",
            ),
        }
    }
}

fn component(
    reader: &mut Reader<'_>,
    node: &Node,
    application: Option<&ApplicationName>,
    names: &Names<'_>,
) -> Option<Component> {
    let fields = reader.fields(
        node,
        "a component",
        &["name", "type", "properties", "traits"],
    )?;
    let kind = fields
        .require(reader, "type")
        .and_then(|it| kind(reader, it));
    let properties = fields
        .require(reader, "properties")
        .and_then(|it| read_properties(reader, it));
    let traits = match fields.get("traits") {
        Some(node) => read_traits(reader, node, names),
        None => Traits::default(),
    };
    let name_node = fields.require(reader, "name")?;
    let name = reader.name(name_node, "`name`")?;
    let properties = properties?;
    let kind = kind?;
    check_shared(reader, &properties, &traits);
    if matches!(properties.origin, Origin::Image { .. }) {
        check_capability(reader, kind, &traits);
    }
    let id = match (&properties.id, &properties.origin) {
        (Some(id), _) => id.clone(),
        (
            None,
            Origin::Application {
                application,
                component,
                span,
            },
        ) => derive(reader, application.as_str(), component, *span)?,
        (None, Origin::Image { .. }) => {
            derive(reader, application?.as_str(), name, name_node.span)?
        }
    };
    Some(Component {
        name: name.to_owned(),
        id,
        kind,
        origin: properties.origin,
        config: properties.config,
        secrets: properties.secrets,
        scaler: traits.scaler,
        links: traits.links,
        limits: traits.limits.unwrap_or_default(),
        reuse: traits.reuse,
        span: name_node.span,
    })
}

fn derive(
    reader: &mut Reader<'_>,
    application: &str,
    name: &str,
    span: Span,
) -> Option<ComponentId> {
    match ComponentId::derive(application, name) {
        Ok(id) => Some(id),
        Err(error) => {
            reader.error_with_hint(span, error.to_string(), "shorten the name, or set `id`");
            None
        }
    }
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<ComponentKind> {
    let text = reader.string(node, "`type`")?;
    match text {
        // The name of components before 1.0.
        "component" | "actor" => Some(ComponentKind::Component),
        "capability" => Some(ComponentKind::Capability),
        _ => {
            let message = format!(
                "`type` must be `component` or `capability`, found {}",
                quote(text)
            );
            let hint = match reader
                .findings
                .suggest(text, ["component", "capability"].into_iter())
            {
                Some(name) => format!("did you mean `{name}`?"),
                None if text == "provider" => "did you mean `capability`?".to_owned(),
                None => "a provider is a `capability`, all else is a `component`".to_owned(),
            };
            reader.error_with_hint(node.span, message, hint);
            None
        }
    }
}

struct Properties {
    origin: Origin,
    id: Option<ComponentId>,
    config: Vec<ConfigSet>,
    secrets: Vec<Secret>,
    config_span: Span,
    secrets_span: Span,
}

fn read_properties(reader: &mut Reader<'_>, node: &Node) -> Option<Properties> {
    let known = ["image", "application", "id", "config", "secrets"];
    let fields = reader.fields(node, "`properties`", &known)?;
    let id = fields
        .get("id")
        .and_then(|node| reader.id(node, "id", |text| ComponentId::new(text)));
    let config = fields
        .get("config")
        .map(|it| properties::config_sets(reader, it, "config"));
    let secrets = fields
        .get("secrets")
        .map(|it| properties::secrets(reader, it));
    Some(Properties {
        origin: origin(reader, &fields)?,
        id,
        config: config.unwrap_or_default(),
        secrets: secrets.unwrap_or_default(),
        config_span: fields.key_span("config"),
        secrets_span: fields.key_span("secrets"),
    })
}

/// Reads `image` or `application`, of which there must be one.
fn origin(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Origin> {
    match (fields.get("image"), fields.get("application")) {
        (Some(image), None) => {
            let text = reader.string(image, "`image`")?;
            match ImageRef::parse(text) {
                Ok(parsed) => Some(Origin::Image {
                    image: parsed,
                    span: image.span,
                }),
                Err(error) => {
                    reader.error_with_hint(image.span, error.to_string(), error.hint());
                    None
                }
            }
        }
        (None, Some(application)) => shared(reader, application),
        (Some(_), Some(_)) => {
            let message = "`image` and `application` exclude one another";
            reader.error_with_hint(
                fields.key_span("application"),
                message,
                "remove one of them",
            );
            None
        }
        (None, None) => {
            let hint = "write `image: ./build/app.wasm`, or the name of a shared application";
            let span = fields.key_span("image");
            reader.error_with_hint(span, "`properties` needs `image` or `application`", hint);
            None
        }
    }
}

fn shared(reader: &mut Reader<'_>, node: &Node) -> Option<Origin> {
    let fields = reader.fields(node, "`application`", &["name", "component"])?;
    let name = fields
        .require(reader, "name")
        .and_then(|node| reader.id(node, "name", |text| ApplicationName::new(text)));
    let component = fields.require(reader, "component")?;
    let text = reader.name(component, "`component`")?.to_owned();
    Some(Origin::Application {
        application: name?,
        component: text,
        span: component.span,
    })
}

/// A component of another application is configured and scaled there.
fn check_shared(reader: &mut Reader<'_>, properties: &Properties, traits: &Traits) {
    if matches!(properties.origin, Origin::Image { .. }) {
        return;
    }
    let own = [
        (
            "config",
            (!properties.config.is_empty()).then_some(properties.config_span),
        ),
        (
            "secrets",
            (!properties.secrets.is_empty()).then_some(properties.secrets_span),
        ),
        ("a scaler", traits.scaler.as_ref().map(|it| it.span)),
        ("limits", traits.limits.as_ref().and_then(|it| it.span)),
        ("reuse", traits.reuse.as_ref().map(|it| it.span)),
    ];
    for (what, span) in own {
        if let Some(span) = span {
            let message = format!("a component of another application cannot have {what} here");
            reader.error_with_hint(
                span,
                message,
                "set it in the manifest of the shared application",
            );
        }
    }
}

/// Limits are those of a sandbox, and a provider runs outside of it.
fn check_capability(reader: &mut Reader<'_>, kind: ComponentKind, traits: &Traits) {
    let spans = [
        traits.limits.as_ref().and_then(|it| it.span),
        traits.reuse.as_ref().map(|it| it.span),
    ];
    for span in spans.into_iter().flatten() {
        if kind == ComponentKind::Capability {
            reader.error_with_hint(
                span,
                "a capability cannot have this trait, only a component can",
                "remove the trait",
            );
        }
    }
}

/// The traits of one component by what they are.
#[derive(Default)]
struct Traits {
    scaler: Option<Scaler>,
    links: Vec<Link>,
    limits: Option<LimitOverrides>,
    reuse: Option<ReuseOverrides>,
}

/// The types of traits, as the manifest writes them.
const TRAIT_TYPES: [&str; 5] = ["spreadscaler", "daemonscaler", "link", "limits", "reuse"];

fn read_traits(reader: &mut Reader<'_>, node: &Node, names: &Names<'_>) -> Traits {
    let mut found = Traits::default();
    for item in reader.items(node, "traits") {
        let Some(fields) = reader.fields(item, "a trait", &["type", "properties"]) else {
            continue;
        };
        let properties = fields.require(reader, "properties");
        let Some(type_node) = fields.require(reader, "type") else {
            continue;
        };
        let Some(trait_type) = reader.string(type_node, "`type`") else {
            continue;
        };
        let span = type_node.span;
        if !TRAIT_TYPES.contains(&trait_type) {
            let hint = match reader.findings.suggest(trait_type, TRAIT_TYPES.into_iter()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known are {}", crate::reader::list(&TRAIT_TYPES)),
            };
            reader.error_with_hint(span, format!("unknown trait {}", quote(trait_type)), hint);
            continue;
        }
        let Some(properties) = properties else {
            continue;
        };
        let repeated = match trait_type {
            "link" => {
                found
                    .links
                    .extend(traits::link(reader, properties, span, names));
                false
            }
            "limits" => {
                let limits = traits::limits(reader, properties, span);
                limits.is_some() && found.limits.replace(limits.unwrap_or_default()).is_some()
            }
            "reuse" => traits::reuse(reader, properties, span)
                .is_some_and(|it| found.reuse.replace(it).is_some()),
            scaler => traits::scaler(reader, properties, span, scaler == "daemonscaler")
                .is_some_and(|it| found.scaler.replace(it).is_some()),
        };
        if repeated {
            let message = "a component has at most one scaler, one `limits` and one `reuse`";
            reader.error_with_hint(span, message, "merge the two traits into one");
        }
    }
    found
}
