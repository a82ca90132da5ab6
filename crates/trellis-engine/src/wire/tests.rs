//! The codec without a guest: a memory that is a vector, and everything in it that can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use fastrand::Rng;
use trellis_wire::plan::{FunctionPlan, Node, PlanId};
use trellis_wire::{Field, FunctionType, Type};
use wasmtime::ValRaw;

use super::lift::{Lift, LiftError, Source};
use super::lower::{self, LowerError, Target};
use crate::streams::Complete;

/// What the memory of these tests grows to at most.
const MEMORY_MAX: usize = 1 << 20;

/// Memory that is given out from its start, and moves every time.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
}

impl Target for Memory {
    fn allocate(&mut self, align: u32, bytes: usize) -> wasmtime::Result<u32> {
        let place = self.bytes.len().next_multiple_of(align as usize);
        if place + bytes > MEMORY_MAX {
            wasmtime::bail!("the guest has no more memory");
        }
        let mut moved = vec![0xaa; place + bytes];
        moved[..self.bytes.len()].copy_from_slice(&self.bytes);
        self.bytes = moved;
        Ok(place as u32)
    }

    fn memory(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn is_utf8(&self) -> bool {
        true
    }

    fn string(&mut self, _text: &str) -> wasmtime::Result<(u32, u32)> {
        wasmtime::bail!("all strings are UTF-8")
    }

    fn channel(
        &mut self,
        _: PlanId,
        path: &[u32],
        complete: Option<Complete<'_>>,
    ) -> wasmtime::Result<u32> {
        Ok(channel_number(path)
            + complete.map_or(0, |it| 10_000 * it.count + 1_000 * it.wire.len() as u32))
    }
}

/// Names a place by a number.
fn channel_number(path: &[u32]) -> u32 {
    path.iter().fold(7, |number, step| number * 10 + step)
}

struct Fuel(usize);

impl Source for Fuel {
    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or_else(|| wasmtime::format_err!("out of fuel"))?;
        Ok(())
    }

    fn transcode(&mut self, _pointer: u32, _length: u32) -> Option<wasmtime::Result<String>> {
        None
    }

    fn channel(&mut self, _: PlanId, path: &[u32], index: u32) -> wasmtime::Result<()> {
        wasmtime::ensure!(index == channel_number(path), "{index} is not at {path:?}");
        Ok(())
    }
}

fn plan(members: impl IntoIterator<Item = Type>) -> FunctionPlan {
    let field = |ty| Field {
        name: String::new(),
        ty,
    };
    FunctionPlan::compile(&FunctionType {
        params: members.into_iter().map(field).collect(),
        result: None,
    })
    .unwrap()
}

fn root(plan: &FunctionPlan) -> &Node {
    plan.plan.node(plan.params)
}

