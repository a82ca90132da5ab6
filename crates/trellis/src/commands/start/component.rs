//! `trellis start component`: places instances, starts them, and waits until they take calls.

use clap::Args;
use serde::Serialize;
use trellis_control::{ConfigName, Host, HostId, ScaleComponentCommand, TextMap};
use trellis_core::ComponentId;

use super::auction::{self, Lot, Target};
use crate::arguments::OutputFormat;
use crate::commands::{component_id, config_name, key_value};
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::placement::{Candidate, spread};
use crate::reference::Reference;
use crate::waiting::{self, Expected, Goal, WaitOptions};
use crate::{hosts, output};

/// The annotation in which the names of config are kept, so that a later scale keeps them: neither an
/// inventory nor a status tells them.
pub(crate) const CONFIG_ANNOTATION: &str = "trellis.dev/config";

/// Start a component and wait until it takes calls
///
/// The hosts of the lattice are asked which of them would run it, and one is chosen, or several with
/// `--spread`. A path is made absolute; the file must be there on every host that is to run it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis start component ./cart.wasm\n  \
    trellis start component ./cart.wasm --instances 3 --spread zone\n  \
    trellis start component ./cart.wasm --id cart --host quiet-rose-4711 --config cart")]
pub(crate) struct Component {
    /// An image, or the path of a component
    #[arg(value_name = "REF", value_hint = clap::ValueHint::FilePath)]
    reference: String,

    /// Call it by this id [default: the name of the file or image]
    #[arg(long, value_name = "ID", value_parser = component_id)]
    id: Option<ComponentId>,

    /// Serve so many calls at once
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,

    #[command(flatten)]
    target: Target,

    /// Spread the instances over the values of this label
    #[arg(long, value_name = "LABEL", conflicts_with = "host")]
    spread: Option<String>,

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
    component_id: &'a str,
    component_ref: &'a str,
    /// Whether it was waited for and takes calls.
    ready: bool,
    placements: Vec<PlacementOutput>,
}

#[derive(Serialize)]
struct PlacementOutput {
    host_id: String,
    instances: u32,
}

pub(crate) async fn run(arguments: Component) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let reference = Reference::parse(&arguments.reference, session.resolved.is_local())?;
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => reference.derived_id()?,
    };
    let placements = place(&session, &arguments, &id, &reference).await?;
    let events = waiting::listen(&session).await?;
    for (host, instances) in &placements {
        let command = command(&arguments, &id, &reference, *instances);
        let target = hosts::id_of(&session, &host.id)?;
        let words = session.client.scale_component(&target, command).await;
        let words = words.map_err(|error| session.failure(&error))?;
        if !words.is_empty() {
            eprintln!(
                "warning: {}: {words}",
                hosts::label(&host.friendly_name, &host.id)
            );
        }
    }
    if !arguments.wait.no_wait {
        let expected = expected(&session, &id, &placements)?;
        waiting::until(&session, events, expected, &arguments.wait).await?;
    }
    report(&arguments, &id, &reference, &placements)
}

