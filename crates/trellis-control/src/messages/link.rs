//! Links: to set, to remove, and as the state store holds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_core::LinkName;

use super::null_as_empty;

/// One link: the right of a source to call interfaces of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The component or provider that calls.
    pub source_id: String,
    /// The component or provider that is called.
    pub target: String,
    /// Tells links of one source and package apart.
    #[serde(default = "default_name")]
    pub name: String,
    /// The namespace of the interfaces, such as `wasi`.
    pub wit_namespace: String,
    /// The package of the interfaces, such as `keyvalue`.
    pub wit_package: String,
    /// The interfaces, such as `store`, without version.
    pub interfaces: Vec<String>,
    /// Names of config entries for the source.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub source_config: Vec<String>,
    /// Names of config entries for the target.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub target_config: Vec<String>,
}

/// A link with the values of its config, as a provider of 1.x is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedLink {
    /// The component or provider that calls.
    pub source_id: String,
    /// The component or provider that is called.
    pub target: String,
    /// Tells links of one source and package apart.
    #[serde(default = "default_name")]
    pub name: String,
    /// The namespace of the interfaces.
    pub wit_namespace: String,
    /// The package of the interfaces.
    pub wit_package: String,
    /// The interfaces, without version.
    pub interfaces: Vec<String>,
    /// The config of the source, merged.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub source_config: BTreeMap<String, String>,
    /// The config of the target, merged.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub target_config: BTreeMap<String, String>,
    /// The secrets of the source, sealed for the provider; `None` where there are none.
    pub source_secrets: Option<Vec<u8>>,
    /// The secrets of the target, sealed for the provider; `None` where there are none.
    pub target_secrets: Option<Vec<u8>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            source_id: String::new(),
            target: String::new(),
            name: default_name(),
            wit_namespace: String::new(),
            wit_package: String::new(),
            interfaces: Vec::new(),
            source_config: Vec::new(),
            target_config: Vec::new(),
        }
    }
}

/// Names the link to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteLink {
    /// The component or provider that calls.
    pub source_id: String,
    /// Tells links of one source and package apart.
    #[serde(default = "default_name")]
    pub name: String,
    /// The namespace of the interfaces.
    pub wit_namespace: String,
    /// The package of the interfaces.
    pub wit_package: String,
    /// Which of several links of that name, where they lead to different targets. Ours: hosts of 1.x
    /// skip it and remove the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

fn default_name() -> String {
    LinkName::default().as_str().to_owned()
}
