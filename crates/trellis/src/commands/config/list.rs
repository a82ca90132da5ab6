//! `trellis config list`: the names of config entries.
//!
//! The control interface has no request for it: the names come from the state store where it can be
//! read from here, else from what links and components use.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;
use trellis_control::{config_bucket, is_secret_name};
use trellis_lattice::store::{BucketDefaults, BucketName, JetStreamStore};

use crate::arguments::OutputFormat;
use crate::commands::start::CONFIG_ANNOTATION;
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::{hosts, output};

/// List the names of config entries
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis config list --output json")]
pub(crate) struct List {
    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    /// Whether these are all; else those that something uses.
    complete: bool,
    names: &'a BTreeSet<String>,
}

pub(crate) async fn run(arguments: List) -> Result<(), Failure> {
    show(&arguments.options).await
}

/// Lists the names.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn show(options: &LatticeOptions) -> Result<(), Failure> {
    let session = Session::open(&options.connection).await?;
    let Names { names, complete } = names(&session).await?;
    if !complete {
        eprintln!(
            "note: the state store cannot be read from here; these are the names that links and components use"
        );
    }
    match options.output {
        OutputFormat::Json => output::json(&Output {
            lattice: session.resolved.lattice.value.as_str(),
            complete,
            names: &names,
        }),
        OutputFormat::Text => names.iter().try_for_each(|it| output::line(it)),
    }
}

/// Names of config entries.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) names: BTreeSet<String>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

/// Returns the names, of all entries where the store can be read.
///
/// # Errors
/// When hosts cannot be asked either.
pub(crate) async fn names(session: &Session) -> Result<Names, Failure> {
    match stored(session).await {
        Some(names) => Ok(Names {
            names,
            complete: true,
        }),
        None => Ok(Names {
            names: used(session).await?,
            complete: false,
        }),
    }
}

/// Reads the names from the store; none where it is in a host, or where this user may not.
async fn stored(session: &Session) -> Option<BTreeSet<String>> {
    let lattice = session.client.lattice();
    if !lattice.server_info().is_some_and(|it| it.jetstream) {
        return None;
    }
    let name = BucketName::new(config_bucket(lattice.name())).ok()?;
    // A bucket that is missing must not be made by somebody who only looks.
    let bucket =
        JetStreamStore::new(lattice.clone(), BucketDefaults::default()).bucket_unchecked(&name);
    let entries = bucket.list("").await.ok()?;
    let names = entries.into_iter().map(|it| it.key.as_str().to_owned());
    Some(names.filter(|it| !is_secret_name(it)).collect())
}

async fn used(session: &Session) -> Result<BTreeSet<String>, Failure> {
    let links = session.client.links().await;
    let links = links.map_err(|error| session.failure(&error))?;
    let of_links = links
        .into_iter()
        .flat_map(|it| [it.source_config, it.target_config].concat());
    let mut names: BTreeSet<String> = of_links.collect();
    for inventory in hosts::inventories(session).await? {
        for component in inventory.components {
            let used = component.annotations.get(CONFIG_ANNOTATION);
            names.extend(
                used.into_iter()
                    .flat_map(|it| it.split(','))
                    .map(str::to_owned),
            );
        }
    }
    names.retain(|it| !it.is_empty() && !is_secret_name(it));
    Ok(names)
}
