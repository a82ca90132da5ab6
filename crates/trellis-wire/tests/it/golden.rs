//! Bytes that published wRPC crates produced, in both directions.

use std::sync::Arc;

use trellis_wire::plan::Plan;
use trellis_wire::{
    Dialect, EncodeError, Field, FunctionPlan, FunctionType, FutureValue, Limits, Scan,
    StreamValue, Type, Value, decode, encode, scan,
};

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// `value` of type `ty` has the bytes `wire`, and `wire` is `value`.
#[track_caller]
fn check_in(dialect: Dialect, ty: &Type, value: Value, wire: &str) {
    let wire = hex(wire);
    let (plan, id) = Plan::compile(ty).unwrap();
    let mut out = Vec::new();
    encode(&plan, id, &value, dialect, &mut out).unwrap();
    assert_eq!(out, wire, "{ty}: encoding {value:?}");
    let limits = Limits::default();
    let decoded = decode(&plan, id, &wire, dialect, &limits).unwrap();
    assert_eq!(decoded, (value, wire.len()), "{ty}: decoding {wire:x?}");
    let scanned = scan(&plan, id, &wire, dialect, &limits).unwrap();
    assert!(matches!(scanned, Scan::Complete { length, .. } if length == wire.len()));
    let min = plan.node(id).wire_min as usize;
    let max = plan
        .node(id)
        .wire_max
        .map_or(usize::MAX, |max| max as usize);
    assert!((min..=max).contains(&wire.len()), "{ty}: {min} to {max}");
}

#[track_caller]
fn check(ty: &Type, value: Value, wire: &str) {
    check_in(Dialect::A, ty, value.clone(), wire);
    check_in(Dialect::B, ty, value, wire);
}

#[test]
fn integers() {
    check(&Type::Bool, Value::Bool(false), "00");
    check(&Type::Bool, Value::Bool(true), "01");
    check(&Type::U8, Value::U8(200), "c8");
    check(&Type::S8, Value::S8(-1), "ff");
    check(&Type::S8, Value::S8(-128), "80");
    check(&Type::U32, Value::U32(127), "7f");
    check(&Type::U32, Value::U32(128), "80 01");
    check(&Type::U16, Value::U16(300), "ac 02");
    check(&Type::U16, Value::U16(65535), "ff ff 03");
    check(&Type::U32, Value::U32(u32::MAX), "ff ff ff ff 0f");
    check(
        &Type::U64,
        Value::U64(1 << 63),
        "80 80 80 80 80 80 80 80 80 01",
    );
    check(
        &Type::U64,
        Value::U64(u64::MAX),
        "ff ff ff ff ff ff ff ff ff 01",
    );
    check(&Type::S16, Value::S16(63), "3f");
    check(&Type::S16, Value::S16(64), "c0 00");
    check(&Type::S32, Value::S32(-64), "40");
    check(&Type::S64, Value::S64(-65), "bf 7f");
    check(&Type::S16, Value::S16(-32768), "80 80 7e");
    check(&Type::S16, Value::S16(i16::MAX), "ff ff 01");
    check(&Type::S32, Value::S32(-300), "d4 7d");
    check(&Type::S32, Value::S32(i32::MIN), "80 80 80 80 78");
    check(&Type::S32, Value::S32(i32::MAX), "ff ff ff ff 07");
    check(
        &Type::S64,
        Value::S64(i64::MIN),
        "80 80 80 80 80 80 80 80 80 7f",
    );
    check(
        &Type::S64,
        Value::S64(i64::MAX),
        "ff ff ff ff ff ff ff ff ff 00",
    );
}

#[test]
fn floats_characters_and_strings() {
    check(&Type::F32, Value::F32(-2.5), "00 00 20 c0");
    check(&Type::F32, Value::F32(-0.0), "00 00 00 80");
    check(&Type::F64, Value::F64(0.1), "9a 99 99 99 99 99 b9 3f");
    check(&Type::Char, Value::Char('A'), "41");
    check(&Type::Char, Value::Char('€'), "e2 82 ac");
    check(&Type::Char, Value::Char('🦀'), "f0 9f a6 80");
    check(&Type::String, Value::string("wrpc"), "04 77 72 70 63");
    check(&Type::String, Value::string(""), "00");
    check(&Type::String, Value::string("żó"), "04 c5 bc c3 b3");
}

