//! From the bytes of the wire into the memory of a guest. Knows no wasmtime store.
//!
//! The bytes need not be trusted for the safety of the host: every count is held against what is left
//! of them before a guest is asked for memory. Only that strings are UTF-8 is left to whoever made or
//! scanned them.

use std::str;

use trellis_wire::plan::{Abi, FunctionPlan, Node, Op, Plan, PlanId, Scalar, VariantKind};
use trellis_wire::{DecodeError, Dialect, Limits, Reader, Scan, scan};
use wasmtime::ValRaw;

use crate::streams::Complete;

/// Why bytes cannot become values in a guest.
#[derive(Debug, thiserror::Error)]
pub(super) enum LowerError {
    /// The bytes are not a value of the type.
    #[error("the bytes are no value of the type: {0}")]
    Decode(#[from] DecodeError),
    /// A string that has to be written in another encoding is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A list announces more elements than bytes follow, or more than a memory holds.
    #[error("a list of {count} elements does not fit")]
    TooLong {
        /// How many.
        count: u32,
    },
    /// The guest's memory ends before the value.
    #[error("a value is out of bounds of the memory")]
    OutOfBounds,
    /// Fewer core values than the type has: host and guest disagree about a type.
    #[error("the function takes fewer core values than its type has")]
    Slots,
    /// A type that has no bytes.
    #[error("{0} cannot be received")]
    Unsupported(&'static str),
    /// The guest could not give memory.
    #[error(transparent)]
    Guest(wasmtime::Error),
}

impl LowerError {
    /// Returns the error for wasmtime. One of the guest's stays what it is, so that its class is found
    /// again.
    pub(super) fn into_wasmtime(self) -> wasmtime::Error {
        match self {
            Self::Guest(error) => error,
            error => wasmtime::Error::new(error),
        }
    }
}

type Result<T> = std::result::Result<T, LowerError>;

/// Where values go.
pub(super) trait Target {
    /// Asks the guest for `bytes` bytes of memory, aligned to `align`, and returns where they are. The
    /// memory may move.
    fn allocate(&mut self, align: u32, bytes: usize) -> wasmtime::Result<u32>;

    /// Returns the memory as it is now.
    fn memory(&mut self) -> &mut [u8];

    /// Tells whether strings are UTF-8 in this guest.
    fn is_utf8(&self) -> bool;

    /// Writes a string in the guest's encoding, and returns its pointer and length.
    fn string(&mut self, text: &str) -> wasmtime::Result<(u32, u32)>;

    /// Gives the guest the stream or future of the type `id` at `path`, and returns its index. Where all
    /// of it came with the value, that is `complete`.
    fn channel(
        &mut self,
        id: PlanId,
        path: &[u32],
        complete: Option<Complete<'_>>,
    ) -> wasmtime::Result<u32>;
}

/// One lowering.
pub(super) struct Lower<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) reader: Reader<'a>,
    pub(super) target: &'a mut T,
    /// Where it is, as far as there are streams or futures below.
    pub(super) path: Vec<u32>,
}

/// Lowers a whole tuple into core values; into memory of the guest's when it does not fit in them.
pub(super) fn tuple_to_flat<T: Target>(
    plan: &FunctionPlan,
    tuple: PlanId,
    bytes: &[u8],
    target: &mut T,
    slots: &mut [ValRaw],
) -> Result<()> {
    let mut lower = Lower {
        plan: &plan.plan,
        reader: Reader::new(bytes),
        target,
        path: Vec::new(),
    };
    let abi = lower.plan.node(tuple).abi;
    if abi.flat as usize <= slots.len() {
        lower.flat(tuple, slots)?;
    } else {
        let place = lower.allocate(abi.align, abi.size as usize)?;
        lower.value(tuple, place as usize)?;
        *first(slots)? = ValRaw::u64(place.into());
    }
    Ok(lower.reader.finish()?)
}

