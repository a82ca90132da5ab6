//! The tree of WIT value types, with their names. Knows no bytes and no memory.
//!
//! A tree is cheap to clone and shares its branches, because a type of WIT that is used twice is one
//! type.

use std::fmt;
use std::sync::Arc;

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

/// Writes the type as WIT does; a record, variant, enum or flags only by its names.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Tuple(members) => write_list(f, "tuple<", members, ">"),
            Self::Result(sides) => write_result(f, sides),
            Self::Record(fields) => write_list(f, "record { ", fields, " }"),
            Self::Variant(cases) => write_list(f, "variant { ", cases, " }"),
            Self::Enum(names) => write_list(f, "enum { ", names, " }"),
            Self::Flags(names) => write_list(f, "flags { ", names, " }"),
            Self::Own(resource) => write!(f, "own<{resource}>"),
            Self::Borrow(resource) => write!(f, "borrow<{resource}>"),
            Self::Stream(element) => write_optional(f, "stream", element.as_deref()),
            Self::Future(payload) => write_optional(f, "future", payload.as_deref()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.ty)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ty {
            Some(ty) => write!(f, "{}({ty})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Writes the function as WIT does: `func(a: u8) -> string`.
impl fmt::Display for FunctionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, "func(", &self.params, ")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    items: &[T],
    close: &str,
) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    f.write_str(close)
}

fn write_result(f: &mut fmt::Formatter<'_>, sides: &ResultType) -> fmt::Result {
    match (&sides.ok, &sides.err) {
        (None, None) => f.write_str("result"),
        (Some(ok), None) => write!(f, "result<{ok}>"),
        (None, Some(err)) => write!(f, "result<_, {err}>"),
        (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
    }
}

fn write_optional(f: &mut fmt::Formatter<'_>, name: &str, inner: Option<&Type>) -> fmt::Result {
    match inner {
        Some(inner) => write!(f, "{name}<{inner}>"),
        None => f.write_str(name),
    }
}
