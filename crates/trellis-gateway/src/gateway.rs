//! The gateway itself: binds early, runs later, drains at the end.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use futures_util::FutureExt;
use hyper::server::conn::http1;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::bind::{self, BindError};
use crate::connection::{self, Connection};
use crate::limits::{
    ABORT_TIMEOUT, ACCEPT_BACKOFF, CONNECTIONS_REFUSED_MAX, GatewayLimits, REQUEST_LINE_SLACK,
};
use crate::peers::PeerRange;
use crate::request_id;
use crate::routes::RouteTable;
use crate::shutdown::ShutdownSignal;

/// The number of headers up to which the parser keeps them on its stack.
const HEADERS_ON_STACK: usize = 100;

/// Where a gateway listens, and what it allows.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The bounds.
    pub limits: GatewayLimits,
    /// Peers whose `forwarded` and `x-forwarded-*` headers are passed on. Nobody by default.
    pub trusted_peers: Vec<PeerRange>,
}

impl Config {
    /// Listens on `address`, with the default limits and no trusted peers.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            limits: GatewayLimits::default(),
            trusted_peers: Vec::new(),
        }
    }

    /// Binds the address. From here on clients can connect; they are served by [`Gateway::run`].
    ///
    /// # Errors
    /// When the address cannot be had; the error says why and, on Linux, who has it.
    ///
    /// # Cancel safety
    /// Nothing stays bound when dropped.
    pub async fn bind(self) -> Result<Gateway, BindError> {
        let (listener, local) = bind::listen(self.address)?;
        Ok(Gateway {
            listener,
            local,
            config: self,
        })
    }
}

/// A bound gateway.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    local: SocketAddr,
    config: Config,
}

/// How the requests ended that were in flight when the drain began, or came during it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Requests that were answered.
    pub drained: u64,
    /// Requests that were cut off by the deadline or by an abort.
    pub aborted: u64,
}

impl Gateway {
    /// Returns the address it listens on, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown`, then drains: takes no more connections, lets what is in flight
    /// finish within the drain deadline, and cuts off the rest. An abort cuts off at once.
    ///
    /// # Cancel safety
    /// Dropped, it cuts off everything.
    pub async fn run(
        self,
        routes: Arc<ArcSwap<RouteTable>>,
        mut shutdown: ShutdownSignal,
    ) -> DrainReport {
        let Self {
            listener, config, ..
        } = self;
        let mut connections = Connections::new(Arc::new(Server::new(config, routes)));
        let mut pause = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => break,
                ended = connections.next_end() => connections.forget(ended),
                accepted = accept(&listener, &mut pause) => connections.take(accepted),
            }
        }
        connections.drain(listener, shutdown).await
    }
}

/// Accepts the next connection; rests after an error that will not go away by itself.
///
/// # Cancel safety
/// Loses no connection; the rest is kept in `pause`.
async fn accept(listener: &TcpListener, pause: &mut Option<Instant>) -> (TcpStream, SocketAddr) {
    loop {
        if let Some(until) = *pause {
            sleep_until(until).await;
        }
        match listener.accept().await {
            Ok(accepted) => {
                *pause = None;
                return accepted;
            }
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                if pause.is_none() {
                    tracing::warn!(%error, "cannot accept connections, retrying");
                }
                *pause = Some(Instant::now() + ACCEPT_BACKOFF);
            }
        }
    }
}

/// Tells errors of a client that is gone already from errors of ours, such as no more descriptors.
fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    )
}

/// The open connections and the tasks that serve them.
struct Connections {
    server: Arc<Server>,
    tasks: JoinSet<()>,
    known: HashMap<Id, Arc<Connection>>,
    numbers: u64,
}

