//! Sizes, alignments and flat slots by the canonical ABI, for 32-bit memories.

use super::{PlanError, Scalar};

/// What a type takes in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    /// Bytes in memory, a multiple of `align` for everything with parts.
    pub size: u32,
    /// Alignment in memory: 1, 2, 4 or 8.
    pub align: u32,
    /// Core values when passed flat; saturates, and is compared with 16 or less.
    pub flat: u32,
}

impl Abi {
    /// A handle, a stream or a future: an index.
    pub(super) const INDEX: Self = Self::scalar_of(4);
    /// A string or a list: a pointer and a length.
    pub(super) const POINTER_AND_LENGTH: Self = Self {
        size: 8,
        align: 4,
        flat: 2,
    };

    const fn scalar_of(bytes: u32) -> Self {
        Self {
            size: bytes,
            align: bytes,
            flat: 1,
        }
    }

    /// Returns the layout of one scalar.
    pub const fn of_scalar(scalar: Scalar) -> Self {
        Self::scalar_of(match scalar {
            Scalar::Bool | Scalar::U8 | Scalar::S8 => 1,
            Scalar::U16 | Scalar::S16 => 2,
            Scalar::U32 | Scalar::S32 | Scalar::F32 | Scalar::Char => 4,
            Scalar::U64 | Scalar::S64 | Scalar::F64 => 8,
        })
    }

    /// Returns the layout of flags.
    pub(super) const fn of_flags(labels: u8) -> Self {
        Self::scalar_of(match labels {
            0..=8 => 1,
            9..=16 => 2,
            _ => 4,
        })
    }
}

/// Lays out members one after the other.
pub(super) struct Layout {
    abi: Abi,
}

impl Layout {
    pub(super) fn new() -> Self {
        Self {
            abi: Abi {
                size: 0,
                align: 1,
                flat: 0,
            },
        }
    }

    /// Adds a member and returns its offset.
    pub(super) fn push(&mut self, member: Abi) -> Result<u32, PlanError> {
        let offset = align_up(self.abi.size, member.align)?;
        self.abi.size = offset.checked_add(member.size).ok_or(PlanError::TooLarge)?;
        self.abi.align = self.abi.align.max(member.align);
        self.abi.flat = self.abi.flat.saturating_add(member.flat);
        Ok(offset)
    }

    pub(super) fn finish(self) -> Result<Abi, PlanError> {
        Ok(Abi {
            size: align_up(self.abi.size, self.abi.align)?,
            ..self.abi
        })
    }
}

/// Returns the bytes that the case number of a type with `cases` cases takes in memory.
pub const fn discriminant_bytes(cases: u32) -> u8 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Returns the layout of a variant, and where its payload begins.
pub(super) fn of_variant(
    discriminant_bytes: u8,
    payloads: impl Iterator<Item = Abi>,
) -> Result<(Abi, u32), PlanError> {
    let discriminant = u32::from(discriminant_bytes);
    let mut largest = Abi {
        size: 0,
        align: 1,
        flat: 0,
    };
    for payload in payloads {
        largest.size = largest.size.max(payload.size);
        largest.align = largest.align.max(payload.align);
        largest.flat = largest.flat.max(payload.flat);
    }
    let payload_offset = align_up(discriminant, largest.align)?;
    let align = largest.align.max(discriminant);
    let end = payload_offset
        .checked_add(largest.size)
        .ok_or(PlanError::TooLarge)?;
    let abi = Abi {
        size: align_up(end, align)?,
        align,
        flat: largest.flat.saturating_add(1),
    };
    Ok((abi, payload_offset))
}

fn align_up(offset: u32, align: u32) -> Result<u32, PlanError> {
    offset
        .checked_next_multiple_of(align)
        .ok_or(PlanError::TooLarge)
}
