//! `trellis config get`: reads a config entry.

use clap::Args;
use serde::Serialize;
use trellis_control::{Config, ConfigName};

use super::list;
use crate::arguments::OutputFormat;
use crate::commands::config_name;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, one_line};
use crate::suggestion::did_you_mean;

/// Show the values of a config entry
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis config get cart --output json")]
pub(crate) struct Get {
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
    values: &'a Config,
}

pub(crate) async fn run(arguments: Get) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let values = existing(&session, &arguments.name).await?;
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            name: arguments.name.as_str(),
            values: &values,
        }),
        OutputFormat::Text => values
            .iter()
            .try_for_each(|(key, value)| output::line(&one_line(&format!("{key}={value}")))),
    }
}

/// Returns the values of an entry that must be there.
///
/// # Errors
/// When there is none.
pub(super) async fn existing(session: &Session, name: &ConfigName) -> Result<Config, Failure> {
    let values = session.client.config(name).await;
    if let Some(values) = values.map_err(|error| session.failure(&error))? {
        return Ok(values);
    }
    // Names that cannot be listed only cost the suggestion.
    let listed = list::names(session).await.unwrap_or_default();
    let near = did_you_mean(name.as_str(), listed.names.iter().map(String::as_str));
    let lattice = &session.resolved.lattice.value;
    let message = format!("no config is named {name} in lattice {lattice}{near}");
    // A list that is not complete does not say what there is.
    let hint = match listed.complete {
        true => "`trellis config list` lists the names",
        false => "`trellis config put NAME KEY=VALUE` sets one",
    };
    Err(session.failed(&message, Some(hint)))
}
