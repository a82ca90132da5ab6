//! From text to values.

use std::str::FromStr;

use wasm_wave::ast::{Node, NodeType};
use wasm_wave::untyped::UntypedValue;

use super::WaveError;
use crate::types::{Case, Field, ResultType, Type};
use crate::value::Value;

type Result<T> = std::result::Result<T, WaveError>;

/// Parses one value of type `ty`.
///
/// # Errors
/// When the text is no value of that type, with the place of the first mistake.
pub fn parse(ty: &Type, text: &str) -> Result<Value> {
    let parsed = UntypedValue::parse(text).map_err(|error| WaveError::syntax(&error, 0, text))?;
    let reader = TextReader {
        source: text,
        shift: 0,
    };
    reader.value(ty, parsed.node())
}

/// Parses the arguments of a function, separated by commas, without parentheses around them.
///
/// # Errors
/// When an argument is missing, too many, or no value of its parameter's type.
pub fn parse_params(params: &[Field], text: &str) -> Result<Vec<Value>> {
    if text.trim().is_empty() {
        return fill_up(params, Vec::new(), text.len());
    }
    // A line break, so that a comment at the end does not hide the parenthesis.
    let source = format!("({text}\n)");
    let parsed =
        UntypedValue::parse(&source).map_err(|error| WaveError::syntax(&error, 1, text))?;
    let reader = TextReader {
        source: &source,
        shift: 1,
    };
    let node = parsed.node();
    let arguments = node
        .as_tuple()
        .map_err(|error| WaveError::syntax(&error, 1, text))?;
    let mut values = Vec::with_capacity(params.len());
    for (index, argument) in arguments.enumerate() {
        let Some(param) = params.get(index) else {
            return Err(reader
                .error(argument, format!("an argument too many: {}", count(params)))
                .with_hint(list(params)));
        };
        let value = reader.value(&param.ty, argument);
        values.push(value.map_err(|error| in_param(error, &param.name))?);
    }
    fill_up(params, values, text.len())
}

/// Adds `none` for optional parameters at the end.
fn fill_up(params: &[Field], mut values: Vec<Value>, end: usize) -> Result<Vec<Value>> {
    for param in &params[values.len()..] {
        if !matches!(param.ty, Type::Option(_)) {
            let message = format!("the argument `{}: {}` is missing", param.name, param.ty);
            return Err(WaveError::new(end..end, message).with_hint(list(params)));
        }
        values.push(Value::none());
    }
    Ok(values)
}

fn in_param(error: WaveError, name: &str) -> WaveError {
    WaveError {
        message: format!("argument `{name}`: {}", error.message),
        ..error
    }
}

fn count(params: &[Field]) -> String {
    match params.len() {
        0 => "the function takes none".to_owned(),
        1 => "the function takes one".to_owned(),
        count => format!("the function takes {count}"),
    }
}

fn list(params: &[Field]) -> String {
    if params.is_empty() {
        return "call it without arguments".to_owned();
    }
    let params: Vec<String> = params.iter().map(ToString::to_string).collect();
    format!("the arguments are {}", params.join(", "))
}

struct TextReader<'a> {
    source: &'a str,
    /// Bytes that stand in `source` before the text that the person wrote.
    shift: usize,
}

