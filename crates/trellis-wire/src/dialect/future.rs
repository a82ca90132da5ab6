//! The channel of a future: its value, and then its end.

use std::sync::Arc;

use bytes::Bytes;

use super::{ChannelError, Dialect, join};
use crate::Limits;
use crate::error::{DecodeError, Fault};
use crate::plan::{FunctionPlan, Op, PlanId};
use crate::scan::{Scan, scan};

/// Reads the channel of one future.
#[derive(Debug)]
pub struct FutureDecoder {
    function: Arc<FunctionPlan>,
    payload: Option<PlanId>,
    dialect: Dialect,
    limits: Limits,
    unread: Bytes,
    needed: usize,
}

impl FutureDecoder {
    /// Returns the decoder of the future at `future` in a function's plan; as if it were a `future`
    /// without a type, when there is no future at that place.
    pub fn of(
        function: &Arc<FunctionPlan>,
        future: PlanId,
        dialect: Dialect,
        limits: Limits,
    ) -> Self {
        let payload = match function.plan.node(future).op {
            Op::Future { payload } => payload,
            _ => None,
        };
        Self {
            function: Arc::clone(function),
            payload,
            dialect,
            limits,
            unread: Bytes::new(),
            needed: 0,
        }
    }

    /// Adds bytes that arrived. Those that come when a value of the largest size should have been
    /// whole are not kept.
    pub fn push(&mut self, arrived: Bytes) {
        if self.unread.len() <= self.limits.wire_bytes_max {
            join(&mut self.unread, arrived);
        }
    }

    /// Returns the encoding of the value once it is whole. A future without a type has an empty one,
    /// which only [`Self::finish`] gives: the end of the channel is the event.
    ///
    /// # Errors
    /// When the bytes are wrong.
    pub fn ready(&mut self) -> Result<Option<Bytes>, ChannelError> {
        let Some(payload) = self.payload else {
            return Ok(None);
        };
        if self.unread.len() < self.needed {
            return Ok(None);
        }
        let plan = &self.function.plan;
        match scan(plan, payload, &self.unread, self.dialect, &self.limits)? {
            Scan::Complete { length, .. } => Ok(Some(self.unread.slice(..length))),
            Scan::NeedMore { missing } => {
                self.needed = self.unread.len() + missing;
                Ok(None)
            }
        }
    }

    /// Returns what has arrived behind the value that [`Self::ready`] gave: a stream or future that is the
    /// value itself, and pending, comes on the same channel.
    pub fn into_rest(mut self, value: &Bytes) -> Bytes {
        self.unread.split_off(value.len().min(self.unread.len()))
    }

    /// Ends the channel and returns the encoding of the value.
    ///
    /// # Errors
    /// When the value is not whole, or (in dialect B) bytes follow it.
    pub fn finish(mut self) -> Result<Bytes, ChannelError> {
        let value = match self.payload {
            Some(_) => self.ready()?.ok_or(ChannelError::CutShort)?,
            None => Bytes::new(),
        };
        let count = self.unread.len() - value.len();
        if count > 0 && self.dialect == Dialect::B {
            let (at, fault) = (value.len(), Fault::Trailing { count });
            return Err(DecodeError { at, fault }.into());
        }
        Ok(value)
    }
}
