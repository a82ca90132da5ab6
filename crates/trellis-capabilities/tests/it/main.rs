//! Tests of the capabilities from outside.
#![allow(clippy::unwrap_used, missing_docs)]

mod keyvalue_behaviour;
mod keyvalue_embedded;
mod linking;
