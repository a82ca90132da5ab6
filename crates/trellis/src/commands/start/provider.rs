//! `trellis start provider`: starts a provider and waits until it serves.

use clap::Args;
use serde::Serialize;
use trellis_control::{ConfigName, StartProviderCommand};
use trellis_core::ComponentId;

use super::auction::{self, Lot, Target};
use crate::arguments::OutputFormat;
use crate::commands::{component_id, config_name, key_value};
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::reference::Reference;
use crate::waiting::{self, Expected, Goal, WaitOptions};
use crate::{hosts, output};

/// Start a provider and wait until it serves
///
/// The hosts of the lattice are asked which of them would run it, and one is chosen.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis start provider builtin:http-server --id http --label zone=a")]
pub(crate) struct Provider {
    /// An image, or the path of a provider
    #[arg(value_name = "REF", value_hint = clap::ValueHint::FilePath)]
    reference: String,

    /// Call it by this id [default: the name of the file or image]
    #[arg(long, value_name = "ID", value_parser = component_id)]
    id: Option<ComponentId>,

    #[command(flatten)]
    target: Target,

    /// Give it this config; of several, later values win
    #[arg(long = "config", value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    configs: Vec<ConfigName>,

    /// Note this with it
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = key_value)]
    annotations: Vec<(String, String)>,

    #[command(flatten)]
    wait: WaitOptions,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    provider_id: &'a str,
    provider_ref: &'a str,
    host_id: &'a str,
    /// Whether it was waited for and serves.
    ready: bool,
}

pub(crate) async fn run(arguments: Provider) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let reference = Reference::parse(&arguments.reference, session.resolved.is_local())?;
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => reference.derived_id()?,
    };
    let lot = Lot::Provider(&id, &reference);
    let host = match &arguments.target.host {
        Some(host) => {
            let host = hosts::find(&session, host).await?;
            auction::refuse_impossible(&session, lot, &[&host]).await?;
            host
        }
        None => {
            // There is at least one.
            auction::bidders(&session, lot, &arguments.target.labels)
                .await?
                .swap_remove(0)
        }
    };
    let events = waiting::listen(&session).await?;
    let target = hosts::id_of(&session, &host.id)?;
    let command = StartProviderCommand {
        provider_id: id.to_string(),
        provider_ref: reference.as_str().to_owned(),
        config: arguments.configs.iter().map(ToString::to_string).collect(),
        annotations: arguments.annotations.iter().cloned().collect(),
        ..StartProviderCommand::default()
    };
    let started = session.client.start_provider(&target, command).await;
    started.map_err(|error| session.failure(&error))?;
    let host_label = hosts::label(&host.friendly_name, &host.id);
    let ready = !arguments.wait.no_wait;
    if ready {
        let expected = Expected {
            host: target,
            host_label: host_label.clone(),
            goal: Goal::ProviderReady { id: id.to_string() },
        };
        waiting::until(&session, events, vec![expected], &arguments.wait).await?;
    }
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            provider_id: id.as_str(),
            provider_ref: reference.as_str(),
            host_id: &host.id,
            ready,
        }),
        OutputFormat::Text => {
            let verb = if ready { "runs" } else { "starts" };
            output::line(&format!("{id} {verb} on {host_label}"))
        }
    }
}
