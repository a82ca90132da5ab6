//! Tests of the machine from outside: verb by verb, mode by mode, and as a simulated lattice.
#![allow(clippy::unwrap_used)]

mod modes;
mod simulation;
mod support;
mod verbs;
