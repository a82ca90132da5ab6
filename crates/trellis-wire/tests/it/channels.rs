//! Streams and futures on channels of their own, however the bytes are cut.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use trellis_wire::dialect::{
    ChannelError, FutureDecoder, StreamDecoder, StreamEncoder, StreamPart,
};
use trellis_wire::plan::Plan;
use trellis_wire::{
    Dialect, Field, FunctionPlan, FunctionType, Limits, Type, Value, decode, encode, find_pending,
};

use crate::random::{any_type, value_of};

fn function_of(param: Type) -> Arc<FunctionPlan> {
    let signature = FunctionType {
        params: vec![Field {
            name: "p".to_owned(),
            ty: param,
        }],
        result: None,
    };
    Arc::new(FunctionPlan::compile(&signature).unwrap())
}

fn stream_of(element: Option<Type>, dialect: Dialect) -> StreamDecoder {
    let function = function_of(Type::stream(element));
    let stream = function.param_paths[0].plan;
    StreamDecoder::of(&function, stream, dialect, Limits::default())
}

/// Reads all that is there.
fn drain(decoder: &mut StreamDecoder) -> Result<Vec<StreamPart>, ChannelError> {
    let mut parts = Vec::new();
    while let Some(part) = decoder.next_part()? {
        let ended = part == StreamPart::End;
        parts.push(part);
        if ended {
            break;
        }
    }
    Ok(parts)
}

#[test]
fn chunks_of_bytes_are_as_seen_on_the_wire() {
    let (mut encoder, mut out) = (StreamEncoder::default(), Vec::new());
    encoder.bytes(b"aaa", &mut out);
    encoder.bytes(b"", &mut out);
    encoder.bytes(b"bbb", &mut out);
    encoder.end(&mut out);
    encoder.end(&mut out);
    assert_eq!(out, b"\x03aaa\x03bbb\x00");

    let mut decoder = StreamDecoder::bytes(Dialect::A, Limits::default());
    decoder.push(Bytes::from(out));
    let bytes = |text: &'static [u8]| StreamPart::Bytes(Bytes::from_static(text));
    assert_eq!(
        drain(&mut decoder).unwrap(),
        [bytes(b"aaa"), bytes(b"bbb"), StreamPart::End]
    );
    decoder.finish().unwrap();
}

#[test]
fn strings_and_units() {
    let mut decoder = stream_of(Some(Type::String), Dialect::A);
    decoder.push(Bytes::from_static(b"\x01\x01a\x02\x01b\x01c\x00"));
    let parts = drain(&mut decoder).unwrap();
    let elements = |count, wire: &'static [u8]| StreamPart::Elements {
        count,
        wire: Bytes::from_static(wire),
    };
    assert_eq!(
        parts,
        [
            elements(1, b"\x01a"),
            elements(2, b"\x01b\x01c"),
            StreamPart::End
        ]
    );

    let mut decoder = stream_of(None, Dialect::A);
    decoder.push(Bytes::from_static(b"\x03\x00"));
    assert_eq!(
        drain(&mut decoder).unwrap(),
        [StreamPart::Units(3), StreamPart::End]
    );
}

#[test]
fn a_stream_without_its_end_is_an_error() {
    for wire in [&b""[..], b"\x03aaa", b"\x03aa", b"\x80"] {
        let mut decoder = StreamDecoder::bytes(Dialect::A, Limits::default());
        decoder.push(Bytes::from_static(wire));
        drain(&mut decoder).unwrap();
        assert_eq!(decoder.finish(), Err(ChannelError::CutShort), "{wire:?}");
    }
}

#[test]
fn a_second_end_is_tolerated_in_dialect_a_only() {
    let mut decoder = StreamDecoder::bytes(Dialect::A, Limits::default());
    decoder.push(Bytes::from_static(b"\x01a\x00\x00"));
    assert_eq!(drain(&mut decoder).unwrap().len(), 2);
    decoder.push(Bytes::from_static(b"\x00"));
    assert_eq!(decoder.next_part(), Ok(Some(StreamPart::End)));
    decoder.finish().unwrap();

    let mut decoder = StreamDecoder::bytes(Dialect::B, Limits::default());
    decoder.push(Bytes::from_static(b"\x00\x00"));
    assert!(decoder.next_part().is_err());
}

#[test]
fn wrong_elements_are_an_error() {
    let mut decoder = stream_of(Some(Type::Bool), Dialect::A);
    decoder.push(Bytes::from_static(b"\x02\x01\x02"));
    assert!(drain(&mut decoder).is_err());
    let mut decoder = StreamDecoder::bytes(Dialect::A, Limits::default());
    decoder.push(Bytes::from_static(b"\xff\xff\xff\xff\x1f"));
    assert!(decoder.next_part().is_err());
}

