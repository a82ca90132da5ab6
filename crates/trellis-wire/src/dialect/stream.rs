//! The channel of a stream: chunks, and an empty chunk at the end.

use std::sync::Arc;

use bytes::Bytes;

use super::{ChannelError, Dialect, join};
use crate::error::{DecodeError, Fault};
use crate::plan::{FunctionPlan, Op, PlanId, Scalar};
use crate::reader::Reader;
use crate::scan::{Scan, scan};
use crate::{Limits, write};

/// Writes the chunks of one stream.
#[derive(Debug, Default)]
pub struct StreamEncoder {
    ended: bool,
}

impl StreamEncoder {
    /// Appends a chunk of `count` elements, which are already encoded one after the other in
    /// `elements` (and empty for a stream without an element type).
    ///
    /// An empty chunk is left out: on the wire it would be the end. So is a chunk after the end.
    pub fn chunk(&mut self, count: u32, elements: &[u8], out: &mut Vec<u8>) {
        if count > 0 && !self.ended {
            out.reserve(elements.len() + 5);
            write::unsigned(out, u64::from(count));
            out.extend_from_slice(elements);
        }
    }

    /// Appends a chunk of bytes, or several when a count cannot say how many they are.
    pub fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for part in bytes.chunks(u32::MAX as usize) {
            self.chunk(part.len() as u32, part, out);
        }
    }

    /// Appends the end, once.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if !self.ended {
            self.ended = true;
            out.push(0);
        }
    }
}

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamPart {
    /// Bytes of a `stream<u8>`; never empty. They share the memory of the message they came in.
    Bytes(Bytes),
    /// Elements of any other stream.
    Elements {
        /// How many; at least one.
        count: u32,
        /// Their encodings, one after the other, whole and right.
        wire: Bytes,
    },
    /// Elements of a stream without an element type.
    Units(u32),
    /// The end.
    End,
}

/// Reads the channel of one stream, however its bytes are cut.
#[derive(Debug)]
pub struct StreamDecoder {
    element: Element,
    dialect: Dialect,
    limits: Limits,
    unread: Bytes,
    /// Elements that are left of the present chunk.
    chunk_left: u32,
    /// Bytes below which it is no use to look for a whole element again.
    needed: usize,
    ended: bool,
}

#[derive(Debug)]
enum Element {
    Unit,
    Byte,
    Planned(Arc<FunctionPlan>, PlanId),
}

impl StreamDecoder {
    /// Returns the decoder of a `stream<u8>`.
    pub fn bytes(dialect: Dialect, limits: Limits) -> Self {
        Self::new(Element::Byte, dialect, limits)
    }

    /// Returns the decoder of the stream at `stream` in a function's plan; as if it were a
    /// `stream` without elements, when there is no stream at that place.
    pub fn of(
        function: &Arc<FunctionPlan>,
        stream: PlanId,
        dialect: Dialect,
        limits: Limits,
    ) -> Self {
        let element = match function.plan.node(stream).op {
            Op::Stream { element: Some(id) } => match function.plan.node(id).op {
                Op::Scalar(Scalar::U8) => Element::Byte,
                _ => Element::Planned(Arc::clone(function), id),
            },
            _ => Element::Unit,
        };
        Self::new(element, dialect, limits)
    }

    fn new(element: Element, dialect: Dialect, limits: Limits) -> Self {
        Self {
            element,
            dialect,
            limits,
            unread: Bytes::new(),
            chunk_left: 0,
            needed: 0,
            ended: false,
        }
    }

    /// Adds bytes that arrived. Memory is bounded when [`Self::next_part`] is called until it has nothing
    /// more before the next ones are added.
    pub fn push(&mut self, arrived: Bytes) {
        // Some older peers write the end twice.
        if !(self.ended && self.dialect == Dialect::A) {
            join(&mut self.unread, arrived);
        }
    }

    /// Returns the next piece, or nothing when more bytes must arrive first.
    ///
    /// # Errors
    /// When the bytes are wrong, or (in dialect B) bytes follow the end.
    pub fn next_part(&mut self) -> Result<Option<StreamPart>, ChannelError> {
        if self.ended {
            return self.after_end();
        }
        if self.chunk_left == 0 {
            let mut reader = Reader::new(&self.unread);
            let count = match reader.u32() {
                Ok(count) => count,
                Err(error) if error.is_truncated() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let _ = self.unread.split_to(reader.position());
            self.chunk_left = count;
            self.ended = count == 0;
        }
        if self.ended {
            return self.after_end();
        }
        self.part()
    }

    /// Ends the channel.
    ///
    /// # Errors
    /// When the stream had no end: what was read is not all of it.
    pub fn finish(&self) -> Result<(), ChannelError> {
        if self.ended {
            Ok(())
        } else {
            Err(ChannelError::CutShort)
        }
    }

    fn after_end(&mut self) -> Result<Option<StreamPart>, ChannelError> {
        let count = self.unread.len();
        if count > 0 && self.dialect == Dialect::B {
            let fault = Fault::Trailing { count };
            return Err(DecodeError { at: 0, fault }.into());
        }
        self.unread.clear();
        Ok(Some(StreamPart::End))
    }

    fn part(&mut self) -> Result<Option<StreamPart>, ChannelError> {
        match &self.element {
            Element::Unit => Ok(Some(StreamPart::Units(std::mem::take(
                &mut self.chunk_left,
            )))),
            Element::Byte => {
                let count = self.unread.len().min(self.chunk_left as usize);
                if count == 0 {
                    return Ok(None);
                }
                self.chunk_left -= count as u32;
                Ok(Some(StreamPart::Bytes(self.unread.split_to(count))))
            }
            Element::Planned(..) => self.elements(),
        }
    }

    /// Takes as many whole elements of the present chunk as there are.
    fn elements(&mut self) -> Result<Option<StreamPart>, ChannelError> {
        let Element::Planned(function, id) = &self.element else {
            return Ok(None);
        };
        if self.unread.len() < self.needed {
            return Ok(None);
        }
        let (mut count, mut length) = (0, 0);
        while count < self.chunk_left {
            let rest = &self.unread[length..];
            match scan(&function.plan, *id, rest, self.dialect, &self.limits)? {
                Scan::Complete { length: one, .. } => {
                    length += one;
                    count += 1;
                    self.needed = 0;
                }
                Scan::NeedMore { missing } => {
                    self.needed = rest.len() + missing;
                    break;
                }
            }
        }
        if count == 0 {
            return Ok(None);
        }
        self.chunk_left -= count;
        let wire = self.unread.split_to(length);
        Ok(Some(StreamPart::Elements { count, wire }))
    }
}
