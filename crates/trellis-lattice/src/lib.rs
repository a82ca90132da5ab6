//! A connection to a lattice, and the store its state is kept in.
//!
//! [`connect`] gives a [`Lattice`]: publish, subscribe, ask one, ask all, with every wait bounded and
//! every failure typed. A [`store::Store`] keeps buckets of values with revisions: in a file of one
//! host ([`store::EmbeddedStore`]) or in JetStream ([`store::JetStreamStore`]), with the same
//! behaviour. Knows no subject and no value of the control interface.

mod connection;
mod lattice;
mod message;
pub mod store;

pub use connection::{
    ConnectError, ConnectionPhase, ConnectionState, Credentials, Settings, Tls, TlsIdentity,
    connect, connect_in_background,
};
pub use lattice::{
    Lattice, PublishError, RequestError, Scatter, ServerInfo, SubscribeError, Subscription,
};
pub use message::{HeaderError, Headers, Message};
