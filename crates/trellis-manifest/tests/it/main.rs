//! Manifests of the 1.x schema, wrong manifests and their messages, and hostile texts.
#![allow(clippy::unwrap_used)]

mod hostile;
mod messages;
mod model;
