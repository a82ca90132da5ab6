//! The two servers that are compared: ours in this process, and a real nats-server.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trellis_broker::{AllowAll, Authenticator, Broker, Config, Limits};
use trellis_tests::NatsServer;

use crate::lattice::{Lattice, Trusting};

/// What both servers are told.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) lattice: Option<Arc<Lattice>>,
    pub(crate) limits: Limits,
}

impl Settings {
    pub(crate) fn trusting(lattice: &Arc<Lattice>) -> Self {
        Self {
            lattice: Some(Arc::clone(lattice)),
            limits: Limits::default(),
        }
    }

    fn server_config(&self) -> String {
        let limits = &self.limits;
        let trust = self.lattice.as_ref().map(|it| it.server_config());
        format!(
            "{}\nmax_pending: {}\nmax_subscriptions: {}\nmax_connections: {}\nmax_payload: {}\n\
             write_deadline: \"{}ms\"\nping_interval: \"{}ms\"\nping_max: {}\n\
             authorization {{ timeout: {} }}\n",
            trust.unwrap_or_default(),
            limits.pending_bytes_max,
            limits.subscriptions_per_client_max,
            limits.clients_max,
            limits.payload_bytes_max,
            limits.write_deadline.as_millis(),
            limits.ping_interval.as_millis(),
            limits.pings_missed_max - 1,
            limits.authentication_timeout.as_secs_f64(),
        )
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    running: Running,
}

enum Running {
    Ours {
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    },
    Nats {
        _server: NatsServer,
    },
}

impl Server {
    /// Starts our broker.
    pub(crate) async fn ours(settings: &Settings) -> Self {
        match &settings.lattice {
            Some(lattice) => Self::ours_with(settings, Trusting(Arc::clone(lattice))).await,
            None => Self::ours_with(settings, AllowAll).await,
        }
    }

    /// Starts our broker with any way to let clients in.
    pub(crate) async fn ours_with(settings: &Settings, who: impl Authenticator) -> Self {
        let config = Config {
            limits: settings.limits.clone(),
            ..Config::new(([127, 0, 0, 1], 0).into())
        };
        let broker: Broker = config.bind(who).await.unwrap();
        let address = broker.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(broker.run(async {
            // Dropping the sender stops the broker too.
            let _ = stopped.await;
        }));
        let running = Running::Ours { stop, task };
        Self {
            name: "trellis",
            address,
            running,
        }
    }

    /// Starts a real nats-server.
    pub(crate) fn nats(settings: &Settings) -> Self {
        let server = NatsServer::with(&settings.server_config());
        let address = server.url();
        let address = address.trim_start_matches("nats://").parse().unwrap();
        Self {
            name: "nats-server",
            address,
            running: Running::Nats { _server: server },
        }
    }

    /// Starts both, ours first.
    pub(crate) async fn both(settings: &Settings) -> [Self; 2] {
        [Self::ours(settings).await, Self::nats(settings)]
    }

    /// Stops our broker, and waits until it has.
    pub(crate) async fn stop(self) {
        if let Running::Ours { stop, task } = self.running {
            drop(stop);
            task.await.unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}
