//! How every host is: in our words, or what an inventory of 1.x tells.

use futures_util::{StreamExt, stream};
use trellis_control::{
    ClientError, ComponentStatus, Host, HostId, HostInventory, HostStatus, ProviderStatus,
};

use crate::connection::Session;
use crate::failure::Failure;
use crate::hosts;

/// Hosts that are asked at the same time; their answers are the largest there are.
const ASKED_AT_ONCE: usize = 32;

/// What one host tells of itself.
#[derive(Debug)]
pub(super) enum Told {
    /// A host of ours.
    Status(Box<HostStatus>),
    /// A host of 1.x.
    Inventory(Box<HostInventory>),
}

impl Told {
    /// Returns the id and the name of the host.
    pub(super) fn host(&self) -> (&str, &str) {
        match self {
            Self::Status(it) => (&it.host_id, &it.friendly_name),
            Self::Inventory(it) => (&it.host_id, &it.friendly_name),
        }
    }

    /// Returns its components. A host of 1.x lists only what is ready.
    pub(super) fn components(&self) -> Vec<ComponentStatus> {
        match self {
            Self::Status(it) => it.components.clone(),
            Self::Inventory(it) => it
                .components
                .iter()
                .map(|it| ComponentStatus {
                    id: it.id.clone(),
                    image_ref: it.image_ref.clone(),
                    max_instances: it.max_instances,
                    ready: true,
                    annotations: it.annotations.clone(),
                    ..ComponentStatus::default()
                })
                .collect(),
        }
    }

    /// Returns its providers. A host of 1.x lists what was started, whether it serves or not.
    pub(super) fn providers(&self) -> Vec<ProviderStatus> {
        match self {
            Self::Status(it) => it.providers.clone(),
            Self::Inventory(it) => it
                .providers
                .iter()
                .map(|it| ProviderStatus {
                    id: it.id.clone(),
                    image_ref: it.image_ref.clone().unwrap_or_default(),
                    ready: true,
                    annotations: it.annotations.clone(),
                    ..ProviderStatus::default()
                })
                .collect(),
        }
    }
}

/// Asks all hosts, or the one that `host` names. A host that does not answer is told of on standard
/// error.
///
/// # Errors
/// When there is no host.
pub(super) async fn of_hosts(session: &Session, host: Option<&str>) -> Result<Vec<Told>, Failure> {
    let found = match host {
        Some(host) => vec![hosts::find(session, host).await?],
        None => session.hosts().await?,
    };
    let answers: Vec<(Host, Result<Told, ClientError>)> = stream::iter(found)
        .filter_map(|host| async move { Some((HostId::new(&host.id).ok()?, host)) })
        .map(|(id, host)| async move { (host, of_host(session, &id).await) })
        .buffered(ASKED_AT_ONCE)
        .collect()
        .await;
    let mut told = Vec::new();
    for (host, answer) in answers {
        match answer {
            Ok(answer) => told.push(answer),
            Err(error) => {
                let host = hosts::label(&host.friendly_name, &host.id);
                eprintln!("warning: {host}: {}", trellis_core::with_causes(&error));
            }
        }
    }
    Ok(told)
}

/// Asks one host.
pub(super) async fn of_host(session: &Session, host: &HostId) -> Result<Told, ClientError> {
    match session.client.status(host).await {
        Ok(status) => Ok(Told::Status(Box::new(status))),
        Err(ClientError::Nobody { .. }) => {
            let inventory = session.client.host_inventory(host).await?;
            Ok(Told::Inventory(Box::new(inventory)))
        }
        Err(error) => Err(error),
    }
}
