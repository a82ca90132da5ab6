//! wRPC over NATS: calls, streams and servers in the dialect of wasmCloud 1.x.
//!
//! A [`Transport`] is one NATS connection with one inbox. A [`Client`] calls functions on it, a
//! [`Server`] serves them. Peers of wasmCloud 1.x are called and served by their rules; our own hosts
//! recognise each other by a header and then use fewer messages, flow control, cancellation and
//! typed errors (`docs/design/0008-wrpc-extension.md`).
//!
//! Values are opaque bytes here: their encoding is the crate `trellis-wire`.

mod call_error;
mod call_state;
mod channel;
mod client;
mod config;
mod extension;
mod headers;
mod inbound;
mod invocation;
mod open_call;
mod outbox;
mod peers;
mod server;
mod slots;
mod subject;
mod transport;

pub use call_error::CallError;
pub use channel::{ChannelReader, ChannelWriter, ChannelWriters};
pub use client::{AcceptedBy, Call, CallOptions, Client, Offer, ParamStreams, Takers};
pub use config::{Config, ServerConfig};
pub use headers::{HeaderError, Headers};
pub use invocation::{Handler, Invocation, Reply};
pub use server::{ServeError, Served, Server};
pub use subject::{Export, IndexPath, PROTOCOL, Returns, SubjectError, Target};
pub use transport::{OpenError, Transport};
