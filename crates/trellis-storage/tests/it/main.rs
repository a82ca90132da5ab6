//! Storage files against what happens to files: crashes, full disks, locks, damage.

#![allow(clippy::unwrap_used)]

mod file;
mod notes;
mod writer;
