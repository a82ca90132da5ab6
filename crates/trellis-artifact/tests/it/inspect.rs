//! What is seen in good components, and the documented JSON.

use trellis_artifact::{Inspection, WasiLevel, inspect};

use crate::{COUNTER, assemble};

fn look(text: &str) -> Inspection {
    inspect(&assemble(text)).unwrap()
}

#[test]
fn the_json_has_the_documented_shape() {
    insta::assert_json_snapshot!(look(COUNTER));
}

#[test]
fn names_are_taken_apart() {
    let counter = look(COUNTER);
    let interfaces: Vec<_> = counter
        .imports
        .iter()
        .map(|it| it.interface.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(
        interfaces,
        [Some("wasi:keyvalue/store@0.2.0-draft".to_owned()), None]
    );
}

#[test]
fn the_wit_is_whole() {
    insta::assert_snapshot!(look(COUNTER).wit);
}

fn importing(names: &[&str]) -> String {
    let imports: String = names
        .iter()
        .map(|name| format!("(import \"{name}\" (instance))"))
        .collect();
    format!("(component {imports})")
}

#[test]
fn the_wasi_level_follows_the_interfaces() {
    let cases: &[(&[&str], WasiLevel)] = &[
        (&[], WasiLevel::None),
        (&["example:a/b@0.2.0"], WasiLevel::None),
        (&["wasi:cli/environment@0.2.6"], WasiLevel::Preview2),
        (&["wasi:keyvalue/store@0.2.0-draft"], WasiLevel::Preview2),
        (&["wasi:http/types@0.3.0"], WasiLevel::Preview3),
        (
            &["wasi:http/types@0.3.0", "wasi:cli/stdout@0.2.6"],
            WasiLevel::Mixed,
        ),
    ];
    for (names, level) in cases {
        assert_eq!(look(&importing(names)).wasi, *level, "{names:?}");
    }
}

#[test]
fn async_functions_are_seen() {
    let text = r#"(component (import "a:b/c" (instance
        (export "f" (func async (param "s" (stream u8)) (result (future string)))))))"#;
    let inspection = look(text);
    assert!(inspection.is_async);
    let function = &inspection.imports[0].functions[0];
    assert_eq!(
        function.signature,
        "async func(s: stream<u8>) -> future<string>"
    );
    assert!(!look(COUNTER).is_async);
}

#[test]
fn metadata_cannot_write_to_the_terminal() {
    let text = "(component (@custom \"description\" \"\\1b[2Jgone\"))";
    let fields = look(text).metadata.fields;
    assert_eq!(fields[0].value, "\u{fffd}[2Jgone");
}

#[test]
fn metadata_is_bounded() {
    let sections: String = (0..500)
        .map(|_| format!("(@custom \"description\" \"{}\")", "x".repeat(2_000)))
        .collect();
    let fields = look(&format!("(component {sections})")).metadata.fields;
    assert_eq!(fields.len(), 64);
    assert_eq!(fields[0].value.len(), 1_024);
}
