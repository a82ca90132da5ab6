//! `trellis scale`: changes how many calls a component serves at once.

use clap::Args;
use serde::Serialize;
use trellis_control::{ComponentDescription, ConfigName, ScaleComponentCommand, TextMap};
use trellis_core::ComponentId;

use super::start::{CONFIG_ANNOTATION, plural};
use super::{component_id, config_name};
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts::{self, Running};
use crate::output;
use crate::placement::even;
use crate::waiting::{self, Expected, Goal, WaitOptions};

/// Change how many calls a component serves at once
///
/// Where it runs on several hosts, the instances are divided among them as evenly as can be.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis scale cart 10\n  \
    trellis scale cart 4 --host quiet-rose-4711")]
pub(crate) struct Scale {
    /// The component
    #[arg(value_name = "ID", value_parser = component_id, add = live(Live::Components))]
    id: ComponentId,

    /// Instances in all; `trellis stop component` stops it
    #[arg(value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,

    /// Only on this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    /// Give it this config instead of what it was started with
    #[arg(long = "config", value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    configs: Vec<ConfigName>,

    #[command(flatten)]
    wait: WaitOptions,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    component_id: &'a str,
    /// Whether it was waited for.
    ready: bool,
    placements: Vec<PlacementOutput<'a>>,
}

#[derive(Serialize)]
struct PlacementOutput<'a> {
    host_id: &'a str,
    instances: u32,
}

pub(crate) async fn run(arguments: Scale) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let id = arguments.id.as_str();
    let running = hosts::with_component(&session, id, arguments.host.as_deref()).await?;
    let shares = even(running.len(), arguments.instances);
    if shares.last() == Some(&0) {
        let message = format!(
            "{id} runs on {} hosts, which is more than {}",
            running.len(),
            plural(arguments.instances)
        );
        let hint = format!("`trellis stop component {id} --host HOST` takes it off a host");
        return Err(session.failed(&message, Some(&hint)));
    }
    let events = waiting::listen(&session).await?;
    let mut expected = Vec::new();
    for (it, share) in running.iter().zip(&shares) {
        let command = command(&it.what, &arguments.configs, *share);
        let words = session.client.scale_component(&it.host, command).await;
        let words = words.map_err(|error| session.failure(&error))?;
        if !words.is_empty() {
            eprintln!("warning: {}: {words}", it.host_label);
        }
        expected.push(Expected {
            host: it.host.clone(),
            host_label: it.host_label.clone(),
            goal: Goal::ComponentReady {
                id: id.to_owned(),
                instances: *share,
                image: None,
            },
        });
    }
    if !arguments.wait.no_wait {
        waiting::until(&session, events, expected, &arguments.wait).await?;
    }
    report(&arguments, &running, &shares)
}

/// Returns the command that changes the instances and nothing else.
fn command(
    running: &ComponentDescription,
    configs: &[ConfigName],
    instances: u32,
) -> ScaleComponentCommand {
    let mut annotations: TextMap = running.annotations.clone();
    let config: Vec<String> = if configs.is_empty() {
        let kept = annotations.get(CONFIG_ANNOTATION).map(String::as_str);
        let names = kept
            .unwrap_or_default()
            .split(',')
            .filter(|it| !it.is_empty());
        names.map(str::to_owned).collect()
    } else {
        configs.iter().map(ToString::to_string).collect()
    };
    if !config.is_empty() {
        annotations.insert(CONFIG_ANNOTATION.to_owned(), config.join(","));
    }
    ScaleComponentCommand {
        component_ref: running.image_ref.clone(),
        component_id: running.id.clone(),
        annotations,
        count: instances,
        component_limits: running.limits.clone(),
        config,
        ..ScaleComponentCommand::default()
    }
}

fn report(
    arguments: &Scale,
    running: &[Running<ComponentDescription>],
    shares: &[u32],
) -> Result<(), Failure> {
    let ready = !arguments.wait.no_wait;
    if arguments.options.output == OutputFormat::Json {
        let placements = running
            .iter()
            .zip(shares)
            .map(|(it, share)| PlacementOutput {
                host_id: it.host.as_str(),
                instances: *share,
            });
        return output::json(&Output {
            component_id: arguments.id.as_str(),
            ready,
            placements: placements.collect(),
        });
    }
    let verb = if ready { "has" } else { "will have" };
    for (it, share) in running.iter().zip(shares) {
        let (id, host) = (&arguments.id, &it.host_label);
        output::line(&format!("{id} {verb} {} on {host}", plural(*share)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_it_was_started_with_is_kept() {
        let running = ComponentDescription {
            id: "cart".to_owned(),
            image_ref: "reg/cart:1".to_owned(),
            annotations: [(CONFIG_ANNOTATION.to_owned(), "cart,shared".to_owned())].into(),
            ..ComponentDescription::default()
        };
        assert_eq!(command(&running, &[], 5).config, ["cart", "shared"]);
        let other = [ConfigName::new("other").expect("a name")];
        let scaled = command(&running, &other, 5);
        assert_eq!(scaled.config, ["other"]);
        assert_eq!(scaled.annotations[CONFIG_ANNOTATION], "other");
        assert_eq!(
            (scaled.count, scaled.component_ref.as_str()),
            (5, "reg/cart:1")
        );
    }
}
