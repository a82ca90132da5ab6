//! The requests of a lattice to this host, as they come.

use futures_util::stream::{SelectAll, StreamExt};
use trellis_control::{Auctions, HostId, Request, Subjects, change_id};
use trellis_core::{takes_answers, with_causes};
use trellis_lattice::{Lattice, Message, SubscribeError, Subscription};
use trellis_node::{Envelope, Input, ReplyTo};

use super::Node;

/// Every subscription on which requests come.
pub(super) struct Inbox {
    /// What only this host answers, or every host does.
    own: SelectAll<Subscription>,
    /// What one host of a queue group answers: absent while others do it better.
    shared: Option<SelectAll<Subscription>>,
    wanted_shared: Vec<(String, String)>,
}

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
        let mut own = SelectAll::new();
        let mut wanted_shared = Vec::new();
        for wanted in subjects.host_subscriptions(host_id, auctions) {
            match wanted.queue_group {
                Some(group) => wanted_shared.push((wanted.subject, group)),
                None => own.push(lattice.subscribe(&wanted.subject).await?),
            }
        }
        let mut inbox = Self {
            own,
            shared: None,
            wanted_shared,
        };
        inbox.share(lattice, true).await?;
        Ok(inbox)
    }

    /// Joins the queue groups, or leaves them, so that their requests go to other hosts.
    ///
    /// # Errors
    /// A connection that takes no subscription. The groups are not joined then.
    pub(super) async fn share(
        &mut self,
        lattice: &Lattice,
        takes_part: bool,
    ) -> Result<(), SubscribeError> {
        if !takes_part {
            self.shared = None;
        } else if self.shared.is_none() {
            let mut shared = SelectAll::new();
            for (subject, group) in &self.wanted_shared {
                shared.push(lattice.queue_subscribe(subject, group).await?);
            }
            self.shared = Some(shared);
        }
        Ok(())
    }

    /// Returns the next request; `None` once the connection is closed.
    ///
    /// # Cancel safety
    /// Cancelling loses no request.
    pub(super) async fn next(&mut self) -> Option<Message> {
        match &mut self.shared {
            None => self.own.next().await,
            Some(shared) => tokio::select! {
                message = self.own.next() => message,
                message = shared.next() => message,
            },
        }
    }
}

impl Node {
    /// Leaves the requests that any host answers to the others while this one would refuse them. Where
    /// there are no others, whoever asks is told why.
    pub(super) async fn share_requests(&mut self) {
        let takes_part = self.machine.takes_shared_requests() || self.elsewhere.is_alone();
        if let Err(error) = self.inbox.share(&self.lattice, takes_part).await {
            tracing::warn!(
                error = with_causes(&error),
                "requests to any host are left to others"
            );
        }
    }
}

/// Reads a request. An answer to where nobody waits for one is not sent.
pub(super) fn read(subjects: &Subjects, message: Message) -> Input {
    let reply = message.reply.filter(|it| takes_answers(it)).map(ReplyTo);
    match Request::decode(subjects, &message.subject, &message.payload) {
        Ok(request) => Input::Request {
            request,
            change: change_id(&message.headers),
            reply,
        },
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
