//! What crosses, by type, and its bytes on a channel.

use std::sync::Arc;

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::dialect::{
    ChannelError, FutureDecoder, StreamDecoder, StreamEncoder, StreamPart,
};
use trellis_wire::plan::{FunctionPlan, Op, PlanId, Scalar};
use trellis_wire::{Dialect, Limits};

use super::pipe::Piece;
use crate::call_error::CallError;

/// A stream or future that can cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `stream<u8>`.
    Bytes,
    /// A future of a value.
    Value(PlanId),
    /// A future that only happens.
    Event,
}

impl Kind {
    /// Returns what the stream or future at `id` is.
    ///
    /// # Errors
    /// What it is, where it cannot cross.
    pub(crate) fn of(plan: &FunctionPlan, id: PlanId) -> Result<Self, &'static str> {
        let plan = &plan.plan;
        match plan.node(id).op {
            Op::Stream { element: Some(it) } if plan.node(it).op == Op::Scalar(Scalar::U8) => {
                Ok(Self::Bytes)
            }
            Op::Stream { .. } => Err("a stream of anything but bytes"),
            Op::Future { payload: None } => Ok(Self::Event),
            Op::Future { payload: Some(it) } if plan.node(it).has_async => {
                Err("a stream or future inside of a future")
            }
            Op::Future { payload: Some(it) } => Ok(Self::Value(it)),
            _ => Err("a stream that is none"),
        }
    }

    /// Returns the bytes of a piece on a channel.
    pub(crate) fn encode(self, piece: Piece) -> Bytes {
        match self {
            Self::Bytes => {
                let mut chunk = Vec::with_capacity(piece.wire.len() + COUNT_BYTES_MAX);
                StreamEncoder::default().chunk(piece.count, &piece.wire, &mut chunk);
                chunk.into()
            }
            Self::Value(_) | Self::Event => piece.wire,
        }
    }

    /// Returns what stands at the end of a channel.
    pub(crate) fn end(self) -> Bytes {
        match self {
            Self::Bytes => {
                let mut end = Vec::new();
                StreamEncoder::default().end(&mut end);
                end.into()
            }
            Self::Value(_) | Self::Event => Bytes::new(),
        }
    }
}

/// Bytes of the count before a chunk.
const COUNT_BYTES_MAX: usize = 5;

/// Reads a channel.
pub(crate) enum Decoder {
    Stream(StreamDecoder),
    /// None once its value was given.
    Future(Option<FutureDecoder>),
}

impl Decoder {
    /// Makes the decoder of the stream or future at `id`.
    pub(crate) fn of(function: &Arc<FunctionPlan>, id: PlanId, kind: Kind) -> Self {
        let limits = Limits::default();
        match kind {
            Kind::Bytes => Self::Stream(StreamDecoder::bytes(Dialect::A, limits)),
            Kind::Value(_) | Kind::Event => {
                Self::Future(Some(FutureDecoder::of(function, id, Dialect::A, limits)))
            }
        }
    }

    /// Adds bytes that arrived.
    pub(crate) fn push(&mut self, arrived: Bytes) {
        match self {
            Self::Stream(decoder) => decoder.push(arrived),
            Self::Future(Some(decoder)) => decoder.push(arrived),
            Self::Future(None) => {}
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
                    Some(Some(Piece { count, wire }))
                }
                // A stream of bytes has no other parts.
                Some(StreamPart::Elements { .. } | StreamPart::Units(_)) => Some(None),
            }),
            Self::Future(None) => Ok(Some(None)),
            Self::Future(decoder) => {
                let ready = match decoder {
                    Some(decoder) => decoder.ready().map_err(broken)?,
                    None => None,
                };
                Ok(ready.map(|wire| {
                    *decoder = None;
                    Some(Piece { count: 1, wire })
                }))
            }
        }
    }

    /// Ends the channel; returns what only its end tells.
    pub(crate) fn finish(&mut self) -> Result<Option<Piece>, CallError> {
        match self {
            Self::Stream(decoder) => decoder.finish().map(|()| None).map_err(broken),
            Self::Future(decoder) => match decoder.take() {
                None => Ok(None),
                Some(decoder) => {
                    let wire = decoder.finish().map_err(broken)?;
                    Ok(Some(Piece { count: 1, wire }))
                }
            },
        }
    }
}

fn broken(error: ChannelError) -> CallError {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let text = match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    CallError::new(ErrorClass::Unavailable, text).having_run()
}
