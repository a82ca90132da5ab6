//! Counts the CPU time of one instance's calls.
//!
//! The time inside a poll of the guest is taken as CPU time: a guest that waits returns from the poll.
//! A reading costs two clock reads per poll and none in between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::figures::Figures;

/// What every meter counts from: making one then reads no clock.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The shared account of one instance. Read by the epoch callback, which runs inside the poll.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    used_nanos: AtomicU64,
    poll_started_nanos: AtomicU64,
    /// The counters of the component, to which all of it is added.
    figures: Arc<Figures>,
}

impl CpuMeter {
    pub(crate) fn new(figures: &Arc<Figures>) -> Arc<Self> {
        Arc::new(Self {
            figures: figures.clone(),
            used_nanos: AtomicU64::new(0),
            poll_started_nanos: AtomicU64::new(0),
        })
    }

    /// Starts a new account: what follows belongs to another call.
    pub(crate) fn reset(&self) {
        self.used_nanos.store(0, Relaxed);
        self.poll_started_nanos.store(now_nanos(), Relaxed);
    }

    /// Starts a new account with the poll in progress, or the next one. Reads no clock.
    pub(crate) fn clear(&self) {
        self.used_nanos.store(0, Relaxed);
    }

    /// Marks the start of a poll.
    pub(crate) fn enter(&self) {
        self.poll_started_nanos.store(now_nanos(), Relaxed);
    }

    /// Returns when the last poll started, by [`now_nanos`].
    pub(crate) fn poll_started_nanos(&self) -> u64 {
        self.poll_started_nanos.load(Relaxed)
    }

    /// Marks the end of a poll.
    pub(crate) fn leave(&self) {
        let spent = now_nanos().saturating_sub(self.poll_started_nanos.load(Relaxed));
        // Only the poll that ends adds to it; the epoch callback reads.
        let used = self.used_nanos.load(Relaxed);
        self.used_nanos.store(used.saturating_add(spent), Relaxed);
        self.figures.add_cpu(spent);
    }

    /// Returns the CPU time of the account, the poll in progress included. Only meaningful inside a
    /// poll.
    pub(crate) fn used(&self) -> Duration {
        let running = now_nanos().saturating_sub(self.poll_started_nanos.load(Relaxed));
        Duration::from_nanos(self.used_nanos.load(Relaxed).saturating_add(running))
    }
}

/// Returns the nanoseconds since the first reading of this process.
pub(crate) fn now_nanos() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
