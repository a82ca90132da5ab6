//! A client as others see it: where to put what it is to get, and what it subscribed to.

pub(crate) mod connection;
mod delivery;
mod outbox;
mod replies;
mod routes;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::net::TcpStream;

use self::outbox::Outbox;
use self::replies::Replies;
use crate::authentication::User;
use crate::limits::Limits;
use crate::sublist::{Entry, Sublist};

/// A connected client.
pub(crate) struct Client {
    /// Its number in this run.
    pub(crate) number: u64,
    outbox: Outbox,
    /// Whether it understands headers.
    headers: AtomicBool,
    /// Who it is, once that is known.
    user: OnceLock<User>,
    /// By its own ids. Cleared at the end, which frees the circle of references.
    subscriptions: Mutex<HashMap<Box<[u8]>, Arc<Subscription>>>,
    replies: Mutex<Replies>,
}

/// A wish of a client for messages.
pub(crate) struct Subscription {
    number: u64,
    client: Arc<Client>,
    id: Box<[u8]>,
    pattern: Box<str>,
    queue: Option<Box<str>>,
    /// Whether some subjects of the pattern are denied to the user.
    filtered: bool,
    delivered: AtomicU64,
    /// After how many messages it ends; 0: never.
    delivered_max: AtomicU64,
}

impl Client {
    pub(crate) fn new(number: u64, stream: Arc<TcpStream>, limits: &Limits) -> Self {
        Self {
            number,
            outbox: Outbox::new(stream, limits.pending_bytes_max),
            headers: AtomicBool::new(false),
            user: OnceLock::new(),
            subscriptions: Mutex::default(),
            replies: Mutex::default(),
        }
    }

    /// Returns the name of the user, for logs.
    fn user_name(&self) -> &str {
        self.user.get().map_or("", |user| &user.name)
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Subscription>>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn replies(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all its subscriptions.
    fn unsubscribe_all(&self, table: &Sublist<Subscription>) {
        let subscriptions = std::mem::take(&mut *self.subscriptions());
        for subscription in subscriptions.values() {
            table.remove(&subscription.pattern, subscription);
        }
    }
}

impl Subscription {
    /// Ends it, whoever finds out that it is to end.
    fn end(&self, table: &Sublist<Subscription>) {
        let mut known = self.client.subscriptions();
        // The client may have used the id again.
        if known
            .get(&self.id)
            .is_some_and(|it| it.number == self.number)
        {
            known.remove(&self.id);
        }
        drop(known);
        table.remove(&self.pattern, self);
    }

    /// Lets it end after `count` messages, those of the past included.
    fn end_after(&self, count: u64, table: &Sublist<Subscription>) {
        self.delivered_max.store(count, Ordering::SeqCst);
        if self.delivered.load(Ordering::SeqCst) >= count {
            self.end(table);
        }
    }

    /// Counts one more message.
    fn count(&self) -> Count {
        let number = self.delivered.fetch_add(1, Ordering::SeqCst) + 1;
        match self.delivered_max.load(Ordering::SeqCst) {
            0 => Count::Within,
            max if number < max => Count::Within,
            max if number == max => Count::Last,
            _ => Count::Beyond,
        }
    }
}

/// Where a message stands among those that a subscription may get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Within,
    Last,
    Beyond,
}

impl Entry for Subscription {
    fn number(&self) -> u64 {
        self.number
    }

    fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("client", &self.client.number)
            .field("pattern", &self.pattern)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
