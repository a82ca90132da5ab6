//! The generations of an engine, so that one which finds no room can have others make some.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::component::Generation;

/// Instances that were used within this time are probably used again soon: they are the last to go.
const IN_USE: Duration = Duration::from_secs(1);

/// What an instance could not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// A slot of its engine.
    Slots,
    /// Memory of the host's budget for guests.
    Memory,
}

/// All generations that exist. The lock is for deploys, and for calls that would be refused.
#[derive(Default)]
pub(crate) struct Generations(Mutex<Vec<Weak<Generation>>>);

impl Generations {
    pub(crate) fn add(&self, generation: &Arc<Generation>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(generation));
    }

    /// Retires idle instances that have what one of `engine` could not get. Returns whether there were
    /// any: those that were idle for long if possible, else all.
    pub(crate) fn make_room(&self, shortage: Shortage, engine: &wasmtime::Engine) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generations: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        drop(all);
        let has_it = |generation: &&Arc<Generation>| {
            shortage == Shortage::Memory || generation.pool.is_of(engine)
        };
        [IN_USE, Duration::ZERO].into_iter().any(|idle_time| {
            let retire = |generation: &Arc<Generation>| generation.pool.retire_idle(idle_time);
            let retired: usize = generations.iter().filter(has_it).map(retire).sum();
            retired > 0
        })
    }
}
