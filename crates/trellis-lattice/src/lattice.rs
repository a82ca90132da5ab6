//! The handle to a connected lattice: publish, subscribe, ask one, ask all.

mod errors;
mod scatter;
mod subscription;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use trellis_core::LatticeName;

pub use self::errors::{PublishError, RequestError, SubscribeError};
pub use self::scatter::Scatter;
pub use self::subscription::Subscription;

use crate::connection::{ConnectionPhase, ConnectionState, Shared};
use crate::message::{Headers, Message};

/// How long a publish or subscription waits for room in the client's queue. It has none only while
/// the server does not read, or while the connection is lost.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the server has to answer a round trip.
const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long subscriptions have to hand out what has arrived when the connection is drained.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the known state is compared with the real one; see [`Shared::reconcile`].
const STATE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A connection to a lattice. Clones share it; it closes when the last of them is dropped.
#[derive(Clone)]
pub struct Lattice {
    inner: Arc<Inner>,
}

struct Inner {
    name: LatticeName,
    servers: String,
    jetstream_domain: Option<String>,
    client: async_nats::Client,
    shared: Arc<Shared>,
}

/// What a handle is made of.
pub(crate) struct Parts {
    pub(crate) name: LatticeName,
    pub(crate) servers: String,
    pub(crate) jetstream_domain: Option<String>,
    pub(crate) client: async_nats::Client,
    pub(crate) shared: Arc<Shared>,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The most bytes of headers and payload of one message.
    pub max_payload: usize,
    /// Whether it keeps streams.
    pub jetstream: bool,
    /// Its JetStream domain.
    pub domain: Option<String>,
    /// The cluster it is in.
    pub cluster: Option<String>,
}

