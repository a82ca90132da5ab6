//! Random types and values of them.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use trellis_wire::{Case, Field, FutureValue, StreamValue, Type, Value};

/// Any type; with streams, futures and handles only where asked for.
pub(crate) fn any_type(with_channels: bool) -> BoxedStrategy<Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S16),
        Just(Type::U16),
        Just(Type::S32),
        Just(Type::U32),
        Just(Type::S64),
        Just(Type::U64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        (1usize..40).prop_map(|count| Type::enumeration(names("case", count))),
        (1usize..=32).prop_map(|count| Type::flags(names("label", count))),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let values = prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::option),
            vec(inner.clone(), 1..5).prop_map(Type::tuple),
            vec(inner.clone(), 1..5).prop_map(record),
            vec(proptest::option::of(inner.clone()), 1..5).prop_map(variant),
            (
                proptest::option::of(inner.clone()),
                proptest::option::of(inner.clone())
            )
                .prop_map(|(ok, err)| Type::result(ok, err)),
        ];
        if !with_channels {
            return values.boxed();
        }
        let inner = proptest::option::of(inner);
        prop_oneof![
            4 => values,
            1 => inner.clone().prop_map(Type::stream),
            1 => inner.prop_map(Type::future),
            1 => Just(Type::Own(Arc::from("thing"))),
        ]
        .boxed()
    })
    .boxed()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

fn record(types: Vec<Type>) -> Type {
    let field = |(index, ty)| Field {
        name: format!("field{index}"),
        ty,
    };
    Type::Record(types.into_iter().enumerate().map(field).collect())
}

/// Names that are words of WAVE too, so that its escapes are used.
fn variant(types: Vec<Option<Type>>) -> Type {
    let names = ["some", "nan", "plain", "true-north", "ok"];
    let case = |(name, ty): (&str, Option<Type>)| Case {
        name: name.to_owned(),
        ty,
    };
    Type::Variant(names.into_iter().zip(types).map(case).collect())
}

/// A type and a value of it.
pub(crate) fn any_typed(with_channels: bool) -> impl Strategy<Value = (Type, Value)> {
    any_type(with_channels).prop_flat_map(|ty| {
        let value = value_of(&ty);
        (Just(ty), value)
    })
}

pub(crate) fn value_of(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => (any::<i64>(), 0u32..64)
            .prop_map(|(value, shift)| Value::S64(value >> shift))
            .boxed(),
        Type::U64 => (any::<u64>(), 0u32..64)
            .prop_map(|(value, shift)| Value::U64(value >> shift))
            .boxed(),
        Type::F32 => any::<f32>()
            .prop_map(|value| Value::F32(no_nan_32(value)))
            .boxed(),
        Type::F64 => any::<f64>()
            .prop_map(|value| Value::F64(no_nan_64(value)))
            .boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::List(element) if **element == Type::U8 => {
            vec(any::<u8>(), 0..9).prop_map(Value::Bytes).boxed()
        }
        Type::List(element) => vec(value_of(element), 0..5).prop_map(Value::List).boxed(),
        Type::Tuple(members) => fields(members.iter()),
        Type::Record(members) => fields(members.iter().map(|field| &field.ty)),
        Type::Variant(cases) => case(cases.iter().map(|case| case.ty.as_ref())),
        Type::Option(some) => case([None, Some(&**some)].into_iter()),
        Type::Result(sides) => case([sides.ok.as_ref(), sides.err.as_ref()].into_iter()),
        Type::Enum(names) => (0..names.len() as u32).prop_map(Value::Enum).boxed(),
        Type::Flags(names) => {
            let unused = 32 - names.len() as u32;
            any::<u32>()
                .prop_map(move |bits| Value::Flags(bits >> unused))
                .boxed()
        }
        Type::Own(_) | Type::Borrow(_) => vec(any::<u8>(), 0..20).prop_map(Value::Handle).boxed(),
        Type::Stream(element) => stream(element.as_deref()),
        Type::Future(payload) => {
            let ready = |value: Value| FutureValue::Ready(Some(Box::new(value)));
            let ready = match payload {
                Some(payload) => value_of(payload).prop_map(ready).boxed(),
                None => Just(FutureValue::Ready(None)).boxed(),
            };
            prop_oneof![Just(FutureValue::Pending), ready]
                .prop_map(Value::Future)
                .boxed()
        }
    }
}

fn stream(element: Option<&Type>) -> BoxedStrategy<Value> {
    let complete = match element {
        None => (1..9u32).prop_map(StreamValue::CompleteUnits).boxed(),
        Some(Type::U8) => vec(any::<u8>(), 1..9)
            .prop_map(|bytes| StreamValue::Complete(Box::new(Value::Bytes(bytes))))
            .boxed(),
        Some(element) => vec(value_of(element), 1..4)
            .prop_map(|values| StreamValue::Complete(Box::new(Value::List(values))))
            .boxed(),
    };
    prop_oneof![Just(StreamValue::Pending), complete]
        .prop_map(Value::Stream)
        .boxed()
}

fn fields<'a>(types: impl Iterator<Item = &'a Type>) -> BoxedStrategy<Value> {
    let members: Vec<_> = types.map(value_of).collect();
    members.prop_map(Value::Fields).boxed()
}

fn case<'a>(payloads: impl Iterator<Item = Option<&'a Type>>) -> BoxedStrategy<Value> {
    let cases = payloads.enumerate().map(|(index, payload)| {
        let index = index as u32;
        match payload {
            None => Just(Value::Case(index, None)).boxed(),
            Some(ty) => value_of(ty)
                .prop_map(move |value| Value::Case(index, Some(Box::new(value))))
                .boxed(),
        }
    });
    proptest::strategy::Union::new(cases).boxed()
}

fn no_nan_32(value: f32) -> f32 {
    if value.is_nan() { 0.5 } else { value }
}

fn no_nan_64(value: f64) -> f64 {
    if value.is_nan() { 0.5 } else { value }
}
