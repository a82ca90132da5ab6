//! One question to all hosts: pings, auctions, inventories.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use super::{Client, ClientError};
use crate::json;
use crate::messages::{
    ComponentAuctionAck, ComponentAuctionRequest, Host, HostInventory, ProviderAuctionAck,
    ProviderAuctionRequest,
};
use crate::names::HostId;
use crate::subjects::Route;

/// Hosts that are asked for their inventory at the same time.
const INVENTORIES_AT_ONCE: usize = 32; // Their answers are the largest; 32 fill a few megabytes.

/// What many hosts answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered<T> {
    /// The answers, in the order in which they came.
    pub answers: Vec<T>,
    /// Answers that say failure or cannot be read, each of one host.
    pub failures: Vec<ClientError>,
}

/// When to stop listening for answers.
struct Patience {
    /// In any case.
    window: Duration,
    /// This long after the latest answer.
    silence: Duration,
    /// After so many answers.
    enough: usize,
}

impl Client {
    /// Lists the hosts of the lattice.
    ///
    /// # Errors
    /// When hosts cannot be asked. That there are none is an empty list.
    pub async fn hosts(&self) -> Result<Gathered<Host>, ClientError> {
        let patience = Patience {
            window: self.timing.ping,
            silence: self.timing.ping_silence,
            enough: usize::MAX,
        };
        self.gather(&Route::HostPing, Bytes::new(), patience).await
    }

    /// Asks which hosts could run a component; those that could not are silent.
    ///
    /// Where it is known how many hosts there are, the auction ends as soon as so many have bid.
    ///
    /// # Errors
    /// When the request could not work, or hosts cannot be asked. That none bids is an empty list.
    pub async fn auction_component(
        &self,
        request: &ComponentAuctionRequest,
        hosts_known: Option<usize>,
    ) -> Result<Gathered<ComponentAuctionAck>, ClientError> {
        let patience = self.patience_of_auctions(hosts_known);
        let payload = json::encode(request);
        self.gather(&Route::ComponentAuction, payload, patience)
            .await
    }

    /// Asks which hosts could run a provider; as [`Client::auction_component`].
    ///
    /// # Errors
    /// When the request could not work, or hosts cannot be asked. That none bids is an empty list.
    pub async fn auction_provider(
        &self,
        request: &ProviderAuctionRequest,
        hosts_known: Option<usize>,
    ) -> Result<Gathered<ProviderAuctionAck>, ClientError> {
        let patience = self.patience_of_auctions(hosts_known);
        let payload = json::encode(request);
        self.gather(&Route::ProviderAuction, payload, patience)
            .await
    }

    /// Lists what every host runs. A host that answers the ping but gives no inventory is among the
    /// failures.
    ///
    /// # Errors
    /// When hosts cannot be asked.
    pub async fn inventories(&self) -> Result<Gathered<HostInventory>, ClientError> {
        let hosts = self.hosts().await?;
        let mut gathered = Gathered {
            answers: Vec::new(),
            failures: hosts.failures,
        };
        // A host whose id is no name cannot be addressed, by us or by anybody.
        let ids = hosts
            .answers
            .iter()
            .filter_map(|it| HostId::new(&it.id).ok());
        let mut answers = stream::iter(ids)
            .map(|host| async move { self.host_inventory(&host).await })
            .buffered(INVENTORIES_AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(inventory) => gathered.answers.push(inventory),
                Err(error) => gathered.failures.push(error),
            }
        }
        Ok(gathered)
    }

    fn patience_of_auctions(&self, hosts_known: Option<usize>) -> Patience {
        Patience {
            window: self.timing.auction,
            silence: self.timing.auction,
            enough: hosts_known.unwrap_or(usize::MAX),
        }
    }

    async fn gather<T: DeserializeOwned>(
        &self,
        route: &Route,
        payload: Bytes,
        patience: Patience,
    ) -> Result<Gathered<T>, ClientError> {
        let failed = |error| self.no_answer(route, error);
        let subject = self.checked_subject(route, &payload)?;
        let scatter = self.lattice.scatter(&subject, payload, patience.window);
        let mut scatter = scatter.await.map_err(failed)?;
        let mut gathered = Gathered {
            answers: Vec::new(),
            failures: Vec::new(),
        };
        // The first answer may take the whole window.
        let mut wait = patience.window;
        while gathered.answers.len() + gathered.failures.len() < patience.enough {
            let Ok(answer) = tokio::time::timeout(wait, scatter.next()).await else {
                break;
            };
            let Some(answer) = answer.map_err(failed)? else {
                break;
            };
            wait = patience.silence;
            match self.read_reply(route, &answer.payload) {
                Ok(reply) => gathered.answers.extend(reply.response),
                Err(error) => gathered.failures.push(error),
            }
        }
        Ok(gathered)
    }
}
