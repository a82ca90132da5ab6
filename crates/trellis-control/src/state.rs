//! What the state store of a lattice holds, and the rules by which it changes. All pure.
//!
//! Two buckets: one with the spec of every component and provider and their claims, one with config.
//! The values are those of wasmCloud 1.9, whose hosts may share them.

mod claims;
mod config;
mod keys;
mod links;

use serde::{Deserialize, Serialize};

pub use claims::{Claims, ComponentClaims, ProviderClaims};
pub use config::{Config, MissingConfig, is_secret_name, merge_config, resolve_config};
pub use keys::{LatticeKey, config_bucket, lattice_bucket};
pub use links::{ImportTable, LinkConflict, delete_link, import_table, put_link};

use crate::messages::Link;

/// What is stored under `COMPONENT_{id}`, for components and providers alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSpec {
    /// The image at first start; empty for what was linked before it was started. Hosts of 1.x never
    /// rewrite it.
    #[serde(default)]
    pub url: String,
    /// The links whose source it is.
    #[serde(default)]
    pub links: Vec<Link>,
}
