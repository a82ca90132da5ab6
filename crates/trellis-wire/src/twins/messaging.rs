//! `wasmcloud:messaging@0.2.0`, which has no handles and crosses the lattice as it is.

use super::Bytes;
use super::codec::record;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerMessage<'a> {
    /// Where it was published.
    pub subject: &'a str,
    /// What it says.
    pub body: Bytes<'a>,
    /// Where an answer goes.
    pub reply_to: Option<&'a str>,
}

record!(BrokerMessage<'a> { subject, body, reply_to });

/// Subject, body and timeout in milliseconds: the parameters of `consumer.request`.
pub type RequestParams<'a> = (&'a str, Bytes<'a>, u32);
/// The parameters of `consumer.publish` and of `handler.handle-message`.
pub type MessageParams<'a> = (BrokerMessage<'a>,);
/// The result of `consumer.request`.
pub type RequestResult<'a> = Result<BrokerMessage<'a>, String>;
/// The result of `consumer.publish` and of `handler.handle-message`.
pub type UnitResult = Result<(), String>;
