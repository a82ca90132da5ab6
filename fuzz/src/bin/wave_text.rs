//! Values as text, of a type that the input chooses: any text is a value or an error with its place,
//! and what is printed is parsed to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, within};
use trellis_wire::plan::{Plan, PlanId};
use trellis_wire::wave::{WaveError, parse, parse_params, print};
use trellis_wire::{Dialect, Field, Limits, Type, Value, decode, encode};

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let as_bytes = choices.byte() & 1 == 1;
    let ty = choices.any_type(false);
    within((4 << 20) + 1_024 * data.len(), || {
        let Ok((plan, id)) = Plan::compile(&ty) else {
            return;
        };
        let rest = choices.rest();
        if as_bytes {
            if let Ok((value, _)) = decode(&plan, id, rest, Dialect::A, &Limits::default()) {
                check_print(&plan, id, &ty, &value);
            }
        } else {
            let text = String::from_utf8_lossy(rest);
            match parse(&ty, &text) {
                Ok(value) => check_print(&plan, id, &ty, &value),
                Err(error) => check_error(&error, &text),
            }
            check_params(&ty, &text);
        }
    });
});

fn check_print(plan: &Plan, id: PlanId, ty: &Type, value: &Value) {
    let text = print(ty, value).expect("a value of the type");
    let read = parse(ty, &text);
    let read = read.unwrap_or_else(|error| panic!("{text} is not parsed: {error}"));
    // Bytes, not values: a NaN is not equal to itself.
    assert_eq!(wire(plan, id, &read), wire(plan, id, value), "{text}");
}

fn check_params(ty: &Type, text: &str) {
    let field = |name: &str, ty| Field {
        name: name.to_owned(),
        ty,
    };
    let params = [
        field("first", ty.clone()),
        field("second", Type::option(Type::String)),
    ];
    match parse_params(&params, text) {
        Ok(values) => assert_eq!(values.len(), params.len()),
        Err(error) => check_error(&error, text),
    }
}

fn check_error(error: &WaveError, text: &str) {
    let excerpt = error.excerpt(text);
    let is_control = |it: char| it.is_control() && it != '\n';
    assert!(
        !error.to_string().contains(char::is_control),
        "{error:?} would reach a terminal"
    );
    assert!(
        !excerpt.contains(is_control),
        "{excerpt:?} would reach a terminal"
    );
}

fn wire(plan: &Plan, id: PlanId, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(plan, id, value, Dialect::A, &mut out).expect("a value of the type");
    out
}
