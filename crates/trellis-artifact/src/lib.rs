//! Component images: load them from files, check them, digest them, and tell what is in them.
//!
//! Blocking and pure of any engine: it reads files and parses bytes, but compiles and runs nothing.
//! Call it from a thread that may block.

mod check;
mod digest;
mod inspect;
mod load;

pub use check::{Fault, Kind, check_component};
pub use digest::{Digest, DigestError};
pub use inspect::{
    Field, Function, InspectError, Inspection, Item, Metadata, Tool, WasiLevel, inspect,
};
pub use load::{ARTIFACT_BYTES_MAX, Artifact, Bounds, LoadError, load};
