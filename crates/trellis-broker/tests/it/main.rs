//! The broker beside a real nats-server, and what it alone promises.

#![allow(clippy::unwrap_used)]

mod bounds;
mod conformance;
mod lattice;
mod python;
mod raw_client;
mod servers;
