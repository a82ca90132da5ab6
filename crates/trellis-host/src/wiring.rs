//! Decides what each link of a set of applications leads to. Pure: opens and starts nothing.

mod routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use trellis_capabilities::http_client::AllowList;
use trellis_core::{ComponentId, Limits, WitInterface};
use trellis_manifest::{
    Component, ComponentKind, ConfigSet, Diagnostic, ImageRef, Link, Origin, Span,
};

use crate::blueprint::{Blueprint, Retry, TargetKind, WiredLink};
use crate::built_in::{self, BuiltIn};
use crate::deployable::Deployable;
use crate::error::Problem;

/// What the applications come to, before anything is loaded.
#[derive(Default)]
pub(crate) struct Wiring {
    pub(crate) components: Vec<WiredComponent>,
    pub(crate) routes: Vec<WiredRoute>,
    /// For each application, what a person should know.
    pub(crate) notes: Vec<Vec<String>>,
}

/// One component, and the file with its code.
pub(crate) struct WiredComponent {
    pub(crate) application: usize,
    pub(crate) blueprint: Blueprint,
    pub(crate) path: PathBuf,
    pub(crate) image_span: Span,
}

/// One link from an HTTP server to a component.
pub(crate) struct WiredRoute {
    pub(crate) application: usize,
    pub(crate) address: SocketAddr,
    pub(crate) host: Option<String>,
    pub(crate) path_prefix: String,
    pub(crate) component: ComponentId,
    /// Where the link stands.
    pub(crate) span: Span,
    /// Where its address, host and path stand, if it gives them.
    pub(crate) config_span: Span,
}

/// Wires `applications` together.
///
/// # Errors
/// Everything that this host cannot do for them, at once.
pub(crate) fn wire(
    applications: &[Deployable],
    default_http: SocketAddr,
) -> Result<Wiring, Vec<Problem>> {
    let mut wirer = Wirer {
        applications,
        default_http,
        problems: Vec::new(),
    };
    let mut wiring = Wiring::default();
    for index in 0..applications.len() {
        wirer.application(index, &mut wiring);
    }
    wirer.problems.extend(routes::check(applications, &wiring));
    if wirer.problems.is_empty() {
        Ok(wiring)
    } else {
        Err(wirer.problems)
    }
}

struct Wirer<'a> {
    applications: &'a [Deployable],
    default_http: SocketAddr,
    problems: Vec<Problem>,
}

impl<'a> Wirer<'a> {
    fn application(&mut self, index: usize, wiring: &mut Wiring) {
        let deployable = &self.applications[index];
        let mut notes = Vec::new();
        for entry in &deployable.application.components {
            self.check_entry(index, entry, &mut notes);
            self.note_unused_keys(index, entry, &mut notes);
            match entry.kind {
                ComponentKind::Component if entry.instances() == Some(0) => {
                    notes.push(format!(
                        "{}: instances: 0, so it is not started",
                        entry.name
                    ));
                }
                ComponentKind::Component => {
                    wiring.components.extend(self.component(index, entry));
                }
                ComponentKind::Capability => {
                    for link in &entry.links {
                        wiring.routes.extend(self.route(index, entry, link));
                    }
                }
            }
        }
        wiring.notes.push(notes);
    }

    /// Says what this host does differently from what the entry asks for.
    fn check_entry(&mut self, index: usize, entry: &Component, notes: &mut Vec<String>) {
        let secrets = entry.secrets.iter().chain(
            entry
                .links
                .iter()
                .flat_map(|link| link.source_secrets.iter().chain(&link.target_secrets)),
        );
        for secret in secrets {
            let message = format!(
                "secret {} cannot be read: this host has no secret store",
                secret.name
            );
            self.problem(index, secret.span, message, None);
        }
        for spread in entry.scaler.iter().flat_map(|scaler| &scaler.spread) {
            if !spread.requirements.is_empty() {
                notes.push(format!(
                    "{}: spread {} asks for host labels; there is only this host, so it runs here",
                    entry.name, spread.name
                ));
            }
        }
        if let Some((image, _)) = entry.image()
            && let Some(found) = BuiltIn::for_image(image)
            && found.substitute
        {
            notes.push(format!(
                "{}: {image} is run by the built-in {}",
                entry.name,
                found.built_in.name()
            ));
        }
    }

    /// Notes config keys that the built-in at the other end does not read, so that a misspelt one is
    /// seen.
    fn note_unused_keys(&mut self, index: usize, entry: &Component, notes: &mut Vec<String>) {
        for link in &entry.links {
            let (sets, built_in) = match entry.kind {
                ComponentKind::Capability => (&link.source_config, Some(BuiltIn::HttpServer)),
                ComponentKind::Component => {
                    let target = self.applications[index].application.component(&link.target);
                    let image = target.and_then(|target| target.image());
                    let found = image.and_then(|(image, _)| BuiltIn::for_image(image));
                    (&link.target_config, found.map(|found| found.built_in))
                }
            };
            let Some(built_in) = built_in else { continue };
            for key in sets
                .iter()
                .flat_map(|set| set.properties.iter().flat_map(|map| map.keys()))
            {
                if !built_in.config_keys().contains(&key.as_str()) {
                    notes.push(format!(
                        "{} -> {}: config key {key} is not used; the built-in {} reads {}",
                        entry.name,
                        link.target,
                        built_in.name(),
                        built_in.config_keys().join(", ")
                    ));
                }
            }
        }
    }

