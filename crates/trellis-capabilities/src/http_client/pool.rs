//! The open connections of one component: bounded, used again, and closed when idle.
//!
//! An own pool because the bound is strict: when all slots are taken by idle connections to other
//! hosts, the one idle longest makes room, which the pool of hyper-util cannot do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::Uri;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::body::{RequestBody, ResponseBody};
use super::connect::{Connector, Opened};
use super::destination::Destination;
use super::error::ClientError;

/// How long an idle connection is kept: servers commonly close theirs after 15 to 75 s, and a
/// shorter time here loses less to that race.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// How long to wait for a connection whose last response has just ended to get ready. It takes
/// microseconds, unless the request is still being sent.
const READY_WAIT_MAX: Duration = Duration::from_millis(5);

/// How many idle connections are tried that turn out to be closed, before a new one is opened.
const STALE_TRIES_MAX: usize = 3;

/// The largest head of a response that is read, as bytes of HTTP/1.1 or HTTP/2 fields: four times
/// what common servers send at most. hyper bounds the number of fields, by 100.
const HEAD_BYTES_MAX: u32 = 64 << 10;

/// How long each step of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection is ready: waiting for a slot, DNS, TCP and TLS together.
    pub connect: Duration,
    /// From there until the head of the response, the sending of the request included.
    pub first_byte: Duration,
    /// Between two pieces of the body of the response.
    pub between_bytes: Duration,
}

impl Timeouts {
    /// The longest that a guest may ask for: the default of `wasi:http` hosts.
    pub const MAX: Duration = Duration::from_secs(600);

    /// Returns the same with every time cut to [`Timeouts::MAX`].
    pub(super) fn bounded(self) -> Self {
        Self {
            connect: self.connect.min(Self::MAX),
            first_byte: self.first_byte.min(Self::MAX),
            between_bytes: self.between_bytes.min(Self::MAX),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // Two lost SYN packets (1 s and 2 s of retransmission) still connect.
            connect: Duration::from_secs(10),
            // Longer than the default deadline of a call, which then decides.
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
        }
    }
}

/// The connections of one component.
pub(super) struct Pool {
    connector: Connector,
    connections_max: u32,
    slots: Arc<Semaphore>,
    /// Held for a few instructions, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parked: Vec<Parked>,
    /// One task for each open connection, and the reaper; all end with the pool.
    tasks: JoinSet<()>,
    has_reaper: bool,
}

/// A connection that can take a request. One of HTTP/2 stays here while requests use it.
struct Parked {
    destination: Destination,
    sender: Sender,
    since: Instant,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// A connection in use by one request.
pub(super) struct Lease {
    /// Keeps the task of the connection alive as long as the response is read.
    pool: Arc<Pool>,
    destination: Destination,
    sender: Sender,
}

impl Lease {
    /// Offers the connection to the next request.
    pub(super) fn give_back(self) {
        if let Sender::Http1(sender) = &self.sender
            && !sender.is_closed()
        {
            let Self {
                pool,
                destination,
                sender,
            } = self;
            pool.park(destination, sender);
        }
    }
}

/// A request that did not get through.
enum SendFailure {
    /// Nothing of it was sent: it may be tried on another connection.
    Unsent(Box<Request<RequestBody>>, hyper::Error),
    Failed(ClientError),
}

impl Pool {
    pub(super) fn new(connector: Connector, connections_max: u32) -> Arc<Self> {
        Arc::new(Self {
            connector,
            connections_max,
            slots: Arc::new(Semaphore::new(connections_max as usize)),
            state: Mutex::default(),
        })
    }

