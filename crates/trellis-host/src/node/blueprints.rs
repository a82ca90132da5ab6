//! What the lattice says a component is to be run with, as a blueprint. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use trellis_capabilities::http_client::AllowList;
use trellis_control::{Config, LIMIT_EXECUTION_TIME, LIMIT_MEMORY, Link, TextMap};
use trellis_core::{ComponentId, Limits, LinkName, WitInterface};
use trellis_manifest::{ImageRef, Span};
use trellis_node::ComponentSettings;

use crate::blueprint::{Blueprint, Retry, TargetKind, WiredLink};
use crate::built_in::BuiltIn;

/// What the lattice says at present.
pub(super) struct Said<'a> {
    /// The links by which the component calls.
    pub(super) links: Vec<&'a Link>,
    /// Merges config by name; entries that are gone count as empty.
    pub(super) merged: &'a dyn Fn(&[String]) -> Config,
    /// The built-ins that run as providers of this host.
    pub(super) built_ins: &'a BTreeMap<ComponentId, BuiltIn>,
}

/// Makes the blueprint of a component, and what a person should know about it.
pub(super) fn blueprint(
    id: &ComponentId,
    settings: &ComponentSettings,
    said: &Said<'_>,
) -> (Blueprint, Vec<String>) {
    let mut notes = Vec::new();
    let mut allow = None;
    let mut links = Vec::new();
    for link in &said.links {
        let retry = Retry::of(&(said.merged)(&link.source_config)).unwrap_or_else(|why| {
            notes.push(format!("the link to {}: {why}", link.target));
            Retry::Never
        });
        for wired in wire(link, retry, said) {
            if wired.kind == TargetKind::BuiltIn(BuiltIn::HttpClient) {
                allow = Some(allow_list(&wired, &mut notes));
            }
            links.push(wired);
        }
    }
    let limits = limits(settings, &mut notes);
    let blueprint = Blueprint {
        id: id.clone(),
        limits,
        reuse: None,
        explain: crate::imports::command_for_lattice,
        config: (said.merged)(&settings.config),
        links,
        allow,
    };
    (blueprint, notes)
}

/// Takes a link apart into its interfaces. Names that no component can have are left out.
fn wire<'a>(
    link: &'a Link,
    retry: Retry,
    said: &'a Said<'_>,
) -> impl Iterator<Item = WiredLink> + 'a {
    let target = ComponentId::new(&link.target).ok();
    let name = LinkName::new(&link.name).ok();
    link.interfaces.iter().filter_map(move |interface| {
        let target = target.clone()?;
        let kind = match said.built_ins.get(&target) {
            Some(built_in) => TargetKind::BuiltIn(*built_in),
            None if (link.wit_namespace.as_str(), link.wit_package.as_str())
                == ("wasi", "keyvalue") =>
            {
                TargetKind::KeyValueElsewhere
            }
            None => TargetKind::Component,
        };
        Some(WiredLink {
            interface: WitInterface {
                namespace: link.wit_namespace.clone(),
                package: link.wit_package.clone(),
                interface: interface.clone(),
                version: None,
            },
            name: name.clone()?,
            kind,
            target,
            target_config: (said.merged)(&link.target_config),
            retry,
            span: Span::at(1, 1),
        })
    })
}

/// Reads the hosts that a link to an HTTP client allows: none where that cannot be read.
fn allow_list(link: &WiredLink, notes: &mut Vec<String>) -> AllowList {
    let Some(text) = link.target_config.get("allow") else {
        notes.push(format!(
            "the link to {} allows no host; add a target config with allow=api.example.com",
            link.target
        ));
        return AllowList::default();
    };
    AllowList::parse(text).unwrap_or_else(|errors| {
        notes.extend(errors.iter().map(ToString::to_string));
        AllowList::default()
    })
}

fn limits(settings: &ComponentSettings, notes: &mut Vec<String>) -> Limits {
    let mut limits = Limits {
        instances_max: settings.instances_max.max(1),
        ..Limits::default()
    };
    let Some(told) = &settings.limits else {
        return limits;
    };
    if let Some(bytes) = number(told, LIMIT_MEMORY, notes) {
        limits.memory_bytes_max = bytes;
    }
    if let Some(seconds) = number(told, LIMIT_EXECUTION_TIME, notes) {
        limits.deadline = Duration::from_secs(seconds.max(1));
    }
    limits
}

fn number(told: &TextMap, key: &str, notes: &mut Vec<String>) -> Option<u64> {
    let text = told.get(key)?;
    let number = text.parse().ok();
    if number.is_none() {
        notes.push(format!("limit {key} is {text:?}, which is no number"));
    }
    number
}

/// Where one link of an HTTP server leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedRoute {
    pub(super) address: SocketAddr,
    pub(super) host: Option<String>,
    pub(super) path_prefix: String,
    /// The name of the link.
    pub(super) link: LinkName,
    pub(super) component: ComponentId,
    /// How long an answer may take that comes from elsewhere.
    pub(super) deadline: Option<Duration>,
}

