//! `trellis get`: what is in the lattice.

mod components;
mod config;
mod hosts;
mod inventory;
mod links;
mod providers;
mod statuses;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// List what is in the lattice
#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Hosts(hosts::Hosts),
    Inventory(inventory::Inventory),
    Components(components::Components),
    Providers(providers::Providers),
    Links(links::Links),
    Config(config::Config),
}

pub(crate) async fn run(get: Get) -> Result<(), Failure> {
    match get.what {
        What::Hosts(it) => hosts::run(it).await,
        What::Inventory(it) => inventory::run(it).await,
        What::Components(it) => components::run(it).await,
        What::Providers(it) => providers::run(it).await,
        What::Links(it) => links::run(it).await,
        What::Config(it) => config::run(it).await,
    }
}
