//! The wRPC value encoding: type plans, values, and their bytes.
//!
//! Pure: no I/O, no async, no runtime. A [`Type`] says what a value is, a [`plan::Plan`] is that type
//! compiled for speed, and the codecs of this crate and of the engine walk the plan. The limits of
//! this crate hold for bytes from outside: reading never takes more memory than [`Limits`] allow.

mod budget;
pub mod dialect;
mod error;
mod from_wit;
mod limits;
pub mod plan;
mod reader;
mod scan;
pub mod twins;
mod types;
mod value;
pub mod wave;
pub mod write;

pub use dialect::Dialect;
pub use error::{DecodeError, EncodeError, Fault};
pub use from_wit::{WitTypeError, WitTypes};
pub use limits::Limits;
pub use plan::FunctionPlan;
pub use reader::Reader;
pub use scan::{Pending, Reallocations, Scan, find_pending, scan, scan_whole};
pub use types::{Case, Field, FunctionType, ResultType, TEXT_BYTES_MAX, Type};
pub use value::{FutureValue, StreamValue, Value, decode, encode};
