//! `trellis label del`: removes labels of a host.

use clap::Args;
use serde::Serialize;
use trellis_control::{LabelKey, label_is_reserved};

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::suggestion::did_you_mean;
use crate::{hosts, output};

/// Remove labels of a host
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis label del quiet-rose-4711 disk")]
pub(crate) struct Del {
    /// The host, by id or name, or the beginning of one
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
    refuse_reserved(&arguments.keys)?;
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

/// Hosts let go even of the labels that they set themselves, as hosts of 1.x do; nobody wants that by hand, since it
/// cannot be undone.
fn refuse_reserved(keys: &[String]) -> Result<(), Failure> {
    let Some(key) = keys.iter().find(|key| label_is_reserved(key)) else {
        return Ok(());
    };
    let message = format!("the label {key} is the host's own and cannot be deleted");
    let hint = "labels that begin with `hostcore.` say what the host runs on";
    Err(Failure::usage(&message, Some(hint)))
}