impl TextReader<'_> {
    /// Recursion ends: the parser bounds the nesting of a text.
    fn value(&self, ty: &Type, node: &Node) -> Result<Value> {
        match ty {
            Type::Bool => {
                let value = node.as_bool();
                let value = value.map_err(|_| self.mismatch(ty, node, "true or false"))?;
                Ok(Value::Bool(value))
            }
            Type::S8 => self.number(ty, node).map(Value::S8),
            Type::U8 => self.number(ty, node).map(Value::U8),
            Type::S16 => self.number(ty, node).map(Value::S16),
            Type::U16 => self.number(ty, node).map(Value::U16),
            Type::S32 => self.number(ty, node).map(Value::S32),
            Type::U32 => self.number(ty, node).map(Value::U32),
            Type::S64 => self.number(ty, node).map(Value::S64),
            Type::U64 => self.number(ty, node).map(Value::U64),
            Type::F32 => self.number(ty, node).map(Value::F32),
            Type::F64 => self.number(ty, node).map(Value::F64),
            Type::Char => match node.ty() {
                NodeType::Char => node
                    .as_char(self.source)
                    .map(Value::Char)
                    .map_err(|_| self.error(node, "not exactly one character")),
                _ => Err(self.mismatch(ty, node, "one character in single quotes, such as 'a'")),
            },
            Type::String => self.string(ty, node).map(Value::String),
            Type::List(element) => self.list(ty, element, node),
            Type::Tuple(members) => self.tuple(ty, members, node),
            Type::Record(fields) => self.record(ty, fields, node),
            Type::Variant(cases) => self.variant(ty, cases, node),
            Type::Enum(cases) => self.enumeration(ty, cases, node),
            Type::Option(some) => self.option(ty, some, node),
            Type::Result(sides) => self.result(ty, sides, node),
            Type::Flags(labels) => self.flags(ty, labels, node),
            Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_) => {
                let message = format!("a value of type {ty} cannot be written as text");
                Err(self.error(node, message))
            }
        }
    }

    fn number<T: FromStr>(&self, ty: &Type, node: &Node) -> Result<T> {
        if node.ty() != NodeType::Number {
            return Err(self.mismatch(ty, node, "a number"));
        }
        node.as_number(self.source).map_err(|_| {
            let message = format!("{} is not a value of type {ty}", self.slice(node));
            match range_of(ty) {
                Some(range) => self.error(node, message).with_hint(range),
                None => self.error(node, message),
            }
        })
    }

    fn string(&self, ty: &Type, node: &Node) -> Result<String> {
        match node.ty() {
            NodeType::String | NodeType::MultilineString => node
                .as_str(self.source)
                .map(|text| text.into_owned())
                .map_err(|error| self.syntax(&error)),
            NodeType::Label => {
                let hint = format!("\"{}\" in double quotes", self.slice(node));
                Err(self.mismatch(ty, node, &hint))
            }
            _ => Err(self.mismatch(ty, node, "text in double quotes")),
        }
    }

    fn list(&self, ty: &Type, element: &Type, node: &Node) -> Result<Value> {
        let is_bytes = *element == Type::U8;
        if is_bytes && matches!(node.ty(), NodeType::String | NodeType::MultilineString) {
            return Ok(Value::Bytes(self.string(ty, node)?.into_bytes()));
        }
        let Ok(elements) = node.as_list() else {
            let expected = if is_bytes {
                "bytes, such as [1, 255] or \"text\""
            } else {
                "values in brackets, such as [a, b]"
            };
            return Err(self.mismatch(ty, node, expected));
        };
        if is_bytes {
            let bytes = elements.map(|node| self.number(element, node));
            return bytes.collect::<Result<_>>().map(Value::Bytes);
        }
        let elements = elements.map(|node| self.value(element, node));
        elements.collect::<Result<_>>().map(Value::List)
    }

    fn tuple(&self, ty: &Type, members: &[Type], node: &Node) -> Result<Value> {
        let Ok(values) = node.as_tuple() else {
            return Err(self.mismatch(ty, node, "values in parentheses, such as (a, b)"));
        };
        if values.len() != members.len() {
            let message = format!("{} values where {} are needed", values.len(), members.len());
            return Err(self
                .error(node, message)
                .with_hint(format!("the type is {ty}")));
        }
        let values = values
            .zip(members)
            .map(|(node, member)| self.value(member, node));
        values.collect::<Result<_>>().map(Value::Fields)
    }

    fn record(&self, ty: &Type, fields: &[Field], node: &Node) -> Result<Value> {
        let Ok(given) = node.as_record(self.source) else {
            return Err(self.mismatch(ty, node, "fields in braces, such as {name: value}"));
        };
        let mut values: Vec<Option<Value>> = vec![None; fields.len()];
        for (name, value) in given {
            let Some(index) = fields.iter().position(|field| field.name == name) else {
                let message = format!("there is no field `{name}`");
                return Err(self.error(value, message).with_hint(names_of(ty)));
            };
            values[index] = Some(self.value(&fields[index].ty, value)?);
        }
        let filled = fields.iter().zip(values).map(|(field, value)| match value {
            Some(value) => Ok(value),
            None if matches!(field.ty, Type::Option(_)) => Ok(Value::none()),
            None => {
                let message = format!("the field `{}: {}` is missing", field.name, field.ty);
                Err(self.error(node, message))
            }
        });
        filled.collect::<Result<_>>().map(Value::Fields)
    }

    fn variant(&self, ty: &Type, cases: &[Case], node: &Node) -> Result<Value> {
        let Ok((name, payload)) = node.as_variant(self.source) else {
            return Err(self.mismatch(ty, node, &names_of(ty)));
        };
        let Some(index) = cases.iter().position(|case| case.name == name) else {
            let message = format!("there is no case `{name}`");
            return Err(self.error(node, message).with_hint(names_of(ty)));
        };
        let payload = self.payload(name, cases[index].ty.as_ref(), payload, node)?;
        Ok(Value::Case(index as u32, payload))
    }

    fn enumeration(&self, ty: &Type, cases: &[String], node: &Node) -> Result<Value> {
        let Ok(name) = node.as_enum(self.source) else {
            return Err(self.mismatch(ty, node, &names_of(ty)));
        };
        match cases.iter().position(|case| case == name) {
            Some(index) => Ok(Value::Enum(index as u32)),
            None => {
                let message = format!("there is no case `{name}`");
                Err(self.error(node, message).with_hint(names_of(ty)))
            }
        }
    }

    /// `some(a)`, `none`, or `a` alone where that cannot be confused.
    fn option(&self, ty: &Type, some: &Type, node: &Node) -> Result<Value> {
        match node.as_option() {
            Ok(Some(payload)) => Ok(Value::some(self.value(some, payload)?)),
            Ok(None) => Ok(Value::none()),
            Err(_) if can_stand_alone(some) => Ok(Value::some(self.value(some, node)?)),
            Err(_) => Err(self.mismatch(ty, node, "some(value) or none")),
        }
    }

    /// `ok(a)`, `err(e)`, or `a` alone where that cannot be confused.
    fn result(&self, ty: &Type, sides: &ResultType, node: &Node) -> Result<Value> {
        match (node.as_result(), &sides.ok) {
            (Ok(Ok(payload)), ok) => Ok(Value::Case(
                0,
                self.payload("ok", ok.as_ref(), payload, node)?,
            )),
            (Ok(Err(payload)), _) => {
                let payload = self.payload("err", sides.err.as_ref(), payload, node)?;
                Ok(Value::Case(1, payload))
            }
            (Err(_), Some(ok)) if can_stand_alone(ok) => Ok(Value::ok(Some(self.value(ok, node)?))),
            _ => Err(self.mismatch(ty, node, "ok(value) or err(value)")),
        }
    }

    fn flags(&self, ty: &Type, labels: &[String], node: &Node) -> Result<Value> {
        let Ok(given) = node.as_flags(self.source) else {
            return Err(self.mismatch(ty, node, &names_of(ty)));
        };
        let mut bits = 0u32;
        for name in given {
            let name = name.trim_start_matches('%');
            let index = labels.iter().position(|label| label == name);
            let Some(bit) = index.and_then(|index| 1u32.checked_shl(index as u32)) else {
                let message = format!("there is no flag `{name}`");
                return Err(self.error(node, message).with_hint(names_of(ty)));
            };
            bits |= bit;
        }
        Ok(Value::Flags(bits))
    }

    fn payload(
        &self,
        case: &str,
        ty: Option<&Type>,
        payload: Option<&Node>,
        node: &Node,
    ) -> Result<Option<Box<Value>>> {
        match (ty, payload) {
            (None, None) => Ok(None),
            (Some(ty), Some(payload)) => Ok(Some(Box::new(self.value(ty, payload)?))),
            (Some(ty), None) => {
                let message = format!("`{case}` needs a value: {case}({ty})");
                Err(self.error(node, message))
            }
            (None, Some(payload)) => Err(self.error(payload, format!("`{case}` has no value"))),
        }
    }

    fn mismatch(&self, ty: &Type, node: &Node, expected: &str) -> WaveError {
        let message = format!("{} where {ty} is needed", kind_of(node));
        self.error(node, message)
            .with_hint(format!("write {expected}"))
    }

    fn error(&self, node: &Node, message: impl Into<String>) -> WaveError {
        let span = node.span();
        let shifted = span.start.saturating_sub(self.shift)..span.end.saturating_sub(self.shift);
        WaveError::new(shifted, message)
    }

    fn syntax(&self, error: &wasm_wave::parser::ParserError) -> WaveError {
        WaveError::syntax(error, self.shift, &self.source[self.shift..])
    }

    fn slice(&self, node: &Node) -> &str {
        self.source.get(node.span()).unwrap_or_default()
    }
}

