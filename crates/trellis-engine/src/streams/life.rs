//! Whether a store still runs as it should. The end of a stream that a guest writes is told by dropping
//! its consumer, and so is the end of the store: this tells the two apart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use trellis_core::ErrorClass;

use super::origin::STREAMS_OPEN_MAX;
use crate::call_error::CallError;

/// The life of one store.
#[derive(Debug, Default)]
pub(crate) struct Life(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why it runs no more.
    ended: Option<CallError>,
    /// Streams and futures that a guest in it writes for outside.
    writing: usize,
    /// Streams and futures that a guest in it reads from outside.
    reading: usize,
    waker: Option<Waker>,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the store runs no more, and why. The first reason stays.
    pub(crate) fn end(&self, why: &CallError) {
        self.lock().ended.get_or_insert_with(|| why.copy());
    }

    /// Returns why the store runs no more.
    pub(crate) fn ended(&self) -> Option<CallError> {
        self.lock().ended.as_ref().map(CallError::copy)
    }

    /// Tells whether no stream of the store has its other end outside of it.
    pub(crate) fn is_self_contained(&self) -> bool {
        let state = self.lock();
        state.writing == 0 && state.reading == 0
    }

    /// Waits until everything that leaves the store was written to its end.
    pub(crate) fn poll_written(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.writing == 0 {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Which way a stream goes, seen from a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The guest writes it.
    Out,
    /// The guest reads it.
    In,
}

/// One stream or future with its other end outside of a store, for as long as it is open.
#[derive(Debug)]
pub(crate) struct Crossing {
    pub(crate) life: Arc<Life>,
    way: Way,
}

impl Crossing {
    /// Opens one.
    ///
    /// # Errors
    /// Overloaded, when the store has too many.
    pub(crate) fn open(life: &Arc<Life>, way: Way) -> Result<Self, CallError> {
        let mut state = life.lock();
        if state.writing + state.reading >= STREAMS_OPEN_MAX {
            let text = format!(
                "the component has more than {STREAMS_OPEN_MAX} streams and futures open whose other end is elsewhere"
            );
            return Err(CallError::new(ErrorClass::Overloaded, text).having_run());
        }
        match way {
            Way::Out => state.writing += 1,
            Way::In => state.reading += 1,
        }
        drop(state);
        let life = life.clone();
        Ok(Self { life, way })
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        let mut state = self.life.lock();
        match self.way {
            Way::Out => state.writing -= 1,
            Way::In => state.reading -= 1,
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Ends a life when dropped. It is to be dropped before the store.
pub(crate) struct LifeGuard(pub(crate) Arc<Life>);

impl Drop for LifeGuard {
    fn drop(&mut self) {
        self.0.end(&CallError::new(
            ErrorClass::Unavailable,
            "the component at the other end of a stream was stopped before its end",
        ));
    }
}