    fn component(&mut self, index: usize, entry: &Component) -> Option<WiredComponent> {
        let Origin::Image { image, span } = &entry.origin else {
            return None;
        };
        let Some(path) = image.resolve(&self.applications[index].folder) else {
            let hint = "build it and give its path, such as `./build/app.wasm`".to_owned();
            let message = match image {
                ImageRef::BuiltIn(_) => format!("{image} is a provider, not a component"),
                _ => format!("{image} cannot be fetched: this host reads components from files"),
            };
            self.problem(index, *span, message, Some(hint));
            return None;
        };
        let config = self.merge(index, &entry.config);
        let mut links = Vec::new();
        let mut allow = None;
        for link in &entry.links {
            let Some((target, kind)) = self.target(index, link) else {
                continue;
            };
            let target_config = self.merge(index, &link.target_config);
            let retry = self.retry(index, link);
            if kind == TargetKind::BuiltIn(BuiltIn::HttpClient) {
                allow = self.allow_list(index, link, &target_config);
            }
            for (interface, place) in link.wit_interfaces().zip(&link.interfaces) {
                self.check_offer(index, link, kind, &interface, place.span);
                links.push(WiredLink {
                    interface,
                    name: link.name.clone(),
                    target: target.clone(),
                    kind,
                    target_config: target_config.clone(),
                    retry,
                    span: place.span,
                });
            }
        }
        let blueprint = Blueprint {
            id: entry.id.clone(),
            limits: limits(entry),
            reuse: entry.reuse,
            config,
            links,
            explain: crate::imports::lines_for_manifest,
            allow,
        };
        Some(WiredComponent {
            application: index,
            blueprint,
            path,
            image_span: *span,
        })
    }

    fn check_offer(
        &mut self,
        index: usize,
        link: &Link,
        kind: TargetKind,
        interface: &WitInterface,
        span: Span,
    ) {
        let TargetKind::BuiltIn(built_in) = kind else {
            return;
        };
        if interface.namespace == "wasi"
            && built_in.provides(&interface.package, &interface.interface)
        {
            return;
        }
        let message = format!("{} does not provide {interface}", link.target);
        let hint = format!(
            "the built-in {} provides {}",
            built_in.name(),
            built_in.offer()
        );
        self.problem(index, span, message, Some(hint));
    }

    fn retry(&mut self, index: usize, link: &Link) -> Retry {
        let config = self.merge(index, &link.source_config);
        Retry::of(&config).unwrap_or_else(|message| {
            let place = link.source_config.first();
            let span = place.map_or(link.span, |config| config.span);
            self.problem(index, span, message, None);
            Retry::Never
        })
    }

    fn allow_list(
        &mut self,
        index: usize,
        link: &Link,
        config: &BTreeMap<String, String>,
    ) -> Option<AllowList> {
        let Some(text) = config.get("allow") else {
            let message = format!("the link to {} allows no host", link.target);
            let hint = "add a target config with `allow: \"api.example.com\"`".to_owned();
            self.problem(index, link.target_span, message, Some(hint));
            return None;
        };
        match AllowList::parse(text) {
            Ok(list) => Some(list),
            Err(errors) => {
                for error in errors {
                    let hint = error.hint();
                    self.problem(index, link.target_span, error.to_string(), Some(hint));
                }
                None
            }
        }
    }

    /// Finds what a link leads to, across a reference to a shared application.
    fn target(&mut self, index: usize, link: &Link) -> Option<(ComponentId, TargetKind)> {
        let (owner, entry) = self.entry(index, &link.target, link.target_span)?;
        match entry.kind {
            ComponentKind::Component => Some((entry.id.clone(), TargetKind::Component)),
            ComponentKind::Capability => {
                let built_in = self.built_in(owner, entry)?;
                Some((entry.id.clone(), TargetKind::BuiltIn(built_in)))
            }
        }
    }

    fn entry(&mut self, index: usize, name: &str, span: Span) -> Option<(usize, &'a Component)> {
        let applications = self.applications;
        let entry = applications[index].application.component(name)?;
        let Origin::Application {
            application,
            component,
            ..
        } = &entry.origin
        else {
            return Some((index, entry));
        };
        let owner = applications
            .iter()
            .position(|it| it.application.name == *application);
        let shared = owner.and_then(|owner| {
            let found = applications[owner].application.component(component)?;
            applications[owner]
                .application
                .is_shared()
                .then_some((owner, found))
        });
        if shared.is_none() {
            let message = format!(
                "{name} is component {component} of application {application}, which is not shared here"
            );
            let hint = format!(
                "start both together: `trellis up` takes several manifests; {application} needs the annotation experimental.wasmcloud.dev/shared: \"true\""
            );
            self.problem(index, span, message, Some(hint));
        }
        shared
    }

