//! The credentials that this crate makes, in the hands of a real nats-server.

#![allow(clippy::unwrap_used)]

mod clients;
mod roles;
mod rules;
