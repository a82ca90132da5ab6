//! One message to those who are to get it.

use std::str;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::outbox::{Body, Put};
use super::{Client, Count, Subscription};
use crate::protocol::encode::Head;
use crate::protocol::parser::Publish;
use crate::sublist::{Matched, Sublist};

/// A message on its way.
pub(super) struct Delivery<'a> {
    pub(super) message: &'a Publish,
    pub(super) table: &'a Sublist<Subscription>,
    /// Who published it, when that client does not want its own messages.
    pub(super) except: Option<&'a Client>,
    /// Clients that got something and must be written to; grows.
    pub(super) to_flush: &'a mut Vec<Arc<Client>>,
    /// One for which much is waiting.
    pub(super) lagging: &'a mut Option<Arc<Client>>,
}

impl Delivery<'_> {
    /// Delivers to each plain subscription and to one member of each queue group. Returns whether
    /// anybody got it.
    pub(super) fn deliver_to_all(mut self, matched: &Matched<Subscription>) -> bool {
        let mut delivered = false;
        for subscription in &matched.plain {
            delivered |= self.deliver_to(subscription);
        }
        for members in &matched.queues {
            delivered |= self.deliver_to_one(members);
        }
        delivered
    }

    /// Begins with a member by chance; the next one gets what a member cannot.
    fn deliver_to_one(&mut self, members: &[Arc<Subscription>]) -> bool {
        let first = if members.len() > 1 {
            fastrand::usize(..members.len())
        } else {
            0
        };
        let (before, from) = members.split_at(first);
        from.iter()
            .chain(before)
            .any(|member| self.deliver_to(member))
    }

    /// Returns whether the subscription got the message.
    fn deliver_to(&mut self, subscription: &Subscription) -> bool {
        let client = &subscription.client;
        if self.except.is_some_and(|it| std::ptr::eq(it, &**client)) {
            return false;
        }
        if subscription.filtered && !self.may_reach(client) {
            return false;
        }
        let count = subscription.count();
        if count == Count::Beyond {
            return false;
        }
        let put = self.put(subscription);
        if count == Count::Last {
            subscription.end(self.table);
        }
        match put {
            Put::Refused => return false,
            Put::Taken => {}
            Put::Behind => *self.lagging = Some(Arc::clone(client)),
            Put::ToFlush => self.to_flush.push(Arc::clone(client)),
        }
        if let (Some(reply), Some(user)) = (self.message.reply(), client.user.get())
            && let Some(rights) = user.permissions.responses
        {
            client.replies().open(reply, rights, Instant::now());
        }
        true
    }

    fn may_reach(&self, client: &Client) -> bool {
        match (str::from_utf8(self.message.subject()), client.user.get()) {
            (Ok(subject), Some(user)) => user.permissions.allows_delivery(subject),
            _ => false,
        }
    }

    /// A client that does not understand headers gets the message without.
    fn put(&self, subscription: &Subscription) -> Put {
        let message = self.message;
        let headers = message.headers_length();
        let with_headers = subscription.client.headers.load(Ordering::Relaxed);
        let from = if with_headers { 0 } else { headers };
        let bytes = &message.body()[from..];
        let head = Head {
            subject: message.subject(),
            subscription: &subscription.id,
            reply: message.reply(),
            headers: headers - from,
            total: bytes.len(),
        };
        let shared = || message.shared_body_and_end(from);
        let body = Body {
            bytes,
            shared: &shared,
        };
        subscription.client.outbox.put_message(&head, body)
    }
}