#[test]
fn futures_are_their_value() {
    let future = |ty, dialect| {
        let function = function_of(Type::future(ty));
        let place = function.param_paths[0].plan;
        FutureDecoder::of(&function, place, dialect, Limits::default())
    };
    let mut byte = future(Some(Type::U8), Dialect::A);
    assert_eq!(byte.ready(), Ok(None));
    byte.push(Bytes::from_static(b"\x2a"));
    assert_eq!(byte.ready(), Ok(Some(Bytes::from_static(b"\x2a"))));
    assert_eq!(byte.finish(), Ok(Bytes::from_static(b"\x2a")));

    assert_eq!(future(None, Dialect::B).finish(), Ok(Bytes::new()));
    let mut text = future(Some(Type::String), Dialect::A);
    text.push(Bytes::from_static(b"\x02a"));
    assert_eq!(text.ready(), Ok(None));
    assert_eq!(text.finish(), Err(ChannelError::CutShort));
    let mut twice = future(Some(Type::U8), Dialect::B);
    twice.push(Bytes::from_static(b"\x2a\x2a"));
    assert!(twice.finish().is_err());
}

#[test]
fn what_follows_a_future_on_its_channel_is_kept_for_what_it_is() {
    let function = function_of(Type::future(Some(Type::stream(Some(Type::U8)))));
    let place = function.param_paths[0].plan;
    let mut decoder = FutureDecoder::of(&function, place, Dialect::A, Limits::default());
    decoder.push(Bytes::from_static(b"\x00\x02ab"));
    let value = decoder.ready().unwrap().unwrap();
    assert_eq!(value, Bytes::from_static(&[0]));
    assert_eq!(decoder.into_rest(&value), Bytes::from_static(b"\x02ab"));
}

#[test]
fn what_is_pending_in_a_value_is_found_where_it_is() {
    let bytes = || Type::stream(Some(Type::U8));
    let ty = Type::tuple([
        bytes(),
        Type::list(Type::option(Type::future(None))),
        Type::stream(Some(bytes())),
        Type::future(Some(Type::tuple([bytes(), bytes()]))),
    ]);
    let (plan, id) = Plan::compile(&ty).unwrap();
    // The first is complete; so are the streams of the third and the future of the fourth, but not what
    // is in them.
    let wire = b"\x01a\x03\x00\x01\x00\x01\x01\x02\x00\x01b\x01\x00\x00";
    let find = |count_max| find_pending(&plan, id, wire, Dialect::A, count_max);
    let paths: Vec<_> = find(8).unwrap().into_iter().map(|it| it.path).collect();
    assert_eq!(paths, [vec![1, 1], vec![2, 0], vec![3, 0], vec![3, 1]]);
    assert!(find(3).is_err());
    assert!(find_pending(&plan, id, &wire[..5], Dialect::A, 8).is_err());
}

/// A stream's elements, the sizes of its chunks, and where the bytes are cut on the way.
fn any_stream() -> impl Strategy<Value = (Type, Vec<Vec<Value>>, Vec<usize>)> {
    any_type(false).prop_flat_map(|element| {
        let chunk = proptest::collection::vec(value_of(&element), 0..4);
        let chunks = proptest::collection::vec(chunk, 0..4);
        (
            Just(element),
            chunks,
            proptest::collection::vec(1usize..9, 1..6),
        )
    })
}

proptest! {
    #[test]
    fn a_stream_arrives_whole_however_it_is_cut((element, chunks, cuts) in any_stream()) {
        let (plan, id) = Plan::compile(&element).unwrap();
        let (mut encoder, mut wire) = (StreamEncoder::default(), Vec::new());
        for chunk in &chunks {
            let mut elements = Vec::new();
            for value in chunk {
                encode(&plan, id, value, Dialect::A, &mut elements).unwrap();
            }
            encoder.chunk(chunk.len() as u32, &elements, &mut wire);
        }
        encoder.end(&mut wire);

        let mut decoder = stream_of(Some(element), Dialect::A);
        let (mut rest, mut cuts, mut got) = (Bytes::from(wire), cuts.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let cut = (*cuts.next().unwrap()).min(rest.len());
            decoder.push(rest.split_to(cut));
            got.extend(drain(&mut decoder).unwrap());
        }
        decoder.finish().unwrap();
        prop_assert_eq!(got.pop(), Some(StreamPart::End));
        let values: Vec<Value> = chunks.into_iter().flatten().collect();
        prop_assert_eq!(decode_parts(&plan, id, &got), values);
    }
}

fn decode_parts(plan: &Plan, id: trellis_wire::plan::PlanId, parts: &[StreamPart]) -> Vec<Value> {
    let mut values = Vec::new();
    for part in parts {
        match part {
            StreamPart::Bytes(bytes) => values.extend(bytes.iter().copied().map(Value::U8)),
            StreamPart::Elements { count, wire } => {
                let mut rest = &wire[..];
                for _ in 0..*count {
                    let decoded = decode(plan, id, rest, Dialect::A, &Limits::default());
                    let (value, length) = decoded.unwrap();
                    rest = &rest[length..];
                    values.push(value);
                }
                assert!(rest.is_empty());
            }
            other => panic!("{other:?} in the middle"),
        }
    }
    values
}
