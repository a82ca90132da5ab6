//! Tests of the gateway over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod support;

mod connections;
mod drain;
#[cfg(target_os = "linux")]
mod few_descriptors;
mod http2;
mod limits;
mod requests;
mod responses;
mod smuggling;
