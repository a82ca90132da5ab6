//! The text protocol between a client and the broker, as bytes. Knows no socket.

mod arguments;
pub mod encode;
pub mod headers;
pub mod messages;
pub mod parser;
