//! How the transmission of a body ended, for the guest that made its head.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use wasmtime::component::FutureProducer;
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// The end of a transmission. The first one told stays.
#[derive(Default)]
pub(super) struct Sent(Mutex<State>);

#[derive(Default)]
struct State {
    end: Option<Result<(), ErrorCode>>,
    asker: Option<Waker>,
}

impl Sent {
    /// Says how the transmission ended.
    pub(super) fn end(&self, end: Result<(), ErrorCode>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.end.get_or_insert(end);
        let asker = state.asker.take();
        drop(state);
        if let Some(asker) = asker {
            asker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), ErrorCode>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.end {
            Some(end) => Poll::Ready(end.clone()),
            None => {
                state.asker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Whatever knows how a transmission ended.
pub(super) trait Transmission: Send + Sync + 'static {
    /// Returns where that is told.
    fn sent(&self) -> &Sent;
}

/// Tells the guest.
pub(super) struct Told<T>(pub(super) Arc<T>);

impl<D, T: Transmission> FutureProducer<D> for Told<T> {
    type Item = Result<(), ErrorCode>;

    fn poll_produce(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _store: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Self::Item>>> {
        match self.0.sent().poll(context) {
            Poll::Ready(end) => Poll::Ready(Ok(Some(end))),
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Transmission for Sent {
    fn sent(&self) -> &Sent {
        self
    }
}
