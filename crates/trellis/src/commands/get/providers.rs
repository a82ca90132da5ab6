//! `trellis get providers`: which providers run, where, and whether they serve.

use clap::Args;
use serde::Serialize;
use trellis_control::ProviderStatus;

use super::statuses::{self, Placed};
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};

/// List the providers of the lattice, one line for each host
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis get providers --output json")]
pub(crate) struct Providers {
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
    providers: Vec<Placed<ProviderStatus>>,
}

pub(crate) async fn run(arguments: Providers) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let providers = statuses::placed(&session, arguments.host.as_deref()).await?;
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            providers,
        }),
        OutputFormat::Text => show(&providers),
    }
}

fn show(providers: &[Placed<ProviderStatus>]) -> Result<(), Failure> {
    let mut table = Table::new(&["PROVIDER", "HOST", "READY", "RESTARTS", "IMAGE"]);
    for it in providers {
        table.row([
            it.what.id.clone(),
            it.host(),
            it.ready().to_owned(),
            it.what.restarts.to_string(),
            it.what.image_ref.clone(),
        ]);
    }
    table.print()?;
    statuses::explain(providers);
    Ok(())
}
