//! What the tests share: hosts with nothing but a transport, names, and bounded waiting.

use std::time::Duration;

use trellis_core::{ComponentId, LatticeName, LinkName};
use trellis_host::twins::LinkEnds;
use trellis_lattice::{Lattice, Settings};
use trellis_tests::NatsServer;
use trellis_wrpc::{Client, Config, Server, ServerConfig, Transport};

/// Connects to the default lattice on `nats`.
pub(crate) async fn connect(nats: &NatsServer) -> Lattice {
    let settings = Settings::new(LatticeName::default(), [nats.url()]);
    trellis_lattice::connect(settings).await.unwrap()
}

/// A host as others see it: a connection with a client and a server.
pub(crate) struct Peer {
    pub(crate) lattice: Lattice,
    pub(crate) transport: Transport,
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl Peer {
    pub(crate) async fn start(nats: &NatsServer, id: &str) -> Self {
        let lattice = connect(nats).await;
        let nats = lattice.nats().clone();
        let transport = Transport::open(nats, Config::new(id)).await.unwrap();
        Self {
            client: Client::new(&transport),
            server: Server::new(&transport, ServerConfig::default()),
            transport,
            lattice,
        }
    }
}

pub(crate) fn id(text: &str) -> ComponentId {
    ComponentId::new(text).unwrap()
}

/// The default link from `source` to `target`.
pub(crate) fn ends(source: &str, target: &str) -> LinkEnds {
    LinkEnds {
        lattice: LatticeName::default(),
        source: id(source),
        name: LinkName::default(),
        target: id(target),
    }
}

/// Asks until there is an answer: for what a host does in its own time.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    within(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            pause.tick().await;
        }
    })
    .await
}

/// A test that waits for ever is a failed one.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(40), work)
        .await
        .expect("it takes too long")
}
