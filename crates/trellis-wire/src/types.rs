//! The tree of WIT value types, with their names. Knows no bytes and no memory.
//!
//! A tree is cheap to clone and shares its branches, because a type of WIT that is used twice is one
//! type.

mod text;

use std::fmt;
use std::sync::Arc;

pub use text::TEXT_BYTES_MAX;

/// A WIT value type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`.
    Bool,
    /// `s8`.
    S8,
    /// `u8`.
    U8,
    /// `s16`.
    S16,
    /// `u16`.
    U16,
    /// `s32`.
    S32,
    /// `u32`.
    U32,
    /// `s64`.
    S64,
    /// `u64`.
    U64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `string`.
    String,
    /// `list<T>`.
    List(Arc<Type>),
    /// `tuple<A, B, …>`.
    Tuple(Arc<[Type]>),
    /// A record: its fields in the order of their declaration.
    Record(Arc<[Field]>),
    /// A variant: its cases in the order of their declaration.
    Variant(Arc<[Case]>),
    /// An enum: the names of its cases.
    Enum(Arc<[String]>),
    /// `option<T>`.
    Option(Arc<Type>),
    /// `result<T, E>`.
    Result(Arc<ResultType>),
    /// A set of flags: their labels.
    Flags(Arc<[String]>),
    /// `own<R>`: the name of the resource.
    Own(Arc<str>),
    /// `borrow<R>`: the name of the resource.
    Borrow(Arc<str>),
    /// `stream<T>`, or `stream` without elements.
    Stream(Option<Arc<Type>>),
    /// `future<T>`, or `future` without a value.
    Future(Option<Arc<Type>>),
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in WIT, kebab-case.
    pub name: String,
    /// What it holds.
    pub ty: Type,
}

/// One case of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name in WIT, kebab-case.
    pub name: String,
    /// The payload, where the case has one.
    pub ty: Option<Type>,
}

/// The two sides of a `result`, each absent where WIT writes `_` or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultType {
    /// The payload of `ok`.
    pub ok: Option<Type>,
    /// The payload of `err`.
    pub err: Option<Type>,
}

/// What a function takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionType {
    /// The parameters, in order.
    pub params: Vec<Field>,
    /// The result, where there is one.
    pub result: Option<Type>,
}

impl Type {
    /// Returns `list<element>`.
    pub fn list(element: Type) -> Self {
        Self::List(Arc::new(element))
    }

    /// Returns `option<some>`.
    pub fn option(some: Type) -> Self {
        Self::Option(Arc::new(some))
    }

    /// Returns `result<ok, err>`.
    pub fn result(ok: Option<Type>, err: Option<Type>) -> Self {
        Self::Result(Arc::new(ResultType { ok, err }))
    }

    /// Returns `tuple<members>`.
    pub fn tuple(members: impl IntoIterator<Item = Type>) -> Self {
        Self::Tuple(members.into_iter().collect())
    }

    /// Returns a record of `fields`.
    pub fn record<N: Into<String>>(fields: impl IntoIterator<Item = (N, Type)>) -> Self {
        let field = |(name, ty): (N, Type)| Field {
            name: name.into(),
            ty,
        };
        Self::Record(fields.into_iter().map(field).collect())
    }

    /// Returns a variant of `cases`.
    pub fn variant<N: Into<String>>(cases: impl IntoIterator<Item = (N, Option<Type>)>) -> Self {
        let case = |(name, ty): (N, Option<Type>)| Case {
            name: name.into(),
            ty,
        };
        Self::Variant(cases.into_iter().map(case).collect())
    }

    /// Returns an enum of `cases`.
    pub fn enumeration<N: Into<String>>(cases: impl IntoIterator<Item = N>) -> Self {
        Self::Enum(cases.into_iter().map(Into::into).collect())
    }

    /// Returns flags of `labels`.
    pub fn flags<N: Into<String>>(labels: impl IntoIterator<Item = N>) -> Self {
        Self::Flags(labels.into_iter().map(Into::into).collect())
    }

    /// Returns `stream<element>`.
    pub fn stream(element: Option<Type>) -> Self {
        Self::Stream(element.map(Arc::new))
    }

    /// Returns `future<payload>`.
    pub fn future(payload: Option<Type>) -> Self {
        Self::Future(payload.map(Arc::new))
    }
}

/// Writes the type as WIT does, a record, variant, enum or flags by its members, and long ones up to
/// [`TEXT_BYTES_MAX`].
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::bounded(f, |out| text::ty(out, self))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::bounded(f, |out| text::field(out, self))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::bounded(f, |out| text::case(out, self))
    }
}

/// Writes the function as WIT does: `func(a: u8) -> string`.
impl fmt::Display for FunctionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::bounded(f, |out| text::function(out, self))
    }
}
