//! `trellis get links`: who may call whom, and how each call travels.

use clap::Args;
use serde::Serialize;
use trellis_control::{ComponentStatus, Link, LinkStatus, LinkTier, ProviderStatus};

use crate::arguments::OutputFormat;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::suggestion::did_you_mean;
use crate::told::{self, Part, Told};

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
    /// Whether a manifest made it, and not `link put`.
    from_manifest: bool,
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
    let told = told::of_hosts(&session, None).await?;
    let of_manifests = of_manifests(&links, &told);
    let stored = links.len();
    links.extend(of_manifests);
    let mut links: Vec<(Link, bool)> = links
        .into_iter()
        .enumerate()
        .map(|(index, link)| (link, index >= stored))
        .collect();
    if let Some(id) = &arguments.id {
        links.retain(|(it, _)| it.source_id == *id || it.target == *id);
        if links.is_empty() {
            check_known(&session, &told, id)?;
        }
    }
    let key = |(it, _): &(Link, bool)| {
        let package = format!("{}:{}", it.wit_namespace, it.wit_package);
        (
            it.source_id.clone(),
            package,
            it.name.clone(),
            it.target.clone(),
        )
    };
    links.sort_by_key(key);
    let all_tell = told.iter().all(|it| matches!(it, Told::Status(_)));
    let outputs = links.into_iter().map(|(link, from_manifest)| LinkOutput {
        travels: travels(&link, &told),
        from_manifest,
        link,
    });
    let output = Output {
        lattice: session.resolved.lattice.value.as_str(),
        links: outputs.collect(),
    };
    match arguments.options.output {
        OutputFormat::Json => output::json(&output),
        OutputFormat::Text => table(&output.links, all_tell).print(),
    }
}

/// Returns the links that hosts use and the lattice state does not have: those of manifests.
fn of_manifests(stored: &[Link], told: &[Told]) -> Vec<Link> {
    let mut found: Vec<Link> = Vec::new();
    let statuses = told.iter().filter_map(|it| match it {
        Told::Status(it) => Some(it),
        Told::Inventory(_) => None,
    });
    for it in statuses.flat_map(|it| &it.links) {
        let Some((namespace, package, interface)) = parts(&it.interface) else {
            continue;
        };
        let same = |link: &Link| {
            link.source_id == it.source_id
                && link.target == it.target
                && link.name == it.name
                && link.wit_namespace == namespace
                && link.wit_package == package
        };
        if stored.iter().any(same) {
            continue;
        }
        match found.iter_mut().find(|link| same(link)) {
            Some(link) if link.interfaces.iter().any(|it| it == interface) => {}
            Some(link) => link.interfaces.push(interface.to_owned()),
            None => found.push(Link {
                source_id: it.source_id.clone(),
                target: it.target.clone(),
                name: it.name.clone(),
                wit_namespace: namespace.to_owned(),
                wit_package: package.to_owned(),
                interfaces: vec![interface.to_owned()],
                ..Link::default()
            }),
        }
    }
    found
}

/// Divides `namespace:package/interface@version`; the version is left out.
fn parts(interface: &str) -> Option<(&str, &str, &str)> {
    let name = interface.split('@').next().unwrap_or(interface);
    let (namespace, rest) = name.split_once(':')?;
    let (package, interface) = rest.split_once('/')?;
    Some((namespace, package, interface))
}

/// Tells an id that has no links from one that is nowhere.
///
/// # Errors
/// When no host has heard of it.
fn check_known(session: &Session, told: &[Told], id: &str) -> Result<(), Failure> {
    let mut known = Vec::new();
    for it in told {
        known.extend(ComponentStatus::all(it).into_iter().map(|it| it.id));
        known.extend(ProviderStatus::all(it).into_iter().map(|it| it.id));
    }
    if known.iter().any(|it| it == id) {
        return Ok(());
    }
    let near = did_you_mean(id, known.iter().map(String::as_str));
    let lattice = &session.resolved.lattice.value;
    let message = format!("{id} has no links and does not run in lattice {lattice}{near}");
    let hint = "`trellis get links` lists all links";
    Err(session.failed(&message, Some(hint)))
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

/// `all_tell`: every host says which links it uses.
fn table(links: &[LinkOutput], all_tell: bool) -> Table {
    let mut table = Table::new(&["SOURCE", "TARGET", "INTERFACES", "NAME", "TIER"]);
    for LinkOutput {
        link,
        from_manifest,
        travels,
    } in links
    {
        let mut tiers: Vec<&str> = travels.iter().map(|it| tier_name(it.tier)).collect();
        tiers.sort_unstable();
        tiers.dedup();
        let tiers = match travels.is_empty() {
            // A host of 1.x does not say which links it uses.
            true if all_tell => "not in force".to_owned(),
            false if *from_manifest => format!("{} (manifest)", tiers.join(",")),
            _ => tiers.join(","),
        };
        let interfaces = link.interfaces.join(",");
        table.row([
            link.source_id.clone(),
            link.target.clone(),
            format!("{}:{}/{interfaces}", link.wit_namespace, link.wit_package),
            link.name.clone(),
            tiers,
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