impl Lattice {
    pub(crate) fn new(parts: Parts) -> Self {
        let inner = Arc::new(Inner {
            name: parts.name,
            servers: parts.servers,
            jetstream_domain: parts.jetstream_domain,
            client: parts.client,
            shared: parts.shared,
        });
        inner.check_state();
        // Ends by itself within one interval of the last handle.
        tokio::spawn(watch_state(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Returns the name of the lattice.
    pub fn name(&self) -> &LatticeName {
        &self.inner.name
    }

    /// Returns the addresses of the settings, without what is secret, for messages to people.
    pub fn servers(&self) -> &str {
        &self.inner.servers
    }

    /// Returns the client itself, for the wRPC transport alone; everything else goes through this
    /// handle, which bounds and names what the client does not.
    pub fn nats(&self) -> &async_nats::Client {
        &self.inner.client
    }

    /// Returns the JetStream domain of the settings.
    pub fn jetstream_domain(&self) -> Option<&str> {
        self.inner.jetstream_domain.as_deref()
    }

    /// Returns the state of the connection, and each one that follows.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.inner.shared.state()
    }

    /// Says whether messages reach the server now.
    pub fn is_connected(&self) -> bool {
        self.state().borrow().is_connected()
    }

    /// Returns the most bytes of headers and payload of one message.
    pub fn max_payload(&self) -> usize {
        self.inner.client.max_payload()
    }

    /// Returns what the server said about itself; `None` before the first connection.
    pub fn server_info(&self) -> Option<ServerInfo> {
        let info = self.inner.client.try_server_info()?;
        Some(ServerInfo {
            name: info.server_name,
            id: info.server_id,
            version: info.version,
            max_payload: info.max_payload,
            jetstream: info.jetstream,
            domain: info.domain,
            cluster: info.cluster,
        })
    }

    /// Returns the subjects on which the server refuses to publish, from now on.
    pub(crate) fn refusals(&self) -> broadcast::Receiver<Arc<str>> {
        self.inner.shared.refusals()
    }

    /// Returns a subject of this connection alone, that answers can be sent to.
    pub fn new_inbox(&self) -> String {
        self.inner.client.new_inbox()
    }

    /// Publishes `payload` to `subject`. `Ok` promises nothing: the message waits to be written, and
    /// is lost when the connection or the server is. What matters is asked for an answer.
    ///
    /// # Errors
    /// When it could not even be queued.
    pub async fn publish(
        &self,
        subject: &str,
        headers: Option<Headers>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.send(subject, None, headers, payload).await
    }

    /// Publishes as [`Lattice::publish`] does, and asks for answers on `reply`.
    ///
    /// # Errors
    /// When it could not even be queued.
    pub async fn publish_with_reply(
        &self,
        subject: &str,
        reply: &str,
        headers: Option<Headers>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.send(subject, Some(reply), headers, payload).await
    }

    async fn send(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<Headers>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        if !self.is_connected() {
            return Err(PublishError::Disconnected);
        }
        let bytes = payload.len();
        let client = &self.inner.client;
        let subject_owned = subject.to_owned();
        let headers = headers.and_then(|headers| headers.to_nats());
        let sending = async {
            match (reply, headers) {
                (None, None) => client.publish(subject_owned, payload).await,
                (None, Some(headers)) => {
                    let send = client.publish_with_headers(subject_owned, headers, payload);
                    send.await
                }
                (Some(reply), None) => {
                    let send = client.publish_with_reply(subject_owned, reply.to_owned(), payload);
                    send.await
                }
                (Some(reply), Some(headers)) => {
                    let reply = reply.to_owned();
                    client
                        .publish_with_reply_and_headers(subject_owned, reply, headers, payload)
                        .await
                }
            }
        };
        match tokio::time::timeout(QUEUE_WAIT_MAX, sending).await {
            Ok(sent) => {
                sent.map_err(|error| PublishError::new(subject, bytes, self.max_payload(), &error))
            }
            Err(_) => Err(PublishError::Backlogged),
        }
    }

    /// Subscribes to `subject`, which may have wildcards. The server learns of it with what is
    /// published next; [`Lattice::flush`] waits until it has.
    ///
    /// # Errors
    /// When the subject is none, or the client cannot take it up.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscription, SubscribeError> {
        let subscribing = self.inner.client.subscribe(subject.to_owned());
        match tokio::time::timeout(QUEUE_WAIT_MAX, subscribing).await {
            Ok(Ok(subscriber)) => Ok(Subscription::new(subscriber)),
            Ok(Err(error)) => Err(SubscribeError::new(subject, &error)),
            Err(_) => Err(SubscribeError::Backlogged),
        }
    }

    /// Subscribes as a member of `group`: each message goes to one member.
    ///
    /// # Errors
    /// When the subject or group is none, or the client cannot take it up.
    pub async fn queue_subscribe(
        &self,
        subject: &str,
        group: &str,
    ) -> Result<Subscription, SubscribeError> {
        let client = &self.inner.client;
        let subscribing = client.queue_subscribe(subject.to_owned(), group.to_owned());
        match tokio::time::timeout(QUEUE_WAIT_MAX, subscribing).await {
            Ok(Ok(subscriber)) => Ok(Subscription::new(subscriber)),
            Ok(Err(error)) => Err(SubscribeError::new(subject, &error)),
            Err(_) => Err(SubscribeError::Backlogged),
        }
    }

    /// Sends a request and returns the first answer to it.
    ///
    /// # Errors
    /// See [`RequestError`]; which of them leave open whether the request arrived is said there.
    ///
    /// # Cancel safety
    /// Cancelling gives the answer up; the request may have been sent.
    pub async fn request(
        &self,
        subject: &str,
        headers: Option<Headers>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let mut refusals = self.refusals();
        let mut state = self.state();
        let connects = {
            let now = state.borrow_and_update();
            if !now.is_connected() {
                return Err(RequestError::Disconnected);
            }
            now.connects
        };
        let bytes = payload.len();
        let mut request = async_nats::Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers.and_then(|headers| headers.to_nats()) {
            request = request.headers(headers);
        }
        let asking = self.inner.client.send_request(subject.to_owned(), request);
        tokio::select! {
            biased;
            answer = tokio::time::timeout(timeout, asking) => match answer {
                Ok(Ok(message)) => Ok(message.into()),
                Ok(Err(error)) => {
                    Err(RequestError::new(subject, bytes, self.max_payload(), &error))
                }
                Err(_) => Err(RequestError::Timeout { subject: subject.to_owned(), after: timeout }),
            },
            () = lost(&mut state, connects) => Err(RequestError::ConnectionLost),
            () = refused(&mut refusals, subject) => Err(RequestError::Denied {
                subject: subject.to_owned(),
            }),
        }
    }

    /// Asks everybody who listens to `subject`, and returns the answers as they come until `window`
    /// has passed. Drop it earlier to stop earlier.
    ///
    /// # Errors
    /// When the question cannot be asked. That nobody listens is an end without answers.
    pub async fn scatter(
        &self,
        subject: &str,
        payload: Bytes,
        window: Duration,
    ) -> Result<Scatter, RequestError> {
        let inbox = self.new_inbox();
        let refusals = self.refusals();
        let answers = self.subscribe(&inbox).await?;
        self.publish_with_reply(subject, &inbox, None, payload)
            .await?;
        Ok(Scatter::new(subject.to_owned(), answers, refusals, window))
    }

    /// Waits until the server has taken in everything that was published and subscribed before.
    ///
    /// # Errors
    /// When the connection is lost, or the server does not answer within 5 s.
    pub async fn flush(&self) -> Result<(), RequestError> {
        self.round_trip().await.map(drop)
    }

    /// Measures how long the server takes to answer.
    ///
    /// # Errors
    /// When the connection is lost, or the server does not answer within 5 s.
    pub async fn round_trip(&self) -> Result<Duration, RequestError> {
        let start = Instant::now();
        // Nobody listens there, which the server itself says at once. Where it does not let this
        // user publish there, its refusal is an answer just as well.
        let nowhere = self.new_inbox();
        let answer = self.request(&nowhere, None, Bytes::new(), ROUND_TRIP_TIMEOUT);
        match answer.await {
            Ok(_) | Err(RequestError::NoResponders { .. } | RequestError::Denied { .. }) => {
                Ok(start.elapsed())
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the connection for all clones, after subscriptions have handed out what has arrived
    /// and what was published is written, or after 5 s.
    pub async fn drain(&self) {
        let mut state = self.state();
        let draining = async {
            if self.inner.client.drain().await.is_ok() {
                let closed = |now: &ConnectionState| now.phase == ConnectionPhase::Closed;
                drop(state.wait_for(closed).await);
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, draining).await.is_err() {
            tracing::warn!("the connection to the lattice was not drained in time");
        }
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lattice")
            .field("name", self.name())
            .field("servers", &self.servers())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn check_state(&self) {
        self.shared.reconcile(&self.client.connection_state());
    }
}

async fn watch_state(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(STATE_CHECK_INTERVAL).await;
        match inner.upgrade() {
            Some(inner) => inner.check_state(),
            None => return,
        }
    }
}

/// Waits until the connection with the number `connects` is lost.
async fn lost(state: &mut watch::Receiver<ConnectionState>, connects: u64) {
    let gone = |now: &ConnectionState| !now.is_connected() || now.connects != connects;
    // An error means that the client is gone as a whole.
    drop(state.wait_for(gone).await);
}

/// Waits until the server refuses to publish to `subject`.
pub(crate) async fn refused(refusals: &mut broadcast::Receiver<Arc<str>>, subject: &str) {
    loop {
        match refusals.recv().await {
            Ok(refused) if *refused == *subject => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
