//! What a guest reads, given into its store out of pipes and channels.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::{FunctionPlan, PlanId};
use wasmtime::component::{Destination, FutureProducer, StreamProducer, StreamResult, VecBuffer};
use wasmtime::{Result, StoreContextMut};

use super::codec::{Kind, first_of};
use super::inlets::Inlets;
use super::life::Crossing;
use super::outbound::number_after;
use super::pipe::Piece;
use super::source::Source;
use crate::call_error::CallError;
use crate::wire::{ELEMENTS_AT_ONCE_MAX, Value};

/// A source inside a store.
pub(super) struct Given {
    pub(super) source: Source,
    pub(super) crossing: Crossing,
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

    /// Waits for the next piece of a stream while nothing is left of the one before. Says what to tell
    /// wasmtime where there is none.
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        finish: bool,
    ) -> Poll<Result<Result<Piece, StreamResult>>> {
        Poll::Ready(match self.poll_next(context) {
            Poll::Ready(Ok(Some(piece))) => Ok(Ok(piece)),
            Poll::Ready(Ok(None)) => Ok(Err(StreamResult::Dropped)),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending if finish => Ok(Err(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        })
    }

    /// Waits for what a future carries.
    fn poll_value(
        &mut self,
        context: &mut Context<'_>,
        finish: bool,
    ) -> Poll<Result<Option<Piece>>> {
        match self.poll_next(context)? {
            Poll::Ready(Some(piece)) => Poll::Ready(Ok(Some(piece))),
            Poll::Ready(None) => Poll::Ready(Err(nothing_came().into())),
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Returns what opens the streams and futures inside of a piece.
    fn inlets(&mut self, piece: &mut Piece) -> Inlets {
        let origin = self.source.origin(piece);
        Inlets::new(self.crossing.life.clone(), origin)
    }
}

fn nothing_came() -> CallError {
    CallError::new(ErrorClass::Unavailable, "a future ended without a value").having_run()
}

impl Drop for Given {
    fn drop(&mut self) {
        if self.crossing.life.ended().is_some() {
            self.source.abandon();
        }
    }
}

/// Gives the bytes of a stream.
pub(super) struct BytesProducer {
    given: Given,
    unread: Bytes,
}

impl BytesProducer {
    pub(super) fn new(given: Given) -> Self {
        let unread = Bytes::new();
        Self { given, unread }
    }
}

impl<D: 'static> StreamProducer<D> for BytesProducer {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        while self.unread.is_empty() {
            match ready!(self.given.poll_piece(context, finish))? {
                Ok(piece) => self.unread = piece.wire,
                Err(result) => return Poll::Ready(Ok(result)),
            }
        }
        hand_over(store, destination, &mut self.unread);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Hands over what its reader has room for.
pub(crate) fn hand_over<D: 'static>(
    mut store: StoreContextMut<'_, D>,
    mut destination: Destination<'_, u8, Bytes>,
    unread: &mut Bytes,
) {
    match destination.remaining(&mut store) {
        // The guest only asks whether there is something.
        Some(0) => {}
        Some(_) => {
            let mut destination = destination.as_direct(store, 0);
            let room = destination.remaining();
            let count = room.len().min(unread.len());
            room[..count].copy_from_slice(&unread.split_to(count));
            destination.mark_written(count);
        }
        // A consumer of the host or another store takes it, without a guest in between.
        None => destination.set_buffer(std::mem::take(unread)),
    }
}

/// Gives the elements of a stream, made from their bytes.
pub(super) struct ElementsProducer {
    given: Given,
    function: Arc<FunctionPlan>,
    element: PlanId,
    unread: Piece,
    /// What opens the streams and futures in `unread`; none where the type has none.
    inlets: Option<Arc<Inlets>>,
    /// The number of the next element. It is not counted where nothing is inside of elements.
    number: u32,
}

impl ElementsProducer {
    pub(super) fn new(given: Given, function: Arc<FunctionPlan>, element: PlanId) -> Self {
        Self {
            given,
            function,
            element,
            unread: Piece::new(0, Bytes::new()),
            inlets: None,
            number: 0,
        }
    }

    fn begin(&mut self, mut piece: Piece) {
        if Kind::Elements(self.element)
            .with_inner(&self.function)
            .is_some()
        {
            self.inlets = Some(Arc::new(self.given.inlets(&mut piece)));
        }
        self.unread = piece;
    }

    /// Takes elements from the piece at hand.
    fn take(&mut self, count: usize) -> Result<Vec<Value>> {
        let count = count.min(self.unread.count as usize);
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let length = first_of(&self.function, self.element, &self.unread.wire)?;
            let wire = self.unread.wire.split_to(length);
            let value = Value::from_wire(self.function.clone(), self.element, wire);
            values.push(match &self.inlets {
                None => value,
                Some(inlets) => {
                    let place = self.number;
                    self.number = number_after(place, 1)?;
                    value.with_inlets(inlets.clone(), Some(place))
                }
            });
        }
        self.unread.count -= count as u32;
        Ok(values)
    }
}

