//! How every host is: in our words, or what an inventory of 1.x tells.

use futures_util::{StreamExt, stream};
use serde::Serialize;
use trellis_control::{
    ClientError, ComponentStatus, Host, HostId, HostInventory, HostStatus, ProviderStatus,
};

use crate::connection::Session;
use crate::failure::Failure;
use crate::hosts;
use crate::output::one_line;

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
}

/// A component or a provider, as a host tells of it.
pub(super) trait Part: Sized {
    /// What is said of one that is not ready.
    const NOT_READY: &str;

    /// Returns those of one host.
    fn all(told: &Told) -> Vec<Self>;

    /// Returns which it is, and how it is.
    fn health(&self) -> Health<'_>;
}

/// Which one something is, and how it is.
pub(super) struct Health<'a> {
    id: &'a str,
    /// Whether it takes calls.
    ready: bool,
    /// Why it does not, where the host says so.
    why: Option<&'a str>,
}

impl Part for ComponentStatus {
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

/// Something with the host that it runs on.
#[derive(Debug, Serialize)]
pub(super) struct Placed<T> {
    host_id: String,
    host_name: String,
    #[serde(flatten)]
    pub(super) what: T,
}

impl<T: Part> Placed<T> {
    /// Returns the host in words.
    pub(super) fn host(&self) -> String {
        hosts::label(&self.host_name, &self.host_id)
    }

    /// Returns what lists are sorted by.
    fn place(&self) -> (&str, &str) {
        (self.what.health().id, &self.host_id)
    }

    /// Returns the word for whether it takes calls.
    pub(super) fn ready(&self) -> &'static str {
        if self.what.health().ready {
            "yes"
        } else {
            "no"
        }
    }
}

/// Asks all hosts, or the one that `host` names, for what runs there; sorted by id, then by host.
///
/// # Errors
/// When there is no host.
pub(super) async fn placed<T: Part>(
    session: &Session,
    host: Option<&str>,
) -> Result<Vec<Placed<T>>, Failure> {
    let mut found = Vec::new();
    for told in of_hosts(session, host).await? {
        let (host_id, host_name) = told.host();
        found.extend(T::all(&told).into_iter().map(|what| Placed {
            host_id: host_id.to_owned(),
            host_name: host_name.to_owned(),
            what,
        }));
    }
    found.sort_by(|a, b| a.place().cmp(&b.place()));
    Ok(found)
}

/// Says on standard error what keeps things from being ready.
pub(super) fn explain<T: Part>(found: &[Placed<T>]) {
    for it in found {
        let Health { id, ready, why } = it.what.health();
        if let Some(why) = why.filter(|_| !ready) {
            eprintln!("{id} on {} {}: {}", it.host(), T::NOT_READY, one_line(why));
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
