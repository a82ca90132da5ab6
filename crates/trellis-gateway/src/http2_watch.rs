//! Finds HTTP/2 streams whose client leaves response bytes untaken, without a timer per stream.
//!
//! A body whose turn it is to be taken by the client is counted in the slot of the current epoch.
//! The connection advances the epoch twice per timeout; a slot that comes round again and still
//! counts somebody holds a stream that made no progress for at least the timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Slots in the ring: the current epoch, one whole epoch, and the one to be reused.
const SLOTS: usize = 3;

/// The streams of one connection that wait for their client.
#[derive(Default)]
pub(crate) struct Http2Watch {
    epoch: AtomicUsize,
    waiting: [AtomicU32; SLOTS],
}

impl Http2Watch {
    /// Begins the next epoch; to be called twice per timeout. Tells whether a stream has waited for
    /// its client through the whole ring.
    pub(crate) fn advance_finds_stall(&self) -> bool {
        let next = self.epoch.load(Ordering::Relaxed).wrapping_add(1);
        let stalled = self.waiting[next % SLOTS].load(Ordering::Relaxed) > 0;
        self.epoch.store(next, Ordering::Relaxed);
        stalled
    }

    fn enter(&self) -> usize {
        let slot = self.epoch.load(Ordering::Relaxed) % SLOTS;
        self.waiting[slot].fetch_add(1, Ordering::Relaxed);
        slot
    }
}

/// Whose turn it is on one stream: the client's, to take bytes, or the handler's, to give some.
pub(crate) struct Turn {
    watch: Arc<Http2Watch>,
    slot: Option<usize>,
}

impl Turn {
    /// Begins with the client's turn.
    pub(crate) fn of_peer(watch: Arc<Http2Watch>) -> Self {
        let slot = Some(watch.enter());
        Self { watch, slot }
    }

    /// Notes progress: the client has room, and is given more.
    pub(crate) fn pass_to_peer(&mut self) {
        self.pass_to_handler();
        self.slot = Some(self.watch.enter());
    }

    /// Notes that the client waits for the handler.
    pub(crate) fn pass_to_handler(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.watch.waiting[slot].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pass_to_handler();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_without_progress_is_found() {
        let watch = Arc::new(Http2Watch::default());
        let mut moving = Turn::of_peer(Arc::clone(&watch));
        let mut handlers = Turn::of_peer(Arc::clone(&watch));
        handlers.pass_to_handler();
        for _ in 0..20 {
            assert!(!watch.advance_finds_stall());
            moving.pass_to_peer();
        }
        let stuck = Turn::of_peer(Arc::clone(&watch));
        let epochs = (1..).find(|_| {
            moving.pass_to_peer();
            watch.advance_finds_stall()
        });
        assert_eq!(epochs, Some(SLOTS));
        drop(stuck);
        drop(moving);
        assert!((0..SLOTS).all(|_| !watch.advance_finds_stall()));
    }
}
