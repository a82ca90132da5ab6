//! Values of every type through the memory of a guest, judged by wasmtime's own dynamic values.

pub(crate) mod echo;
pub(crate) mod fixture;
pub(crate) mod types;

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use trellis_core::Limits;
use trellis_engine::{Capability, Engine, State};
use trellis_wire::Type;
use wasmtime::component::{Linker, Val};
use wit_component::StringEncoding;

use crate::support::{engine, spec};
use echo::INTERFACE;
use fixture::{Mirror, compile, deploy_linked, deploy_with, encode, remote, slot};

/// Answers with what it was given, as dynamic values.
#[derive(Clone, Default)]
struct DynamicMirror {
    seen: Arc<Mutex<Vec<Val>>>,
}

impl Capability for DynamicMirror {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let seen = self.seen.clone();
        linker
            .instance(import)?
            .func_new_async("echo", move |_, _, params, results| {
                seen.lock().unwrap().push(params[0].clone());
                results[0] = params[0].clone();
                Box::new(async { Ok(()) })
            })
    }
}

/// Sends values of `ty` through all four directions, each with wasmtime's dynamic values at one end.
async fn check_type(engine: &Engine, random: &mut Rng, ty: &Type, encoding: StringEncoding) {
    let compiled = compile(engine, echo::component(ty, encoding)).await;
    let mirror = Arc::new(Mirror::default());
    let ours = deploy_linked(
        engine,
        compiled.clone(),
        &slot(remote(&mirror)),
        Limits::default(),
    )
    .await;
    let dynamic = DynamicMirror::default();
    let theirs = Arc::new(dynamic.clone());
    let theirs = deploy_with(engine, compiled, spec("echo"), theirs).await;
    let function = ours.function(INTERFACE, "echo").unwrap();
    assert_eq!(function.plan().signature.result.as_ref(), Some(ty));
    for _ in 0..12 {
        let (value, val) = types::random_value(random, ty);
        let bytes = encode(ty, &value);
        let mut results = [Val::Bool(false)];
        ours.call_values(&function, std::slice::from_ref(&val), &mut results)
            .await
            .unwrap_or_else(|error| panic!("{ty}: {val:?}: {error}"));
        assert_eq!(mirror.last(), bytes, "{ty}: {val:?} lifted from an import");
        assert_eq!(results[0], val, "{ty}: lowered into an import");
        let result = theirs.call_wire(&function, bytes.clone()).await;
        let result = result.unwrap_or_else(|error| panic!("{ty}: {val:?}: {error}"));
        let seen = dynamic.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen, val, "{ty}: lowered into an export");
        assert_eq!(result, bytes, "{ty}: {val:?} lifted from an export");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_random_types_are_what_wasmtime_makes_of_them() {
    const TYPES: usize = 100;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let engine = engine();
    for number in 0..TYPES {
        let ty = types::random_type(&mut random, 1 + number % 4);
        check_type(&engine, &mut random, &ty, StringEncoding::UTF8).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_keep_their_text_in_every_encoding_of_the_guest() {
    let ty = Type::tuple([
        Type::String,
        Type::list(Type::String),
        Type::option(Type::String),
    ]);
    let engine = engine();
    let mut random = Rng::with_seed(7);
    for encoding in [StringEncoding::UTF16, StringEncoding::CompactUTF16] {
        for ty in [&Type::String, &ty] {
            check_type(&engine, &mut random, ty, encoding).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_take_more_than_sixteen_core_values_go_through_memory() {
    let engine = engine();
    let mut random = Rng::with_seed(11);
    for members in [15, 16, 17, 40] {
        let scalars = Type::tuple((0..members).map(|_| Type::U64));
        check_type(&engine, &mut random, &scalars, StringEncoding::UTF8).await;
        let mixed = Type::tuple((0..members).map(|at| match at % 3 {
            0 => Type::U8,
            1 => Type::String,
            _ => Type::F64,
        }));
        check_type(&engine, &mut random, &mixed, StringEncoding::UTF8).await;
    }
}
