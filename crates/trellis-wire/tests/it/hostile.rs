//! Bytes that nobody honest sends.

use trellis_wire::plan::Plan;
use trellis_wire::{Dialect, Fault, Limits, Reader, Scan, Type, decode, scan, scan_whole};

#[track_caller]
fn fault_in(ty: &Type, wire: &[u8], limits: &Limits) -> Fault {
    let (plan, id) = Plan::compile(ty).unwrap();
    let scanned = scan(&plan, id, wire, Dialect::B, limits).unwrap_err();
    let decoded = decode(&plan, id, wire, Dialect::B, limits).unwrap_err();
    assert_eq!(scanned.fault, decoded.fault, "{ty}");
    scanned.fault
}

#[track_caller]
fn fault(ty: &Type, wire: &[u8]) -> Fault {
    fault_in(ty, wire, &Limits::default())
}

#[test]
fn wrong_bytes_are_told_apart() {
    use Fault::*;
    assert_eq!(fault(&Type::Bool, &[2]), NotZeroOrOne { byte: 2 });
    assert_eq!(
        fault(&Type::option(Type::U8), &[2]),
        NotZeroOrOne { byte: 2 }
    );
    assert_eq!(
        fault(&Type::result(None, None), &[0x80, 0]),
        NotZeroOrOne { byte: 0x80 }
    );
    assert_eq!(fault(&Type::String, &[2, 0xff, 0xff]), Utf8);
    assert_eq!(fault(&Type::String, &[1, 0xc5]), Utf8);
    assert_eq!(fault(&Type::Char, &[0x80]), Utf8);
    // A surrogate, and a number above the last character.
    assert_eq!(fault(&Type::Char, &[0xed, 0xa0, 0x80]), Utf8);
    assert_eq!(fault(&Type::Char, &[0xf4, 0x90, 0x80, 0x80]), Utf8);
    assert_eq!(
        fault(&Type::enumeration(["a", "b"]), &[2]),
        Case { case: 2, cases: 2 }
    );
    assert_eq!(
        fault(
            &Type::variant([("a", None)]),
            &[0xff, 0xff, 0xff, 0xff, 0x0f]
        ),
        Case {
            case: u32::MAX,
            cases: 1
        }
    );
    assert_eq!(fault(&Type::flags(["a", "b", "c"]), &[8]), Flags);
}

#[test]
fn numbers_may_be_over_long_but_not_too_large() {
    let read = |wire: &[u8]| Reader::new(wire).u16();
    assert_eq!(read(&[0x80, 0x00]), Ok(0));
    assert_eq!(read(&[0xff, 0x80, 0x00]), Ok(127));
    assert_eq!(read(&[0xff, 0xff, 0x03]), Ok(u16::MAX));
    assert_eq!(
        read(&[0xff, 0xff, 0x04]).unwrap_err().fault,
        Fault::Number { bits: 16 }
    );
    assert_eq!(
        read(&[0x80, 0x80, 0x80, 0x00]).unwrap_err().fault,
        Fault::Number { bits: 16 }
    );
    let too_long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
    assert_eq!(
        Reader::new(&too_long).u64().unwrap_err().fault,
        Fault::Number { bits: 64 }
    );
    // Both the word at a time and the byte at a time give the same.
    for padding in [0, 8] {
        let with = |wire: &[u8]| [wire, &vec![0xff; padding][..]].concat();
        assert_eq!(Reader::new(&with(&[0x80, 0x80, 0x7e])).s16(), Ok(i16::MIN));
        assert_eq!(Reader::new(&with(&[0xff, 0xff, 0x7f])).s16(), Ok(-1));
        assert_eq!(Reader::new(&with(&[0xff, 0x7f])).s16(), Ok(-1));
        assert!(Reader::new(&with(&[0xff, 0xff, 0x7d])).s16().is_err());
        assert_eq!(
            Reader::new(&with(&[0xff, 0xff, 0xff, 0xff, 0x0f])).u32(),
            Ok(u32::MAX)
        );
        assert!(
            Reader::new(&with(&[0xff, 0xff, 0xff, 0xff, 0x1f]))
                .u32()
                .is_err()
        );
    }
    let minimum = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
    assert_eq!(Reader::new(&minimum).s64(), Ok(i64::MIN));
    let beyond = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e];
    assert!(Reader::new(&beyond).s64().is_err());
}

