//! The vocabulary of Trellis: names, ids, WIT names, limits and error classes.
//!
//! Pure data. This crate does no I/O, knows no runtime and no wire format.

mod error_class;
mod error_text;
mod ids;
mod limits;
mod reply_subject;
mod wit_name;

pub use error_class::ErrorClass;
pub use error_text::with_causes;
pub use ids::{
    ApplicationName, ChangeId, ComponentId, IdError, LatticeName, LinkName, derived_part,
};
pub use limits::{Limits, Reuse, WIRE_BYTES_MAX};
pub use reply_subject::takes_answers;
pub use wit_name::{WitInterface, WitNameError};
