//! `trellis get providers`: which providers run, where, and whether they serve.

use clap::Args;
use serde::Serialize;
use trellis_control::{LinkTier, ProviderStatus};

use super::statuses::{self, Placed};
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::told::{self, Told};

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
    let told = told::of_hosts(&session, arguments.host.as_deref()).await?;
    let providers = statuses::placed_of(&told);
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            providers,
        }),
        OutputFormat::Text => {
            show(&providers)?;
            note_manifests(&told);
            Ok(())
        }
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

/// Names on standard error the built-ins that components call and nobody started: those of manifests.
fn note_manifests(told: &[Told]) {
    for it in told {
        let Told::Status(status) = it else { continue };
        let built_in = status
            .links
            .iter()
            .filter(|it| it.tier == LinkTier::BuiltIn);
        let mut ids: Vec<&str> = built_in.map(|it| it.target.as_str()).collect();
        ids.retain(|id| !status.providers.iter().any(|it| it.id == *id));
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            let host = crate::hosts::label(&status.friendly_name, &status.host_id);
            eprintln!("note: from a manifest on {host}: {}", ids.join(", "));
        }
    }
}
