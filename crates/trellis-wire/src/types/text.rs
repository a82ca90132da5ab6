//! Types as text, for errors and lists.

use std::fmt::{self, Write};

use super::{Case, Field, FunctionType, ResultType, Type};

/// Bytes of the text of one type; the rest is left out. Types share their parts, so the text of a
/// small one can be larger than any memory.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Ends the writing when there is enough of it.
pub(super) struct Bounded<'a, 'b> {
    inner: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl Write for Bounded<'_, '_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let Some(left) = self.left.checked_sub(part.len()) else {
            self.left = 0;
            return Err(fmt::Error);
        };
        self.left = left;
        self.inner.write_str(part)
    }
}

pub(super) fn bounded(
    f: &mut fmt::Formatter<'_>,
    write: impl FnOnce(&mut Bounded<'_, '_>) -> fmt::Result,
) -> fmt::Result {
    let mut out = Bounded {
        inner: f,
        left: TEXT_BYTES_MAX,
    };
    match write(&mut out) {
        Err(fmt::Error) if out.left == 0 => f.write_str("…"),
        result => result,
    }
}

pub(super) fn ty(out: &mut Bounded<'_, '_>, ty: &Type) -> fmt::Result {
    match ty {
        Type::Bool => out.write_str("bool"),
        Type::S8 => out.write_str("s8"),
        Type::U8 => out.write_str("u8"),
        Type::S16 => out.write_str("s16"),
        Type::U16 => out.write_str("u16"),
        Type::S32 => out.write_str("s32"),
        Type::U32 => out.write_str("u32"),
        Type::S64 => out.write_str("s64"),
        Type::U64 => out.write_str("u64"),
        Type::F32 => out.write_str("f32"),
        Type::F64 => out.write_str("f64"),
        Type::Char => out.write_str("char"),
        Type::String => out.write_str("string"),
        Type::List(element) => generic(out, "list", Some(element)),
        Type::Option(some) => generic(out, "option", Some(some)),
        Type::Stream(element) => generic(out, "stream", element.as_deref()),
        Type::Future(payload) => generic(out, "future", payload.as_deref()),
        Type::Tuple(members) => list(out, "tuple<", members, ">", self::ty),
        Type::Record(fields) => list(out, "record { ", fields, " }", field),
        Type::Variant(cases) => list(out, "variant { ", cases, " }", case),
        Type::Enum(names) => list(out, "enum { ", names, " }", |out, name| out.write_str(name)),
        Type::Flags(names) => list(out, "flags { ", names, " }", |out, name| {
            out.write_str(name)
        }),
        Type::Result(sides) => result(out, sides),
        Type::Own(resource) => write!(out, "own<{resource}>"),
        Type::Borrow(resource) => write!(out, "borrow<{resource}>"),
    }
}

pub(super) fn field(out: &mut Bounded<'_, '_>, field: &Field) -> fmt::Result {
    write!(out, "{}: ", field.name)?;
    ty(out, &field.ty)
}

pub(super) fn case(out: &mut Bounded<'_, '_>, case: &Case) -> fmt::Result {
    out.write_str(&case.name)?;
    let Some(payload) = &case.ty else {
        return Ok(());
    };
    out.write_str("(")?;
    ty(out, payload)?;
    out.write_str(")")
}

pub(super) fn function(out: &mut Bounded<'_, '_>, function: &FunctionType) -> fmt::Result {
    list(out, "func(", &function.params, ")", field)?;
    let Some(result) = &function.result else {
        return Ok(());
    };
    out.write_str(" -> ")?;
    ty(out, result)
}

fn generic(out: &mut Bounded<'_, '_>, name: &str, inner: Option<&Type>) -> fmt::Result {
    out.write_str(name)?;
    let Some(inner) = inner else {
        return Ok(());
    };
    out.write_str("<")?;
    ty(out, inner)?;
    out.write_str(">")
}

fn result(out: &mut Bounded<'_, '_>, sides: &ResultType) -> fmt::Result {
    let Some(err) = &sides.err else {
        return generic(out, "result", sides.ok.as_ref());
    };
    out.write_str("result<")?;
    match &sides.ok {
        Some(ok) => ty(out, ok)?,
        None => out.write_str("_")?,
    }
    out.write_str(", ")?;
    ty(out, err)?;
    out.write_str(">")
}

fn list<T>(
    out: &mut Bounded<'_, '_>,
    open: &str,
    items: &[T],
    close: &str,
    one: impl Fn(&mut Bounded<'_, '_>, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        one(out, item)?;
    }
    out.write_str(close)
}
