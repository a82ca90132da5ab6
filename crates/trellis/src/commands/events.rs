//! `trellis events`: what happens in the lattice, as it happens.

use clap::Args;
use trellis_control::{CloudEvent, Event, EventKind};
use trellis_core::with_causes;

use crate::arguments::OutputFormat;
use crate::completion::{self, Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::hosts;
use crate::output::{self, Reader, one_line};
use crate::suggestion::did_you_mean;

/// Show what happens in the lattice until Ctrl-C
///
/// Nothing is kept for who does not listen: what happens while the connection is lost is missed, and
/// that is said on standard error.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis events\n  \
    trellis events --type component_scaled,component_scale_failed --output json")]
pub(crate) struct Events {
    /// Only events of these types, such as component_scaled
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = kind,
        add = completion::event_types()
    )]
    kinds: Vec<EventKind>,

    /// Only events of this host
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    host: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

fn kind(text: &str) -> Result<EventKind, String> {
    EventKind::from_name(text).ok_or_else(|| {
        let names = EventKind::ALL.map(EventKind::name);
        match did_you_mean(text, names) {
            near if near.is_empty() => format!("the types are {}", names.join(", ")),
            near => format!("there is no such type{near}"),
        }
    })
}

pub(crate) async fn run(arguments: Events) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let host = match &arguments.host {
        Some(host) => Some(hosts::find(&session, host).await?.id),
        None => None,
    };
    let events = session.client.events(&arguments.kinds).await;
    let mut events = events.map_err(|error| session.failure(&error))?;
    let mut state = session.client.lattice().state();
    let mut connected = true;
    eprintln!("listening to {}; press Ctrl-C to stop", session.note());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) if host.as_ref().is_none_or(|it| *it == event.source) => {
                    if show(&event, arguments.options.output)? == Reader::Gone {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => eprintln!("warning: {}", with_causes(&error)),
                None => return Err(session.failed("the connection was closed", None)),
            },
            changed = state.changed() => {
                if changed.is_err() {
                    return Err(session.failed("the connection was closed", None));
                }
                let now = state.borrow_and_update().is_connected();
                if now != connected {
                    let word = if now { "back" } else { "lost" };
                    eprintln!("warning: the connection is {word}; events meanwhile are missed");
                }
                connected = now;
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn show(event: &CloudEvent, format: OutputFormat) -> Result<Reader, Failure> {
    if format == OutputFormat::Json {
        return output::stream_line(&String::from_utf8_lossy(&event.encode()));
    }
    let time = event.time.map(|it| it.strftime("%H:%M:%SZ").to_string());
    let host: String = event.source.chars().take(8).collect();
    let (name, text) = (name(&event.event), summary(&event.event));
    let line = format!("{} {host} {name} {text}", time.unwrap_or_default());
    output::stream_line(one_line(&line).trim_end())
}

fn name(event: &Event) -> String {
    match event {
        Event::Other(it) => it.event_type.clone(),
        known => known
            .kind()
            .map(EventKind::name)
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Says what an event is about, in a few words.
fn summary(event: &Event) -> String {
    let failed = |id: &str, error: &str| format!("{id}: {error}");
    match event {
        Event::HostStarted(it) => format!("{} version {}", it.friendly_name, it.version),
        Event::HostStopped(_) | Event::Other(_) => String::new(),
        Event::HostHeartbeat(it) => format!(
            "{} components, {} providers",
            it.components.len(),
            it.providers.len()
        ),
        Event::ComponentScaled(it) => {
            format!(
                "{} has {} of {}",
                it.component_id, it.max_instances, it.image_ref
            )
        }
        Event::ComponentScaleFailed(it) => failed(&it.component_id, &it.error),
        Event::LinkSet(it) => link(
            &it.source_id,
            &it.target,
            &it.wit_namespace,
            &it.wit_package,
        ),
        Event::LinkSetFailed(it) => failed(&it.link.source_id, &it.error),
        Event::LinkDeleted(it) => {
            let target = it.target.as_deref().unwrap_or("nothing");
            link(&it.source_id, target, &it.wit_namespace, &it.wit_package)
        }
        Event::ProviderStarted(it) => format!("{} {}", it.provider_id, it.image_ref),
        Event::ProviderStartFailed(it) => failed(&it.provider_id, &it.error),
        Event::ProviderStopped(it) => format!("{} {}", it.provider_id, it.reason),
        Event::HealthCheckPassed(it)
        | Event::HealthCheckFailed(it)
        | Event::HealthCheckStatus(it) => it.provider_id.clone(),
        Event::ConfigSet(it) | Event::ConfigDeleted(it) => it.config_name.clone(),
        Event::LabelsChanged(it) => {
            let labels = it
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            labels.collect::<Vec<_>>().join(" ")
        }
        Event::HostModeChanged(it) => format!("{} to {}: {}", it.from, it.to, it.why),
        Event::ProviderExited(it) => match it.restart_in_ms {
            Some(wait) => format!("{}: {}, again in {wait} ms", it.provider_id, it.reason),
            None => format!("{}: {}, given up", it.provider_id, it.reason),
        },
    }
}

fn link(source: &str, target: &str, namespace: &str, package: &str) -> String {
    format!("{source} -> {target} {namespace}:{package}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_type_is_found() {
        assert_eq!(kind("component_scaled"), Ok(EventKind::ComponentScaled));
        let wrong = kind("component_scald").expect_err("no type");
        assert_eq!(
            wrong,
            "there is no such type; did you mean component_scaled?"
        );
        assert!(
            kind("x")
                .expect_err("no type")
                .starts_with("the types are host_started")
        );
    }
}
