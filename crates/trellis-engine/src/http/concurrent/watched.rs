//! The work of a driver, watched from outside its store: deadlines hold even while the guest computes.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Instant;

use super::tickets::{Tickets, lock};
use super::{DriverCount, End};
use crate::cpu_meter::CpuMeter;
use crate::event_loop;
use crate::instance_pool::Live;
use crate::settings::Flavour;

/// The work of a driver under its meter, with the deadlines of its requests.
pub(super) struct Watched<'a, F> {
    pub(super) work: Pin<&'a mut F>,
    pub(super) tickets: &'a Mutex<Tickets>,
    pub(super) meter: &'a CpuMeter,
    pub(super) count: &'a DriverCount,
    pub(super) timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<F: Future<Output = Result<Live, End>>> Future for Watched<'_, F> {
    type Output = Result<Live, End>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.meter.enter();
        let inside = event_loop::enter(Flavour::Concurrent);
        let mut poll = this.work.as_mut().poll(context);
        if poll.is_pending() && !this.count.waited.swap(true, SeqCst) {
            // The guest waits: from now on it may take other requests, beginning with this poll.
            poll = this.work.as_mut().poll(context);
        }
        drop(inside);
        this.meter.leave();
        if poll.is_ready() {
            return poll;
        }
        this.expire(context)
    }
}

impl<F> Watched<'_, F> {
    /// Ends requests and bodies whose deadline passed; gives the instance up when nobody needs it.
    fn expire(&mut self, context: &mut Context<'_>) -> Poll<Result<Live, End>> {
        loop {
            let requests_max = self.count.generation.concurrent.requests_max;
            let outlook = lock(self.tickets).look(Instant::now(), context, requests_max);
            if outlook.is_late {
                self.count.retiring.store(true, SeqCst);
            }
            if let Some(deadline) = outlook.cut {
                let (component_id, error) = (self.count.generation.id.as_str(), deadline.error());
                tracing::warn!(component_id, %error, "component failed in the middle of its answer");
            }
            let next = match outlook.next {
                Ok(next) => next,
                Err(end) => return Poll::Ready(Err(end)),
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next.into())));
            if timer.deadline().into_std() != next {
                timer.as_mut().reset(next.into());
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