impl Drop for ElementsProducer {
    /// Tells those who write what is inside of elements that nobody will read that.
    fn drop(&mut self) {
        let Some(inlets) = self.inlets.take() else {
            return;
        };
        while self.unread.count > 0 {
            let Ok(length) = first_of(&self.function, self.element, &self.unread.wire) else {
                return;
            };
            let wire = self.unread.wire.split_to(length);
            let origin = inlets.origin.below(&[self.number]);
            drop(origin.open_all(&self.function, self.element, &wire));
            self.number = self.number.saturating_add(1);
            self.unread.count -= 1;
        }
    }
}

impl<D: 'static> StreamProducer<D> for ElementsProducer {
    type Item = Value;
    type Buffer = VecBuffer<Value>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Value, VecBuffer<Value>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        while self.unread.count == 0 {
            match ready!(self.given.poll_piece(context, finish))? {
                Ok(piece) => self.begin(piece),
                Err(result) => return Poll::Ready(Ok(result)),
            }
        }
        let room = destination.remaining(&mut store).unwrap_or(usize::MAX);
        if room > 0 {
            let values = self.take(room.min(ELEMENTS_AT_ONCE_MAX))?;
            destination.set_buffer(values.into());
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Gives the elements of a stream that has none but their number.
pub(super) struct UnitsProducer {
    given: Given,
    unread: u32,
}

impl UnitsProducer {
    pub(super) fn new(given: Given) -> Self {
        Self { given, unread: 0 }
    }
}

impl<D: 'static> StreamProducer<D> for UnitsProducer {
    type Item = ();
    type Buffer = VecBuffer<()>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, (), VecBuffer<()>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        while self.unread == 0 {
            match ready!(self.given.poll_piece(context, finish))? {
                Ok(piece) => self.unread = piece.count,
                Err(result) => return Poll::Ready(Ok(result)),
            }
        }
        let room = destination.remaining(&mut store).unwrap_or(usize::MAX);
        let count = room.min(self.unread as usize).min(ELEMENTS_AT_ONCE_MAX);
        if count > 0 {
            self.unread -= count as u32;
            destination.set_buffer(vec![(); count].into());
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Gives the value of a future, made from its bytes.
pub(super) struct ValueProducer {
    given: Given,
    function: Arc<FunctionPlan>,
    payload: PlanId,
}

impl ValueProducer {
    pub(super) fn new(given: Given, function: Arc<FunctionPlan>, payload: PlanId) -> Self {
        Self {
            given,
            function,
            payload,
        }
    }
}

impl<D> FutureProducer<D> for ValueProducer {
    type Item = Value;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _store: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<Result<Option<Value>>> {
        let piece = ready!(self.given.poll_value(context, finish))?;
        Poll::Ready(Ok(piece.map(|mut piece| {
            let has_inner = Kind::Value(self.payload)
                .with_inner(&self.function)
                .is_some();
            let inlets = has_inner.then(|| Arc::new(self.given.inlets(&mut piece)));
            let value = Value::from_wire(self.function.clone(), self.payload, piece.wire);
            match inlets {
                None => value,
                Some(inlets) => value.with_inlets(inlets, None),
            }
        })))
    }
}

/// Gives the end of a future that only happens.
pub(super) struct EventProducer(Given);

impl EventProducer {
    pub(super) fn new(given: Given) -> Self {
        Self(given)
    }
}

impl<D> FutureProducer<D> for EventProducer {
    type Item = ();

    fn poll_produce(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _store: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<Result<Option<()>>> {
        let piece = ready!(self.0.poll_value(context, finish))?;
        Poll::Ready(Ok(piece.map(|_| ())))
    }
}
