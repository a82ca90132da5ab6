//! What a guest writes, taken out of its store into pipes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use trellis_wire::plan::{AsyncPath, FunctionPlan};
use wasmtime::component::{
    FutureAny, FutureConsumer, Lift, Source, StreamAny, StreamConsumer, StreamResult,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use super::codec::Kind;
use super::life::{Crossing, Life, Way};
use super::outbound::Outbound;
use super::pipe::{Closed, Piece, PipeWriter, pipe};
use crate::state::State;
use crate::wire::{Direction, Value};

/// The reading end of a stream or future that a guest gave away.
#[derive(Debug)]
pub(crate) enum Handle {
    Stream(StreamAny),
    Future(FutureAny),
}

/// What a guest gave away in one tuple: the number of its path, and the reading end.
pub(crate) type Handles = Vec<(usize, Handle)>;

/// Takes what the guest will write to `handles`, which were in the tuple `direction` of `plan`.
///
/// # Errors
/// When one of them is not what the plan says.
pub(crate) fn take_all(
    mut store: impl AsContextMut<Data = State>,
    plan: &FunctionPlan,
    direction: Direction,
    handles: Handles,
) -> Result<Vec<Outbound>> {
    let paths = direction.paths(plan);
    handles
        .into_iter()
        .map(|(number, handle)| {
            let path = paths.get(number).ok_or_else(|| {
                wasmtime::Error::msg("a stream is at a place that its type has not")
            })?;
            take(&mut store, plan, path, handle)
        })
        .collect()
}

fn take(
    store: impl AsContextMut<Data = State>,
    plan: &FunctionPlan,
    path: &AsyncPath,
    handle: Handle,
) -> Result<Outbound> {
    let kind = Kind::of(plan, path.plan).map_err(wasmtime::Error::msg)?;
    let (writer, pipe) = pipe();
    let crossing = Crossing::new(store.as_context().data().life(), Way::Out);
    match (kind, handle) {
        (Kind::Bytes, Handle::Stream(stream)) => {
            let consumer = BytesConsumer { writer, crossing };
            stream.try_into_stream_reader()?.pipe(store, consumer)?;
        }
        (Kind::Value(_), Handle::Future(future)) => {
            let consumer = ValueConsumer::<Value>::new(writer, crossing);
            future.try_into_future_reader()?.pipe(store, consumer)?;
        }
        (Kind::Event, Handle::Future(future)) => {
            let consumer = ValueConsumer::<()>::new(writer, crossing);
            future.try_into_future_reader()?.pipe(store, consumer)?;
        }
        _ => wasmtime::bail!("a stream is not of the type that its function has"),
    }
    Ok(Outbound {
        path: path.fixed().unwrap_or_default(),
        pipe,
        kind,
        is_over: false,
    })
}

/// Takes the bytes of a stream.
struct BytesConsumer {
    writer: PipeWriter,
    crossing: Crossing,
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
        let room = match self.writer.poll_room(context) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(room)) => room,
            Poll::Ready(Err(closed)) => return Poll::Ready(dropped(&self.crossing.life, closed)),
        };
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let count = bytes.len().min(room);
        if count > 0 {
            self.writer.push(Piece {
                count: count as u32,
                wire: Bytes::copy_from_slice(&bytes[..count]),
            });
            source.mark_read(count);
        }
        Poll::Ready(Ok(StreamResult::Completed))
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

impl Drop for BytesConsumer {
    /// Either the guest dropped its end, or its store ends with the stream still open.
    fn drop(&mut self) {
        match self.crossing.life.ended() {
            None => self.writer.finish(),
            Some(why) => self.writer.fail(why),
        }
    }
}

/// The value of a future, as bytes.
trait ToWire: Lift + Send + Sync + 'static {
    fn to_wire(self) -> Bytes;
}

impl ToWire for Value {
    fn to_wire(self) -> Bytes {
        self.into_bytes()
    }
}

impl ToWire for () {
    fn to_wire(self) -> Bytes {
        Bytes::new()
    }
}

/// Takes the value of a future. One that is dropped without a value stays incomplete.
struct ValueConsumer<T> {
    writer: PipeWriter,
    crossing: Crossing,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T> ValueConsumer<T> {
    fn new(writer: PipeWriter, crossing: Crossing) -> Self {
        Self {
            writer,
            crossing,
            item: std::marker::PhantomData,
        }
    }
}

impl<D: 'static, T: ToWire> FutureConsumer<D> for ValueConsumer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        _finish: bool,
    ) -> Poll<Result<()>> {
        // An empty pipe has room: the answer is there at once.
        if let Poll::Ready(Err(closed)) = self.writer.poll_room(context) {
            dropped(&self.crossing.life, closed)?;
        }
        let mut value = None;
        source.read(store, &mut value)?;
        if let Some(value) = value {
            let wire = T::to_wire(value);
            self.writer.push(Piece { count: 1, wire });
            self.writer.finish();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for ValueConsumer<T> {
    fn drop(&mut self) {
        if let Some(why) = self.crossing.life.ended() {
            self.writer.fail(why);
        }
    }
}
