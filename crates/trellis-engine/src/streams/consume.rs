//! Consumers, one for each kind: what a guest writes goes into a pipe.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use trellis_wire::plan::{AsyncPath, FunctionPlan, PlanId};
use wasmtime::component::{
    FutureConsumer, Lift, Source, StreamConsumer, StreamResult, WriteBuffer,
};
use wasmtime::{Result, StoreContextMut};

use super::life::{Crossing, Life};
use super::outbound::{Outbound, number_after};
use super::pipe::{Closed, PIPE_STREAMS_MAX, Piece, PipeWriter};
use super::take::take_at;
use crate::state::State;
use crate::wire::{Batch, ELEMENTS_AT_ONCE_MAX, Payload, Value, WireValue};

/// What consumers of all kinds have.
pub(super) struct Writing {
    pub(super) writer: PipeWriter,
    pub(super) crossing: Crossing,
}

impl Writing {
    /// Waits for room in the pipe. Says what to tell wasmtime where there is none.
    fn poll_room(
        &self,
        context: &mut Context<'_>,
        finish: bool,
    ) -> Poll<Result<Result<usize, StreamResult>>> {
        Poll::Ready(match self.writer.poll_room(context) {
            Poll::Pending if finish => Ok(Err(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(room)) => Ok(Ok(room)),
            Poll::Ready(Err(closed)) => dropped(&self.crossing.life, closed).map(Err),
        })
    }

    /// Ends a stream: either the guest dropped its end, or its store ends with the stream still open.
    fn end(&self) {
        match self.crossing.life.ended() {
            None => self.writer.finish(),
            Some(why) => self.writer.fail(why),
        }
    }
}

/// Says to a writing guest what its reader did.
fn dropped(life: &Life, closed: Closed) -> Result<StreamResult> {
    match closed {
        Closed::Gone => Ok(StreamResult::Dropped),
        Closed::Failed(error) => {
            life.end(&error);
            Err(error.into())
        }
    }
}

/// Takes the bytes of a stream.
pub(super) struct BytesConsumer {
    pub(super) writing: Writing,
}

impl<D: 'static> StreamConsumer<D> for BytesConsumer {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match ready!(self.writing.poll_room(context, finish))? {
            Ok(room) => room,
            Err(result) => return Poll::Ready(Ok(result)),
        };
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let count = bytes.len().min(room);
        if count > 0 {
            let wire = Bytes::copy_from_slice(&bytes[..count]);
            self.writing.writer.push(Piece::new(count as u32, wire));
            source.mark_read(count);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for BytesConsumer {
    fn drop(&mut self) {
        self.writing.end();
    }
}

/// What stands in elements or in a value beside their bytes.
pub(super) struct Taken {
    function: Arc<FunctionPlan>,
    id: PlanId,
    /// Where streams and futures are in one.
    places: Vec<AsyncPath>,
}

impl Taken {
    pub(super) fn new(function: &Arc<FunctionPlan>, id: PlanId) -> Self {
        Self {
            // What the plan of the function has in it was counted when that was made.
            places: function.plan.channels(id).unwrap_or_default(),
            function: function.clone(),
            id,
        }
    }

    /// Opens what is inside of a value that another instance wrote.
    fn passed_on(&self, value: &WireValue) -> Result<Vec<Outbound>> {
        let Some(inlets) = &value.inlets else {
            return Ok(Vec::new());
        };
        let place: Vec<u32> = value.number.into_iter().collect();
        let origin = inlets.origin.below(&place);
        Ok(origin.open_all(&self.function, self.id, &value.wire)?)
    }
}

/// Takes the elements of a stream of any other values.
pub(super) struct ElementsConsumer {
    writing: Writing,
    taken: Taken,
    /// The number of the next element. It is not counted where nothing is inside of elements.
    number: u32,
}

impl ElementsConsumer {
    pub(super) fn new(writing: Writing, taken: Taken) -> Self {
        Self {
            writing,
            taken,
            number: 0,
        }
    }

    fn piece(&mut self, store: &mut StoreContextMut<'_, State>, batch: Batch) -> Result<Piece> {
        let taken = &self.taken;
        let mut inner = Vec::new();
        for (number, handles) in batch.handles {
            let place = [number_after(self.number, number as u32)?];
            let opened = take_at(&mut *store, &taken.function, &taken.places, handles)?;
            inner.extend(opened.into_iter().map(|it| it.below(&place)));
        }
        let mut wire = Payload::Lifted(batch.lifted).into_bytes();
        if !batch.passed_on.is_empty() {
            let mut joined = BytesMut::new();
            for (number, value) in batch.passed_on.iter().enumerate() {
                joined.put_slice(&value.wire);
                let place = [number_after(self.number, number as u32)?];
                let opened = taken.passed_on(value)?;
                inner.extend(opened.into_iter().map(|it| it.below(&place)));
            }
            wire = joined.freeze();
        }
        let count = batch.count as u32; // no more than were asked for
        if !taken.places.is_empty() {
            self.number = number_after(self.number, count)?;
        }
        Ok(Piece { count, wire, inner })
    }
}

impl StreamConsumer<State> for ElementsConsumer {
    type Item = Value;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        mut source: Source<'_, Value>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match ready!(self.writing.poll_room(context, finish))? {
            Ok(room) => room,
            Err(result) => return Poll::Ready(Ok(result)),
        };
        let count_max = if self.taken.places.is_empty() {
            ELEMENTS_AT_ONCE_MAX
        } else {
            PIPE_STREAMS_MAX
        };
        let batch = Batch::read(&mut source, &mut store, room, count_max)?;
        if batch.count > 0 {
            let piece = self.piece(&mut store, batch)?;
            self.writing.writer.push(piece);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for ElementsConsumer {
    fn drop(&mut self) {
        self.writing.end();
    }
}

/// Counts the elements of a stream that has none.
pub(super) struct UnitsConsumer {
    pub(super) writing: Writing,
}

impl<D: 'static> StreamConsumer<D> for UnitsConsumer {
    type Item = ();

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, ()>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match ready!(self.writing.poll_room(context, finish))? {
            Ok(room) => room,
            Err(result) => return Poll::Ready(Ok(result)),
        };
        let mut units = Units { count: 0, room };
        source.read(store, &mut units)?;
        if units.count > 0 {
            let piece = Piece::new(units.count, Bytes::new());
            self.writing.writer.push(piece);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for UnitsConsumer {
    fn drop(&mut self) {
        self.writing.end();
    }
}

/// Counts units.
struct Units {
    count: u32,
    room: usize,
}

impl wasmtime::component::ReadBuffer<()> for Units {
    fn extend<I: IntoIterator<Item = ()>>(&mut self, units: I) {
        let count = units.into_iter().count();
        self.count += count as u32; // no more than there was room for
        self.room -= count.min(self.room);
    }

    fn remaining_capacity(&self) -> usize {
        self.room
    }

    fn move_from(&mut self, input: &mut dyn WriteBuffer<()>, count: usize) {
        input.skip(count);
        self.count += count as u32; // no more than there was room for
        self.room -= count.min(self.room);
    }
}

/// Takes the value of a future. One that is dropped without a value stays incomplete.
pub(super) struct ValueConsumer<T> {
    writing: Writing,
    /// None for a future that only happens.
    taken: Option<Taken>,
    item: PhantomData<fn() -> T>,
}

impl<T> ValueConsumer<T> {
    pub(super) fn new(writing: Writing, taken: Option<Taken>) -> Self {
        Self {
            writing,
            taken,
            item: PhantomData,
        }
    }
}

/// What a future can carry.
pub(super) trait Carried: Lift + Send + Sync + 'static {
    fn into_piece(
        self,
        store: &mut StoreContextMut<'_, State>,
        taken: Option<&Taken>,
    ) -> Result<Piece>;
}

impl Carried for () {
    fn into_piece(self, _: &mut StoreContextMut<'_, State>, _: Option<&Taken>) -> Result<Piece> {
        Ok(Piece::new(1, Bytes::new()))
    }
}

impl Carried for Value {
    fn into_piece(
        self,
        store: &mut StoreContextMut<'_, State>,
        taken: Option<&Taken>,
    ) -> Result<Piece> {
        let (wire, inner) = match (self, taken) {
            (Self::Lifted(buffer, handles), Some(taken)) => {
                let inner = take_at(&mut *store, &taken.function, &taken.places, handles)?;
                (Payload::Lifted(buffer).into_bytes(), inner)
            }
            (Self::Wire(value), Some(taken)) => {
                let inner = taken.passed_on(&value)?;
                (value.wire, inner)
            }
            _ => wasmtime::bail!("a future has no value"),
        };
        let count = 1;
        Ok(Piece { count, wire, inner })
    }
}

impl<T: Carried> FutureConsumer<State> for ValueConsumer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        mut source: Source<'_, T>,
        _finish: bool,
    ) -> Poll<Result<()>> {
        // An empty pipe has room: the answer is there at once.
        if let Poll::Ready(Err(closed)) = self.writing.writer.poll_room(context) {
            dropped(&self.writing.crossing.life, closed)?;
        }
        let mut value = None;
        source.read(&mut store, &mut value)?;
        if let Some(value) = value {
            let piece = T::into_piece(value, &mut store, self.taken.as_ref())?;
            self.writing.writer.push(piece);
            self.writing.writer.finish();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for ValueConsumer<T> {
    fn drop(&mut self) {
        if let Some(why) = self.writing.crossing.life.ended() {
            self.writing.writer.fail(why);
        }
    }
}
