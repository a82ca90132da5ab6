//! wRPC over a real nats-server: our hosts among themselves, and with hand-made peers of 1.x.

#![allow(clippy::unwrap_used)]

mod extended;
mod failures;
mod hostile;
mod legacy_callers;
mod legacy_servers;
mod load;
mod peer_loss;
mod streams;
mod support;
