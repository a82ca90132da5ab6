//! Who a host is, and what it was told to do differently.

use std::collections::BTreeSet;
use std::time::Duration;

use trellis_control::{HostId, TextMap};
use trellis_core::LatticeName;

/// Who a host is: given at its start.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id, the public key.
    pub host_id: HostId,
    /// A name for people.
    pub friendly_name: String,
    /// Its labels at start, its own (`hostcore.…`) among them.
    pub labels: TextMap,
    /// Its version.
    pub version: String,
    /// The lattice that it joins.
    pub lattice: LatticeName,
    /// The server through which it is controlled, such as `nats://127.0.0.1:4222`.
    pub ctl_host: Option<String>,
    /// The server through which it calls.
    pub rpc_host: Option<String>,
    /// The JetStream domain of the state.
    pub js_domain: Option<String>,
}

/// Whether a host has to keep a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeasePolicy {
    /// It is joined only while it holds one: a lattice of several hosts.
    Kept,
    /// There is nobody who could take its place: a lattice of one host.
    NotUsed,
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// Whether a lease is kept.
    pub lease: LeasePolicy,
    /// The providers that this host contains, by the name after `wasmcloud+builtin://`. It neither
    /// bids for others of that scheme nor starts them.
    pub built_in_providers: BTreeSet<String>,
    /// Tells of the image of a component whether this host can fetch it; it bids for no others.
    pub can_run_component: fn(&str) -> bool,
    /// Tells of the image of a provider whether this host can run it; it bids for no others.
    pub can_run_provider: fn(&str) -> bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // What 1.x hosts do, and what its application manager expects.
            heartbeat_interval: Duration::from_secs(30),
            lease: LeasePolicy::Kept,
            built_in_providers: BTreeSet::new(),
            can_run_component: |_| true,
            can_run_provider: |_| true,
        }
    }
}
