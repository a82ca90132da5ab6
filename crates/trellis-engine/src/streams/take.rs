//! What a guest writes, taken out of its store into pipes.

use std::sync::Arc;

use trellis_wire::plan::{AsyncPath, FunctionPlan, PlanId};
use wasmtime::component::{FutureAny, StreamAny};
use wasmtime::{AsContextMut, Result};

use super::codec::Kind;
use super::consume::{
    BytesConsumer, ElementsConsumer, Taken, UnitsConsumer, ValueConsumer, Writing,
};
use super::life::{Crossing, Way};
use super::outbound::Outbound;
use super::pipe::pipe;
use super::source::Source;
use crate::state::State;
use crate::wire::{Direction, Value};

/// The reading end of a stream or future that a guest gave away in a tuple, an element or a value.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Which of the places for streams and futures it was at.
    pub(crate) number: usize,
    /// Where that was.
    pub(crate) path: Vec<u32>,
    pub(crate) end: ReadEnd,
}

/// A reading end.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    Stream(StreamAny),
    Future(FutureAny),
}

/// What a guest gave away with one value.
pub(crate) type Handles = Vec<Handle>;

/// Takes what the guest will write to `handles`, which were in the tuple `direction` of `plan`.
///
/// # Errors
/// When one of them is not what the plan says, or they are too many.
pub(crate) fn take_all(
    store: impl AsContextMut<Data = State>,
    plan: &Arc<FunctionPlan>,
    direction: Direction,
    handles: Handles,
) -> Result<Vec<Outbound>> {
    take_at(store, plan, direction.paths(plan), handles)
}

/// Takes what the guest will write to `handles`, which were at `places`.
pub(super) fn take_at(
    mut store: impl AsContextMut<Data = State>,
    function: &Arc<FunctionPlan>,
    places: &[AsyncPath],
    handles: Handles,
) -> Result<Vec<Outbound>> {
    handles
        .into_iter()
        .map(|handle| {
            let place = places.get(handle.number).ok_or_else(|| {
                wasmtime::Error::msg("a stream is at a place that its type has not")
            })?;
            take(&mut store, function, place.plan, handle)
        })
        .collect()
}

fn take(
    store: impl AsContextMut<Data = State>,
    function: &Arc<FunctionPlan>,
    id: PlanId,
    handle: Handle,
) -> Result<Outbound> {
    let (writer, reader) = pipe();
    let writing = Writing {
        writer,
        crossing: Crossing::open(store.as_context().data().life(), Way::Out)?,
    };
    match (Kind::of(function, id)?, handle.end) {
        (Kind::Bytes, ReadEnd::Stream(stream)) => {
            let consumer = BytesConsumer { writing };
            stream.try_into_stream_reader()?.pipe(store, consumer)?;
        }
        (Kind::Elements(element), ReadEnd::Stream(stream)) => {
            let consumer = ElementsConsumer::new(writing, Taken::new(function, element));
            stream.try_into_stream_reader()?.pipe(store, consumer)?;
        }
        (Kind::Units, ReadEnd::Stream(stream)) => {
            let consumer = UnitsConsumer { writing };
            stream.try_into_stream_reader()?.pipe(store, consumer)?;
        }
        (Kind::Value(payload), ReadEnd::Future(future)) => {
            let taken = Taken::new(function, payload);
            let consumer = ValueConsumer::<Value>::new(writing, Some(taken));
            future.try_into_future_reader()?.pipe(store, consumer)?;
        }
        (Kind::Event, ReadEnd::Future(future)) => {
            let consumer = ValueConsumer::<()>::new(writing, None);
            future.try_into_future_reader()?.pipe(store, consumer)?;
        }
        _ => wasmtime::bail!("a stream is not of the type that its function has"),
    }
    let source = Source::Pipe(reader, None);
    Ok(Outbound::new(function.clone(), id, handle.path, source)?)
}
