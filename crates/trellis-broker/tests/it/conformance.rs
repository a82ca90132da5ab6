//! One set of cases for our broker and for nats-server, which must agree.

mod clients;
mod delivery;
mod lines;
mod payloads;
mod rights;
