//! Bounded admission: so many calls run, so many wait, one more is refused at once.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tokio::sync::Notify;
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::guarded::Deadline;

/// Counts the calls of one generation. While there is room, admission is two atomic operations.
#[derive(Debug)]
pub(crate) struct Admission {
    running: AtomicU32,
    waiting: AtomicU32,
    running_max: u32,
    waiting_max: u32,
    freed: Notify,
}

impl Admission {
    pub(crate) fn new(running_max: u32, waiting_max: u32) -> Self {
        Self {
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            running_max: running_max.max(1),
            waiting_max,
            freed: Notify::new(),
        }
    }

    /// Takes a place if one is free.
    pub(crate) fn try_enter(&self) -> bool {
        // Not an addition that is taken back: a waiter could see it in between and sleep for ever.
        let more = |running| (running < self.running_max).then_some(running + 1);
        self.running.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Takes a place, waiting until `deadline` at most.
    ///
    /// # Errors
    /// Overloaded when the queue is full, deadline when no place came free in time.
    ///
    /// # Cancel safety
    /// A caller that goes away while it waits leaves the queue.
    pub(crate) async fn enter(&self, deadline: Deadline) -> Result<(), CallError> {
        if self.try_enter() {
            return Ok(());
        }
        let _place = self.queue()?;
        let wait = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.try_enter() {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout_at(deadline.expires.into(), wait)
            .await
            .map_err(|_| deadline.error().with_note("no instance came free"))
    }

    fn queue(&self) -> Result<QueuePlace<'_>, CallError> {
        let place = QueuePlace(self);
        if self.waiting.fetch_add(1, SeqCst) < self.waiting_max {
            return Ok(place); // dropping `place` on the other path undoes the addition
        }
        Err(CallError::new(
            ErrorClass::Overloaded,
            format!(
                "all {} instances are busy and {} calls wait (limits.instances, limits.queue)",
                self.running_max, self.waiting_max
            ),
        ))
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// Returns how many calls wait now.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst).min(self.waiting_max)
    }

    /// Returns how many calls run now.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(SeqCst)
    }
}

struct QueuePlace<'a>(&'a Admission);

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_more_than_fits_is_refused_and_a_freed_place_is_taken() {
        let admission = Admission::new(1, 1);
        assert!(
            admission
                .enter(Deadline::start(Duration::ZERO))
                .await
                .is_ok()
        );
        let waiting = admission.enter(Deadline::start(Duration::from_secs(60)));
        tokio::pin!(waiting);
        let first = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        let refused = admission
            .enter(Deadline::start(Duration::from_secs(60)))
            .await;
        assert_eq!(
            refused.map_err(|error| error.class),
            Err(ErrorClass::Overloaded)
        );
        admission.leave();
        assert!(waiting.await.is_ok());
        assert_eq!(admission.running(), 1);
    }

    #[tokio::test]
    async fn waiting_ends_at_the_deadline_and_leaves_the_queue() {
        let admission = Admission::new(1, 1);
        assert!(admission.try_enter());
        for _ in 0..3 {
            let result = admission
                .enter(Deadline::start(Duration::from_millis(1)))
                .await;
            assert_eq!(
                result.map_err(|error| error.class),
                Err(ErrorClass::Deadline)
            );
        }
        assert_eq!(admission.waiting.load(SeqCst), 0);
    }
}
