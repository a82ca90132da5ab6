//! Values as text.

use proptest::prelude::*;
use trellis_wire::wave::{parse, parse_params, print};
use trellis_wire::{Field, Type, Value};

use crate::random::any_typed;

proptest! {
    #[test]
    fn what_is_printed_is_parsed_to_the_same((ty, value) in any_typed(false)) {
        let text = print(&ty, &value).unwrap();
        prop_assert_eq!(parse(&ty, &text), Ok(value), "{}", text);
    }

    #[test]
    fn random_text_does_no_harm((ty, _) in any_typed(true), text in any::<String>()) {
        if let Err(error) = parse(&ty, &text) {
            let _ = error.excerpt(&text);
        }
        let params = [Field { name: "p".to_owned(), ty }];
        if let Err(error) = parse_params(&params, &text) {
            let _ = error.excerpt(&text);
        }
    }

    #[test]
    fn random_notation_does_no_harm(
        (ty, _) in any_typed(true),
        text in r#"([\[\](){},:%a-c0-9"'\\ .\n/-]|some|ok|err|nan|"""|\\u\{|é){0,20}"#,
    ) {
        if let Err(error) = parse(&ty, &text) {
            let _ = error.excerpt(&text);
        }
        if let Err(error) = parse_params(&[Field { name: "p".to_owned(), ty }], &text) {
            let _ = error.excerpt(&text);
        }
    }
}

fn params() -> Vec<Field> {
    let field = |name: &str, ty| Field {
        name: name.to_owned(),
        ty,
    };
    vec![
        field("item", Type::String),
        field("count", Type::U8),
        field("note", Type::option(Type::String)),
    ]
}

#[test]
fn arguments_are_separated_by_commas() {
    let values = parse_params(&params(), "\"apple\", 3").unwrap();
    assert_eq!(
        values,
        [Value::string("apple"), Value::U8(3), Value::none()]
    );
    let values = parse_params(&params(), "\"apple\", 3, \"ripe\" // a comment").unwrap();
    assert_eq!(values[2], Value::some(Value::string("ripe")));
    assert!(parse_params(&[], " ").unwrap().is_empty());
    let note = [params().remove(2)];
    assert_eq!(parse_params(&note, "").unwrap(), [Value::none()]);
}

/// The whole of what a person sees.
#[track_caller]
fn check(params: &[Field], text: &str, seen: &str) {
    let error = parse_params(params, text).unwrap_err();
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
    let got = format!(
        "{error}\n{}{}",
        error.excerpt(text),
        hint.unwrap_or_default()
    );
    assert_eq!(got, seen);
}

#[test]
fn mistakes_are_pointed_at() {
    check(
        &params(),
        "apple, 3",
        "argument `item`: a name where string is needed\n\
         apple, 3\n\
         ^^^^^\n\
         hint: write \"apple\" in double quotes",
    );
    check(
        &params(),
        "\"é\", 300",
        "argument `count`: 300 is not a value of type u8\n\
         \"é\", 300\n     ^^^\n\
         hint: write a whole number from 0 to 255",
    );
    check(
        &params(),
        "\"a\"",
        "the argument `count: u8` is missing\n\
         \"a\"\n   ^\n\
         hint: the arguments are item: string, count: u8, note: option<string>",
    );
    check(
        &params()[..1],
        "\"a\", 2",
        "an argument too many: the function takes one\n\
         \"a\", 2\n     ^\n\
         hint: the arguments are item: string",
    );
    check(
        &params(),
        "\"a\" 3",
        "unexpected token: number\n\"a\" 3\n    ^",
    );
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    check(
        &params()[1..2],
        "\t\u{1b}[2J\0",
        "invalid token\n\u{fffd}\u{fffd}[2J\u{fffd}\n ^",
    );
}

#[test]
fn names_that_do_not_exist_are_answered_with_those_that_do() {
    let error = |ty: &Type, text: &str| {
        let error = parse(ty, text).unwrap_err();
        (error.to_string(), error.hint.unwrap_or_default())
    };
    let colour = Type::enumeration(["red", "green"]);
    assert_eq!(
        error(&colour, "blue"),
        ("there is no case `blue`".into(), "one of red, green".into())
    );
    let point = Type::record([("x", Type::U8), ("y", Type::option(Type::U8))]);
    assert_eq!(
        error(&point, "{x: 1, z: 2}"),
        (
            "there is no field `z`".into(),
            "one of x: u8, y: option<u8>".into()
        )
    );
    assert_eq!(error(&point, "{y: 1}").0, "the field `x: u8` is missing");
    let rights = Type::flags(["r", "w"]);
    assert_eq!(error(&rights, "{x}").0, "there is no flag `x`");
    assert_eq!(
        error(&Type::stream(Some(Type::U8)), "[1]").0,
        "a value of type stream<u8> cannot be written as text"
    );
}

#[test]
fn bytes_may_be_written_as_text() {
    let bytes = Type::list(Type::U8);
    assert_eq!(
        parse(&bytes, "\"hi\"").unwrap(),
        Value::Bytes(b"hi".to_vec())
    );
    assert_eq!(
        parse(&bytes, "[104, 105]").unwrap(),
        Value::Bytes(b"hi".to_vec())
    );
    assert_eq!(
        print(&bytes, &Value::Bytes(b"hi".to_vec())).unwrap(),
        "[104, 105]"
    );
}

#[test]
fn a_returned_string_cannot_command_the_terminal() {
    let text = print(&Type::String, &Value::string("\u{1b}[2J")).unwrap();
    assert_eq!(text, "\"\\u{1b}[2J\"");
}

#[test]
fn handles_are_shown_though_nobody_can_write_them() {
    let ty = Type::option(Type::Own("bucket".into()));
    let value = Value::some(Value::Handle(vec![0xde, 0xad]));
    assert_eq!(print(&ty, &value).unwrap(), "some(<bucket dead>)");
}
