//! Tests of the crate as others see it: golden JSON, hostile input, and the client on a real server.

#![allow(clippy::unwrap_used)]

mod client;
mod client_errors;
mod client_streams;
mod events;
mod fake_host;
mod messages;
mod own_messages;
mod properties;
mod requests;
mod state_values;
mod support;
