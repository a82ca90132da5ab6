//! What is encoded is decoded to the same, and nothing else is taken for it.

use proptest::prelude::*;
use trellis_wire::plan::Plan;
use trellis_wire::{Dialect, Limits, Scan, Type, Value, decode, encode, scan};

use crate::random::{any_type, any_typed};

const DIALECTS: [Dialect; 2] = [Dialect::A, Dialect::B];

proptest! {
    #[test]
    fn values_survive_and_a_scan_agrees((ty, value) in any_typed(true)) {
        let (plan, id) = Plan::compile(&ty).unwrap();
        for dialect in DIALECTS {
            let mut wire = Vec::new();
            encode(&plan, id, &value, dialect, &mut wire).unwrap();
            let limits = Limits::default();
            let (decoded, length) = decode(&plan, id, &wire, dialect, &limits).unwrap();
            prop_assert_eq!((&decoded, length), (&value, wire.len()));
            let scanned = scan(&plan, id, &wire, dialect, &limits).unwrap();
            prop_assert_eq!(length_of(&scanned), Some(wire.len()));
            let node = plan.node(id);
            prop_assert!(wire.len() >= node.wire_min as usize);
            prop_assert!(node.wire_max.is_none_or(|max| wire.len() <= max as usize));
            truncations(&plan, id, &wire, dialect)?;
        }
    }

    #[test]
    fn random_bytes_do_no_harm(
        ty in any_type(true),
        wire in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let (plan, id) = Plan::compile(&ty).unwrap();
        let limits = Limits { wire_bytes_max: 256, values_max: 1_000, memory_bytes_max: 4_096 };
        for dialect in DIALECTS {
            let scanned = scan(&plan, id, &wire, dialect, &limits);
            match decode(&plan, id, &wire, dialect, &limits) {
                Ok((value, length)) => {
                    prop_assert_eq!(scanned.as_ref().ok().and_then(length_of), Some(length));
                    prop_assert!(values_in(&value) <= 1 + limits.values_max);
                }
                Err(_) => prop_assert_eq!(scanned.as_ref().ok().and_then(length_of), None),
            }
        }
    }
}

fn length_of(scanned: &Scan) -> Option<usize> {
    match scanned {
        Scan::Complete { length, .. } => Some(*length),
        Scan::NeedMore { .. } => None,
    }
}

/// Every beginning of a message is the beginning of a message, and says honestly what is missing.
fn truncations(
    plan: &Plan,
    id: trellis_wire::plan::PlanId,
    wire: &[u8],
    dialect: Dialect,
) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    for length in 0..wire.len() {
        let scanned = scan(plan, id, &wire[..length], dialect, &limits);
        let Ok(Scan::NeedMore { missing }) = scanned else {
            return Err(TestCaseError::fail(format!("{length} bytes: {scanned:?}")));
        };
        prop_assert!(missing >= 1 && length + missing <= wire.len());
        let decoded = decode(plan, id, &wire[..length], dialect, &limits);
        prop_assert!(decoded.is_err_and(|error| error.is_truncated()));
    }
    Ok(())
}

fn values_in(value: &Value) -> usize {
    1 + match value {
        Value::List(values) | Value::Fields(values) => values.iter().map(values_in).sum(),
        Value::Case(_, Some(value)) => values_in(value),
        _ => 0,
    }
}

/// A mebibyte of bytes is one copy: far below what a step for each byte would take.
#[test]
fn bytes_are_copied_at_once() {
    let (plan, id) = Plan::compile(&Type::list(Type::U8)).unwrap();
    let value = Value::Bytes(vec![7; 1 << 20]);
    let mut wire = Vec::with_capacity(2 << 20);
    let limits = Limits::default();
    let best = (0..20)
        .map(|_| {
            wire.clear();
            let begin = std::time::Instant::now();
            encode(&plan, id, &value, Dialect::A, &mut wire).unwrap();
            let scanned = scan(&plan, id, &wire, Dialect::A, &limits).unwrap();
            assert!(matches!(scanned, Scan::Complete { .. }));
            begin.elapsed()
        })
        .min()
        .unwrap();
    // One copy takes about 50 µs; a step for each byte, in an unoptimised build, 5 ms and more.
    assert!(best.as_micros() < 2_000, "took {best:?}");
}
