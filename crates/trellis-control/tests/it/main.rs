//! Tests of the crate as others see it: golden JSON, hostile input, and the client on a real server.

#![allow(clippy::unwrap_used)]

mod events;
mod messages;
mod own_messages;
mod properties;
mod requests;
mod state_values;
mod support;
