//! The messages of one subscription.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};

use crate::message::Message;

/// The messages of one subscription, as they come. It survives interruptions of the connection, but
/// what is published meanwhile is lost; dropping it ends it.
///
/// One that is not read loses what no longer fits, and the connection's state counts that.
#[derive(Debug)]
pub struct Subscription(async_nats::Subscriber);

impl Subscription {
    pub(super) fn new(subscriber: async_nats::Subscriber) -> Self {
        Self(subscriber)
    }

    /// Returns the next message; `None` once the connection is closed.
    ///
    /// # Cancel safety
    /// Cancelling loses no message.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await.map(Message::from)
    }

    /// Asks for no further messages; those that have arrived can still be read, then it ends.
    pub async fn drain(&mut self) {
        // Fails only where the connection is closed, and nothing arrives then either.
        drop(self.0.drain().await);
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0
            .poll_next_unpin(cx)
            .map(|message| message.map(Message::from))
    }
}