    fn built_in(&mut self, index: usize, entry: &Component) -> Option<BuiltIn> {
        let (image, span) = entry.image()?;
        if let Some(found) = BuiltIn::for_image(image) {
            return Some(found.built_in);
        }
        let names: Vec<String> = built_in::NAMES
            .iter()
            .map(|(name, _)| format!("builtin:{name}"))
            .collect();
        let message =
            format!("provider {image} cannot be run: this host runs only built-in providers");
        self.problem(
            index,
            span,
            message,
            Some(format!("use one of {}", names.join(", "))),
        );
        None
    }

    fn route(&mut self, index: usize, entry: &Component, link: &Link) -> Option<WiredRoute> {
        let (owner, server) = self.entry(index, &entry.name, entry.span)?;
        let built_in = self.built_in(owner, server)?;
        if built_in != BuiltIn::HttpServer {
            let message = format!(
                "{} calls nothing, so it cannot be the source of a link",
                entry.name
            );
            self.problem(
                index,
                link.span,
                message,
                Some("only an HTTP server calls components".into()),
            );
            return None;
        }
        let handler = |name: &str| matches!(name, "incoming-handler" | "handler");
        let is_http = link.namespace == "wasi" && link.package == "http";
        if !is_http
            || !link
                .interfaces
                .iter()
                .any(|interface| handler(&interface.name))
        {
            let names: Vec<&str> = link.interfaces.iter().map(|it| it.name.as_str()).collect();
            let message = format!(
                "an HTTP server calls wasi:http/incoming-handler, not {}:{}/{}",
                link.namespace,
                link.package,
                names.join(",")
            );
            let misspelt = link.interfaces.first().filter(|_| is_http);
            self.problem(
                index,
                misspelt.map_or(link.span, |it| it.span),
                message,
                Some("interfaces: [incoming-handler]".into()),
            );
            return None;
        }
        let (component, kind) = self.target(index, link)?;
        if kind != TargetKind::Component {
            let message = format!(
                "{} is a provider; an HTTP server calls components",
                link.target
            );
            self.problem(index, link.target_span, message, None);
            return None;
        }
        let mut config = self.merge(owner, &server.config);
        config.extend(self.merge(index, &link.source_config));
        Some(WiredRoute {
            application: index,
            address: self.address(index, link, &config)?,
            host: config.get("host").cloned(),
            path_prefix: config
                .get("path")
                .cloned()
                .unwrap_or_else(|| "/".to_owned()),
            component,
            span: link.span,
            config_span: config_span(link),
        })
    }

    fn address(
        &mut self,
        index: usize,
        link: &Link,
        config: &BTreeMap<String, String>,
    ) -> Option<SocketAddr> {
        let Some(text) = config
            .get("address")
            .or_else(|| config.get("default_address"))
        else {
            return Some(self.default_http);
        };
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let span = config_span(link);
                let message = format!("{text:?} is not an address to listen on");
                let hint = "write an IP address and a port, such as 127.0.0.1:8000".to_owned();
                self.problem(index, span, message, Some(hint));
                None
            }
        }
    }

    /// Merges config sets in order; a later one wins.
    fn merge(&mut self, index: usize, sets: &[ConfigSet]) -> BTreeMap<String, String> {
        let mut merged = BTreeMap::new();
        for set in sets {
            match &set.properties {
                Some(properties) => {
                    merged.extend(
                        properties
                            .iter()
                            .map(|(key, value)| (key.clone(), value.clone())),
                    );
                }
                None => {
                    let message = format!(
                        "config {} has no properties here, and this host keeps no named configs",
                        set.name
                    );
                    let hint = "write its properties into the manifest".to_owned();
                    self.problem(index, set.span, message, Some(hint));
                }
            }
        }
        merged
    }

    fn problem(&mut self, index: usize, span: Span, message: String, hint: Option<String>) {
        self.problems
            .push(problem(&self.applications[index], span, message, hint));
    }
}

/// Returns where the settings of a link from an HTTP server stand.
fn config_span(link: &Link) -> Span {
    let config = link.source_config.first();
    config.map_or(link.span, |config| config.span)
}

/// Takes the limits of the manifest; `instances` of the scaler stands in for a limit of that name.
fn limits(entry: &Component) -> Limits {
    let mut limits = Limits::default();
    if let Some(instances) = entry.instances() {
        limits.instances_max = instances;
    }
    entry.limits.apply(limits)
}

/// Makes a problem of `deployable`, with its place where it has one.
pub(crate) fn problem(
    deployable: &Deployable,
    span: Span,
    message: String,
    hint: Option<String>,
) -> Problem {
    if !deployable.has_manifest {
        return Problem::Component { message, hint };
    }
    let diagnostic: Diagnostic = deployable.application.error_at(span, message);
    Problem::Manifest(match hint {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    })
}