#[test]
fn five_bytes_cannot_announce_four_thousand_million_elements() {
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for element in [
        Type::U8,
        Type::U64,
        Type::String,
        Type::tuple([Type::U8, Type::U8]),
    ] {
        let list = Type::list(element);
        let (plan, id) = Plan::compile(&list).unwrap();
        let scanned = scan(&plan, id, &bomb, Dialect::A, &Limits::default());
        let limit = "wire_bytes_max";
        let max = Limits::default().wire_bytes_max;
        assert_eq!(
            scanned.unwrap_err().fault,
            Fault::Limit { limit, max },
            "{list}"
        );
        assert!(decode(&plan, id, &bomb, Dialect::A, &Limits::default()).is_err());
    }
}

#[test]
fn an_honest_count_tells_how_much_is_missing() {
    let (plan, id) = Plan::compile(&Type::list(Type::F64)).unwrap();
    let wire = [100, 0, 0, 0, 0];
    let scanned = scan(&plan, id, &wire, Dialect::A, &Limits::default()).unwrap();
    assert_eq!(scanned, Scan::NeedMore { missing: 796 });
    let whole = scan_whole(&plan, id, &wire, Dialect::A, &Limits::default());
    assert_eq!(whole.unwrap_err().fault, Fault::Truncated { missing: 796 });
}

#[test]
fn each_limit_is_held() {
    let limits = Limits {
        wire_bytes_max: 1_000,
        values_max: 50,
        memory_bytes_max: 400,
    };
    let limit = |limit, max| Fault::Limit { limit, max };
    let list = |count: u8, each: &[u8]| [&[count][..], &each.repeat(count.into())].concat();
    assert_eq!(
        fault_in(&Type::list(Type::Bool), &list(51, &[0]), &limits),
        limit("values_max", 50)
    );
    // 40 elements of 1 byte on the wire and 16 in memory.
    let wide = Type::option(Type::U64);
    assert_eq!(
        fault_in(&Type::list(wide), &list(40, &[0]), &limits),
        limit("memory_bytes_max", 400)
    );
    let long = [&[0xe8, 0x07][..], &[b'x'; 1_000]].concat();
    let (plan, id) = Plan::compile(&Type::String).unwrap();
    assert!(scan(&plan, id, &long, Dialect::A, &limits).is_err());
    assert!(decode(&plan, id, &long, Dialect::A, &limits).is_err());
    assert!(scan(&plan, id, &long[..2], Dialect::A, &limits).is_err());
}

#[test]
fn a_scan_adds_up_what_a_guest_must_allocate() {
    let ty = Type::list(Type::tuple([Type::String, Type::list(Type::U32)]));
    let (plan, id) = Plan::compile(&ty).unwrap();
    let wire = [2, 1, b'a', 2, 1, 1, 0, 0];
    let reallocations = scan_whole(&plan, id, &wire, Dialect::A, &Limits::default()).unwrap();
    // Two elements of 16 bytes, one of them with a byte of text and two numbers.
    assert_eq!((reallocations.count, reallocations.bytes), (3, 41));
}

#[test]
fn bytes_after_the_value_are_an_error_of_a_whole_message() {
    let (plan, id) = Plan::compile(&Type::U8).unwrap();
    let error = scan_whole(&plan, id, &[1, 2, 3], Dialect::A, &Limits::default());
    assert_eq!(error.unwrap_err().fault, Fault::Trailing { count: 2 });
}
