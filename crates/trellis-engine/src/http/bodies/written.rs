//! A body that a guest writes: collected on the way out of its store, read outside of it.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::Frame;
use trellis_core::ErrorClass;
use wasmtime::component::{
    FutureConsumer, FutureReader, Resource, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::{ErrorCode, Trailers};
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::Message;
use super::sent::{Sent, Transmission};
use crate::state::State;
use crate::streams::{Crossing, Life, Way};

/// Bytes of a body that wait for their reader before the guest waits: four of the pieces in which
/// guests usually write, so that a guest and its reader need not take turns for each.
pub(super) const WRITTEN_BYTES_MAX: usize = 256 << 10;

/// What a guest sends after a body, once it says so.
pub(super) type TrailersResult = Result<Option<Resource<Trailers>>, ErrorCode>;

/// What the guest's side and the reader's side share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<Pending>,
    sent: Sent,
}

impl Transmission for Shared {
    fn sent(&self) -> &Sent {
        &self.sent
    }
}

#[derive(Default)]
struct Pending {
    held: Vec<u8>,
    /// Everything before the trailers was written.
    is_complete: bool,
    /// The trailers, once it is known whether there are any.
    trailers: Option<Option<HeaderMap>>,
    /// Why the rest will never come.
    failure: Option<ErrorCode>,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pending {
    /// Tells whether all of it was written and read, and no trailers follow.
    fn is_over(&self) -> bool {
        let is_written = self.is_complete && self.trailers == Some(None) && self.failure.is_none();
        is_written && self.held.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the reader.
    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Says that the rest will never come.
    fn fail(&self, code: ErrorCode) {
        self.change(|state| {
            state.failure.get_or_insert(code);
        });
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The writing side, for whoever ends it at its deadline.
pub(crate) struct Writing(Arc<Shared>);

impl Writing {
    /// Tells whether more is to come, and somebody wants it.
    pub(crate) fn goes_on(&self) -> bool {
        let state = self.0.lock();
        let is_written = state.is_complete && state.trailers.is_some();
        !is_written && state.failure.is_none() && !state.reader_is_gone
    }

    /// Cuts the body off, because its time is over. What was written before reaches the reader.
    pub(crate) fn expire(&self) {
        let mut state = self.0.lock();
        state.failure.get_or_insert(ErrorCode::HttpResponseTimeout);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }
}

/// The reading side. Dropping it tells the guest that nobody wants more.
pub(crate) struct Written {
    shared: Arc<Shared>,
    /// What its head declares.
    length: Option<u64>,
    /// Bytes that the reader has.
    handed: u64,
}

impl Written {
    /// Takes what the guest will write: `length` bytes, where its head declares that.
    ///
    /// # Errors
    /// When one of them is closed already, or the instance has too many open.
    pub(super) fn take(
        mut store: impl AsContextMut<Data = State>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<TrailersResult>,
        length: Option<u64>,
        message: Message,
    ) -> wasmtime::Result<(Self, Arc<Shared>)> {
        let shared = Arc::new(Shared::default());
        let life = store.as_context().data().life().clone();
        let written = Self {
            shared: shared.clone(),
            length,
            handed: 0,
        };
        match contents {
            None => shared.lock().is_complete = true,
            Some(contents) => {
                let contents_of = Contents {
                    shared: shared.clone(),
                    crossing: Crossing::open(&life, Way::Out)?,
                    taken: 0,
                    length,
                    message,
                };
                contents.pipe(&mut store, contents_of)?;
            }
        }
        let trailers_of = TrailersOf {
            shared: shared.clone(),
            crossing: Some(Crossing::open(&life, Way::Out)?),
        };
        trailers.pipe(&mut store, trailers_of)?;
        Ok((written, shared))
    }

    #[cfg(test)]
    pub(super) fn unfinished() -> Self {
        Self {
            shared: Arc::default(),
            length: None,
            handed: 0,
        }
    }

    /// Returns the other side.
    pub(super) fn writing(&self) -> Writing {
        Writing(self.shared.clone())
    }

    /// Returns all of it, where the guest has written everything and no trailers follow.
    ///
    /// # Errors
    /// The body itself where there is more to come.
    pub(super) fn into_whole(self) -> Result<Bytes, Self> {
        let mut state = self.shared.lock();
        if !state.is_complete || state.failure.is_some() || state.trailers != Some(None) {
            drop(state);
            return Err(self);
        }
        let held = mem::take(&mut state.held);
        drop(state);
        self.shared.sent.end(Ok(()));
        Ok(held.into())
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let mut state = self.shared.lock();
        if !state.held.is_empty() {
            let held = mem::take(&mut state.held);
            let writer = state.writer.take();
            drop(state);
            wake(writer);
            self.handed += held.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(held.into()))));
        }
        if let Some(code) = &state.failure {
            return Poll::Ready(Some(Err(code.clone())));
        }
        if state.is_complete
            && let Some(trailers) = &mut state.trailers
        {
            return Poll::Ready(trailers.take().map(|map| Ok(Frame::trailers(map))));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll(context).map(|frame| match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(code)) => {
                self.shared.sent.end(Err(code.clone()));
                Some(Err(code.into()))
            }
            None => {
                self.shared.sent.end(Ok(()));
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.shared.lock().is_over()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        // A reader that knows the length need not ask for the end, and may go before it is written.
        let has_all = state.failure.is_none() && self.length == Some(self.handed);
        let was_read = state.is_over() || has_all;
        state.reader_is_gone = true;
        let _held = mem::take(&mut state.held);
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        let end = if was_read {
            Ok(())
        } else {
            Err(ErrorCode::ConnectionTerminated)
        };
        self.shared.sent.end(end);
    }
}

/// Takes the bytes out of the store.
struct Contents {
    shared: Arc<Shared>,
    crossing: Crossing,
    taken: u64,
    length: Option<u64>,
    message: Message,
}

impl Contents {
    /// Waits until the reader has room, and returns for how many bytes; nothing where it wants none.
    fn poll_room(&self, context: &Context<'_>) -> Poll<Option<usize>> {
        let mut state = self.shared.lock();
        if state.reader_is_gone || state.failure.is_some() {
            return Poll::Ready(None);
        }
        match WRITTEN_BYTES_MAX.saturating_sub(state.held.len()) {
            0 => {
                state.writer = Some(context.waker().clone());
                Poll::Pending
            }
            room => Poll::Ready(Some(room)),
        }
    }
}

impl<D: 'static> StreamConsumer<D> for Contents {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let room = match self.poll_room(context) {
            Poll::Ready(Some(room)) => room,
            Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let offered = self.taken.saturating_add(bytes.len() as u64);
        if self.length.is_some_and(|length| offered > length) {
            self.shared.fail(self.message.wrong_size(offered));
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let count = bytes.len().min(room);
        if count > 0 {
            self.shared.change(|state| {
                // What a guest writes at once is often all there is: no room is kept for more.
                state
                    .held
                    .reserve_exact(if state.held.is_empty() { count } else { 0 });
                state.held.extend_from_slice(&bytes[..count]);
            });
            source.mark_read(count);
            self.taken += count as u64;
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Contents {
    /// Either the guest dropped its end, or its store ends with the body still open.
    fn drop(&mut self) {
        let failure = match broken(&self.crossing.life) {
            None if self.length.is_some_and(|length| self.taken < length) => {
                Some(self.message.wrong_size(self.taken))
            }
            broken => broken,
        };
        self.shared.change(|state| {
            state.is_complete = true;
            if state.failure.is_none() {
                state.failure = failure;
            }
        });
    }
}

/// Says why the store ended, if it did.
fn broken(life: &Life) -> Option<ErrorCode> {
    life.ended().map(|why| match why.class {
        ErrorClass::Deadline => ErrorCode::HttpResponseTimeout,
        _ => ErrorCode::InternalError(Some(why.to_string())),
    })
}

/// Takes the trailers out of the store.
struct TrailersOf {
    shared: Arc<Shared>,
    /// Until they came.
    crossing: Option<Crossing>,
}

impl FutureConsumer<State> for TrailersOf {
    type Item = TrailersResult;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        mut source: Source<'_, TrailersResult>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut trailers = None;
        source.read(&mut store, &mut trailers)?;
        let Some(trailers) = trailers else {
            return Poll::Ready(Ok(()));
        };
        match trailers {
            Ok(None) => self.shared.change(|state| state.trailers = Some(None)),
            Ok(Some(trailers)) => {
                let map = store.data_mut().http().table.delete(trailers)?;
                self.shared
                    .change(|state| state.trailers = Some(Some(map.into())));
            }
            Err(code) => self.shared.fail(code),
        }
        self.crossing = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for TrailersOf {
    /// A future that the host made can end without a value.
    fn drop(&mut self) {
        let Some(crossing) = &self.crossing else {
            return;
        };
        match broken(&crossing.life) {
            Some(code) => self.shared.fail(code),
            None => self.shared.change(|state| {
                state.trailers.get_or_insert(None);
            }),
        }
    }
}
