//! The body of an answer between the guest that writes it and the client that reads it.
//!
//! A body that the guest has finished before anybody reads it is taken whole, with its length; one
//! that is read while it is written is a stream of bounded memory. Knows nothing of `wasi:http`
//! beyond what its bodies promise.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

/// What a guest may write at once, and what may wait before it has to wait itself. A body of up to
/// this size is answered whole by a guest that never waits.
const BODY_WRITE_BYTES_MAX: usize = 1 << 20;

/// Pieces below this are copied together, so that a guest which writes byte by byte fills a buffer and
/// not a queue.
const PIECE_BYTES_MIN: usize = 8 << 10;

/// Makes the two ends of a body, which is to have `length` bytes where that was announced.
pub(super) fn body_pipe(length: Option<u64>) -> (BodyWriter, BodyReader) {
    let pipe = Arc::new(Pipe(Mutex::new(State {
        first: Bytes::new(),
        pieces: VecDeque::new(),
        tail: BytesMut::new(),
        waiting: 0,
        length,
        written: 0,
        stream: Stream::NotTaken,
        end: None,
        reader_is_gone: false,
        reader: None,
        writer: None,
    })));
    (BodyWriter(Some(pipe.clone())), BodyReader(Some(pipe)))
}

struct Pipe(Mutex<State>);

struct State {
    /// The oldest piece, as the guest wrote it.
    first: Bytes,
    pieces: VecDeque<Bytes>,
    /// Small pieces, copied together.
    tail: BytesMut,
    /// Bytes in all three.
    waiting: usize,
    length: Option<u64>,
    written: u64,
    stream: Stream,
    end: Option<End>,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What became of the one stream that a body can be written through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    NotTaken,
    Open,
    Dropped,
}

enum End {
    Finished,
    Trailers(Box<HeaderMap>),
    Aborted,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the body, where it has not ended yet, and wakes who reads it.
fn end(mut state: MutexGuard<'_, State>, end: End) {
    if state.end.is_none() {
        state.end = Some(end);
        wake(state.reader.take(), state);
    }
}

/// Wakes a task without the lock that it will want first.
fn wake(waker: Option<Waker>, state: MutexGuard<'_, State>) {
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    fn push(&mut self, piece: Bytes) {
        self.written += piece.len() as u64;
        if self.waiting == 0 {
            self.waiting = piece.len();
            self.first = piece;
            return;
        }
        self.waiting += piece.len();
        if piece.len() < PIECE_BYTES_MIN {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(piece);
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.waiting == 0 {
            return None;
        }
        let piece = if !self.first.is_empty() {
            std::mem::take(&mut self.first)
        } else if let Some(piece) = self.pieces.pop_front() {
            piece
        } else {
            self.tail.split().freeze()
        };
        self.waiting -= piece.len();
        Some(piece)
    }

    /// Drops what nobody will read; the guest may hold its end for longer.
    fn clear(&mut self) {
        self.first = Bytes::new();
        self.pieces = VecDeque::new();
        self.tail = BytesMut::new();
        self.waiting = 0;
    }

    fn length_is_right(&self) -> bool {
        self.length.is_none_or(|length| length == self.written)
    }
}

/// The guest's end of a body, empty once it was finished. Dropped before, it cuts the body off.
pub(super) struct BodyWriter(Option<Arc<Pipe>>);

/// Why a body cannot be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum FinishError {
    /// The guest has to drop the stream first; it is wrong to go on.
    #[error("an outgoing body was finished or dropped before its output stream")]
    StreamInUse,
    /// The body is not as long as was announced, and is cut off.
    #[error("an outgoing body is {written} bytes long, not as announced")]
    WrongLength {
        /// How long it is.
        written: u64,
    },
}

impl BodyWriter {
    /// Opens the stream of the body, once.
    pub(super) fn open(&self) -> Option<Box<dyn OutputStream>> {
        let pipe = self.0.as_ref()?;
        let mut state = pipe.lock();
        if state.stream != Stream::NotTaken {
            return None;
        }
        state.stream = Stream::Open;
        Some(Box::new(BodyStream(pipe.clone())))
    }

    /// Tells whether the stream of the body is open.
    pub(super) fn is_in_use(&self) -> bool {
        let pipe = self.0.as_ref();
        pipe.is_some_and(|pipe| pipe.lock().stream == Stream::Open)
    }

