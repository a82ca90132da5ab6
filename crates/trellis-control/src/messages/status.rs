//! Ours: how a host is, in more detail than an inventory of 1.x.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TextMap;
use crate::events::HostMode;

/// How one host is and what it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The host.
    pub host_id: String,
    /// A name for people.
    pub friendly_name: String,
    /// Its version.
    pub version: String,
    /// Its labels.
    #[serde(default)]
    pub labels: TextMap,
    /// Its mode.
    pub mode: HostMode,
    /// Since when it is in that mode.
    #[serde(with = "crate::timestamp")]
    pub since: Timestamp,
    /// Why it is in that mode, for people.
    pub why: String,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// Its components.
    #[serde(default)]
    pub components: Vec<ComponentStatus>,
    /// Its providers.
    #[serde(default)]
    pub providers: Vec<ProviderStatus>,
    /// The links of what it runs, with how each travels.
    #[serde(default)]
    pub links: Vec<LinkStatus>,
}

/// How one component is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// The id.
    pub id: String,
    /// The image.
    pub image_ref: String,
    /// `sha256:…` of the bytes that run.
    #[serde(default)]
    pub digest: String,
    /// Instances at once.
    pub max_instances: u32,
    /// Whether it takes calls.
    pub ready: bool,
    /// Why it is not ready, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was said when it was scaled.
    #[serde(default)]
    pub annotations: TextMap,
}

/// How one provider is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// The id.
    pub id: String,
    /// The image, or the name of the built-in.
    pub image_ref: String,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How often it was restarted since it was started by command.
    #[serde(default)]
    pub restarts: u64,
    /// What was said when it was started.
    #[serde(default)]
    pub annotations: TextMap,
}

/// How one interface of a link travels from this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Who calls.
    pub source_id: String,
    /// Who is called.
    pub target: String,
    /// The link name.
    pub name: String,
    /// The interface, as `namespace:package/interface`.
    pub interface: String,
    /// How it travels.
    pub tier: LinkTier,
    /// Why in this tier and not in a cheaper one, for people.
    pub why: String,
}

/// How a call along a link travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkTier {
    /// A direct call of a provider that the host contains.
    BuiltIn,
    /// Both ends are one composed component.
    Fused,
    /// Between instances of one host.
    Process,
    /// Over NATS.
    Remote,
    /// Nothing answers at present.
    Unavailable,
}
