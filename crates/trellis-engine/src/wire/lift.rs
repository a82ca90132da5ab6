//! From the memory of a guest to the bytes of the wire. Knows a slice of memory and no wasmtime store.

use std::str;

use trellis_wire::plan::{
    Abi, FunctionPlan, Node, Op, Plan, PlanError, PlanId, Scalar, VariantKind,
};
use trellis_wire::write;
use wasmtime::ValRaw;

/// Why what a guest passes has no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum LiftError {
    /// A pointer and a length that leave the memory.
    #[error("a pointer is out of bounds of the memory")]
    OutOfBounds,
    /// A pointer that its type does not allow.
    #[error("a pointer is not aligned to {align}")]
    NotAligned {
        /// What it should be a multiple of.
        align: u32,
    },
    /// A string that is not in its encoding.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A number that is no character.
    #[error("{code:#x} is no character")]
    Char {
        /// The number.
        code: u32,
    },
    /// A case that the type does not have.
    #[error("case {case} of a type with {cases} cases")]
    Case {
        /// The number of the case.
        case: u32,
        /// How many there are.
        cases: usize,
    },
    /// Fewer core values than the type has: host and guest disagree about a type.
    #[error("the function passes fewer core values than its type has")]
    Slots,
    /// A type that has no bytes.
    #[error("{0} cannot be sent")]
    Unsupported(&'static str),
    /// A type that is too large.
    #[error("a type cannot be sent")]
    Plan(#[source] PlanError),
    /// The guest spent what it may pass in one call, or a string could not be read.
    #[error(transparent)]
    Guest(wasmtime::Error),
}

impl LiftError {
    /// Returns the error for wasmtime. One of the guest's stays what it is, so that its class is found
    /// again.
    pub(super) fn into_wasmtime(self) -> wasmtime::Error {
        match self {
            Self::Guest(error) => error,
            error => wasmtime::Error::new(error),
        }
    }
}

type Result<T> = std::result::Result<T, LiftError>;

/// What a lift asks of its guest, its memory apart.
pub(super) trait Source {
    /// Takes `bytes` from what the guest may still pass in this call.
    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()>;

    /// Reads a string in an encoding other than UTF-8; none where strings are UTF-8.
    fn transcode(&mut self, pointer: u32, length: u32) -> Option<wasmtime::Result<String>>;

    /// Takes the stream or future `index` from the guest, which stands at `path` and is of the type `id`.
    fn channel(&mut self, id: PlanId, path: &[u32], index: u32) -> wasmtime::Result<()>;
}

/// One lift.
pub(super) struct Lift<'a, S> {
    pub(super) plan: &'a Plan,
    pub(super) memory: &'a [u8],
    pub(super) source: &'a mut S,
    pub(super) out: &'a mut Vec<u8>,
    /// Where it is, as far as there are streams or futures below.
    pub(super) path: Vec<u32>,
}

impl<'a, S: Source> Lift<'a, S> {
    /// Lifts the tuple of `plan` from core values.
    pub(super) fn tuple_from_flat(&mut self, plan: &FunctionPlan, slots: &[ValRaw]) -> Result<()> {
        if plan.flat_params as usize != slots.len() {
            return Err(LiftError::Slots);
        }
        self.flat(plan.params, slots)
    }

    /// Lifts the tuple of `plan` from the memory at `pointer`.
    pub(super) fn tuple_from_memory(&mut self, plan: &FunctionPlan, pointer: usize) -> Result<()> {
        let abi = plan.plan.node(plan.params).abi;
        let bytes = self.region(pointer, abi.align, abi.size as usize)?;
        self.value(plan.params, bytes)
    }

    /// Lifts one value from the memory at `pointer`.
    pub(super) fn value_from_memory(&mut self, id: PlanId, pointer: usize) -> Result<()> {
        let abi = self.plan.node(id).abi;
        let bytes = self.region(pointer, abi.align, abi.size as usize)?;
        self.value(id, bytes)
    }

