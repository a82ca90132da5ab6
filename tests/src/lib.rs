//! Helpers of the end-to-end tests: they use the `trellis` binary as a person does, through its command line, its
//! output, its signals and HTTP, and know nothing of its crates.

mod application;
mod client;
mod lines;
mod load;
mod nats;
mod paths;
mod process;
mod site;

pub use application::{Application, Entry};
pub use client::{Client, Response, get, get_from};
pub use lines::Lines;
pub use load::{Load, Report, at_once};
pub use nats::NatsServer;
pub use paths::{example, guest, project_root};
pub use process::{Finished, Host, Trellis};
pub use site::{Site, wait_until};
