//! The embedded lattice's broker: the core NATS client protocol on loopback.
//!
//! `trellis up` starts it when no NATS is named, so that one host needs nothing beside the binary.
//! It is no replacement of NATS: no clusters, no JetStream, no leaf nodes, no TLS. What it does, it
//! does as nats-server; the conformance tests run the same cases against both.
//!
//! A connection has a task that reads, parses and routes, and one that writes what the socket did
//! not take at once. The table of subscriptions is shared, read-mostly, and cached per connection.
//! A client that does not read is cut off, and nobody else waits for it.

pub mod protocol;

mod authentication;
mod bind;
mod broker;
mod client;
mod limits;
mod nonce;
mod sublist;

pub use authentication::{AllowAll, Authenticator, Refused, User, decode_signature};
pub use bind::BindError;
pub use broker::{Broker, Config};
pub use limits::Limits;
