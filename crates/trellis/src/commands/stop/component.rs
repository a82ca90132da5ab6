//! `trellis stop component`: takes a component off its hosts.

use clap::Args;
use trellis_control::{ComponentStatus, ScaleComponentCommand};
use trellis_core::ComponentId;

use super::Output;
use crate::arguments::OutputFormat;
use crate::commands::component_id;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts::Running;
use crate::waiting::{self, Expected, Goal, WaitOptions};
use crate::{hosts, output};

/// Stop a component on all hosts, or on one
///
/// One that failed to start is forgotten.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis stop component cart")]
pub(crate) struct Component {
    /// The component
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Components))]
    id: ComponentId,

    /// Only on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    wait: WaitOptions,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Component) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let id = arguments.id.as_str();
    // What failed to start runs nowhere, but is listed until it is stopped.
    let running: Vec<Running<ComponentStatus>> =
        hosts::listed(&session, id, arguments.host.as_deref()).await?;
    let events = waiting::listen(&session).await?;
    let mut expected = Vec::new();
    for it in &running {
        // Hosts of 1.x fetch the image to stop it, so it must be the true one.
        let command = ScaleComponentCommand {
            component_ref: it.what.image_ref.clone(),
            component_id: id.to_owned(),
            annotations: it.what.annotations.clone(),
            count: 0,
            ..ScaleComponentCommand::default()
        };
        let words = session.client.scale_component(&it.host, command).await;
        words.map_err(|error| session.failure(&error))?;
        expected.push(Expected {
            host: it.host.clone(),
            host_label: it.host_label.clone(),
            goal: Goal::ComponentGone { id: id.to_owned() },
        });
    }
    let stopped = !arguments.wait.no_wait;
    if stopped {
        waiting::until(&session, events, expected, &arguments.wait).await?;
    }
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            id: Some(id),
            host_ids: running.iter().map(|it| it.host.as_str()).collect(),
            stopped,
        }),
        OutputFormat::Text => running.iter().try_for_each(|it| {
            let verb = if stopped { "stopped" } else { "stops" };
            output::line(&format!("{id} {verb} on {}", it.host_label))
        }),
    }
}
