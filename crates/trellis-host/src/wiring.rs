//! Decides what each link of a set of applications leads to. Pure: opens and starts nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use trellis_capabilities::http_client::AllowList;
use trellis_core::{ApplicationName, ComponentId, LinkName, WitInterface};
use trellis_manifest::{
    Application, Component, ComponentKind, ConfigSet, Diagnostic, ImageRef, LimitOverrides, Link, LinkInterface,
    Origin, Span,
};

use crate::built_in::{self, BuiltIn};
use crate::error::Problem;

/// Leaves room for the derived part of the component's id.
const COMPONENT_NAME_CHARACTERS_MAX: usize = 128;

/// An application and the folder that its relative paths start from.
#[derive(Clone, Debug)]
pub struct Deployable {
    /// The application.
    pub application: Application,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// A manifest names it, so that problems have a place there.
    pub has_manifest: bool,
}

impl Deployable {
    /// Makes an application of a single component, with a route to it at `http`.
    pub fn component(path: &Path, http: SocketAddr) -> Self {
        let span = Span::at(1, 1);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let name: String = stem
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
            .take(COMPONENT_NAME_CHARACTERS_MAX)
            .collect();
        let name = if name.is_empty() { "component".to_owned() } else { name };
        let id = |component: &str| {
            ComponentId::derive(&name, component).expect("letters, digits and dashes, not too many")
        };
        let entry = |component: &str, kind, image, links| Component {
            name: component.to_owned(),
            id: id(component),
            kind,
            origin: Origin::Image { image, span },
            config: Vec::new(),
            secrets: Vec::new(),
            scaler: None,
            links,
            limits: LimitOverrides::default(),
            reuse: None,
            span,
        };
        let address = ("address".to_owned(), http.to_string());
        let link = Link {
            target: "component".to_owned(),
            namespace: "wasi".to_owned(),
            package: "http".to_owned(),
            interfaces: vec![LinkInterface { name: "incoming-handler".to_owned(), span }],
            name: LinkName::default(),
            source_config: vec![ConfigSet {
                name: "address".to_owned(),
                properties: Some(BTreeMap::from([address])),
                span,
            }],
            target_config: Vec::new(),
            source_secrets: Vec::new(),
            target_secrets: Vec::new(),
            span,
            target_span: span,
        };
        let image = ImageRef::File(path.to_string_lossy().into_owned());
        let server = ImageRef::BuiltIn(BuiltIn::HttpServer.name().to_owned());
        Self {
            application: Application {
                name: ApplicationName::new(&name).expect("letters, digits and dashes, not too many"),
                version: None,
                annotations: BTreeMap::new(),
                labels: BTreeMap::new(),
                policies: Vec::new(),
                components: vec![
                    entry("component", ComponentKind::Component, image, Vec::new()),
                    entry("http", ComponentKind::Capability, server, vec![link]),
                ],
                warnings: Vec::new(),
                source_name: path.to_string_lossy().into(),
                span,
            },
            folder: PathBuf::new(),
            has_manifest: false,
        }
    }
}

/// What the applications come to, before anything is loaded.
#[derive(Default)]
pub(crate) struct Wiring {
    pub(crate) components: Vec<WiredComponent>,
    pub(crate) routes: Vec<WiredRoute>,
    /// For each application, what a person should know.
    pub(crate) notes: Vec<Vec<String>>,
}

/// One component and where its links lead.
pub(crate) struct WiredComponent {
    pub(crate) application: usize,
    pub(crate) entry: Component,
    pub(crate) path: PathBuf,
    pub(crate) image_span: Span,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) links: Vec<WiredLink>,
    /// The hosts that its link to an HTTP client allows.
    pub(crate) allow: Option<AllowList>,
}

/// One interface of one link.
#[derive(Clone)]
pub(crate) struct WiredLink {
    pub(crate) interface: WitInterface,
    pub(crate) name: LinkName,
    pub(crate) target: ComponentId,
    pub(crate) kind: TargetKind,
    pub(crate) target_config: BTreeMap<String, String>,
    pub(crate) span: Span,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    BuiltIn(BuiltIn),
    Component,
}

/// One link from an HTTP server to a component.
pub(crate) struct WiredRoute {
    pub(crate) application: usize,
    pub(crate) address: SocketAddr,
    pub(crate) host: Option<String>,
    pub(crate) path_prefix: String,
    pub(crate) component: ComponentId,
    pub(crate) span: Span,
}

