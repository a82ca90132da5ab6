//! `trellis stop provider`: takes a provider off its hosts.

use clap::Args;
use trellis_control::{ClientError, ProviderStatus};
use trellis_core::ComponentId;

use super::Output;
use crate::arguments::OutputFormat;
use crate::commands::component_id;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts::Running;
use crate::progress::Spinner;
use crate::told::{self, Part};
use crate::{hosts, output};

/// Stop a provider on all hosts, or on one, and wait until it has
///
/// One that failed to start is forgotten.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis stop provider kv --host quiet-rose-4711")]
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
    // What failed to start runs nowhere, but is listed until it is stopped.
    let running: Vec<Running<ProviderStatus>> =
        hosts::listed(&session, id, arguments.host.as_deref()).await?;
    let spinner = Spinner::new();
    for it in &running {
        spinner.show(&format!("stopping {id} on {}", it.host_label));
        // The answer comes when it has stopped.
        let stopped = session.client.stop_provider(&it.host, &arguments.id).await;
        match stopped {
            Err(ClientError::Refused { .. }) if is_forgotten(&session, it).await => {}
            stopped => drop(stopped.map_err(|error| session.failure(&error))?),
        }
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

/// Tells whether a provider that did not run is listed no more. Its host refuses to stop what does not run, as hosts
/// of 1.x do, and forgets it.
async fn is_forgotten(session: &Session, before: &Running<ProviderStatus>) -> bool {
    if before.what.ready {
        return false;
    }
    let told = told::of_host(session, &before.host).await;
    told.is_ok_and(|told| {
        let mut providers = ProviderStatus::all(&told).into_iter();
        !providers.any(|it| it.id == before.what.id)
    })
}
