//! How a command reaches its lattice: what was typed, what the environment and a context add, and the
//! connection itself.

mod credentials;
mod environment;
mod options;
mod resolve;
mod session;

pub(crate) use environment::{Lookup, of_process};
pub(crate) use options::{ConnectionOptions, LatticeOptions};
pub(crate) use resolve::{Origin, Resolved, Setting, named_context, redacted};
pub(crate) use session::{Session, lattice_settings, not_joined};
