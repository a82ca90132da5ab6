//! Knows whether the caller is polled by the event loop of a store.
//!
//! A store with concurrent tasks polls what its guest waits for inside its event loop, and wasmtime
//! cannot run a second loop inside the first. So whoever calls into a component of that kind has to
//! know where it is, and leaves the loop by a task of its own.

use std::cell::Cell;

use crate::settings::Flavour;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether the caller is polled by the event loop of a store, directly or not.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Marks the rest of a poll as that of a store of `flavour`, until the guard is dropped. A store
/// without a loop does not hide the one that it is polled by.
pub(crate) fn enter(flavour: Flavour) -> Inside {
    Inside {
        outer: INSIDE.replace(INSIDE.get() || flavour == Flavour::Concurrent),
    }
}

/// The poll of a store.
#[must_use = "the poll ends where this is dropped"]
pub(crate) struct Inside {
    outer: bool,
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
    }
}
