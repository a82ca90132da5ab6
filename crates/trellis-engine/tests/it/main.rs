//! Tests of the engine with components built from source.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bodies;
mod cache;
mod exports;
mod http_raw;
mod limits;
mod links;
mod local_http;
mod neighbours;
mod reuse;
mod streams;
mod support;
mod wire;
