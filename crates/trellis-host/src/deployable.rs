//! What a host can be asked to start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use trellis_core::{ApplicationName, ComponentId, LinkName};
use trellis_manifest::{
    Application, Component, ComponentKind, ConfigSet, ImageRef, LimitOverrides, Link,
    LinkInterface, Origin, Span,
};

use crate::built_in::BuiltIn;

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
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy())
            .unwrap_or_default();
        let name: String = stem
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '-'
                }
            })
            .take(COMPONENT_NAME_CHARACTERS_MAX)
            .collect();
        let name = if name.is_empty() {
            "component".to_owned()
        } else {
            name
        };
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
            interfaces: vec![LinkInterface {
                name: "incoming-handler".to_owned(),
                span,
            }],
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
                name: ApplicationName::new(&name)
                    .expect("letters, digits and dashes, not too many"),
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
