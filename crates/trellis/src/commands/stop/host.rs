//! `trellis stop host`: ends a host after it has finished what is in flight.

use std::time::Duration;

use clap::Args;

use super::Output;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::waiting::{self, Expected, Goal, WaitOptions};
use crate::{duration, hosts, output};

/// Stop a host
///
/// It takes no new work, finishes the calls in flight and exits.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis stop host quiet-rose-4711 --grace 30s")]
pub(crate) struct Host {
    /// The host, by id or name, or the beginning of one
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: String,

    /// Let it finish for at most this long [default: as the host has it]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    grace: Option<Duration>,

    #[command(flatten)]
    wait: WaitOptions,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Host) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let host = hosts::find(&session, &arguments.host).await?;
    let id = hosts::id_of(&session, &host.id)?;
    let events = waiting::listen(&session).await?;
    let stopping = session.client.stop_host(&id, arguments.grace).await;
    stopping.map_err(|error| session.failure(&error))?;
    let host_label = hosts::label(&host.friendly_name, &host.id);
    let stopped = !arguments.wait.no_wait;
    if stopped {
        let expected = Expected {
            host: id,
            host_label: host_label.clone(),
            goal: Goal::HostGone,
        };
        let mut wait = arguments.wait.clone();
        // It may take all of its grace, and a moment to end.
        let grace = arguments.grace.unwrap_or_default();
        wait.wait = wait
            .wait
            .or(Some(waiting::WAIT_DEFAULT.saturating_add(grace)));
        waiting::until(&session, events, vec![expected], &wait).await?;
    }
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            id: None,
            host_ids: vec![&host.id],
            stopped,
        }),
        OutputFormat::Text => {
            let verb = if stopped { "stopped" } else { "stops" };
            output::line(&format!("host {host_label} {verb}"))
        }
    }
}
