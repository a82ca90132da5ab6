//! Open calls by number. The number is the last token of the call's subject, so that a message
//! finds its call without a look-up by text.

use std::array;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::call_state::CallState;
use crate::config::CALLS_OPEN_MAX;

/// Callers on different threads rarely meet at one of 16 locks, each held for a few instructions.
const SHARDS: usize = 16;

/// The number of an open call. It is not used again before 2^32 calls had its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    generation: u32,
    index: u32,
}

impl SlotId {
    /// Returns the token that stands for this number in subjects.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Reads a token of a subject.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let number = u64::from_str_radix(token, 16).ok()?;
        Some(Self {
            generation: (number >> 32) as u32,
            index: number as u32,
        })
    }
}

#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

struct Entry {
    generation: u32,
    call: Option<Arc<CallState>>,
}

/// The open calls of one transport.
pub(crate) struct Slots {
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicUsize,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            shards: array::from_fn(|_| Mutex::default()),
            next: AtomicUsize::new(0),
        }
    }

    /// Gives `call` a number, or nothing when too many calls are open.
    pub(crate) fn insert(&self, call: Arc<CallState>) -> Option<SlotId> {
        let shard_index = self.next.fetch_add(1, Relaxed) % SHARDS;
        let mut shard = lock(&self.shards[shard_index]);
        let local = match shard.free.pop() {
            Some(local) => local,
            None if shard.entries.len() >= CALLS_OPEN_MAX / SHARDS => return None,
            None => {
                shard.entries.push(Entry {
                    generation: 0,
                    call: None,
                });
                (shard.entries.len() - 1) as u32
            }
        };
        let entry = &mut shard.entries[local as usize];
        entry.call = Some(call);
        Some(SlotId {
            generation: entry.generation,
            index: local * SHARDS as u32 + shard_index as u32,
        })
    }

    /// Returns the call of this number, if it is still open.
    pub(crate) fn get(&self, id: SlotId) -> Option<Arc<CallState>> {
        let shard = lock(&self.shards[id.index as usize % SHARDS]);
        let entry = shard.entries.get(id.index as usize / SHARDS)?;
        (entry.generation == id.generation)
            .then(|| entry.call.clone())
            .flatten()
    }

    /// Forgets a call.
    pub(crate) fn remove(&self, id: SlotId) {
        let local = id.index as usize / SHARDS;
        let mut shard = lock(&self.shards[id.index as usize % SHARDS]);
        let Some(entry) = shard.entries.get_mut(local) else {
            return;
        };
        if entry.generation != id.generation {
            return;
        }
        entry.generation = entry.generation.wrapping_add(1);
        let call = entry.call.take();
        shard.free.push(local as u32);
        drop(shard);
        drop(call); // its wakers run code of others
    }

    /// Returns all open calls.
    pub(crate) fn all(&self) -> Vec<Arc<CallState>> {
        let calls = self.shards.iter().flat_map(|shard| {
            let shard = lock(shard);
            let open = shard.entries.iter().filter_map(|entry| entry.call.clone());
            open.collect::<Vec<_>>()
        });
        calls.collect()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_number_that_was_given_back_leads_nowhere() {
        let slots = Slots::new();
        let ids: Vec<SlotId> = (0..100)
            .map(|_| slots.insert(CallState::for_tests()).unwrap())
            .collect();
        assert_eq!(slots.all().len(), 100);
        for id in &ids {
            let text = format!("{:x}", id.number());
            assert_eq!(SlotId::parse(&text), Some(*id));
            assert!(slots.get(*id).is_some());
            slots.remove(*id);
            slots.remove(*id);
        }
        for _ in 0..100 {
            slots.insert(CallState::for_tests()).unwrap();
        }
        assert!(ids.iter().all(|id| slots.get(*id).is_none()));
        assert_eq!(slots.all().len(), 100);
    }

    #[test]
    fn too_many_open_calls_are_refused() {
        let slots = Slots::new();
        let call = CallState::for_tests();
        let given = (0..CALLS_OPEN_MAX + 1).filter(|_| slots.insert(call.clone()).is_some());
        assert_eq!(given.count(), CALLS_OPEN_MAX);
    }
}
