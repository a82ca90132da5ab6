//! A guest future with its meter and its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::cpu_meter::CpuMeter;
use crate::event_loop;
use crate::settings::Flavour;

pin_project_lite::pin_project! {
    /// Polls a guest under a meter and ends it at a deadline. Dropping it drops the guest's store,
    /// which is the one sure way to stop a guest.
    ///
    /// The timer is outside the guest and made only when the guest waits for the first time, so that
    /// a call which never waits pays nothing for it.
    pub(crate) struct Guarded<F> {
        #[pin]
        future: F,
        flavour: Flavour,
        meter: Arc<CpuMeter>,
        deadline: Deadline,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F> Guarded<F> {
    /// Guards `future`, which polls a store of `flavour`.
    pub(crate) fn new(
        future: F,
        flavour: Flavour,
        meter: Arc<CpuMeter>,
        deadline: Deadline,
    ) -> Self {
        Self {
            future,
            flavour,
            meter,
            deadline,
            timer: None,
        }
    }
}

impl<F, T> Future for Guarded<F>
where
    F: Future<Output = Result<T, CallError>>,
{
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.meter.enter();
        let inside = event_loop::enter(*this.flavour);
        let poll = this.future.poll(context);
        drop(inside);
        this.meter.leave();
        if poll.is_ready() {
            return poll;
        }
        let timer = this.timer.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(this.deadline.expires.into()))
        });
        timer
            .as_mut()
            .poll(context)
            .map(|()| Err(this.deadline.error()))
    }
}

/// When a call must have ended, counted from its admission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) expires: Instant,
    begun: Instant,
    patience: Duration,
}

impl Deadline {
    /// Starts the clock of a call that may take `patience`.
    pub(crate) fn start(patience: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            expires: begun + patience,
            patience,
        }
    }

    /// Returns when the call was admitted, or began to wait for that.
    pub(crate) fn begun(self) -> Instant {
        self.begun
    }

    /// Says that the call passed it.
    pub(crate) fn error(self) -> CallError {
        CallError::new(
            ErrorClass::Deadline,
            format!(
                "the component did not finish within {:?} (limits.deadline)",
                self.patience
            ),
        )
    }
}
