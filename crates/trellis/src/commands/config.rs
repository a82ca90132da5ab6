//! `trellis config`: named settings for components, providers and links; and our own.

mod del;
mod get;
pub(super) mod list;
mod put;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Set, read and remove config; show the settings of this command
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Put(put::Put),
    Get(get::Get),
    Del(del::Del),
    List(list::List),
    Show(show::Show),
}

pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    match config.what {
        What::Put(it) => put::run(it).await,
        What::Get(it) => get::run(it).await,
        What::Del(it) => del::run(it).await,
        What::List(it) => list::run(it).await,
        What::Show(it) => show::run(&it),
    }
}
