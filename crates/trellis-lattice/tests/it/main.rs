//! The lattice crate against real servers, files and crashes.

#![allow(clippy::unwrap_used)]

mod connection;
mod nats_server;
mod scripted_server;
mod store_behaviour;
mod store_embedded;
mod store_jetstream;
mod store_readings;
