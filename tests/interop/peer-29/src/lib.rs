//! The peer of `../peer.rs` with the crates of this package.

#[path = "../../peer.rs"]
mod peer;

pub use peer::{Calls, Serving, call_all, call_gather, serve};

/// This release drops an answer that arrives before it has noted the call, and then waits for ever;
/// with a thousand calls at once, in every fifth run, with its own server too. Mended in 0.31.
const ATTEMPTS_MAX: u32 = 10;
