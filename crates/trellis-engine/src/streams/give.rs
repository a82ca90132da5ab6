//! What a guest reads, given into its store out of pipes and channels.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::{AsyncPath, FunctionPlan};
use wasmtime::component::{
    Destination, FutureProducer, FutureReader, Lift, Lower, StreamProducer, StreamReader,
    StreamResult,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use super::codec::{Decoder, Kind};
use super::life::{Crossing, Life, Way};
use super::outbound::Outbound;
use super::pipe::Piece;
use super::source::{CalleeTask, Channel, Inbound, Source};
use crate::call_error::CallError;
use crate::wire::Value;

/// The streams and futures that are written into a guest with one tuple.
pub(crate) struct Inlets {
    life: Arc<Life>,
    origin: Origin,
}

/// Where they come from.
pub(crate) enum Origin {
    /// Another guest of this host.
    Guest {
        pipes: Mutex<Vec<Outbound>>,
        task: Option<Arc<CalleeTask>>,
    },
    /// Elsewhere.
    Elsewhere(Arc<dyn Inbound>),
}

impl Origin {
    /// What another guest of this host writes, and what it runs in where its call has a result already.
    pub(crate) fn guest(pipes: Vec<Outbound>, task: Option<Arc<CalleeTask>>) -> Self {
        let pipes = Mutex::new(pipes);
        Self::Guest { pipes, task }
    }
}

/// A stream or future in a guest's store, not yet given to the guest.
pub(crate) enum Reader {
    Bytes(StreamReader<u8>),
    Value(FutureReader<Value>),
    Event(FutureReader<()>),
}

impl Inlets {
    /// Makes the inlets of a guest whose store has this life.
    pub(crate) fn new(life: Arc<Life>, origin: Origin) -> Self {
        Self { life, origin }
    }

    /// Makes the reading end of the stream or future at `path`. Where it came with the value, that is
    /// `complete`.
    ///
    /// # Errors
    /// When nobody sends it, or the store takes no more.
    pub(crate) fn open(
        &self,
        mut store: impl AsContextMut,
        function: &Arc<FunctionPlan>,
        path: &AsyncPath,
        complete: Option<&[u8]>,
    ) -> Result<Reader> {
        let kind = Kind::of(function, path.plan).map_err(wasmtime::Error::msg)?;
        let source = match complete {
            Some(bytes) => Source::Whole(Some(Piece {
                count: 1,
                wire: Bytes::copy_from_slice(bytes),
            })),
            None => self.source(function, path, kind)?,
        };
        let source = Given {
            source,
            crossing: Crossing::new(&self.life, Way::In),
        };
        Ok(match kind {
            Kind::Bytes => {
                let unread = Bytes::new();
                Reader::Bytes(StreamReader::new(
                    &mut store,
                    BytesProducer { source, unread },
                )?)
            }
            Kind::Value(id) => {
                let function = function.clone();
                let producer = ValueProducer {
                    source,
                    make: move |wire| Value::from_wire(function.clone(), id, wire),
                };
                Reader::Value(FutureReader::new(&mut store, producer)?)
            }
            Kind::Event => {
                let producer = ValueProducer {
                    source,
                    make: |_wire: Bytes| (),
                };
                Reader::Event(FutureReader::new(&mut store, producer)?)
            }
        })
    }

    fn source(&self, function: &Arc<FunctionPlan>, path: &AsyncPath, kind: Kind) -> Result<Source> {
        let place = path.fixed().unwrap_or_default();
        match &self.origin {
            Origin::Guest { pipes, task } => {
                let mut pipes = pipes.lock().unwrap_or_else(PoisonError::into_inner);
                let found = pipes.iter().position(|it| it.path == place);
                let found = found.map(|index| pipes.swap_remove(index));
                let pipe = found.ok_or_else(nobody_sends)?.pipe;
                Ok(Source::Pipe(pipe, task.clone()))
            }
            Origin::Elsewhere(inbound) => Ok(Source::Channel(Box::new(Channel {
                bytes: inbound.open(&place),
                decoder: Decoder::of(function, path.plan, kind),
                is_over: false,
            }))),
        }
    }
}

fn nobody_sends() -> CallError {
    CallError::new(ErrorClass::Trap, "a stream was passed that nobody writes")
}

/// A source inside a store.
struct Given {
    source: Source,
    crossing: Crossing,
}

impl Given {
    /// Waits for the next piece. What breaks the stream is the end of the store: the guest could only
    /// take it for the end of the stream.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Piece>>> {
        let next = ready!(self.source.poll_next(context));
        Poll::Ready(next.map_err(|error| {
            let error = error.having_run();
            self.crossing.life.end(&error);
            error.into()
        }))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if self.crossing.life.ended().is_some() {
            self.source.abandon();
        }
    }
}

/// Gives the bytes of a stream.
struct BytesProducer {
    source: Given,
    unread: Bytes,
}

impl<D: 'static> StreamProducer<D> for BytesProducer {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        while self.unread.is_empty() {
            match self.source.poll_next(context)? {
                Poll::Ready(Some(piece)) => self.unread = piece.wire,
                Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        match destination.remaining(&mut store) {
            // The guest only asks whether there is something.
            Some(0) => {}
            Some(_) => {
                let mut destination = destination.as_direct(store, 0);
                let room = destination.remaining();
                let count = room.len().min(self.unread.len());
                room[..count].copy_from_slice(&self.unread.split_to(count));
                destination.mark_written(count);
            }
            // Another store takes it, without a guest in between.
            None => destination.set_buffer(std::mem::take(&mut self.unread)),
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Gives the value of a future, made from its bytes.
struct ValueProducer<M> {
    source: Given,
    make: M,
}

impl<D, T, M> FutureProducer<D> for ValueProducer<M>
where
    T: Lift + Lower + Send + Sync + 'static,
    M: Fn(Bytes) -> T + Send + Unpin + 'static,
{
    type Item = T;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _store: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<Result<Option<T>>> {
        match self.source.poll_next(context)? {
            Poll::Ready(Some(piece)) => Poll::Ready(Ok(Some((self.make)(piece.wire)))),
            Poll::Ready(None) => Poll::Ready(Err(nothing_came().into())),
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn nothing_came() -> CallError {
    CallError::new(ErrorClass::Unavailable, "a future ended without a value").having_run()
}
