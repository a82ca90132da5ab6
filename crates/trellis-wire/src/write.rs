//! Writes the encoding of single values. Each function appends to a buffer and cannot fail.

/// Most bytes of a LEB128 number of 64 bits.
const LEB_BYTES_MAX: usize = 10;

/// The only NaN that is sent.
const NAN_32: u32 = 0x7fc0_0000;
/// The only NaN that is sent.
const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// Writes a `bool`.
#[inline]
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Writes a `u16`, `u32` or `u64`, a length, a count or the number of a case.
#[inline]
pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    leb(out, 64 - value.leading_zeros(), |shift| {
        (value >> shift) as u8
    });
}

/// Writes an `s16`, `s32` or `s64`.
#[inline]
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if (-0x40..0x40).contains(&value) {
        out.push(value as u8 & 0x7f);
        return;
    }
    // The bits that differ from the sign, and one for the sign itself.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros();
    leb(out, bits, |shift| (value >> shift) as u8);
}

/// Stores all ten groups and keeps those that count: no branch for each byte.
fn leb(out: &mut Vec<u8>, bits: u32, group: impl Fn(u32) -> u8) {
    let groups = bits.div_ceil(7) as usize;
    let mut bytes = [0; LEB_BYTES_MAX];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = group(7 * index as u32) | 0x80;
    }
    bytes[groups - 1] &= 0x7f;
    out.extend_from_slice(&bytes[..groups]);
}

/// Writes an `f32`; any NaN as the canonical one.
#[inline]
pub fn f32(out: &mut Vec<u8>, value: f32) {
    let bits = if value.is_nan() {
        NAN_32
    } else {
        value.to_bits()
    };
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Writes an `f64`; any NaN as the canonical one.
#[inline]
pub fn f64(out: &mut Vec<u8>, value: f64) {
    let bits = if value.is_nan() {
        NAN_64
    } else {
        value.to_bits()
    };
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Writes a `char`.
#[inline]
pub fn char(out: &mut Vec<u8>, value: char) {
    let mut buffer = [0; 4];
    out.extend_from_slice(value.encode_utf8(&mut buffer).as_bytes());
}

/// Writes a `string`.
#[inline]
pub fn string(out: &mut Vec<u8>, value: &str) {
    bytes(out, value.as_bytes());
}

/// Writes a `list<u8>`, or the opaque bytes of a handle: the count, then one copy.
#[inline]
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(value.len() + 5);
    unsigned(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Writes flags of `labels` labels, of which bit `i` of `bits` is label `i`.
#[inline]
pub fn flags(out: &mut Vec<u8>, labels: u8, bits: u32) {
    let count = usize::from(labels.div_ceil(8)).min(4);
    out.extend_from_slice(&bits.to_le_bytes()[..count]);
}
