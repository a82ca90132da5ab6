//! Finds the hosts that would run something, and says why there are none.

use std::collections::BTreeSet;

use clap::Args;
use trellis_control::{
    ComponentAuctionRequest, Host, ProviderAuctionRequest, TextMap, constraints_met,
};
use trellis_core::ComponentId;

use super::refusal::refusal;
use crate::commands::key_value;
use crate::completion::{Live, live};
use crate::connection::Session;
use crate::failure::Failure;
use crate::reference::Reference;
use crate::suggestion::did_you_mean;
use crate::told;

/// Which hosts may be chosen.
#[derive(Args, Clone, Debug)]
pub(super) struct Target {
    /// Start it on this host, by id or name, or the beginning of one
    #[arg(long, value_name = "HOST", add = live(Live::Hosts))]
    pub(super) host: Option<String>,

    /// Start it on a host with this label; several must all be there
    #[arg(
        long = "label",
        value_name = "KEY=VALUE",
        value_parser = key_value,
        conflicts_with = "host"
    )]
    pub(super) labels: Vec<(String, String)>,
}

/// What is to be started.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lot<'a> {
    /// A component.
    Component(&'a ComponentId, &'a Reference),
    /// A provider.
    Provider(&'a ComponentId, &'a Reference),
}

impl Lot<'_> {
    /// Says why hosts may not bid.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Component(_, reference)
                if !trellis_host::can_run_component(reference.as_str()) =>
            {
                "hosts of Trellis read components from files: name one that is there on each host"
                    .to_owned()
            }
            Self::Provider(_, reference) if !trellis_host::can_run_provider(reference.as_str()) => {
                let names = trellis_host::built_in_names().into_iter();
                let names: Vec<String> = names.map(|name| format!("builtin:{name}")).collect();
                format!(
                    "hosts of Trellis run built-in providers: {}",
                    names.join(", ")
                )
            }
            Self::Component(..) => {
                "a host that runs it already, or leaves, makes none: `trellis get inventory` and \
                 `trellis get hosts` tell; `trellis scale` changes what runs"
                    .to_owned()
            }
            Self::Provider(..) => {
                "a host that runs it already, or leaves, makes none: `trellis get providers` and \
                 `trellis get hosts` tell; `--id ID` starts another one"
                    .to_owned()
            }
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Component(id, _) => format!("component {id}"),
            Self::Provider(id, _) => format!("provider {id}"),
        }
    }
}

/// Returns the hosts that bid, in the order in which they did; at least one.
///
/// # Errors
/// When none bids.
pub(super) async fn bidders(
    session: &Session,
    lot: Lot<'_>,
    labels: &[(String, String)],
) -> Result<Vec<Host>, Failure> {
    let hosts = session.hosts().await?;
    let constraints: TextMap = labels.iter().cloned().collect();
    let able: Vec<&Host> = hosts
        .iter()
        .filter(|it| constraints_met(&constraints, &it.labels))
        .collect();
    if able.is_empty() {
        return Err(no_labels(session, &hosts, labels));
    }
    refuse_impossible(session, lot, &able).await?;
    let ids = bids(session, lot, constraints, able.len()).await?;
    let find = |id: String| hosts.iter().find(|host| host.id == id).cloned();
    let found: Vec<Host> = ids.into_iter().filter_map(find).collect();
    if found.is_empty() {
        let message = format!(
            "no host takes {}: of {} that could be asked, none made a bid",
            lot.text(),
            able.len()
        );
        return Err(session.failed(&message, Some(&lot.hint())));
    }
    Ok(found)
}

/// Refuses at once what `hosts` tell that none of them would run.
///
/// # Errors
/// When none would.
pub(super) async fn refuse_impossible(
    session: &Session,
    lot: Lot<'_>,
    hosts: &[&Host],
) -> Result<(), Failure> {
    let asked = hosts.iter().map(|it| (*it).clone()).collect();
    let told = told::of_these(session, asked).await;
    match refusal(lot, hosts.len(), &told) {
        Some(it) => Err(session.failed(&it.message, Some(&it.hint))),
        None => Ok(()),
    }
}

async fn bids(
    session: &Session,
    lot: Lot<'_>,
    constraints: TextMap,
    able: usize,
) -> Result<Vec<String>, Failure> {
    match lot {
        Lot::Component(id, reference) => {
            let request = ComponentAuctionRequest {
                component_ref: reference.as_str().to_owned(),
                component_id: id.to_string(),
                constraints,
            };
            let bids = session.client.auction_component(&request, Some(able)).await;
            let bids = session.gathered(bids)?.into_iter();
            Ok(bids.map(|it| it.host_id).collect())
        }
        Lot::Provider(id, reference) => {
            let request = ProviderAuctionRequest {
                provider_ref: reference.as_str().to_owned(),
                provider_id: id.to_string(),
                constraints,
            };
            let bids = session.client.auction_provider(&request, Some(able)).await;
            let bids = session.gathered(bids)?.into_iter();
            Ok(bids.map(|it| it.host_id).collect())
        }
    }
}

/// Says which of the labels no host has, and which there are.
fn no_labels(session: &Session, hosts: &[Host], labels: &[(String, String)]) -> Failure {
    let texts: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let lattice = &session.resolved.lattice.value;
    let mut message = format!(
        "{} of lattice {lattice} {} {}",
        match hosts.len() {
            1 => "the only host".to_owned(),
            n => format!("none of the {n} hosts"),
        },
        if hosts.len() == 1 { "lacks" } else { "has" },
        texts.join(" and ")
    );
    for (key, value) in labels {
        let mut values = values_of(hosts, key);
        values.retain(|it| it != value);
        if values.is_empty() && !hosts.iter().any(|it| it.labels.contains_key(key)) {
            let keys: BTreeSet<&str> = hosts
                .iter()
                .flat_map(|it| it.labels.keys())
                .map(String::as_str)
                .collect();
            message = format!("{message}{}", did_you_mean(key, keys));
        } else if !values.is_empty() {
            message = format!("{message}; {key} is {} there", values.join(", "));
        }
    }
    session.failed(
        &message,
        Some("`trellis get hosts` shows labels, `trellis label put` sets one"),
    )
}

/// Returns the values that `hosts` have for a label.
pub(super) fn values_of(hosts: &[Host], key: &str) -> Vec<String> {
    let values: BTreeSet<&String> = hosts.iter().filter_map(|it| it.labels.get(key)).collect();
    values.into_iter().cloned().collect()
}
