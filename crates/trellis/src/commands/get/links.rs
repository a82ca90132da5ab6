//! `trellis get links`: who may call whom, and how each call travels.

use clap::Args;
use serde::Serialize;
use trellis_control::{Link, LinkStatus, LinkTier};

use super::statuses::{self, Told};
use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};

/// List the links of the lattice, and how their calls travel
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trellis get links\n  trellis get links cart --output json")]
pub(crate) struct Links {
    /// Only those from or to this component or provider
    #[arg(value_name = "ID", add = live(Live::Ids))]
    id: Option<String>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    lattice: &'a str,
    links: Vec<LinkOutput>,
}

#[derive(Serialize)]
struct LinkOutput {
    #[serde(flatten)]
    link: Link,
    /// One for each interface on each host that runs the source.
    travels: Vec<TravelOutput>,
}

#[derive(Serialize)]
struct TravelOutput {
    host_id: String,
    interface: String,
    tier: LinkTier,
    why: String,
}

pub(crate) async fn run(arguments: Links) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let links = session.client.links().await;
    let mut links = links.map_err(|error| session.failure(&error))?;
    if let Some(id) = &arguments.id {
        links.retain(|it| it.source_id == *id || it.target == *id);
    }
    let key = |it: &Link| {
        let package = format!("{}:{}", it.wit_namespace, it.wit_package);
        (
            it.source_id.clone(),
            package,
            it.name.clone(),
            it.target.clone(),
        )
    };
    links.sort_by_key(key);
    let told = statuses::of_hosts(&session, None).await?;
    let outputs = links.into_iter().map(|link| LinkOutput {
        travels: travels(&link, &told),
        link,
    });
    let output = Output {
        lattice: session.resolved.lattice.value.as_str(),
        links: outputs.collect(),
    };
    match arguments.options.output {
        OutputFormat::Json => output::json(&output),
        OutputFormat::Text => table(&output.links).print(),
    }
}

/// Collects what the hosts tell of `link`.
fn travels(link: &Link, told: &[Told]) -> Vec<TravelOutput> {
    let package = format!("{}:{}/", link.wit_namespace, link.wit_package);
    let same = |it: &&LinkStatus| {
        it.source_id == link.source_id
            && it.target == link.target
            && it.name == link.name
            && it.interface.starts_with(&package)
    };
    let mut travels = Vec::new();
    for told in told {
        let Told::Status(status) = told else { continue };
        let ways = status.links.iter().filter(same).map(|it| TravelOutput {
            host_id: status.host_id.clone(),
            interface: it.interface.clone(),
            tier: it.tier,
            why: it.why.clone(),
        });
        travels.extend(ways);
    }
    travels
}

fn table(links: &[LinkOutput]) -> Table {
    let mut table = Table::new(&["SOURCE", "TARGET", "INTERFACES", "NAME", "TIER"]);
    for LinkOutput { link, travels } in links {
        let mut tiers: Vec<&str> = travels.iter().map(|it| tier_name(it.tier)).collect();
        tiers.sort_unstable();
        tiers.dedup();
        let interfaces = link.interfaces.join(",");
        table.row([
            link.source_id.clone(),
            link.target.clone(),
            format!("{}:{}/{interfaces}", link.wit_namespace, link.wit_package),
            link.name.clone(),
            tiers.join(","),
        ]);
    }
    table
}

fn tier_name(tier: LinkTier) -> &'static str {
    match tier {
        LinkTier::BuiltIn => "built-in",
        LinkTier::Fused => "fused",
        LinkTier::Process => "process",
        LinkTier::Remote => "remote",
        LinkTier::Unavailable => "unavailable",
    }
}
