//! `trellis start`: to run a component or a provider.

mod auction;
mod component;
mod provider;
mod refusal;

use clap::{Args, Subcommand};

use crate::failure::Failure;

pub(crate) use component::{CONFIG_ANNOTATION, plural};

/// Start a component or a provider
#[derive(Args, Debug)]
pub(crate) struct Start {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Component(Box<component::Component>),
    Provider(Box<provider::Provider>),
}

pub(crate) async fn run(start: Start) -> Result<(), Failure> {
    match start.what {
        What::Component(it) => component::run(*it).await,
        What::Provider(it) => provider::run(*it).await,
    }
}
