//! Values of a wRPC peer, of a type that the input chooses: the scan and the decoder agree, what is
//! decoded encodes to the same value again, and a beginning of a value is known as one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, within};
use trellis_wire::plan::{Plan, PlanId};
use trellis_wire::{
    DecodeError, Dialect, Field, FunctionPlan, FunctionType, Limits, Scan, Type, decode, encode,
    scan, scan_whole,
};

/// Beginnings of a value that are tried: each costs as much as the value.
const PREFIXES_MAX: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let (dialect, limits) = choices.dialect_and_limits();
    let ty = choices.any_type(true);
    let wire = choices.rest();
    // A value takes 32 bytes for each byte of a list, and twice that while the list grows.
    within((1 << 20) + 256 * data.len(), || {
        let Ok((plan, id)) = Plan::compile(&ty) else {
            return;
        };
        Case {
            plan,
            id,
            dialect,
            limits,
        }
        .check(wire);
        check_params(ty.clone(), dialect, &limits, wire);
    });
});

struct Case {
    plan: Plan,
    id: PlanId,
    dialect: Dialect,
    limits: Limits,
}

impl Case {
    fn scan(&self, wire: &[u8]) -> Result<Scan, DecodeError> {
        scan(&self.plan, self.id, wire, self.dialect, &self.limits)
    }

    fn check(&self, wire: &[u8]) {
        let decoded = decode(&self.plan, self.id, wire, self.dialect, &self.limits);
        match (self.scan(wire), decoded) {
            (
                Ok(Scan::Complete {
                    length,
                    reallocations,
                }),
                Ok((value, taken)),
            ) => {
                assert_eq!(length, taken);
                assert!(length <= self.limits.wire_bytes_max);
                assert!(reallocations.bytes <= self.limits.memory_bytes_max);
                let whole = scan_whole(
                    &self.plan,
                    self.id,
                    &wire[..length],
                    self.dialect,
                    &self.limits,
                );
                assert_eq!(whole, Ok(reallocations));
                self.check_beginnings(&wire[..length]);
                let again = self.encode(&value);
                assert!(again.len() <= length, "it grew");
                let (value, taken) =
                    decode(&self.plan, self.id, &again, self.dialect, &self.limits)
                        .expect("what is encoded decodes");
                assert_eq!(taken, again.len());
                // Bytes, not values: a NaN is not equal to itself.
                assert_eq!(self.encode(&value), again);
            }
            (Ok(Scan::NeedMore { missing }), Err(error)) => {
                assert!(missing > 0 && error.is_truncated(), "{error}");
            }
            (Err(_), Err(_)) => {}
            (scanned, decoded) => panic!("scan {scanned:?}, decode {decoded:?}"),
        }
    }

    fn check_beginnings(&self, wire: &[u8]) {
        let step = wire.len().div_ceil(PREFIXES_MAX).max(1);
        for length in (0..wire.len()).step_by(step) {
            match self.scan(&wire[..length]) {
                Ok(Scan::NeedMore { missing }) => {
                    assert!(missing > 0 && length + missing <= wire.len(), "at {length}");
                }
                other => panic!("{length} of {} bytes: {other:?}", wire.len()),
            }
        }
    }

    fn encode(&self, value: &trellis_wire::Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&self.plan, self.id, value, self.dialect, &mut out)
            .expect("what was decoded encodes");
        out
    }
}

/// The same as the parameters of a function, where nothing may follow.
fn check_params(ty: Type, dialect: Dialect, limits: &Limits, wire: &[u8]) {
    let second = Field {
        name: "b".to_owned(),
        ty: Type::U8,
    };
    let signature = FunctionType {
        params: vec![
            Field {
                name: "a".to_owned(),
                ty,
            },
            second,
        ],
        result: None,
    };
    let Ok(function) = FunctionPlan::compile(&signature) else {
        return;
    };
    if let Ok(values) = function.decode_params(wire, dialect, limits) {
        let again = function
            .encode_params(&values, dialect)
            .expect("what was decoded encodes");
        assert!(again.len() <= wire.len());
    }
}
