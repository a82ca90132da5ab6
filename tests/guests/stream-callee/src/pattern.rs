//! The bytes that streams of tests carry, and their hash.

/// Bytes written at once.
pub(crate) const CHUNK_BYTES: u64 = 64 * 1024;

/// FNV-1a of nothing.
pub(crate) const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Returns the bytes of the pattern from `at`, `count` of them.
pub(crate) fn bytes(at: u64, count: u64) -> Vec<u8> {
    (at..at + count)
        .map(|place| (place ^ (place >> 8) ^ (place >> 16)) as u8)
        .collect()
}

/// Continues a hash with more bytes.
pub(crate) fn hash(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
