//! `trellis get providers`: which providers run, where, and whether they serve.

use clap::Args;
use serde::Serialize;
use trellis_control::ProviderStatus;

use super::components::ready;
use super::statuses;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts;
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
    providers: Vec<ProviderOutput>,
}

#[derive(Serialize)]
struct ProviderOutput {
    host_id: String,
    host_name: String,
    #[serde(flatten)]
    provider: ProviderStatus,
}

pub(crate) async fn run(arguments: Providers) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let told = statuses::of_hosts(&session, arguments.host.as_deref()).await?;
    let mut providers = Vec::new();
    for told in &told {
        let (host_id, host_name) = told.host();
        providers.extend(told.providers().into_iter().map(|provider| ProviderOutput {
            host_id: host_id.to_owned(),
            host_name: host_name.to_owned(),
            provider,
        }));
    }
    providers.sort_by(|a, b| (&a.provider.id, &a.host_id).cmp(&(&b.provider.id, &b.host_id)));
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            providers,
        }),
        OutputFormat::Text => show(&providers),
    }
}

fn show(providers: &[ProviderOutput]) -> Result<(), Failure> {
    let mut table = Table::new(&["PROVIDER", "HOST", "READY", "RESTARTS", "IMAGE"]);
    for it in providers {
        table.row([
            it.provider.id.clone(),
            hosts::label(&it.host_name, &it.host_id),
            ready(it.provider.ready).to_owned(),
            it.provider.restarts.to_string(),
            it.provider.image_ref.clone(),
        ]);
    }
    table.print()?;
    for it in providers {
        if let Some(why) = it.provider.why.as_deref().filter(|_| !it.provider.ready) {
            let host = hosts::label(&it.host_name, &it.host_id);
            eprintln!(
                "{} on {host} does not serve: {}",
                it.provider.id,
                output::one_line(why)
            );
        }
    }
    Ok(())
}
