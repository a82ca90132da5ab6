//! Commands for components: scale (start, change, stop) and update.

use serde::{Deserialize, Serialize};

use super::{TextMap, null_as_empty};

/// Key of [`ScaleComponentCommand::component_limits`]: bytes of memory.
pub const LIMIT_MEMORY: &str = "max_memory_limit";
/// Key of [`ScaleComponentCommand::component_limits`]: seconds of execution.
pub const LIMIT_EXECUTION_TIME: &str = "max_execution_time";

/// Starts a component, changes how many calls it serves at once, or stops it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleComponentCommand {
    /// The image. Hosts of 1.x fetch it on every scale, also to 0: send the true one to stop.
    #[serde(default)]
    pub component_ref: String,
    /// The id.
    pub component_id: String,
    /// Who asks and why, kept with the component.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub annotations: TextMap,
    /// Instances at once; 0 stops.
    #[serde(default)]
    pub count: u32,
    /// [`LIMIT_MEMORY`] and [`LIMIT_EXECUTION_TIME`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_limits: Option<TextMap>,
    /// The host that the subject addresses.
    #[serde(default)]
    pub host_id: String,
    /// Names of config entries, merged from left to right; `SECRET…` are secret references.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: Vec<String>,
    /// Whether a running component may change to another image.
    #[serde(default)]
    pub allow_update: bool,
}

/// Replaces the image of a running component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateComponentCommand {
    /// The id.
    #[serde(default)]
    pub component_id: String,
    /// Who asks and why, kept with the component.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "TextMap::is_empty"
    )]
    pub annotations: TextMap,
    /// The host that the subject addresses.
    #[serde(default)]
    pub host_id: String,
    /// The new image.
    #[serde(default)]
    pub new_component_ref: String,
}
