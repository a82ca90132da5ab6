//! One round trip per kind of WIT value, at its edges where it has some.

use crate::bindings::trellis_test::types::api::{self, Colour, Deep, Many, Point, Rights, Shape};

/// What became of one kind of value.
pub struct RoundTrip {
    /// The function of the interface that was called.
    pub name: &'static str,
    /// Whether every value of this kind came back as it went.
    pub equal: bool,
}

/// Makes every round trip.
pub fn all() -> Vec<RoundTrip> {
    let mut trips = Vec::new();
    let mut trip = |name, equal| trips.push(RoundTrip { name, equal });
    trip("scalars", scalars());
    trip("text", texts().iter().all(|it| api::text(it) == *it));
    trip("bytes", [0, 1, 1_024, 100_000].into_iter().all(bytes));
    trip("numbers", numbers());
    trip("texts", api::texts(&texts()) == texts());
    trip("lists", lists());
    trip("tuples", tuples());
    trip("record", api::record(&point(1)) == point(1));
    trip(
        "enum",
        [Colour::Red, Colour::Green, Colour::Blue]
            .into_iter()
            .all(|it| api::enum_(it) == it),
    );
    trip(
        "flags",
        [
            Rights::empty(),
            Rights::READ | Rights::EXECUTE,
            Rights::all(),
        ]
        .into_iter()
        .all(|it| api::flags(it) == it),
    );
    trip(
        "many-flags",
        [Many::empty(), Many::F0 | Many::F18, Many::all()]
            .into_iter()
            .all(|it| api::many_flags(it) == it),
    );
    trip("variant", shapes().iter().all(|it| api::variant(it) == *it));
    trip(
        "option",
        [None, Some(""), Some("some")]
            .into_iter()
            .all(|it| api::option(it).as_deref() == it),
    );
    trip(
        "nested-option",
        [None, Some(None), Some(Some(7))]
            .into_iter()
            .all(|it| api::nested_option(it) == it),
    );
    trip(
        "result",
        [Ok(u32::MAX), Err("why".to_owned())]
            .into_iter()
            .all(result),
    );
    trip(
        "bare-result",
        [Ok(()), Err(())]
            .into_iter()
            .all(|it| api::bare_result(it) == it),
    );
    trip("ok-result", ok_result());
    trip("err-result", err_result());
    trip("nested", api::nested(&deep(3)) == deep(3));
    trip("nested-list", nested_list());
    api::nothing();
    trip("nothing", true);
    trip("many-parameters", many_parameters());
    trips
}

fn scalars() -> bool {
    [
        (
            false,
            i8::MIN,
            u8::MIN,
            i16::MIN,
            u16::MIN,
            i32::MIN,
            u32::MIN,
            i64::MIN,
            u64::MIN,
            f32::MIN,
            f64::MIN,
            '\0',
        ),
        (
            true,
            i8::MAX,
            u8::MAX,
            i16::MAX,
            u16::MAX,
            i32::MAX,
            u32::MAX,
            i64::MAX,
            u64::MAX,
            f32::MAX,
            f64::MAX,
            char::MAX,
        ),
        (
            true,
            -1,
            1,
            -1,
            1,
            -1,
            1,
            -1,
            1,
            f32::NEG_INFINITY,
            f64::INFINITY,
            'é',
        ),
    ]
    .into_iter()
    .all(|it| api::scalars(it) == it)
}

fn texts() -> Vec<String> {
    ["", "plain", "naïve 日本語 🦀", "a\0b\n\"quoted\""]
        .map(String::from)
        .to_vec()
}

fn bytes(length: usize) -> bool {
    let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    api::bytes(&sent) == sent
}

fn numbers() -> bool {
    let sent = [
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        std::f64::consts::PI,
    ];
    let received = api::numbers(&sent);
    // By bits, because -0.0 == 0.0.
    received
        .iter()
        .map(|it| it.to_bits())
        .eq(sent.iter().map(|it| it.to_bits()))
        && api::numbers(&[f64::NAN])[0].is_nan()
}

fn lists() -> bool {
    let sent = vec![vec![], vec![1], vec![u16::MAX; 300]];
    api::lists(&sent) == sent && api::lists(&[]).is_empty()
}

fn tuples() -> bool {
    api::tuples(("text", 9, ('ß', true))) == ("text".to_owned(), 9, ('ß', true))
}

fn point(number: i32) -> Point {
    Point {
        x: -number,
        y: f64::from(number) / 3.0,
        label: format!("point {number}"),
    }
}

fn shapes() -> Vec<Shape> {
    vec![
        Shape::Empty,
        Shape::Circle(2.5),
        Shape::Dot(point(4)),
        Shape::Polygon((0..5).map(point).collect()),
        Shape::Named(("blue one".to_owned(), Colour::Blue)),
    ]
}

fn result(sent: Result<u32, String>) -> bool {
    api::result(sent.as_ref().map(|it| *it).map_err(String::as_str)) == sent
}

fn ok_result() -> bool {
    let sent = point(8);
    api::ok_result(Ok(&sent)) == Ok(sent) && api::ok_result(Err(())) == Err(())
}

fn err_result() -> bool {
    let refused = shapes()
        .into_iter()
        .all(|it| api::err_result(Err(&it)) == Err(it));
    refused && api::err_result(Ok(())) == Ok(())
}

fn deep(id: u64) -> Deep {
    Deep {
        id,
        shapes: shapes(),
        owner: (id % 2 == 1).then(|| format!("owner {id}")),
        outcome: if id.is_multiple_of(2) {
            Ok(vec![point(1), point(2)])
        } else {
            Err(Shape::Dot(point(3)))
        },
        table: vec![
            ("empty".to_owned(), None),
            ("bytes".to_owned(), Some(vec![0, 255])),
            (String::new(), Some(vec![])),
        ],
        rights: Rights::WRITE,
        maybe: Some(None),
    }
}

fn nested_list() -> bool {
    let sent: Vec<Deep> = (0..20).map(deep).collect();
    api::nested_list(&sent) == sent && api::nested_list(&[]).is_empty()
}

fn many_parameters() -> bool {
    let received = api::many_parameters(1, "b", 2, "d", 3, "f", 4, "h", 5, "j", u64::MAX, "l");
    let last = format!("{} l", u64::MAX);
    received == ["1 b", "2 d", "3 f", "4 h", "5 j", &last]
}
