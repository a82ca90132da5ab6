//! Commands for providers: start and stop.

use serde::{Deserialize, Serialize};

use super::{TextMap, null_as_empty};

/// Starts a provider. The reply comes before the work is done; an event tells how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartProviderCommand {
    /// The id.
    pub provider_id: String,
    /// The image.
    #[serde(default)]
    pub provider_ref: String,
    /// The host that the subject addresses.
    #[serde(default)]
    pub host_id: String,
    /// Names of config entries, merged from left to right; `SECRET…` are secret references.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: Vec<String>,
    /// Who asks and why, kept with the provider.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub annotations: TextMap,
}

/// Stops a provider. The reply comes when it has stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopProviderCommand {
    /// The host that the subject addresses. 1.x shuts the provider down without grace where it is
    /// empty.
    #[serde(default)]
    pub host_id: String,
    /// The id.
    #[serde(default, alias = "provider_ref")]
    pub provider_id: String,
}
