//! `trellis label put`: sets labels of a host.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use trellis_control::Label;

use crate::arguments::OutputFormat;
use crate::commands::key_value;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::{hosts, output};

/// Set labels of a host, until it is stopped
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis label put quiet-rose-4711 zone=a disk=ssd")]
pub(crate) struct Put {
    /// The host, by id or name, or the beginning of one
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: String,

    /// The labels
    #[arg(value_name = "KEY=VALUE", value_parser = key_value, required = true)]
    labels: Vec<(String, String)>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    host_id: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

pub(crate) async fn run(arguments: Put) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let host = hosts::find(&session, &arguments.host).await?;
    let id = hosts::id_of(&session, &host.id)?;
    for (key, value) in &arguments.labels {
        let label = Label {
            key: key.clone(),
            value: value.clone(),
        };
        let put = session.client.put_label(&id, &label).await;
        put.map_err(|error| session.failure(&error))?;
    }
    let labels = arguments
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            host_id: &host.id,
            labels: labels.collect(),
        }),
        OutputFormat::Text => {
            let labels: Vec<String> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let host = hosts::label(&host.friendly_name, &host.id);
            output::line(&format!("{host} has {}", labels.join(" ")))
        }
    }
}
