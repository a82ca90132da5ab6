//! Instances that wait for their next call, near the thread that used them last.
//!
//! An instance has its memory, stack and store in the caches of the core that ran it. So each thread
//! keeps its own, and takes another's only where it has none. Within a thread the same few are used
//! again and again, so that the others become old and can be retired. Knows nothing of instances.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

/// Threads that keep instances apart, at most: beyond it neighbours share, which costs caches only.
const SHARES_MAX: usize = 16;

/// Slots of one share, at most: each is a bit of a number.
const SLOTS_MAX: usize = u64::BITS as usize;

/// A bounded store of idle things. Neither end ever waits.
pub(crate) struct IdleInstances<T> {
    shares: Box<[Share<T>]>,
}

impl<T> IdleInstances<T> {
    /// Makes room for `room` of them, or a few more, so that all shares are equal.
    pub(crate) fn new(room: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = threads.min(SHARES_MAX).min(room).max(1);
        let slots = room.div_ceil(shares).clamp(1, SLOTS_MAX);
        Self {
            shares: (0..shares).map(|_| Share::new(slots)).collect(),
        }
    }

    /// Takes one, of this thread if it has any.
    pub(crate) fn take(&self) -> Option<T> {
        self.own_first().find_map(Share::take)
    }

    /// Keeps `it`, for this thread if there is room, or drops it.
    pub(crate) fn keep(&self, it: T) {
        let mut it = it;
        for share in self.own_first() {
            match share.keep(it) {
                Ok(()) => return,
                Err(back) => it = back,
            }
        }
    }

    /// Drops those that `is_over` tells of, and returns how many.
    pub(crate) fn retire(&self, is_over: impl Fn(&T) -> bool) -> usize {
        let of_share = |share: &Share<T>| share.retire(&is_over);
        self.shares.iter().map(of_share).sum()
    }

    /// Yields all shares, that of this thread first.
    fn own_first(&self) -> impl Iterator<Item = &Share<T>> {
        let (before, own) = self.shares.split_at(thread_number() % self.shares.len());
        own.iter().chain(before)
    }
}

/// What the threads of one number keep. A slot whose bit is in neither number belongs to the thread
/// that took the bit out.
struct Share<T> {
    slots: Box<[ArrayQueue<T>]>,
    /// A bit for each slot with something in it.
    kept: AtomicU64,
    /// A bit for each slot with nothing in it.
    free: AtomicU64,
}

impl<T> Share<T> {
    fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| ArrayQueue::new(1)).collect(),
            kept: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX >> (SLOTS_MAX - slots)),
        }
    }

    /// Takes from the lowest slot that has something, which is where things are put back too.
    fn take(&self) -> Option<T> {
        let bit = claim_lowest(&self.kept)?;
        let it = self.slot(bit).pop();
        self.free.fetch_or(bit, Ordering::Release);
        it
    }

    fn keep(&self, it: T) -> Result<(), T> {
        let Some(bit) = claim_lowest(&self.free) else {
            return Err(it);
        };
        self.fill(bit, it)
    }

    /// Fills a slot whose bit was claimed.
    fn fill(&self, bit: u64, it: T) -> Result<(), T> {
        self.slot(bit).push(it)?;
        self.kept.fetch_or(bit, Ordering::Release);
        Ok(())
    }

    fn retire(&self, is_over: impl Fn(&T) -> bool) -> usize {
        let mut retired = 0;
        for number in 0..self.slots.len() {
            let bit = 1 << number;
            if !claim(&self.kept, bit) {
                continue;
            }
            match self.slot(bit).pop() {
                // The slot is empty, so that there is room.
                Some(it) if !is_over(&it) => drop(self.fill(bit, it)),
                over => {
                    self.free.fetch_or(bit, Ordering::Release);
                    retired += usize::from(over.is_some());
                }
            }
        }
        retired
    }

    fn slot(&self, bit: u64) -> &ArrayQueue<T> {
        &self.slots[bit.trailing_zeros() as usize]
    }
}

/// Takes the lowest bit out of `bits` and returns it.
fn claim_lowest(bits: &AtomicU64) -> Option<u64> {
    loop {
        let now = bits.load(Ordering::Relaxed);
        let lowest = now & now.wrapping_neg();
        if lowest == 0 {
            return None;
        }
        if claim(bits, lowest) {
            return Some(lowest);
        }
    }
}

/// Takes `bit` out of `bits`, if nobody else does.
fn claim(bits: &AtomicU64, bit: u64) -> bool {
    bits.fetch_and(!bit, Ordering::AcqRel) & bit != 0
}

/// Returns a small number of this thread, unlike those of threads that started about the same time.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
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
        assert_eq!(idle.retire(|number| number % 2 == 0), 5);
        let mut left: Vec<_> = std::iter::from_fn(|| idle.take()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn a_few_at_once_are_always_the_same_few() {
        let idle = IdleInstances::new(64);
        (0..40).for_each(|number| idle.keep(number));
        for at_once in 1..8 {
            let mut used = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let taken: Vec<_> = (0..at_once).filter_map(|_| idle.take()).collect();
                used.extend(taken.iter().copied());
                taken.into_iter().rev().for_each(|number| idle.keep(number));
            }
            assert_eq!(used.len(), at_once, "{used:?}");
        }
    }

    #[test]
    fn threads_that_take_keep_and_retire_lose_nothing_and_have_nothing_twice() {
        const COUNT: usize = 48;
        let idle = IdleInstances::new(SHARES_MAX * SLOTS_MAX); // no share is ever full
        let all: Vec<_> = (0..COUNT).map(|_| std::sync::Arc::new(())).collect();
        all.iter().for_each(|it| idle.keep(it.clone()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        if round % 100 == 0 {
                            idle.retire(|_| false);
                        }
                        if let Some(it) = idle.take() {
                            // Theirs, and the one of `all`.
                            assert_eq!(std::sync::Arc::strong_count(&it), 2);
                            idle.keep(it);
                        }
                    }
                });
            }
        });
        assert_eq!(std::iter::from_fn(|| idle.take()).count(), COUNT);
    }
}
