//! The binary starts, says of itself what it should, and talks to a lattice. What it does for a person with a
//! real host is tested in the package `trellis-tests`.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod completions;
mod contexts;
mod environment;
mod help;
mod lattice;
mod responder;
mod roles;
mod statuses;

use environment::Environment;

#[test]
fn the_binary_tells_its_version() {
    let ended = Environment::new().run(&["--version"]);
    assert_eq!(
        ended.stdout,
        format!("trellis {}\n", env!("CARGO_PKG_VERSION"))
    );
}
