//! What is left of the limits while one message is read.

use crate::Limits;
use crate::error::{DecodeError, Fault};
use crate::plan::{Abi, Node, Scalar};
use crate::reader::Reader;
use crate::scan::Reallocations;

type Result<T> = std::result::Result<T, DecodeError>;

/// What one element of a list takes at each end.
#[derive(Clone, Copy)]
pub(crate) struct Element {
    wire_min: u32,
    memory: u32,
}

impl Element {
    pub(crate) fn of(scalar: Scalar) -> Self {
        let wire_min = match scalar {
            Scalar::F32 => 4,
            Scalar::F64 => 8,
            _ => 1,
        };
        Self {
            wire_min,
            memory: Abi::of_scalar(scalar).size,
        }
    }
}

impl From<&Node> for Element {
    fn from(node: &Node) -> Self {
        Self {
            wire_min: node.wire_min,
            memory: node.abi.size,
        }
    }
}

/// Counts down while a message is read.
pub(crate) struct Budget {
    limits: Limits,
    values_left: usize,
    pub(crate) reallocations: Reallocations,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            values_left: limits.values_max,
            reallocations: Reallocations::default(),
        }
    }

    /// Charges for `count` values.
    #[inline]
    pub(crate) fn values(&mut self, reader: &Reader<'_>, count: usize) -> Result<()> {
        match self.values_left.checked_sub(count) {
            Some(left) => {
                self.values_left = left;
                Ok(())
            }
            None => Err(exceeded(reader, "values_max", self.limits.values_max)),
        }
    }

    /// Charges for a string or list of `bytes` bytes in the memory of a guest.
    #[inline]
    pub(crate) fn memory(&mut self, reader: &Reader<'_>, bytes: usize) -> Result<()> {
        let total = self.reallocations.bytes.saturating_add(bytes);
        if total > self.limits.memory_bytes_max {
            let max = self.limits.memory_bytes_max;
            return Err(exceeded(reader, "memory_bytes_max", max));
        }
        self.reallocations.bytes = total;
        self.reallocations.count += usize::from(bytes > 0);
        Ok(())
    }

    /// Reads the count of a list, charges for its elements and for their memory, and makes sure that
    /// so many elements can follow: five bytes that announce four thousand million cost nothing.
    pub(crate) fn elements(&mut self, reader: &mut Reader<'_>, element: Element) -> Result<usize> {
        let start = *reader;
        let count = reader.u32()? as usize;
        let wire = count.saturating_mul(element.wire_min as usize);
        let end = reader.position().saturating_add(wire);
        if end > self.limits.wire_bytes_max {
            let max = self.limits.wire_bytes_max;
            return Err(exceeded(&start, "wire_bytes_max", max));
        }
        self.values(&start, count)?;
        self.memory(&start, count.saturating_mul(element.memory as usize))?;
        match wire.checked_sub(reader.remaining()) {
            None | Some(0) => Ok(count),
            Some(missing) => Err(reader.error(Fault::Truncated { missing })),
        }
    }

    /// Checks how long the message was.
    pub(crate) fn wire(&self, reader: &Reader<'_>) -> Result<()> {
        let max = self.limits.wire_bytes_max;
        if reader.position() > max {
            return Err(exceeded(reader, "wire_bytes_max", max));
        }
        Ok(())
    }
}

#[cold]
fn exceeded(reader: &Reader<'_>, limit: &'static str, max: usize) -> DecodeError {
    reader.error(Fault::Limit { limit, max })
}
