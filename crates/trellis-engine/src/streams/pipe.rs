//! A bounded pipe between two stores, or between a store and a transport. Its end is honest: it is
//! complete only where its writer said so.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use trellis_core::ErrorClass;

use super::outbound::Outbound;
use crate::call_error::CallError;

/// Bytes that wait in a pipe before its writer waits: one write of a guest that copies in the usual
/// pieces. A piece that is larger waits alone.
pub(crate) const PIPE_BYTES_MAX: usize = 64 << 10;

/// Pieces that wait in a pipe: where each is a byte or two, they and not their bytes are what it holds.
pub(crate) const PIPE_PIECES_MAX: usize = 1_024;

/// Streams and futures inside of the elements that wait in a pipe. Each has a pipe of its own; one that
/// reads a stream of streams has a few in hand.
pub(crate) const PIPE_STREAMS_MAX: usize = 16;

/// Elements on their way, encoded one after the other.
pub(crate) struct Piece {
    /// How many; at least one.
    pub(crate) count: u32,
    /// Their encodings. That of a byte is the byte.
    pub(crate) wire: Bytes,
    /// The streams and futures that are pending in them. Their paths begin with the number of the element
    /// in its stream, or in the value of a future.
    pub(crate) inner: Vec<Outbound>,
}

impl Piece {
    /// Makes a piece with no streams or futures inside.
    pub(crate) fn new(count: u32, wire: Bytes) -> Self {
        let inner = Vec::new();
        Self { count, wire, inner }
    }

    /// What it counts for in a pipe: elements without bytes count for one each.
    fn weight(&self) -> usize {
        self.wire.len().max(self.count as usize)
    }
}

/// Why nothing more can be written.
#[derive(Debug)]
pub(crate) enum Closed {
    /// The reader wants no more.
    Gone,
    /// What is behind the reader failed.
    Failed(CallError),
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    held: usize,
    streams: usize,
    /// How the writer ended.
    end: Option<Result<(), CallError>>,
    /// How the reader ended.
    closed: Option<Option<CallError>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn is_full(&self) -> bool {
        self.held >= PIPE_BYTES_MAX
            || self.pieces.len() >= PIPE_PIECES_MAX
            || self.streams >= PIPE_STREAMS_MAX
    }
}

#[derive(Default)]
struct Shared(Mutex<State>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Makes a pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let shared = Arc::new(Shared::default());
    (PipeWriter(shared.clone()), PipeReader(shared))
}

/// The writing end. Dropping it without [`finish`](Self::finish) tells the reader that the rest is
/// missing.
pub(crate) struct PipeWriter(Arc<Shared>);

impl PipeWriter {
    /// Waits until there is room, and returns for how many bytes, or elements without any.
    pub(crate) fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        let mut state = self.0.lock();
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(match closed {
                None => Closed::Gone,
                Some(error) => Closed::Failed(error.copy()),
            }));
        }
        if state.is_full() {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(PIPE_BYTES_MAX - state.held))
    }

    /// Adds a piece.
    pub(crate) fn push(&self, piece: Piece) {
        let mut state = self.0.lock();
        if state.closed.is_none() {
            state.held += piece.weight();
            state.streams += piece.inner.len();
            state.pieces.push_back(piece);
        }
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }

    /// Says that everything was written.
    pub(crate) fn finish(&self) {
        self.end(Ok(()));
    }

    /// Says that the rest is missing, and why.
    pub(crate) fn fail(&self, error: CallError) {
        self.end(Err(error));
    }

    fn end(&self, end: Result<(), CallError>) {
        let mut state = self.0.lock();
        state.end.get_or_insert(end);
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.fail(CallError::new(
            ErrorClass::Unavailable,
            "the writer of a stream went away before its end",
        ));
    }
}

/// The reading end. Dropping it tells the writer that nobody wants more.
pub(crate) struct PipeReader(Arc<Shared>);

impl PipeReader {
    /// Waits for the next piece; nothing when everything was read.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, CallError>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.pieces.pop_front() {
            state.held -= piece.weight();
            state.streams -= piece.inner.len();
            let waker = state.writer.take();
            drop(state);
            wake(waker);
            return Poll::Ready(Ok(Some(piece)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(Ok(None)),
            Some(Err(error)) => Poll::Ready(Err(error.copy())),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Tells the writer that what is behind this end failed.
    pub(crate) fn fail(&self, error: CallError) {
        self.close(Some(error));
    }

    fn close(&self, why: Option<CallError>) {
        let mut state = self.0.lock();
        state.closed.get_or_insert(why);
        (state.held, state.streams) = (0, 0);
        let (pieces, waker) = (mem::take(&mut state.pieces), state.writer.take());
        drop(state);
        drop(pieces);
        wake(waker);
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.close(None);
    }
}
