//! What crosses, by type, and its bytes on a channel.

use std::sync::Arc;

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::dialect::{
    ChannelError, FutureDecoder, StreamDecoder, StreamEncoder, StreamPart,
};
use trellis_wire::plan::{FunctionPlan, Op, PlanId, Scalar};
use trellis_wire::{Dialect, Limits, Scan, scan};

use super::pipe::Piece;
use crate::call_error::CallError;

/// What a stream or future carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `stream<u8>`.
    Bytes,
    /// A stream of any other values.
    Elements(PlanId),
    /// A stream of nothing but a number of times.
    Units,
    /// A future of a value.
    Value(PlanId),
    /// A future that only happens.
    Event,
}

impl Kind {
    /// Returns what the stream or future at `id` is.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn of(plan: &FunctionPlan, id: PlanId) -> Result<Self, CallError> {
        let plan = &plan.plan;
        match plan.node(id).op {
            Op::Stream { element: None } => Ok(Self::Units),
            Op::Stream { element: Some(it) } => Ok(match plan.node(it).op {
                Op::Scalar(Scalar::U8) => Self::Bytes,
                _ => Self::Elements(it),
            }),
            Op::Future { payload: None } => Ok(Self::Event),
            Op::Future { payload: Some(it) } => Ok(Self::Value(it)),
            _ => Err(CallError::new(
                ErrorClass::Trap,
                "a stream stands where its function has none",
            )),
        }
    }

    /// Returns the type of its elements or of its value, where streams or futures are in them.
    pub(crate) fn with_inner(self, plan: &FunctionPlan) -> Option<PlanId> {
        match self {
            Self::Elements(id) | Self::Value(id) if plan.plan.node(id).has_async => Some(id),
            _ => None,
        }
    }

    /// Tells whether it is a future: nothing counts elements on the way to what is in its value.
    pub(crate) fn is_future(self) -> bool {
        matches!(self, Self::Value(_) | Self::Event)
    }

    /// Returns the bytes of a piece on a channel.
    pub(crate) fn encode(self, piece: Piece) -> Bytes {
        if self.is_future() {
            return piece.wire;
        }
        let mut chunk = Vec::with_capacity(piece.wire.len() + COUNT_BYTES_MAX);
        StreamEncoder::default().chunk(piece.count, &piece.wire, &mut chunk);
        chunk.into()
    }

    /// Returns what stands at the end of a channel.
    pub(crate) fn end(self) -> Bytes {
        let mut end = Vec::new();
        if !self.is_future() {
            StreamEncoder::default().end(&mut end);
        }
        end.into()
    }
}

/// Bytes of the count before a chunk.
const COUNT_BYTES_MAX: usize = 5;

/// Reads a channel.
pub(crate) enum Decoder {
    Stream(StreamDecoder),
    Future(FutureDecoder),
    /// A future whose value was given, and what came behind it.
    Done(Bytes),
}

impl Decoder {
    /// Makes the decoder of the stream or future at `id`.
    pub(crate) fn of(function: &Arc<FunctionPlan>, id: PlanId, kind: Kind) -> Self {
        let (dialect, limits) = (Dialect::A, Limits::default());
        if kind.is_future() {
            Self::Future(FutureDecoder::of(function, id, dialect, limits))
        } else {
            Self::Stream(StreamDecoder::of(function, id, dialect, limits))
        }
    }

    /// Adds bytes that arrived.
    pub(crate) fn push(&mut self, arrived: Bytes) {
        match self {
            Self::Stream(decoder) => decoder.push(arrived),
            Self::Future(decoder) => decoder.push(arrived),
            Self::Done(_) => {}
        }
    }

    /// Returns what is whole; the inner none is the end.
    pub(crate) fn next(&mut self) -> Result<Option<Option<Piece>>, CallError> {
        match self {
            Self::Stream(decoder) => Ok(match decoder.next_part().map_err(broken)? {
                None => None,
                Some(StreamPart::End) => Some(None),
                Some(StreamPart::Bytes(wire)) => {
                    let count = wire.len() as u32; // of one message
                    Some(Some(Piece::new(count, wire)))
                }
                Some(StreamPart::Elements { count, wire }) => Some(Some(Piece::new(count, wire))),
                Some(StreamPart::Units(count)) => Some(Some(Piece::new(count, Bytes::new()))),
            }),
            Self::Done(_) => Ok(Some(None)),
            Self::Future(decoder) => {
                let ready = decoder.ready().map_err(broken)?;
                Ok(ready.map(|value| Some(self.value(value))))
            }
        }
    }

    /// Ends the channel; returns what only its end tells.
    pub(crate) fn finish(&mut self) -> Result<Option<Piece>, CallError> {
        match std::mem::replace(self, Self::Done(Bytes::new())) {
            Self::Stream(decoder) => decoder.finish().map(|()| None).map_err(broken),
            Self::Done(_) => Ok(None),
            Self::Future(mut decoder) => {
                if let Some(value) = decoder.ready().map_err(broken)? {
                    *self = Self::Future(decoder);
                    return Ok(Some(self.value(value)));
                }
                let wire = decoder.finish().map_err(broken)?;
                Ok(Some(Piece::new(1, wire)))
            }
        }
    }

    /// Returns what came behind the value of a future.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        match self {
            Self::Done(rest) => std::mem::take(rest),
            _ => Bytes::new(),
        }
    }

    fn value(&mut self, value: Bytes) -> Piece {
        if let Self::Future(decoder) = std::mem::replace(self, Self::Done(Bytes::new())) {
            *self = Self::Done(decoder.into_rest(&value));
        }
        Piece::new(1, value)
    }
}

fn broken(error: ChannelError) -> CallError {
    let text = trellis_core::with_causes(&error);
    CallError::new(ErrorClass::Unavailable, text).having_run()
}

/// Returns the bytes of the first of several values of the type at `id`, which were scanned before.
///
/// # Errors
/// When they are not.
pub(crate) fn first_of(plan: &FunctionPlan, id: PlanId, wire: &[u8]) -> Result<usize, CallError> {
    let node = plan.plan.node(id);
    if node.wire_max == Some(node.wire_min) && wire.len() >= node.wire_min as usize {
        return Ok(node.wire_min as usize);
    }
    let scanned = scan(&plan.plan, id, wire, Dialect::A, &Limits::default());
    match scanned.map_err(|error| broken(error.into()))? {
        Scan::Complete { length, .. } => Ok(length),
        Scan::NeedMore { .. } => Err(broken(ChannelError::CutShort)),
    }
}
