//! `trellis get hosts`: who is there and how each is.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use trellis_control::{Host, HostMode};

use crate::arguments::OutputFormat;
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::told::{self, Told};
use crate::{duration, hosts};

/// List the hosts of the lattice
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis get hosts --lattice shop --output json")]
pub(crate) struct Hosts {
    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    hosts: Vec<HostOutput>,
}

#[derive(Serialize)]
struct HostOutput {
    #[serde(flatten)]
    host: Host,
    /// Absent for a host of 1.x, and one that did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<HostMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(crate) async fn run(arguments: Hosts) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let found = session.hosts().await?;
    let told = told::of_hosts(&session, None).await?;
    let mut modes: BTreeMap<String, (HostMode, String)> = BTreeMap::new();
    for told in told {
        if let Told::Status(it) = told {
            modes.insert(it.host_id, (it.mode, it.why));
        }
    }
    let outputs = found.into_iter().map(|host| {
        let (mode, why) = modes.remove(&host.id).unzip();
        HostOutput { host, mode, why }
    });
    let output = Output {
        lattice: session.resolved.lattice.value.as_str(),
        hosts: outputs.collect(),
    };
    match arguments.options.output {
        OutputFormat::Json => output::json(&output),
        OutputFormat::Text => table(&output.hosts).print(),
    }
}

fn table(found: &[HostOutput]) -> Table {
    let short = hosts::short_ids(found.iter().map(|it| it.host.id.as_str()));
    let mut table = Table::new(&["HOST", "NAME", "MODE", "UPTIME", "VERSION", "LABELS"]);
    for it in found {
        // Labels that every host sets itself would hide those that people set.
        let labels = it.host.labels.iter();
        let own = labels.filter(|(key, _)| !trellis_control::label_is_reserved(key));
        let own: Vec<String> = own.map(|(key, value)| format!("{key}={value}")).collect();
        table.row([
            short(&it.host.id),
            it.host.friendly_name.clone(),
            it.mode
                .map_or_else(|| "1.x".to_owned(), |it| it.to_string()),
            duration::age(it.host.uptime_seconds),
            it.host.version.clone().unwrap_or_default(),
            own.join(","),
        ]);
    }
    table
}
