//! Messages that become ready at nearly the same time leave in one write: answers, and the first messages of calls.
//!
//! The task of a connection writes as soon as it is woken, and a runtime runs what a task wakes right after that task.
//! So each message would be a write of its own, to us and to the NATS server, however many others are about to be
//! ready. Where messages follow each other closely, the first waits until the tasks that are ready have had their
//! turn, and takes along what they have put here meanwhile.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::message::OutboundMessage;

use crate::call_error::CallError;
use crate::transport::Shared;

/// Messages that follow each other within this time are close. Where they are further apart, as those of calls that
/// compute or of one caller at a time, each leaves at once.
const CLOSE: Duration = Duration::from_micros(50);

/// A message does not wait for longer: the next one that is ready takes it along, though the task that was to do so
/// has not had its turn. A write costs a tenth of it.
const WAIT_MAX: Duration = Duration::from_micros(200);

/// Messages that leave together. One write takes about as many.
const TOGETHER_MAX: usize = 32;

/// Larger messages fill a write by themselves.
pub(crate) const SMALL_BYTES_MAX: usize = 16 << 10;

/// Messages that wait to leave together.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: Vec<OutboundMessage>,
    /// When the first of them came.
    since: Option<Instant>,
    /// When the last message came, waiting or not.
    last: Option<Instant>,
}

/// What is to become of a message.
#[derive(Debug)]
pub(crate) enum Turn {
    /// These are to be sent now.
    Now(Vec<OutboundMessage>),
    /// It leaves with one that came before.
    Taken,
    /// Whoever put it here has to [take](Outbox::take) what is here, once the tasks that are ready had their turn.
    Wait,
}

impl Outbox {
    /// Takes a message that is ready at `now`. No other of its call may be on its way: it could be overtaken.
    pub(crate) fn put(&self, message: OutboundMessage, now: Instant) -> Turn {
        let mut waiting = self.lock();
        let pause = waiting.last.map(|last| now.saturating_duration_since(last));
        waiting.last = Some(now);
        match waiting.since {
            None if pause.is_none_or(|it| it > CLOSE) => Turn::Now(vec![message]),
            None => {
                waiting.since = Some(now);
                waiting.messages.push(message);
                Turn::Wait
            }
            Some(since) => {
                waiting.messages.push(message);
                let is_late = now.saturating_duration_since(since) > WAIT_MAX;
                if is_late || waiting.messages.len() >= TOGETHER_MAX {
                    return Turn::Now(waiting.take());
                }
                Turn::Taken
            }
        }
    }

    /// Takes all that waits. Whoever waited may find that another has taken it.
    pub(crate) fn take(&self) -> Vec<OutboundMessage> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Vec<OutboundMessage> {
        self.since = None;
        mem::take(&mut self.messages)
    }
}

impl Shared {
    /// Takes a message of a call that has no other on its way, and gives it back to be sent, alone or with those of
    /// other calls that become ready now; nothing where another call sends it. Waits for one turn of the runtime at most.
    ///
    /// # Cancel safety
    /// When the future or the load is dropped, what was to be sent is sent nevertheless.
    pub(crate) async fn gather<'a>(
        self: &'a Arc<Self>,
        message: OutboundMessage,
    ) -> Option<Load<'a>> {
        match self.outbox.put(message, Instant::now()) {
            Turn::Taken => None,
            Turn::Now(messages) => Some(Load::new(self, messages)),
            Turn::Wait => {
                let mut load = Load::new(self, Vec::new());
                load.awaits_outbox = true;
                back_of_the_queue().await;
                load.fetch();
                Some(load)
            }
        }
    }
}

/// Messages that one call sends, for itself and for others.
pub(crate) struct Load<'a> {
    shared: &'a Arc<Shared>,
    messages: VecDeque<OutboundMessage>,
    /// What waits in the outbox is to be sent too.
    awaits_outbox: bool,
}

impl<'a> Load<'a> {
    fn new(shared: &'a Arc<Shared>, messages: Vec<OutboundMessage>) -> Self {
        Self {
            shared,
            messages: messages.into(),
            awaits_outbox: false,
        }
    }

    fn fetch(&mut self) {
        self.awaits_outbox = false;
        self.messages.extend(self.shared.outbox.take());
    }

    /// Queues all of them, waiting while the connection is behind.
    pub(crate) async fn send(mut self) -> Result<(), CallError> {
        while let Some(next) = self.messages.pop_front() {
            self.shared.publish(next).await?;
        }
        Ok(())
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        if self.awaits_outbox {
            self.fetch();
        }
        for message in self.messages.drain(..) {
            self.shared.publish_now(message);
        }
    }
}

/// Waits until the tasks that are ready now had their turn. Unlike tokio's own yielding, any worker of the runtime
/// may then go on with this one. It must not be polled twice in one turn, as within a `select`.
async fn back_of_the_queue() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(number: usize) -> OutboundMessage {
        OutboundMessage {
            subject: number.to_string().into(),
            reply: None,
            headers: None,
            payload: Bytes::new(),
        }
    }

    fn kind(turn: &Turn) -> (&'static str, usize) {
        match turn {
            Turn::Now(messages) => ("now", messages.len()),
            Turn::Taken => ("taken", 0),
            Turn::Wait => ("wait", 0),
        }
    }

    /// Puts answers at these microseconds and returns what becomes of them.
    fn turns(outbox: &Outbox, begin: Instant, times: &[u64]) -> Vec<(&'static str, usize)> {
        let put = |(number, micros): (usize, &u64)| {
            let now = begin + Duration::from_micros(*micros);
            kind(&outbox.put(answer(number), now))
        };
        times.iter().enumerate().map(put).collect()
    }

    #[test]
    fn answers_far_apart_leave_at_once() {
        let turns = turns(&Outbox::default(), Instant::now(), &[0, 60, 1_000]);
        assert_eq!(turns, [("now", 1), ("now", 1), ("now", 1)]);
    }

    #[test]
    fn answers_close_to_each_other_leave_together_in_their_order() {
        let outbox = Outbox::default();
        let begin = Instant::now();
        let first = turns(&outbox, begin, &[0, 10, 20, 30]);
        assert_eq!(first, [("now", 1), ("wait", 0), ("taken", 0), ("taken", 0)]);
        let together = outbox.take();
        let subjects: Vec<&str> = together.iter().map(|it| it.subject.as_str()).collect();
        assert_eq!(subjects, ["1", "2", "3"]);
        assert!(outbox.take().is_empty());
    }

    #[test]
    fn an_answer_does_not_wait_for_long_and_not_for_many() {
        let outbox = Outbox::default();
        let begin = Instant::now();
        let late = turns(&outbox, begin, &[0, 10, 100, 211]);
        assert_eq!(late.last(), Some(&("now", 3)));
        let times: Vec<u64> = (0..=TOGETHER_MAX as u64).map(|_| 220).collect();
        let many = turns(&outbox, begin, &times);
        assert!(many.contains(&("now", TOGETHER_MAX)), "{many:?}");
    }
}
