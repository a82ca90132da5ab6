//! `trellis get components`: which components run, where, and whether they take calls.

use clap::Args;
use serde::Serialize;
use trellis_control::ComponentStatus;

use super::statuses::{self, Placed};
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};

/// List the components of the lattice, one line for each host
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis get components --host quiet-rose-4711")]
pub(crate) struct Components {
    /// Only those on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    components: Vec<Placed<ComponentStatus>>,
}

pub(crate) async fn run(arguments: Components) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let components = statuses::placed(&session, arguments.host.as_deref()).await?;
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            components,
        }),
        OutputFormat::Text => show(&components),
    }
}

fn show(components: &[Placed<ComponentStatus>]) -> Result<(), Failure> {
    let mut table = Table::new(&["COMPONENT", "HOST", "INSTANCES", "READY", "IMAGE"]);
    for it in components {
        table.row([
            it.what.id.clone(),
            it.host(),
            it.what.max_instances.to_string(),
            it.ready().to_owned(),
            it.what.image_ref.clone(),
        ]);
    }
    table.print()?;
    statuses::explain(components);
    Ok(())
}
