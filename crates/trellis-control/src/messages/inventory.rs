//! What runs on a host. Also the data of its heartbeats.

use serde::{Deserialize, Serialize};

use super::{TextMap, null_as_empty};

/// What runs on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInventory {
    /// Its components; hosts before 1.0 wrote `actors`.
    #[serde(alias = "actors", default, deserialize_with = "null_as_empty")]
    pub components: Vec<ComponentDescription>,
    /// Its providers.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub providers: Vec<ProviderDescription>,
    /// The host.
    #[serde(default)]
    pub host_id: String,
    /// A name for people.
    #[serde(default)]
    pub friendly_name: String,
    /// Its labels.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub labels: TextMap,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// How long it runs, for people: `1h 2m 3s`.
    #[serde(default)]
    pub uptime_human: String,
    /// How long it runs.
    #[serde(default)]
    pub uptime_seconds: u64,
}

/// One component of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentDescription {
    /// The id.
    pub id: String,
    /// The image.
    pub image_ref: String,
    /// The name in its claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was said when it was scaled; always written.
    #[serde(deserialize_with = "null_as_empty")]
    pub annotations: TextMap,
    /// The revision in its claims, else 0.
    pub revision: i32,
    /// Instances at once.
    pub max_instances: u32,
    /// The limits of the scale command; `null` where there are none.
    pub limits: Option<TextMap>,
}

/// One provider of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderDescription {
    /// The id.
    pub id: String,
    /// The image without its scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// The name in its claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The revision in its claims, else 0.
    pub revision: i32,
    /// What was said when it was started; always written.
    #[serde(deserialize_with = "null_as_empty")]
    pub annotations: TextMap,
}