/// Lowers a whole tuple into the memory at `place`.
pub(super) fn tuple_to_memory<T: Target>(
    plan: &FunctionPlan,
    tuple: PlanId,
    bytes: &[u8],
    target: &mut T,
    place: usize,
) -> Result<()> {
    let mut lower = Lower {
        plan: &plan.plan,
        reader: Reader::new(bytes),
        target,
        path: Vec::new(),
    };
    lower.value(tuple, place)?;
    Ok(lower.reader.finish()?)
}

impl<'a, T: Target> Lower<'a, T> {
    /// Lowers into core values that are zero: the upper bits of a value, and what a case leaves unused,
    /// stay so.
    fn flat(&mut self, id: PlanId, slots: &mut [ValRaw]) -> Result<()> {
        let node = self.plan.node(id);
        match node.op {
            Op::Fields(range) => {
                let mut rest = slots;
                for (number, member) in self.plan.members(range).iter().enumerate() {
                    let node = self.plan.node(member.plan);
                    let count = node.abi.flat as usize;
                    let (own, after) = rest.split_at_mut_checked(count).ok_or(LowerError::Slots)?;
                    self.enter(node, number);
                    self.flat(member.plan, own)?;
                    self.leave(node);
                    rest = after;
                }
            }
            Op::Stream { .. } | Op::Future { .. } => {
                *first(slots)? = ValRaw::u32(self.channel(id)?);
            }
            Op::Variant { kind, cases, .. } => {
                let cases = self.plan.cases(cases);
                let case = self.reader.case(kind, cases.len() as u32)?;
                let (number, rest) = slots.split_first_mut().ok_or(LowerError::Slots)?;
                *number = ValRaw::u32(case);
                if let Some(payload) = cases.get(case as usize).copied().flatten() {
                    let count = self.plan.node(payload).abi.flat as usize;
                    let rest = rest.get_mut(..count).ok_or(LowerError::Slots)?;
                    self.flat(payload, rest)?;
                }
            }
            Op::Scalar(_) | Op::Enum { .. } | Op::Flags { .. } => {
                *first(slots)? = flat_scalar(&mut self.reader, node.op)?;
            }
            op => {
                let (pointer, length) = self.pointed(op)?;
                let [first, second] = slots.first_chunk_mut().ok_or(LowerError::Slots)?;
                *first = ValRaw::u32(pointer);
                *second = ValRaw::u32(length);
            }
        }
        Ok(())
    }

    /// Lowers into the memory at `place`.
    fn value(&mut self, id: PlanId, place: usize) -> Result<()> {
        let node = self.plan.node(id);
        // Where nothing is allocated, the memory stays where it is.
        if node.wire_max.is_some() && !node.has_async {
            let memory = region(self.target.memory(), place, node.abi.size as usize)?;
            return fixed(self.plan, &mut self.reader, id, memory);
        }
        match node.op {
            Op::Fields(range) => {
                for (number, member) in self.plan.members(range).iter().enumerate() {
                    let node = self.plan.node(member.plan);
                    self.enter(node, number);
                    self.value(member.plan, place + member.offset as usize)?;
                    self.leave(node);
                }
                Ok(())
            }
            Op::Stream { .. } | Op::Future { .. } => {
                let index = self.channel(id)?;
                let memory = region(self.target.memory(), place, 4)?;
                memory.copy_from_slice(&index.to_le_bytes());
                Ok(())
            }
            Op::Variant {
                kind,
                cases,
                discriminant_bytes,
                payload_offset,
            } => {
                let cases = self.plan.cases(cases);
                let case = self.reader.case(kind, cases.len() as u32)?;
                let size = usize::from(discriminant_bytes);
                let memory = region(self.target.memory(), place, size)?;
                memory.copy_from_slice(&case.to_le_bytes()[..size]);
                match cases.get(case as usize).copied().flatten() {
                    Some(payload) => self.value(payload, place + payload_offset as usize),
                    None => Ok(()),
                }
            }
            Op::Scalar(_) | Op::Enum { .. } | Op::Flags { .. } => {
                let memory = region(self.target.memory(), place, node.abi.size as usize)?;
                fixed(self.plan, &mut self.reader, id, memory)
            }
            op => {
                let (pointer, length) = self.pointed(op)?;
                let memory = region(self.target.memory(), place, 8)?;
                memory[..4].copy_from_slice(&pointer.to_le_bytes());
                memory[4..].copy_from_slice(&length.to_le_bytes());
                Ok(())
            }
        }
    }

