//! The requests of a generation that wait for an instance, and the count of its drivers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::job::Job;

/// The queue of one generation and its drivers that take from it.
pub(crate) struct Concurrent {
    queues: Mutex<Queues>,
    pub(super) arrived: Notify,
    /// Drivers that have room for another request.
    pub(super) accepting: AtomicU32,
    /// Drivers that exist.
    pub(super) drivers: AtomicU32,
    drivers_max: u32,
    pub(super) requests_max: u32,
}

/// Requests that no driver has taken yet. Bounded by admission: each holds a place there.
#[derive(Default)]
struct Queues {
    /// For any driver with room.
    shared: VecDeque<Job>,
    /// Each for a driver of its own.
    alone: VecDeque<Job>,
}

impl Concurrent {
    pub(crate) fn new(instances_max: u32, concurrency_max: u32) -> Self {
        Self {
            queues: Mutex::default(),
            arrived: Notify::new(),
            accepting: AtomicU32::new(0),
            drivers: AtomicU32::new(0),
            drivers_max: instances_max.max(1),
            requests_max: concurrency_max.max(1),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        if job.alone {
            self.queues().alone.push_back(job);
        } else {
            self.queues().shared.push_back(job);
            self.arrived.notify_one();
        }
    }

    /// Takes a request to join others.
    pub(super) fn take_shared(&self) -> Option<Job> {
        self.queues().shared.pop_front()
    }

    /// Takes the first request of a new driver.
    pub(super) fn take_any(&self) -> Option<Job> {
        let mut queues = self.queues();
        queues
            .alone
            .pop_front()
            .or_else(|| queues.shared.pop_front())
    }

    /// Tells whether a request waits that no existing driver will take.
    pub(super) fn needs_driver(&self) -> bool {
        let queues = self.queues();
        !queues.alone.is_empty() || (self.accepting.load(SeqCst) == 0 && !queues.shared.is_empty())
    }

    /// Counts one more driver, where there may be one; [`drive`] counts it out.
    pub(super) fn try_start_driver(&self) -> bool {
        if self.drivers.fetch_add(1, SeqCst) < self.drivers_max {
            return true;
        }
        self.drivers.fetch_sub(1, SeqCst);
        false
    }
}
