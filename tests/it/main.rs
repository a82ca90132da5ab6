//! The `trellis` binary as a person uses it.

#![allow(clippy::unwrap_used)]

mod answers;
mod bad_files;
mod bad_machine;
mod bad_manifests;
mod command_line;
mod documents;
mod examples;
mod gateway_settings;
mod isolation;
mod lattice;
mod links;
mod manifests;
mod memory_group;
mod outgoing;
mod shutdown;
mod sockets;
mod streams;
