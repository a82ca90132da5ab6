//! One NATS connection as wRPC uses it: a single inbox, the calls that are open on it, and the
//! hosts at their other ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use async_nats::client::Statistics;
use async_nats::client::traits::Publisher as _;
use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use trellis_core::{ErrorClass, takes_answers};

use crate::call_error::CallError;
use crate::call_state::{Accepted, Bounds, CallState, Dialect, Piece, Side, window_of};
use crate::config::{Config, LEGACY_FLUSH_BYTES, NOTE_BYTES_MAX, WINDOW_BYTES_DEFAULT};
use crate::extension::{Note, error_of};
use crate::headers::inbox_of;
use crate::outbox::Outbox;
use crate::peers::{BEAT, Peer, Peers, UNREACHED, Unreached};
use crate::slots::{SlotId, Slots};

mod ticker;

/// A transport that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The host id would break a header.
    #[error("the host id `{0}` must be one word without control characters")]
    HostId(String),
    /// The inbox cannot be subscribed to.
    #[error("cannot subscribe to the inbox of the connection")]
    Subscribe(#[source] async_nats::SubscribeError),
}

/// wRPC over one NATS connection. Clones are handles to the same; the last one closes it.
#[derive(Clone)]
pub struct Transport {
    pub(crate) shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

/// What all calls of one transport share.
pub(crate) struct Shared {
    nats: async_nats::Client,
    statistics: Arc<Statistics>,
    connects_seen: AtomicU64,
    /// The inbox. The subject of a call is this, a dot and its number.
    inbox: String,
    /// A per-call subject that no call has: for callers of 1.x that must be given one and need none.
    pub(crate) nowhere: Subject,
    pub(crate) slots: Slots,
    pub(crate) peers: Peers,
    /// A beat reached nobody for the first time: the ticker tries again.
    unreached: Notify,
    pub(crate) config: Config,
    pub(crate) outbox: Outbox,
    buffered: Arc<AtomicUsize>,
}

struct Tasks([AbortHandle; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Transport {
    /// Opens the inbox of `nats`. One transport for each connection is enough for any number of
    /// clients, servers and calls.
    ///
    /// # Errors
    /// A host id that is not one word; an inbox that cannot be subscribed to.
    pub async fn open(nats: async_nats::Client, config: Config) -> Result<Self, OpenError> {
        let is_word = |c: char| c.is_ascii_graphic();
        if config.host_id.is_empty()
            || config.host_id.len() > 128
            || !config.host_id.chars().all(is_word)
        {
            return Err(OpenError::HostId(config.host_id));
        }
        let inbox = nats.new_inbox();
        let subscription = nats.subscribe(format!("{inbox}.>")).await;
        let subscription = subscription.map_err(OpenError::Subscribe)?;
        let statistics = nats.statistics();
        let shared = Arc::new(Shared {
            connects_seen: AtomicU64::new(statistics.connects.load(Relaxed)),
            statistics,
            nowhere: format!("{inbox}.none").into(),
            peers: Peers::new(&inbox),
            inbox,
            slots: Slots::new(),
            unreached: Notify::new(),
            config,
            outbox: Outbox::default(),
            buffered: Arc::default(),
            nats,
        });
        let router = tokio::spawn(shared.clone().route_all(subscription)).abort_handle();
        let ticker = tokio::spawn(shared.clone().tick_all()).abort_handle();
        Ok(Self {
            shared,
            _tasks: Arc::new(Tasks([router, ticker])),
        })
    }

    /// Fails the calls that the host of this id works on: the lattice knows that it is gone.
    pub fn peer_gone(&self, host: &str) {
        self.shared
            .fail_calls_of(|peer| peer.is_of(host), || host_gone(host));
    }

    /// Fails all open calls: the connection lost messages, as its slow-consumer event says.
    pub fn messages_lost(&self) {
        for call in self.shared.slots.all() {
            call.fail(CallError::unavailable(
                "this host was too slow and lost messages of the call",
            ));
        }
    }

    /// Waits until the server has seen everything that this connection sent, subscriptions included.
    ///
    /// # Errors
    /// Unavailable at once while there is no connection; deadline, when the server does not answer
    /// within 5 s.
    pub async fn settle(&self) -> Result<(), CallError> {
        if self.shared.is_disconnected() {
            return Err(CallError::unavailable("there is no connection to NATS"));
        }
        let deadline = Instant::now() + std::time::Duration::from_secs(5);
        // As one that was called, since no host will ever take it.
        let state = Arc::new(CallState::new(Side::Callee, deadline, self.shared.bounds()));
        let Some(id) = self.shared.slots.insert(state.clone()) else {
            return Err(too_many_open());
        };
        let subject = format!("{}.params", self.shared.call_subject(id)).into();
        let headers = Note {
            end: true,
            ..Note::default()
        }
        .headers();
        let echo = async {
            self.shared
                .publish(message(subject, None, Some(headers), Bytes::new()))
                .await?;
            std::future::poll_fn(|cx| state.poll_value(cx)).await
        };
        let echoed = tokio::time::timeout_at(deadline.into(), echo).await;
        self.shared.slots.remove(id);
        echoed.map_err(|_| CallError::deadline())?.map(drop)
    }

    /// Returns how many calls are open, in both directions.
    pub fn calls_open(&self) -> usize {
        self.shared.slots.all().len()
    }
}

impl Shared {
    // Messages in.

    async fn route_all(self: Arc<Self>, mut inbox: Subscriber) {
        while let Some(message) = inbox.next().await {
            self.note_reconnects();
            self.route(message);
        }
        for call in self.slots.all() {
            call.fail(CallError::unavailable("the connection to NATS was closed"));
        }
    }

    /// Gives a message to its call. Never waits: what a call cannot hold is the failure of that call.
    fn route(self: &Arc<Self>, mut message: Message) {
        message.reply = message.reply.filter(|it| takes_answers(it));
        let rest = message.subject.strip_prefix(self.inbox.as_str());
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix('.')) else {
            return;
        };
        if rest == BEAT {
            if let Ok(inbox) = std::str::from_utf8(&message.payload) {
                self.peers.heard(inbox);
            }
            return;
        }
        if let Some(inbox) = rest.strip_prefix(UNREACHED) {
            if message.status.is_some_and(|status| !status.is_success()) {
                self.miss(inbox);
            }
            return;
        }
        let (number, channel) = match rest.split_once('.') {
            Some((number, channel)) => (number, Some(channel)),
            None => (rest, None),
        };
        let call = SlotId::parse(number).and_then(|id| self.slots.get(id));
        let note = Note::read(message.headers.as_ref());
        match (call, channel) {
            (Some(call), None) => self.control(&call, &message, note),
            (Some(call), Some(channel)) => data(&call, channel, &message, note),
            (None, None) => self.refuse_late_acceptance(&message, note),
            (None, Some(_)) => {}
        }
    }

    /// Takes the word of the server that a beat reached nobody. The second time it is believed: a client
    /// that moves to another server is away for a moment.
    fn miss(&self, inbox: &str) {
        match self.peers.unreached(inbox) {
            Some(Unreached::Once) => self.unreached.notify_one(),
            Some(Unreached::Gone(gone)) => {
                let host = gone.host().unwrap_or(NAMELESS);
                tracing::info!(host, "a host with open calls is gone");
                self.fail_calls_of(|peer| std::ptr::eq(peer, &*gone), || host_gone(host));
            }
            None => {}
        }
    }

    /// Takes a message on the subject of the call itself.
    fn control(self: &Arc<Self>, call: &CallState, message: &Message, note: Option<Note<'_>>) {
        if let Some(status) = message.status
            && !status.is_success()
        {
            return match call.side {
                Side::Caller => call.fail(refusal(status.as_u16())),
                Side::Callee => call.cancel(), // nobody listens where our acceptance went
            };
        }
        let Some(note) = note else {
            return self.accept_legacy(call, message);
        };
        if note.cancel && call.side == Side::Callee {
            call.cancel();
        }
        if note.accept
            && let (Side::Caller, Some(control)) = (call.side, message.reply.clone())
        {
            let inbox = inbox_of(&control).unwrap_or_default();
            call.accept(Accepted {
                dialect: Dialect::Extended,
                peer: self.peers.get(inbox, note.host),
                window: window_of(&note),
                control,
            });
        }
        if note.credit.is_some() || note.stop {
            call.allow(&note);
        }
    }

    fn accept_legacy(self: &Arc<Self>, call: &CallState, message: &Message) {
        let (Side::Caller, Some(control)) = (call.side, message.reply.clone()) else {
            return;
        };
        if call.accepted().is_some() {
            return;
        }
        if call.tells_params_end {
            let subject = format!("{control}.params").into();
            self.publish_now(self::message(subject, None, None, Bytes::new()));
        }
        call.accept(Accepted {
            control,
            dialect: Dialect::Legacy,
            peer: None,
            window: u64::MAX,
        });
    }

    /// Answers the acceptance of a call that its caller has given up meanwhile.
    fn refuse_late_acceptance(self: &Arc<Self>, message: &Message, note: Option<Note<'_>>) {
        if let (Some(note), Some(reply)) = (note, message.reply.clone())
            && note.accept
        {
            self.publish_now(cancel(reply));
        }
    }

    // Messages out.

    /// Queues a message, waiting while the connection is behind.
    pub(crate) async fn publish(&self, message: OutboundMessage) -> Result<(), CallError> {
        let sent = self.nats.publish_message(message).await;
        sent.map_err(|error| CallError::unavailable(format!("cannot send: {error}")))
    }

    /// Queues a message without waiting, for places that cannot wait.
    pub(crate) fn publish_now(self: &Arc<Self>, message: OutboundMessage) {
        let queued = self.nats.publish_message(message.clone()).now_or_never();
        if queued.is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            // The connection is behind. As many of these wait as calls end at the same time.
            let shared = self.clone();
            runtime.spawn(async move {
                let _ = shared.nats.publish_message(message).await;
            });
        }
    }

    /// Sends a value in as many messages as it takes. The last one says so: with its note, or by
    /// being empty.
    pub(crate) async fn publish_value(
        &self,
        subject: &Subject,
        value: Bytes,
        at: usize,
        dialect: Dialect,
    ) -> Result<(), CallError> {
        match dialect {
            Dialect::Extended => self.publish_noted(subject, value, at).await,
            Dialect::Legacy => {
                self.publish_bare(subject, value).await?;
                self.publish(message(subject.clone(), None, None, Bytes::new()))
                    .await
            }
        }
    }

    async fn publish_noted(
        &self,
        subject: &Subject,
        mut value: Bytes,
        at: usize,
    ) -> Result<(), CallError> {
        let size = at + value.len();
        let mut note = Note {
            at: at as u64,
            ..Note::default()
        };
        loop {
            let piece = value.split_to(value.len().min(self.piece_bytes(Dialect::Extended)));
            note.end = value.is_empty();
            note.size = (note.end && note.at > 0).then_some(size as u64);
            let sent = piece.len();
            self.publish(message(subject.clone(), None, Some(note.headers()), piece))
                .await?;
            if note.end {
                return Ok(());
            }
            note.at += sent as u64;
            self.flush_every(note.at as usize, sent).await?;
        }
    }

    /// Sends bytes in messages without notes, and no end.
    pub(crate) async fn publish_bare(
        &self,
        subject: &Subject,
        mut bytes: Bytes,
    ) -> Result<(), CallError> {
        let mut total = 0;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.piece_bytes(Dialect::Legacy)));
            let sent = piece.len();
            total += sent;
            self.publish(message(subject.clone(), None, None, piece))
                .await?;
            self.flush_every(total, sent).await?;
        }
        Ok(())
    }

    /// Waits for the socket once in a while, so that a large value is not queued as a whole.
    pub(crate) async fn flush_every(&self, total: usize, sent: usize) -> Result<(), CallError> {
        if total / LEGACY_FLUSH_BYTES == (total - sent) / LEGACY_FLUSH_BYTES {
            return Ok(());
        }
        let flushed = self.nats.flush().await;
        flushed.map_err(|error| CallError::unavailable(format!("cannot send: {error}")))
    }

    /// Bytes of data that fit in one message.
    pub(crate) fn piece_bytes(&self, dialect: Dialect) -> usize {
        let note = match dialect {
            Dialect::Legacy => 0,
            Dialect::Extended => NOTE_BYTES_MAX,
        };
        self.message_bytes().saturating_sub(note).max(1)
    }

    /// Bytes of one message, headers included.
    pub(crate) fn message_bytes(&self) -> usize {
        self.nats.max_payload().min(self.config.message_bytes_max)
    }

    // The state of things.

    /// Returns the per-call subject of the call with this number.
    pub(crate) fn call_subject(&self, id: SlotId) -> Subject {
        format!("{}.{:x}", self.inbox, id.number()).into()
    }

    pub(crate) fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// Returns whether the connection is known to be down.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.nats.connection_state() == State::Disconnected
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            value_bytes_max: self.config.value_bytes_max,
            call_buffered_bytes_max: self.config.call_buffered_bytes_max,
            buffered_bytes_max: self.config.buffered_bytes_max,
            window_bytes: self.config.window_bytes as u64,
            buffered_in_all: self.buffered.clone(),
        }
    }

    /// Returns our window, where peers have to be told.
    pub(crate) fn window_to_tell(&self) -> Option<u64> {
        let window = self.config.window_bytes as u64;
        (window != WINDOW_BYTES_DEFAULT).then_some(window)
    }

    fn fail_calls_of(&self, is_meant: impl Fn(&Peer) -> bool, error: impl Fn() -> CallError) {
        for call in self.slots.all() {
            let peer = call.accepted().and_then(|accepted| accepted.peer);
            if peer.is_some_and(|peer| is_meant(&peer)) {
                call.fail(error());
            }
        }
    }

    /// What a broken connection swallowed nobody sends again.
    fn note_reconnects(&self) {
        let connects = self.statistics.connects.load(Relaxed);
        if self.connects_seen.swap(connects, Relaxed) != connects {
            self.interrupt();
        }
    }

    fn interrupt(&self) {
        // Silence says nothing of others while we cannot hear.
        self.peers.refresh();
        for call in self.slots.all() {
            call.fail_interrupted();
        }
    }
}

