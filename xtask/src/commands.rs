//! The tasks, one file each, and what some of them share.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod clippy;
pub(crate) mod demo;
pub(crate) mod deny;
pub(crate) mod fmt;
pub(crate) mod fuzz;
pub(crate) mod guests;
pub(crate) mod interop;
pub(crate) mod isolation;
pub(crate) mod lab;
mod scenarios;
pub(crate) mod test;
pub(crate) mod tidy;