fn lift(
    plan: &FunctionPlan,
    memory: &[u8],
    fuel: usize,
    lift: impl FnOnce(&mut Lift<'_, Fuel>) -> Result<(), LiftError>,
) -> Result<Vec<u8>, LiftError> {
    let mut out = Vec::new();
    lift(&mut Lift {
        plan: &plan.plan,
        memory,
        source: &mut Fuel(fuel),
        out: &mut out,
        path: Vec::new(),
    })?;
    Ok(out)
}

fn lift_flat(plan: &FunctionPlan, memory: &[u8], slots: &[ValRaw]) -> Result<Vec<u8>, LiftError> {
    lift(plan, memory, 1 << 30, |it| it.tuple_from_flat(plan, slots))
}

fn lower_flat(plan: &FunctionPlan, bytes: &[u8]) -> Result<(Memory, [ValRaw; 16]), LowerError> {
    let mut memory = Memory::default();
    let mut slots = [ValRaw::u64(0); 16];
    lower::tuple_to_flat(plan, plan.params, bytes, &mut memory, &mut slots)?;
    Ok((memory, slots))
}

/// Types with every kind of step, flat and in memory.
fn kinds() -> [FunctionPlan; 5] {
    let point = Type::record([("x", Type::S32), ("y", Type::F64), ("label", Type::String)]);
    let shape = Type::variant([
        ("empty", None),
        ("circle", Some(Type::F32)),
        ("dot", Some(point.clone())),
        ("many", Some(Type::list(point.clone()))),
    ]);
    let fixed = Type::tuple([
        Type::option(Type::U64),
        Type::Char,
        Type::Bool,
        Type::flags((0..17).map(|it| format!("f{it}"))),
        Type::enumeration((0..300).map(|it| format!("e{it}"))),
        Type::result(Some(Type::S16), None),
    ]);
    [
        plan([shape.clone(), Type::S64]),
        plan([Type::list(shape), Type::list(Type::U16)]),
        plan([fixed.clone(), Type::list(fixed)]),
        plan([Type::list(Type::list(Type::String)), Type::list(Type::Char)]),
        plan([
            Type::list(Type::Bool),
            Type::list(Type::F64),
            Type::list(Type::option(Type::list(Type::U8))),
        ]),
    ]
}

#[test]
fn no_bytes_make_lowering_panic_or_ask_for_more_than_they_can_fill() {
    let mut random = Rng::with_seed(1);
    for plan in &kinds() {
        for _ in 0..4_000 {
            let length = random.usize(..40);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            // Small numbers are what most counts and cases are.
            for byte in &mut bytes {
                *byte >>= random.u32(..8);
            }
            let Ok((memory, slots)) = lower_flat(plan, &bytes) else {
                continue;
            };
            let flat = root(plan).abi.flat as usize;
            if flat <= slots.len() {
                // What was taken is whole: it can be read back.
                match lift_flat(plan, &memory.bytes, &slots[..flat]) {
                    // Only this the lowering leaves to whoever made the bytes.
                    Ok(_) | Err(LiftError::Utf8) => {}
                    Err(error) => panic!("{bytes:x?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn an_announced_list_costs_nothing_before_its_elements_are_there() {
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for element in [Type::U8, Type::U64, Type::String, Type::option(Type::U64)] {
        let plan = plan([Type::list(element)]);
        let mut memory = Memory::default();
        let mut slots = [ValRaw::u64(0); 16];
        let result = lower::tuple_to_flat(&plan, plan.params, &bomb, &mut memory, &mut slots);
        assert!(result.is_err());
        assert!(memory.bytes.is_empty());
    }
}

#[test]
fn no_memory_makes_lifting_panic_or_outgrow_its_fuel() {
    const FUEL: usize = 10_000;
    let mut random = Rng::with_seed(2);
    for plan in &kinds() {
        for _ in 0..4_000 {
            let mut memory: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
            for byte in &mut memory {
                *byte >>= random.u32(..9).min(7);
            }
            let slots: Vec<ValRaw> = (0..root(plan).abi.flat)
                .map(|_| ValRaw::u64(random.u64(..) >> random.u32(..64)))
                .collect();
            let lifted = lift(plan, &memory, FUEL, |it| it.tuple_from_flat(plan, &slots));
            // The longest number is ten bytes for eight.
            if let Ok(bytes) = lifted {
                assert!(bytes.len() <= 2 * FUEL + 100, "{} bytes", bytes.len());
            }
            let place = random.usize(..400);
            let _ = lift(plan, &memory, FUEL, |it| it.tuple_from_memory(plan, place));
        }
    }
}

#[test]
fn values_are_normalised_as_the_canonical_abi_says() {
    let flags = Type::flags(["a", "b", "c"]);
    let plan = plan([Type::Bool, flags, Type::U8, Type::S8, Type::F32]);
    // The upper bits of a core value are not part of a smaller one.
    let slots = [
        ValRaw::u32(0x100),
        ValRaw::u32(0xffff_fffd),
        ValRaw::u32(0x1_07),
        ValRaw::i32(-1),
        ValRaw::f32(0xffc0_1234),
    ];
    let bytes = lift_flat(&plan, &[], &slots).unwrap();
    assert_eq!(bytes, [1, 5, 7, 0xff, 0, 0, 0xc0, 0x7f]);
}

#[test]
fn what_is_wrong_in_a_guest_is_named() {
    let memory = [0; 64];
    let pair = |pointer, length| [ValRaw::u32(pointer), ValRaw::u32(length)];
    let error = |ty, slots: &[ValRaw]| lift_flat(&plan([ty]), &memory, slots).unwrap_err();
    let list = || Type::list(Type::U64);
    assert!(matches!(
        error(list(), &pair(4, 1)),
        LiftError::NotAligned { align: 8 }
    ));
    assert!(matches!(error(list(), &pair(8, 8)), LiftError::OutOfBounds));
    assert!(matches!(
        error(list(), &pair(8, u32::MAX)),
        LiftError::OutOfBounds
    ));
    assert!(matches!(
        error(list(), &pair(72, 0)),
        LiftError::OutOfBounds
    ));
    let surrogate = [ValRaw::u32(0xd800)];
    assert!(matches!(
        error(Type::Char, &surrogate),
        LiftError::Char { code: 0xd800 }
    ));
    let some = Type::option(Type::U8);
    let two = [ValRaw::u32(2), ValRaw::u32(0)];
    assert!(matches!(
        error(some, &two),
        LiftError::Case { case: 2, cases: 2 }
    ));
    assert!(matches!(error(Type::U8, &[]), LiftError::Slots));
    let text = lift_flat(&plan([Type::String]), &[0xff, 0xff], &pair(0, 2));
    assert!(matches!(text, Err(LiftError::Utf8)));
    let fuel = plan([Type::list(Type::U8)]);
    let spent = lift(&fuel, &memory, 63, |it| {
        it.tuple_from_flat(&fuel, &pair(0, 64))
    });
    assert!(matches!(spent, Err(LiftError::Guest(_))));
}

#[test]
fn a_message_that_is_cut_or_goes_on_is_refused() {
    let plan = plan([Type::String, Type::list(Type::U16), Type::F64]);
    let bytes = b"\x02hi\x02\x01\xac\x02\0\0\0\0\0\0\0\0";
    lower_flat(&plan, bytes).unwrap();
    for length in 0..bytes.len() {
        assert!(
            lower_flat(&plan, &bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(lower_flat(&plan, &longer).is_err());
}

#[test]
fn streams_and_futures_are_found_at_their_places() {
    let bytes = || Type::stream(Some(Type::U8));
    let plan = plan([
        Type::U32,
        Type::tuple([
            bytes(),
            Type::option(Type::tuple([Type::Bool, Type::future(None)])),
        ]),
        Type::result(Some(bytes()), Some(Type::future(Some(Type::String)))),
    ]);
    // The option has its future, and the result is an error.
    let wire = [0xac, 0x02, 0, 1, 1, 0, 1, 0];
    let (_, slots) = lower_flat(&plan, &wire).unwrap();
    let flat: Vec<u32> = slots[..7].iter().map(|slot| slot.get_u32()).collect();
    assert_eq!(flat, [300, 710, 1, 1, 7_111, 1, 72]);
    let lifted = lift_flat(&plan, &[], &slots[..plan.flat_params as usize]).unwrap();
    assert_eq!(lifted, wire);

    // The same in memory.
    let mut memory = Memory::default();
    memory.allocate(8, 64).unwrap();
    lower::tuple_to_memory(&plan, plan.params, &wire, &mut memory, 8).unwrap();
    let lifted = lift(&plan, &memory.bytes, 0, |it| it.tuple_from_memory(&plan, 8)).unwrap();
    assert_eq!(lifted, wire);
}

#[test]
fn streams_in_lists_are_found_by_the_number_of_their_element() {
    let element = Type::tuple([Type::U8, Type::option(Type::stream(Some(Type::String)))]);
    let plan = plan([Type::list(element), Type::list(Type::future(None))]);
    let wire = [3, 9, 1, 0, 8, 0, 7, 1, 0, 2, 0, 0];
    let (memory, slots) = lower_flat(&plan, &wire).unwrap();
    let lifted = lift_flat(&plan, &memory.bytes, &slots[..plan.flat_params as usize]).unwrap();
    assert_eq!(lifted, wire);
    let place = slots[0].get_u32() as usize;
    let index = |at: usize| memory.bytes[place + at..].first_chunk().copied();
    assert_eq!(index(8).map(u32::from_le_bytes), Some(7_001));
    assert_eq!(index(32).map(u32::from_le_bytes), Some(7_021));
}

#[test]
fn a_stream_or_future_may_come_with_the_value() {
    let plan = plan([
        Type::stream(Some(Type::U8)),
        Type::future(Some(Type::String)),
        Type::future(None),
    ]);
    let wire = b"\x03abc\x01\x02hi\x01";
    let (_, slots) = lower_flat(&plan, wire).unwrap();
    let flat: Vec<u32> = slots[..3].iter().map(|slot| slot.get_u32()).collect();
    assert_eq!(flat, [33_070, 13_071, 10_072]);
    for short in 0..wire.len() {
        assert!(lower_flat(&plan, &wire[..short]).is_err(), "{short}");
    }
}
