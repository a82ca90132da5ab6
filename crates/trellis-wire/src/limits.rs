//! What one message may cost whoever receives it.

use trellis_core::WIRE_BYTES_MAX;

const MIB: usize = 1 << 20;

/// The bounds that bytes from outside are held to. (Nesting is bounded where a type is compiled, by
/// [`crate::plan::NESTING_MAX`]: a value is never deeper than its type.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one value on the wire.
    pub wire_bytes_max: usize,
    /// Values in one message, those inside others included. The bytes of a string or of a `list<u8>`
    /// are not counted one by one.
    pub values_max: usize,
    /// Bytes that strings and lists take in the memory of a guest.
    pub memory_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire_bytes_max: WIRE_BYTES_MAX,
            // A value takes 32 bytes on the host: 128 MiB, which is also the default budget of one
            // host call in the engine.
            values_max: 4 * MIB,
            // The default memory of one instance.
            memory_bytes_max: 128 * MIB,
        }
    }
}
