//! Keys, credentials and permissions of a lattice: nkeys, NATS user JWTs, roles.
//!
//! Reads and writes files of credentials; opens no connection.

mod permissions;
pub mod subject;

pub use permissions::{Permissions, Responses, SubjectRules};
