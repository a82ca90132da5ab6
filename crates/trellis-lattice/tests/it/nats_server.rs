//! How tests of this crate use a real server.

use trellis_core::LatticeName;
use trellis_lattice::{Lattice, Settings, connect};
use trellis_tests::NatsServer;

/// Starts a server with JetStream that leaves it to the system when a write reaches the disk: some tests write
/// thousands of times, and none takes the power away.
pub(crate) fn with_jetstream() -> NatsServer {
    NatsServer::with("jetstream: { store_dir: \"STORE\", max_file: 1G, max_mem: 64M }")
}

/// Returns how to reach `server`.
pub(crate) fn settings_of(server: &NatsServer) -> Settings {
    Settings::new(LatticeName::default(), [server.url()])
}

/// Connects to the default lattice on `server`.
pub(crate) async fn connected(server: &NatsServer) -> Lattice {
    connect(settings_of(server)).await.unwrap()
}
