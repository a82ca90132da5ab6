//! Exports an interface with a resource: a counter that lives in this instance.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/resources", world: "callee" });
}

use std::cell::Cell;

use bindings::exports::trellis_test::resources::api::{Guest, GuestCounter};

struct Callee;

struct Counter(Cell<u32>);

impl Guest for Callee {
    type Counter = Counter;
}

impl GuestCounter for Counter {
    fn new(start: u32) -> Self {
        Self(Cell::new(start))
    }

    fn next(&self) -> u32 {
        self.0.set(self.0.get().wrapping_add(1));
        self.0.get()
    }
}

bindings::export!(Callee with_types_in bindings);
