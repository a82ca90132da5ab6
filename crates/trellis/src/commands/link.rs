//! `trellis link`: who may call whom.

mod del;
mod notes;
mod put;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Set or remove a link: the right of a source to call a target
#[derive(Args, Debug)]
pub(crate) struct Link {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Put(put::Put),
    Del(del::Del),
}

pub(crate) async fn run(link: Link) -> Result<(), Failure> {
    match link.what {
        What::Put(it) => put::run(it).await,
        What::Del(it) => del::run(it).await,
    }
}

/// Reads a link name.
fn link_name(text: &str) -> Result<trellis_core::LinkName, String> {
    trellis_core::LinkName::new(text).map_err(|error| error.to_string())
}
