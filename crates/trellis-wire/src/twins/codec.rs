//! How Rust types are written and read as values of WIT.

use crate::error::{DecodeError, Fault};
use crate::plan::VariantKind;
use crate::reader::Reader;
use crate::{Dialect, write};

type Result<T> = std::result::Result<T, DecodeError>;

/// Writes a value of one WIT type.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Reads a value of one WIT type.
pub trait Decode<'a>: Sized {
    /// Fewest bytes of such a value.
    const WIRE_MIN: usize = 1;

    /// Reads the value.
    ///
    /// # Errors
    /// When the bytes hold none, or only its beginning.
    fn decode(reader: &mut Reader<'a>) -> Result<Self>;
}

/// Returns the bytes of a value: of a tuple for parameters, of anything for a result.
pub fn to_wire(value: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

/// Reads a value that is all of `bytes`.
///
/// # Errors
/// When the bytes hold none, only its beginning, or more.
pub fn from_wire<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// A `list<u8>`, in the memory of the message it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes<'a>(pub &'a [u8]);

/// A stream or future whose content comes on a channel of its own.
///
/// Peers on NATS never send another form, and one that is complete at once is refused: its content
/// would have to be handed on beside the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending;

impl Encode for Bytes<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::bytes(out, self.0);
    }
}

impl<'a> Decode<'a> for Bytes<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        reader.bytes().map(Self)
    }
}

impl Encode for Pending {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0);
    }
}

impl Decode<'_> for Pending {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let start = *reader;
        if Dialect::A.read_complete(reader)? {
            return Err(start.error(Fault::Inline));
        }
        Ok(Self)
    }
}

impl Encode for () {
    fn encode(&self, _: &mut Vec<u8>) {}
}

impl Decode<'_> for () {
    const WIRE_MIN: usize = 0;

    fn decode(_: &mut Reader<'_>) -> Result<Self> {
        Ok(())
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        write::string(out, self);
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        reader.string()
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        write::string(out, self);
    }
}

impl Decode<'_> for String {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        reader.string().map(str::to_owned)
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        reader.bool()?.then(|| T::decode(reader)).transpose()
    }
}

impl<T: Encode, E: Encode> Encode for std::result::Result<T, E> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_err()));
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }
}

impl<'a, T: Decode<'a>, E: Decode<'a>> Decode<'a> for std::result::Result<T, E> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(match reader.case(VariantKind::Result, 2)? {
            0 => Ok(T::decode(reader)?),
            _ => Err(E::decode(reader)?),
        })
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        write::unsigned(out, self.len() as u64);
        for element in self {
            element.encode(out);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self[..].encode(out);
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        let count = reader.u32()? as usize;
        // The elements that can be there; what the count promises beyond is not believed.
        let possible = reader.remaining() / T::WIRE_MIN.max(1);
        if count > possible {
            let missing = (count - possible).saturating_mul(T::WIRE_MIN);
            return Err(reader.error(Fault::Truncated { missing }));
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(T::decode(reader)?);
        }
        Ok(elements)
    }
}

macro_rules! scalar {
    ($($name:ident)*) => {$(
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                write::unsigned(out, u64::from(*self));
            }
        }

        impl Decode<'_> for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self> {
                reader.$name()
            }
        }
    )*};
}

scalar! { u16 u32 u64 }

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Decode<'_> for u8 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        reader.u8()
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        write::bool(out, *self);
    }
}

impl Decode<'_> for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        reader.bool()
    }
}

macro_rules! tuple {
    ($($name:ident)*) => {
        impl<$($name: Encode),*> Encode for ($($name,)*) {
            #[allow(non_snake_case)]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($name,)*) = self;
                $($name.encode(out);)*
            }
        }

        impl<'a, $($name: Decode<'a>),*> Decode<'a> for ($($name,)*) {
            const WIRE_MIN: usize = 0 $(+ $name::WIRE_MIN)*;

            fn decode(reader: &mut Reader<'a>) -> Result<Self> {
                Ok(($($name::decode(reader)?,)*))
            }
        }
    };
}

tuple! { A }
tuple! { A B }
tuple! { A B C }
tuple! { A B C D }

/// Implements both directions of a record, field by field in the order of its declaration.
macro_rules! record {
    ($name:ident<'a> { $($field:ident),* $(,)? }) => {
        record!(@impls ($name<'_>) ($name<'a>) $($field)*);
    };
    ($name:ident { $($field:ident),* $(,)? }) => {
        record!(@impls ($name) ($name) $($field)*);
    };
    (@impls ($encoded:ty) ($decoded:ty) $($field:ident)*) => {
        impl $crate::twins::Encode for $encoded {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::twins::Encode::encode(&self.$field, out);)*
            }
        }

        impl<'a> $crate::twins::Decode<'a> for $decoded {
            fn decode(reader: &mut $crate::Reader<'a>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $($field: $crate::twins::Decode::decode(reader)?,)* })
            }
        }
    };
}

/// Implements both directions of a variant: the cases in the order of their declaration.
macro_rules! variant {
    ($name:ident { $($index:literal $case:ident $(($payload:ident))?),* $(,)? }) => {
        impl $crate::twins::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$case $(($payload))? => {
                        $crate::write::unsigned(out, $index);
                        $($crate::twins::Encode::encode($payload, out);)?
                    })*
                }
            }
        }

        impl<'a> $crate::twins::Decode<'a> for $name {
            fn decode(reader: &mut $crate::Reader<'a>) -> Result<Self, $crate::DecodeError> {
                const CASES: u32 = [$($index),*].len() as u32;
                let start = *reader;
                let case = reader.case($crate::plan::VariantKind::Variant, CASES)?;
                Ok(match case {
                    $($index => Self::$case $(({
                        let $payload = $crate::twins::Decode::decode(reader)?;
                        $payload
                    }))?,)*
                    case => {
                        let fault = $crate::Fault::Case { case, cases: CASES };
                        return Err(start.error(fault));
                    }
                })
            }
        }
    };
}

pub(super) use {record, variant};
