//! The streams and futures that are written into a guest together with a value.

use std::sync::Arc;

use bytes::Bytes;
use trellis_wire::plan::{FunctionPlan, PlanId};
use wasmtime::component::{FutureReader, StreamReader};
use wasmtime::{AsContextMut, Result};

use super::codec::Kind;
use super::give::{
    BytesProducer, ElementsProducer, EventProducer, Given, UnitsProducer, ValueProducer,
};
use super::life::{Crossing, Life, Way};
use super::origin::Origin;
use super::pipe::Piece;
use super::source::Source;
use crate::wire::Value;

/// Where the streams and futures of a value come from that is written into a guest.
#[derive(Clone)]
pub(crate) struct Inlets {
    pub(super) life: Arc<Life>,
    pub(super) origin: Origin,
}

/// The place of a stream or future in a value.
#[derive(Clone, Copy)]
pub(crate) struct ChannelPlace<'a> {
    /// Its node.
    pub(crate) plan: PlanId,
    /// Its path, as wRPC counts.
    pub(crate) path: &'a [u32],
}

/// A stream or future that came with its value.
pub(crate) struct Complete<'a> {
    /// How many elements; at least one.
    pub(crate) count: u32,
    /// Their encodings, one after the other.
    pub(crate) wire: &'a [u8],
}

/// A stream or future in a guest's store, not yet given to the guest.
pub(crate) enum Reader {
    Bytes(StreamReader<u8>),
    Elements(StreamReader<Value>),
    Units(StreamReader<()>),
    Value(FutureReader<Value>),
    Event(FutureReader<()>),
}

impl Inlets {
    /// Makes the inlets of a guest whose store has this life.
    pub(crate) fn new(life: Arc<Life>, origin: Origin) -> Self {
        Self { life, origin }
    }

    /// Makes the reading end of the stream or future at `place`. Where it came with the value, that is
    /// `complete`.
    ///
    /// # Errors
    /// When nobody sends it, or the store takes no more.
    pub(crate) fn open(
        &self,
        mut store: impl AsContextMut,
        function: &Arc<FunctionPlan>,
        place: ChannelPlace<'_>,
        complete: Option<Complete<'_>>,
    ) -> Result<Reader> {
        let kind = Kind::of(function, place.plan)?;
        let source = match complete {
            Some(Complete { count, wire }) => Source::Whole(
                Some(Piece::new(count, Bytes::copy_from_slice(wire))),
                self.origin.below(place.path),
            ),
            None => self.origin.open(function, place.plan, place.path)?,
        };
        let given = Given {
            source,
            crossing: Crossing::open(&self.life, Way::In)?,
        };
        let (function, store) = (function.clone(), &mut store);
        Ok(match kind {
            Kind::Bytes => Reader::Bytes(StreamReader::new(store, BytesProducer::new(given))?),
            Kind::Elements(id) => {
                let producer = ElementsProducer::new(given, function, id);
                Reader::Elements(StreamReader::new(store, producer)?)
            }
            Kind::Units => Reader::Units(StreamReader::new(store, UnitsProducer::new(given))?),
            Kind::Value(id) => {
                let producer = ValueProducer::new(given, function, id);
                Reader::Value(FutureReader::new(store, producer)?)
            }
            Kind::Event => Reader::Event(FutureReader::new(store, EventProducer::new(given))?),
        })
    }
}