/// Chooses hosts, and how many instances on each.
async fn place(
    session: &Session,
    arguments: &Component,
    id: &ComponentId,
    reference: &Reference,
) -> Result<Vec<(Host, u32)>, Failure> {
    let lot = Lot::Component(id, reference);
    if let Some(host) = &arguments.target.host {
        let host = hosts::find(session, host).await?;
        refuse_running(session, &host, id).await?;
        auction::refuse_impossible(session, lot, &[&host]).await?;
        return Ok(vec![(host, arguments.instances)]);
    }
    let bidders = auction::bidders(session, lot, &arguments.target.labels).await?;
    let Some(label) = &arguments.spread else {
        let first = bidders.into_iter().take(1);
        return Ok(first.map(|host| (host, arguments.instances)).collect());
    };
    let candidates: Vec<Candidate> = bidders
        .iter()
        .filter_map(|host| {
            Some(Candidate {
                host: HostId::new(&host.id).ok()?,
                value: host.labels.get(label)?.clone(),
            })
        })
        .collect();
    if candidates.is_empty() {
        let message = format!(
            "no host that would run {id} has the label {label}, so instances cannot be spread over it"
        );
        let hint = format!("`trellis label put HOST {label}=VALUE` sets it on a host");
        return Err(session.failed(&message, Some(&hint)));
    }
    let values = auction::values_of(&bidders, label).len();
    if u32::try_from(values).unwrap_or(u32::MAX) < arguments.instances {
        let values = match values {
            1 => "1 value".to_owned(),
            n => format!("{n} values"),
        };
        eprintln!("note: {label} has {values}, so some host gets more than one instance");
    }
    let placed = spread(&candidates, arguments.instances);
    let host = |id: &HostId| bidders.iter().find(|it| it.id == id.as_str()).cloned();
    let placed = placed
        .into_iter()
        .filter_map(|(id, count)| Some((host(&id)?, count)));
    Ok(placed.collect())
}

/// A host that runs the component takes the command as one to scale it, which was not asked for.
async fn refuse_running(session: &Session, host: &Host, id: &ComponentId) -> Result<(), Failure> {
    let target = hosts::id_of(session, &host.id)?;
    let inventory = session.client.host_inventory(&target).await;
    let inventory = inventory.map_err(|error| session.failure(&error))?;
    if !inventory.components.iter().any(|it| it.id == id.as_str()) {
        return Ok(());
    }
    let host = hosts::label(&host.friendly_name, &host.id);
    let message = format!("component {id} runs on host {host} already");
    let hint =
        format!("`trellis scale {id} N` changes its instances, `trellis update {id} REF` its code");
    Err(session.failed(&message, Some(&hint)))
}

fn command(
    arguments: &Component,
    id: &ComponentId,
    reference: &Reference,
    instances: u32,
) -> ScaleComponentCommand {
    let mut annotations: TextMap = arguments.annotations.iter().cloned().collect();
    let config: Vec<String> = arguments.configs.iter().map(ToString::to_string).collect();
    if !config.is_empty() {
        annotations.insert(CONFIG_ANNOTATION.to_owned(), config.join(","));
    }
    ScaleComponentCommand {
        component_ref: reference.as_str().to_owned(),
        component_id: id.to_string(),
        annotations,
        count: instances,
        config,
        ..ScaleComponentCommand::default()
    }
}

fn expected(
    session: &Session,
    id: &ComponentId,
    placements: &[(Host, u32)],
) -> Result<Vec<Expected>, Failure> {
    let expect = |(host, instances): &(Host, u32)| {
        Ok(Expected {
            host: hosts::id_of(session, &host.id)?,
            host_label: hosts::label(&host.friendly_name, &host.id),
            goal: Goal::ComponentReady {
                id: id.to_string(),
                instances: *instances,
                image: None,
            },
        })
    };
    placements.iter().map(expect).collect()
}

fn report(
    arguments: &Component,
    id: &ComponentId,
    reference: &Reference,
    placements: &[(Host, u32)],
) -> Result<(), Failure> {
    let ready = !arguments.wait.no_wait;
    if arguments.options.output == OutputFormat::Json {
        let placement = |(host, instances): &(Host, u32)| PlacementOutput {
            host_id: host.id.clone(),
            instances: *instances,
        };
        return output::json(&Output {
            component_id: id.as_str(),
            component_ref: reference.as_str(),
            ready,
            placements: placements.iter().map(placement).collect(),
        });
    }
    let verb = if ready { "runs" } else { "starts" };
    for (host, instances) in placements {
        let host = hosts::label(&host.friendly_name, &host.id);
        output::line(&format!(
            "{id} {verb} on {host} with {}",
            plural(*instances)
        ))?;
    }
    Ok(())
}

/// Returns `1 instance` or `3 instances`.
pub(crate) fn plural(instances: u32) -> String {
    match instances {
        1 => "1 instance".to_owned(),
        n => format!("{n} instances"),
    }
}
