//! `trellis stop`: to stop a component, a provider or a host.

mod component;
mod host;
mod provider;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Stop a component, a provider or a host
#[derive(Args, Debug)]
pub(crate) struct Stop {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Component(component::Component),
    Provider(provider::Provider),
    Host(host::Host),
}

pub(crate) async fn run(stop: Stop) -> Result<(), Failure> {
    match stop.what {
        What::Component(it) => component::run(it).await,
        What::Provider(it) => provider::run(it).await,
        What::Host(it) => host::run(it).await,
    }
}

/// The shape of `--output json` of each of them.
#[derive(serde::Serialize)]
struct Output<'a> {
    /// What was stopped: the id of a component or provider; absent for a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// Where.
    host_ids: Vec<&'a str>,
    /// Whether it was waited for and is gone.
    stopped: bool,
}
