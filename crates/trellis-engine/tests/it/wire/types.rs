//! Random types and values: as WIT text, as values of the wire, and as values of wasmtime.

use fastrand::Rng;
use trellis_wire::{Type, Value};
use wasmtime::component::Val;

const SCALARS: [Type; 13] = [
    Type::Bool,
    Type::S8,
    Type::U8,
    Type::S16,
    Type::U16,
    Type::S32,
    Type::U32,
    Type::S64,
    Type::U64,
    Type::F32,
    Type::F64,
    Type::Char,
    Type::String,
];

/// Makes a type that is nested `depth` levels deep at most.
pub(crate) fn random_type(random: &mut Rng, depth: usize) -> Type {
    if depth == 0 || random.u8(..4) == 0 {
        return random.choice(SCALARS.iter()).unwrap().clone();
    }
    let depth = depth - 1;
    let count = random.usize(1..6);
    let names = |prefix: &str, count| {
        (0..count)
            .map(|index| format!("{prefix}{index}"))
            .collect::<Vec<_>>()
    };
    match random.u8(..9) {
        0 | 1 => Type::list(random_type(random, depth)),
        2 => Type::tuple((0..count).map(|_| random_type(random, depth))),
        3 => {
            let fields = names("f", count).into_iter();
            Type::record(fields.map(|name| (name, random_type(random, depth))))
        }
        4 => {
            let cases = names("c", count).into_iter();
            Type::variant(cases.map(|name| (name, side(random, depth))))
        }
        5 => Type::option(random_type(random, depth)),
        6 => {
            let ok = side(random, depth);
            Type::result(ok, side(random, depth))
        }
        // Around the bounds at which flags and enums take more bytes.
        7 => {
            let count = *random.choice([1, 8, 9, 16, 17, 32].iter()).unwrap();
            Type::flags(names("l", count))
        }
        _ => {
            let count = *random.choice([1, 3, 256, 257, 300].iter()).unwrap();
            Type::enumeration(names("e", count))
        }
    }
}

fn side(random: &mut Rng, depth: usize) -> Option<Type> {
    random.bool().then(|| random_type(random, depth))
}

/// Makes one value, once for each of the two worlds.
pub(crate) fn random_value(random: &mut Rng, ty: &Type) -> (Value, Val) {
    macro_rules! scalar {
        ($variant:ident, $value:expr) => {{
            let value = $value;
            (Value::$variant(value), Val::$variant(value))
        }};
    }
    match ty {
        Type::Bool => scalar!(Bool, random.bool()),
        Type::S8 => scalar!(S8, random.i8(..)),
        Type::U8 => scalar!(U8, random.u8(..)),
        Type::S16 => scalar!(S16, edge(random) as i16),
        Type::U16 => scalar!(U16, edge(random) as u16),
        Type::S32 => scalar!(S32, edge(random) as i32),
        Type::U32 => scalar!(U32, edge(random) as u32),
        Type::S64 => scalar!(S64, edge(random)),
        Type::U64 => scalar!(U64, edge(random) as u64),
        Type::F32 => {
            let value = random.f32() - 0.5;
            (Value::F32(value), Val::Float32(value))
        }
        Type::F64 => {
            let value = random.f64() * 1e300;
            (Value::F64(value), Val::Float64(value))
        }
        Type::Char => scalar!(Char, random.char(..)),
        Type::String => {
            let text = random_text(random);
            (Value::String(text.clone()), Val::String(text))
        }
        Type::List(element) => random_list(random, element),
        Type::Tuple(members) => {
            let (values, vals) = members.iter().map(|ty| random_value(random, ty)).unzip();
            (Value::Fields(values), Val::Tuple(vals))
        }
        Type::Record(fields) => {
            let (values, vals): (_, Vec<_>) =
                fields.iter().map(|it| random_value(random, &it.ty)).unzip();
            let names = fields.iter().map(|field| field.name.clone());
            (
                Value::Fields(values),
                Val::Record(names.zip(vals).collect()),
            )
        }
        Type::Variant(cases) => {
            let index = random.usize(..cases.len());
            let case = &cases[index];
            let (value, val) = random_side(random, case.ty.as_ref());
            let val = Val::Variant(case.name.clone(), val);
            (Value::Case(index as u32, value), val)
        }
        Type::Option(some) => {
            let some = random.bool().then_some(&**some);
            let (value, val) = random_side(random, some);
            (
                Value::Case(u32::from(some.is_some()), value),
                Val::Option(val),
            )
        }
        Type::Result(sides) => {
            if random.bool() {
                let (value, val) = random_side(random, sides.ok.as_ref());
                (Value::Case(0, value), Val::Result(Ok(val)))
            } else {
                let (value, val) = random_side(random, sides.err.as_ref());
                (Value::Case(1, value), Val::Result(Err(val)))
            }
        }
        Type::Enum(names) => {
            let index = random.usize(..names.len());
            (Value::Enum(index as u32), Val::Enum(names[index].clone()))
        }
        Type::Flags(labels) => {
            let bits = random.u32(..) & (u32::MAX >> (32 - labels.len()));
            let set = |index: &usize| bits >> index & 1 == 1;
            let names = (0..labels.len())
                .filter(set)
                .map(|index| labels[index].clone());
            (Value::Flags(bits), Val::Flags(names.collect()))
        }
        other => panic!("no values of type {other}"),
    }
}

