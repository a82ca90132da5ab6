//! Values straight between the memory of a guest and wRPC bytes.
//!
//! wasmtime hands the parameters of a call to a Rust type through the traits [`Lift`] and [`Lower`].
//! [`Lifted`] and [`Lowered`] are such types for whole parameter and result tuples of any WIT type:
//! what is read from a guest becomes the bytes of the wire at once, and bytes become values in a
//! guest's memory, by the plan that `trellis-wire` compiles for the type. Nothing in between is
//! allocated for a value.
//!
//! The traits are hidden in wasmtime's documentation and may change with any major version. All that
//! knows them is `tuple.rs`, and `value.rs` for the values of futures and the elements of streams; the codec
//! (`lift.rs`, `lower.rs`) sees a slice of memory and a function that allocates, and is tested without a
//! guest.
//!
//! [`Lift`]: wasmtime::component::Lift
//! [`Lower`]: wasmtime::component::Lower

mod buffer;
mod lift;
mod lower;
mod plans;
mod tuple;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use buffer::{Buffer, Payload};
pub(crate) use tuple::{Direction, HEAP, Lifted, Lowered, PARAM_SLOTS, SLOTS_MAX};
pub(crate) use types::function_type;
pub(crate) use value::{Batch, ELEMENTS_AT_ONCE_MAX, Value, WireValue};
