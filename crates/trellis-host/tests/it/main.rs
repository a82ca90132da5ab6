//! Tests of the crate from outside: what a host says to others over a lattice.

#![allow(clippy::unwrap_used)]

mod support;

mod http_twin;
mod keyvalue_twin;
mod node_twins;