    fn flat(&mut self, id: PlanId, slots: &[ValRaw]) -> Result<()> {
        let node = self.plan.node(id);
        match node.op {
            Op::Fields(range) => {
                let mut rest = slots;
                for (number, member) in self.plan.members(range).iter().enumerate() {
                    let node = self.plan.node(member.plan);
                    let count = node.abi.flat as usize;
                    let (own, after) = rest.split_at_checked(count).ok_or(LiftError::Slots)?;
                    self.enter(node, number);
                    self.flat(member.plan, own)?;
                    self.leave(node);
                    rest = after;
                }
                Ok(())
            }
            Op::Stream { .. } | Op::Future { .. } => self.channel(id, first(slots)?.get_u32()),
            Op::Scalar(scalar) => self.flat_scalar(scalar, first(slots)?),
            Op::Variant { kind, cases, .. } => {
                let cases = self.plan.cases(cases);
                let Some(payload) = self.case(kind, first(slots)?.get_u32(), cases)? else {
                    return Ok(());
                };
                let count = self.plan.node(payload).abi.flat as usize;
                let slots = slots.get(1..1 + count).ok_or(LiftError::Slots)?;
                self.flat(payload, slots)
            }
            Op::Enum { cases, .. } => self.enumeration(first(slots)?.get_u32(), cases),
            Op::Flags { labels } => {
                self.flags(labels, first(slots)?.get_u32());
                Ok(())
            }
            op => {
                let [pointer, length] = slots.first_chunk().ok_or(LiftError::Slots)?;
                self.pointed(op, pointer.get_u32(), length.get_u32())
            }
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

    /// Takes a stream or future. Its elements come on a channel of their own.
    fn channel(&mut self, id: PlanId, index: u32) -> Result<()> {
        write::bool(self.out, false);
        self.source
            .channel(id, &self.path, index)
            .map_err(LiftError::Guest)
    }

    fn flat_scalar(&mut self, scalar: Scalar, slot: &ValRaw) -> Result<()> {
        // Only as much of a slot is read as its type fills. The canonical ABI ignores upper bits.
        match scalar {
            Scalar::U64 | Scalar::S64 | Scalar::F64 => {
                self.scalar(scalar, &slot.get_u64().to_le_bytes())
            }
            Scalar::Bool => {
                write::bool(self.out, slot.get_u32() != 0);
                Ok(())
            }
            _ => self.scalar(scalar, &slot.get_u32().to_le_bytes()),
        }
    }

    /// Lifts a value that takes the first bytes of `bytes`.
    fn value(&mut self, id: PlanId, bytes: &[u8]) -> Result<()> {
        let node = self.plan.node(id);
        match node.op {
            Op::Fields(range) => {
                for (number, member) in self.plan.members(range).iter().enumerate() {
                    let node = self.plan.node(member.plan);
                    self.enter(node, number);
                    self.value(member.plan, after(bytes, member.offset)?)?;
                    self.leave(node);
                }
                Ok(())
            }
            Op::Stream { .. } | Op::Future { .. } => self.channel(id, number(bytes, 4)?),
            Op::Scalar(scalar) => self.scalar(scalar, bytes),
            Op::Variant {
                kind,
                cases,
                discriminant_bytes,
                payload_offset,
            } => {
                let case = number(bytes, discriminant_bytes)?;
                match self.case(kind, case, self.plan.cases(cases))? {
                    Some(payload) => self.value(payload, after(bytes, payload_offset)?),
                    None => Ok(()),
                }
            }
            Op::Enum {
                cases,
                discriminant_bytes,
            } => self.enumeration(number(bytes, discriminant_bytes)?, cases),
            Op::Flags { labels } => {
                let bits = number(bytes, node.abi.size as u8)?;
                self.flags(labels, bits);
                Ok(())
            }
            op => {
                let pointer = u32::from_le_bytes(array(bytes)?);
                let length = u32::from_le_bytes(array(after(bytes, 4)?)?);
                self.pointed(op, pointer, length)
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar, bytes: &[u8]) -> Result<()> {
        let out = &mut *self.out;
        match scalar {
            Scalar::Bool => write::bool(out, array::<1>(bytes)? != [0]),
            Scalar::U8 | Scalar::S8 => out.extend_from_slice(&array::<1>(bytes)?),
            Scalar::U16 => write::unsigned(out, u16::from_le_bytes(array(bytes)?).into()),
            Scalar::S16 => write::signed(out, i16::from_le_bytes(array(bytes)?).into()),
            Scalar::U32 => write::unsigned(out, u32::from_le_bytes(array(bytes)?).into()),
            Scalar::S32 => write::signed(out, i32::from_le_bytes(array(bytes)?).into()),
            Scalar::U64 => write::unsigned(out, u64::from_le_bytes(array(bytes)?)),
            Scalar::S64 => write::signed(out, i64::from_le_bytes(array(bytes)?)),
            Scalar::F32 => write::f32(out, f32::from_le_bytes(array(bytes)?)),
            Scalar::F64 => write::f64(out, f64::from_le_bytes(array(bytes)?)),
            Scalar::Char => {
                let code = u32::from_le_bytes(array(bytes)?);
                write::char(out, char::from_u32(code).ok_or(LiftError::Char { code })?);
            }
        }
        Ok(())
    }

    /// Writes the number of a case and returns its payload.
    fn case(
        &mut self,
        kind: VariantKind,
        case: u32,
        cases: &[Option<PlanId>],
    ) -> Result<Option<PlanId>> {
        let payload = cases.get(case as usize).ok_or(LiftError::Case {
            case,
            cases: cases.len(),
        })?;
        match kind {
            VariantKind::Variant => write::unsigned(self.out, case.into()),
            VariantKind::Option | VariantKind::Result => write::bool(self.out, case != 0),
        }
        Ok(*payload)
    }

    fn enumeration(&mut self, case: u32, cases: u32) -> Result<()> {
        if case >= cases {
            let cases = cases as usize;
            return Err(LiftError::Case { case, cases });
        }
        write::unsigned(self.out, case.into());
        Ok(())
    }

    /// Writes flags. As in the canonical ABI, bits without a label are dropped.
    fn flags(&mut self, labels: u8, bits: u32) {
        let mask = u32::MAX >> (32 - u32::from(labels.clamp(1, 32)));
        write::flags(self.out, labels, bits & mask);
    }

    /// Lifts what a pointer and a length stand for.
    fn pointed(&mut self, op: Op, pointer: u32, length: u32) -> Result<()> {
        match op {
            Op::String => self.string(pointer, length),
            Op::Bytes => {
                let bytes = self.elements(pointer, length, 1, 1)?;
                write::bytes(self.out, bytes);
                Ok(())
            }
            Op::ScalarList(scalar) => self.scalars(scalar, pointer, length),
            Op::List { element } => {
                let Node { abi, .. } = *self.plan.node(element);
                let bytes = self.elements(pointer, length, abi.align, abi.size)?;
                self.count(length, bytes.len());
                // A type has a size: the plan refuses those without parts.
                let node = self.plan.node(element);
                for (number, bytes) in bytes.chunks_exact(abi.size.max(1) as usize).enumerate() {
                    self.enter(node, number);
                    self.value(element, bytes)?;
                    self.leave(node);
                }
                Ok(())
            }
            Op::Own | Op::Borrow => Err(LiftError::Unsupported("a resource")),
            // Every other step was taken before.
            _ => Err(LiftError::Slots),
        }
    }

    fn string(&mut self, pointer: u32, length: u32) -> Result<()> {
        if let Some(text) = self.source.transcode(pointer, length) {
            write::string(self.out, &text.map_err(LiftError::Guest)?);
            return Ok(());
        }
        let bytes = self.elements(pointer, length, 1, 1)?;
        let text = str::from_utf8(bytes).map_err(|_| LiftError::Utf8)?;
        write::string(self.out, text);
        Ok(())
    }

    fn scalars(&mut self, scalar: Scalar, pointer: u32, length: u32) -> Result<()> {
        let size = Abi::of_scalar(scalar).size;
        let bytes = self.elements(pointer, length, size, size)?;
        self.count(length, bytes.len());
        let out = &mut *self.out;
        match scalar {
            Scalar::U8 | Scalar::S8 => out.extend_from_slice(bytes),
            Scalar::Bool => out.extend(bytes.iter().map(|byte| u8::from(*byte != 0))),
            Scalar::U16 => each(bytes, |it| {
                write::unsigned(out, u16::from_le_bytes(it).into())
            }),
            Scalar::S16 => each(bytes, |it| {
                write::signed(out, i16::from_le_bytes(it).into())
            }),
            Scalar::U32 => each(bytes, |it| {
                write::unsigned(out, u32::from_le_bytes(it).into())
            }),
            Scalar::S32 => each(bytes, |it| {
                write::signed(out, i32::from_le_bytes(it).into())
            }),
            Scalar::U64 => each(bytes, |it| write::unsigned(out, u64::from_le_bytes(it))),
            Scalar::S64 => each(bytes, |it| write::signed(out, i64::from_le_bytes(it))),
            Scalar::F32 => each(bytes, |it| write::f32(out, f32::from_le_bytes(it))),
            Scalar::F64 => each(bytes, |it| write::f64(out, f64::from_le_bytes(it))),
            Scalar::Char => {
                for bytes in bytes.chunks_exact(4) {
                    self.scalar(scalar, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the number of elements, and makes room for them.
    fn count(&mut self, length: u32, bytes: usize) {
        self.out.reserve(bytes + 5);
        write::unsigned(self.out, length.into());
    }

    /// Returns the memory of a list, paid for.
    fn elements(&mut self, pointer: u32, length: u32, align: u32, size: u32) -> Result<&'a [u8]> {
        let bytes = usize::try_from(u64::from(length) * u64::from(size))
            .map_err(|_| LiftError::OutOfBounds)?;
        let region = self.region(pointer as usize, align, bytes)?;
        self.source.charge(bytes).map_err(LiftError::Guest)?;
        Ok(region)
    }

    fn region(&self, pointer: usize, align: u32, bytes: usize) -> Result<&'a [u8]> {
        if !pointer.is_multiple_of(align.max(1) as usize) {
            return Err(LiftError::NotAligned { align });
        }
        self.memory
            .get(pointer..)
            .and_then(|memory| memory.get(..bytes))
            .ok_or(LiftError::OutOfBounds)
    }
}

fn first(slots: &[ValRaw]) -> Result<&ValRaw> {
    slots.first().ok_or(LiftError::Slots)
}

fn after(bytes: &[u8], offset: u32) -> Result<&[u8]> {
    bytes.get(offset as usize..).ok_or(LiftError::OutOfBounds)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.first_chunk().copied().ok_or(LiftError::OutOfBounds)
}

/// Reads a number of 1, 2 or 4 bytes.
fn number(bytes: &[u8], size: u8) -> Result<u32> {
    Ok(match size {
        1 => array::<1>(bytes)?[0].into(),
        2 => u16::from_le_bytes(array(bytes)?).into(),
        _ => u32::from_le_bytes(array(bytes)?),
    })
}

fn each<const N: usize>(bytes: &[u8], mut write: impl FnMut([u8; N])) {
    let (elements, _) = bytes.as_chunks::<N>();
    for element in elements {
        write(*element);
    }
}
