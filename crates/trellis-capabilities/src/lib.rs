//! Capabilities: what a component can be given besides WASI.
//!
//! One module per capability. Its trait and backends know nothing of WebAssembly; a thin adapter
//! puts them behind a WIT interface, bound to one link of one component at deploy.

pub mod config;
pub mod http_client;
pub mod keyvalue;
pub mod logging;
