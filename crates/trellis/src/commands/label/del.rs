//! `trellis label del`: removes labels of a host.

use clap::Args;
use serde::Serialize;
use trellis_control::LabelKey;

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::suggestion::did_you_mean;
use crate::{hosts, output};

/// Remove labels of a host
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis label del blue-river disk")]
pub(crate) struct Del {
    /// The host, by id, beginning of the id, or name
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: String,

    /// The keys of the labels
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    host_id: &'a str,
    deleted: &'a [String],
}

pub(crate) async fn run(arguments: Del) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let host = hosts::find(&session, &arguments.host).await?;
    let id = hosts::id_of(&session, &host.id)?;
    let label = hosts::label(&host.friendly_name, &host.id);
    if let Some(absent) = arguments
        .keys
        .iter()
        .find(|key| !host.labels.contains_key(*key))
    {
        let near = did_you_mean(absent, host.labels.keys().map(String::as_str));
        let message = format!("host {label} has no label {absent}{near}");
        return Err(session.failed(&message, Some("`trellis get hosts` shows the labels")));
    }
    for key in &arguments.keys {
        let deleted = session
            .client
            .delete_label(&id, &LabelKey { key: key.clone() })
            .await;
        deleted.map_err(|error| session.failure(&error))?;
    }
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            host_id: &host.id,
            deleted: &arguments.keys,
        }),
        OutputFormat::Text => output::line(&format!("{label} lost {}", arguments.keys.join(" "))),
    }
}