    /// Lowers what a pointer and a length stand for.
    fn pointed(&mut self, op: Op) -> Result<(u32, u32)> {
        match op {
            Op::String if !self.target.is_utf8() => {
                let text = str::from_utf8(self.reader.bytes()?).map_err(|_| LowerError::Utf8)?;
                self.target.string(text).map_err(LowerError::Guest)
            }
            Op::String | Op::Bytes | Op::ScalarList(Scalar::S8 | Scalar::U8) => {
                let bytes = self.reader.bytes()?;
                let place = self.allocate(1, bytes.len())?;
                region(self.target.memory(), place as usize, bytes.len())?.copy_from_slice(bytes);
                Ok((place, bytes.len() as u32))
            }
            Op::ScalarList(scalar) => {
                let abi = Abi::of_scalar(scalar);
                let count = self.count(scalar_wire_min(scalar))?;
                let place = self.list(count, abi)?;
                let bytes = count as usize * abi.size as usize;
                let memory = region(self.target.memory(), place as usize, bytes)?;
                scalars(scalar, &mut self.reader, memory)?;
                Ok((place, count))
            }
            Op::List { element } => {
                let node = *self.plan.node(element);
                let count = self.count(node.wire_min)?;
                let place = self.list(count, node.abi)?;
                self.elements(element, place as usize, count as usize)?;
                Ok((place, count))
            }
            Op::Own | Op::Borrow => Err(LowerError::Unsupported("a resource")),
            // Every other step was taken before.
            _ => Err(LowerError::Slots),
        }
    }

    fn enter(&mut self, member: &Node, number: usize) {
        if member.has_async {
            self.path.push(number as u32);
        }
    }

    fn leave(&mut self, member: &Node) {
        if member.has_async {
            self.path.pop();
        }
    }

    fn channel(&mut self, id: PlanId) -> Result<u32> {
        let complete = self.complete(id)?;
        self.target
            .channel(id, &self.path, complete)
            .map_err(LowerError::Guest)
    }

    /// Reads a stream or future that came with the value; nothing where it comes on a channel.
    fn complete(&mut self, id: PlanId) -> Result<Option<Complete<'a>>> {
        let mut inside = self.reader;
        let wire = self.whole(id)?;
        let is_future = matches!(self.plan.node(id).op, Op::Future { .. });
        let is_here = if is_future {
            inside.bool()?
        } else {
            Dialect::A.read_complete(&mut inside)?
        };
        if !is_here {
            return Ok(None);
        }
        let count = if is_future { 1 } else { inside.u32()? };
        let before = inside.position() - (self.reader.position() - wire.len());
        let wire = wire.get(before..).unwrap_or_default();
        Ok(Some(Complete { count, wire }))
    }

    /// Reads the bytes of a value, whatever they mean.
    fn whole(&mut self, id: PlanId) -> Result<&'a [u8]> {
        let mut ahead = self.reader;
        let rest = ahead.take(ahead.remaining())?;
        match scan(self.plan, id, rest, Dialect::A, &Limits::default())? {
            Scan::Complete { length, .. } => Ok(self.reader.take(length)?),
            Scan::NeedMore { missing } => Ok(self.reader.take(rest.len() + missing)?),
        }
    }

    fn elements(&mut self, element: PlanId, place: usize, count: usize) -> Result<()> {
        let node = *self.plan.node(element);
        let size = node.abi.size.max(1) as usize;
        if node.wire_max.is_some() && !node.has_async {
            let memory = region(self.target.memory(), place, count * size)?;
            for memory in memory.chunks_exact_mut(size) {
                fixed(self.plan, &mut self.reader, element, memory)?;
            }
            return Ok(());
        }
        (0..count).try_for_each(|index| {
            self.enter(&node, index);
            self.value(element, place + index * size)?;
            self.leave(&node);
            Ok(())
        })
    }

    /// Reads how many elements follow; no more than there are bytes for.
    fn count(&mut self, wire_min: u32) -> Result<u32> {
        let count = self.reader.u32()?;
        let bytes_min = u64::from(count) * u64::from(wire_min.max(1));
        if bytes_min > self.reader.remaining() as u64 {
            return Err(LowerError::TooLong { count });
        }
        Ok(count)
    }

    fn list(&mut self, count: u32, element: Abi) -> Result<u32> {
        let bytes = u64::from(count) * u64::from(element.size);
        let bytes = u32::try_from(bytes).map_err(|_| LowerError::TooLong { count })?;
        self.allocate(element.align, bytes as usize)
    }

    fn allocate(&mut self, align: u32, bytes: usize) -> Result<u32> {
        self.target
            .allocate(align, bytes)
            .map_err(LowerError::Guest)
    }
}

