//! `trellis update`: replaces the code of a component while it runs.

use clap::Args;
use serde::Serialize;
use trellis_control::UpdateComponentCommand;
use trellis_core::ComponentId;

use super::component_id;
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::reference::Reference;
use crate::waiting::{self, Expected, Goal, WaitOptions};
use crate::{hosts, output};

/// Replace the code of a component that runs
///
/// Calls in flight end on the old code; no request is lost.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis update cart ./build/cart.wasm")]
pub(crate) struct Update {
    /// The component
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Components))]
    id: ComponentId,

    /// An image, or the path of a component
    #[arg(value_name = "REF", value_hint = clap::ValueHint::FilePath)]
    reference: String,

    /// Only on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    wait: WaitOptions,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    component_id: &'a str,
    component_ref: &'a str,
    /// Whether it was waited for.
    ready: bool,
    host_ids: Vec<&'a str>,
}

pub(crate) async fn run(arguments: Update) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let reference = Reference::parse(&arguments.reference, session.resolved.is_local())?;
    let id = arguments.id.as_str();
    let running = hosts::with_component(&session, id, arguments.host.as_deref()).await?;
    let events = waiting::listen(&session).await?;
    let mut expected = Vec::new();
    for it in &running {
        let command = UpdateComponentCommand {
            component_id: id.to_owned(),
            annotations: it.what.annotations.clone(),
            new_component_ref: reference.as_str().to_owned(),
            ..UpdateComponentCommand::default()
        };
        let words = session.client.update_component(&it.host, command).await;
        words.map_err(|error| session.failure(&error))?;
        expected.push(Expected {
            host: it.host.clone(),
            host_label: it.host_label.clone(),
            goal: Goal::ComponentReady {
                id: id.to_owned(),
                instances: it.what.max_instances,
                image: Some(reference.as_str().to_owned()),
            },
        });
    }
    let ready = !arguments.wait.no_wait;
    if ready {
        waiting::until(&session, events, expected, &arguments.wait).await?;
    }
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            component_id: id,
            component_ref: reference.as_str(),
            ready,
            host_ids: running.iter().map(|it| it.host.as_str()).collect(),
        }),
        OutputFormat::Text => running.iter().try_for_each(|it| {
            let verb = if ready { "runs" } else { "is updated to" };
            output::line(&format!(
                "{id} {verb} {} on {}",
                reference.as_str(),
                it.host_label
            ))
        }),
    }
}
