//! Knows whether a future is polled by the event loop of a store.
//!
//! A store with concurrent tasks polls what its guest waits for inside its event loop, and wasmtime
//! cannot run a second loop inside the first. So a call into a component of that kind has to know
//! where it is, and leaves the loop by a task of its own.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether the caller is polled by the event loop of a store, directly or not.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

pin_project_lite::pin_project! {
    /// What a guest waits for.
    pub(crate) struct Imported<F> {
        #[pin]
        future: F,
        has_event_loop: bool,
    }
}

impl<F> Imported<F> {
    /// Marks `future` as polled by a store that has an event loop, or has none.
    pub(crate) fn new(future: F, has_event_loop: bool) -> Self {
        Self {
            future,
            has_event_loop,
        }
    }
}

impl<F: Future> Future for Imported<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outer = INSIDE.get();
        let _reset = Reset(outer);
        INSIDE.set(outer || *this.has_event_loop);
        this.future.poll(context)
    }
}

struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}
