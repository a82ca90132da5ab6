//! What a client asks for, done. Reads and waits for nothing.

use std::collections::HashMap;
use std::mem;
use std::str;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::{BufMut, BytesMut};
use trellis_identity::Permissions;

use super::delivery::Delivery;
use super::outbox::Put;
use super::routes::Routes;
use super::{Client, Subscription};
use crate::authentication::{Refused, User};
use crate::broker::Shared;
use crate::limits::{DIRECT_MESSAGES_MAX, DIRECT_WRITES_MAX};
use crate::protocol::messages::Connect;
use crate::protocol::parser::{Operation, ParseError, Parser, Publish, Subscribe, Unsubscribe};
use crate::protocol::{encode, headers};
use crate::sublist::{is_literal, is_pattern};

/// Everybody may do everything before CONNECT where no credentials are asked for.
static UNRESTRICTED: User = User {
    name: String::new(),
    permissions: Permissions {
        publish: trellis_identity::SubjectRules {
            allow: Vec::new(),
            deny: Vec::new(),
        },
        subscribe: trellis_identity::SubjectRules {
            allow: Vec::new(),
            deny: Vec::new(),
        },
        responses: None,
    },
    expires: None,
};

/// Why a client is cut off by what it sends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("the client sent something before its credentials")]
    NotAuthenticated,
    #[error("the client may not come in")]
    Refused(#[source] Refused),
    #[error("the CONNECT of the client is no JSON object of the protocol")]
    Connect(#[source] serde_json::Error),
    #[error("the INFO of the client is no JSON")]
    Info(#[source] serde_json::Error),
    #[error("the client speaks version {version} of the protocol")]
    Protocol { version: i64 },
    #[error("the client wants to know of missing responders, but takes no headers")]
    NoRespondersWithoutHeaders,
    #[error("the client sent headers, but said that it knows none")]
    Headers,
}

impl Violation {
    /// Returns what nats-server says in this case; in some it says nothing.
    pub(super) fn text(&self) -> Option<&'static str> {
        match self {
            Self::Parse(ParseError::UnknownOperation) => Some("Unknown Protocol Operation"),
            Self::Parse(ParseError::ControlLine) => Some("maximum control line exceeded"),
            Self::Parse(ParseError::Payload) => Some("Maximum Payload Violation"),
            Self::Refused(Refused::Expired) => Some("User Authentication Expired"),
            Self::NotAuthenticated | Self::Refused(_) => Some("Authorization Violation"),
            Self::Protocol { .. } => Some("invalid client protocol"),
            Self::NoRespondersWithoutHeaders => Some("no responders requires headers support"),
            Self::Parse(_) | Self::Connect(_) | Self::Info(_) | Self::Headers => None,
        }
    }
}

/// The state of one client's conversation.
pub(super) struct Session {
    shared: Arc<Shared>,
    client: Arc<Client>,
    parser: Parser,
    nonce: String,
    wishes: Connect,
    /// Whether the client has said who it is.
    connected: bool,
    routes: Routes,
    to_flush: Vec<Arc<Client>>,
    /// Messages since the last time that receivers were written to.
    published: usize,
    /// A receiver for which much is waiting.
    lagging: Option<Arc<Client>>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, client: Arc<Client>, nonce: String) -> Self {
        Self {
            parser: Parser::new(shared.limits.parser()),
            shared,
            client,
            nonce,
            wishes: Connect::default(),
            connected: false,
            routes: Routes::default(),
            to_flush: Vec::new(),
            published: 0,
            lagging: None,
        }
    }

    /// Does what stands in `input`, and leaves there what is not complete.
    pub(super) fn receive(&mut self, input: &mut BytesMut) -> Result<(), Violation> {
        loop {
            let connects = matches!(input.first(), None | Some(b'C' | b'c'));
            if self.must_authenticate() && !connects {
                return Err(Violation::NotAuthenticated);
            }
            match self.parser.next(input)? {
                Some(operation) => self.apply(operation)?,
                None => return Ok(()),
            }
        }
    }

    /// Writes to those who got something since the last time.
    pub(super) fn flush(&mut self) {
        let stream = mem::take(&mut self.published) > DIRECT_MESSAGES_MAX;
        for (index, client) in self.to_flush.drain(..).enumerate() {
            if index >= DIRECT_WRITES_MAX || stream {
                client.outbox.leave();
            } else {
                client.outbox.flush();
            }
        }
    }

    /// Waits a moment for a receiver that reads more slowly than this client publishes: better one
    /// publisher waits than its receivers are cut off. Nobody waits for one that does not read.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(super) async fn hold_back(&mut self) {
        if let Some(client) = self.lagging.take() {
            client.outbox.catch_up().await;
        }
    }

    /// Returns how many bytes are missing of what the client is sending: 0 when unknown.
    pub(super) fn missing(&self, input: &BytesMut) -> usize {
        self.parser.missing(input)
    }

    /// Returns whether the client has yet to say who it is.
    pub(super) fn must_authenticate(&self) -> bool {
        !self.connected && self.shared.authenticator.requires_credentials()
    }

    /// Returns when the user must be cut off.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.user().expires
    }

    /// Sends a line to this client.
    pub(super) fn send(&mut self, line: &[u8]) {
        let put = self
            .client
            .outbox
            .put(line.len(), |output| output.put_slice(line));
        self.note(put);
    }

    /// Sends an error line to this client.
    pub(super) fn send_error(&mut self, text: &str) {
        let mut line = BytesMut::with_capacity(text.len() + 16);
        encode::error(text, &mut line);
        self.send(&line);
    }

    fn note(&mut self, put: Put) {
        if put == Put::ToFlush {
            self.to_flush.push(Arc::clone(&self.client));
        }
    }

    fn acknowledge(&mut self) {
        if self.wishes.verbose {
            self.send(encode::OK);
        }
    }

    fn user(&self) -> &User {
        self.client.user.get().unwrap_or(&UNRESTRICTED)
    }

    fn apply(&mut self, operation: Operation) -> Result<(), Violation> {
        match operation {
            Operation::Publish(message) => self.publish(&message)?,
            Operation::Ping => self.send(encode::PONG),
            Operation::Subscribe(wish) => self.subscribe(&wish),
            Operation::Unsubscribe(end) => self.unsubscribe(&end),
            Operation::Connect(json) => self.connect(&json)?,
            Operation::Info(json) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&json).map_err(Violation::Info)?;
            }
            Operation::Pong | Operation::Acknowledge => {}
        }
        Ok(())
    }

    /// A later CONNECT changes the wishes, never the user.
    fn connect(&mut self, json: &[u8]) -> Result<(), Violation> {
        let connect = Connect::parse(json).map_err(Violation::Connect)?;
        if !self.connected {
            let user = self
                .shared
                .authenticator
                .authenticate(&connect, &self.nonce);
            let user = user.map_err(Violation::Refused)?;
            tracing::debug!(
                client = self.client.number,
                user = user.name,
                ?connect,
                "client connected"
            );
            self.client.user.get_or_init(|| user);
            self.routes.clear();
            self.connected = true;
        }
        if !connect.speaks_our_protocol() {
            let version = connect.protocol;
            return Err(Violation::Protocol { version });
        }
        if connect.no_responders && !connect.headers {
            return Err(Violation::NoRespondersWithoutHeaders);
        }
        self.client
            .headers
            .store(connect.headers, Ordering::Relaxed);
        // Credentials need not stay in memory.
        self.wishes = Connect {
            jwt: String::new(),
            signature: String::new(),
            ..connect
        };
        self.acknowledge();
        Ok(())
    }

    fn publish(&mut self, message: &Publish) -> Result<(), Violation> {
        if message.claims_headers() && !self.wishes.headers {
            return Err(Violation::Headers);
        }
        self.published += 1;
        let subject = message.subject();
        if self.wishes.pedantic && !str::from_utf8(subject).is_ok_and(is_literal) {
            self.send_error("Invalid Publish Subject");
        }
        let user = self.client.user.get().unwrap_or(&UNRESTRICTED);
        let route = self
            .routes
            .find(subject, &self.shared.subscriptions, &user.permissions);
        if !route.allowed && !self.may_answer(subject) {
            let subject = String::from_utf8_lossy(subject);
            self.send_error(&format!(
                "Permissions Violation for Publish to \"{subject}\""
            ));
            return Ok(());
        }
        self.acknowledge();
        let delivery = Delivery {
            message,
            table: &self.shared.subscriptions,
            except: (!self.wishes.echo).then_some(&*self.client),
            to_flush: &mut self.to_flush,
            lagging: &mut self.lagging,
        };
        let delivered = delivery.deliver_to_all(&route.matched);
        if !delivered
            && self.wishes.no_responders
            && let Some(reply) = message.reply()
        {
            self.send_no_responders(subject, reply);
        }
        Ok(())
    }

    /// Returns whether the user was asked for an answer on `subject`.
    fn may_answer(&self, subject: &[u8]) -> bool {
        self.user().permissions.responses.is_some()
            && self.client.replies().take(subject, Instant::now())
    }

    /// Tells the client that nobody serves its request, if it listens for the answer.
    fn send_no_responders(&mut self, subject: &[u8], reply: &[u8]) {
        let Ok(reply) = str::from_utf8(reply) else {
            return;
        };
        let matched = self.shared.subscriptions.find(reply);
        let own = matched
            .plain
            .iter()
            .find(|it| Arc::ptr_eq(&it.client, &self.client));
        let Some(subscription) = own else {
            return;
        };
        let block = headers::no_responders(subject);
        let head = encode::Head {
            subject: reply.as_bytes(),
            subscription: &subscription.id,
            reply: None,
            headers: block.len(),
            total: block.len(),
        };
        let length = head.length_max() + block.len() + encode::END.len();
        let put = self.client.outbox.put(length, |output| {
            head.write(output);
            output.put_slice(&block);
            output.put_slice(encode::END);
        });
        self.note(put);
    }

    fn subscribe(&mut self, wish: &Subscribe) {
        let queue = wish.queue.as_deref().map(str::from_utf8).transpose();
        let (Ok(pattern), Ok(queue)) = (str::from_utf8(&wish.subject), queue) else {
            return self.send_error("Invalid Subject");
        };
        if !self.user().permissions.allows_subscribe(pattern, queue) {
            let group = queue.map_or(String::new(), |it| format!(" using queue \"{it}\""));
            return self.send_error(&format!(
                "Permissions Violation for Subscription to \"{pattern}\"{group}"
            ));
        }
        let known = self.client.subscriptions();
        let full = known.len() >= self.shared.limits.subscriptions_per_client_max;
        let again = known.contains_key(&*wish.id);
        drop(known);
        if full {
            return self.send_error("maximum subscriptions exceeded");
        }
        if !again {
            if !is_pattern(pattern) {
                return self.send_error("Invalid Subject");
            }
            self.list(wish, pattern, queue);
        }
        self.acknowledge();
    }

    fn list(&mut self, wish: &Subscribe, pattern: &str, queue: Option<&str>) {
        let filtered = self.user().permissions.filters_delivery(pattern);
        let subscription = Arc::new(Subscription {
            number: self
                .shared
                .subscription_numbers
                .fetch_add(1, Ordering::Relaxed),
            client: Arc::clone(&self.client),
            id: (*wish.id).into(),
            pattern: pattern.into(),
            queue: queue.map(Into::into),
            filtered,
            delivered: AtomicU64::new(0),
            delivered_max: AtomicU64::new(0),
        });
        let known: &mut HashMap<_, _> = &mut self.client.subscriptions();
        known.insert((*wish.id).into(), Arc::clone(&subscription));
        self.shared.subscriptions.insert(pattern, subscription);
    }

    fn unsubscribe(&mut self, end: &Unsubscribe) {
        let found = self.client.subscriptions().get(&*end.id).cloned();
        if let Some(subscription) = found {
            let delivered = subscription.delivered.load(Ordering::SeqCst);
            match end.after.filter(|count| *count > delivered) {
                Some(count) => subscription.end_after(count, &self.shared.subscriptions),
                None => subscription.end(&self.shared.subscriptions),
            }
        }
        self.acknowledge();
    }
}
