//! Streams and futures that cross from one store to another, or to another host.
//!
//! What a guest writes is taken by a consumer ([`take`]) into a [`pipe`]; what a guest reads is given by a
//! producer ([`give`]) out of one, or out of a channel of a transport. Between two stores of this host the
//! pipe is all there is; towards elsewhere a transport empties it ([`Outbound`]) and fills channels
//! ([`Inbound`]).
//!
//! Streams of the component model have no error end, so one that was cut short would look complete. A
//! reader whose stream breaks fails with the reason instead; a writer that fails breaks its streams
//! ([`life`]).

mod codec;
mod give;
mod life;
mod outbound;
mod pipe;
mod source;
mod take;

#[cfg(test)]
mod tests;

pub use outbound::Outbound;
pub use source::{ChannelSource, Inbound};

pub(crate) use codec::Kind;
pub(crate) use give::{Inlets, Origin, Reader};
pub(crate) use life::{Life, LifeGuard};
pub(crate) use source::CalleeTask;
pub(crate) use take::{Handle, Handles, take_all};
