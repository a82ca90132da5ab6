//! What a manifest says, typed and checked, with the places that later errors point at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trellis_core::{ApplicationName, ComponentId, Limits, LinkName, Reuse, WitInterface};

use crate::diagnostic::Diagnostic;
use crate::image::ImageRef;
use crate::source::Span;

/// The annotation by which 1.x lets other applications use the components of this one.
const SHARED_ANNOTATION: &str = "experimental.wasmcloud.dev/shared";

/// One application: a manifest, or one document of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its name, unique in a lattice.
    pub name: ApplicationName,
    /// Its version, where an annotation gives one.
    pub version: Option<String>,
    /// The annotations, `version` among them.
    pub annotations: BTreeMap<String, String>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The policies that secrets name.
    pub policies: Vec<Policy>,
    /// The components and providers, in the order of the manifest.
    pub components: Vec<Component>,
    /// What deserves a look and does not stop a deployment.
    pub warnings: Vec<Diagnostic>,
    /// The name of the source it was read from.
    pub source_name: Arc<str>,
    /// Where its name stands.
    pub span: Span,
}

impl Application {
    /// Returns the component with this name in the manifest.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| component.name == name)
    }

    /// Tells whether other applications may use its components.
    pub fn is_shared(&self) -> bool {
        self.annotations
            .get(SHARED_ANNOTATION)
            .is_some_and(|value| value == "true")
    }

    /// Returns an error about a place of this manifest that was found after parsing, such as a file
    /// that does not exist.
    pub fn error_at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(&self.source_name, span, message)
    }

    /// Returns a warning about a place of this manifest that was found after parsing.
    pub fn warning_at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(&self.source_name, span, message)
    }
}

/// Settings that secrets refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its type, such as `policy.secret.wasmcloud.dev/v1alpha1`.
    pub policy_type: String,
    /// Its settings.
    pub properties: BTreeMap<String, String>,
    /// Where its name stands.
    pub span: Span,
}

/// One entry of a manifest: a component or a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name in the manifest.
    pub name: String,
    /// Its lattice-wide id: as given, or derived from the names of application and component.
    pub id: ComponentId,
    /// Whether it is a component or a provider.
    pub kind: ComponentKind,
    /// Where its artifact comes from.
    pub origin: Origin,
    /// Its configuration, later sets over earlier ones.
    pub config: Vec<ConfigSet>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// How many instances run where, where a trait says so.
    pub scaler: Option<Scaler>,
    /// The links of which it is the source.
    pub links: Vec<Link>,
    /// What its `limits` trait changes.
    pub limits: LimitOverrides,
    /// What its `reuse` trait changes.
    pub reuse: Option<ReuseOverrides>,
    /// Where its name stands.
    pub span: Span,
}

impl Component {
    /// Returns the instances that its scaler asks for; `None` without a scaler: the host's default.
    pub fn instances(&self) -> Option<u32> {
        self.scaler.as_ref().map(|scaler| scaler.instances)
    }

    /// Returns its image and where it stands; `None` for a component of another application.
    pub fn image(&self) -> Option<(&ImageRef, Span)> {
        match &self.origin {
            Origin::Image { image, span } => Some((image, *span)),
            Origin::Application { .. } => None,
        }
    }
}

/// What an entry of a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentKind {
    /// A WebAssembly component.
    Component,
    /// A provider of capabilities.
    Capability,
}

/// Where the artifact of an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From an image.
    Image {
        /// The image.
        image: ImageRef,
        /// Where it stands.
        span: Span,
    },
    /// It is a component of another, shared application.
    Application {
        /// The other application.
        application: ApplicationName,
        /// The name of the component in the manifest of the other.
        component: String,
        /// Where the name of the component stands.
        span: Span,
    },
}

/// A named map of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSet {
    /// Its name.
    pub name: String,
    /// Its settings; `None` means that the lattice holds them under this name.
    pub properties: Option<BTreeMap<String, String>>,
    /// Where its name stands.
    pub span: Span,
}

/// A reference to a value that only a secrets backend knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name for the component.
    pub name: String,
    /// The policy that names the backend.
    pub policy: String,
    /// The key in the backend.
    pub key: String,
    /// The field of the value, where the backend has such.
    pub field: Option<String>,
    /// The version of the value, the newest by default.
    pub version: Option<String>,
    /// Where its name stands.
    pub span: Span,
}

/// How many instances run, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaler {
    /// How `instances` is meant.
    pub kind: ScalerKind,
    /// The number of instances.
    pub instances: u32,
    /// The groups of hosts; empty means every host.
    pub spread: Vec<Spread>,
    /// Where the type of the trait stands.
    pub span: Span,
}