#[test]
fn every_nan_is_sent_as_the_canonical_one_and_any_is_taken() {
    let wire = |ty: &Type, value: Value| {
        let (plan, id) = Plan::compile(ty).unwrap();
        let mut out = Vec::new();
        encode(&plan, id, &value, Dialect::A, &mut out).unwrap();
        out
    };
    let odd = f32::from_bits(0xffc0_1234);
    assert_eq!(wire(&Type::F32, Value::F32(odd)), hex("00 00 c0 7f"));
    let odd = f64::from_bits(0xfff8_0000_0000_0001);
    assert_eq!(
        wire(&Type::F64, Value::F64(odd)),
        hex("00 00 00 00 00 00 f8 7f")
    );

    let (plan, id) = Plan::compile(&Type::F32).unwrap();
    let odd = hex("34 12 c0 ff");
    let decoded = decode(&plan, id, &odd, Dialect::A, &Limits::default());
    assert!(matches!(decoded, Ok((Value::F32(value), 4)) if value.is_nan()));
}

#[test]
fn lists_tuples_and_records() {
    let strings =
        |texts: &[&str]| Value::List(texts.iter().map(|text| Value::string(*text)).collect());
    check(
        &Type::list(Type::U8),
        Value::Bytes(vec![1, 2, 255]),
        "03 01 02 ff",
    );
    check(&Type::list(Type::U8), Value::Bytes(vec![]), "00");
    check(
        &Type::list(Type::U16),
        Value::List([1, 300, 0].map(Value::U16).to_vec()),
        "03 01 ac 02 00",
    );
    check(
        &Type::list(Type::String),
        strings(&["a", "bc"]),
        "02 01 61 02 62 63",
    );
    check(&Type::list(Type::String), strings(&[]), "00");
    check(
        &Type::tuple([Type::U8, Type::String, Type::Bool]),
        Value::Fields(vec![Value::U8(7), Value::string("x"), Value::Bool(true)]),
        "07 01 78 01",
    );
    check(
        &Type::tuple([Type::U32, Type::list(Type::U8)]),
        Value::Fields(vec![Value::U32(300), Value::Bytes(vec![0])]),
        "ac 02 01 00",
    );
    check(&point(), point_value(), "ac 02 7f 01 70");
    check(
        &Type::record([("a", Type::Bool), ("b", Type::list(Type::U16))]),
        Value::Fields(vec![
            Value::Bool(true),
            Value::List([128, 5].map(Value::U16).to_vec()),
        ]),
        "01 02 80 01 05",
    );
}

fn point() -> Type {
    Type::record([("x", Type::U32), ("y", Type::S32), ("name", Type::String)])
}

fn point_value() -> Value {
    Value::Fields(vec![Value::U32(300), Value::S32(-1), Value::string("p")])
}

#[test]
fn variants_enums_options_and_results() {
    let filter = Type::variant([
        ("all", None),
        ("some", Some(Type::U32)),
        ("none-of", Some(Type::list(Type::String))),
    ]);
    let case = |case, value| Value::Case(case, Some(Box::new(value)));
    check(&filter, Value::Case(0, None), "00");
    check(&filter, case(1, Value::U32(7)), "01 07");
    check(
        &filter,
        case(2, Value::List(vec![Value::string("x")])),
        "02 01 01 78",
    );
    let big = Type::variant((0..200).map(|index| (format!("c{index}"), None)));
    check(&big, Value::Case(130, None), "82 01");

    let colour = Type::enumeration(["red", "green", "blue"]);
    check(&colour, Value::Enum(0), "00");
    check(&colour, Value::Enum(2), "02");
    let big = Type::enumeration((0..300).map(|index| format!("c{index}")));
    check(&big, Value::Enum(299), "ab 02");

    check(&Type::option(Type::U32), Value::none(), "00");
    check(
        &Type::option(Type::U32),
        Value::some(Value::U32(5)),
        "01 05",
    );
    let nested = Type::option(Type::option(Type::U32));
    check(&nested, Value::some(Value::none()), "01 00");

    let result = Type::result(Some(Type::U32), Some(Type::String));
    check(&result, Value::ok(Some(Value::U32(9))), "00 09");
    check(
        &result,
        Value::err(Some(Value::string("no"))),
        "01 02 6e 6f",
    );
    check(&Type::result(None, None), Value::ok(None), "00");
    check(&Type::result(None, None), Value::err(None), "01");

    check(
        &Type::record([("p", point()), ("f", nested), ("c", colour)]),
        Value::Fields(vec![
            point_value(),
            Value::some(Value::some(Value::U32(7))),
            Value::Enum(1),
        ]),
        "ac 02 7f 01 70 01 01 07 01",
    );
}

#[test]
fn flags() {
    let labels = |count: usize| Type::flags((0..count).map(|index| format!("f{index}")));
    check(&labels(3), Value::Flags(0b101), "05");
    check(&labels(10), Value::Flags(1 | 1 << 9), "01 02");
    check(&labels(20), Value::Flags(1 | 1 << 19), "01 00 08");
    check(&labels(32), Value::Flags(1 << 31), "00 00 00 80");
}

