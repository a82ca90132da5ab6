//! Helpers of the end-to-end tests: they use the `trellis` binary as a person does, through its command line, its
//! output, its signals and HTTP, and know nothing of its crates.
//!
//! The tests of other crates use what several of them need: [`NatsServer`], processes of a test, files with damage.

mod application;
mod busy;
mod client;
mod damage;
mod lines;
mod load;
mod nats;
mod paths;
mod process;
mod site;
mod test_process;

pub use application::{Application, Entry};
pub use busy::Busy;
pub use client::{Client, Response, get, get_from};
pub use damage::damaged_copies;
pub use lines::Lines;
pub use load::{Load, Report, at_once};
pub use nats::NatsServer;
pub use paths::{example, guest, project_root};
pub use process::{Finished, Follower, Host, Trellis};
pub use site::{Site, wait_until};
pub use test_process::TestProcess;
