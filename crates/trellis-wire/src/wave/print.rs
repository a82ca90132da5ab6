//! From values to text.

use std::fmt::{self, Write};

use crate::EncodeError;
use crate::types::Type;
use crate::value::{FutureValue, StreamValue, Value};

type Result = std::result::Result<(), EncodeError>;

/// Words that begin another kind of value, so that a case of that name is marked with `%`.
const KEYWORDS: [&str; 8] = ["true", "false", "some", "none", "ok", "err", "inf", "nan"];

/// Writes `value` of type `ty`. Handles, streams and futures, for which WAVE has no notation, are
/// written in angle brackets.
///
/// # Errors
/// When the value is not of that type.
pub fn print(ty: &Type, value: &Value) -> std::result::Result<String, EncodeError> {
    let mut printer = Printer { out: String::new() };
    printer.value(ty, value)?;
    Ok(printer.out)
}

struct Printer {
    out: String,
}

impl Printer {
    fn value(&mut self, ty: &Type, value: &Value) -> Result {
        match (ty, value) {
            (Type::Bool, Value::Bool(value)) => self.put(value),
            (Type::S8, Value::S8(value)) => self.put(value),
            (Type::U8, Value::U8(value)) => self.put(value),
            (Type::S16, Value::S16(value)) => self.put(value),
            (Type::U16, Value::U16(value)) => self.put(value),
            (Type::S32, Value::S32(value)) => self.put(value),
            (Type::U32, Value::U32(value)) => self.put(value),
            (Type::S64, Value::S64(value)) => self.put(value),
            (Type::U64, Value::U64(value)) => self.put(value),
            (Type::F32, Value::F32(value)) if value.is_nan() => self.put("nan"),
            (Type::F64, Value::F64(value)) if value.is_nan() => self.put("nan"),
            (Type::F32, Value::F32(value)) => self.put(value),
            (Type::F64, Value::F64(value)) => self.put(value),
            (Type::Char, Value::Char(value)) => self.quoted('\'', [*value]),
            (Type::String, Value::String(text)) => self.quoted('"', text.chars()),
            (Type::List(element), Value::Bytes(bytes)) if **element == Type::U8 => {
                self.separated("[", bytes, "]", |printer, byte| {
                    printer.put(byte);
                    Ok(())
                })?;
            }
            (Type::List(element), Value::List(elements)) => {
                self.separated("[", elements, "]", |printer, value| {
                    printer.value(element, value)
                })?;
            }
            (Type::Tuple(members), Value::Fields(values)) if members.len() == values.len() => {
                let pairs = members.iter().zip(values);
                self.separated("(", pairs, ")", |printer, (ty, value)| {
                    printer.value(ty, value)
                })?;
            }
            (Type::Record(fields), Value::Fields(values)) if fields.len() == values.len() => {
                let pairs = fields.iter().zip(values);
                self.separated("{", pairs, "}", |printer, (field, value)| {
                    printer.put(&field.name);
                    printer.put(": ");
                    printer.value(&field.ty, value)
                })?;
            }
            (Type::Enum(cases), Value::Enum(case)) if (*case as usize) < cases.len() => {
                self.name(&cases[*case as usize]);
            }
            (Type::Flags(labels), Value::Flags(bits)) => {
                let set = labels.iter().enumerate();
                let set = set.filter(|(index, _)| *index < 32 && bits >> index & 1 == 1);
                self.separated("{", set, "}", |printer, (_, label)| {
                    printer.put(label);
                    Ok(())
                })?;
            }
            (_, Value::Case(case, payload)) => self.case(ty, value, *case, payload.as_deref())?,
            (_, value) => return self.special(ty, value),
        }
        Ok(())
    }

    fn case(&mut self, ty: &Type, value: &Value, case: u32, payload: Option<&Value>) -> Result {
        let payload_type = match (ty, case) {
            (Type::Option(_), 0) => {
                self.put("none");
                None
            }
            (Type::Option(some), 1) => {
                self.put("some");
                Some(&**some)
            }
            (Type::Result(sides), 0) => {
                self.put("ok");
                sides.ok.as_ref()
            }
            (Type::Result(sides), 1) => {
                self.put("err");
                sides.err.as_ref()
            }
            (Type::Variant(cases), case) if (case as usize) < cases.len() => {
                let case = &cases[case as usize];
                self.name(&case.name);
                case.ty.as_ref()
            }
            _ => return Err(mismatch(ty, value)),
        };
        match (payload_type, payload) {
            (None, None) => Ok(()),
            (Some(ty), Some(value)) => {
                self.put("(");
                self.value(ty, value)?;
                self.put(")");
                Ok(())
            }
            _ => Err(mismatch(ty, value)),
        }
    }

    /// What WAVE has no notation for.
    fn special(&mut self, ty: &Type, value: &Value) -> Result {
        match (ty, value) {
            (Type::Own(name) | Type::Borrow(name), Value::Handle(bytes)) => {
                self.put(format_args!("<{name} "));
                for byte in bytes {
                    self.put(format_args!("{byte:02x}"));
                }
                self.put(">");
                Ok(())
            }
            (Type::Stream(Some(element)), Value::Stream(StreamValue::Complete(elements))) => {
                self.put("<stream ");
                self.value(&Type::List(element.clone()), elements)?;
                self.put(">");
                Ok(())
            }
            (Type::Future(Some(ty)), Value::Future(FutureValue::Ready(Some(value)))) => {
                self.put("<future ");
                self.value(ty, value)?;
                self.put(">");
                Ok(())
            }
            (Type::Stream(_), Value::Stream(_)) => {
                self.put("<stream>");
                Ok(())
            }
            (Type::Future(_), Value::Future(_)) => {
                self.put("<future>");
                Ok(())
            }
            _ => Err(mismatch(ty, value)),
        }
    }

    fn separated<T>(
        &mut self,
        open: &str,
        items: impl IntoIterator<Item = T>,
        close: &str,
        mut one: impl FnMut(&mut Self, T) -> Result,
    ) -> Result {
        self.put(open);
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.put(", ");
            }
            one(self, item)?;
        }
        self.put(close);
        Ok(())
    }

    fn name(&mut self, name: &str) {
        if KEYWORDS.contains(&name) {
            self.put("%");
        }
        self.put(name);
    }

    fn quoted(&mut self, quote: char, characters: impl IntoIterator<Item = char>) {
        self.out.push(quote);
        for character in characters {
            match character {
                '\\' | '"' | '\'' | '\t' | '\r' | '\n' => {
                    self.out.extend(character.escape_default());
                }
                // A terminal must not act on what a component returns.
                _ if character.is_control() => self.out.extend(character.escape_unicode()),
                _ => self.out.push(character),
            }
        }
        self.out.push(quote);
    }

    fn put(&mut self, part: impl fmt::Display) {
        // A `String` takes everything.
        let _ = write!(self.out, "{part}");
    }
}

fn mismatch(ty: &Type, value: &Value) -> EncodeError {
    EncodeError::Type {
        expected: ty.to_string(),
        found: value.kind(),
    }
}