    /// Ends the body with its last byte or with trailers.
    ///
    /// # Errors
    /// See [`FinishError`].
    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), FinishError> {
        let Some(pipe) = self.0.take() else {
            return Ok(());
        };
        let state = pipe.lock();
        let written = state.written;
        if state.stream == Stream::Open {
            drop(state);
            self.0 = Some(pipe);
            return Err(FinishError::StreamInUse);
        }
        if !state.length_is_right() {
            end(state, End::Aborted);
            return Err(FinishError::WrongLength { written });
        }
        let how = match trailers {
            Some(trailers) => End::Trailers(Box::new(trailers)),
            None => End::Finished,
        };
        end(state, how);
        Ok(())
    }

    /// Ends a body that its guest has left as it is by returning.
    pub(super) fn forsake(&self) {
        if let Some(pipe) = &self.0 {
            let state = pipe.lock();
            let fits = state.length_is_right();
            let how = if fits { End::Finished } else { End::Aborted };
            end(state, how);
        }
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if let Some(pipe) = &self.0 {
            end(pipe.lock(), End::Aborted);
        }
    }
}

/// The stream that the guest writes a body through.
struct BodyStream(Arc<Pipe>);

#[async_trait::async_trait]
impl OutputStream for BodyStream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let mut state = self.0.lock();
        if state.is_closed() {
            return Err(StreamError::Closed);
        }
        if bytes.len() > BODY_WRITE_BYTES_MAX || state.is_full() {
            return Err(StreamError::trap("write exceeded budget"));
        }
        let total = state.written + bytes.len() as u64;
        if state.length.is_some_and(|length| total > length) {
            state.written = total; // a body that was overrun cannot be finished well any more
            let code = ErrorCode::HttpResponseBodySize(Some(total));
            return Err(StreamError::LastOperationFailed(code.into()));
        }
        if !bytes.is_empty() {
            state.push(bytes);
            wake(state.reader.take(), state);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        // Bytes are handed over as they are written; what happens to them then is not ours.
        match self.0.lock().is_closed() {
            true => Err(StreamError::Closed),
            false => Ok(()),
        }
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let state = self.0.lock();
        match (state.is_closed(), state.is_full()) {
            (true, _) => Err(StreamError::Closed),
            (false, true) => Ok(0),
            (false, false) => Ok(BODY_WRITE_BYTES_MAX),
        }
    }
}

impl State {
    fn is_closed(&self) -> bool {
        self.reader_is_gone || self.end.is_some()
    }

    fn is_full(&self) -> bool {
        self.waiting >= BODY_WRITE_BYTES_MAX
    }
}

#[async_trait::async_trait]
impl Pollable for BodyStream {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            if state.is_closed() || !state.is_full() {
                return Poll::Ready(());
            }
            state.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        self.0.lock().stream = Stream::Dropped;
    }
}

/// The client's end of a body, empty once all of it was taken.
pub(crate) struct BodyReader(Option<Arc<Pipe>>);

impl BodyReader {
    /// Returns all of a body that has ended well, where it is one piece.
    ///
    /// # Errors
    /// The body as it is, to be read as a stream.
    pub(super) fn into_whole(mut self) -> Result<Bytes, Self> {
        let Some(pipe) = self.0.take() else {
            return Ok(Bytes::new());
        };
        let mut state = pipe.lock();
        let is_one_piece = state.first.len() == state.waiting;
        if is_one_piece && matches!(state.end, Some(End::Finished)) {
            return Ok(std::mem::take(&mut state.first));
        }
        drop(state);
        Err(Self(Some(pipe)))
    }
}

impl Body for BodyReader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(pipe) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut state = pipe.lock();
        if let Some(piece) = state.pop() {
            wake(state.writer.take(), state);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end.take() {
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Some(end) => {
                state.end = Some(End::Finished); // an error and trailers are told once
                Poll::Ready(match end {
                    End::Finished => None,
                    End::Trailers(trailers) => Some(Ok(Frame::trailers(*trailers))),
                    End::Aborted => Some(Err(Error::HttpProtocolError)),
                })
            }
        }
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        if let Some(pipe) = &self.0 {
            let mut state = pipe.lock();
            state.reader_is_gone = true;
            state.clear();
            wake(state.writer.take(), state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_outlives_its_reader_holds_nothing_of_the_body() {
        let (writer, reader) = body_pipe(None);
        let mut stream = writer.open().expect("the first stream");
        for piece in [BODY_WRITE_BYTES_MAX - 1, BODY_WRITE_BYTES_MAX] {
            stream.write(vec![0; piece].into()).expect("there is room");
        }
        let pipe = writer.0.clone().expect("it is not finished");
        assert!(pipe.lock().is_full());
        drop(reader);
        let state = pipe.lock();
        assert_eq!(
            (state.first.len(), state.pieces.len(), state.tail.capacity()),
            (0, 0, 0)
        );
    }
}
