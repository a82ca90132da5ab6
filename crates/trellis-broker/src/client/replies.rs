//! Reply subjects that a user may publish to because it was asked there.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use trellis_identity::Responses;

use crate::limits::REPLIES_MAX;

/// The open reply subjects of one client, the oldest first to go.
#[derive(Debug, Default)]
pub(super) struct Replies {
    open: HashMap<Box<[u8]>, Open>,
    /// Every subject in `open`, and some that are not any more.
    order: VecDeque<Box<[u8]>>,
}

#[derive(Debug)]
struct Open {
    left: Option<u64>,
    until: Option<Instant>,
}

impl Replies {
    /// Opens `subject`, as far as `rights` go.
    pub(super) fn open(&mut self, subject: &[u8], rights: Responses, now: Instant) {
        let open = Open {
            left: rights.messages_max(),
            until: rights.expiration().and_then(|it| now.checked_add(it)),
        };
        if self.open.insert(subject.into(), open).is_none() {
            self.order.push_back(subject.into());
        }
        while self.order.len() > REPLIES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
    }

    /// Returns whether one more message may go to `subject`, and counts it.
    pub(super) fn take(&mut self, subject: &[u8], now: Instant) -> bool {
        let Some(open) = self.open.get_mut(subject) else {
            return false;
        };
        let over = open.until.is_some_and(|until| now > until);
        let last = match &mut open.left {
            _ if over => true,
            None => false,
            Some(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        };
        if last {
            self.open.remove(subject);
            self.order.retain(|known| **known != *subject);
        }
        !over
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TWICE: Responses = Responses {
        messages_max: 2,
        nanoseconds: 1_000,
    };

    #[test]
    fn a_reply_subject_is_open_so_often_and_so_long() {
        let now = Instant::now();
        let mut replies = Replies::default();
        assert!(!replies.take(b"r", now));
        replies.open(b"r", TWICE, now);
        replies.open(b"late", TWICE, now);
        assert!(replies.take(b"r", now) && replies.take(b"r", now) && !replies.take(b"r", now));
        assert!(!replies.take(b"late", now + Duration::from_secs(1)));
        assert!(replies.open.is_empty() && replies.order.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let now = Instant::now();
        let mut replies = Replies::default();
        for number in 0..=REPLIES_MAX {
            replies.open(number.to_string().as_bytes(), TWICE, now);
        }
        assert!(!replies.take(b"0", now) && replies.take(b"1", now));
        assert_eq!(replies.open.len(), REPLIES_MAX);
    }
}
