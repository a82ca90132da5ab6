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
pub(crate) enum Told {
    /// A host of ours.
    Status(Box<HostStatus>),
    /// A host of 1.x.
    Inventory(Box<HostInventory>),
}

impl Told {
    /// Returns the id and the name of the host.
    pub(crate) fn host(&self) -> (&str, &str) {
        match self {
            Self::Status(it) => (&it.host_id, &it.friendly_name),
            Self::Inventory(it) => (&it.host_id, &it.friendly_name),
        }
    }
}

/// A component or a provider, as a host tells of it.
pub(crate) trait Part: Sized {
    /// What it is called.
    const KIND: &str;
    /// What is said of one that is not ready.
    const NOT_READY: &str;

    /// Returns those of one host.
    fn all(told: &Told) -> Vec<Self>;

    /// Returns which it is, and how it is.
    fn health(&self) -> Health<'_>;
}

/// Which one something is, and how it is.
pub(crate) struct Health<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// Whether it takes calls.
    pub(crate) ready: bool,
    /// Why it does not, where the host says so.
    pub(crate) why: Option<&'a str>,
}

impl Part for ComponentStatus {
    const KIND: &str = "component";
    const NOT_READY: &str = "is not ready";

    /// A host of 1.x lists only what is ready.
    fn all(told: &Told) -> Vec<Self> {
        match told {
            Told::Status(it) => it.components.clone(),
            Told::Inventory(it) => it
                .components
                .iter()
                .map(|it| Self {
                    id: it.id.clone(),
                    image_ref: it.image_ref.clone(),
                    max_instances: it.max_instances,
                    ready: true,
                    annotations: it.annotations.clone(),
                    ..Self::default()
                })
                .collect(),
        }
    }

    fn health(&self) -> Health<'_> {
        let (ready, why) = (self.ready, self.why.as_deref());
        Health {
            id: &self.id,
            ready,
            why,
        }
    }
}

impl Part for ProviderStatus {
    const KIND: &str = "provider";
    const NOT_READY: &str = "does not serve";

    /// A host of 1.x lists what was started, whether it serves or not.
    fn all(told: &Told) -> Vec<Self> {
        match told {
            Told::Status(it) => it.providers.clone(),
            Told::Inventory(it) => it
                .providers
                .iter()
                .map(|it| Self {
                    id: it.id.clone(),
                    image_ref: it.image_ref.clone().unwrap_or_default(),
                    ready: true,
                    annotations: it.annotations.clone(),
                    ..Self::default()
                })
                .collect(),
        }
    }

    fn health(&self) -> Health<'_> {
        let (ready, why) = (self.ready, self.why.as_deref());
        Health {
            id: &self.id,
            ready,
            why,
        }
    }
}

/// Asks all hosts, or the one that `host` names. A host that does not answer is told of on standard
/// error.
///
/// # Errors
/// When there is no host.
pub(crate) async fn of_hosts(session: &Session, host: Option<&str>) -> Result<Vec<Told>, Failure> {
    let found = match host {
        Some(host) => vec![hosts::find(session, host).await?],
        None => session.hosts().await?,
    };
    Ok(of_these(session, found).await)
}

/// Asks these hosts. One that does not answer is told of on standard error.
pub(crate) async fn of_these(session: &Session, found: Vec<Host>) -> Vec<Told> {
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
    told
}

/// Asks one host.
pub(crate) async fn of_host(session: &Session, host: &HostId) -> Result<Told, ClientError> {
    match session.client.status(host).await {
        Ok(status) => Ok(Told::Status(Box::new(status))),
        Err(ClientError::Nobody { .. }) => {
            let inventory = session.client.host_inventory(host).await?;
            Ok(Told::Inventory(Box::new(inventory)))
        }
        Err(error) => Err(error),
    }
}
