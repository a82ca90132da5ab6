//! `trellis drain` and `trellis resume`: whether a host takes new work.

use clap::Args;
use serde::Serialize;
use trellis_control::{DrainAction, DrainCommand, HostMode};

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::{hosts, output};

/// Let a host take no new work
///
/// What runs there goes on, until it is stopped or the host is.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis drain quiet-rose-4711")]
pub(crate) struct Drain {
    #[command(flatten)]
    who: Who,
}

/// Let a host take work again
///
/// A host that was drained takes new work. One whose lattice state was rewound takes the state as it is
/// now.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis resume quiet-rose-4711")]
pub(crate) struct Resume {
    #[command(flatten)]
    who: Who,
}

#[derive(Args, Debug)]
struct Who {
    /// The host, by id or name, or the beginning of one
    #[arg(value_name = "HOST", add = live(Live::Hosts))]
    host: String,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    host_id: &'a str,
    mode: HostMode,
    calls_in_flight: u64,
}

pub(crate) async fn drain(arguments: Drain) -> Result<(), Failure> {
    tell(arguments.who, DrainAction::Drain).await
}

pub(crate) async fn resume(arguments: Resume) -> Result<(), Failure> {
    tell(arguments.who, DrainAction::Resume).await
}

async fn tell(who: Who, action: DrainAction) -> Result<(), Failure> {
    let session = Session::open(&who.options.connection).await?;
    let host = hosts::find(&session, &who.host).await?;
    let id = hosts::id_of(&session, &host.id)?;
    let command = DrainCommand {
        action,
        timeout_ms: None,
    };
    let state = session.client.drain(&id, &command).await;
    let state = state.map_err(|error| session.failure(&error))?;
    match who.options.output {
        OutputFormat::Json => output::json(&Output {
            host_id: &host.id,
            mode: state.mode,
            calls_in_flight: state.calls_in_flight,
        }),
        OutputFormat::Text => {
            let label = hosts::label(&host.friendly_name, &host.id);
            let (mode, calls) = (state.mode.name(), state.calls_in_flight);
            output::line(&format!(
                "host {label} is {mode}, with {calls} calls in flight"
            ))
        }
    }
}
