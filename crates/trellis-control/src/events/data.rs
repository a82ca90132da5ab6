//! The data of each event type.
//!
//! Reading is lenient: only what an event means nothing without is required. `host_id` is always the
//! true one when we write; hosts of 1.x copy it from the request, so it may be empty: the source of
//! the event is the host in any case.

use serde::{Deserialize, Serialize};

use crate::messages::{Link, TextMap};

/// A host is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStarted {
    /// A name for people.
    pub friendly_name: String,
    /// Its labels.
    pub labels: TextMap,
    /// How long it runs: 0.
    pub uptime_seconds: u64,
    /// Its version.
    pub version: String,
}

/// A host goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStopped {
    /// Its labels.
    pub labels: TextMap,
}

/// Claims of a component within an event. What is absent is `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentEventClaims {
    /// Another name; unused since 1.0.
    pub call_alias: Option<String>,
    /// The account that signed.
    pub issuer: Option<String>,
    /// Words about it.
    pub tags: Option<Vec<String>>,
    /// The name.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The revision.
    pub revision: Option<i32>,
    /// Seconds since 1970 as text, or `never`.
    pub not_before_human: Option<String>,
    /// Seconds since 1970 as text, or `never`.
    pub expires_human: Option<String>,
}

/// Claims of a provider within an event. What is absent is `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderEventClaims {
    /// The account that signed.
    pub issuer: Option<String>,
    /// Always `null`.
    pub tags: Option<Vec<String>>,
    /// The name.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// Seconds since 1970 as text, or `never`.
    pub not_before_human: Option<String>,
    /// Seconds since 1970 as text, or `never`.
    pub expires_human: Option<String>,
}

/// A component runs with so many instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaled {
    /// The key in its claims, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Its claims, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ComponentEventClaims>,
    /// What was said when it was scaled.
    #[serde(default)]
    pub annotations: TextMap,
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// The image.
    #[serde(default)]
    pub image_ref: String,
    /// Instances at once; 0 when it was stopped.
    #[serde(default)]
    pub max_instances: u32,
    /// The id.
    pub component_id: String,
}

/// A component could not be scaled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaleFailed {
    /// The key in its claims, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// What was said when it was to be scaled.
    #[serde(default)]
    pub annotations: TextMap,
    /// The id.
    pub component_id: String,
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// The image.
    #[serde(default)]
    pub image_ref: String,
    /// Instances that were asked for.
    #[serde(default)]
    pub max_instances: u32,
    /// Why, with all causes, joined by `: `.
    #[serde(default)]
    pub error: String,
}

/// A link could not be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSetFailed {
    /// The link.
    #[serde(flatten)]
    pub link: Link,
    /// Why, with all causes, joined by `: `.
    #[serde(default)]
    pub error: String,
}

/// A link was removed, or was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDeleted {
    /// Its source.
    pub source_id: String,
    /// Its target, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The link name.
    pub name: String,
    /// The namespace of its interfaces.
    pub wit_namespace: String,
    /// The package of its interfaces.
    pub wit_package: String,
    /// Its interfaces, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<String>>,
}

/// A provider runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStarted {
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// The image.
    #[serde(default)]
    pub image_ref: String,
    /// The id.
    pub provider_id: String,
    /// What was said when it was started.
    #[serde(default)]
    pub annotations: TextMap,
    /// Its claims, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ProviderEventClaims>,
    /// The id again, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id again, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// `default`, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_name: Option<String>,
}

/// A provider could not be started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStartFailed {
    /// The image.
    #[serde(default)]
    pub provider_ref: String,
    /// The id.
    pub provider_id: String,
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// Why, with all causes, joined by `: `.
    #[serde(default)]
    pub error: String,
    /// Always `default`.
    #[serde(default)]
    pub link_name: String,
}

/// A provider was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStopped {
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// The id.
    pub provider_id: String,
    /// What was said when it was started.
    #[serde(default)]
    pub annotations: TextMap,
    /// Always `stop`.
    #[serde(default)]
    pub reason: String,
    /// The id again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The id again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Always `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_name: Option<String>,
}

/// How healthy a provider is; the type of the event says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// The id.
    pub provider_id: String,
}

/// A config entry changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// Its name.
    pub config_name: String,
}

/// The labels of a host changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsChanged {
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// All its labels now.
    pub labels: TextMap,
}

/// How a host takes part in its lattice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostMode {
    /// Lease held, state fresh.
    Joined,
    /// Connected, but state is stale or policy absent.
    Degraded,
    /// No connection.
    Detached,
    /// The state store went back in time.
    StoreRewound,
    /// Lost its lease while away.
    Fenced,
    /// Leaving.
    Draining,
}

impl HostMode {
    /// Every mode.
    pub const ALL: [Self; 6] = [
        Self::Joined,
        Self::Degraded,
        Self::Detached,
        Self::StoreRewound,
        Self::Fenced,
        Self::Draining,
    ];

    /// Returns the word that travels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Degraded => "degraded",
            Self::Detached => "detached",
            Self::StoreRewound => "store_rewound",
            Self::Fenced => "fenced",
            Self::Draining => "draining",
        }
    }
}

impl std::fmt::Display for HostMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Ours: a host went from one mode to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostModeChanged {
    /// The host.
    pub host_id: String,
    /// The mode before.
    pub from: HostMode,
    /// The mode now.
    pub to: HostMode,
    /// Why, for people.
    #[serde(default)]
    pub why: String,
}

/// Ours: a provider ended by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderExited {
    /// The host.
    pub host_id: String,
    /// The id.
    pub provider_id: String,
    /// How it ended, such as `exit status 1` or a signal, for people.
    #[serde(default)]
    pub reason: String,
    /// In how many milliseconds it is started again; absent when it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_in_ms: Option<u64>,
}

/// An event of a type that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherEvent {
    /// Its full type.
    pub event_type: String,
    /// Its data: the JSON text as it came.
    pub data: Option<String>,
}