/// A value that is its own `some` or `ok`: not one that could be meant as a level further in.
fn can_stand_alone(ty: &Type) -> bool {
    !matches!(ty, Type::Option(_) | Type::Result(_))
}

fn names_of(ty: &Type) -> String {
    let names: Vec<String> = match ty {
        Type::Record(fields) => fields.iter().map(ToString::to_string).collect(),
        Type::Variant(cases) => cases.iter().map(ToString::to_string).collect(),
        Type::Enum(names) => names.to_vec(),
        Type::Flags(names) => return format!("{{{}}}, or fewer of them", names.join(", ")),
        _ => Vec::new(),
    };
    format!("one of {}", names.join(", "))
}

fn kind_of(node: &Node) -> &'static str {
    match node.ty() {
        NodeType::BoolTrue | NodeType::BoolFalse => "a bool",
        NodeType::Number => "a number",
        NodeType::Char => "a character",
        NodeType::String | NodeType::MultilineString => "a string",
        NodeType::Tuple => "a tuple",
        NodeType::List => "a list",
        NodeType::Record => "a record",
        NodeType::Label | NodeType::VariantWithPayload => "a name",
        NodeType::OptionSome | NodeType::OptionNone => "an option",
        NodeType::ResultOk | NodeType::ResultErr => "a result",
        NodeType::Flags => "flags",
    }
}

fn range_of(ty: &Type) -> Option<String> {
    let (low, high): (i128, i128) = match ty {
        Type::S8 => (i8::MIN.into(), i8::MAX.into()),
        Type::U8 => (0, u8::MAX.into()),
        Type::S16 => (i16::MIN.into(), i16::MAX.into()),
        Type::U16 => (0, u16::MAX.into()),
        Type::S32 => (i32::MIN.into(), i32::MAX.into()),
        Type::U32 => (0, u32::MAX.into()),
        Type::S64 => (i64::MIN.into(), i64::MAX.into()),
        Type::U64 => (0, u64::MAX.into()),
        _ => return None,
    };
    Some(format!("write a whole number from {low} to {high}"))
}