/// Takes a message on a subject below that of the call.
fn data(call: &CallState, channel: &str, message: &Message, note: Option<Note<'_>>) {
    let path = match channel.strip_prefix(call.side.receives()) {
        Some("") => None,
        Some(rest) if rest.starts_with('.') => Some(&rest[1..]),
        _ => return,
    };
    let headers = message.headers.as_ref();
    let piece = Piece {
        payload: message.payload.clone(),
        error: note.as_ref().and_then(|note| error_of(note, headers)),
        note,
    };
    call.receive(path, piece);
}

/// What a status in place of an answer means.
fn refusal(status: u16) -> CallError {
    match status {
        503 => CallError::before_start(ErrorClass::Unavailable, "nobody serves this function"),
        408 => CallError::deadline(),
        _ => CallError::unavailable(format!("the NATS server answered with status {status}")),
    }
}

/// What a host that did not tell its id is called in errors.
const NAMELESS: &str = "at the other end";

fn host_gone(host: &str) -> CallError {
    CallError::unavailable(format!("host {host} is gone")).of_lost_host(host)
}

pub(crate) fn too_many_open() -> CallError {
    CallError::before_start(ErrorClass::Overloaded, "this host has too many open calls")
}

/// Makes the message that ends a call from the caller's side.
pub(crate) fn cancel(control: Subject) -> OutboundMessage {
    let note = Note {
        cancel: true,
        ..Note::default()
    };
    message(control, None, Some(note.headers()), Bytes::new())
}

pub(crate) fn message(
    subject: Subject,
    reply: Option<Subject>,
    headers: Option<HeaderMap>,
    payload: Bytes,
) -> OutboundMessage {
    OutboundMessage {
        subject,
        reply,
        headers,
        payload,
    }
}