/// Reads a link from an HTTP server.
///
/// # Errors
/// Why it leads nowhere, for people.
pub(super) fn route(
    link: &Link,
    provider_config: &Config,
    source_config: &Config,
    default_http: SocketAddr,
) -> Result<Option<WantedRoute>, String> {
    let is_http = link.wit_namespace == "wasi" && link.wit_package == "http";
    let handler = |name: &String| matches!(name.as_str(), "incoming-handler" | "handler");
    if !is_http || !link.interfaces.iter().any(handler) {
        return Err(format!(
            "an HTTP server calls wasi:http/incoming-handler, not {}:{}/{}",
            link.wit_namespace,
            link.wit_package,
            link.interfaces.join(",")
        ));
    }
    let value = |key: &str| source_config.get(key).or_else(|| provider_config.get(key));
    let address = match value("address").or_else(|| value("default_address")) {
        None => default_http,
        Some(text) => text.parse().map_err(|_| {
            format!(
                "{text:?} is not an address to listen on; write IP:PORT, such as 127.0.0.1:8000"
            )
        })?,
    };
    let deadline = match value("timeout_ms") {
        None => None,
        Some(text) => Some(Duration::from_millis(text.parse().map_err(|_| {
            format!("timeout_ms is {text:?}, which is no number of milliseconds")
        })?)),
    };
    let (Ok(component), Ok(name)) = (ComponentId::new(&link.target), LinkName::new(&link.name))
    else {
        return Ok(None);
    };
    Ok(Some(WantedRoute {
        address,
        host: value("host").cloned(),
        path_prefix: value("path").cloned().unwrap_or_else(|| "/".to_owned()),
        link: name,
        component,
        deadline,
    }))
}

/// Where the code of an image is.
///
/// # Errors
/// Why it cannot be had here, for people.
pub(super) fn image_path(image: &str) -> Result<PathBuf, String> {
    let path = match image.strip_prefix("file://") {
        Some(path) => PathBuf::from(path),
        None if image.starts_with('/') => PathBuf::from(image),
        None => {
            return Err(format!(
                "{image} cannot be fetched: this host reads components from files; give an absolute path or file:///PATH"
            ));
        }
    };
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!(
        "{image} is not absolute: a host does not know the folder that it starts from"
    ))
}

/// Tells whether a host can fetch the image of a component.
pub fn can_run_component(image: &str) -> bool {
    image_path(image).is_ok()
}

/// Tells whether a host can run the image of a provider.
pub fn can_run_provider(image: &str) -> bool {
    built_in(image).is_some()
}

/// Finds the built-in that an image means, by the names of 1.x too.
pub(super) fn built_in(image: &str) -> Option<BuiltIn> {
    let name = image
        .strip_prefix("wasmcloud+builtin://")
        .or_else(|| image.strip_prefix("builtin:"));
    let image = match name {
        Some(name) => ImageRef::BuiltIn(name.to_owned()),
        None => ImageRef::Oci(image.strip_prefix("oci://").unwrap_or(image).to_owned()),
    };
    BuiltIn::for_image(&image).map(|found| found.built_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Config {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn http_link(namespace: &str) -> Link {
        Link {
            source_id: "http".to_owned(),
            target: "shop".to_owned(),
            wit_namespace: namespace.to_owned(),
            wit_package: "http".to_owned(),
            interfaces: vec!["incoming-handler".to_owned()],
            ..Link::default()
        }
    }

    #[test]
    fn a_link_of_an_http_server_is_a_route() {
        let default = SocketAddr::from(([127, 0, 0, 1], 8000));
        let provider = texts(&[("default_address", "127.0.0.1:1"), ("path", "/p")]);
        let source = texts(&[
            ("address", "127.0.0.1:2"),
            ("host", "shop.test"),
            ("timeout_ms", "250"),
        ]);
        let found = route(&http_link("wasi"), &provider, &source, default);
        let expected = WantedRoute {
            address: SocketAddr::from(([127, 0, 0, 1], 2)),
            host: Some("shop.test".to_owned()),
            path_prefix: "/p".to_owned(),
            link: LinkName::default(),
            component: ComponentId::new("shop").expect("an id"),
            deadline: Some(Duration::from_millis(250)),
        };
        assert_eq!(found, Ok(Some(expected)));
        let none = Config::new();
        let found = route(&http_link("wasi"), &none, &none, default);
        assert_eq!(found.map(|it| it.map(|it| it.address)), Ok(Some(default)));
        assert!(route(&http_link("acme"), &none, &none, default).is_err());
        let bad = texts(&[("address", "port 80")]);
        assert!(route(&http_link("wasi"), &none, &bad, default).is_err());
    }

    #[test]
    fn images_are_absolute_files() {
        for good in ["file:///a/b.wasm", "/a/b.wasm"] {
            assert_eq!(image_path(good), Ok(PathBuf::from("/a/b.wasm")), "{good}");
        }
        for bad in ["file://b.wasm", "b.wasm", "reg.local/b:1", ""] {
            assert!(image_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn providers_are_found_by_every_name_that_they_have() {
        for image in [
            "builtin:http-server",
            "wasmcloud+builtin://http-server",
            "ghcr.io/wasmcloud/http-server:0.27.0",
            "oci://ghcr.io/wasmcloud/http-server@sha256:ab",
        ] {
            assert_eq!(built_in(image), Some(BuiltIn::HttpServer), "{image}");
        }
        assert_eq!(built_in("ghcr.io/acme/http-server:1"), None);
    }

    #[test]
    fn limits_of_1_x_are_kept_and_bad_ones_told() {
        let mut notes = Vec::new();
        let told = texts(&[(LIMIT_MEMORY, "1048576"), (LIMIT_EXECUTION_TIME, "soon")]);
        let settings = ComponentSettings {
            instances_max: 7,
            limits: Some(told),
            ..ComponentSettings::default()
        };
        let limits = limits(&settings, &mut notes);
        assert_eq!(limits.memory_bytes_max, 1 << 20);
        assert_eq!(limits.instances_max, 7);
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}
