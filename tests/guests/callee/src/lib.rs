//! The other end of `caller`: returns what it was given.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/types", world: "callee" });
}

use std::sync::atomic::{AtomicU64, Ordering};

use bindings::exports::trellis_test::types::{api, bench, deeds};

/// Calls of `count` seen by this instance.
static SEEN: AtomicU64 = AtomicU64::new(0);

struct Callee;

impl api::Guest for Callee {
    fn scalars(values: api::ScalarValues) -> api::ScalarValues {
        values
    }
    fn text(value: String) -> String {
        value
    }
    fn bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }
    fn numbers(value: Vec<f64>) -> Vec<f64> {
        value
    }
    fn texts(value: Vec<String>) -> Vec<String> {
        value
    }
    fn lists(value: Vec<Vec<u16>>) -> Vec<Vec<u16>> {
        value
    }
    fn tuples(value: (String, u8, (char, bool))) -> (String, u8, (char, bool)) {
        value
    }
    fn record(value: api::Point) -> api::Point {
        value
    }
    fn enum_(value: api::Colour) -> api::Colour {
        value
    }
    fn flags(value: api::Rights) -> api::Rights {
        value
    }
    fn many_flags(value: api::Many) -> api::Many {
        value
    }
    fn variant(value: api::Shape) -> api::Shape {
        value
    }
    fn option(value: Option<String>) -> Option<String> {
        value
    }
    fn nested_option(value: Option<Option<u32>>) -> Option<Option<u32>> {
        value
    }
    fn result(value: Result<u32, String>) -> Result<u32, String> {
        value
    }
    fn bare_result(value: Result<(), ()>) -> Result<(), ()> {
        value
    }
    fn ok_result(value: Result<api::Point, ()>) -> Result<api::Point, ()> {
        value
    }
    fn err_result(value: Result<(), api::Shape>) -> Result<(), api::Shape> {
        value
    }
    fn nested(value: api::Deep) -> api::Deep {
        value
    }
    fn nested_list(value: Vec<api::Deep>) -> Vec<api::Deep> {
        value
    }
    fn nothing() {}
    fn many_parameters(
        a: u64,
        b: String,
        c: u64,
        d: String,
        e: u64,
        f: String,
        g: u64,
        h: String,
        i: u64,
        j: String,
        k: u64,
        l: String,
    ) -> Vec<String> {
        [(a, b), (c, d), (e, f), (g, h), (i, j), (k, l)]
            .into_iter()
            .map(|(number, text)| format!("{number} {text}"))
            .collect()
    }
}

impl bench::Guest for Callee {
    fn nop() {}
    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }
}

impl deeds::Guest for Callee {
    fn trap() {
        core::arch::wasm32::unreachable()
    }
    fn spin() {
        loop {
            // Keeps the loop from being optimised into nothing.
            std::hint::black_box(());
        }
    }
    fn count() -> u64 {
        SEEN.fetch_add(1, Ordering::Relaxed) + 1
    }
}

bindings::export!(Callee with_types_in bindings);
