//! Why bytes are not a value, and why a value has no bytes.

/// Bytes that do not hold a value of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {fault}")]
pub struct DecodeError {
    /// Where, counted from the start of what was given.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at one place of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end inside a value.
    #[error("the value needs at least {missing} more bytes")]
    Truncated {
        /// Fewest bytes that must follow.
        missing: usize,
    },
    /// Bytes follow after the value.
    #[error("{count} bytes follow the value")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A `bool`, option, result or future begins with something else than 0 or 1.
    #[error("{byte:#04x} is neither 0 nor 1")]
    NotZeroOrOne {
        /// The byte.
        byte: u8,
    },
    /// A LEB128 number that does not fit.
    #[error("the number does not fit in {bits} bits")]
    Number {
        /// The width of the type.
        bits: u32,
    },
    /// A string or a character that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A case that the variant or enum does not have.
    #[error("case {case} of {cases}")]
    Case {
        /// The number of the case.
        case: u32,
        /// How many cases there are.
        cases: u32,
    },
    /// A flag that the type does not have.
    #[error("a flag is set that the type does not have")]
    Flags,
    /// A stream or future that is complete at once, where only a pending one can be used.
    #[error("a stream or future comes within the value, which is not supported here")]
    Inline,
    /// A value that takes more than it may.
    #[error("the value exceeds {limit} of {max}")]
    Limit {
        /// Which field of [`crate::Limits`].
        limit: &'static str,
        /// Its value.
        max: usize,
    },
}

impl DecodeError {
    /// Tells whether more bytes could make the value whole.
    pub fn is_truncated(&self) -> bool {
        matches!(self.fault, Fault::Truncated { .. })
    }
}

/// A value that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The value is of another type.
    #[error("a value of type {expected} is needed, not {found}")]
    Type {
        /// The type to write.
        expected: String,
        /// What the value is.
        found: &'static str,
    },
    /// More elements or bytes than a 32-bit count can say.
    #[error("a list or string of {count} elements; the encoding counts in 32 bits")]
    TooLong {
        /// How many.
        count: usize,
    },
    /// A finished stream without elements, which dialect A has no bytes for.
    #[error("a stream that ended empty can only be sent as a pending one that ends at once")]
    EmptyStream,
}