    /// Sends `request`, whose URI is absolute, to `destination`.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        destination: &Destination,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ClientError> {
        let deadline = Instant::now() + timeouts.connect;
        let absolute = request.uri().clone();
        for _ in 0..STALE_TRIES_MAX {
            let Some(sender) = self.take_parked(destination).await else {
                break;
            };
            match self
                .exchange(sender, request, &absolute, destination, timeouts)
                .await
            {
                Ok(response) => return Ok(response),
                Err(SendFailure::Unsent(unsent, _)) => request = *unsent,
                Err(SendFailure::Failed(error)) => return Err(error),
            }
        }
        let sender = self.connect(destination, deadline).await?;
        match self
            .exchange(sender, request, &absolute, destination, timeouts)
            .await
        {
            Ok(response) => Ok(response),
            Err(SendFailure::Unsent(_, error)) => Err(ClientError::from_hyper(error)),
            Err(SendFailure::Failed(error)) => Err(error),
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        mut sender: Sender,
        request: Request<RequestBody>,
        absolute: &Uri,
        destination: &Destination,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, SendFailure> {
        let sent = timeout(
            timeouts.first_byte,
            sender.send(request, absolute, destination),
        )
        .await;
        let response = match sent {
            Err(_) => return Err(SendFailure::Failed(ClientError::FirstByteTimeout)),
            Ok(Err(mut error)) => {
                return Err(match error.take_message() {
                    Some(request) => SendFailure::Unsent(Box::new(request), error.into_error()),
                    None => SendFailure::Failed(ClientError::from_hyper(error.into_error())),
                });
            }
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(SendFailure::Failed(ClientError::Upgrade));
        }
        let lease = Lease {
            pool: self.clone(),
            destination: destination.clone(),
            sender,
        };
        Ok(response.map(|body| ResponseBody::from_network(body, lease, timeouts.between_bytes)))
    }

    /// Takes an idle connection to `destination`, or another handle of a shared one.
    async fn take_parked(&self, destination: &Destination) -> Option<Sender> {
        loop {
            let sender = self.lock().take(destination)?;
            match sender {
                Sender::Http1(mut sender) if !sender.is_ready() => {
                    if let Ok(Ok(())) = timeout(READY_WAIT_MAX, sender.ready()).await {
                        return Some(Sender::Http1(sender));
                    }
                }
                sender => return Some(sender),
            }
        }
    }

    async fn connect(
        self: &Arc<Self>,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Sender, ClientError> {
        let slot = self.take_slot(deadline).await?;
        let opened = self.connector.open(destination, deadline).await?;
        let timed_out = || ClientError::ConnectTimeout {
            destination: destination.to_string(),
        };
        timeout_at(deadline, self.start(opened, slot, destination))
            .await
            .map_err(|_| timed_out())?
            .map_err(ClientError::from_hyper)
    }

    /// Waits for a free slot; the connection that is idle longest makes room when there is none.
    async fn take_slot(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, ClientError> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        self.lock().evict_oldest();
        match timeout_at(deadline, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(ClientError::ConnectionLimit {
                max: self.connections_max,
            }),
        }
    }

    async fn start(
        self: &Arc<Self>,
        opened: Opened,
        slot: OwnedSemaphorePermit,
        destination: &Destination,
    ) -> hyper::Result<Sender> {
        let io = TokioIo::new(opened.stream);
        if opened.is_http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD_BYTES_MAX)
                .handshake(io)
                .await?;
            self.drive(connection, slot);
            self.park(destination.clone(), Sender::Http2(sender.clone()));
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(HEAD_BYTES_MAX as usize)
                .max_header_size(HEAD_BYTES_MAX as usize)
                .handshake(io)
                .await?;
            self.drive(connection, slot);
            Ok(Sender::Http1(sender))
        }
    }

    /// Runs `connection` until it ends; its slot is free then.
    fn drive(
        self: &Arc<Self>,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        slot: OwnedSemaphorePermit,
    ) {
        let mut state = self.lock();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(async move {
            let _slot = slot;
            // Whoever waits for the response gets the error; an idle connection has nobody to tell.
            if let Err(error) = connection.await {
                tracing::trace!(%error, "outgoing connection ended");
            }
        });
        if !std::mem::replace(&mut state.has_reaper, true) {
            state.tasks.spawn(reap(Arc::downgrade(self)));
        }
    }

    fn park(&self, destination: Destination, sender: Sender) {
        self.lock().parked.push(Parked {
            destination,
            sender,
            since: Instant::now(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics half-way; the list is sound in any case.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that are idle for too long, as long as the pool is there.
async fn reap(pool: Weak<Pool>) {
    loop {
        sleep(IDLE_TIME_MAX / 2).await;
        match pool.upgrade() {
            Some(pool) => pool.lock().drop_stale(),
            None => return,
        }
    }
}

impl State {
    fn take(&mut self, destination: &Destination) -> Option<Sender> {
        self.drop_stale();
        // The one used last is the least likely to be closed by the server meanwhile.
        let index = self
            .parked
            .iter()
            .rposition(|it| it.destination == *destination)?;
        if let Sender::Http2(sender) = &self.parked[index].sender {
            let sender = sender.clone();
            self.parked[index].since = Instant::now();
            return Some(Sender::Http2(sender));
        }
        Some(self.parked.remove(index).sender)
    }

    fn drop_stale(&mut self) {
        self.parked
            .retain(|it| it.since.elapsed() < IDLE_TIME_MAX && !it.sender.is_closed());
    }

    fn evict_oldest(&mut self) {
        let oldest = self
            .parked
            .iter()
            .enumerate()
            .min_by_key(|(_, it)| it.since);
        if let Some((index, _)) = oldest {
            drop(self.parked.remove(index));
        }
    }
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Writes `request` in the form that the protocol wants, and waits for the head of the response.
    async fn send(
        &mut self,
        mut request: Request<RequestBody>,
        absolute: &Uri,
        destination: &Destination,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => {
                *request.uri_mut() = origin_form(absolute);
                *request.version_mut() = Version::HTTP_11;
                if let Ok(host) = HeaderValue::try_from(destination.authority_text()) {
                    request.headers_mut().insert(HOST, host);
                }
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                *request.uri_mut() = absolute.clone();
                *request.version_mut() = Version::HTTP_2;
                request.headers_mut().remove(HOST);
                sender.try_send_request(request).await
            }
        }
    }
}

fn origin_form(absolute: &Uri) -> Uri {
    let path = absolute.path_and_query().cloned();
    path.map_or_else(|| Uri::from_static("/"), Uri::from)
}
