//! The requests of a lattice to this host, as they come.

use futures_util::stream::{SelectAll, StreamExt};
use trellis_control::{Auctions, HostId, Request, Subjects};
use trellis_lattice::{Lattice, Message, SubscribeError, Subscription};
use trellis_node::{Envelope, Input, ReplyTo};

/// Every subscription on which requests come.
pub(super) struct Inbox(SelectAll<Subscription>);

impl Inbox {
    /// Subscribes to everything that a host hears.
    ///
    /// # Errors
    /// A connection that takes no subscription.
    pub(super) async fn open(
        lattice: &Lattice,
        subjects: &Subjects,
        host_id: &HostId,
    ) -> Result<Self, SubscribeError> {
        let auctions = Auctions {
            component: true,
            provider: true,
        };
        let mut all = SelectAll::new();
        for wanted in subjects.host_subscriptions(host_id, auctions) {
            all.push(match wanted.queue_group {
                Some(group) => lattice.queue_subscribe(&wanted.subject, &group).await?,
                None => lattice.subscribe(&wanted.subject).await?,
            });
        }
        Ok(Self(all))
    }

    /// Returns the next request; `None` once the connection is closed.
    ///
    /// # Cancel safety
    /// Cancelling loses no request.
    pub(super) async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }
}

/// Reads a request.
pub(super) fn read(subjects: &Subjects, message: Message) -> Input {
    let reply = message.reply.map(ReplyTo);
    match Request::decode(subjects, &message.subject, &message.payload) {
        Ok(request) => Input::Request { request, reply },
        Err(error) => Input::BadRequest {
            error,
            envelope: envelope(subjects, &message.subject),
            reply,
        },
    }
}

/// Tells by the subject how the sender expects its replies to be wrapped.
fn envelope(subjects: &Subjects, subject: &str) -> Envelope {
    match subjects.parse(subject) {
        Ok(route) if route.is_ours() => Envelope::Ours,
        _ => Envelope::OneX,
    }
}
