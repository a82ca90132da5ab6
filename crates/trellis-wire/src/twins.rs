//! The interfaces of the lattice's own capabilities as wasmCloud 1.x speaks them: static types, so
//! that a provider or an adapter needs no plan.
//!
//! No handle crosses the lattice for these. A bucket or a container is its name; a body is a stream
//! on a channel of its own.

pub mod blobstore;
pub mod http;
pub mod keyvalue;
pub mod messaging;

mod codec;

pub use codec::{Bytes, Decode, Encode, Pending, from_wire, to_wire};