/// Lowers a value without strings and lists into the first bytes of `memory`.
fn fixed(plan: &Plan, reader: &mut Reader<'_>, id: PlanId, memory: &mut [u8]) -> Result<()> {
    let node = plan.node(id);
    match node.op {
        Op::Fields(range) => {
            for member in plan.members(range) {
                fixed(plan, reader, member.plan, after(memory, member.offset)?)?;
            }
            Ok(())
        }
        Op::Scalar(scalar) => self::scalar(scalar, reader, memory),
        Op::Variant {
            kind,
            cases,
            discriminant_bytes,
            payload_offset,
        } => {
            let cases = plan.cases(cases);
            let case = reader.case(kind, cases.len() as u32)?;
            put(
                memory,
                &case.to_le_bytes()[..usize::from(discriminant_bytes)],
            )?;
            match cases.get(case as usize).copied().flatten() {
                Some(payload) => fixed(plan, reader, payload, after(memory, payload_offset)?),
                None => Ok(()),
            }
        }
        Op::Enum {
            cases,
            discriminant_bytes,
        } => {
            let case = enumeration(reader, cases)?;
            put(
                memory,
                &case.to_le_bytes()[..usize::from(discriminant_bytes)],
            )
        }
        Op::Flags { labels } => {
            let bits = reader.flags(labels)?;
            put(memory, &bits.to_le_bytes()[..node.abi.size as usize])
        }
        // A value without a bound on its bytes never comes here.
        _ => Err(LowerError::Slots),
    }
}

fn enumeration(reader: &mut Reader<'_>, cases: u32) -> Result<u32> {
    Ok(reader.case(VariantKind::Variant, cases)?)
}

fn scalar(scalar: Scalar, reader: &mut Reader<'_>, memory: &mut [u8]) -> Result<()> {
    match scalar {
        Scalar::Bool => put(memory, &[u8::from(reader.bool()?)]),
        Scalar::U8 | Scalar::S8 => put(memory, &[reader.u8()?]),
        Scalar::U16 => put(memory, &reader.u16()?.to_le_bytes()),
        Scalar::S16 => put(memory, &reader.s16()?.to_le_bytes()),
        Scalar::U32 => put(memory, &reader.u32()?.to_le_bytes()),
        Scalar::S32 => put(memory, &reader.s32()?.to_le_bytes()),
        Scalar::U64 => put(memory, &reader.u64()?.to_le_bytes()),
        Scalar::S64 => put(memory, &reader.s64()?.to_le_bytes()),
        Scalar::F32 => put(memory, &reader.f32()?.to_le_bytes()),
        Scalar::F64 => put(memory, &reader.f64()?.to_le_bytes()),
        Scalar::Char => put(memory, &u32::from(reader.char()?).to_le_bytes()),
    }
}

