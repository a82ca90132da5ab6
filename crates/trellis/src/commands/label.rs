//! `trellis label`: labels of hosts, by which work is placed.

mod del;
mod put;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Set or remove labels of a host
#[derive(Args, Debug)]
pub(crate) struct Label {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Put(put::Put),
    Del(del::Del),
}

pub(crate) async fn run(label: Label) -> Result<(), Failure> {
    match label.what {
        What::Put(it) => put::run(it).await,
        What::Del(it) => del::run(it).await,
    }
}
