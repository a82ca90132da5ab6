//! Tests of the encoding as a whole.
#![allow(clippy::unwrap_used)]

mod channels;
mod golden;
mod hostile;
mod random;
mod round_trip;
mod twins;
mod wave;
mod wit;
