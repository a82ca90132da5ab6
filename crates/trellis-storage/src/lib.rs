//! A storage file of one host: opened with care, read on snapshots, written by one thread in groups.
//!
//! A user of this crate brings the tables of its file ([`Schema`]) and its changes ([`Changes`]). A
//! [`StorageFile`] reads; a [`Writer`] makes changes, which are on the disk before they are
//! acknowledged. What the tables hold is not known here.

mod errors;
mod file;
mod writer;

pub use errors::{Failure, OpenError, SchemaError, WriteError};
pub use file::{Schema, StorageFile};
pub use writer::{Bounds, CHANGE_OVERHEAD_BYTES, Changes, Writer};