/// How the number of a scaler is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalerKind {
    /// So many in all.
    Spread,
    /// So many on every host that fits.
    Daemon,
}

/// A group of hosts and its share of the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// Labels that a host must have.
    pub requirements: BTreeMap<String, String>,
    /// Its share, relative to the sum of all weights.
    pub weight: u32,
    /// Where its name stands.
    pub span: Span,
}

/// The weight of a group that gives none, as in 1.x.
pub const SPREAD_WEIGHT_DEFAULT: u32 = 100;

/// A right to call: the source may call these interfaces of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the target in this manifest.
    pub target: String,
    /// The WIT namespace, such as `wasi`.
    pub namespace: String,
    /// The WIT package, such as `keyvalue`.
    pub package: String,
    /// The interfaces of the package.
    pub interfaces: Vec<LinkInterface>,
    /// The name that tells links of the same interface apart.
    pub name: LinkName,
    /// Configuration for the source.
    pub source_config: Vec<ConfigSet>,
    /// Configuration for the target.
    pub target_config: Vec<ConfigSet>,
    /// Secrets for the source.
    pub source_secrets: Vec<Secret>,
    /// Secrets for the target.
    pub target_secrets: Vec<Secret>,
    /// Where the type of the trait stands.
    pub span: Span,
    /// Where the name of the target stands.
    pub target_span: Span,
}

/// One interface of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInterface {
    /// Its name without package, such as `store`.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl Link {
    /// Returns the full names of its interfaces. They have no version: a link is for every version.
    pub fn wit_interfaces(&self) -> impl Iterator<Item = WitInterface> + '_ {
        self.interfaces.iter().map(|interface| WitInterface {
            namespace: self.namespace.clone(),
            package: self.package.clone(),
            interface: interface.name.clone(),
            version: None,
        })
    }
}

/// The limits that a manifest changes; `None` leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitOverrides {
    /// `memory`: linear memory of one instance, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// `tableElements`: elements of one table.
    pub table_elements_max: Option<u32>,
    /// `cpuTime`: CPU time of one call.
    pub cpu_time_max: Option<Duration>,
    /// `deadline`: wall-clock time of one call.
    pub deadline: Option<Duration>,
    /// `instances`: instances that exist at once on one host.
    pub instances_max: Option<u32>,
    /// `queue`: calls that wait for an instance.
    pub calls_queued_max: Option<u32>,
    /// `hostcallBytes`: bytes that one host call may copy out of the guest.
    pub hostcall_bytes_max: Option<u64>,
    /// `outgoingConnections`: outgoing HTTP connections open at once.
    pub outgoing_connections_max: Option<u32>,
    /// Where the type of the trait stands, where there is one.
    pub span: Option<Span>,
}

impl LimitOverrides {
    /// Returns `limits` with what the manifest changes.
    pub fn apply(&self, limits: Limits) -> Limits {
        Limits {
            memory_bytes_max: self.memory_bytes_max.unwrap_or(limits.memory_bytes_max),
            table_elements_max: self.table_elements_max.unwrap_or(limits.table_elements_max),
            cpu_time_max: self.cpu_time_max.unwrap_or(limits.cpu_time_max),
            deadline: self.deadline.unwrap_or(limits.deadline),
            instances_max: self.instances_max.unwrap_or(limits.instances_max),
            calls_queued_max: self.calls_queued_max.unwrap_or(limits.calls_queued_max),
            hostcall_bytes_max: self.hostcall_bytes_max.unwrap_or(limits.hostcall_bytes_max),
            outgoing_connections_max: self
                .outgoing_connections_max
                .unwrap_or(limits.outgoing_connections_max),
        }
    }
}

/// How a manifest wants instances reused; `None` leaves the default of the component's WASI version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReuseOverrides {
    /// `calls`: calls after which an instance is replaced.
    pub calls_max: Option<u32>,
    /// `concurrency`: calls that run in one instance at the same time.
    pub concurrency_max: Option<u32>,
    /// Where the type of the trait stands.
    pub span: Span,
}

impl ReuseOverrides {
    /// Returns `reuse` with what the manifest changes.
    pub fn apply(&self, reuse: Reuse) -> Reuse {
        Reuse {
            calls_max: self.calls_max.unwrap_or(reuse.calls_max),
            concurrency_max: self.concurrency_max.unwrap_or(reuse.concurrency_max),
        }
    }
}
