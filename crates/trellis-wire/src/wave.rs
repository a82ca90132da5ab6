//! Values as text in WAVE, the notation of component values: for people who call a function from a
//! terminal.
//!
//! The syntax is `wasm-wave`'s. What a text means under a type is decided here, so that every
//! mistake is told with its place and what would be right there.
//!
//! Two things are easier than in WAVE: a `list<u8>` may be written as a string, which stands for its
//! UTF-8 bytes, and trailing optional parameters may be left out.

mod error;
mod parse;
mod print;

pub use error::WaveError;
pub use parse::{parse, parse_params};
pub use print::print;