/// Wires `applications` together.
///
/// # Errors
/// Everything that this host cannot do for them, at once.
pub(crate) fn wire(
    applications: &[Deployable],
    default_http: SocketAddr,
) -> Result<Wiring, Vec<Problem>> {
    let mut wirer = Wirer { applications, default_http, problems: Vec::new() };
    let mut wiring = Wiring::default();
    for index in 0..applications.len() {
        wirer.application(index, &mut wiring);
    }
    if wirer.problems.is_empty() { Ok(wiring) } else { Err(wirer.problems) }
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
            match entry.kind {
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
            entry.links.iter().flat_map(|link| link.source_secrets.iter().chain(&link.target_secrets)),
        );
        for secret in secrets {
            let message = format!("secret {} cannot be read: this host has no secret store", secret.name);
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
            notes.push(format!("{}: {image} is run by the built-in {}", entry.name, found.built_in.name()));
        }
    }

    fn component(&mut self, index: usize, entry: &Component) -> Option<WiredComponent> {
        let Origin::Image { image, span } = &entry.origin else { return None };
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
            let Some((target, kind)) = self.target(index, link) else { continue };
            let target_config = self.merge(index, &link.target_config);
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
                    span: place.span,
                });
            }
        }
        Some(WiredComponent {
            application: index,
            entry: entry.clone(),
            path,
            image_span: *span,
            config,
            links,
            allow,
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
        let TargetKind::BuiltIn(built_in) = kind else { return };
        if interface.namespace == "wasi" && built_in.provides(&interface.package, &interface.interface) {
            return;
        }
        let message = format!("{} does not provide {interface}", link.target);
        let hint = format!("the built-in {} provides {}", built_in.name(), built_in.offer());
        self.problem(index, span, message, Some(hint));
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
        let Origin::Application { application, component, .. } = &entry.origin else {
            return Some((index, entry));
        };
        let owner = applications.iter().position(|it| it.application.name == *application);
        let shared = owner.and_then(|owner| {
            let found = applications[owner].application.component(component)?;
            applications[owner].application.is_shared().then_some((owner, found))
        });
        if shared.is_none() {
            let message = format!("{name} is component {component} of application {application}, which is not shared here");
            let hint = format!("start both together: `trellis up` takes several manifests; {application} needs the annotation experimental.wasmcloud.dev/shared: \"true\"");
            self.problem(index, span, message, Some(hint));
        }
        shared
    }

    fn built_in(&mut self, index: usize, entry: &Component) -> Option<BuiltIn> {
        let (image, span) = entry.image()?;
        if let Some(found) = BuiltIn::for_image(image) {
            return Some(found.built_in);
        }
        let names: Vec<String> =
            built_in::NAMES.iter().map(|(name, _)| format!("builtin:{name}")).collect();
        let message = format!("provider {image} cannot be run: this host runs only built-in providers");
        self.problem(index, span, message, Some(format!("use one of {}", names.join(", "))));
        None
    }

    fn route(&mut self, index: usize, entry: &Component, link: &Link) -> Option<WiredRoute> {
        let (owner, server) = self.entry(index, &entry.name, entry.span)?;
        let built_in = self.built_in(owner, server)?;
        if built_in != BuiltIn::HttpServer {
            let message = format!("{} calls nothing, so it cannot be the source of a link", entry.name);
            self.problem(index, link.span, message, Some("only an HTTP server calls components".into()));
            return None;
        }
        let handler = |name: &str| matches!(name, "incoming-handler" | "handler");
        let is_http = link.namespace == "wasi" && link.package == "http";
        if !is_http || !link.interfaces.iter().any(|interface| handler(&interface.name)) {
            let message = format!("an HTTP server calls wasi:http, not {}:{}", link.namespace, link.package);
            self.problem(index, link.span, message, Some("interfaces: [incoming-handler]".into()));
            return None;
        }
        let (component, kind) = self.target(index, link)?;
        if kind != TargetKind::Component {
            let message = format!("{} is a provider; an HTTP server calls components", link.target);
            self.problem(index, link.target_span, message, None);
            return None;
        }
        let mut config = self.merge(owner, &server.config);
        config.extend(self.merge(index, &link.source_config));
        Some(WiredRoute {
            application: index,
            address: self.address(index, link, &config)?,
            host: config.get("host").cloned(),
            path_prefix: config.get("path").cloned().unwrap_or_else(|| "/".to_owned()),
            component,
            span: link.span,
        })
    }

    fn address(
        &mut self,
        index: usize,
        link: &Link,
        config: &BTreeMap<String, String>,
    ) -> Option<SocketAddr> {
        let Some(text) = config.get("address").or_else(|| config.get("default_address")) else {
            return Some(self.default_http);
        };
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let span = link.source_config.first().map_or(link.span, |config| config.span);
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
                    merged.extend(properties.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
                None => {
                    let message = format!("config {} has no properties here, and this host keeps no named configs", set.name);
                    let hint = "write its properties into the manifest".to_owned();
                    self.problem(index, set.span, message, Some(hint));
                }
            }
        }
        merged
    }

    fn problem(&mut self, index: usize, span: Span, message: String, hint: Option<String>) {
        self.problems.push(problem(&self.applications[index], span, message, hint));
    }
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