impl Connections {
    fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            numbers: 0,
        }
    }

    fn take(&mut self, (stream, peer): (TcpStream, SocketAddr)) {
        let limits = &self.server.limits;
        let refused = self.tasks.len() - self.known.len();
        if self.known.len() >= limits.connections_max {
            if refused < CONNECTIONS_REFUSED_MAX {
                self.tasks
                    .spawn(connection::refuse(stream, limits.linger_timeout));
            }
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        self.numbers += 1;
        let connection = Arc::new(Connection::new(
            Arc::clone(&self.server),
            self.numbers,
            peer,
        ));
        let task = self
            .tasks
            .spawn(connection::serve(stream, Arc::clone(&connection)));
        self.known.insert(task.id(), connection);
    }

    /// Waits for the end of a connection; for ever while there is none.
    async fn next_end(&mut self) -> Result<(Id, ()), JoinError> {
        match self.tasks.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "the task of a connection panicked");
                }
                error.id()
            }
        };
        self.known.remove(&id);
    }

    fn enter(&self, stage: Stage) {
        self.server.stage.store(stage as u8, Ordering::Relaxed);
        self.known.values().for_each(|connection| connection.wake());
    }

    async fn drain(mut self, listener: TcpListener, mut shutdown: ShutdownSignal) -> DrainReport {
        tracing::info!(connections = self.known.len(), "gateway drains");
        let deadline = Instant::now() + self.server.limits.drain_deadline;
        let before = self.server.in_flight.load(Ordering::Relaxed) as u64;
        let entered_before = self.server.entered.load(Ordering::Relaxed);
        self.enter(Stage::Draining);
        // The kernel has completed these connections for us; closing now would reset them.
        while let Some(Ok(accepted)) = listener.accept().now_or_never() {
            self.take(accepted);
        }
        drop(listener);
        tokio::select! {
            biased;
            () = shutdown.aborting() => {}
            () = self.finish(deadline) => {}
        }
        let aborted = self.server.in_flight.load(Ordering::Relaxed) as u64;
        self.tasks.shutdown().await;
        self.server.streams.close();
        if timeout(ABORT_TIMEOUT, self.server.streams.wait())
            .await
            .is_err()
        {
            tracing::warn!("streams still run after their connections were cut off");
        }
        let entered = self.server.entered.load(Ordering::Relaxed) - entered_before;
        let report = DrainReport {
            drained: (before + entered).saturating_sub(aborted),
            aborted,
        };
        tracing::info!(
            drained = report.drained,
            aborted = report.aborted,
            "gateway stopped"
        );
        report
    }

    /// Lets connections come to their end: first by themselves, then those at rest are closed.
    async fn finish(&mut self, deadline: Instant) {
        let grace: Duration = self.server.limits.drain_idle_grace;
        self.wait_until((Instant::now() + grace).min(deadline))
            .await;
        self.enter(Stage::Closing);
        self.wait_until(deadline).await;
    }

    /// Waits until no connection is left, or until `deadline`.
    async fn wait_until(&mut self, deadline: Instant) {
        while !self.tasks.is_empty() {
            match timeout_at(deadline, self.next_end()).await {
                Ok(ended) => self.forget(ended),
                Err(_) => return,
            }
        }
    }
}

/// How far the end of a gateway has come, for its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// Answers say that they are the last of their connection; HTTP/2 is told to go away.
    Draining,
    /// Connections at rest close.
    Closing,
}

/// What all connections share.
pub(crate) struct Server {
    limits: GatewayLimits,
    trusted_peers: Vec<PeerRange>,
    routes: Arc<ArcSwap<RouteTable>>,
    stage: AtomicU8,
    in_flight: AtomicUsize,
    /// Requests admitted since the drain began.
    entered: AtomicU64,
    streams: TaskTracker,
    http1: http1::Builder,
    process_number: u32,
}

impl Server {
    fn new(config: Config, routes: Arc<ArcSwap<RouteTable>>) -> Self {
        Self {
            http1: http1_builder(&config.limits),
            limits: config.limits,
            trusted_peers: config.trusted_peers,
            routes,
            stage: AtomicU8::new(Stage::Serving as u8),
            in_flight: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            streams: TaskTracker::new(),
            process_number: request_id::process_number(),
        }
    }

    pub(crate) fn limits(&self) -> &GatewayLimits {
        &self.limits
    }

    pub(crate) fn routes(&self) -> Guard<Arc<RouteTable>> {
        self.routes.load()
    }

    pub(crate) fn http1(&self) -> &http1::Builder {
        &self.http1
    }

    pub(crate) fn streams(&self) -> &TaskTracker {
        &self.streams
    }

    pub(crate) fn process_number(&self) -> u32 {
        self.process_number
    }

    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_peers.iter().any(|range| range.contains(peer))
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            _ => Stage::Closing,
        }
    }

    /// Counts one more request in; false when there are too many.
    pub(crate) fn enter(&self) -> bool {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.limits.requests_in_flight_max {
            self.leave();
            return false;
        }
        if self.stage() >= Stage::Draining {
            self.entered.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Counts one request out.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn http1_builder(limits: &GatewayLimits) -> http1::Builder {
    let head_bytes = limits.header_bytes_max + limits.uri_bytes_max + REQUEST_LINE_SLACK;
    let mut builder = http1::Builder::new();
    builder.max_header_size(head_bytes);
    // Our own transport times heads, from their first byte and with fewer timer operations.
    builder.header_read_timeout(None);
    if limits.headers_max != HEADERS_ON_STACK {
        builder.max_headers(limits.headers_max);
    }
    builder
}
