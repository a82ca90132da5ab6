//! What the targets in `bin/` share: choices made by the input, and a bound on memory.
//!
//! A target reads an input as a peer's bytes, calls what production calls, and panics when a promise
//! of that code does not hold. It knows no reference result: promises are that both ways of reading
//! agree, that what is written reads back, and that nothing takes more memory than it may.

mod choices;
mod memory;

pub use choices::{Choices, pieces};
pub use memory::within;
