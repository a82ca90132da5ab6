//! The requests of a generation that wait for an instance, and the count of its drivers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

/// How many jobs may be in a queue for each request that holds a place in admission. A request whose
/// client went away leaves its place at once and its job behind: where there are twice as many jobs as
/// places, at least half of them are such, so that to look through all of them pays.
const JOBS_FOR_EACH_PLACE_MAX: usize = 2;

/// Requests that no driver has taken yet.
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

    /// Queues a request; `places` are held in admission now.
    pub(super) fn push(&self, job: Job, places: u32) {
        let alone = job.alone;
        let jobs_max = (places.max(1) as usize).saturating_mul(JOBS_FOR_EACH_PLACE_MAX);
        let mut queues = self.queues();
        let queue = if alone {
            &mut queues.alone
        } else {
            &mut queues.shared
        };
        queue.push_back(job);
        let mut dead = VecDeque::new();
        if queue.len() > jobs_max {
            (*queue, dead) = queue.drain(..).partition(|job| job.ticket.is_open());
        }
        drop(queues);
        // What a body does when it is dropped is its own affair.
        drop(dead);
        if !alone {
            self.arrived.notify_one();
        }
    }

    /// Takes a request to join others.
    pub(super) fn take_shared(&self) -> Option<Job> {
        self.take(|queues| queues.shared.pop_front())
    }

    /// Takes the first request of a new driver.
    pub(super) fn take_any(&self) -> Option<Job> {
        self.take(|queues| {
            queues
                .alone
                .pop_front()
                .or_else(|| queues.shared.pop_front())
        })
    }

    /// Takes the next request that somebody still waits for, and has time to.
    fn take(&self, next: impl Fn(&mut Queues) -> Option<Job>) -> Option<Job> {
        loop {
            let job = next(&mut self.queues())?;
            if !job.ticket.is_open() {
                continue;
            }
            if job.ticket.deadline.expires > Instant::now() {
                return Some(job);
            }
            job.ticket.expire();
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::Request;
    use trellis_core::ErrorClass;
    use wasmtime_wasi_http::WasiBody;

    use super::super::job::{Asked, Incoming, Ticket};
    use super::*;
    use crate::guarded::Deadline;

    fn job(path: &'static str, patience: Duration) -> (Job, Asked) {
        let (ticket, asked) = Ticket::new(Deadline::start(patience));
        let mut request = Request::new(WasiBody::default());
        *request.uri_mut() = path.parse().expect("a path");
        let job = Job {
            request: Incoming::First(request),
            request_id: None,
            ticket,
            alone: false,
        };
        (job, asked)
    }

    fn path(job: Option<Job>) -> Option<String> {
        match job?.request {
            Incoming::First(request) => Some(request.uri().path().to_owned()),
            Incoming::Again(..) => None,
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_request_whose_client_went_away_is_not_taken() {
        let queue = Concurrent::new(1, 8);
        for take in [Concurrent::take_shared, Concurrent::take_any] {
            let (gone, asked) = job("/gone", LONG);
            let (kept, _asked) = job("/kept", LONG);
            queue.push(gone, 8);
            queue.push(kept, 8);
            drop(asked);
            assert_eq!(path(take(&queue)).as_deref(), Some("/kept"));
            assert!(take(&queue).is_none());
        }
    }

    #[tokio::test]
    async fn a_request_that_waited_too_long_is_answered_and_not_taken() {
        let queue = Concurrent::new(1, 8);
        let (late, asked) = job("/late", Duration::ZERO);
        queue.push(late, 1);
        assert!(queue.take_any().is_none());
        let class = asked.await.map(|_| ()).map_err(|error| error.class);
        assert_eq!(class, Err(ErrorClass::Deadline));
    }

    #[test]
    fn clients_that_come_and_go_do_not_fill_the_queue() {
        let queue = Concurrent::new(1, 8);
        let (kept, _asked) = job("/kept", LONG);
        queue.push(kept, 1);
        for _ in 0..1_000 {
            // It and the one that is kept hold a place.
            let (gone, asked) = job("/gone", LONG);
            queue.push(gone, 2);
            drop(asked);
            assert!(queue.queues().shared.len() <= 4);
        }
        assert_eq!(path(queue.take_any()).as_deref(), Some("/kept"));
        assert!(queue.take_any().is_none());
        assert!(!queue.needs_driver());
    }
}
