//! Hosts of ours, driven by the control client that tools of wasmCloud 1.x are built on, over a real nats-server.
//!
//! Expected values come from the protocol of 1.x; none is made with code of this project.

mod auctions;
mod claims_and_registries;
mod components;
mod config;
mod events;
mod hosts;
mod http;
mod lab;
mod links;
mod nats_server;
mod provider_of_sdk;
mod providers;
mod refusals;
mod state_of_1_x;
mod trellis;