fn random_side(random: &mut Rng, ty: Option<&Type>) -> (Option<Box<Value>>, Option<Box<Val>>) {
    match ty {
        None => (None, None),
        Some(ty) => {
            let (value, val) = random_value(random, ty);
            (Some(Box::new(value)), Some(Box::new(val)))
        }
    }
}

fn random_list(random: &mut Rng, element: &Type) -> (Value, Val) {
    let count = random.usize(..6);
    let (values, vals): (Vec<_>, Vec<_>) =
        (0..count).map(|_| random_value(random, element)).unzip();
    if *element != Type::U8 {
        return (Value::List(values), Val::List(vals));
    }
    let byte = |value| match value {
        Value::U8(byte) => byte,
        other => panic!("{other:?} is no byte"),
    };
    (
        Value::Bytes(values.into_iter().map(byte).collect()),
        Val::List(vals),
    )
}

/// A number of random width: as likely to need one byte on the wire as ten.
fn edge(random: &mut Rng) -> i64 {
    random.i64(..) >> random.u32(..64)
}

fn random_text(random: &mut Rng) -> String {
    let latin = random.bool();
    let count = random.usize(..20);
    (0..count)
        .map(|_| match latin {
            true => char::from(random.u8(..)),
            false => random.char(..),
        })
        .collect()
}

/// Writes `ty` as WIT, with the declarations that it needs.
pub(crate) fn write_wit(ty: &Type, declarations: &mut String) -> String {
    let declare = |declarations: &mut String, kind: &str, body: String| {
        let name = format!("t{}", declarations.matches('{').count());
        declarations.push_str(&format!("  {kind} {name} {{ {body} }}\n"));
        name
    };
    match ty {
        Type::List(element) => format!("list<{}>", write_wit(element, declarations)),
        Type::Option(some) => format!("option<{}>", write_wit(some, declarations)),
        Type::Tuple(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|ty| write_wit(ty, declarations))
                .collect();
            format!("tuple<{}>", members.join(", "))
        }
        Type::Result(sides) => {
            let mut side = |ty: &Option<Type>| {
                let text = ty.as_ref().map(|ty| write_wit(ty, declarations));
                text.unwrap_or_else(|| "_".to_owned())
            };
            match (side(&sides.ok), side(&sides.err)) {
                (ok, err) if ok == "_" && err == "_" => "result".to_owned(),
                (ok, err) if err == "_" => format!("result<{ok}>"),
                (ok, err) => format!("result<{ok}, {err}>"),
            }
        }
        Type::Record(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|it| format!("{}: {}", it.name, write_wit(&it.ty, declarations)))
                .collect();
            declare(declarations, "record", fields.join(", "))
        }
        Type::Variant(cases) => {
            let mut case = |name: &str, ty: &Option<Type>| match ty {
                Some(ty) => format!("{name}({})", write_wit(ty, declarations)),
                None => name.to_owned(),
            };
            let cases: Vec<_> = cases.iter().map(|it| case(&it.name, &it.ty)).collect();
            declare(declarations, "variant", cases.join(", "))
        }
        Type::Enum(names) => declare(declarations, "enum", names.join(", ")),
        Type::Flags(labels) => declare(declarations, "flags", labels.join(", ")),
        scalar => scalar.to_string(),
    }
}
