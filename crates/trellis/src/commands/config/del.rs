//! `trellis config del`: removes a config entry.

use clap::Args;
use serde::Serialize;
use trellis_control::ConfigName;

use super::get;
use crate::arguments::OutputFormat;
use crate::commands::config_name;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output;

/// Remove a config entry
///
/// What uses it goes on with no values in its place.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis config del cart")]
pub(crate) struct Del {
    /// The name of the entry
    #[arg(value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    name: ConfigName,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
}

pub(crate) async fn run(arguments: Del) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    get::existing(&session, &arguments.name).await?;
    let deleted = session.client.delete_config(&arguments.name).await;
    deleted.map_err(|error| session.failure(&error))?;
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            name: arguments.name.as_str(),
        }),
        OutputFormat::Text => output::line(&format!("deleted {}", arguments.name)),
    }
}
