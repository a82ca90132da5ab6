//! Values that are known only at run time: for the command line, for tests, and for what has no
//! faster path. Names are in the [`Type`](crate::Type), not here.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

use crate::plan::{FunctionPlan, PlanId};
use crate::{DecodeError, Dialect, EncodeError, Limits};

/// One value of some WIT type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bool`.
    Bool(bool),
    /// `s8`.
    S8(i8),
    /// `u8`.
    U8(u8),
    /// `s16`.
    S16(i16),
    /// `u16`.
    U16(u16),
    /// `s32`.
    S32(i32),
    /// `u32`.
    U32(u32),
    /// `s64`.
    S64(i64),
    /// `u64`.
    U64(u64),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `char`.
    Char(char),
    /// `string`.
    String(String),
    /// `list<u8>`.
    Bytes(Vec<u8>),
    /// Any other list.
    List(Vec<Value>),
    /// A tuple or a record: its members in order.
    Fields(Vec<Value>),
    /// A variant, option or result: the number of the case, and its payload if it has one.
    /// 0 is none and ok, 1 is some and err.
    Case(u32, Option<Box<Value>>),
    /// An enum: the number of the case.
    Enum(u32),
    /// Flags: bit `i` is label `i`.
    Flags(u32),
    /// An owned or borrowed handle: bytes that mean something to whoever issued it.
    Handle(Vec<u8>),
    /// A stream.
    Stream(StreamValue),
    /// A future.
    Future(FutureValue),
}

/// What a message says of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamValue {
    /// The elements follow on a channel of their own.
    Pending,
    /// All elements: a value of the list type with the same element.
    Complete(Box<Value>),
    /// All elements of a stream without an element type: how many they are.
    CompleteUnits(u32),
}

/// What a message says of a future.
#[derive(Clone, Debug, PartialEq)]
pub enum FutureValue {
    /// The value follows on a channel of its own.
    Pending,
    /// The value; none for a future without a type.
    Ready(Option<Box<Value>>),
}

impl Value {
    /// Returns `none`.
    pub fn none() -> Self {
        Self::Case(0, None)
    }

    /// Returns `some(value)`.
    pub fn some(value: Value) -> Self {
        Self::Case(1, Some(Box::new(value)))
    }

    /// Returns `ok(value)`, or `ok`.
    pub fn ok(value: Option<Value>) -> Self {
        Self::Case(0, value.map(Box::new))
    }

    /// Returns `err(value)`, or `err`.
    pub fn err(value: Option<Value>) -> Self {
        Self::Case(1, value.map(Box::new))
    }

    /// Returns a string.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// Returns what kind of value this is, as errors name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::S8(_) => "s8",
            Self::U8(_) => "u8",
            Self::S16(_) => "s16",
            Self::U16(_) => "u16",
            Self::S32(_) => "s32",
            Self::U32(_) => "u32",
            Self::S64(_) => "s64",
            Self::U64(_) => "u64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Char(_) => "char",
            Self::String(_) => "string",
            Self::Bytes(_) => "list<u8>",
            Self::List(_) => "list",
            Self::Fields(_) => "tuple or record",
            Self::Case(..) => "variant, option or result",
            Self::Enum(_) => "enum",
            Self::Flags(_) => "flags",
            Self::Handle(_) => "handle",
            Self::Stream(_) => "stream",
            Self::Future(_) => "future",
        }
    }
}

impl FunctionPlan {
    /// Encodes the parameters, one value each.
    ///
    /// # Errors
    /// When a value is not of its parameter's type, or one is missing or too many.
    pub fn encode_params(
        &self,
        params: &[Value],
        dialect: Dialect,
    ) -> Result<Vec<u8>, EncodeError> {
        self.encode_tuple(self.params, params, dialect)
    }

    /// Encodes the result.
    ///
    /// # Errors
    /// When the value is not of the result's type.
    pub fn encode_result(
        &self,
        result: Option<&Value>,
        dialect: Dialect,
    ) -> Result<Vec<u8>, EncodeError> {
        self.encode_tuple(
            self.results,
            result.map_or(&[], std::slice::from_ref),
            dialect,
        )
    }

    /// Decodes the parameters, one value each.
    ///
    /// # Errors
    /// When the bytes do not hold them, or hold more.
    pub fn decode_params(
        &self,
        bytes: &[u8],
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<Vec<Value>, DecodeError> {
        decode::tuple(&self.plan, self.params, bytes, dialect, limits)
    }

    /// Decodes the result.
    ///
    /// # Errors
    /// When the bytes do not hold it, or hold more.
    pub fn decode_result(
        &self,
        bytes: &[u8],
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<Option<Value>, DecodeError> {
        let mut members = decode::tuple(&self.plan, self.results, bytes, dialect, limits)?;
        Ok(members.pop())
    }

    fn encode_tuple(
        &self,
        id: PlanId,
        members: &[Value],
        dialect: Dialect,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        encode::tuple(&self.plan, id, members, dialect, &mut out)?;
        Ok(out)
    }
}
