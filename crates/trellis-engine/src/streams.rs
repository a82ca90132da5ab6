//! Streams and futures that cross from one store to another, or to another host.
//!
//! What a guest writes is taken ([`take`]) by a consumer ([`consume`]) into a [`pipe`]; what a guest reads is given by a
//! producer ([`give`]) out of one, or out of a channel of a transport. Between two stores of this host the
//! pipe is all there is; towards elsewhere a transport empties it ([`Outbound`]) and fills channels
//! ([`Inbound`]). Streams and futures inside of elements and values travel beside them, each in a pipe or
//! on a channel of its own ([`origin`]).
//!
//! Streams of the component model have no error end, so one that was cut short would look complete. A
//! reader whose stream breaks fails with the reason instead; a writer that fails breaks its streams
//! ([`life`]).

mod codec;
mod consume;
mod give;
mod inlets;
mod life;
mod origin;
mod outbound;
mod pipe;
mod source;
mod take;

#[cfg(test)]
mod tests;

pub use outbound::Outbound;
pub use source::{ChannelSource, Inbound};

pub(crate) use give::hand_over;
pub(crate) use inlets::{ChannelPlace, Complete, Inlets, Reader};
pub(crate) use life::{Crossing, Life, LifeGuard, Way};
pub(crate) use origin::Origin;
pub(crate) use source::CalleeTask;
pub(crate) use take::{Handle, Handles, ReadEnd, take_all};
