//! `trellis stop provider`: takes a provider off its hosts.

use clap::Args;
use trellis_core::ComponentId;

use super::Output;
use crate::arguments::OutputFormat;
use crate::commands::component_id;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::progress::Spinner;
use crate::{hosts, output};

/// Stop a provider on all hosts, or on one, and wait until it has
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis stop provider kv --host blue-river")]
pub(crate) struct Provider {
    /// The provider
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Providers))]
    id: ComponentId,

    /// Only on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Provider) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let id = arguments.id.as_str();
    let running = hosts::with_provider(&session, id, arguments.host.as_deref()).await?;
    let spinner = Spinner::new();
    for it in &running {
        spinner.show(&format!("stopping {id} on {}", it.host_label));
        // The answer comes when it has stopped.
        let stopped = session.client.stop_provider(&it.host, &arguments.id).await;
        stopped.map_err(|error| session.failure(&error))?;
    }
    drop(spinner);
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            id: Some(id),
            host_ids: running.iter().map(|it| it.host.as_str()).collect(),
            stopped: true,
        }),
        OutputFormat::Text => running
            .iter()
            .try_for_each(|it| output::line(&format!("{id} stopped on {}", it.host_label))),
    }
}
