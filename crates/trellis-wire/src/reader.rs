//! Reads the encoding of single values from a slice, and checks everything that can be wrong.

use std::str;

use crate::error::{DecodeError, Fault};
use crate::plan::VariantKind;

type Result<T> = std::result::Result<T, DecodeError>;

/// A place in bytes that were received.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Returns how many bytes were read.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns how many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Returns an error at the present place.
    #[cold]
    pub fn error(&self, fault: Fault) -> DecodeError {
        DecodeError {
            at: self.position,
            fault,
        }
    }

    /// Ends the message.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn finish(self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(Fault::Trailing { count })),
        }
    }

    /// Reads `count` bytes as they are.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.remaining() {
            let missing = count - self.remaining();
            return Err(self.error(Fault::Truncated { missing }));
        }
        let taken = &self.bytes[self.position..self.position + count];
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads a `u8`.
    ///
    /// # Errors
    /// At the end of the bytes.
    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        let Some(&byte) = self.bytes.get(self.position) else {
            return Err(self.error(Fault::Truncated { missing: 1 }));
        };
        self.position += 1;
        Ok(byte)
    }

    /// Reads an `s8`.
    ///
    /// # Errors
    /// At the end of the bytes.
    #[inline]
    pub fn s8(&mut self) -> Result<i8> {
        Ok(self.u8()? as i8)
    }

    /// Reads a `bool`, or the first byte of an option, result or future.
    ///
    /// # Errors
    /// When it is neither 0 nor 1.
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        match self.bytes.get(self.position) {
            Some(0) => {
                self.position += 1;
                Ok(false)
            }
            Some(1) => {
                self.position += 1;
                Ok(true)
            }
            Some(&byte) => Err(self.error(Fault::NotZeroOrOne { byte })),
            None => Err(self.error(Fault::Truncated { missing: 1 })),
        }
    }

    /// Reads a `u16`.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        Ok(self.unsigned::<16>()? as u16)
    }

    /// Reads a `u32`, a count or a length.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        Ok(self.unsigned::<32>()? as u32)
    }

    /// Reads a `u64`.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        self.unsigned::<64>()
    }

    /// Reads an `s16`.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn s16(&mut self) -> Result<i16> {
        Ok(self.signed::<16>()? as i16)
    }

    /// Reads an `s32`.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn s32(&mut self) -> Result<i32> {
        Ok(self.signed::<32>()? as i32)
    }

    /// Reads an `s64`.
    ///
    /// # Errors
    /// When the bytes end, or hold no such number.
    #[inline]
    pub fn s64(&mut self) -> Result<i64> {
        self.signed::<64>()
    }

    #[inline]
    fn unsigned<const BITS: u32>(&mut self) -> Result<u64> {
        // Most numbers are counts below 128.
        if let Some(&byte) = self.bytes.get(self.position)
            && byte < 0x80
        {
            self.position += 1;
            return Ok(u64::from(byte));
        }
        let (value, length) = self.leb::<BITS>()?;
        // Groups above bit 63 were checked while they were read.
        if BITS < 64 && value >> BITS != 0 {
            return Err(self.error(Fault::Number { bits: BITS }));
        }
        self.position += length;
        Ok(value)
    }

    #[inline]
    fn signed<const BITS: u32>(&mut self) -> Result<i64> {
        let (value, length) = self.leb_signed::<BITS>()?;
        let unused = 64 - BITS;
        if (value << unused) >> unused != value {
            return Err(self.error(Fault::Number { bits: BITS }));
        }
        self.position += length;
        Ok(value)
    }

    /// Reads the groups of an unsigned number, and how many bytes they took.
    fn leb<const BITS: u32>(&self) -> Result<(u64, usize)> {
        let (value, length, last) = self.groups::<BITS>()?;
        // The tenth group has room for one bit.
        if length == 10 && last > 1 {
            return Err(self.error(Fault::Number { bits: BITS }));
        }
        Ok((value, length))
    }

    fn leb_signed<const BITS: u32>(&self) -> Result<(i64, usize)> {
        let (value, length, last) = self.groups::<BITS>()?;
        if length == 10 {
            // One bit of value; the rest must repeat it.
            if last != 0 && last != 0x7f {
                return Err(self.error(Fault::Number { bits: BITS }));
            }
            return Ok((value as i64, length));
        }
        let unused = 64 - 7 * length as u32;
        Ok((((value << unused) as i64) >> unused, length))
    }

    /// Joins groups of seven bits. A number may be longer than it needs to be, up to the most bytes
    /// that its width can need.
    fn groups<const BITS: u32>(&self) -> Result<(u64, usize, u8)> {
        let length_max = BITS.div_ceil(7) as usize;
        let rest = &self.bytes[self.position..];
        if let Some(word) = rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                let length = (ends.trailing_zeros() / 8) as usize + 1;
                if length > length_max {
                    return Err(self.error(Fault::Number { bits: BITS }));
                }
                let keep = u64::MAX >> (64 - 8 * length as u32);
                return Ok((squeeze(word & keep), length, rest[length - 1]));
            }
        }
        let mut value = 0;
        for (index, &byte) in rest.iter().enumerate().take(length_max) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok((value, index + 1, byte));
            }
        }
        if rest.len() < length_max {
            return Err(self.error(Fault::Truncated { missing: 1 }));
        }
        Err(self.error(Fault::Number { bits: BITS }))
    }

    /// Reads an `f32`. Any NaN is taken as it is.
    ///
    /// # Errors
    /// When fewer than four bytes are left.
    #[inline]
    pub fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// Reads an `f64`. Any NaN is taken as it is.
    ///
    /// # Errors
    /// When fewer than eight bytes are left.
    #[inline]
    pub fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// Reads a `char`.
    ///
    /// # Errors
    /// When the next bytes are not one character in UTF-8.
    #[inline]
    pub fn char(&mut self) -> Result<char> {
        let mut ahead = *self;
        let first = ahead.u8()?;
        if first < 0x80 {
            *self = ahead;
            return Ok(char::from(first));
        }
        let length = match first {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Err(self.error(Fault::Utf8)),
        };
        let mut ahead = *self;
        let bytes = ahead.take(length)?;
        let text = str::from_utf8(bytes).map_err(|_| self.error(Fault::Utf8))?;
        let Some(value) = text.chars().next() else {
            return Err(self.error(Fault::Utf8));
        };
        *self = ahead;
        Ok(value)
    }

    /// Reads a `list<u8>`, or the opaque bytes of a handle.
    ///
    /// # Errors
    /// When fewer bytes are left than announced.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.u32()?;
        self.take(count as usize)
    }

    /// Reads a `string`.
    ///
    /// # Errors
    /// When fewer bytes are left than announced, or they are not UTF-8.
    #[inline]
    pub fn string(&mut self) -> Result<&'a str> {
        let start = *self;
        let bytes = self.bytes()?;
        str::from_utf8(bytes).map_err(|_| start.error(Fault::Utf8))
    }

    /// Reads the number of a case out of `cases`.
    ///
    /// # Errors
    /// When there is no such case.
    #[inline]
    pub fn case(&mut self, kind: VariantKind, cases: u32) -> Result<u32> {
        if kind != VariantKind::Variant {
            return Ok(u32::from(self.bool()?));
        }
        let start = *self;
        let case = self.u32()?;
        if case >= cases {
            return Err(start.error(Fault::Case { case, cases }));
        }
        Ok(case)
    }

    /// Reads flags of `labels` labels; label `i` is bit `i` of the result.
    ///
    /// # Errors
    /// When a bit is set that no label belongs to.
    #[inline]
    pub fn flags(&mut self, labels: u8) -> Result<u32> {
        let start = *self;
        let bytes = self.take(usize::from(labels.div_ceil(8)).min(4))?;
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        let bits = u32::from_le_bytes(word);
        if labels < 32 && bits >> labels != 0 {
            return Err(start.error(Fault::Flags));
        }
        Ok(bits)
    }
}

/// Joins eight groups of seven bits, one in each byte, into 56 bits.
#[inline]
fn squeeze(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
    (word & 0x0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4)
}
