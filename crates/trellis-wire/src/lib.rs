//! The wRPC value encoding: type plans, values, and their bytes.
//!
//! Pure: no I/O, no async, no runtime. A [`Type`] says what a value is, a [`plan::Plan`] is that type
//! compiled for speed, and the codecs of this crate and of the engine walk the plan.

pub mod plan;
mod types;

pub use types::{Case, Field, FunctionType, ResultType, Type};
