//! Types from WIT.

use trellis_wire::{FunctionPlan, WitTypeError, WitTypes};
use wit_parser::Resolve;

const WIT: &str = "
package acme:demo@0.1.0;

interface types {
    resource bucket {
        constructor(name: string);
        get: func(key: string) -> result<option<list<u8>>, error>;
        open: static func(name: string) -> result<bucket, error>;
    }
    variant error { no-such-store, other(string) }
    enum colour { red, green }
    flags rights { read, write }
    record point { x: f32, y: tuple<s8, char>, colour: colour, rights: rights }
    type points = list<point>;
    draw: func(points: points, body: stream<u8>, done: future);
    table: func() -> map<string, u8>;
}
";

fn signature(name: &str) -> Result<String, WitTypeError> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("demo.wit", WIT).unwrap();
    let interface = resolve.packages[package].interfaces["types"];
    let function = &resolve.interfaces[interface].functions[name];
    let ty = WitTypes::new(&resolve).function(function)?;
    FunctionPlan::compile(&ty).unwrap();
    Ok(ty.to_string())
}

#[test]
fn functions_keep_their_types_and_names() {
    assert_eq!(
        signature("draw").unwrap(),
        "func(points: list<record { x: f32, y: tuple<s8, char>, colour: enum { red, green }, \
         rights: flags { read, write } }>, body: stream<u8>, done: future)"
    );
}

#[test]
fn a_method_takes_its_handle_first() {
    assert_eq!(
        signature("[method]bucket.get").unwrap(),
        "func(self: borrow<bucket>, key: string) -> \
         result<option<list<u8>>, variant { no-such-store, other(string) }>"
    );
    assert_eq!(
        signature("[constructor]bucket").unwrap(),
        "func(name: string) -> own<bucket>"
    );
    assert_eq!(
        signature("[static]bucket.open").unwrap(),
        "func(name: string) -> result<own<bucket>, variant { no-such-store, other(string) }>"
    );
}

#[test]
fn a_map_is_refused() {
    assert_eq!(
        signature("table"),
        Err(WitTypeError::Unsupported { kind: "map" })
    );
}
