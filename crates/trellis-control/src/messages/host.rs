//! The answer of a host to a ping, and the command that stops one.

use serde::{Deserialize, Serialize};

use super::{TextMap, null_as_empty};

/// One host, as it introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The server through which it calls, such as `nats://127.0.0.1:4222`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc_host: Option<String>,
    /// The server through which it is controlled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctl_host: Option<String>,
    /// A name for people.
    pub friendly_name: String,
    /// The id.
    pub id: String,
    /// The JetStream domain of its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub js_domain: Option<String>,
    /// Its labels.
    #[serde(deserialize_with = "null_as_empty")]
    pub labels: TextMap,
    /// The lattice.
    pub lattice: String,
    /// How long it runs, for people: `1h 2m 3s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_human: Option<String>,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Stops a host. An empty payload is one without a deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHostCommand {
    /// The host that the subject addresses, or empty.
    #[serde(default)]
    pub host_id: String,
    /// Time to finish, in **milliseconds**: what 1.x does, though it documents seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}