#[test]
fn handles_are_opaque_bytes() {
    let own = Type::Own(Arc::from("bucket"));
    check(&own, Value::Handle(vec![0xde, 0xad]), "02 de ad");
    let borrow = Type::Borrow(Arc::from("bucket"));
    check(&borrow, Value::Handle(b"h1".to_vec()), "02 68 31");
}

#[test]
fn futures() {
    let ready = |value: Value| Value::Future(FutureValue::Ready(Some(Box::new(value))));
    let byte = Type::future(Some(Type::U8));
    check(&byte, Value::Future(FutureValue::Pending), "00");
    check(&byte, ready(Value::U8(42)), "01 2a");
    check(
        &Type::future(None),
        Value::Future(FutureValue::Ready(None)),
        "01",
    );
    let nested = Type::future(Some(Type::future(Some(Type::U32))));
    check(&nested, ready(ready(Value::U32(0x42))), "01 01 42");
}

#[test]
fn streams_differ_by_dialect() {
    let complete = |bytes: &[u8]| {
        Value::Stream(StreamValue::Complete(Box::new(Value::Bytes(
            bytes.to_vec(),
        ))))
    };
    let bytes = Type::stream(Some(Type::U8));
    check(&bytes, Value::Stream(StreamValue::Pending), "00");
    let pair = Type::tuple([Type::U8, bytes.clone()]);
    let value = Value::Fields(vec![Value::U8(9), complete(b"abc")]);
    check_in(Dialect::A, &pair, value.clone(), "09 03 61 62 63");
    check_in(Dialect::B, &pair, value, "09 01 03 61 62 63");
    check_in(Dialect::B, &bytes, complete(b""), "01 00");
    let units = Value::Stream(StreamValue::CompleteUnits(3));
    check_in(Dialect::A, &Type::stream(None), units.clone(), "03");
    check_in(Dialect::B, &Type::stream(None), units, "01 03");

    let (plan, id) = Plan::compile(&bytes).unwrap();
    let empty = encode(&plan, id, &complete(b""), Dialect::A, &mut Vec::new());
    assert_eq!(empty, Err(EncodeError::EmptyStream));
}

#[test]
fn parameters_are_a_tuple_and_nothing_is_no_bytes() {
    let param = |name: &str, ty| Field {
        name: name.to_owned(),
        ty,
    };
    let function = FunctionPlan::compile(&FunctionType {
        params: vec![
            param("a", Type::U8),
            param("b", Type::stream(Some(Type::U8))),
            param("c", Type::U8),
        ],
        result: None,
    })
    .unwrap();
    let params = [
        Value::U8(1),
        Value::Stream(StreamValue::Pending),
        Value::U8(2),
    ];
    let wire = function.encode_params(&params, Dialect::A).unwrap();
    assert_eq!(wire, hex("01 00 02"));
    let limits = Limits::default();
    assert_eq!(
        function.decode_params(&wire, Dialect::A, &limits).unwrap(),
        params
    );
    assert!(function.encode_result(None, Dialect::A).unwrap().is_empty());
    assert_eq!(
        function.decode_result(&[], Dialect::A, &limits).unwrap(),
        None
    );
}

/// The request of the published example: GET /a over HTTP, no headers, everything pending.
#[test]
fn a_request_of_the_http_interface() {
    let fields = || {
        Type::list(Type::tuple([
            Type::String,
            Type::list(Type::list(Type::U8)),
        ]))
    };
    let method = Type::variant([("get", None), ("head", None), ("other", Some(Type::String))]);
    let scheme = Type::variant([
        ("HTTP", None),
        ("HTTPS", None),
        ("other", Some(Type::String)),
    ]);
    let request = Type::record([
        ("body", Type::stream(Some(Type::U8))),
        ("trailers", Type::future(Some(Type::option(fields())))),
        ("method", method),
        ("path-with-query", Type::option(Type::String)),
        ("scheme", Type::option(scheme)),
        ("authority", Type::option(Type::String)),
        ("headers", fields()),
    ]);
    let value = Value::Fields(vec![
        Value::Stream(StreamValue::Pending),
        Value::Future(FutureValue::Pending),
        Value::Case(0, None),
        Value::some(Value::string("/a")),
        Value::some(Value::Case(0, None)),
        Value::some(Value::string("h")),
        Value::List(vec![]),
    ]);
    check(&request, value, "00 00 00 01 02 2f 61 01 00 01 01 68 00");
}
