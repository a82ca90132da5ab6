//! What a component exports, and calls of it from outside.

use trellis_core::{ErrorClass, Limits};
use trellis_engine::FunctionError;
use trellis_wire::{Dialect, Type, Value};
use wit_component::StringEncoding;

use crate::support::{deploy, engine, guest};
use crate::wire::echo::{self, INTERFACE};
use crate::wire::fixture::{Mirror, compile, deploy_linked, encode, remote, slot};

const BENCH: &str = "trellis-test:types/bench@0.1.0";
const API: &str = "trellis-test:types/api@0.1.0";

#[tokio::test(flavor = "multi_thread")]
async fn exported_functions_are_listed_with_their_types() {
    let compiled = compile(&engine(), guest("callee")).await;
    let of_bench: Vec<String> = compiled
        .functions()
        .into_iter()
        .filter(|it| it.interface == BENCH)
        .map(|it| format!("{}: {}", it.function, it.ty))
        .collect();
    assert_eq!(
        of_bench,
        [
            "nop: func()",
            "echo-bytes: func(value: list<u8>) -> list<u8>"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cannot_be_called_says_why() {
    let engine = engine();
    let compiled = compile(&engine, guest("callee")).await;
    for (interface, function) in [(BENCH, "nope"), ("a:b/c", "nop"), ("", "nop")] {
        let error = compiled.function(interface, function).err().unwrap();
        assert!(matches!(error, FunctionError::Missing { .. }), "{error}");
    }
    let compiled = compile(&engine, guest("resource_callee")).await;
    let of_resources = compiled.functions().into_iter().find(|it| {
        let refused = compiled.function(&it.interface, &it.function).err();
        matches!(refused, Some(FunctionError::Unsupported(error)) if error.what == "a resource")
    });
    assert!(of_resources.is_some(), "{:?}", compiled.functions());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_a_toolchain_answers_calls_from_outside() {
    let engine = engine();
    let handle = deploy(&engine, "callee", Limits::default(), None).await;
    let generation = handle.generation().unwrap();
    let function = generation.function(API, "many-parameters").unwrap();
    let plan = function.plan();
    let params = (0..12).map(|at| match at % 2 {
        0 => Value::U64(at),
        _ => Value::String(at.to_string()),
    });
    let params = Value::Fields(params.collect());
    let mut bytes = Vec::new();
    trellis_wire::encode(&plan.plan, plan.params, &params, Dialect::A, &mut bytes).unwrap();
    let result = generation.call_wire(&function, bytes.into()).await.unwrap();
    let limits = trellis_wire::Limits::default();
    let (result, _) =
        trellis_wire::decode(&plan.plan, plan.results, &result, Dialect::A, &limits).unwrap();
    let pairs = (0..6).map(|at| Value::String(format!("{} {}", 2 * at, 2 * at + 1)));
    let expected = Value::Fields(vec![Value::List(pairs.collect())]);
    assert_eq!(result, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_passes_too_much_is_told_which_limit() {
    let engine = engine();
    let mirror = std::sync::Arc::new(Mirror::default());
    let ty = Type::list(Type::U64);
    let compiled = compile(&engine, echo::component(&ty, StringEncoding::UTF8)).await;
    let limits = Limits {
        hostcall_bytes_max: 1_000,
        ..Limits::default()
    };
    let caller = deploy_linked(&engine, compiled, &slot(remote(&mirror)), limits).await;
    let function = caller.function(INTERFACE, "echo").unwrap();
    // A small number is one byte on the wire, and eight in memory.
    let numbers = |count| encode(&ty, &Value::List(vec![Value::U64(1); count]));
    caller.call_wire(&function, numbers(125)).await.unwrap();
    let error = caller.call_wire(&function, numbers(126)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Trap, "{error}");
    assert!(error.message().contains("limits.hostcallBytes"), "{error}");
    assert_eq!(mirror.count(), 1);
}
