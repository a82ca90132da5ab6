//! Instances that wait for their next call, near the thread that used them last.
//!
//! An instance has its memory, stack and store in the caches of the core that ran it. So each thread
//! keeps its own, and takes another's only where it has none. Knows nothing of instances.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam_queue::ArrayQueue;

/// Threads that keep instances apart, at most: beyond it neighbours share, which costs caches only.
const SHARES_MAX: usize = 16;

/// A bounded store of idle things. Neither end ever waits.
pub(crate) struct IdleInstances<T> {
    shares: Box<[ArrayQueue<T>]>,
}

impl<T> IdleInstances<T> {
    /// Makes room for `room` of them, or a few more, so that all shares are equal.
    pub(crate) fn new(room: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = threads.min(SHARES_MAX).min(room).max(1);
        let room_of_share = room.div_ceil(shares).max(1);
        Self {
            shares: (0..shares)
                .map(|_| ArrayQueue::new(room_of_share))
                .collect(),
        }
    }

    /// Takes one, of this thread if it has any.
    pub(crate) fn take(&self) -> Option<T> {
        self.own_first().find_map(ArrayQueue::pop)
    }

    /// Keeps `it`, for this thread if there is room, or drops it.
    pub(crate) fn keep(&self, it: T) {
        let mut it = it;
        for share in self.own_first() {
            match share.push(it) {
                Ok(()) => return,
                Err(back) => it = back,
            }
        }
    }

    /// Drops those that `is_over` tells of.
    pub(crate) fn retire(&self, is_over: impl Fn(&T) -> bool) {
        for share in &self.shares {
            for _ in 0..share.len() {
                let Some(it) = share.pop() else { break };
                if !is_over(&it) {
                    // A full share drops it, as any instance that there is no room for.
                    let _ = share.push(it);
                }
            }
        }
    }

    /// Yields all shares, that of this thread first.
    fn own_first(&self) -> impl Iterator<Item = &ArrayQueue<T>> {
        let (before, own) = self.shares.split_at(thread_number() % self.shares.len());
        own.iter().chain(before)
    }
}

/// Returns a small number of this thread, unlike those of threads that started about the same time.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_keeps_another_finds() {
        let idle = IdleInstances::new(64);
        idle.keep(1);
        let found = std::thread::scope(|scope| scope.spawn(|| idle.take()).join());
        assert_eq!(found.expect("no panic"), Some(1));
        assert_eq!(idle.take(), None);
    }

    #[test]
    fn there_is_room_for_as_many_as_were_asked_for_and_not_for_ever_more() {
        for room in [1, 2, 7, 64] {
            let idle = IdleInstances::new(room);
            (0..1_000).for_each(|number| idle.keep(number));
            let kept = std::iter::from_fn(|| idle.take()).count();
            assert!((room..room + SHARES_MAX).contains(&kept), "{room}: {kept}");
        }
    }

    #[test]
    fn only_what_is_over_is_retired() {
        let idle = IdleInstances::new(64);
        (0..10).for_each(|number| idle.keep(number));
        idle.retire(|number| number % 2 == 0);
        let mut left: Vec<_> = std::iter::from_fn(|| idle.take()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3, 5, 7, 9]);
    }
}
