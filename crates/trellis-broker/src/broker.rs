//! The broker: binds early, runs later, and takes clients as long as there is room.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, BytesMut};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::authentication::Authenticator;
use crate::bind::{self, BindError};
use crate::client::{Subscription, connection};
use crate::limits::{ACCEPT_BACKOFF, LINGER, Limits, REFUSALS_MAX, STOP_TIMEOUT};
use crate::nonce::random_text;
use crate::protocol::encode;
use crate::protocol::messages::Info;
use crate::sublist::Sublist;

/// The version of nats-server whose core protocol this is. Clients compare it to know what a server
/// can do; what came after it concerns what the broker does not have.
const NATS_VERSION: &str = "2.10.0";

/// Where a broker listens, and what it allows.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address, on loopback; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The bounds.
    pub limits: Limits,
    /// The name that clients are told.
    pub name: String,
}

impl Config {
    /// Listens on `listen`, with the default limits.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            limits: Limits::default(),
            name: "trellis".to_owned(),
        }
    }

    /// Binds the address. From here on clients can connect; they are served by [`Broker::run`].
    ///
    /// # Errors
    /// When the address is not on loopback or cannot be had.
    ///
    /// # Cancel safety
    /// Nothing stays bound when dropped.
    pub async fn bind(self, authenticator: impl Authenticator) -> Result<Broker, BindError> {
        let (listener, address) = bind::listen(self.listen)?;
        let id = random_text().map_err(|source| BindError::Random { source })?;
        let shared = Arc::new(Shared {
            limits: self.limits,
            authenticator: Box::new(authenticator),
            subscriptions: Sublist::new(),
            subscription_numbers: AtomicU64::new(0),
            client_numbers: AtomicU64::new(0),
            name: self.name,
            id,
            address,
        });
        Ok(Broker { listener, shared })
    }
}

/// A bound broker.
pub struct Broker {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections use.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) authenticator: Box<dyn Authenticator>,
    pub(crate) subscriptions: Sublist<Subscription>,
    pub(crate) subscription_numbers: AtomicU64,
    client_numbers: AtomicU64,
    name: String,
    id: String,
    address: SocketAddr,
}

impl Broker {
    /// Returns the address it listens on, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Serves until `shutdown` is ready, then writes what clients are still to get and hangs up.
    ///
    /// # Cancel safety
    /// Dropped, it hangs up on everybody at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, shared } = self;
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let mut refusals = JoinSet::new();
        tracing::debug!(address = %shared.address, "broker listens");
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = clients.join_next() => report(ended),
                Some(ended) = refusals.join_next() => report(ended),
                (stream, peer) = accept(&listener) => {
                    let shared = Arc::clone(&shared);
                    if clients.len() < shared.limits.clients_max {
                        clients.spawn(connection::serve(stream, peer, shared, stop.clone()));
                    } else if refusals.len() < REFUSALS_MAX {
                        refusals.spawn(refuse(stream, peer, shared));
                    }
                }
            }
        }
        tracing::debug!(clients = clients.len(), "broker stops");
        drop(listener);
        stop.cancel();
        let all = async { while clients.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!("clients did not take what was left for them, hanging up");
        }
        clients.shutdown().await;
    }
}

impl Shared {
    pub(crate) fn next_client_number(&self) -> u64 {
        self.client_numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the line with which the broker greets a client.
    pub(crate) fn info_line(&self, client: u64, peer: SocketAddr, nonce: &str) -> BytesMut {
        let auth_required = self.authenticator.requires_credentials();
        let info = Info {
            server_id: &self.id,
            server_name: &self.name,
            version: NATS_VERSION,
            proto: 1,
            host: self.address.ip().to_string(),
            port: self.address.port(),
            headers: true,
            auth_required,
            max_payload: self.limits.payload_bytes_max,
            jetstream: false,
            client_id: client,
            client_ip: peer.ip().to_string(),
            nonce: auth_required.then_some(nonce),
        };
        let json = serde_json::to_vec(&info).expect("text, numbers and bools are always JSON");
        let mut line = BytesMut::with_capacity(json.len() + 8);
        line.put_slice(b"INFO ");
        line.put_slice(&json);
        line.put_slice(encode::END);
        line
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

/// Accepts the next connection; rests after an error, such as no more descriptors.
///
/// # Cancel safety
/// Loses no connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, retrying");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Tells a client that there is no room for it.
async fn refuse(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    tracing::warn!(%peer, "too many clients, hanging up");
    let mut text = shared.info_line(shared.next_client_number(), peer, "");
    encode::error("maximum connections exceeded", &mut text);
    let told = timeout(LINGER, async {
        stream.writable().await?;
        stream.try_write(&text) // A new connection has room for it.
    });
    if !matches!(told.await, Ok(Ok(_))) {
        tracing::debug!(%peer, "cannot tell a client that there is no room");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the task of a client panicked");
    }
}
