//! `trellis get config`: the same as `trellis config list`.

use clap::Args;

use crate::commands::config::list;
use crate::connection::LatticeOptions;
use crate::failure::Failure;

/// List the names of config entries
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis get config")]
pub(crate) struct Config {
    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Config) -> Result<(), Failure> {
    list::show(&arguments.options).await
}
