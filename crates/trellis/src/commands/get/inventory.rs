//! `trellis get inventory`: what each host runs.

use clap::Args;
use serde::Serialize;
use trellis_control::HostInventory;

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table, one_line};
use crate::{duration, hosts};

/// Show what a host runs, or every host
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trellis get inventory\n  trellis get inventory quiet-rose-4711"
)]
pub(crate) struct Inventory {
    /// The host, by id or name, or the beginning of one
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    inventories: Vec<HostInventory>,
}

pub(crate) async fn run(arguments: Inventory) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let mut inventories = match &arguments.host {
        None => {
            session.hosts().await?;
            hosts::inventories(&session).await?
        }
        Some(host) => {
            let id = hosts::id_of(&session, &hosts::find(&session, host).await?.id)?;
            let inventory = session.client.host_inventory(&id).await;
            vec![inventory.map_err(|error| session.failure(&error))?]
        }
    };
    inventories.sort_by(|a, b| (&a.friendly_name, &a.host_id).cmp(&(&b.friendly_name, &b.host_id)));
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            inventories,
        }),
        OutputFormat::Text => inventories.iter().try_for_each(show),
    }
}

fn show(inventory: &HostInventory) -> Result<(), Failure> {
    let label = hosts::label(&inventory.friendly_name, &inventory.host_id);
    let age = duration::age(inventory.uptime_seconds);
    output::line(&one_line(&format!(
        "{label}, up {age}, version {}",
        inventory.version
    )))?;
    let labels = inventory
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let labels = labels.collect::<Vec<_>>().join(" ");
    output::line(&one_line(&format!("labels: {labels}")))?;
    let mut table = Table::new(&["KIND", "ID", "INSTANCES", "IMAGE"]);
    for it in &inventory.components {
        let instances = it.max_instances.to_string();
        table.row(["component", &it.id, &instances, &it.image_ref]);
    }
    for it in &inventory.providers {
        let image = it.image_ref.as_deref().unwrap_or_default();
        table.row(["provider", &it.id, "", image]);
    }
    if inventory.components.is_empty() && inventory.providers.is_empty() {
        return output::line("runs nothing\n");
    }
    table.print()?;
    output::line("")
}