/// Reads a value that is one core value. Signed numbers are widened with their sign.
fn flat_scalar(reader: &mut Reader<'_>, op: Op) -> Result<ValRaw> {
    Ok(match op {
        Op::Enum { cases, .. } => ValRaw::u32(enumeration(reader, cases)?),
        Op::Flags { labels } => ValRaw::u32(reader.flags(labels)?),
        Op::Scalar(scalar) => match scalar {
            Scalar::Bool => ValRaw::u32(reader.bool()?.into()),
            Scalar::U8 => ValRaw::u32(reader.u8()?.into()),
            Scalar::S8 => ValRaw::i32(reader.s8()?.into()),
            Scalar::U16 => ValRaw::u32(reader.u16()?.into()),
            Scalar::S16 => ValRaw::i32(reader.s16()?.into()),
            Scalar::U32 => ValRaw::u32(reader.u32()?),
            Scalar::S32 => ValRaw::i32(reader.s32()?),
            Scalar::U64 => ValRaw::u64(reader.u64()?),
            Scalar::S64 => ValRaw::i64(reader.s64()?),
            Scalar::F32 => ValRaw::f32(reader.f32()?.to_bits()),
            Scalar::F64 => ValRaw::f64(reader.f64()?.to_bits()),
            Scalar::Char => ValRaw::u32(reader.char()?.into()),
        },
        _ => return Err(LowerError::Slots),
    })
}

fn scalars(scalar: Scalar, reader: &mut Reader<'_>, memory: &mut [u8]) -> Result<()> {
    match scalar {
        // Nothing to change or to check but what a NaN looks like, and any NaN is taken.
        Scalar::U8 | Scalar::S8 | Scalar::F32 | Scalar::F64 => {
            memory.copy_from_slice(reader.take(memory.len())?);
            Ok(())
        }
        Scalar::Bool | Scalar::Char => {
            let size = Abi::of_scalar(scalar).size as usize;
            memory
                .chunks_exact_mut(size)
                .try_for_each(|memory| self::scalar(scalar, reader, memory))
        }
        Scalar::U16 => each(memory, || Ok(reader.u16()?.to_le_bytes())),
        Scalar::S16 => each(memory, || Ok(reader.s16()?.to_le_bytes())),
        Scalar::U32 => each(memory, || Ok(reader.u32()?.to_le_bytes())),
        Scalar::S32 => each(memory, || Ok(reader.s32()?.to_le_bytes())),
        Scalar::U64 => each(memory, || Ok(reader.u64()?.to_le_bytes())),
        Scalar::S64 => each(memory, || Ok(reader.s64()?.to_le_bytes())),
    }
}

/// Fewest bytes of a scalar on the wire.
fn scalar_wire_min(scalar: Scalar) -> u32 {
    match scalar {
        Scalar::F32 => 4,
        Scalar::F64 => 8,
        _ => 1,
    }
}

fn each<const N: usize>(
    memory: &mut [u8],
    mut read: impl FnMut() -> Result<[u8; N]>,
) -> Result<()> {
    let (elements, _) = memory.as_chunks_mut::<N>();
    for element in elements {
        *element = read()?;
    }
    Ok(())
}

fn put(memory: &mut [u8], bytes: &[u8]) -> Result<()> {
    let memory = memory
        .get_mut(..bytes.len())
        .ok_or(LowerError::OutOfBounds)?;
    memory.copy_from_slice(bytes);
    Ok(())
}

fn region(memory: &mut [u8], place: usize, bytes: usize) -> Result<&mut [u8]> {
    memory
        .get_mut(place..)
        .and_then(|memory| memory.get_mut(..bytes))
        .ok_or(LowerError::OutOfBounds)
}

fn after(memory: &mut [u8], offset: u32) -> Result<&mut [u8]> {
    memory
        .get_mut(offset as usize..)
        .ok_or(LowerError::OutOfBounds)
}

fn first(slots: &mut [ValRaw]) -> Result<&mut ValRaw> {
    slots.first_mut().ok_or(LowerError::Slots)
}
